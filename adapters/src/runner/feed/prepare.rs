//! Rows mapped on a thread of their own, a few handfuls ahead of what is written: neither the spool nor the sending waits for them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Feed, Left};
use crate::{
    mapping::{Mapped, Mapper},
    order::{self, Key},
    problem::RowProblem,
    runner::Error,
    sealing::Sealer,
    source::{Item, Row, Rows, Unit},
};

/// Rows that become durable together.
const TOGETHER: usize = 256;
/// Handfuls that wait to be written.
const AHEAD: usize = 2;

/// What an item of the source says by itself, whatever was published before.
#[derive(Debug)]
pub(super) enum Prepared {
    Bad(RowProblem),
    Note(RowProblem),
    /// No record by the mapping's condition.
    Skipped,
    Row(Box<PreparedRow>),
}

#[derive(Debug)]
pub(super) struct PreparedRow {
    pub(super) line: u64,
    /// Which record it is about, as far as that can be told.
    pub(super) of: Option<(Key, String)>,
    pub(super) mapped: Result<Mapped, Vec<RowProblem>>,
}

/// The handfuls on their way. Dropping them stops the reading.
#[derive(Debug)]
pub(super) struct Handfuls(mpsc::Receiver<Result<Vec<Prepared>, Left>>);

impl Handfuls {
    /// The next one; an empty one is the end.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Prepared>, Left>> {
        self.0.recv().await
    }
}

impl Feed {
    /// The rows of a unit behind its first `after` items.
    pub(super) async fn handfuls(&self, unit: &Unit, after: u64) -> Result<Handfuls, Left> {
        let rows = self.source.rows(unit, self.mapper.columns()).await?;
        let (mapper, sealer) = (Arc::clone(&self.mapper), Arc::clone(&self.intake.sealer));
        let (sender, receiver) = mpsc::channel(AHEAD);
        let within_hours = self.within_hours();
        tokio::task::spawn_blocking(move || {
            let last = each_handful(rows, after, (&mapper, &sealer), &within_hours, &sender);
            // Nobody listens any more: the reading was stopped.
            let _ = sender.blocking_send(last.map(|()| Vec::new()));
        });
        Ok(Handfuls(receiver))
    }
}

fn each_handful(
    mut rows: Rows,
    after: u64,
    (mapper, sealer): (&Mapper, &Sealer),
    within_hours: &impl Fn() -> Result<(), Left>,
    sender: &mpsc::Sender<Result<Vec<Prepared>, Left>>,
) -> Result<(), Left> {
    for _ in 0..after {
        within_hours()?;
        if sender.is_closed() || rows.blocking_next()?.is_none() {
            return Ok(());
        }
    }
    let mut handful = Vec::with_capacity(TOGETHER);
    while let Some(item) = rows.blocking_next()? {
        within_hours()?;
        handful.push(prepare(item, mapper, sealer)?);
        if handful.len() == TOGETHER {
            let full = std::mem::replace(&mut handful, Vec::with_capacity(TOGETHER));
            if sender.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
        }
    }
    if !handful.is_empty() {
        // As above.
        let _ = sender.blocking_send(Ok(handful));
    }
    Ok(())
}

fn prepare(item: Item, mapper: &Mapper, sealer: &Sealer) -> Result<Prepared, Error> {
    Ok(match item {
        Item::Bad(problem) => Prepared::Bad(problem),
        Item::Note(problem) => Prepared::Note(problem),
        Item::Row(row) if !mapper.is_record(&row) => Prepared::Skipped,
        Item::Row(row) => Prepared::Row(Box::new(prepare_row(&row, mapper, sealer)?)),
    })
}

fn prepare_row(row: &Row, mapper: &Mapper, sealer: &Sealer) -> Result<PreparedRow, Error> {
    let of = match mapper.place(row) {
        Some((natural_key, _)) => {
            Some((order::key(&natural_key), sealer.record_id(mapper.record_type(), &natural_key)?))
        }
        None => None,
    };
    Ok(PreparedRow { line: row.line, of, mapped: mapper.map(row) })
}
