//! The Publishing service: the wire of [`crate::publish`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weft_proto::{
    Reason, Refusal,
    v1::{
        self, PublishRequest, PublishResponse, publish_response::Kind, publishing_server::Publishing as PublishingApi,
    },
};
use weft_record::{record_id::RecordId, verify::Sender};

use super::{
    auth::{Authenticator, sender},
    messages::{outcome_message, submission_answer},
};
use crate::{
    apply::outcome,
    clock::SharedClock,
    follow::Follower,
    identity::Caller,
    index::{
        Error as IndexError, SharedIndex,
        rows::{OutcomeRow, SubmissionId},
    },
    keys::Keys,
    log::Topic,
    publish::{Answer, Publisher},
    query::{page, timestamp},
    registry::RegistryView,
};

/// Submissions in a batch.
pub const BATCH: usize = 500;
/// Bytes of a batch's submissions.
pub const BATCH_BYTES: usize = 3 << 20;
/// Batches of a stream that are worked on at a time; a further one waits in flow control.
const IN_FLIGHT: usize = 4;
/// Submissions whose outcomes a stream waits for at most.
const WATCHED: usize = 50_000;
/// How often it is asked whether the caller of a stream without batches is still in force.
const IDLE: Duration = Duration::from_secs(5);
/// How many outcomes are asked for at a time.
const OUTCOMES: usize = 1000;

/// The service.
#[derive(Clone, Debug)]
pub struct Publishing {
    publisher: Arc<Publisher>,
    index: SharedIndex,
    registry: Arc<RegistryView>,
    follower: Arc<Follower>,
    authenticator: Arc<Authenticator>,
    keys: Arc<Keys>,
    clock: SharedClock,
}

type Out = mpsc::Sender<Result<PublishResponse, Status>>;

/// What a stream waits for the outcomes of, the longest unasked first.
#[derive(Debug, Default)]
struct Watched {
    order: VecDeque<SubmissionId>,
    known: HashSet<SubmissionId>,
}

impl Watched {
    fn add(&mut self, ids: impl IntoIterator<Item = SubmissionId>) {
        for id in ids {
            if self.order.len() < WATCHED && self.known.insert(id) {
                self.order.push_back(id);
            }
        }
    }

    /// The next ones to be asked about; they go to the end, so that none that waits long keeps others from being asked.
    fn next(&mut self) -> Vec<SubmissionId> {
        let count = self.order.len().min(OUTCOMES);
        let asked: Vec<SubmissionId> = self.order.drain(..count).collect();
        self.order.extend(&asked);
        asked
    }

    fn done(&mut self, ids: &HashSet<SubmissionId>) {
        if !ids.is_empty() {
            self.order.retain(|id| !ids.contains(id));
            self.known.retain(|id| !ids.contains(id));
        }
    }
}

impl Publishing {
    /// Over these parts.
    pub fn new(
        publisher: Arc<Publisher>,
        index: SharedIndex,
        registry: Arc<RegistryView>,
        follower: Arc<Follower>,
        authenticator: Arc<Authenticator>,
        keys: Arc<Keys>,
        clock: SharedClock,
    ) -> Self {
        Self { publisher, index, registry, follower, authenticator, keys, clock }
    }

    /// One stream: batches in, answers and outcomes out, until the adapter ends it or its identity is cut off.
    async fn stream(self, caller: Caller, sender: Sender, mut requests: Streaming<PublishRequest>, out: Out) {
        let watched = Arc::new(Mutex::new(Watched::default()));
        let outcomes = tokio::spawn(self.clone().tell_outcomes(sender.clone(), Arc::clone(&watched), out.clone()));
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut batches = tokio::task::JoinSet::new();
        let ended = loop {
            let next = tokio::select! {
                next = requests.message() => next,
                () = tokio::time::sleep(IDLE) => match self.authenticator.still_in_force(&caller) {
                    Ok(()) => continue,
                    Err(refusal) => break Some(refusal),
                },
                () = out.closed() => break None,
            };
            let request = match next {
                Ok(Some(request)) => request,
                Ok(None) => break None,
                Err(status) if status.code() == tonic::Code::OutOfRange => break Some(too_large()),
                // Where the connection is lost nobody hears this.
                Err(status) => break Some(Refusal::new(Reason::BadRequest).detail(status.message())),
            };
            if let Err(refusal) = self.authenticator.still_in_force(&caller).and_then(|()| check_batch(&request)) {
                break Some(refusal);
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break None };
            let work = self.clone().one_batch(sender.clone(), request, Arc::clone(&watched), out.clone());
            batches.spawn(async move {
                work.await;
                drop(place);
            });
            while batches.try_join_next().is_some() {}
        };
        while batches.join_next().await.is_some() {}
        if let Some(refusal) = ended {
            // The receiver may be gone: then the adapter has closed the stream itself.
            let _ = out.send(Err(refusal.into())).await;
            outcomes.abort();
        } else {
            self.only_outcomes(&caller, outcomes, &out).await;
        }
    }

