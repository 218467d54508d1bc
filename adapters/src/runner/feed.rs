//! One source at work: unit after unit, row after row, into the spool.
//!
//! - `work`: a unit on its way, and why it is left
//! - `plan`: its first reading, and where a restart goes on
//! - `prepare`: its rows, mapped
//! - `bounds`: what keeps a source from being read on
//! - `vanished`: what is not in a whole snapshot any more

mod bounds;
mod plan;
mod prepare;
mod vanished;
mod work;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Progress};
use crate::{
    config::Limits,
    hours::Hours,
    intake::{Intake, Taken},
    keys::Directory,
    mapping::{Mapped, Mapper},
    order::Turn,
    problem::{Reason, Refused, RowProblem, report_csv},
    source::{self, Ending, Next, Source, SourceState, Unit},
    spool::{Digest, Origin, Writes},
};
use bounds::End;
use prepare::{Prepared, PreparedRow};
pub(super) use work::Fed;
use work::{Left, Look, Work};

/// A source and what its rows become.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) source: Box<dyn Source>,
    pub(super) mapper: Arc<Mapper>,
    /// The configuration and the program: what they read in part, another one reads from its beginning.
    pub(super) by: String,
    pub(super) intake: Intake,
    pub(super) limits: Limits,
    pub(super) hours: Hours,
    /// Its rows are read from the department's system, and not from what was fetched of it: its hours hold for them too.
    pub(super) reads_there: bool,
    /// A unit stays as it is, row by row, until it is finished: its reading can go on in the middle after a restart.
    pub(super) stays: bool,
    pub(super) poll: Duration,
    pub(super) max_failed_percent: u8,
    /// The unit in which almost every row fails, and what is told of it.
    pub(super) stopped: Option<(Digest, Refused)>,
    pub(super) progress: Arc<dyn Progress>,
    /// Its disk must keep some room.
    pub(super) directory: Directory,
}

impl Feed {
    /// Works off the source until told to stop, on a task of its own: neither it nor what is sent waits for the work of the other.
    pub(super) async fn watch_apart(self, stop: &CancellationToken) -> Result<(), Error> {
        let (mut apart, stop) = (JoinSet::new(), stop.clone());
        apart.spawn(async move { self.watch(&stop).await });
        match apart.join_next().await {
            Some(Ok(ended)) => ended,
            // It takes the adapter with it, as it would on this task.
            Some(Err(error)) => error.try_into_panic().map_or(Ok(()), |panic| std::panic::resume_unwind(panic)),
            None => Ok(()),
        }
    }

