//! The adapter beside a department's system: what the department exports becomes sealed records at the hub, without a
//! change to that system.
//!
//! The way of a row, module by module:
//!
//! - [`source`]: where rows come from
//! - [`mapping`]: a row becomes the draft of a record, or a list of what is wrong with it
//! - [`order`]: which rows of a file speak of one record, and in which order they hold
//! - [`change`]: what the draft means beside what was published: nothing, or one or two versions with their events
//! - [`sealing`]: a version is sealed as the department
//! - [`intake`]: these steps together, into the spool
//! - [`spool`]: sealed versions are durable and encrypted until the hub told their outcome
//! - [`link`]: to the hub and back: batches, receipts, outcomes
//! - [`settle`]: what the hub's answers mean for the spool
//! - [`heads`]: an empty state begins where the hub's heads stand
//!
//! Its life:
//!
//! - [`life`]: how the adapter and its sources are, and what halts them; `connect`: the hub is told, and commands come back
//! - `orders`: what was asked of it; [`ask`]: asking from its own machine
//! - [`reconcile`]: whether the hub has what was published; [`backup`]: state and keys in one file
//! - [`snapshot`], [`status`]: what is told of all this
//!
//! Around them: [`config`], [`coverage`] (what a department says that it publishes), [`hours`], [`join`] (how an adapter
//! becomes one), [`keys`] (what lies in the state directory), [`init`] (a configuration from a sample), [`runner`] (the
//! entry: [`run`], [`run_once`], [`check`], [`problems`]), [`problem`], [`clock`].

pub mod ask;
pub mod backup;
pub mod change;
pub mod clock;
pub mod config;
mod connect;
pub mod coverage;
pub mod heads;
pub mod hours;
pub mod init;
pub mod intake;
pub mod join;
pub mod keys;
pub mod life;
pub mod link;
pub mod mapping;
pub mod order;
mod orders;
pub mod problem;
pub mod reconcile;
pub mod report;
pub mod runner;
pub mod sealing;
mod secret;
pub mod settle;
pub mod snapshot;
pub mod source;
pub mod spool;
pub mod status;
mod text;

pub use clock::Surroundings;
pub use config::Config;
pub use join::join;
pub use report::{access, check, close_problems, problems};
pub use runner::{FailedSource, Summary, run, run_once};
pub use source::{SHEET_CHILD, sheet_child};