    /// The adapter sends no more; it still gets the outcomes of what it sent, as long as it listens and is in force.
    async fn only_outcomes(&self, caller: &Caller, mut outcomes: tokio::task::JoinHandle<()>, out: &Out) {
        loop {
            tokio::select! {
                _ = &mut outcomes => return,
                () = tokio::time::sleep(IDLE) => {}
            }
            if let Err(refusal) = self.authenticator.still_in_force(caller) {
                let _ = out.send(Err(refusal.into())).await;
                return outcomes.abort();
            }
        }
    }

    async fn one_batch(self, sender: Sender, request: PublishRequest, watched: Arc<Mutex<Watched>>, out: Out) {
        let PublishRequest { batch, submissions, watch } = request;
        let asked = watch.into_iter().filter_map(|id| id.try_into().ok());
        lock(&watched).add(asked);
        if submissions.is_empty() {
            return;
        }
        let sealed = submissions.into_iter().map(|submission| submission.sealed).collect();
        let answers = self.publisher.publish(&sender, sealed).await;
        let received = answers.iter().filter(|(_, answer)| matches!(answer, Answer::Receipt { .. })).map(|(id, _)| *id);
        lock(&watched).add(received.collect::<Vec<_>>());
        let answers = answers.into_iter().map(|(id, answer)| submission_answer(id, answer)).collect();
        let answer = Kind::Answer(v1::BatchAnswer { batch, answers });
        // The receiver may be gone: the adapter asks again for what it has no answer to.
        let _ = out.send(Ok(PublishResponse { kind: Some(answer) })).await;
    }

