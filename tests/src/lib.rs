//! The harness of the tests under `tests/tests/`: real servers, processes that can be killed, and the judge.
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@eventually`] | waiting for a condition, with a patience instead of a sleep |
//! | [`process`] | child processes with their output in files; signals; free ports |
//! | [`folder`] | scratch folders under the target folder |
//! | [`kafka`] | an Apache Kafka broker of its own |
//! | [`postgres`] | a PostgreSQL server of its own |
//! | [`mariadb`] | a MariaDB server of its own |
//! | [`tables`] | tables of databases as sources |
//! | [`history`] | what a client saw, written by the client, line by line |
//! | [`judge`] | the oracle: a history against the state that was found afterwards |
//! | [`hub`] | a hub in this process |
//! | [`department`], [`window`] | its callers, as real clients |
//! | [`delayed`], [`stalled`] | a log that lags at one instance, one that takes appends slowly or not at all |
//! | [`story`] | a run with everything in it |
//! | [`client`], [`enrol`] | how they connect and join |
//! | [`instance`] | a hub as a process, to be killed |
//! | [`load`] | a department and windows at work, writing their history |
//! | [`office`], [`relay`] | a department with a real adapter as a process, and the address that it knows |
//! | [`moments`] | when something is killed, from one seed |
//! | [`scene`], [`found`] | what a load needs at the hub; what is found there in the end |
//! | [`scan`] | the search for values that must not lie anywhere in the clear |
//!
//! A harness that cannot do its work panics with the reason: that is the test's failure.

pub mod client;
pub mod delayed;
pub mod department;
pub mod enrol;
pub mod eventually;
pub mod folder;
pub mod found;
pub mod history;
pub mod hub;
pub mod instance;
pub mod judge;
pub mod kafka;
pub mod load;
pub mod mariadb;
pub mod moments;
pub mod office;
pub mod place;
pub mod postgres;
pub mod process;
pub mod relay;
pub mod scan;
pub mod scene;
pub mod stalled;
pub mod story;
pub mod tables;
pub mod window;

pub use eventually::eventually;

/// Whether `tests/run --quick` left out the servers. Says so, once per call, on the test's output.
///
/// A test that needs one opens with `if skipped_by_quick("kafka") { return; }`. In the full run the same
/// server missing is a failure, never a skip.
#[must_use]
pub fn skipped_by_quick(needs: &str) -> bool {
    let quick = std::env::var_os("WEFT_QUICK").is_some_and(|value| value == "1");
    if quick {
        eprintln!("skipped by --quick: needs {needs}");
    }
    quick
}
