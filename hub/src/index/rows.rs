//! The rows of the index, one struct per table. No row holds clear text of a record or of a look.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::KeyedHash;
use crate::{
    clock::Millis,
    log::{EntryId, Partition},
};

/// SHA-256 of the sealed bytes.
pub type SubmissionId = [u8; 32];

/// One of the last entries of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentEntry {
    /// Its offset.
    pub offset: u64,
    /// Its id; `None` for an entry that had none.
    pub entry_id: Option<EntryId>,
}

/// `positions`: how far a partition was followed, and by whom. Key: (topic, partition).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionRow {
    /// The partition.
    pub partition: Partition,
    /// The next offset to be read.
    pub next: u64,
    /// The last 64 entries before `next`, oldest first.
    pub recent: Vec<RecentEntry>,
    /// Whether the index agrees with the log here; `false` while a repair is under way.
    pub current: bool,
    /// Who has the lease.
    pub owner: Option<String>,
    /// Until when.
    pub lease_until: Millis,
}

/// `versions`: one indexed version of a record; history and head alike. Key: (record_id, version).
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    /// The record.
    pub record_id: String,
    /// Its version, from 1 without holes.
    pub version: u64,
    /// The record type.
    pub record_type: String,
    /// The department that sealed it.
    pub department: String,
    /// The event that caused it.
    pub event: String,
    /// The status after it, by the step table.
    pub status: String,
    /// The flag kept beside the status, after it: what a rewind restores the head from.
    pub frozen: bool,
    /// The flag kept beside the status, after it.
    pub suspended: bool,
    /// Local date, `YYYY-MM-DD`.
    pub valid_from: Option<String>,
    /// Local date, last day included; `None` is an open end.
    pub valid_until: Option<String>,
    /// `iat` as sealed, seconds.
    pub iat: i64,
    /// When the hub accepted it.
    pub accepted_at: Millis,
    /// The key that sealed it (RFC 7638 thumbprint).
    pub kid: String,
    /// The submission that brought it.
    pub submission_id: SubmissionId,
    /// Keyed digest of the processed payload without `iat`: "same content".
    pub content_digest: [u8; 32],
    /// Keyed digest of holders, fields, status and validity: change detection.
    pub substance_digest: [u8; 32],
    /// Whether a stub took its place (erasure).
    pub erased: bool,
    /// Where its entry stands.
    pub partition: Partition,
    /// And at which offset.
    pub offset: u64,
    /// The entry's key.
    pub key: String,
    /// The entry's id.
    pub entry_id: EntryId,
    /// The entry's value as it stands in the log.
    pub envelope: Bytes,
}

/// `heads`: the highest indexed version of a record, and the state after it. Key: record_id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// The record.
    pub record_id: String,
    /// The record type.
    pub record_type: String,
    /// The department.
    pub department: String,
    /// The highest indexed version.
    pub version: u64,
    /// The status after it.
    pub status: String,
    /// The flag kept beside the status.
    pub frozen: bool,
    /// The flag kept beside the status.
    pub suspended: bool,
    /// The highest version number above `version` that could not be indexed because a lower one was missing. The index takes it
    /// from the outcomes `gap`; what a caller hands over here is not kept.
    pub gap_version: Option<u64>,
}

/// What [`super::Index::heads`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadEntry {
    /// The record.
    pub record_id: String,
    /// Its highest version.
    pub version: u64,
    /// The status.
    pub status: String,
    /// Of the head.
    pub substance_digest: [u8; 32],
    /// Of the head, seconds.
    pub iat: i64,
}

/// `holders`: a holder of a record over a span of versions. Key: (record_id, holder, from_version).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderRow {
    /// The record.
    pub record_id: String,
    /// The record type.
    pub record_type: String,
    /// Keyed hash of scheme and value.
    pub holder: KeyedHash,
    /// The first version with it.
    pub from_version: u64,
}

/// `identifiers`: a look-up identifier of a record over a span of versions. Key: (record_id, identifier, from_version).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifierRow {
    /// The record.
    pub record_id: String,
    /// The record type.
    pub record_type: String,
    /// Keyed hash of type, field and value.
    pub identifier: KeyedHash,
    /// The first version with it.
    pub from_version: u64,
}

/// `outcomes`: what became of a submission. Key: submission_id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The submission.
    pub submission_id: SubmissionId,
    /// `pending`, `indexed`, `duplicate`, `conflict`, `gap` or `quarantined`.
    pub outcome: String,
    /// Why, where it is `quarantined`: a stable reason. Of a `conflict`, the digest of the content that stands, hex.
    pub reason: Option<String>,
    /// The record; empty where it could not be read.
    pub record_id: String,
    /// Its version; 0 where it could not be read.
    pub version: u64,
    /// The highest indexed version when it was judged; 0 for none.
    pub head: u64,
    /// Where the entry stands that it became so by: a rewind goes by it.
    pub partition: Partition,
    /// And at which offset.
    pub offset: u64,
    /// The time of acceptance in its envelope.
    pub at: Millis,
}