    /// Sends each outcome once, as it becomes known at whichever instance; and the department's resend requests.
    async fn tell_outcomes(self, sender: Sender, watched: Arc<Mutex<Watched>>, out: Out) {
        let mut committed = self.follower.committed();
        let mut resends = self.old_resends(&sender);
        loop {
            if self.tell_resends(&sender, &mut resends, &out).await.is_err() {
                return;
            }
            let asked = lock(&watched).next();
            if !asked.is_empty() {
                match self.index.outcomes(&asked).await {
                    Ok(rows) => {
                        let settled: Vec<_> = rows.into_iter().filter(is_told).collect();
                        let ids = settled.iter().map(|row| row.submission_id).collect();
                        lock(&watched).done(&ids);
                        let full = settled.len() == OUTCOMES;
                        for row in settled.into_iter().filter(|row| is_of(row, &sender)) {
                            let kind = Some(Kind::Outcome(outcome_message(row)));
                            if out.send(Ok(PublishResponse { kind })).await.is_err() {
                                return;
                            }
                        }
                        if full {
                            continue;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "outcomes cannot be read"),
                }
            }
            // Another instance may apply what this one appended: then only the clock brings the next try.
            tokio::select! {
                () = out.closed() => return,
                _ = committed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    /// Those of the sender's department. A submission id is a hash of sealed bytes: who has it may have the record, and what became of
    /// another department's is still none of its business. Of what was refused at the door the sender counts, whatever the bytes say.
    async fn own(&self, rows: Vec<OutcomeRow>, sender: &Sender) -> Result<Vec<OutcomeRow>, IndexError> {
        let at_the_door = |row: &&OutcomeRow| row.partition.topic == Topic::Quarantine;
        let refused: Vec<SubmissionId> = rows.iter().filter(at_the_door).map(|row| row.submission_id).collect();
        let senders: HashMap<SubmissionId, String> = if refused.is_empty() {
            HashMap::new()
        } else {
            self.index.refused_senders(&refused).await?.into_iter().collect()
        };
        let is_own = |row: &OutcomeRow| match row.partition.topic {
            Topic::Quarantine => senders.get(&row.submission_id) == Some(&sender.department),
            _ => is_of(row, sender),
        };
        Ok(rows.into_iter().filter(is_own).collect())
    }

    /// Resend requests older than a day are not told again to a stream that begins.
    fn old_resends(&self, _sender: &Sender) -> usize {
        let registry = self.registry.snapshot();
        let since = self.clock.now() - 86_400_000;
        registry.resends.iter().take_while(|(at, _)| *at < since).count()
    }

    async fn tell_resends(&self, sender: &Sender, told: &mut usize, out: &Out) -> Result<(), ()> {
        let registry = self.registry.snapshot();
        for (_, resend) in registry.resends.iter().skip(*told).filter(|(_, one)| one.department == sender.department) {
            let kind = Kind::Resend(v1::Resend {
                record_types: resend.record_types.clone(),
                since: Some(timestamp(resend.since)),
            });
            out.send(Ok(PublishResponse { kind: Some(kind) })).await.map_err(|_| ())?;
        }
        *told = registry.resends.len();
        Ok(())
    }
}

fn lock(watched: &Mutex<Watched>) -> std::sync::MutexGuard<'_, Watched> {
    // Nothing that can panic runs under this lock.
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a stream is told this outcome. What was refused at the door was answered there; were the same bytes taken later (a key that
/// was confirmed meanwhile), only the outcome of that entry may release them.
fn is_told(row: &OutcomeRow) -> bool {
    row.outcome != outcome::PENDING && row.partition.topic != Topic::Quarantine
}

/// Whether the record of an outcome is of the sender's department.
fn is_of(row: &OutcomeRow, sender: &Sender) -> bool {
    row.record_id.parse::<RecordId>().is_ok_and(|id| id.department() == sender.department)
}

fn too_large() -> Refusal {
    Refusal::new(Reason::TooLarge).detail(format!("at most {BATCH} submissions and {BATCH_BYTES} bytes a batch"))
}

fn check_batch(request: &PublishRequest) -> Result<(), Refusal> {
    let bytes: usize = request.submissions.iter().map(|submission| submission.sealed.len()).sum();
    let fits = request.submissions.len() <= BATCH && bytes <= BATCH_BYTES && request.watch.len() <= WATCHED;
    if fits { Ok(()) } else { Err(too_large()) }
}

#[tonic::async_trait]
impl PublishingApi for Publishing {
    type PublishStream = ReceiverStream<Result<PublishResponse, Status>>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let (caller, sender) = sender(&request)?;
        let (out, answers) = mpsc::channel(64);
        tokio::spawn(self.clone().stream(caller, sender, request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn heads(&self, request: Request<v1::HeadsRequest>) -> Result<Response<v1::HeadsResponse>, Status> {
        let (_, sender) = sender(&request)?;
        let request = request.into_inner();
        let owns = |registry: &crate::registry::Registry| {
            let department = registry.departments.get(&sender.department);
            department.is_some_and(|department| department.record_types.contains(&request.record_type))
        };
        if !owns(&self.registry.snapshot()) {
            self.registry.confirm().await;
            if !owns(&self.registry.snapshot()) {
                return Err(Refusal::new(Reason::NotYourType)
                    .field("record_type", "is not of the caller's department")
                    .into());
            }
        }
        let limit = page::size(request.page_size, 500, 1000)?;
        let caller = sender.department.as_str();
        let after = page::after(&self.keys, caller, &request.record_type, &request.page_token)?;
        if after.is_none() {
            self.follower.catch_up(&request.record_type).await?;
        }
        let heads =
            self.index.heads(caller, &request.record_type, after.as_deref(), limit).await.map_err(Refusal::from)?;
        let full = heads.len() == limit as usize;
        let next = heads.last().filter(|_| full);
        let next =
            next.map(|last| page::token(&self.keys, caller, &request.record_type, &last.record_id)).unwrap_or_default();
        let heads = heads.into_iter().map(|head| v1::Head {
            record_id: head.record_id,
            version: head.version,
            status: head.status,
            substance_digest: head.substance_digest.to_vec(),
            iat: head.iat,
        });
        Ok(Response::new(v1::HeadsResponse { heads: heads.collect(), next_page_token: next }))
    }

    async fn outcome_of(
        &self,
        request: Request<v1::OutcomeOfRequest>,
    ) -> Result<Response<v1::OutcomeOfResponse>, Status> {
        let (_, sender) = sender(&request)?;
        let request = request.into_inner();
        if request.submission_ids.len() > OUTCOMES {
            return Err(Refusal::new(Reason::BadRequest).field("submission_ids", format!("at most {OUTCOMES}")).into());
        }
        let ids: Vec<SubmissionId> = request.submission_ids.into_iter().filter_map(|id| id.try_into().ok()).collect();
        let rows = self.index.outcomes(&ids).await.map_err(Refusal::from)?;
        let own = self.own(rows, &sender).await.map_err(Refusal::from)?;
        Ok(Response::new(v1::OutcomeOfResponse { outcomes: own.into_iter().map(outcome_message).collect() }))
    }
}
