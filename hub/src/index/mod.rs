//! The index: what the log says, in rows that can be looked up. Everything in it can be rebuilt by replay, to the same digest.
//!
//! - [`rows`]: the rows, one struct per table
//! - [`sql`]: the statements, shared by the engines
//! - [`sqlite`], [`postgres`]: the engines
//! - `digest`: one hash over all rows
//! - `contract`: what every implementation must do, as tests (feature `test-util`)
//!
//! Nothing here judges a record: `crate::apply` decides, `crate::follow` carries the decision here. A row holds envelopes and
//! keyed hashes, and columns that name no person.

#[cfg(feature = "test-util")]
pub mod contract;
mod digest;
pub mod postgres;
pub mod rows;
pub mod sql;
pub mod sqlite;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use weft_proto::{Reason, Refusal};

use crate::{
    clock::Millis,
    log::{Partition, Topic},
};
use rows::{
    AlarmRow, AppendRow, FleetRow, HeadEntry, HeadRow, LedgerRow, OutcomeRow, PositionRow, QuarantineRow, RecentEntry,
    Rows, SubmissionId, VersionRow,
};

/// A keyed hash (HMAC-SHA-256) of a holder or of a look-up identifier.
pub type KeyedHash = [u8; 32];

/// Why the index did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or is broken. Whether a write was stored is unknown; every write may be repeated.
    #[error("index unavailable: {0}")]
    Unavailable(String),
    /// This instance's place is not what it believed: another one has the lease, or has moved on. Nothing was written.
    #[error("stale: another instance works {0}")]
    Stale(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(Reason::IndexUnavailable).detail(error)
    }
}

/// Moves a partition's position forward; the judge between instances.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The partition.
    pub partition: Partition,
    /// Who believes to have the lease.
    pub owner: String,
    /// The position that the owner started from. The row must still hold it, and `owner`, or the commit is [`Error::Stale`].
    pub from: u64,
    /// The next offset to be read.
    pub to: u64,
    /// The last entries (at most 64, oldest first) before `to`: what a cut-off log is recognised by.
    pub recent: Vec<RecentEntry>,
}

/// What [`Index::known`] is asked about, for one entry that is to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownQuery {
    /// The record.
    pub record_id: String,
    /// The version that the entry brings.
    pub version: u64,
    /// The submission that the entry brings.
    pub submission_id: SubmissionId,
}

/// What the index holds about the entries asked for.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Heads of the records asked for, where there are any.
    pub heads: Vec<HeadRow>,
    /// Of the (record, version) pairs asked for, those that stand.
    pub versions: Vec<VersionRow>,
    /// Outcomes of the submissions asked for, where there are any.
    pub outcomes: Vec<OutcomeRow>,
}

/// By what a record is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Its identifier.
    Record(String),
    /// A look-up identifier of its type, as a keyed hash of (type, field, value).
    Identifier {
        /// The record type.
        record_type: String,
        /// The hash.
        hash: KeyedHash,
    },
    /// A holder, as a keyed hash of (scheme, value); records come in rising order of `record_id`.
    Holder {
        /// The record type.
        record_type: String,
        /// The hash.
        hash: KeyedHash,
        /// Only records after this one.
        after: Option<String>,
        /// At most so many.
        limit: u32,
    },
}

/// One look-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LookUp {
    /// By what.
    pub by: By,
    /// The holder asked about: [`Found::holder_matches`] says whether it is one of the version found.
    pub holder: Option<KeyedHash>,
    /// The version that was the highest at this time of acceptance; `None` is now. With [`By::Holder`], the holders as they were then.
    pub as_of: Option<Millis>,
    /// This version and no other (a repeated request is answered from what its first pinned). Only with [`By::Record`].
    pub version: Option<u64>,
}

/// A version found by a look-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The version, with its envelope.
    pub row: VersionRow,
    /// Whether it is the highest indexed version now.
    pub is_head: bool,
    /// Whether the holder asked about is a holder of this version. A version that took away without naming holders has those of
    /// the last version that named any. `false` when none was asked about.
    pub holder_matches: bool,
    /// The highest version number of this record that waits behind a gap, if it is above this one.
    pub waiting_behind_gap: Option<u64>,
    /// Whether an open quarantine entry of the record's own department names this record with a higher version.
    pub higher_in_quarantine: bool,
    /// Whether the record's partition is current (no repair under way).
    pub partition_current: bool,
}

/// The answers to a batch of look-ups, read in one statement or one read-only snapshot.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// `registry_floor` as of the same snapshot: the registry offset that the looker's view must have reached (0 when nothing
    /// was administered yet; else offset of the last administrative event + 1).
    pub registry_floor: u64,
    /// Whether a partition of records is under repair as of the same snapshot: then what was not found may exist.
    pub repairing: bool,
    /// In the order asked.
    pub found: Vec<Vec<Found>>,
}

/// Which digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestScope {
    /// Every column of current and history rows, outcomes and positions (not leases).
    Everything,
    /// The same without partition, offset, entry id, key and envelope bytes: what stays equal when lost entries were appended again.
    Content,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Versions indexed.
    pub versions: u64,
    /// Records with a head.
    pub records: u64,
    /// Ledger entries.
    pub ledger: u64,
    /// Open quarantine entries.
    pub quarantine_open: u64,
}

/// The seam to the index. Safe to call from many tasks at once.
#[async_trait]
pub trait Index: fmt::Debug + Send + Sync {
    /// Every partition's row.
    async fn positions(&self) -> Result<Vec<PositionRow>, Error>;

