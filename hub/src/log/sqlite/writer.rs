//! The one writer: takes what is queued, stores it in one transaction, answers after the commit, keeps the
//! write-ahead log short.
//!
//! SQLite's own checkpoint at commit is off, because it swallows the error of an fsync; see [`Writer::checkpoint`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tracing::{error, warn};

use super::{
    checkpoint::{Checkpoint, Progress, checkpoint},
    directory::Directory,
    failure::{Failure, Stage},
    insert::insert,
    queue::{Answers, Job, Request, refused},
    topics::{self, EnsureError, Place, Topics},
};
use crate::log::{AppendError, Draft, Error, MAX_ENTRY_BYTES, Topic};

/// Requests are collected into one transaction up to this many bytes or drafts.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_DRAFTS: usize = 4000;
/// Pages are copied into the database after this many bytes, so that the write-ahead log's space is used again.
const COPY_AFTER_BYTES: usize = 4 << 20;
/// The write-ahead log is emptied when it is larger, when nothing was appended for so long, and at least so often: what
/// compaction replaced has then left both files.
const EMPTY_OVER_BYTES: i64 = 64 << 20;
const EMPTY_WHEN_IDLE: Duration = Duration::from_secs(2);
const EMPTY_EVERY: Duration = Duration::from_secs(60);
const EMPTY_AGAIN_AFTER_BUSY: Duration = Duration::from_secs(5);

/// Where a draft of a group goes, or why it does not.
type Planned = Result<(Place, u64), AppendError>;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) topics: Arc<Topics>,
    pub(super) poisoned: Arc<watch::Sender<bool>>,
    pub(super) page_bytes: i64,
    /// Held until the connection is closed.
    pub(super) directory: Directory,
    /// Why nothing is stored any more.
    pub(super) broken: Option<String>,
    /// Bytes committed since the last copy into the database.
    pub(super) uncopied: usize,
    /// When the write-ahead log is to be emptied; `None` while it is empty.
    pub(super) empty_at: Option<Instant>,
}

impl Writer {
    /// Works until it is closed or every sender is gone.
    pub(super) async fn run(mut self) {
        while let Some(job) = self.next().await {
            match job {
                Job::Append(request) => {
                    if let Some(other) = self.append(request).await
                        && let Some(done) = self.handle(other).await
                    {
                        return self.close(Some(done)).await;
                    }
                }
                other => {
                    if let Some(done) = self.handle(other).await {
                        return self.close(Some(done)).await;
                    }
                }
            }
        }
        self.close(None).await;
    }

    /// The next job; uses a pause to empty the write-ahead log.
    async fn next(&mut self) -> Option<Job> {
        if self.empty_at.is_some() && self.broken.is_none() {
            match timeout(EMPTY_WHEN_IDLE, self.jobs.recv()).await {
                Ok(job) => return job,
                Err(_) => self.checkpoint(Checkpoint::Empty).await,
            }
        }
        self.jobs.recv().await
    }

    /// Does one job by itself. Answers whom to tell when it was a close.
    async fn handle(&mut self, job: Job) -> Option<oneshot::Sender<Result<(), Error>>> {
        match job {
            Job::Append(request) => {
                let bytes = request.bytes;
                self.store(vec![request], bytes).await;
                None
            }
            Job::Ensure { topic, partitions, answer } => {
                let result = self.ensure(topic, partitions).await;
                // A caller that left needs no answer: the topic stands.
                drop(answer.send(result));
                None
            }
            Job::Close { done } => Some(done),
        }
    }

