//! The way to the writer: bounded in bytes and in number, and exact about what became of an append that was given up.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::log::{AppendError, Draft, Error, Topic};

/// Jobs that may wait besides those under work.
const JOBS: usize = 4096;

/// What an append answers, draft by draft.
pub(super) type Answers = Vec<Result<u64, AppendError>>;

/// One thing for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    Append(Request),
    Ensure { topic: Topic, partitions: u32, answer: oneshot::Sender<Result<(), Error>> },
    Close { done: oneshot::Sender<Result<(), Error>> },
}

/// Who decides about a queued request: whoever says so first.
#[derive(Debug)]
enum Party {
    Writer,
    Caller,
}

/// One call of `append` on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) drafts: Vec<Draft>,
    pub(super) bytes: usize,
    claim: Arc<OnceLock<Party>>,
    answer: oneshot::Sender<Answers>,
    _room: OwnedSemaphorePermit,
}

impl Request {
    /// Whether the writer may store it; from then on its caller can no longer take it back.
    pub(super) fn claim(&self) -> bool {
        self.claim.set(Party::Writer).is_ok()
    }

    /// Tells the caller, if it still waits.
    pub(super) fn answer(self, answers: Answers) {
        // A caller that gave up after the claim was told that the outcome is unknown, which is true.
        drop(self.answer.send(answers));
    }
}

/// The senders' end.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    timeout: Duration,
}

impl Queue {
    pub(super) fn new(bytes: u32, timeout: Duration) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(JOBS);
        let room_bytes = bytes.max(1);
        (Self { jobs, room: Arc::new(Semaphore::new(room_bytes as usize)), room_bytes, timeout }, receiver)
    }

    /// Hands the drafts to the writer and waits for its answer, both within the timeout.
    pub(super) async fn append(&self, drafts: Vec<Draft>) -> Answers {
        let count = drafts.len();
        if count == 0 {
            return Answers::new();
        }
        let deadline = Instant::now() + self.timeout;
        let claim = Arc::new(OnceLock::new());
        let (answer, answered) = oneshot::channel();
        match timeout_at(deadline, self.enqueue(drafts, claim.clone(), answer)).await {
            Ok(true) => {}
            Ok(false) => return refused(count, "the log is closed"),
            Err(_) => return refused(count, "the log's queue is full"),
        }
        if let Ok(Ok(answers)) = timeout_at(deadline, answered).await {
            return answers;
        }
        match claim.set(Party::Caller) {
            Ok(()) => refused(count, "the log did not take it in time"),
            Err(_) => vec![Err(AppendError::Unknown("the log did not answer in time".into())); count],
        }
    }

    async fn enqueue(&self, drafts: Vec<Draft>, claim: Arc<OnceLock<Party>>, answer: oneshot::Sender<Answers>) -> bool {
        let bytes = drafts.iter().map(Draft::bytes).sum::<usize>();
        // A call larger than the whole queue takes all of it.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.room_bytes);
        let Ok(room) = self.room.clone().acquire_many_owned(permits).await else { return false };
        self.jobs.send(Job::Append(Request { drafts, bytes, claim, answer, _room: room })).await.is_ok()
    }

    /// Has the writer make or check the topic.
    pub(super) async fn ensure(&self, topic: Topic, partitions: u32) -> Result<(), Error> {
        self.ask(|answer| Job::Ensure { topic, partitions, answer }).await
    }

    /// Has the writer finish what was queued before and close the database.
    pub(super) async fn close(&self) -> Result<(), Error> {
        self.ask(|done| Job::Close { done }).await
    }

    async fn ask(&self, job: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Job) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let closed = || Error::Unavailable("the log is closed".into());
        self.jobs.send(job(answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

/// The same refusal for every draft of a call.
pub(super) fn refused(count: usize, why: &str) -> Answers {
    vec![Err(AppendError::NotAppended(why.into())); count]
}
