//! The first reading of a unit: its keys, how many of its rows fail, and the places of records that stand more than once. On a
//! thread of its own, so that nothing else of the adapter waits for it; what it found is kept until the unit is worked off.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Feed, Left, Work};
use crate::{
    mapping::{Changes, Mapper},
    order::{self, Count, Key, Plan, Sequence},
    problem::Refused,
    runner::{Error, judge::Judge},
    source::{Item, Row, Rows, Unit},
    spool,
};

/// A plan of more rows is not kept but made anew: with each of them something is held in memory.
const KEPT_ROWS: usize = 20_000;

/// What the first reading found.
#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    /// The configuration and the program that read it: by another one the unit is read from its beginning.
    by: String,
    rows: u64,
    /// Nothing where it was too long to keep.
    plan: Option<Plan>,
    generation: Option<i64>,
}

/// How far the rows of a unit are taken.
#[derive(Debug, Serialize, Deserialize)]
struct Reached {
    items: u64,
    line: u64,
    rows: u64,
    skipped: u64,
    mapped: u64,
    nameless: u64,
    changes: Changes,
}

/// One reading of a unit on a thread that may block.
struct Reading {
    rows: Rows,
    mapper: Arc<Mapper>,
    stop: CancellationToken,
    within_hours: Box<dyn Fn() -> Result<(), Left> + Send>,
}

impl Reading {
    fn each_place(
        mut self,
        mut see: impl FnMut(&Item),
        mut each: impl FnMut(Key, Option<i64>, &Row) -> Result<(), Refused>,
    ) -> Result<(), Left> {
        while let Some(item) = self.rows.blocking_next()? {
            if self.stop.is_cancelled() {
                return Err(Left::Stopped);
            }
            (self.within_hours)()?;
            see(&item);
            let Item::Row(row) = item else { continue };
            if !self.mapper.is_record(&row) {
                continue;
            }
            if let Some((natural_key, order)) = self.mapper.place(&row) {
                each(order::key(&natural_key), order, &row).map_err(Left::Refused)?;
            }
        }
        Ok(())
    }
}

impl Feed {
    /// Where the unit is to be read on: from its beginning after a first reading, or where its rows were taken before the adapter
    /// stopped.
    pub(super) async fn begin(&self, work: &mut Work, stop: &CancellationToken) -> Result<(), Left> {
        let (spool, name) = (&self.intake.spool, self.source.name());
        let kept = if self.stays { spool.reading(name, &work.digest).await? } else { None };
        let planned: Option<Planned> =
            kept.as_ref().map(|kept| serde_json::from_slice(&kept.planned)).transpose().map_err(spool::Error::from)?;
        if let Some((planned, kept)) = planned.filter(|planned| planned.by == self.by).zip(kept) {
            self.progress.planned(name, &work.unit.name, planned.rows);
            work.generation = planned.generation;
            work.plan = match planned.plan {
                Some(plan) => plan,
                None => self.places(&work.unit, self.repeated(&work.unit, false, stop).await?.1, stop).await?,
            };
            if let Some(reached) = kept.reached {
                let reached: Reached = serde_json::from_slice(&reached).map_err(spool::Error::from)?;
                tracing::info!(source = name, rows = reached.rows, of = planned.rows, "a unit is read on");
                work.go_on(reached);
            }
            return Ok(());
        }
        let (rows, repeated) = self.repeated(&work.unit, true, stop).await?;
        work.plan = self.places(&work.unit, repeated, stop).await?;
        if work.unit.whole && !work.again {
            work.generation = Some(spool.next_generation(name).await?);
        }
        if !self.stays {
            return Ok(());
        }
        let plan = (work.plan.rows() <= KEPT_ROWS).then(|| work.plan.clone());
        let planned = Planned { by: self.by.clone(), rows, plan, generation: work.generation };
        let planned = serde_json::to_vec(&planned).map_err(spool::Error::from)?;
        Ok(spool.begin_reading(name, &work.digest, &planned).await?)
    }

