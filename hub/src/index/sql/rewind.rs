//! Going back to where index and log agree.

use std::collections::BTreeSet;

use super::{
    Engine, Error, Session, cells,
    commit::under_lease,
    statement::{Args, Cells, Value},
    statements as sql,
};
use crate::{
    index::rows::{RecentEntry, SubmissionId},
    log::{Partition, Topic},
};

/// How many records or submissions one statement restores.
const CHUNK: usize = 1000;

/// [`crate::index::Index::rewind`], in one transaction.
///
/// An erasure is never undone: where only the stub's entry was lost, its version stays erased.
pub(super) async fn rewind(
    engine: &dyn Engine,
    partition: &Partition,
    owner: &str,
    to: u64,
    recent: &[RecentEntry],
) -> Result<u64, Error> {
    let mut session = engine.write().await?;
    let changed = session.run(&sql::REWIND_POSITION, position_args(partition, owner, to, recent)?).await?;
    under_lease(changed, partition)?;

    let place = || Args::singles([(&partition.topic.name()).into(), partition.number.into(), to.into()]);
    session.run(&sql::TAKE_OUT_LOST, place()).await?;
    let gone = session.rows(&sql::REWIND_VERSIONS, place(), record_and_submission).await?;
    session.run(&sql::REWIND_REPLACED_OUTCOMES, place()).await?;
    let judged = session.rows(&sql::REWIND_OUTCOMES, place(), record_and_submission).await?;
    for statement in [&sql::REWIND_APPENDS, &sql::REWIND_QUARANTINE, &sql::REWIND_ALARMS] {
        session.run(statement, place()).await?;
    }
    if partition.topic == Topic::Ledger {
        session.run(&sql::REWIND_LEDGER, Args::singles([to.into()])).await?;
    }

    let submissions: BTreeSet<_> = gone.iter().chain(&judged).map(|(_, submission)| *submission).collect();
    restore_outcomes(session.as_mut(), submissions).await?;
    let records: BTreeSet<_> = gone.into_iter().chain(judged).map(|(record, _)| record).collect();
    restore_records(session.as_mut(), records).await?;

    let args = Args::singles([(&partition.topic.name()).into(), partition.number.into()]);
    let lost = session.rows(&sql::COUNT_LOST, args, Cells::count).await?.pop().unwrap_or(0);
    session.commit().await?;
    Ok(lost)
}

fn position_args(partition: &Partition, owner: &str, to: u64, recent: &[RecentEntry]) -> Result<Args, Error> {
    Ok(Args::singles([
        (&partition.topic.name()).into(),
        partition.number.into(),
        owner.into(),
        to.into(),
        cells::recent(recent)?,
    ]))
}

fn record_and_submission(cells: &mut Cells) -> Result<(String, SubmissionId), Error> {
    Ok((cells.text()?, cells.hash()?))
}

/// An outcome that is gone, or says `indexed` of a version that is gone, gives way to the one that it had replaced.
async fn restore_outcomes(session: &mut dyn Session, submissions: BTreeSet<SubmissionId>) -> Result<(), Error> {
    let rows: Vec<Vec<Value>> = submissions.iter().map(|submission| vec![submission.into()]).collect();
    for chunk in rows.chunks(CHUNK) {
        for statement in [&sql::REWIND_OUTCOMES_OF, &sql::RESTORE_OUTCOMES, &sql::FORGET_RESTORED_OUTCOMES] {
            session.run(statement, Args::batch(chunk.to_vec())).await?;
        }
    }
    Ok(())
}

/// Heads, holders, identifiers and closed quarantine entries follow from the versions and gaps that still stand.
async fn restore_records(session: &mut dyn Session, records: BTreeSet<String>) -> Result<(), Error> {
    let rows: Vec<Vec<Value>> =
        records.iter().filter(|record| !record.is_empty()).map(|record| vec![record.into()]).collect();
    for chunk in rows.chunks(CHUNK) {
        for statement in [
            &sql::REWIND_HOLDERS,
            &sql::REOPEN_HOLDERS,
            &sql::REWIND_IDENTIFIERS,
            &sql::REOPEN_IDENTIFIERS,
            &sql::RESTORE_HEADS,
            &sql::DROP_EMPTY_HEADS,
            &sql::REOPEN_QUARANTINE,
        ] {
            session.run(statement, Args::batch(chunk.to_vec())).await?;
        }
    }
    Ok(())
}
