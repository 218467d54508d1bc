//! Rows out of nothing: one entry of a records topic at a time, as apply would hand them over.

use bytes::Bytes;

use crate::{
    clock::Millis,
    index::{
        Advance, By, Error, Found, Index, KeyedHash, LookUp, SharedIndex,
        rows::{
            AlarmRow, AppendRow, HeadRow, HolderRow, IdentifierRow, LedgerRow, OutcomeRow, QuarantineRow, RecentEntry,
            Rows, VersionRow,
        },
    },
    log::{EntryId, Partition, Topic},
};

/// The instance that holds the leases.
pub const OWNER: &str = "instance-1";

/// The record type of all records here.
pub const TYPE: &str = "business-licence";

/// The department of all records here.
pub const DEPARTMENT: &str = "scjg";

/// A time at which something was accepted at `offset`.
pub fn time(offset: u64) -> Millis {
    1_795_442_400_000 + 1000 * i64::try_from(offset).unwrap()
}

/// 32 bytes that depend on a name and a number.
pub fn hash(name: &str, number: u64) -> KeyedHash {
    let mut hash = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{name}/{number}").as_bytes());
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// The id of the entry at an offset.
pub fn entry_id(name: &str, offset: u64) -> EntryId {
    let mut id = [0; 16];
    id.copy_from_slice(&hash(name, offset)[..16]);
    EntryId(id)
}

/// A partition of the records topic.
pub fn records(number: u32) -> Partition {
    Partition { topic: Topic::Records(TYPE.into()), number }
}

/// The ledger's one partition.
pub fn ledger_partition() -> Partition {
    Partition { topic: Topic::Ledger, number: 0 }
}

/// The quarantine's first partition.
pub fn quarantine_partition() -> Partition {
    Partition { topic: Topic::Quarantine, number: 0 }
}

/// The last entries before `to`.
pub fn recent(to: u64) -> Vec<RecentEntry> {
    (to.saturating_sub(64)..to)
        .map(|offset| RecentEntry { offset, entry_id: Some(entry_id("entry", offset)) })
        .collect()
}

/// A version that an entry at `offset` of `partition` brings.
pub fn version(partition: &Partition, record: &str, version: u64, offset: u64) -> VersionRow {
    VersionRow {
        record_id: record.into(),
        version,
        record_type: TYPE.into(),
        department: DEPARTMENT.into(),
        event: if version == 1 { "issue" } else { "change" }.into(),
        status: "valid".into(),
        frozen: false,
        suspended: false,
        valid_from: Some("2023-06-12".into()),
        valid_until: None,
        iat: time(offset) / 1000,
        accepted_at: time(offset),
        kid: "kid-1".into(),
        submission_id: hash(record, version),
        content_digest: hash("content", offset),
        substance_digest: hash("substance", offset),
        erased: false,
        partition: partition.clone(),
        offset,
        key: format!("{record}@{version}@{offset}"),
        entry_id: entry_id("entry", offset),
        envelope: Bytes::from(format!("envelope of {record} {version}").repeat(20)),
    }
}

/// The head after a version.
pub fn head(row: &VersionRow, gap_version: Option<u64>) -> HeadRow {
    HeadRow {
        record_id: row.record_id.clone(),
        record_type: row.record_type.clone(),
        department: row.department.clone(),
        version: row.version,
        status: row.status.clone(),
        frozen: row.frozen,
        suspended: row.suspended,
        gap_version,
    }
}

/// The append of an entry whose bytes stand in `versions`.
pub fn append(row: &VersionRow) -> AppendRow {
    AppendRow {
        partition: row.partition.clone(),
        offset: row.offset,
        key: row.key.clone(),
        entry_id: row.entry_id,
        submission_id: Some(row.submission_id),
        record_id: Some(row.record_id.clone()),
        version: Some(row.version),
        envelope: None,
    }
}

/// What became of the submission that an entry brought.
pub fn outcome(row: &VersionRow, outcome: &str, head: u64) -> OutcomeRow {
    OutcomeRow {
        submission_id: row.submission_id,
        outcome: outcome.into(),
        reason: (outcome == "quarantined").then(|| "step_not_allowed".into()),
        record_id: row.record_id.clone(),
        version: row.version,
        head,
        partition: row.partition.clone(),
        offset: row.offset,
        at: row.accepted_at,
    }
}

/// All rows of an entry that is indexed. Holders end the spans before them; `None` keeps those of the version before.
pub fn indexed(row: &VersionRow, gap_version: Option<u64>, holders: Option<&[u64]>, identifiers: &[u64]) -> Rows {
    let mut rows = Rows {
        heads: vec![head(row, gap_version)],
        appends: vec![append(row)],
        outcomes: vec![outcome(row, "indexed", row.version)],
        closed_quarantine: vec![(row.department.clone(), row.record_id.clone(), row.version)],
        versions: vec![row.clone()],
        ..Rows::default()
    };
    if let Some(holders) = holders {
        rows.ended_spans.push((row.record_id.clone(), row.version));
        rows.holders.extend(holders.iter().map(|number| HolderRow {
            record_id: row.record_id.clone(),
            record_type: TYPE.into(),
            holder: hash("holder", *number),
            from_version: row.version,
        }));
        rows.identifiers.extend(identifiers.iter().map(|number| IdentifierRow {
            record_id: row.record_id.clone(),
            record_type: TYPE.into(),
            identifier: hash("identifier", *number),
            from_version: row.version,
        }));
    }
    rows
}

/// All rows of an entry that is not indexed: its append with the envelope, and its outcome.
pub fn refused(row: &VersionRow, word: &str, head: u64) -> Rows {
    Rows {
        appends: vec![AppendRow { envelope: Some(row.envelope.clone()), ..append(row) }],
        outcomes: vec![outcome(row, word, head)],
        ..Rows::default()
    }
}

/// Quarantine of a submission for a version of a record, refused at the door.
pub fn quarantine(record: &str, version: u64, offset: u64) -> QuarantineRow {
    QuarantineRow {
        id: hex::encode(hash("refused", offset)),
        department: DEPARTMENT.into(),
        sender: format!("{DEPARTMENT}/main"),
        record_type: TYPE.into(),
        record_id: record.into(),
        version,
        at: time(offset),
        stage: "content".into(),
        problems: r#"[{"pointer":"/fields/name","reason":"required","rule":"信"}]"#.into(),
        closed: false,
        partition: quarantine_partition(),
        offset,
    }
}

/// A ledger entry.
pub fn ledger(window: &str, request_id: &str, offset: u64) -> LedgerRow {
    LedgerRow {
        entry_id: entry_id("look", offset),
        offset,
        kind: "look".into(),
        window: window.into(),
        request_id: request_id.into(),
        holder: offset.is_multiple_of(2).then(|| hash("holder", offset)),
        records: r#"[["r1",1]]"#.into(),
        department: DEPARTMENT.into(),
        at: time(offset),
        envelope: Bytes::from(format!("ledger envelope {offset}")),
    }
}

/// The append of a ledger entry.
pub fn ledger_append(row: &LedgerRow) -> AppendRow {
    AppendRow {
        partition: ledger_partition(),
        offset: row.offset,
        key: row.entry_id.to_string(),
        entry_id: row.entry_id,
        submission_id: None,
        record_id: None,
        version: None,
        envelope: None,
    }
}

/// An alarm at an offset of a partition.
pub fn alarm(partition: &Partition, offset: u64) -> AlarmRow {
    AlarmRow {
        id: format!("conflict/{partition}/{offset}"),
        alarm: "conflict".into(),
        at: time(offset),
        partition: partition.clone(),
        offset,
        detail: "version 2 came twice".into(),
    }
}

/// Rows of several entries in one.
pub fn merge(parts: impl IntoIterator<Item = Rows>) -> Rows {
    let mut all = Rows::default();
    for part in parts {
        all.versions.extend(part.versions);
        all.heads.extend(part.heads);
        all.ended_spans.extend(part.ended_spans);
        all.holders.extend(part.holders);
        all.identifiers.extend(part.identifiers);
        all.appends.extend(part.appends);
        all.outcomes.extend(part.outcomes);
        all.quarantine.extend(part.quarantine);
        all.closed_quarantine.extend(part.closed_quarantine);
        all.ledger.extend(part.ledger);
        all.alarms.extend(part.alarms);
        all.stubs.extend(part.stubs);
    }
    all
}

/// A leaseholder that writes a partition entry by entry.
#[derive(Debug)]
pub struct Writer {
    /// The index it writes to.
    pub index: SharedIndex,
    /// The partition it works.
    pub partition: Partition,
    /// Where it is.
    pub next: u64,
}

impl Writer {
    /// Takes the lease for good.
    pub async fn new(index: &SharedIndex, partition: Partition) -> Self {
        let lease = index.lease(&partition, OWNER, time(0), i64::MAX).await.unwrap().expect("the lease is free");
        Self { index: index.clone(), partition, next: lease.next }
    }

    /// The step over the next `entries` entries.
    pub fn advance(&self, entries: u64) -> Advance {
        Advance {
            partition: self.partition.clone(),
            owner: OWNER.into(),
            from: self.next,
            to: self.next + entries,
            recent: recent(self.next + entries),
        }
    }

    /// Commits the rows of the next `entries` entries.
    pub async fn try_commit(&mut self, entries: u64, rows: &Rows) -> Result<(), Error> {
        let advance = self.advance(entries);
        self.index.commit(&advance, rows).await?;
        self.next = advance.to;
        Ok(())
    }

    /// The same, which must work.
    pub async fn commit(&mut self, entries: u64, rows: &Rows) {
        self.try_commit(entries, rows).await.unwrap();
    }

    /// Indexes the next entry as a version of a record, with these holders and identifiers.
    pub async fn index(
        &mut self,
        record: &str,
        number: u64,
        holders: Option<&[u64]>,
        identifiers: &[u64],
    ) -> VersionRow {
        let row = version(&self.partition, record, number, self.next);
        self.commit(1, &indexed(&row, None, holders, identifiers)).await;
        row
    }
}

/// A look at the head of a record.
pub fn at_record(record: &str) -> LookUp {
    LookUp { by: By::Record(record.into()), holder: None, as_of: None, version: None }
}

/// One look-up's answer.
pub async fn look(index: &dyn Index, look_up: LookUp) -> Vec<Found> {
    index.look(&[look_up]).await.unwrap().found.pop().unwrap()
}