/// `appends`: every entry of every topic that bears on something here. Key: (topic, partition, offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRow {
    /// Where it stands.
    pub partition: Partition,
    /// At which offset.
    pub offset: u64,
    /// Its key; compaction goes by it, and a stub is written under it.
    pub key: String,
    /// Its id.
    pub entry_id: EntryId,
    /// The submission, where it carries one.
    pub submission_id: Option<SubmissionId>,
    /// The record, where it bears on one.
    pub record_id: Option<String>,
    /// Its version.
    pub version: Option<u64>,
    /// The value as it stands in the log. `None` only where the same bytes stand in `versions` or `ledger`
    /// ([`super::Index::lost`] and [`super::Index::appends_of`] fill it in).
    pub envelope: Option<Bytes>,
}

/// `quarantine`: a submission that waits for its department to send a right one. Key: id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The submission id in hex; `topic/partition/offset` for what was written past the hub.
    pub id: String,
    /// Empty where nobody is known.
    pub department: String,
    /// `department/adapter`.
    pub sender: String,
    /// Empty where it could not be read.
    pub record_type: String,
    /// Empty where it could not be read.
    pub record_id: String,
    /// 0 where it could not be read.
    pub version: u64,
    /// When the hub took it.
    pub at: Millis,
    /// `shape`, `token`, `sender`, `key`, `content`, `apply` or `foreign`.
    pub stage: String,
    /// JSON array of problems: pointer, reason, rule; no value of the record.
    pub problems: String,
    /// Whether a right one has come: a version of that department's record that is as high and was accepted since. The index
    /// sees to that itself, whichever of the two is applied first.
    pub closed: bool,
    /// Where its entry stands.
    pub partition: Partition,
    /// At which offset.
    pub offset: u64,
}

/// `ledger`: one ledger entry. Key: entry id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The ledger entry's id (the look id).
    pub entry_id: EntryId,
    /// Its offset in the ledger's one partition.
    pub offset: u64,
    /// `look`, `look_denied` … (`weft.v1.LedgerKind` in lower case).
    pub kind: String,
    /// The window's name.
    pub window: String,
    /// The window's request id.
    pub request_id: String,
    /// Keyed hash of the holder asked about.
    pub holder: Option<KeyedHash>,
    /// JSON array of [record_id, version] that the answer gave: what a repeat is answered from.
    pub records: String,
    /// The department whose records were asked for.
    pub department: String,
    /// When.
    pub at: Millis,
    /// The entry's value as it stands in the log.
    pub envelope: Bytes,
}

/// `alarms`: what an operator must know. Key: id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRow {
    /// `alarm/topic/partition/offset`: the same finding twice is one alarm. Where it is about no entry, `hub/alarm/subject/time`.
    pub id: String,
    /// `log_lost`, `conflict`, `foreign_entry`, `null_entry`, `cut_log`, `quota_exceeded` …
    pub alarm: String,
    /// When.
    pub at: Millis,
    /// Where. One that is about no entry stands at the beginning of the registry.
    pub partition: Partition,
    /// At which offset.
    pub offset: u64,
    /// More, without personal data.
    pub detail: String,
}

/// `fleet`: what an adapter said of itself last. Key: sender. It follows from no log and is in no digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRow {
    /// `department/adapter`.
    pub sender: String,
    /// When an instance heard it last.
    pub heard_at: Millis,
    /// Which.
    pub instance: String,
    /// What it said: `weft.v1.FleetEntry`, never empty.
    pub report: Bytes,
}

/// What one batch of entries turns into.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Inserted. The `heads` row of the same record is in `heads`.
    pub versions: Vec<VersionRow>,
    /// Inserted or replaced.
    pub heads: Vec<HeadRow>,
    /// (record_id, first version without them): spans of holders and look-up identifiers still open below that version end before it.
    /// Done before `holders` and `identifiers` are inserted.
    pub ended_spans: Vec<(String, u64)>,
    /// Inserted.
    pub holders: Vec<HolderRow>,
    /// Inserted.
    pub identifiers: Vec<IdentifierRow>,
    /// Inserted; an existing one (same key) stays.
    pub appends: Vec<AppendRow>,
    /// Inserted or replaced, in the order given; but what came by the quarantine topic never replaces what came by another.
    pub outcomes: Vec<OutcomeRow>,
    /// Inserted or replaced.
    pub quarantine: Vec<QuarantineRow>,
    /// (department, record_id, version): open quarantine entries of that department's record at or below this version are closed.
    pub closed_quarantine: Vec<(String, String, u64)>,
    /// Inserted; an existing one stays.
    pub ledger: Vec<LedgerRow>,
    /// Inserted; an existing one stays.
    pub alarms: Vec<AlarmRow>,
    /// A stub took an entry's place. Done last. The entry's append goes, with its outcome (unless that made the version), its
    /// quarantine and its alarm of a conflict. Under the version's own key, the version becomes `erased` with the stub's place, id
    /// and envelope and without validity, and its holders and identifiers go: just what a rebuild makes of the registry's erasure
    /// and the stub. A rewind does not undo it.
    pub stubs: Vec<Stub>,
}

/// Where a stub stands and which version it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The stub's place, when it is the one under the version's own key; others only take appends' places.
    pub append: AppendRow,
}
