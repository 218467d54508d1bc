//! Rows to cells and back, in the order of the statements' columns.

use super::{
    Error,
    statement::{Cells, Value, broken},
};
use crate::{
    index::rows::{
        AlarmRow, AppendRow, HeadEntry, HeadRow, LedgerRow, OutcomeRow, PositionRow, QuarantineRow, RecentEntry,
        SubmissionId, VersionRow,
    },
    log::{EntryId, Partition, Topic},
};

pub(super) fn partition(cells: &mut Cells) -> Result<Partition, Error> {
    let name = cells.text()?;
    let topic = Topic::parse(&name).ok_or_else(|| broken("a topic's name is unknown"))?;
    let number = u32::try_from(cells.int()?).map_err(|_| broken("a partition's number is out of range"))?;
    Ok(Partition { topic, number })
}

fn entry_id(cells: &mut Cells) -> Result<EntryId, Error> {
    cells.hash().map(EntryId)
}

pub(super) fn position(cells: &mut Cells) -> Result<PositionRow, Error> {
    Ok(PositionRow {
        partition: partition(cells)?,
        next: cells.count()?,
        recent: serde_json::from_str(&cells.text()?)
            .map_err(|_| broken("the recent entries of a partition do not parse"))?,
        current: cells.flag()?,
        owner: cells.opt_text()?,
        lease_until: cells.int()?,
    })
}

/// The form in which the last entries of a partition are kept: the same on both engines, so that digests agree.
pub(super) fn recent(entries: &[RecentEntry]) -> Result<Value, Error> {
    serde_json::to_string(entries)
        .map(Value::Text)
        .map_err(|error| Error::Unavailable(format!("recent entries do not serialise: {error}")))
}

pub(super) fn version(cells: &mut Cells) -> Result<VersionRow, Error> {
    let record_id = cells.text()?;
    version_of(record_id, cells)
}

/// The rest of a version whose `record_id` was already taken.
pub(super) fn version_of(record_id: String, cells: &mut Cells) -> Result<VersionRow, Error> {
    Ok(VersionRow {
        record_id,
        version: cells.count()?,
        record_type: cells.text()?,
        department: cells.text()?,
        event: cells.text()?,
        status: cells.text()?,
        frozen: cells.flag()?,
        suspended: cells.flag()?,
        valid_from: cells.opt_text()?,
        valid_until: cells.opt_text()?,
        iat: cells.int()?,
        accepted_at: cells.int()?,
        kid: cells.text()?,
        submission_id: cells.hash()?,
        content_digest: cells.hash()?,
        substance_digest: cells.hash()?,
        erased: cells.flag()?,
        partition: partition(cells)?,
        offset: cells.count()?,
        key: cells.text()?,
        entry_id: entry_id(cells)?,
        envelope: cells.bytes()?,
    })
}

pub(super) fn of_version(row: &VersionRow) -> Vec<Value> {
    vec![
        (&row.record_id).into(),
        row.version.into(),
        (&row.record_type).into(),
        (&row.department).into(),
        (&row.event).into(),
        (&row.status).into(),
        row.frozen.into(),
        row.suspended.into(),
        row.valid_from.as_ref().into(),
        row.valid_until.as_ref().into(),
        row.iat.into(),
        row.accepted_at.into(),
        (&row.kid).into(),
        (&row.submission_id).into(),
        (&row.content_digest).into(),
        (&row.substance_digest).into(),
        row.erased.into(),
        (&row.partition.topic.name()).into(),
        row.partition.number.into(),
        row.offset.into(),
        (&row.key).into(),
        (&row.entry_id.0).into(),
        (&row.envelope).into(),
    ]
}

pub(super) fn head(cells: &mut Cells) -> Result<HeadRow, Error> {
    Ok(HeadRow {
        record_id: cells.text()?,
        record_type: cells.text()?,
        department: cells.text()?,
        version: cells.count()?,
        status: cells.text()?,
        frozen: cells.flag()?,
        suspended: cells.flag()?,
        gap_version: cells.opt_count()?,
    })
}

/// Without `gap_version`, which follows from the outcomes.
pub(super) fn of_head(row: &HeadRow) -> Vec<Value> {
    vec![
        (&row.record_id).into(),
        (&row.record_type).into(),
        (&row.department).into(),
        row.version.into(),
        (&row.status).into(),
        row.frozen.into(),
        row.suspended.into(),
    ]
}

pub(super) fn head_entry(cells: &mut Cells) -> Result<HeadEntry, Error> {
    Ok(HeadEntry {
        record_id: cells.text()?,
        version: cells.count()?,
        status: cells.text()?,
        substance_digest: cells.hash()?,
        iat: cells.int()?,
    })
}

