//! Writing: a commit and the small writes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    Engine, Error, Session, cells,
    statement::{Args, Statement, Value},
    statements as sql,
};
use crate::{
    clock::Millis,
    index::{
        Advance, KeyedHash,
        rows::{AlarmRow, AppendRow, FleetRow, OutcomeRow, PositionRow, Rows, Stub},
    },
    log::Partition,
};

/// [`crate::index::Index::commit`]: first the judge, then the rows.
pub(super) async fn commit(engine: &dyn Engine, advance: &Advance, rows: &Rows) -> Result<(), Error> {
    let mut session = engine.write().await?;
    let session_ref = session.as_mut();
    take_position(session_ref, advance).await?;
    insert_versions(session_ref, rows).await?;
    upsert_outcomes(session_ref, &rows.outcomes).await?;
    upsert_heads(session_ref, rows).await?;
    insert_appends(session_ref, rows).await?;
    let quarantine = last_of(&rows.quarantine, |row| row.id.clone());
    batch(session_ref, &sql::UPSERT_QUARANTINE, quarantine.into_iter().map(cells::of_quarantine)).await?;
    let closed = rows
        .closed_quarantine
        .iter()
        .map(|(department, record_id, version)| vec![department.into(), record_id.into(), (*version).into()]);
    batch(session_ref, &sql::CLOSE_QUARANTINE, closed).await?;
    batch(session_ref, &sql::INSERT_LEDGER, rows.ledger.iter().map(cells::of_ledger)).await?;
    batch(session_ref, &sql::INSERT_ALARMS, rows.alarms.iter().map(cells::of_alarm)).await?;
    take_stubs(session_ref, &rows.stubs).await?;
    session.commit().await?;
    if !rows.stubs.is_empty() {
        engine.scrub().await?;
    }
    Ok(())
}

async fn take_position(session: &mut dyn Session, advance: &Advance) -> Result<(), Error> {
    let args = Args::singles([
        (&advance.partition.topic.name()).into(),
        advance.partition.number.into(),
        (&advance.owner).into(),
        advance.from.into(),
        advance.to.into(),
        cells::recent(&advance.recent)?,
    ]);
    under_lease(session.run(&sql::ADVANCE, args).await?, &advance.partition)
}

/// Versions, and the spans of holders and identifiers.
async fn insert_versions(session: &mut dyn Session, rows: &Rows) -> Result<(), Error> {
    batch(session, &sql::INSERT_VERSIONS, rows.versions.iter().map(cells::of_version)).await?;

    // A first version ends nothing.
    let ended = || {
        let later = rows.ended_spans.iter().filter(|(_, version)| *version > 1);
        later.map(|(record_id, version)| vec![record_id.into(), (*version).into()])
    };
    batch(session, &sql::END_HOLDERS, ended()).await?;
    batch(session, &sql::END_IDENTIFIERS, ended()).await?;
    let ends = ends_by_record(&rows.ended_spans);
    let holders =
        rows.holders.iter().map(|row| span(&ends, &row.record_id, &row.record_type, &row.holder, row.from_version));
    batch(session, &sql::INSERT_HOLDERS, holders).await?;
    let identifiers = rows
        .identifiers
        .iter()
        .map(|row| span(&ends, &row.record_id, &row.record_type, &row.identifier, row.from_version));
    batch(session, &sql::INSERT_IDENTIFIERS, identifiers).await?;
    Ok(())
}

/// Stubs in the places of what they overwrite, last of all: they may overwrite what the same batch brought. What followed from an
/// overwritten entry goes too, because after compaction a rebuild knows nothing of it; only the version itself stays, and the outcome
/// that made it.
async fn take_stubs(session: &mut dyn Session, stubs: &[Stub]) -> Result<(), Error> {
    let place = |stub: &Stub| (stub.append.partition.clone(), stub.append.key.clone());
    let last = last_of(stubs, place);
    let stubs = || {
        last.iter().map(|stub| {
            let append = AppendRow {
                record_id: Some(stub.record_id.clone()),
                version: Some(stub.version),
                ..stub.append.clone()
            };
            cells::of_append(&append)
        })
    };
    for statement in [
        &sql::ERASE_VERSIONS,
        &sql::ERASE_HOLDERS,
        &sql::ERASE_IDENTIFIERS,
        &sql::FORGET_OUTCOMES,
        &sql::FORGET_QUARANTINE,
        &sql::FORGET_ALARMS,
        &sql::REPLACE_APPENDS,
        &sql::INSERT_STUBS,
    ] {
        batch(session, statement, stubs()).await?;
    }
    let records: BTreeSet<_> = last.iter().map(|stub| &stub.record_id).collect();
    let records: Vec<_> = records.into_iter().map(|record| vec![record.into()]).collect();
    batch(session, &sql::RENEW_GAPS, records.into_iter()).await
}

fn ends_by_record(ended: &[(String, u64)]) -> HashMap<&str, Vec<u64>> {
    let mut ends: HashMap<&str, Vec<u64>> = HashMap::new();
    for (record_id, version) in ended {
        ends.entry(record_id).or_default().push(*version);
    }
    ends
}

/// A span that begins in this batch may end in it too, with a later version of the same record.
fn span(
    ends: &HashMap<&str, Vec<u64>>,
    record_id: &String,
    record_type: &String,
    hash: &KeyedHash,
    from_version: u64,
) -> Vec<Value> {
    let until = ends.get(record_id.as_str()).into_iter().flatten().filter(|ends| **ends > from_version).min();
    vec![record_id.into(), record_type.into(), hash.into(), from_version.into(), until.copied().into()]
}

