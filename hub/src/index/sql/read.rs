//! Reading, besides looking up.

use std::collections::BTreeSet;

use super::{
    Engine, Error, cells,
    statement::{Args, Cells, Statement, Value, broken},
    statements as sql,
};
use crate::{
    clock::Millis,
    index::{
        Counts, Known, KnownQuery,
        rows::{
            AlarmRow, AppendRow, FleetRow, HeadEntry, LedgerRow, OutcomeRow, PositionRow, QuarantineRow, SubmissionId,
            VersionRow,
        },
    },
    log::Partition,
};

async fn rows<T: Send>(
    engine: &dyn Engine,
    statement: &Statement,
    args: Args,
    decode: fn(&mut Cells) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut session = engine.once().await?;
    let rows = session.rows(statement, args, decode).await?;
    session.commit().await?;
    Ok(rows)
}

async fn first<T: Send>(
    engine: &dyn Engine,
    statement: &Statement,
    args: impl Into<Vec<Value>>,
    decode: fn(&mut Cells) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    Ok(rows(engine, statement, Args::singles(args), decode).await?.into_iter().next())
}

async fn number(engine: &dyn Engine, statement: &Statement, args: impl Into<Vec<Value>>) -> Result<u64, Error> {
    first(engine, statement, args, Cells::count).await?.ok_or_else(|| broken("a row that always stands is missing"))
}

pub(super) async fn positions(engine: &dyn Engine) -> Result<Vec<PositionRow>, Error> {
    rows(engine, &sql::POSITIONS, Args::default(), cells::position).await
}

pub(super) async fn position(engine: &dyn Engine, partition: &Partition) -> Result<Option<PositionRow>, Error> {
    first(engine, &sql::POSITION, [(&partition.topic.name()).into(), partition.number.into()], cells::position).await
}

/// The leaseholder alone writes what it asks about, so the three statements need no snapshot; they have one all the same, since
/// an outcome may also come from the quarantine topic.
pub(super) async fn known(engine: &dyn Engine, queries: &[KnownQuery]) -> Result<Known, Error> {
    let records: BTreeSet<_> = queries.iter().map(|query| &query.record_id).collect();
    let pairs: BTreeSet<_> = queries.iter().map(|query| (&query.record_id, query.version)).collect();
    let submissions: BTreeSet<_> = queries.iter().map(|query| query.submission_id).collect();
    let records = records.into_iter().map(|record| vec![record.into()]).collect();
    let pairs = pairs.into_iter().map(|(record, version)| vec![record.into(), version.into()]).collect();
    let mut session = engine.snapshot().await?;
    let known = Known {
        heads: session.rows(&sql::KNOWN_HEADS, Args::batch(records), cells::head).await?,
        versions: session.rows(&sql::KNOWN_VERSIONS, Args::batch(pairs), cells::version).await?,
        outcomes: session.rows(&sql::OUTCOMES_OF, of_submissions(&submissions), cells::outcome).await?,
    };
    session.commit().await?;
    Ok(known)
}

fn of_submissions(submissions: &BTreeSet<SubmissionId>) -> Args {
    Args::batch(submissions.iter().map(|submission| vec![submission.into()]).collect())
}

pub(super) async fn outcomes(engine: &dyn Engine, submissions: &[SubmissionId]) -> Result<Vec<OutcomeRow>, Error> {
    let submissions = submissions.iter().copied().collect();
    rows(engine, &sql::OUTCOMES_OF, of_submissions(&submissions), cells::outcome).await
}

pub(super) async fn version(engine: &dyn Engine, record_id: &str, version: u64) -> Result<Option<VersionRow>, Error> {
    first(engine, &sql::VERSION, [record_id.into(), version.into()], cells::version).await
}