    /// How many rows there are, and the records that stand more than once; judged on request.
    async fn repeated(&self, unit: &Unit, judged: bool, stop: &CancellationToken) -> Result<(u64, HashSet<Key>), Left> {
        let of = Arc::clone(self.intake.sealer.record_type(self.mapper.record_type())?);
        let (now, percent) = (self.intake.clock.now().as_second(), self.max_failed_percent);
        let (mapper, mut count) = (Arc::clone(&self.mapper), Count::new(self.limits.max_rows));
        let mut rows = 0;
        let read = move |reading: Reading| {
            let mut judge = judged.then(|| Judge::new(&mapper, &of, now, percent));
            let add = |key, _, row: &Row| {
                rows += 1;
                count.add(key, row.line)
            };
            let see = |item: &Item| {
                if let Some(judge) = &mut judge {
                    judge.see(item);
                }
            };
            reading.each_place(see, add)?;
            match judge.and_then(Judge::verdict) {
                Some((refused, problems)) => Err(Left::Judged(refused, problems)),
                None => Ok((rows, count.repeated())),
            }
        };
        let (rows, repeated) = self.through(unit, stop, read).await?;
        self.progress.planned(self.source.name(), &unit.name, rows);
        Ok((rows, repeated))
    }

    /// The places of the records that stand more than once.
    async fn places(&self, unit: &Unit, repeated: HashSet<Key>, stop: &CancellationToken) -> Result<Plan, Left> {
        if repeated.is_empty() {
            return Ok(Plan::default());
        }
        let read = move |reading: Reading| {
            let mut plan = Plan::default();
            let add = |key, order, row: &Row| {
                if repeated.contains(&key) {
                    plan.add(key, order, row);
                }
                Ok(())
            };
            reading.each_place(|_| {}, add)?;
            Ok(plan.sorted())
        };
        self.through(unit, stop, read).await
    }

    /// Reads a unit through on a thread of its own, which ends with whoever waits for it.
    async fn through<T: Send + 'static>(
        &self,
        unit: &Unit,
        stop: &CancellationToken,
        read: impl FnOnce(Reading) -> Result<T, Left> + Send + 'static,
    ) -> Result<T, Left> {
        let stop = stop.child_token();
        let _ended = stop.clone().drop_guard();
        let rows = self.source.rows(unit, self.mapper.columns()).await?;
        let within_hours = Box::new(self.within_hours());
        let reading = Reading { rows, mapper: Arc::clone(&self.mapper), stop, within_hours };
        match tokio::task::spawn_blocking(move || read(reading)).await {
            Ok(read) => read,
            Err(failed) => Err(Left::Source(self.failed(std::io::Error::other(failed)))),
        }
    }

    /// Notes with the writes how far the rows are taken, where nothing of them is in memory alone.
    pub(super) async fn keep_place(&self, writes: &mut spool::Writes, work: &mut Work) -> Result<(), Error> {
        if work.plan.rows() == 0 {
            // Without a second row of its record none is asked for again.
            work.returned.clear();
        }
        if !self.stays || !work.sequence.is_clear() || !work.returned.is_empty() {
            return Ok(());
        }
        let reached = Reached {
            items: work.items,
            line: work.line,
            rows: work.rows,
            skipped: work.skipped,
            mapped: work.mapped,
            nameless: work.nameless,
            changes: work.changes.clone(),
        };
        let reached = serde_json::to_vec(&reached).map_err(spool::Error::from)?;
        Ok(self.intake.spool.reached(writes, &work.digest, &reached).await?)
    }
}

impl Work {
    fn go_on(&mut self, reached: Reached) {
        self.sequence = Sequence::after(&self.plan, reached.line);
        (self.items, self.line, self.rows) = (reached.items, reached.line, reached.rows);
        (self.skipped, self.mapped, self.nameless) = (reached.skipped, reached.mapped, reached.nameless);
        self.changes = reached.changes;
    }
}