pub(super) fn outcome(cells: &mut Cells) -> Result<OutcomeRow, Error> {
    Ok(OutcomeRow {
        submission_id: cells.hash()?,
        outcome: cells.text()?,
        reason: cells.opt_text()?,
        record_id: cells.text()?,
        version: cells.count()?,
        head: cells.count()?,
        partition: partition(cells)?,
        offset: cells.count()?,
        at: cells.int()?,
    })
}

pub(super) fn of_outcome(row: &OutcomeRow) -> Vec<Value> {
    vec![
        (&row.submission_id).into(),
        (&row.outcome).into(),
        row.reason.as_ref().into(),
        (&row.record_id).into(),
        row.version.into(),
        row.head.into(),
        (&row.partition.topic.name()).into(),
        row.partition.number.into(),
        row.offset.into(),
        row.at.into(),
    ]
}

pub(super) fn append(cells: &mut Cells) -> Result<AppendRow, Error> {
    Ok(AppendRow {
        partition: partition(cells)?,
        offset: cells.count()?,
        key: cells.text()?,
        entry_id: entry_id(cells)?,
        submission_id: cells.opt_hash()?,
        record_id: cells.opt_text()?,
        version: cells.opt_count()?,
        envelope: cells.opt_bytes()?,
    })
}

pub(super) fn of_append(row: &AppendRow) -> Vec<Value> {
    vec![
        (&row.partition.topic.name()).into(),
        row.partition.number.into(),
        row.offset.into(),
        (&row.key).into(),
        (&row.entry_id.0).into(),
        row.submission_id.as_ref().into(),
        row.record_id.as_ref().into(),
        row.version.into(),
        row.envelope.as_ref().into(),
    ]
}

pub(super) fn quarantine(cells: &mut Cells) -> Result<QuarantineRow, Error> {
    Ok(QuarantineRow {
        id: cells.text()?,
        department: cells.text()?,
        sender: cells.text()?,
        record_type: cells.text()?,
        record_id: cells.text()?,
        version: cells.count()?,
        at: cells.int()?,
        stage: cells.text()?,
        problems: cells.text()?,
        closed: cells.flag()?,
        partition: partition(cells)?,
        offset: cells.count()?,
    })
}

pub(super) fn refused_sender(cells: &mut Cells) -> Result<(SubmissionId, String), Error> {
    let mut id = [0; 32];
    hex::decode_to_slice(cells.text()?, &mut id).map_err(|_| broken("a quarantine id is no submission id"))?;
    Ok((id, cells.text()?))
}

pub(super) fn of_quarantine(row: &QuarantineRow) -> Vec<Value> {
    vec![
        (&row.id).into(),
        (&row.department).into(),
        (&row.sender).into(),
        (&row.record_type).into(),
        (&row.record_id).into(),
        row.version.into(),
        row.at.into(),
        (&row.stage).into(),
        (&row.problems).into(),
        row.closed.into(),
        (&row.partition.topic.name()).into(),
        row.partition.number.into(),
        row.offset.into(),
    ]
}

pub(super) fn ledger(cells: &mut Cells) -> Result<LedgerRow, Error> {
    Ok(LedgerRow {
        entry_id: entry_id(cells)?,
        offset: cells.count()?,
        kind: cells.text()?,
        window: cells.text()?,
        request_id: cells.text()?,
        holder: cells.opt_hash()?,
        records: cells.text()?,
        department: cells.text()?,
        at: cells.int()?,
        envelope: cells.bytes()?,
    })
}

pub(super) fn of_ledger(row: &LedgerRow) -> Vec<Value> {
    vec![
        (&row.entry_id.0).into(),
        row.offset.into(),
        (&row.kind).into(),
        (&row.window).into(),
        (&row.request_id).into(),
        row.holder.as_ref().into(),
        (&row.records).into(),
        (&row.department).into(),
        row.at.into(),
        (&row.envelope).into(),
    ]
}

pub(super) fn alarm(cells: &mut Cells) -> Result<AlarmRow, Error> {
    Ok(AlarmRow {
        id: cells.text()?,
        alarm: cells.text()?,
        at: cells.int()?,
        partition: partition(cells)?,
        offset: cells.count()?,
        detail: cells.text()?,
    })
}

pub(super) fn of_alarm(row: &AlarmRow) -> Vec<Value> {
    vec![
        (&row.id).into(),
        (&row.alarm).into(),
        row.at.into(),
        (&row.partition.topic.name()).into(),
        row.partition.number.into(),
        row.offset.into(),
        (&row.detail).into(),
    ]
}
