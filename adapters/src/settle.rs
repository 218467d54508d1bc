//! What the hub's answers mean for the spool: released on an outcome, kept as a problem with its line on a refusal,
//! sealed anew after a gap or a conflict.

use std::{collections::BTreeSet, time::Duration};

use weft_proto::v1::{Outcome, OutcomeKind, Problem, SubmissionAnswer, submission_answer::Kind};

use crate::{
    intake::{Error, Intake},
    problem::{Reason, RowProblem},
    spool::{Digest, Ended, Origin, Standing, Writes},
};

/// What was answered, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Receipts: durable at the hub.
    pub published: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// Outcome `indexed`.
    pub indexed: u64,
    /// Outcome `duplicate`.
    pub duplicate: u64,
    /// Outcomes `conflict` and `gap`: sealed anew.
    pub sealed_anew: u64,
    /// Outcome `quarantined`.
    pub quarantined: u64,
    /// Waiting for their key to be accepted.
    pub held: u64,
}

/// What handling answers leaves to do.
#[derive(Debug, Default)]
pub struct Left {
    /// The hub wants to be left alone for so long.
    pub pause: Option<Duration>,
    /// Record types whose heads must be asked for: the hub knows more, or less, than this state.
    pub ask_heads: BTreeSet<String>,
    /// Records to seal anew once their type's heads are here.
    pub then_anew: BTreeSet<String>,
}

impl Left {
    fn pause(&mut self, wish_ms: u64) {
        let wish = Duration::from_millis(wish_ms.clamp(50, 60_000));
        self.pause = Some(self.pause.map_or(wish, |pause| pause.max(wish)));
    }
}

fn id(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok()
}

/// The part of a rejection that the department's people need: pointers, rules and remedies, never values.
fn problem(origin: &Origin, reason: Reason, problems: &[Problem]) -> RowProblem {
    let stopping: Vec<&Problem> = problems.iter().filter(|problem| !problem.warning).collect();
    let all = |text: fn(&Problem) -> &str| {
        let each = |problem: &&Problem| format!("{} [{}] {}", problem.pointer, problem.reason, text(problem));
        stopping.iter().map(each).collect::<Vec<_>>().join(" | ")
    };
    let column = stopping.first().map_or("", |problem| problem.pointer.as_str());
    let row = RowProblem::new(origin.line, column, reason).in_file(&origin.file);
    row.because(&all(|problem| &problem.zh), &all(|problem| &problem.en))
}