    /// Works off the source until told to stop.
    async fn watch(mut self, stop: &CancellationToken) -> Result<(), Error> {
        while !stop.is_cancelled() {
            if let Err(error) = self.work_off(stop, &mut Fed::default()).await {
                match error {
                    Error::Stopped => return Ok(()),
                    error if error.is_full() => {
                        self.intake.life.set_disk_full(true);
                        tracing::error!(
                            source = self.source.name(),
                            "the disk is full: reading waits until it has room"
                        );
                    }
                    Error::Source(error) => drop(self.unreachable(&error)),
                    error => return Err(error),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.intake.life.woken() => {}
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
        Ok(())
    }

    pub(super) fn tell_state(&self, state: &SourceState) {
        self.progress.state(self.source.name(), state);
    }

    /// Works off all that waits now, within the source's hours; `fed` is what was taken in, also before an error.
    pub(super) async fn work_off(&mut self, stop: &CancellationToken, fed: &mut Fed) -> Result<(), Error> {
        loop {
            if self.halted() || self.intake.life.disk_full() {
                return Ok(());
            }
            self.rewind().await?;
            if !self.hours.include(self.intake.clock.now()) {
                self.tell_state(&SourceState::Resting);
                return Ok(());
            }
            let (unit, unreadable) = match self.look(stop, fed).await? {
                Look::Unit(unit) => (unit, None),
                Look::Unreadable(unit, refused) => (unit, Some(refused)),
                Look::Again => continue,
                Look::Nothing => return Ok(()),
            };
            let digest = Intake::unit(&unit.digest, &self.mapper.digest());
            if self.is_stopped_at(digest) {
                return Ok(());
            }
            self.stopped = None;
            self.tell_state(&SourceState::Working);
            let ended = match unreadable {
                Some(refused) => Err(Left::Refused(refused)),
                None => self.unit(&unit, digest, stop).await,
            };
            match ended {
                Ok(work) => {
                    fed.rows += work.rows;
                    fed.skipped += work.skipped;
                    fed.mapped += work.mapped;
                }
                // Written to while it was read: it is read again when it rests.
                Err(Left::Refused(refused)) if refused.reason == Reason::ChangedWhileRead => continue,
                Err(Left::Refused(refused)) => self.refuse(&unit, digest, &refused).await?,
                Err(Left::Judged(refused, problems)) => self.stop_at(&unit, digest, refused, problems).await?,
                Err(Left::Source(error)) => return Err(error.into()),
                Err(Left::Ours(error)) => return Err(error),
                Err(Left::Stopped) => return Err(Error::Stopped),
                // It is offered again when the source goes on; within its hours only, which the next round says.
                Err(Left::Over) => {
                    fed.units.push(digest);
                    continue;
                }
                Err(Left::Halted) => {
                    fed.units.push(digest);
                    return Ok(());
                }
            }
            fed.units.push(digest);
        }
    }

    /// One look at the source, until it is to end.
    async fn look(&mut self, stop: &CancellationToken, fed: &mut Fed) -> Result<Look, Error> {
        let name = self.source.name().to_owned();
        let next = tokio::select! {
            next = self.source.next() => next?,
            end = bounds::end(&self.hours, &self.intake, &name, stop) => return match end {
                End::Stopped => Err(Error::Stopped),
                // What is said of it then is said at the next round.
                End::Halted | End::Over => Ok(Look::Again),
            },
        };
        match next {
            Next::Unit(unit) => Ok(Look::Unit(unit)),
            Next::Unreadable(unit, refused) => Ok(Look::Unreadable(unit, refused)),
            Next::Missing(refused) => {
                fed.failed.push(self.wait_for(refused));
                Ok(Look::Nothing)
            }
            Next::Nothing => {
                self.tell_state(&SourceState::Working);
                Ok(Look::Nothing)
            }
            Next::Later(wait) => tokio::select! {
                () = stop.cancelled() => Err(Error::Stopped),
                () = tokio::time::sleep(wait) => Ok(Look::Again),
            },
        }
    }

    async fn unit(&mut self, unit: &Unit, digest: Digest, stop: &CancellationToken) -> Result<Work, Left> {
        let again = self.is_again(unit, &digest).await?;
        let mut work = Work::begin(unit, digest, again);
        if self.is_done(unit, &digest, again).await? {
            let told = RowProblem::new(0, "", Reason::AlreadyDone).in_file(&unit.name);
            self.source.finish(unit, Ending::Done { report: report_csv(&[told]) }).await?;
            return Ok(work);
        }
        self.begin(&mut work, stop).await?;
        let mut handfuls = self.handfuls(unit, work.items).await?;
        loop {
            let handful = match handfuls.next().await {
                Some(handful) => handful?,
                None => return Err(Left::Source(self.failed(std::io::ErrorKind::UnexpectedEof.into()))),
            };
            if handful.is_empty() {
                break;
            }
            self.room(stop).await?;
            self.take_in(&mut work, handful).await?;
            self.progress.read(self.source.name(), &unit.name, work.rows, work.mapped);
        }
        let mut writes = self.intake.spool.begin().await?;
        for note in work.changes.notes() {
            self.tell(&mut writes, &work, None, note).await?;
        }
        self.intake.spool.commit(writes).await?;
        self.vanished(&work).await?;
        let now_ms = self.intake.clock.now().as_millisecond();
        let (name, spool) = (self.source.name(), &self.intake.spool);
        let whole = work.generation.is_some();
        spool.finish_unit(name, (&unit.name, &digest), (work.rows, work.mapped), whole, now_ms).await?;
        if work.generation.is_some() {
            spool.set_last_snapshot(name, &digest).await?;
        }
        let report = self.report(&digest).await?;
        self.source.finish(unit, Ending::Done { report }).await?;
        tracing::info!(source = self.source.name(), rows = work.rows, mapped = work.mapped, "a unit was worked off");
        Ok(work)
    }

    /// The reading itself failed: it is tried again.
    fn failed(&self, cause: std::io::Error) -> source::Error {
        source::Error { source_name: self.source.name().to_owned(), what: "reading its rows", cause }
    }

    /// Takes a handful of items in; all that comes of them is durable together, with how far the unit was read.
    async fn take_in(&self, work: &mut Work, handful: Vec<Prepared>) -> Result<(), Left> {
        let mut writes = self.intake.spool.begin().await?;
        for item in handful {
            work.items += 1;
            work.rows += u64::from(!matches!(item, Prepared::Note(_)));
            match item {
                Prepared::Bad(problem) => {
                    work.nameless += 1;
                    self.tell(&mut writes, work, None, problem).await?;
                }
                Prepared::Note(problem) => self.tell(&mut writes, work, None, problem).await?,
                Prepared::Skipped => work.skipped += 1,
                Prepared::Row(row) => self.row(&mut writes, work, *row).await?,
            }
        }
        self.keep_place(&mut writes, work).await?;
        self.intake.spool.commit(writes).await?;
        Ok(())
    }

    async fn row(&self, writes: &mut Writes, work: &mut Work, row: PreparedRow) -> Result<(), Left> {
        work.line = row.line;
        let record_id = row.of.as_ref().map(|(_, record_id)| record_id.as_str());
        let mapped = match row.mapped {
            Ok(mapped) => {
                work.mapped += 1;
                work.changes.add(mapped.line, &mapped.changed);
                Some(mapped)
            }
            Err(problems) => {
                for problem in problems {
                    self.tell(writes, work, record_id, problem).await?;
                }
                self.intake.life.row_refused(self.source.name());
                None
            }
        };
        let Some((key, record_id)) = row.of else {
            work.nameless += 1;
            return Ok(());
        };
        self.seen(writes, work, &record_id, row.line).await?;
        let rank = match work.plan.turn(key, row.line) {
            Turn::Version(rank) => rank,
            Turn::Duplicate => {
                let told = RowProblem::new(row.line, "", Reason::DuplicateRow).as_note();
                return self.tell(writes, work, Some(&record_id), told).await;
            }
            Turn::Superseded => {
                let told = RowProblem::new(row.line, "", Reason::SupersededInFile);
                return self.tell(writes, work, Some(&record_id), told).await;
            }
        };
        let ready = work.sequence.offer(&work.plan, key, rank, mapped).map_err(Left::Refused)?;
        for (rank, mut mapped) in ready {
            vanished::back(work, &record_id, &mut mapped);
            self.take(writes, work, &record_id, rank, &mapped).await?;
        }
        Ok(())
    }

    async fn take(&self, writes: &mut Writes, work: &Work, id: &str, rank: usize, row: &Mapped) -> Result<(), Left> {
        let source = self.source.name().to_owned();
        let origin = Origin { source, unit: work.digest, file: work.unit.name.clone(), line: row.line };
        let rank = i64::try_from(rank).unwrap_or(i64::MAX);
        if work.again && self.intake.spool.taken_later(writes, id, &work.digest).await? {
            return Ok(());
        }
        let taken = self.intake.take(writes, (self.mapper.record_type(), id), row, rank, &origin).await?;
        if let Taken::Not(reason) = taken {
            let told = RowProblem::new(row.line, "", reason);
            let back = reason == Reason::StatusFinal && work.returned.contains(id);
            let told = if back {
                told.because(
                    "该行曾消失并按规则转为事件，现又出现",
                    "its row had vanished and became an event, and is back",
                )
            } else {
                told
            };
            self.tell(writes, work, Some(id), told).await?;
        }
        Ok(())
    }

    async fn tell(&self, writes: &mut Writes, work: &Work, id: Option<&str>, problem: RowProblem) -> Result<(), Left> {
        let problem = problem.in_file(&work.unit.name);
        let now_ms = self.intake.clock.now().as_millisecond();
        self.intake.spool.add_problem(writes, (self.source.name(), &work.digest), id, &problem, now_ms).await?;
        Ok(())
    }

    async fn report(&self, digest: &Digest) -> Result<String, Error> {
        let problems: Vec<RowProblem> =
            self.intake.spool.problems(Some(digest)).await?.into_iter().map(|row| row.problem).collect();
        Ok(if problems.is_empty() { String::new() } else { report_csv(&problems) })
    }

    /// The unit as a whole was refused: it is put aside with its report, and stands among the problems.
    async fn refuse(&mut self, unit: &Unit, digest: Digest, refused: &Refused) -> Result<(), Error> {
        let problem = RowProblem::of_file(&unit.name, refused);
        let now_ms = self.intake.clock.now().as_millisecond();
        let mut writes = self.intake.spool.begin().await?;
        self.intake.spool.add_problem(&mut writes, (self.source.name(), &digest), None, &problem, now_ms).await?;
        self.intake.spool.commit(writes).await?;
        let report = self.report(&digest).await?;
        tracing::warn!(source = self.source.name(), reason = %refused.reason, line = refused.line, "a unit was refused");
        self.source.finish(unit, Ending::Failed { report }).await?;
        Ok(())
    }
}
