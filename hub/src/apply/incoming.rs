//! A sealed record as it is read from the log: envelope opened, seal verified.

use bytes::Bytes;
use weft_record::status::{Event, Status};

use crate::{
    clock::Millis,
    index::{
        KeyedHash, KnownQuery,
        rows::{AppendRow, SubmissionId},
    },
    log::{EntryId, Partition},
};

/// Where an entry stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub offset: u64,
    /// The entry's key.
    pub key: String,
    /// The entry's id.
    pub entry_id: EntryId,
    /// The value as it stands in the log.
    pub envelope: Bytes,
}

/// A sealed record read from the log: its envelope opened and its seal verified.
#[derive(Clone, Debug)]
pub struct IncomingRecord {
    /// Where it stands.
    pub standing: Standing,
    /// SHA-256 of the sealed bytes.
    pub submission_id: SubmissionId,
    /// The record.
    pub record_id: String,
    /// The version it wants to be.
    pub version: u64,
    /// The record type.
    pub record_type: String,
    /// The department that sealed it.
    pub department: String,
    /// `department/<code>/adapter/<name>`.
    pub sender: String,
    /// What caused it; `None` when the disclosure is absent or unreadable: then the status speaks.
    pub event: Option<Event>,
    /// The status that the department says the record has.
    pub status: Status,
    /// Local date.
    pub valid_from: Option<String>,
    /// Local date.
    pub valid_until: Option<String>,
    /// Seconds.
    pub iat: i64,
    /// Time of acceptance.
    pub accepted_at: Millis,
    /// The sealing key.
    pub kid: String,
    /// Same content.
    pub content_digest: [u8; 32],
    /// Same substance.
    pub substance_digest: [u8; 32],
    /// Keyed hashes of its holders; empty when it names none.
    pub holders: Vec<KeyedHash>,
    /// Keyed hashes of its look-up identifiers.
    pub identifiers: Vec<KeyedHash>,
    /// Whether two persons of the department confirmed this submission (before its registry position).
    pub confirmed: bool,
}

impl IncomingRecord {
    /// What must be known to decide.
    pub fn query(&self) -> KnownQuery {
        KnownQuery { record_id: self.record_id.clone(), version: self.version, submission_id: self.submission_id }
    }

    pub(super) fn append_row(&self, indexed: bool) -> AppendRow {
        AppendRow {
            partition: self.standing.partition.clone(),
            offset: self.standing.offset,
            key: self.standing.key.clone(),
            entry_id: self.standing.entry_id,
            submission_id: Some(self.submission_id),
            record_id: Some(self.record_id.clone()),
            version: Some(self.version),
            envelope: (!indexed).then(|| self.standing.envelope.clone()),
        }
    }
}