    /// Stores the request together with those behind it; hands back a job of another kind that it met.
    async fn append(&mut self, first: Request) -> Option<Job> {
        let (mut bytes, mut drafts) = (first.bytes, first.drafts.len());
        let mut group = vec![first];
        let mut other = None;
        while bytes < GROUP_BYTES && drafts < GROUP_DRAFTS {
            match self.jobs.try_recv() {
                Ok(Job::Append(request)) => {
                    bytes += request.bytes;
                    drafts += request.drafts.len();
                    group.push(request);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.store(group, bytes).await;
        other
    }

    async fn store(&mut self, group: Vec<Request>, bytes: usize) {
        let group = group.into_iter().filter(Request::claim).collect::<Vec<_>>();
        if let Some(why) = &self.broken {
            return group.into_iter().for_each(|request| {
                let count = request.drafts.len();
                request.answer(refused(count, why));
            });
        }
        let mut ends = Ends::default();
        let plan = group.iter().map(|request| plan(&self.topics, &mut ends, &request.drafts)).collect::<Vec<_>>();
        let stored = if ends.0.is_empty() { Ok(()) } else { self.commit(&group, &plan, &ends).await };
        match stored {
            Ok(()) => {
                ends.publish();
                for (request, plan) in group.into_iter().zip(plan) {
                    request.answer(plan.into_iter().map(|planned| planned.map(|(_, offset)| offset)).collect());
                }
                self.tidy(bytes).await;
            }
            Err(failure) => self.fail(group, plan, failure).await,
        }
    }

    /// One transaction for the whole group. Durable when this returns `Ok`.
    async fn commit(&mut self, group: &[Request], plan: &[Vec<Planned>], ends: &Ends) -> Result<(), Failure> {
        let before = |error| Failure::of(error, Stage::BeforeCommit);
        execute(&mut self.connection, "BEGIN IMMEDIATE").await.map_err(before)?;
        let drafts = group.iter().flat_map(|request| &request.drafts).zip(plan.iter().flatten());
        let placed = drafts.filter_map(|(draft, planned)| planned.as_ref().ok().map(|(place, at)| (draft, place, *at)));
        insert(&mut self.connection, &placed.collect::<Vec<_>>()).await.map_err(before)?;
        for (place, next) in ends.0.values() {
            advance(&mut self.connection, place, *next).await.map_err(before)?;
        }
        execute(&mut self.connection, "COMMIT").await.map_err(|error| Failure::of(error, Stage::Commit))
    }

    async fn fail(&mut self, group: Vec<Request>, plan: Vec<Vec<Planned>>, failure: Failure) {
        warn!(error = %failure.message, full = failure.full, breaks = failure.breaks, "append failed");
        self.recover(&failure).await;
        let answer = |planned: Planned| match planned {
            Ok(_) if failure.unknown => Err(AppendError::Unknown(failure.message.clone())),
            Ok(_) => Err(AppendError::NotAppended(failure.message.clone())),
            Err(error) => Err(error),
        };
        for (request, plan) in group.into_iter().zip(plan) {
            request.answer(plan.into_iter().map(answer).collect::<Answers>());
        }
    }

    /// Leaves the connection ready for the next transaction, or the log broken.
    async fn recover(&mut self, failure: &Failure) {
        if failure.breaks {
            return self.break_off(&failure.message);
        }
        self.roll_back().await;
        if failure.full && self.broken.is_none() {
            self.checkpoint(Checkpoint::Empty).await;
        }
    }

    async fn roll_back(&mut self) {
        // Some errors roll back by themselves.
        if let Err(error) = execute(&mut self.connection, "ROLLBACK").await
            && !Failure::no_transaction(&error)
        {
            self.break_off(&error.to_string());
        }
    }

    /// Nothing is stored from now on: what the disk holds is no longer known, and asking it again could be answered wrongly.
    fn break_off(&mut self, why: &str) {
        error!(error = why, "the log is broken, nothing is appended before a restart");
        self.broken.get_or_insert_with(|| format!("the log is broken: {why}"));
        self.poisoned.send_replace(true);
    }

    async fn ensure(&mut self, topic: Topic, partitions: u32) -> Result<(), Error> {
        if let Some(why) = &self.broken {
            return Err(Error::Unavailable(why.clone()));
        }
        match topics::ensure(&mut self.connection, &topic, partitions).await {
            Ok(state) => {
                self.topics.add(topic, state);
                Ok(())
            }
            Err(EnsureError::Differs(why)) => {
                self.roll_back().await;
                Err(Error::Unavailable(why))
            }
            Err(EnsureError::Database(failure)) => {
                self.recover(&failure).await;
                Err(Error::Unavailable(failure.message))
            }
        }
    }

    /// After a commit.
    async fn tidy(&mut self, bytes: usize) {
        let now = Instant::now();
        self.uncopied += bytes;
        let empty_at = *self.empty_at.get_or_insert(now + EMPTY_EVERY);
        if now >= empty_at {
            self.checkpoint(Checkpoint::Empty).await;
        } else if self.uncopied >= COPY_AFTER_BYTES {
            self.checkpoint(Checkpoint::Copy).await;
        }
    }

    /// Brings the pages of the write-ahead log into the database. A failed fsync here breaks the log as one at a commit
    /// does; that readers are in the way or the disk is full only puts it off.
    async fn checkpoint(&mut self, kind: Checkpoint) {
        match checkpoint(&mut self.connection, kind).await {
            Ok(Progress { busy: false, .. }) if kind == Checkpoint::Empty => {
                self.uncopied = 0;
                self.empty_at = None;
            }
            Ok(progress) => {
                self.uncopied = 0;
                let soon = Instant::now() + EMPTY_AGAIN_AFTER_BUSY;
                if kind == Checkpoint::Empty {
                    self.empty_at = Some(soon);
                } else if progress.frames * self.page_bytes > EMPTY_OVER_BYTES {
                    self.empty_at = Some(Instant::now());
                }
            }
            Err(error) => {
                let failure = Failure::of(error, Stage::BeforeCommit);
                self.uncopied = 0;
                self.empty_at = Some(Instant::now() + EMPTY_AGAIN_AFTER_BUSY);
                if failure.breaks {
                    self.break_off(&failure.message);
                } else {
                    warn!(error = %failure.message, "checkpoint of the log put off");
                }
            }
        }
    }

    async fn close(mut self, done: Option<oneshot::Sender<Result<(), Error>>>) {
        if self.broken.is_none() {
            self.checkpoint(Checkpoint::Empty).await;
        }
        let broken = self.broken.map_or(Ok(()), |why| Err(Error::Unavailable(why)));
        let closed = self.connection.close().await.map_err(|error| Error::Unavailable(error.to_string()));
        drop(self.directory);
        if let Some(done) = done {
            // Whoever asked may have left; the database is closed all the same.
            drop(done.send(broken.and(closed)));
        }
    }
}

/// The next offset of each partition that a group touches.
#[derive(Default)]
struct Ends(BTreeMap<(i64, u32), (Place, u64)>);

impl Ends {
    fn take(&mut self, place: &Place) -> u64 {
        let (_, next) =
            self.0.entry((place.topic.id, place.number)).or_insert_with(|| (place.clone(), place.committed_end()));
        let offset = *next;
        *next += 1;
        offset
    }

    /// Wakes the readers. Only after the commit.
    fn publish(&self) {
        for (place, next) in self.0.values() {
            place.end().send_replace(*next);
        }
    }
}

/// Gives each draft of one call its place. After one that cannot be stored, the later ones of its partition are not either.
fn plan(topics: &Topics, ends: &mut Ends, drafts: &[Draft]) -> Vec<Planned> {
    let mut stopped = Vec::new();
    let mut plan = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let planned = if stopped.contains(&&draft.partition) {
            Err("an earlier entry of the partition was not appended".into())
        } else if draft.bytes() > MAX_ENTRY_BYTES {
            Err(format!("entry of {} bytes is larger than {MAX_ENTRY_BYTES}", draft.bytes()))
        } else {
            topics.place(&draft.partition).map(|place| {
                let offset = ends.take(&place);
                (place, offset)
            })
        };
        if planned.is_err() {
            stopped.push(&draft.partition);
        }
        plan.push(planned.map_err(AppendError::NotAppended));
    }
    plan
}

const ADVANCE: &str = "-- log_advance
UPDATE partitions SET next_offset = ?3 WHERE topic = ?1 AND number = ?2 AND next_offset < ?3";

async fn advance(connection: &mut SqliteConnection, place: &Place, next: u64) -> Result<(), sqlx::Error> {
    let done = sqlx::query(ADVANCE)
        .bind(place.topic.id)
        .bind(place.number)
        .bind(next.cast_signed())
        .execute(connection)
        .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await.map(drop)
}
