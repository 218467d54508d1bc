//! What every implementation of [`Index`] must do. [`run`] takes one through all of it.
//!
//! - `fixtures`: rows out of nothing, and a leaseholder that writes them
//! - `positions`, `commits`, `looks`, `lists`, `rewinds`, `digests`: the duties

#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

mod commits;
mod digests;
pub mod fixtures;
mod lists;
mod looks;
mod positions;
mod rewinds;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::{Index, SharedIndex};

/// One store of rows, empty at first.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Opens it (again): another instance beside those opened before.
    async fn open(&self) -> SharedIndex;

    /// Runs a statement past the index.
    async fn sql(&self, statement: String);

    /// A literal of bytes in the engine's SQL.
    fn bytes(&self, hex: &str) -> String;
}

/// Makes empty stores.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A new one.
    async fn fresh(&self) -> Box<dyn Subject>;
}

type Case = (&'static str, for<'a> fn(&'a dyn Factory) -> BoxFuture<'a, ()>);

macro_rules! cases {
    ($($module:ident :: $case:ident),+ $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($case)), |factory| Box::pin($module::$case(factory)))),+]
    };
}

const CASES: &[Case] = cases![
    positions::a_lease_is_taken_once,
    positions::one_of_many_takes_a_lease,
    positions::the_mark_of_a_repair_is_kept_under_the_lease,
    positions::the_registry_floor_only_rises,
    commits::a_stale_commit_writes_nothing,
    commits::a_failed_commit_writes_nothing,
    commits::of_two_commits_from_one_position_one_wins,
    commits::what_is_repeatable_can_be_repeated,
    commits::what_is_known_is_told,
    commits::outcomes_rank,
    commits::stubs_take_the_place_of_a_version,
    commits::an_erasure_leaves_what_a_rebuild_makes,
    commits::everything_is_there_after_reopening,
    commits::many_partitions_at_once,
    looks::by_record,
    looks::by_record_at_a_time,
    looks::by_identifier,
    looks::by_holder_in_pages,
    looks::by_holder_at_a_time,
    looks::holders_of_a_version_that_took_away,
    looks::doubts,
    looks::many_kinds_in_one_snapshot,
    lists::heads_in_pages,
    lists::ledger_in_order,
    lists::quarantine_in_pages,
    lists::refused_senders_and_alarms_of_no_entry,
    lists::quarantine_closes_in_either_order,
    lists::alarms_newest_first,
    lists::appends_with_their_envelopes,
    lists::appends_in_quarantine_by_key,
    lists::counts_and_probe,
    lists::the_fleet_keeps_the_newest_word,
    rewinds::every_earlier_state_comes_back,
    rewinds::what_was_taken_out_is_kept_until_settled,
    rewinds::only_under_the_lease,
    rewinds::the_ledger_goes_back_too,
    rewinds::an_erasure_stays,
    digests::the_sample_has_the_same_digest_everywhere,
    digests::any_column_changes_it,
    digests::content_is_the_same_in_another_place,
];

/// Every case, each on a store of its own. Panics at the first that fails, after printing its name.
pub async fn run(factory: &dyn Factory) {
    for (name, case) in CASES {
        println!("contract of the index: {name}");
        case(factory).await;
    }
}

/// A store and an index on it.
async fn fresh(factory: &dyn Factory) -> (Box<dyn Subject>, SharedIndex) {
    let subject = factory.fresh().await;
    let index = subject.open().await;
    (subject, index)
}

/// The digest over everything.
async fn everything(index: &dyn Index) -> String {
    hex::encode(index.digest(super::DigestScope::Everything).await.unwrap())
}