/// Outcomes in the order given: where a batch has several of one submission, each takes the place of the one before.
async fn upsert_outcomes(session: &mut dyn Session, outcomes: &[OutcomeRow]) -> Result<(), Error> {
    let mut waves: Vec<Vec<Vec<Value>>> = Vec::new();
    let mut seen: HashMap<&[u8; 32], usize> = HashMap::new();
    for row in outcomes {
        let wave = seen.entry(&row.submission_id).and_modify(|nth| *nth += 1).or_insert(0);
        if *wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[*wave].push(cells::of_outcome(row));
    }
    for wave in waves {
        session.run(&sql::KEEP_REPLACED_OUTCOMES, Args::batch(wave.clone())).await?;
        session.run(&sql::UPSERT_OUTCOMES, Args::batch(wave)).await?;
    }
    Ok(())
}

/// Heads, after the outcomes that their gaps follow from; a gap may also come or go without a new head.
async fn upsert_heads(session: &mut dyn Session, rows: &Rows) -> Result<(), Error> {
    let heads = last_of(&rows.heads, |row| row.record_id.clone());
    let known: HashSet<_> = heads.iter().map(|row| &row.record_id).collect();
    let others: BTreeSet<_> = rows.outcomes.iter().map(|row| &row.record_id).collect();
    let others = others.into_iter().filter(|record| !record.is_empty() && !known.contains(record));
    let others: Vec<_> = others.map(|record| vec![record.into()]).collect();
    batch(session, &sql::UPSERT_HEADS, heads.into_iter().map(cells::of_head)).await?;
    batch(session, &sql::RENEW_GAPS, others.into_iter()).await
}

/// Appends; an envelope that stands in `ledger` is not kept twice.
async fn insert_appends(session: &mut dyn Session, rows: &Rows) -> Result<(), Error> {
    let looks: HashSet<_> = rows.ledger.iter().map(|row| row.entry_id).collect();
    let appends = rows.appends.iter().map(|row| {
        let mut cells = cells::of_append(row);
        if let (true, Some(envelope)) = (looks.contains(&row.entry_id), cells.last_mut()) {
            *envelope = Value::Null;
        }
        cells
    });
    batch(session, &sql::INSERT_APPENDS, appends).await
}

/// Of rows with one key the last one: an upsert may not meet a key twice.
fn last_of<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    rows.iter().map(|row| (key(row), row)).collect::<BTreeMap<_, _>>().into_values().collect()
}

async fn batch(
    session: &mut dyn Session,
    statement: &Statement,
    rows: impl Iterator<Item = Vec<Value>> + Send,
) -> Result<(), Error> {
    session.run(statement, Args::batch(rows.collect())).await.map(|_| ())
}

/// A write that names its lease changes exactly one row of `positions`.
pub(super) fn under_lease(changed: u64, partition: &Partition) -> Result<(), Error> {
    if changed == 1 { Ok(()) } else { Err(Error::Stale(partition.to_string())) }
}

async fn one(engine: &dyn Engine, statement: &Statement, args: Args) -> Result<u64, Error> {
    let mut session = engine.write().await?;
    let changed = session.run(statement, args).await?;
    session.commit().await?;
    Ok(changed)
}

pub(super) async fn lease(
    engine: &dyn Engine,
    partition: &Partition,
    owner: &str,
    now: Millis,
    until: Millis,
) -> Result<Option<PositionRow>, Error> {
    let args = Args::singles([
        (&partition.topic.name()).into(),
        partition.number.into(),
        owner.into(),
        now.into(),
        until.into(),
    ]);
    let mut session = engine.write().await?;
    let taken = session.rows(&sql::TAKE_LEASE, args, cells::position).await?.pop();
    session.commit().await?;
    Ok(taken)
}

pub(super) async fn raise_alarms(engine: &dyn Engine, alarms: &[AlarmRow]) -> Result<(), Error> {
    let mut session = engine.write().await?;
    batch(session.as_mut(), &sql::INSERT_ALARMS, alarms.iter().map(cells::of_alarm)).await?;
    session.commit().await
}

pub(super) async fn release(engine: &dyn Engine, owner: &str) -> Result<(), Error> {
    one(engine, &sql::RELEASE_LEASES, Args::singles([owner.into()])).await.map(|_| ())
}

pub(super) async fn raise_registry_floor(engine: &dyn Engine, floor: u64) -> Result<(), Error> {
    one(engine, &sql::RAISE_FLOOR, Args::singles([floor.into()])).await.map(|_| ())
}

pub(super) async fn set_current(
    engine: &dyn Engine,
    partition: &Partition,
    owner: &str,
    current: bool,
) -> Result<(), Error> {
    let args = Args::singles([(&partition.topic.name()).into(), partition.number.into(), owner.into(), current.into()]);
    under_lease(one(engine, &sql::SET_CURRENT, args).await?, partition)
}

pub(super) async fn settle_lost(engine: &dyn Engine, lost: &AppendRow) -> Result<(), Error> {
    let args = Args::singles([
        (&lost.partition.topic.name()).into(),
        lost.partition.number.into(),
        lost.offset.into(),
        (&lost.entry_id.0).into(),
    ]);
    one(engine, &sql::SETTLE_LOST, args).await.map(|_| ())
}

pub(super) async fn put_fleet(engine: &dyn Engine, row: &FleetRow) -> Result<(), Error> {
    let args = [(&row.sender).into(), row.heard_at.into(), (&row.instance).into(), (&row.report).into()];
    one(engine, &sql::PUT_FLEET, Args::singles(args)).await.map(|_| ())
}

pub(super) async fn probe(engine: &dyn Engine) -> Result<(), Error> {
    let mut session = engine.write().await?;
    session.run(&sql::PROBE_WRITE, Args::default()).await?;
    session.run(&sql::PROBE_CLEAR, Args::default()).await?;
    session.commit().await
}