impl Intake {
    /// Takes the answer to one submission.
    ///
    /// # Errors
    /// The spool or the sealing failed; the answer is taken again when the hub repeats it.
    pub async fn answered(
        &self,
        writes: &mut Writes,
        answer: &SubmissionAnswer,
        tally: &mut Tally,
        left: &mut Left,
    ) -> Result<(), Error> {
        let Some(id) = id(&answer.submission_id) else { return Ok(()) };
        let now_ms = self.clock.now().as_millisecond();
        match &answer.kind {
            Some(Kind::Receipt(_)) => {
                tally.published += u64::from(self.spool.receipted(writes, &id, now_ms).await?);
            }
            Some(Kind::Retry(retry)) => {
                self.spool.retry(writes, &id, now_ms).await?;
                left.pause(retry.retry_after_ms);
            }
            // The key waits for its confirmation, or the sender for its rights: nothing is wrong with the record.
            Some(Kind::Rejection(rejection)) if matches!(rejection.stage.as_str(), "key" | "sender") => {
                let Some(ended) = self.spool.submission(writes, &id).await? else { return Ok(()) };
                if self.spool.hold(writes, &id, now_ms).await? {
                    tally.held += 1;
                    let problem = problem(&ended.origin, Reason::KeyNotAccepted, &rejection.problems);
                    self.keep(writes, &ended, &problem).await?;
                }
            }
            Some(Kind::Rejection(rejection)) => {
                let Some(ended) = self.spool.submission(writes, &id).await? else { return Ok(()) };
                if ended.under_way {
                    tally.rejected += 1;
                    let problem = problem(&ended.origin, Reason::Rejected, &rejection.problems);
                    self.refuse(writes, &id, &ended, &problem).await?;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Takes the outcome of one submission.
    ///
    /// # Errors
    /// The spool or the sealing failed; the outcome is taken again when the hub repeats it.
    pub async fn decided(
        &self,
        writes: &mut Writes,
        outcome: &Outcome,
        tally: &mut Tally,
        left: &mut Left,
    ) -> Result<(), Error> {
        let Some(id) = id(&outcome.submission_id) else { return Ok(()) };
        let Some(ended) = self.spool.submission(writes, &id).await? else { return Ok(()) };
        tally.published += u64::from(ended.under_way && !ended.receipted && !ended.again);
        match outcome.kind() {
            OutcomeKind::Indexed | OutcomeKind::Duplicate => {
                if ended.under_way && !ended.again {
                    let counted =
                        if outcome.kind() == OutcomeKind::Indexed { &mut tally.indexed } else { &mut tally.duplicate };
                    *counted += 1;
                    self.life.answered_one(&ended.origin.source, false);
                }
                self.release(writes, &id, &ended).await?;
            }
            OutcomeKind::Conflict | OutcomeKind::Gap if ended.under_way => {
                tally.sealed_anew += 1;
                self.not_next(writes, &id, &ended, outcome, left).await?;
            }
            OutcomeKind::Quarantined if ended.under_way => {
                tally.quarantined += 1;
                let problem = problem(&ended.origin, Reason::Quarantined, &outcome.problems);
                self.refuse(writes, &id, &ended, &problem).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The version is in the index: it is the head now, unless a later one is.
    async fn release(&self, writes: &mut Writes, id: &Digest, ended: &Ended) -> Result<(), Error> {
        let now_ms = self.clock.now().as_millisecond();
        self.spool.end(writes, id, "released", now_ms).await?;
        self.spool.close_problems(writes, &ended.record_id, &ended.origin.unit, now_ms).await?;
        let Some(mut record) = self.spool.record(writes, &ended.record_id).await? else { return Ok(()) };
        if ended.version > record.head.version {
            let state = Some(ended.state);
            record.head = Standing { version: ended.version, state, substance: Some(ended.substance) };
            record.refused = None;
            if record.tip.version < record.head.version {
                record.tip = record.head.clone();
            }
            self.spool.put_record(writes, &record).await?;
        }
        Ok(())
    }

    /// The content was refused: it stays a problem until the row changes, and what follows is sealed anew.
    async fn refuse(&self, writes: &mut Writes, id: &Digest, ended: &Ended, problem: &RowProblem) -> Result<(), Error> {
        self.spool.end(writes, id, "refused", self.clock.now().as_millisecond()).await?;
        self.keep(writes, ended, problem).await?;
        if let Some(halt) = self.life.answered_one(&ended.origin.source, true) {
            tracing::error!(source = ended.origin.source, "the hub refuses almost everything of a source: it stops");
            self.spool.halt_with(writes, &ended.origin.source, &halt).await?;
            self.life.set_halt(&ended.origin.source, Some(halt));
        }
        if let Some(mut record) = self.spool.record(writes, &ended.record_id).await? {
            record.refused = Some(ended.substance);
            self.spool.put_record(writes, &record).await?;
        }
        // An earlier version may be at the hub without its outcome: it is not sent a second time.
        self.anew(writes, &ended.record_id, ended.version.saturating_sub(1)).await
    }

    /// The number was taken or too high.
    async fn not_next(
        &self,
        writes: &mut Writes,
        id: &Digest,
        ended: &Ended,
        outcome: &Outcome,
        left: &mut Left,
    ) -> Result<(), Error> {
        let now_ms = self.clock.now().as_millisecond();
        let known = self.spool.record(writes, &ended.record_id).await?.map_or(0, |record| record.head.version);
        if ended.again {
            // It was released before and sent again for a restored hub, where other content took its number.
            tracing::error!(record_id = ended.record_id, version = ended.version, "released version lost to another");
            self.spool.end(writes, id, "abandoned", now_ms).await?;
            left.ask_heads.insert(ended.record_type.clone());
            return Ok(());
        }
        if outcome.head == known {
            return self.anew(writes, &ended.record_id, 0).await;
        }
        let lost = known.saturating_sub(outcome.head);
        if lost > 0 && self.spool.resend_above(writes, &ended.record_id, outcome.head, lost, now_ms).await? {
            // The hub lost versions that are still here: they go first, then this one under its own number.
            return self.anew(writes, &ended.record_id, 0).await;
        }
        left.ask_heads.insert(ended.record_type.clone());
        left.then_anew.insert(ended.record_id.clone());
        Ok(())
    }

    /// Seals anew what of a record is under way above a version, and keeps what cannot follow any more as problems.
    ///
    /// # Errors
    /// The spool or the sealing failed.
    pub async fn anew(&self, writes: &mut Writes, record_id: &str, above: u64) -> Result<(), Error> {
        for (origin, reason) in self.seal_anew(writes, record_id, above).await? {
            let problem = RowProblem::new(origin.line, "", reason).in_file(&origin.file);
            let now_ms = self.clock.now().as_millisecond();
            self.spool.add_problem(writes, (&origin.source, &origin.unit), Some(record_id), &problem, now_ms).await?;
        }
        Ok(())
    }

    async fn keep(&self, writes: &mut Writes, ended: &Ended, problem: &RowProblem) -> Result<(), Error> {
        let now_ms = self.clock.now().as_millisecond();
        let unit = (ended.origin.source.as_str(), &ended.origin.unit);
        self.spool.add_problem(writes, unit, Some(&ended.record_id), problem, now_ms).await?;
        Ok(())
    }
}
