//! A department's client: seals versions one after another, sends them until each has a certain answer, and waits for
//! the outcome of a version before it seals the next of the same record.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weft_proto::v1::{
    self, OutcomeKind, PublishResponse, publish_response::Kind, publishing_client::PublishingClient, submission_answer,
};
use weft_record::{
    digest::DigestKey,
    keys::KeySet,
    status::{Event, Status},
    verify::{submission_id, verify_presentation},
};

use super::{Desk, Plan, Target};
use crate::{
    department::{Example, Sealed, TestDepartment},
    history::{Answer, Call, Op},
};

/// Batches that the hub works on at a time.
const BATCHES: usize = 4;
/// How long the hub may be away.
const AWAY: Duration = Duration::from_secs(60);

type Id = [u8; 32];

#[derive(Debug)]
enum State {
    /// To be sent, for the first time or again.
    Unsent,
    Sent(Op),
    /// It has its receipt.
    Received,
}

#[derive(Debug)]
struct Item {
    sealed: Sealed,
    number: u32,
    uscc: String,
    digest: String,
    state: State,
    /// When it was sent for the first time, and for the last.
    epochs: Option<(u64, u64)>,
    /// Its outcome has come, maybe before its receipt.
    settled: bool,
}

pub(super) struct Publisher {
    desk: Desk,
    plan: Plan,
    department: Arc<TestDepartment>,
    digest: DigestKey,
    keys: KeySet,
    /// Records whose next version may be sealed, with the number of their last one.
    idle: VecDeque<(u32, u64)>,
    pending: HashMap<Id, Item>,
    unsent: VecDeque<Id>,
    /// What the hub asked to have again later.
    later: VecDeque<(Instant, Id)>,
    sent: usize,
    batch: u64,
}

impl Publisher {
    pub(super) fn new(desk: Desk, plan: Plan, department: Arc<TestDepartment>) -> Self {
        Self {
            digest: DigestKey::of_department(&department.secret),
            keys: KeySet::new([department.key.verifying_key().clone()]),
            idle: plan.records.clone().map(|number| (number, 0)).collect(),
            pending: HashMap::new(),
            unsent: VecDeque::new(),
            later: VecDeque::new(),
            sent: 0,
            batch: 0,
            desk,
            plan,
            department,
        }
    }