    /// Takes or renews the lease of a partition until `until`, if it is free, run out at `now`, or already `owner`'s. Creates the row
    /// (next = 0, current) where there is none. `None` when another instance has it.
    async fn lease(
        &self,
        partition: &Partition,
        owner: &str,
        now: Millis,
        until: Millis,
    ) -> Result<Option<PositionRow>, Error>;

    /// Gives back every lease of `owner`.
    async fn release(&self, owner: &str) -> Result<(), Error>;

    /// What stands about these entries. Read by the leaseholder before it decides.
    async fn known(&self, queries: &[KnownQuery]) -> Result<Known, Error>;

    /// One transaction: first the compare-and-set of the position ([`Advance`]), then all rows. Repeatable rows (outcomes, heads,
    /// quarantine, alarms) are upserts by their key; versions, appends and ledger entries are inserts.
    async fn commit(&self, advance: &Advance, rows: &Rows) -> Result<(), Error>;

    /// Answers look-ups. Hot: batches come coalesced; one statement per kind of [`By`], all in one read-only snapshot.
    async fn look(&self, look_ups: &[LookUp]) -> Result<Looked, Error>;

    /// Outcomes of these submissions, those that are known.
    async fn outcomes(&self, submissions: &[SubmissionId]) -> Result<Vec<OutcomeRow>, Error>;

    /// Heads of a department's records of a type, in rising order of `record_id`, after `after`.
    async fn heads(
        &self,
        department: &str,
        record_type: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<HeadEntry>, Error>;

    /// Raises `registry_floor` to at least `floor`. Durable when it returns.
    async fn raise_registry_floor(&self, floor: u64) -> Result<(), Error>;

    /// The present `registry_floor`.
    async fn registry_floor(&self) -> Result<u64, Error>;

    /// Of each (window, request id), the first ledger entry, where there is one; in any order. Hot: batches come coalesced.
    async fn ledger_of_requests(&self, requests: &[(String, String)]) -> Result<Vec<LedgerRow>, Error>;

    /// Ledger entries in ledger order from an offset.
    async fn ledger(&self, from: u64, limit: u32) -> Result<Vec<LedgerRow>, Error>;

    /// Quarantine entries of a department (all when empty), newest first, after an id of the page before.
    async fn quarantine(&self, department: &str, after: Option<&str>, limit: u32) -> Result<Vec<QuarantineRow>, Error>;

    /// How many open quarantine entries a sender (`department/adapter`) has.
    async fn quarantine_open(&self, sender: &str) -> Result<u64, Error>;

    /// Of these submissions, those that were refused at the door, each with the department that sent it.
    async fn refused_senders(&self, submissions: &[SubmissionId]) -> Result<Vec<(SubmissionId, String)>, Error>;

    /// Inserts alarms that follow from no entry of the log; one whose id is known stays as it is. Durable when it returns.
    async fn raise_alarms(&self, alarms: &[AlarmRow]) -> Result<(), Error>;

    /// Alarms, newest first.
    async fn alarms(&self, limit: u32) -> Result<Vec<AlarmRow>, Error>;

    /// Every append of a version, stubs and duplicates included: under each of these keys erasure writes its stub.
    async fn appends_of(&self, record_id: &str, version: u64) -> Result<Vec<AppendRow>, Error>;

    /// Every append of the quarantine topic under a key, oldest first.
    async fn appends_in_quarantine(&self, key: &str) -> Result<Vec<AppendRow>, Error>;

    /// One version's row, if it stands.
    async fn version(&self, record_id: &str, version: u64) -> Result<Option<VersionRow>, Error>;

    /// Goes back: under the lease, marks the partition as under repair, sets its position to `to`, moves every entry with an offset ≥ `to`
    /// into the table `lost` (with its envelope), removes the rows that came from them and restores heads, holders and outcomes to
    /// what they were before. Returns how many entries are in `lost` for that partition.
    async fn rewind(&self, partition: &Partition, owner: &str, to: u64, recent: &[RecentEntry]) -> Result<u64, Error>;

    /// Entries that a rewind took out, oldest offset first.
    async fn lost(&self, partition: &Partition, limit: u32) -> Result<Vec<AppendRow>, Error>;

    /// Forgets one lost entry: it stands in the log again, or was settled.
    async fn settle_lost(&self, lost: &AppendRow) -> Result<(), Error>;

    /// Marks a partition as current or as under repair. Under the lease.
    async fn set_current(&self, partition: &Partition, owner: &str, current: bool) -> Result<(), Error>;

    /// The last position row of one partition.
    async fn position(&self, partition: &Partition) -> Result<Option<PositionRow>, Error>;

    /// SHA-256 over rows in key order; equal on SQLite and PostgreSQL for equal rows.
    async fn digest(&self, scope: DigestScope) -> Result<[u8; 32], Error>;

    /// Keeps what an adapter said of itself, unless something newer is kept.
    async fn put_fleet(&self, row: &FleetRow) -> Result<(), Error>;

    /// What every adapter said of itself last.
    async fn fleet(&self) -> Result<Vec<FleetRow>, Error>;

    /// How many rows there are.
    async fn counts(&self) -> Result<Counts, Error>;

    /// The time at the database's server; `None` where it has no clock but this process's.
    async fn clock(&self) -> Result<Option<Millis>, Error>;

    /// Writes and removes one row: proves that the index can be written.
    async fn probe(&self) -> Result<(), Error>;
}

/// A shared index.
pub type SharedIndex = Arc<dyn Index>;

/// The topics that every hub follows, beside those of its record types.
pub const FIXED_TOPICS: [Topic; 3] = [Topic::Registry, Topic::Ledger, Topic::Quarantine];