pub(super) async fn heads(
    engine: &dyn Engine,
    department: &str,
    record_type: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<HeadEntry>, Error> {
    let args = [department.into(), record_type.into(), after.unwrap_or_default().into(), limit.into()];
    rows(engine, &sql::HEADS_OF, Args::singles(args), cells::head_entry).await
}

pub(super) async fn registry_floor(engine: &dyn Engine) -> Result<u64, Error> {
    number(engine, &sql::FLOOR, []).await
}

pub(super) async fn ledger_of_requests(
    engine: &dyn Engine,
    requests: &[(String, String)],
) -> Result<Vec<LedgerRow>, Error> {
    let batch = requests.iter().map(|(window, request_id)| vec![window.into(), request_id.into()]).collect();
    rows(engine, &sql::LEDGER_OF_REQUESTS, Args::batch(batch), cells::ledger).await
}

pub(super) async fn ledger(engine: &dyn Engine, from: u64, limit: u32) -> Result<Vec<LedgerRow>, Error> {
    rows(engine, &sql::LEDGER_FROM, Args::singles([from.into(), limit.into()]), cells::ledger).await
}

pub(super) async fn quarantine(
    engine: &dyn Engine,
    department: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<QuarantineRow>, Error> {
    let args = [department.into(), after.unwrap_or_default().into(), limit.into()];
    rows(engine, &sql::QUARANTINE_PAGE, Args::singles(args), cells::quarantine).await
}

pub(super) async fn quarantine_open(engine: &dyn Engine, sender: &str) -> Result<u64, Error> {
    number(engine, &sql::QUARANTINE_OPEN_OF, [sender.into()]).await
}

pub(super) async fn refused_senders(
    engine: &dyn Engine,
    submissions: &[SubmissionId],
) -> Result<Vec<(SubmissionId, String)>, Error> {
    let batch = submissions.iter().map(|id| vec![(&hex::encode(id)).into()]).collect();
    rows(engine, &sql::REFUSED_SENDERS, Args::batch(batch), cells::refused_sender).await
}

pub(super) async fn alarms(engine: &dyn Engine, limit: u32) -> Result<Vec<AlarmRow>, Error> {
    rows(engine, &sql::ALARMS_NEWEST, Args::singles([limit.into()]), cells::alarm).await
}

pub(super) async fn appends_of(engine: &dyn Engine, record_id: &str, version: u64) -> Result<Vec<AppendRow>, Error> {
    rows(engine, &sql::APPENDS_OF, Args::singles([record_id.into(), version.into()]), cells::append).await
}

pub(super) async fn appends_in_quarantine(engine: &dyn Engine, key: &str) -> Result<Vec<AppendRow>, Error> {
    rows(engine, &sql::APPENDS_IN_QUARANTINE, Args::singles([key.into()]), cells::append).await
}

pub(super) async fn lost(engine: &dyn Engine, partition: &Partition, limit: u32) -> Result<Vec<AppendRow>, Error> {
    let args = [(&partition.topic.name()).into(), partition.number.into(), limit.into()];
    rows(engine, &sql::LOST_OF, Args::singles(args), cells::append).await
}

pub(super) async fn fleet(engine: &dyn Engine) -> Result<Vec<FleetRow>, Error> {
    let fleet = |cells: &mut Cells| -> Result<FleetRow, Error> {
        Ok(FleetRow { sender: cells.text()?, heard_at: cells.int()?, instance: cells.text()?, report: cells.bytes()? })
    };
    rows(engine, &sql::FLEET, Args::default(), fleet).await
}

pub(super) async fn clock(engine: &dyn Engine, statement: &Statement) -> Result<Millis, Error> {
    first(engine, statement, [], Cells::int).await?.ok_or_else(|| broken("the server does not tell its time"))
}

pub(super) async fn counts(engine: &dyn Engine) -> Result<Counts, Error> {
    let counts = |cells: &mut Cells| -> Result<Counts, Error> {
        Ok(Counts {
            versions: cells.count()?,
            records: cells.count()?,
            ledger: cells.count()?,
            quarantine_open: cells.count()?,
        })
    };
    first(engine, &sql::COUNTS, [], counts).await?.ok_or_else(|| broken("nothing was counted"))
}
