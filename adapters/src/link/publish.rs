//! The Publish stream: what the spool has goes up in batches, what the hub answers is settled, until told to stop.
//!
//! A stream that breaks is opened again with growing, random pauses; what was sent on it without an answer is sent
//! again, what has a receipt is watched. The hub recognises a repeat by its bytes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use weft_proto::v1::{
    PublishRequest, PublishResponse, Resend, Submission, publish_response::Kind, publishing_client::PublishingClient,
};

use super::{Error as LinkError, Link};
use crate::{
    clock::Chance,
    heads,
    intake::{self, Intake},
    runner::Progress,
    settle::{Left, Tally},
    spool,
};

/// Submissions of one batch.
const BATCH: u32 = 500;
/// Bytes of sealed records of one batch; the wire's own framing stays below the rest of 3 MiB.
const BATCH_BYTES: u64 = 3 * 1024 * 1024 - 64 * 1024;
/// Batches without an answer.
const UNANSWERED: usize = 4;
/// Answers settled in one write.
const TOGETHER: usize = 512;

/// How patient the sender is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first pause after a failure; each further one doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A batch without an answer for so long means a broken stream.
    pub answer_within: Duration,
    /// Without an outcome for so long a submission is sent again.
    pub outcome_within: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            answer_within: Duration::from_secs(60),
            outcome_within: Duration::from_secs(600),
        }
    }
}

/// Why publishing ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The link; another stream is tried.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A batch stayed without an answer; another stream is tried.
    #[error("a batch stayed without an answer")]
    Stalled,
    /// The hub ended the stream; another one is tried.
    #[error("the hub ended the stream")]
    Ended,
    /// Spool or sealing failed: publishing stops, nothing is lost.
    #[error(transparent)]
    Intake(#[from] intake::Error),
}

impl From<spool::Error> for Error {
    fn from(error: spool::Error) -> Self {
        Self::Intake(error.into())
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Link(status.into())
    }
}

/// Publishes what the spool has.
#[derive(Debug)]
pub struct Publisher {
    /// The way to the hub.
    pub link: Arc<Link>,
    /// The spool, and what seals anew.
    pub intake: Intake,
    /// Jitter.
    pub chance: Arc<dyn Chance>,
    /// Who is told.
    pub progress: Arc<dyn Progress>,
    /// How patient it is.
    pub pace: Pace,
    /// What was answered so far.
    pub tally: Mutex<Tally>,
}

/// One stream, as long as it lives.
struct Stream {
    requests: mpsc::Sender<PublishRequest>,
    channel: Channel,
    unanswered: BTreeMap<u64, Instant>,
    next_batch: u64,
    paused_until: Option<Instant>,
    more: bool,
}

impl Publisher {
    /// Publishes until `stop`.
    ///
    /// # Errors
    /// Spool or sealing failed. A hub that cannot be reached is no error: it is tried again.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), intake::Error> {
        let mut failures = 0_u32;
        loop {
            let before = *self.tally.lock().await;
            let ended = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ended = self.stream() => ended,
            };
            match ended {
                Err(Error::Intake(error)) if error.is_full() => {
                    self.intake.life.set_disk_full(true);
                    tracing::error!("the disk is full: nothing is sent until it has room");
                }
                Err(Error::Intake(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, failures, "the stream to the hub broke"),
                Ok(never) => match never {},
            }
            self.link.failed();
            let moved = *self.tally.lock().await != before;
            failures = if moved { 0 } else { failures.saturating_add(1) };
            let pause = pause(self.pace, failures, self.chance.as_ref());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One stream. Dropping it in the middle loses nothing: every step on the way is a write of the spool.
    async fn stream(&self) -> Result<std::convert::Infallible, Error> {
        let channel = self.link.connect().await?;
        self.intake.spool.back_to_ready().await?;
        let (requests, receiver) = mpsc::channel(UNANSWERED);
        let mut stream = Stream {
            requests,
            channel: channel.clone(),
            unanswered: BTreeMap::new(),
            next_batch: 1,
            paused_until: None,
            more: true,
        };
        // The hub may wait for the first message before it answers the call.
        let mut after = self.watch(&stream, 0).await?;
        let mut client = PublishingClient::new(channel).max_decoding_message_size(4 * 1024 * 1024);
        let answers = client.publish(ReceiverStream::new(receiver)).await?.into_inner();
        let mut answers = answers.ready_chunks(TOGETHER);
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Never waits for room: the hub may wait for its answers to be read first.
            while let Some(last) = after.filter(|_| stream.requests.capacity() > 0) {
                after = self.watch(&stream, last).await?;
            }
            self.fill(&mut stream).await?;
            let wait = stream.paused_until.map_or(Duration::from_secs(3600), |until| until - Instant::now());
            tokio::select! {
                chunk = answers.next() => {
                    let chunk = chunk.ok_or(Error::Ended)?;
                    let messages: Vec<PublishResponse> = chunk.into_iter().collect::<Result<_, _>>()?;
                    self.settle(&mut stream, messages).await?;
                }
                () = self.intake.spool.woken() => stream.more = true,
                () = tokio::time::sleep(wait), if stream.paused_until.is_some() => stream.paused_until = None,
                _ = tick.tick() => self.look_round(&mut stream).await?,
            }
        }
    }

