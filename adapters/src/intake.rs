//! From a mapped row to sealed versions in the spool, and to versions sealed anew when the hub did not take the first.

use std::sync::Arc;

use weft_record::status::{self, Event, Status};

use crate::{
    change::{self, Step},
    clock::Clock,
    life::Life,
    mapping::{Draft, Intent, Mapped},
    problem::Reason,
    sealing::{self, Sealer},
    spool::{self, Digest, NewSubmission, Origin, Record, Spool, Standing, Writes},
};

/// Why a row could not be taken: our trouble, the row is taken again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// Sealing failed.
    #[error(transparent)]
    Sealing(#[from] sealing::Error),
}

fn is_ended(status: Status) -> bool {
    matches!(status, Status::Rescinded | Status::Revoked | Status::Cancelled)
}

impl Error {
    /// Whether the disk is full: it is waited for.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Spool(error) if error.is_full())
    }
}

/// Takes rows in and seals them.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Where versions become durable.
    pub spool: Spool,
    /// The department's seal.
    pub sealer: Arc<Sealer>,
    /// The time of sealing.
    pub clock: Arc<dyn Clock>,
    /// How the sources are.
    pub life: Arc<Life>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many new versions.
    Versions(usize),
    /// It says nothing new.
    Unchanged,
    /// It was not taken.
    Not(Reason),
}

impl Intake {
    /// Takes one row: its versions are durable at the commit. Taking it again after a crash changes nothing, because
    /// the record remembers unit and rank.
    ///
    /// # Errors
    /// The spool or the sealing failed.
    pub async fn take(
        &self,
        writes: &mut Writes,
        (record_type, record_id): (&str, &str),
        row: &Mapped,
        rank: i64,
        origin: &Origin,
    ) -> Result<Taken, Error> {
        let known = self.spool.record(writes, record_id).await?;
        let mut record = known.unwrap_or_else(|| Record::new(record_id, record_type));
        if record.taken.is_some_and(|(unit, taken)| unit == origin.unit && taken >= rank) {
            return Ok(Taken::Unchanged);
        }
        if row.order.zip(record.row_order).is_some_and(|(new, known)| new < known) {
            return Ok(Taken::Not(Reason::OlderThanPublished));
        }
        let before = record.clone();
        let taken = match self.versions(&record, &row.draft) {
            Ok(steps) if steps.is_empty() => Taken::Unchanged,
            Ok(steps) => {
                let count = steps.len();
                for step in steps {
                    self.add(writes, &mut record, &row.draft, step, origin).await?;
                }
                Taken::Versions(count)
            }
            Err(reason) => return Ok(Taken::Not(reason)),
        };
        record.taken = Some((origin.unit, rank));
        record.row_order = row.order.max(record.row_order);
        // A row that says nothing new about a record that stands once in its unit needs no write.
        let same_order = record.row_order == before.row_order;
        if taken != Taken::Unchanged || rank > 0 || !same_order || before.tip.version == 0 {
            self.spool.put_record(writes, &record).await?;
        }
        Ok(taken)
    }

    /// The record's row vanished from its source, and a rule says that this is an event: it becomes a version, unless
    /// the record ended already.
    ///
    /// # Errors
    /// The spool or the sealing failed.
    pub async fn vanish(
        &self,
        writes: &mut Writes,
        record_id: &str,
        event: Event,
        origin: &Origin,
    ) -> Result<Taken, Error> {
        let Some(mut record) = self.spool.record(writes, record_id).await? else { return Ok(Taken::Unchanged) };
        let target = status::step(record.tip.state, event).ok().map(|state| state.status);
        let already = record.tip.state.is_none_or(|state| is_ended(state.status) || Some(state.status) == target);
        if record.tip.version == 0 || already {
            return Ok(Taken::Unchanged);
        }
        let draft = Draft::without_content(Intent::Happened(event));
        let steps = match self.versions(&record, &draft) {
            Ok(steps) => steps,
            Err(reason) => return Ok(Taken::Not(reason)),
        };
        let count = steps.len();
        for step in steps {
            self.add(writes, &mut record, &draft, step, origin).await?;
        }
        // What this unit, or one like it, said of the record before is to be taken again when its row is back.
        record.taken = None;
        self.spool.put_record(writes, &record).await?;
        Ok(if count == 0 { Taken::Unchanged } else { Taken::Versions(count) })
    }

    /// The versions that lead from the tip to what the draft says; none for what the hub refused already.
    fn versions(&self, record: &Record, draft: &Draft) -> Result<Vec<Step>, Reason> {
        let differs = |status| record.tip.substance != Some(self.sealer.substance(draft, status));
        let steps = change::steps(record.tip.state, draft.intent, differs)?;
        let refused = |step: &Step| record.refused == Some(self.sealer.substance(draft, step.state.status));
        Ok(if steps.iter().any(refused) { Vec::new() } else { steps })
    }

    async fn add(
        &self,
        writes: &mut Writes,
        record: &mut Record,
        draft: &Draft,
        step: Step,
        origin: &Origin,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let version = record.tip.version + 1;
        let of = self.sealer.record_type(&record.record_type)?;
        let sealed = self.sealer.seal(of, draft, &record.record_id, version, step, now.as_second())?;
        let substance = self.sealer.substance(draft, step.state.status);
        let new = NewSubmission {
            id: sealed.id,
            record_id: record.record_id.clone(),
            record_type: record.record_type.clone(),
            version,
            state: step.state,
            substance,
            draft: draft.clone(),
            sealed: sealed.bytes,
            origin: origin.clone(),
        };
        self.spool.add(writes, &new, now.as_millisecond()).await?;
        record.tip = Standing { version, state: Some(step.state), substance: Some(substance) };
        Ok(())
    }

    /// Seals anew what of a record is under way above a version and still says something: after a refusal, a gap or a
    /// conflict. What is under way up to that version stays as it was sent, and the rest follows it. What cannot
    /// follow any more comes back with its reason.
    ///
    /// # Errors
    /// The spool or the sealing failed.
    pub async fn seal_anew(
        &self,
        writes: &mut Writes,
        record_id: &str,
        above: u64,
    ) -> Result<Vec<(Origin, Reason)>, Error> {
        let Some(mut record) = self.spool.record(writes, record_id).await? else { return Ok(Vec::new()) };
        let now_ms = self.clock.now().as_millisecond();
        let mut left = Vec::new();
        record.tip = record.head.clone();
        for pending in self.spool.pending(writes, record_id).await? {
            if pending.standing.version <= above {
                if pending.standing.version > record.tip.version {
                    record.tip = pending.standing;
                }
                continue;
            }
            self.spool.end(writes, &pending.id, "abandoned", now_ms).await?;
            match self.versions(&record, &pending.draft) {
                Ok(steps) => {
                    for step in steps {
                        self.add(writes, &mut record, &pending.draft, step, &pending.origin).await?;
                    }
                }
                Err(reason) => left.push((pending.origin, reason)),
            }
        }
        self.spool.put_record(writes, &record).await?;
        Ok(left)
    }

    /// The digest under which a unit's content and mapping are known.
    pub fn unit(content: &Digest, mapping: &Digest) -> Digest {
        let mut unit = [0; 32];
        let both = [content.as_slice(), mapping].concat();
        unit.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &both).as_ref());
        unit
    }
}