    /// Publishes until the plan is done or the load ends; connects again whenever the stream breaks.
    pub(super) async fn run(mut self) {
        let cut = self.desk.cut.clone();
        while !self.is_done() {
            let ended = tokio::select! {
                () = cut.cancelled() => return self.forget("cut off"),
                ended = self.stream() => ended,
            };
            if let Err(why) = ended {
                self.forget(&why);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty() && (self.idle.is_empty() || self.desk.finish.is_cancelled())
    }

    /// What was sent and not answered may or may not have been taken.
    fn forget(&mut self, why: &str) {
        let mut ops = Vec::new();
        for (id, item) in &mut self.pending {
            if let State::Sent(op) = item.state {
                ops.push(op);
                item.state = State::Unsent;
                self.unsent.push_front(*id);
            }
        }
        self.desk.shared.history.unknown_all(ops, why);
        self.sent = 0;
        self.tell_in_flight();
    }

    fn tell_in_flight(&self) {
        self.desk.seen.send_modify(|seen| seen.in_flight = self.sent);
    }

    /// One stream, until it breaks or nothing is left to do.
    async fn stream(&mut self) -> Result<(), String> {
        let (desk, department) = (self.desk.clone(), Arc::clone(&self.department));
        let channel = desk.connect(&department.credentials, AWAY, &desk.cut).await;
        let Some(channel) = channel else {
            assert!(desk.cut.is_cancelled(), "the hub does not come back");
            return Err("cut off".into());
        };
        let mut client = PublishingClient::new(channel);
        let (sender, requests) = mpsc::channel(1);
        let answers = client.publish(ReceiverStream::new(requests)).await;
        let mut answers = answers.map_err(|status| status.to_string())?.into_inner();
        self.watch(&sender).await?;
        let pace = self.plan.per_second.map_or(1.0, |rate| self.plan.batch as f64 / f64::from(rate));
        let mut tick = tokio::time::interval(Duration::from_secs_f64(pace));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_done() {
            self.refill();
            let later = self.later.front().map(|(at, _)| *at);
            tokio::select! {
                message = answers.message() => self.hear(message, &mut answers)?,
                place = sender.reserve(), if !self.unsent.is_empty() => {
                    let place = place.map_err(|_| "the stream is closed".to_owned())?;
                    place.send(self.next_batch());
                }
                () = tokio::time::sleep_until(later.unwrap_or_else(Instant::now)), if later.is_some() => {
                    self.unsent.extend(self.later.pop_front().map(|(_, id)| id));
                }
                _ = tick.tick(), if self.plan.per_second.is_some() => self.make(self.plan.batch),
                () = desk.finish.cancelled(), if !desk.finish.is_cancelled() => {}
            }
        }
        Ok(())
    }

    /// Asks for the outcomes of what has a receipt from an earlier stream.
    async fn watch(&mut self, sender: &mpsc::Sender<v1::PublishRequest>) -> Result<(), String> {
        let received = self.pending.iter().filter(|(_, item)| matches!(item.state, State::Received));
        let watch: Vec<_> = received.map(|(id, _)| id.to_vec()).collect();
        let request = v1::PublishRequest { batch: 0, submissions: Vec::new(), watch };
        sender.send(request).await.map_err(|_| "the stream is closed".to_owned())
    }

    /// Without a pace, as much as the hub works on at a time.
    fn refill(&mut self) {
        if self.plan.per_second.is_none() && self.unsent.is_empty() && self.sent < BATCHES * self.plan.batch {
            self.make(self.plan.batch);
        }
    }

    /// Seals the next versions of records that wait for nothing.
    fn make(&mut self, count: usize) {
        for _ in 0..count {
            if self.desk.finish.is_cancelled() {
                return;
            }
            let Some((number, last)) = self.idle.pop_front() else { return };
            let (id, item) = self.seal(number, last + 1);
            self.unsent.push_back(id);
            self.pending.insert(id, item);
        }
    }

    fn seal(&self, number: u32, version: u64) -> (Id, Item) {
        let example = Example::business_licence(number);
        let uscc = example.holders[0].value.clone();
        let sealed = if version == 1 {
            self.department.seal(&example, 1, Event::Issue, Status::Valid)
        } else {
            let moved = example.with("address", json!(format!("山东省淄博市高青县示例路{version}号")));
            self.department.seal(&moved, version, Event::Change, Status::Valid)
        };
        let content = verify_presentation(sealed.token.as_bytes(), &self.keys).expect("what was sealed verifies");
        let digest = hex::encode(self.digest.content(&Value::Object(content.payload)));
        let id = submission_id(sealed.token.as_bytes());
        (id, Item { sealed, number, uscc, digest, state: State::Unsent, epochs: None, settled: false })
    }

    fn next_batch(&mut self) -> v1::PublishRequest {
        let count = self.unsent.len().min(self.plan.batch);
        let ids: Vec<Id> = self.unsent.drain(..count).collect();
        let calls = ids.iter().map(|id| {
            let Item { sealed, digest, .. } = &self.pending[id];
            let (record_id, version, digest) = (sealed.record_id.clone(), sealed.version, digest.clone());
            Call::Publish { submission_id: hex::encode(id), record_id, version, digest }
        });
        let ops = self.desk.shared.history.invoke_all(calls);
        let epoch = self.desk.epoch();
        let mut submissions = Vec::with_capacity(count);
        for (id, op) in ids.iter().zip(ops) {
            let item = self.pending.get_mut(id).expect("what is unsent is pending");
            item.epochs = Some((item.epochs.map_or(epoch, |(first, _)| first), epoch));
            item.state = State::Sent(op);
            submissions.push(v1::Submission { sealed: item.sealed.token.clone().into_bytes() });
        }
        self.batch += 1;
        self.sent += count;
        self.tell_in_flight();
        v1::PublishRequest { batch: self.batch, submissions, watch: Vec::new() }
    }

    /// Takes one message and all that are there behind it.
    fn hear(
        &mut self,
        first: Result<Option<PublishResponse>, tonic::Status>,
        answers: &mut Streaming<PublishResponse>,
    ) -> Result<(), String> {
        let mut receipts = Vec::new();
        let mut outcomes = Vec::new();
        let mut next = Some(first);
        let ended = loop {
            match next {
                Some(Ok(Some(response))) => match response.kind {
                    Some(Kind::Answer(batch)) => {
                        receipts.extend(batch.answers.into_iter().filter_map(|one| self.answered(one)));
                    }
                    Some(Kind::Outcome(outcome)) => outcomes.push(outcome),
                    Some(Kind::Resend(_)) | None => {}
                },
                Some(Ok(None)) => break Err("the stream has ended".to_owned()),
                Some(Err(status)) => break Err(status.to_string()),
                None => break Ok(()),
            }
            next = answers.message().now_or_never();
        };
        let history = &self.desk.shared.history;
        history.ok_all(receipts.iter().map(|(_, op)| (*op, Answer::Receipt)));
        history.outcome_all(outcomes.iter().map(|one| (hex::encode(&one.submission_id), word(one.kind()))));
        self.desk.seen.send_modify(|seen| seen.receipts += receipts.len() as u64);
        for (id, _) in receipts {
            self.settle(id);
        }
        for outcome in outcomes {
            self.decided(&outcome);
        }
        self.tell_in_flight();
        ended
    }

    /// What the door says to one submission; a receipt is given back to be written down.
    fn answered(&mut self, answer: v1::SubmissionAnswer) -> Option<(Id, Op)> {
        let id: Id = answer.submission_id.try_into().expect("32 bytes");
        let item = self.pending.get_mut(&id)?;
        let State::Sent(op) = item.state else { return None };
        self.sent -= 1;
        match answer.kind.expect("an answer has a kind") {
            submission_answer::Kind::Receipt(receipt) => {
                if (&receipt.record_id, receipt.version) != (&item.sealed.record_id, item.sealed.version) {
                    self.desk.shared.complain(format!("the receipt of {} is another's", hex::encode(id)));
                }
                item.state = State::Received;
                let epoch = item.epochs.map_or(0, |(_, last)| last);
                self.desk.seen.send_modify(|seen| seen.receipt_epoch = seen.receipt_epoch.max(epoch));
                return Some((id, op));
            }
            submission_answer::Kind::Rejection(rejection) => {
                self.desk.shared.history.fail(op, &rejection.stage);
                self.desk.shared.complain(format!("{} was rejected: {:?}", hex::encode(id), rejection.problems));
                self.pending.remove(&id);
            }
            submission_answer::Kind::Retry(retry) => {
                self.desk.shared.history.unknown(op, &retry.reason);
                item.state = State::Unsent;
                self.later.push_back((Instant::now() + Duration::from_millis(retry.retry_after_ms), id));
            }
        }
        None
    }

    fn decided(&mut self, outcome: &v1::Outcome) {
        let id: Id = outcome.submission_id.clone().try_into().expect("32 bytes");
        let Some(item) = self.pending.get_mut(&id) else { return };
        if outcome.kind() != OutcomeKind::Indexed {
            self.desk.shared.complain(format!("{} became {:?}", hex::encode(id), outcome.kind()));
        }
        let epoch = item.epochs.map_or(0, |(first, _)| first);
        self.desk.seen.send_modify(|seen| {
            seen.indexed += u64::from(!item.settled);
            seen.indexed_epoch = seen.indexed_epoch.max(epoch);
        });
        item.settled = true;
        self.settle(id);
    }

    /// Receipt and outcome are there: the record's next version may come.
    fn settle(&mut self, id: Id) {
        let done = |item: &Item| item.settled && matches!(item.state, State::Received);
        if !self.pending.get(&id).is_some_and(done) {
            return;
        }
        let Some(item) = self.pending.remove(&id) else { return };
        let Sealed { record_id, version, .. } = item.sealed;
        self.desk.shared.indexed(item.number, Target { record_id, uscc: item.uscc, version });
        if version < self.plan.versions {
            self.idle.push_back((item.number, version));
        }
    }
}

fn word(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Indexed => "indexed",
        OutcomeKind::Duplicate => "duplicate",
        OutcomeKind::Conflict => "conflict",
        OutcomeKind::Gap => "gap",
        OutcomeKind::Quarantined => "quarantined",
        OutcomeKind::Pending | OutcomeKind::Unspecified => panic!("no outcome"),
    }
}