    /// Asks for the outcomes of what has a receipt. Gives where to go on, until there are no more.
    async fn watch(&self, stream: &Stream, after: i64) -> Result<Option<i64>, Error> {
        let awaited = self.intake.spool.awaited(after, 1_000).await?;
        let last = awaited.last().map(|(seq, _)| *seq);
        if awaited.is_empty() && after > 0 {
            return Ok(None);
        }
        let watch = awaited.into_iter().map(|(_, id)| id.to_vec()).collect();
        let request = PublishRequest { batch: 0, submissions: Vec::new(), watch };
        stream.requests.send(request).await.map_err(|_| Error::Ended)?;
        Ok(last)
    }

    /// Sends batches while four or fewer are unanswered and there is something to send.
    async fn fill(&self, stream: &mut Stream) -> Result<(), Error> {
        let free = |stream: &Stream| stream.unanswered.len() < UNANSWERED && stream.requests.capacity() > 0;
        while stream.more && stream.paused_until.is_none() && free(stream) {
            let now_ms = self.intake.clock.now().as_millisecond();
            let batch = self.intake.spool.next_batch(BATCH, BATCH_BYTES, now_ms).await?;
            if batch.is_empty() {
                stream.more = false;
                return Ok(());
            }
            let submissions = batch.into_iter().map(|outgoing| Submission { sealed: outgoing.sealed }).collect();
            let number = stream.next_batch;
            stream.next_batch += 1;
            stream.unanswered.insert(number, Instant::now());
            let request = PublishRequest { batch: number, submissions, watch: Vec::new() };
            stream.requests.send(request).await.map_err(|_| Error::Ended)?;
        }
        Ok(())
    }

    /// Settles a handful of answers in one write.
    async fn settle(&self, stream: &mut Stream, messages: Vec<PublishResponse>) -> Result<(), Error> {
        let mut tally = *self.tally.lock().await;
        let mut left = Left::default();
        let mut writes = self.intake.spool.begin().await?;
        let mut resend = Vec::new();
        for message in messages {
            match message.kind {
                Some(Kind::Answer(answer)) => {
                    stream.unanswered.remove(&answer.batch);
                    for one in &answer.answers {
                        self.intake.answered(&mut writes, one, &mut tally, &mut left).await?;
                    }
                }
                Some(Kind::Outcome(outcome)) => {
                    self.intake.decided(&mut writes, &outcome, &mut tally, &mut left).await?;
                }
                Some(Kind::Resend(wanted)) => resend.push(wanted),
                None => {}
            }
        }
        self.intake.spool.commit(writes).await?;
        self.intake.spool.tell_settled();
        *self.tally.lock().await = tally;
        self.progress.answered(tally);
        for wanted in resend {
            self.resend(&wanted).await?;
        }
        if let Some(pause) = left.pause {
            stream.paused_until = Some(Instant::now() + pause);
        }
        self.ask_heads(stream, left).await?;
        stream.more = true;
        Ok(())
    }

    /// A request is told again on every stream of its first day, and answered once.
    async fn resend(&self, wanted: &Resend) -> Result<(), Error> {
        let since = wanted.since.unwrap_or_default();
        let fact = format!("resent:{}:{}.{:09}", wanted.record_types.join(","), since.seconds, since.nanos);
        let spool = &self.intake.spool;
        if spool.fact(&fact).await?.is_some() {
            return Ok(());
        }
        let since_ms = since.seconds * 1_000 + i64::from(since.nanos) / 1_000_000;
        let now_ms = self.intake.clock.now().as_millisecond();
        let count = spool.resend(&wanted.record_types, since_ms, now_ms).await?;
        spool.set_fact(&fact, &count.to_string()).await?;
        tracing::warn!(count, "the hub asked for released submissions again");
        Ok(())
    }

    /// The hub knows other heads than this state: it is asked, and what is under way is sealed anew behind them.
    async fn ask_heads(&self, stream: &Stream, left: Left) -> Result<(), Error> {
        for record_type in &left.ask_heads {
            heads::take_over(stream.channel.clone(), &self.intake.spool, record_type).await?;
        }
        if left.then_anew.is_empty() {
            return Ok(());
        }
        let mut writes = self.intake.spool.begin().await?;
        for record_id in &left.then_anew {
            self.intake.anew(&mut writes, record_id, 0).await?;
        }
        self.intake.spool.commit(writes).await?;
        Ok(())
    }

    /// What time alone brings: batches without an answer, submissions without an outcome, what is kept no longer.
    async fn look_round(&self, stream: &mut Stream) -> Result<(), Error> {
        let patience = self.pace.answer_within;
        if stream.unanswered.values().any(|sent| sent.elapsed() > patience) {
            return Err(Error::Stalled);
        }
        let now_ms = self.intake.clock.now().as_millisecond();
        let within = i64::try_from(self.pace.outcome_within.as_millis()).unwrap_or(i64::MAX);
        let again = self.intake.spool.send_again(now_ms - within, now_ms).await?;
        if again > 0 {
            tracing::warn!(again, "without an outcome for too long: sent again");
            stream.more = true;
        }
        Ok(())
    }
}

impl From<heads::Error> for Error {
    fn from(error: heads::Error) -> Self {
        match error {
            heads::Error::Link(error) => Self::Link(error),
            heads::Error::Spool(error) => error.into(),
        }
    }
}

/// Between half and the whole of the doubling pause, by chance.
pub(crate) fn pause(pace: Pace, failures: u32, chance: &dyn Chance) -> Duration {
    let whole = pace.first_pause.saturating_mul(1 << failures.min(16)).min(pace.longest_pause);
    let mut byte = [0; 1];
    // Without chance the whole pause is taken: only its spreading is lost.
    let part = if chance.fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 255 };
    whole / 2 + whole.mul_f64(f64::from(part) / 510.0)
}
