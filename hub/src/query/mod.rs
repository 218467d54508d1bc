//! The way of a look: authorise → look up → present → ledger → answer.
//!
//! - [`authorise`]: the form of a look, and the grant that allows it
//! - [`coalesce`]: concurrent look-ups in one statement
//! - [`present`]: a version cut down to what was granted
//! - [`answering`]: which word answers
//! - [`answer`]: the ledger entry of a look, and the answer with its proof
//! - [`page`]: page tokens
//! - `repeat`: a request that comes again
//!
//! Nothing leaves before its ledger entry is durable. `denied` is decided before any look-up.

mod answer;
pub mod answering;
pub mod authorise;
pub mod coalesce;
pub mod page;
pub mod present;
mod repeat;

use std::{collections::BTreeSet, fmt, sync::Arc};

use tokio::time::Instant;
use weft_proto::{
    Reason, Refusal,
    v1::{self, Answering},
};
use weft_record::record_id::RecordId;

use crate::{
    clock::{Millis, SharedClock},
    decode::{holder_hash, identifier_hash},
    fleet::Fleet,
    follow::Follower,
    index::{By, Found, LookUp, SharedIndex},
    keys::Keys,
    ledger::Ledger,
    log::Topic,
    partitions::Partitions,
    registry::{Registry, RegistryView},
};
use authorise::{Checked, Wanted, check_form, granted, still_admitted};
use coalesce::{Asked, Coalescer};
use present::Presented;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// One record, by its identifier.
    Record(String),
    /// One record, by a look-up identifier of its type.
    Identifier {
        /// The type.
        record_type: String,
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// The records of a type that a holder has.
    Holder {
        /// The type.
        record_type: String,
        /// Only after this record.
        after: Option<String>,
        /// At most so many.
        limit: u32,
    },
}

/// What is answered: one answer per record, and the look's receipt.
#[derive(Clone, Debug)]
pub struct Answered {
    /// How the question as a whole stands.
    pub answering: Answering,
    /// One per record found.
    pub answers: Vec<v1::Answer>,
    /// The looker's part of the ledger entry.
    pub receipt: v1::LookReceipt,
    /// The last record of a full page: the next one begins after it.
    pub next: Option<String>,
}

/// Answers looks.
pub struct Query {
    registry: Arc<RegistryView>,
    index: SharedIndex,
    coalescer: Coalescer,
    ledger: Arc<Ledger>,
    follower: Arc<Follower>,
    partitions: Arc<Partitions>,
    fleet: Arc<Fleet>,
    keys: Arc<Keys>,
    clock: SharedClock,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

/// A look that a grant allows.
struct Allowed {
    registry: Arc<Registry>,
    grant: String,
    department: String,
    record_type: String,
    fields: BTreeSet<String>,
    by_record: bool,
    /// Keyed hash of the question; empty until it is looked up.
    question: String,
}

impl Query {
    /// Over these parts.
    #[allow(clippy::too_many_arguments, reason = "one place builds it, and each part is another room")]
    pub fn new(
        registry: Arc<RegistryView>,
        index: SharedIndex,
        ledger: Arc<Ledger>,
        follower: Arc<Follower>,
        partitions: Arc<Partitions>,
        fleet: Arc<Fleet>,
        keys: Arc<Keys>,
        clock: SharedClock,
    ) -> Self {
        let coalescer = Coalescer::start(Arc::clone(&index));
        Self { registry, index, coalescer, ledger, follower, partitions, fleet, keys, clock }
    }

    /// One look. Every answer, also an empty or denied one, is on the ledger before it is returned.
    pub async fn look(
        &self,
        window: &str,
        look: Option<&v1::Look>,
        question: &Question,
        deadline: Instant,
    ) -> Result<Answered, Refusal> {
        let checked = check_form(look)?;
        // What could not be signed is not looked up either.
        self.keys.signer()?;
        let late =
            || Refusal::new(Reason::RegistryStale).detail("the deadline passed before this instance had caught up");
        if let Some(submission) = checked.after_submission {
            // Whoever may not look does not learn either, by how long it takes, whether something was handed in.
            let may = tokio::time::timeout_at(deadline, self.authorise(window, &checked, question)).await;
            may.unwrap_or_else(|_| Err(late()))?;
            let waited = tokio::time::timeout_at(deadline, self.await_outcome(submission)).await;
            waited.unwrap_or_else(|_| Err(Refusal::new(Reason::NotYetIndexed)))?;
        }
        let work = async {
            let mut allowed = self.authorise(window, &checked, question).await?;
            let found = self.look_up(window, &checked, question, &mut allowed).await?;
            let presented = self.present(&checked, &allowed, found)?;
            Ok((allowed, presented))
        };
        let (allowed, presented) = tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(late()))?;
        let unwritten =
            || Refusal::new(Reason::LedgerUnavailable).detail("the deadline passed before the look was on the ledger");
        let answer = self.answer(window, &checked, question, &allowed, presented);
        tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(unwritten()))
    }

    /// "No grant" is said only after a confirmation younger than the request.
    async fn authorise(&self, window: &str, checked: &Checked, question: &Question) -> Result<Allowed, Refusal> {
        let first = self.try_authorise(window, checked, question);
        if !matches!(first, Ok(None) | Err(_)) {
            return first?.ok_or_else(|| Refusal::new(Reason::Internal));
        }
        self.registry.confirm().await;
        match self.try_authorise(window, checked, question) {
            Ok(Some(allowed)) => Ok(allowed),
            Ok(None) => self.deny(window, checked, question, Refusal::new(Reason::Denied)).await,
            Err(refusal) => self.deny(window, checked, question, refusal).await,
        }
    }

    fn try_authorise(&self, window: &str, checked: &Checked, question: &Question) -> Result<Option<Allowed>, Refusal> {
        let registry = self.registry.snapshot();
        let (record_type, department) = self.asked_type(question)?;
        let by_record = checked.holder.is_none();
        if by_record && matches!(question, Question::Holder { .. }) {
            return Err(Refusal::new(Reason::BadRequest).field("look.holder", "must be named"));
        }
        let wanted = Wanted {
            window,
            record_type: &record_type,
            department: department.as_deref(),
            by_record,
            day: answering::local_date(self.clock.now()),
        };
        let granted = granted(&registry, checked, &wanted)?;
        Ok(granted.map(|(grant, fields)| Allowed {
            grant: grant.id.clone(),
            department: grant.department.clone(),
            record_type,
            fields,
            by_record,
            question: String::new(),
            registry: Arc::clone(&registry),
        }))
    }

    /// (record type, department where the question names one).
    fn asked_type(&self, question: &Question) -> Result<(String, Option<String>), Refusal> {
        match question {
            Question::Record(id) => {
                let bad = |_| Refusal::new(Reason::BadRequest).field("record_id", "is no record identifier");
                let id = id.parse::<RecordId>().map_err(bad)?;
                Ok((id.record_type().to_owned(), Some(id.department().to_owned())))
            }
            Question::Identifier { record_type, .. } | Question::Holder { record_type, .. } => {
                Ok((record_type.clone(), None))
            }
        }
    }

    /// A denied look is on the ledger too.
    async fn deny(
        &self,
        window: &str,
        checked: &Checked,
        question: &Question,
        refusal: Refusal,
    ) -> Result<Allowed, Refusal> {
        if refusal.reason.code() != Reason::Denied.code() {
            return Err(refusal);
        }
        let registry = self.registry.snapshot();
        let record_type = self.asked_type(question).map(|(record_type, _)| record_type).unwrap_or_default();
        let mut entry = self.entry(window, checked, &registry);
        entry.kind = "look_denied".into();
        entry.record_type =
            if registry.catalogue().record_type(&record_type).is_some() { record_type } else { String::new() };
        self.ledger.append(&entry).await?;
        Err(refusal)
    }

    /// Looks up, and answers only under a registry view that has reached the floor that stood with the record.
    async fn look_up(
        &self,
        window: &str,
        checked: &Checked,
        question: &Question,
        allowed: &mut Allowed,
    ) -> Result<Vec<Found>, Refusal> {
        let look_up = self.statement(checked, question, allowed)?;
        let hash = repeat::question_hash(&self.keys, question, &look_up);
        let request = Some((window.to_owned(), checked.request_id.clone()));
        let read = self.coalescer.look(Asked { look_up: look_up.clone(), request }).await?;
        let (mut floor, mut found) = (read.registry_floor, read.found);
        if read.repairing && (found.is_empty() || !matches!(question, Question::Record(_))) {
            // What is being replayed may not stand in the index now: that there is nothing, or nothing more, cannot be said.
            return Err(Refusal::new(Reason::PartitionNotCurrent));
        }
        if let Some(first) = &read.first
            && let Some(pins) = repeat::pinned_by(first, &allowed.registry, &allowed.record_type, &hash, &look_up)?
        {
            (floor, found) = self.pinned(pins, floor, &look_up).await?;
        }
        if allowed.registry.position < floor {
            self.registry.reach(floor).await;
            *allowed = self.authorise(window, checked, question).await?;
            still_admitted(&allowed.registry, window)?;
        }
        allowed.question = hash;
        found.retain(|found| {
            found.row.department == allowed.department
                && found.row.record_type == allowed.record_type
                && (allowed.by_record || found.holder_matches)
        });
        Ok(found)
    }

    fn statement(&self, checked: &Checked, question: &Question, allowed: &Allowed) -> Result<LookUp, Refusal> {
        let holder = checked.holder.as_ref().map(|(scheme, value)| holder_hash(&self.keys, scheme, value));
        let record_type = allowed.record_type.clone();
        let by = match question {
            Question::Record(id) => By::Record(id.clone()),
            Question::Identifier { field, value, .. } => {
                let definition = allowed.registry.catalogue().record_type(&record_type);
                let definition =
                    definition.filter(|one| one.definition.fields.get(field).is_some_and(|field| field.look_up));
                let definition = definition.ok_or_else(|| {
                    Refusal::new(Reason::BadRequest).field("identifier.field", "is no look-up identifier of the type")
                })?;
                let value = definition.normalise_field(field, value);
                By::Identifier { hash: identifier_hash(&self.keys, &record_type, field, &value), record_type }
            }
            Question::Holder { after, limit, .. } => {
                let hash =
                    holder.ok_or_else(|| Refusal::new(Reason::BadRequest).field("look.holder", "must be named"))?;
                By::Holder { record_type, hash, after: after.clone(), limit: *limit }
            }
        };
        Ok(LookUp { by, holder, as_of: checked.as_of, version: None })
    }

    fn present(&self, checked: &Checked, allowed: &Allowed, found: Vec<Found>) -> Result<Vec<Presented>, Refusal> {
        let day = answering::local_date(checked.as_of.unwrap_or_else(|| self.clock.now()));
        let doubts = self.fleet.doubts(&allowed.registry, &allowed.department, &allowed.record_type);
        let mut presented = Vec::with_capacity(found.len());
        for found in found {
            let compromised =
                allowed.registry.compromised(&found.row.department, &found.row.kid, found.row.accepted_at);
            let word = answering::word(&found, day, compromised, &doubts);
            let cut = present::cut(&found, allowed.registry.as_ref(), &allowed.fields, checked.holder.as_ref())?;
            presented.push(Presented { word, found, cut });
        }
        Ok(presented)
    }

    /// Writes the ledger entry and, once it is durable, lets the answer go.
    async fn answer(
        &self,
        window: &str,
        checked: &Checked,
        question: &Question,
        allowed: &Allowed,
        presented: Vec<Presented>,
    ) -> Result<Answered, Refusal> {
        let entry = self.look_entry(window, checked, allowed, &presented);
        let offset = self.ledger.append(&entry).await?;
        let receipt = v1::LookReceipt {
            entry_id: entry.look_id.clone(),
            position: Some(v1::Position { topic: crate::log::Topic::Ledger.name(), partition: 0, offset }),
            salt: hex::decode(&entry.salt).unwrap_or_default(),
        };
        let answering = match presented.as_slice() {
            [] => self.nothing(allowed),
            [one] => one.word.answering,
            _ => Answering::Ambiguous,
        };
        let next = match question {
            Question::Holder { limit, .. } if presented.len() >= *limit as usize => {
                presented.last().map(|last| last.found.row.record_id.clone())
            }
            _ => None,
        };
        let answers = presented.into_iter().map(|one| self.one_answer(one, checked, allowed, &entry, &receipt));
        let answers = answers.collect::<Result<_, _>>()?;
        Ok(Answered { answering, answers, receipt, next })
    }

    /// `missing` only where the department's declared coverage is complete, nothing of the type waits to be repaired and its
    /// adapter is up to date; else `not_covered` or `stale`.
    fn nothing(&self, allowed: &Allowed) -> Answering {
        let topic = Topic::Records(allowed.record_type.clone());
        if self.partitions.rows().iter().any(|row| row.partition.topic == topic && !row.current) {
            return Answering::Stale;
        }
        let coverage = allowed
            .registry
            .departments
            .get(&allowed.department)
            .and_then(|department| department.coverage.iter().find(|one| one.record_type == allowed.record_type));
        match coverage {
            Some(coverage) if coverage.back_fill_finished && coverage.divisions.is_empty() => {
                // What was issued since the department was last heard of may be what is asked for.
                let doubts = self.fleet.doubts(&allowed.registry, &allowed.department, &allowed.record_type);
                if doubts.is_empty() { Answering::Missing } else { Answering::Stale }
            }
            _ => Answering::NotCovered,
        }
    }

    /// Read your write: waits for the outcome of a submission. The caller's deadline bounds it.
    async fn await_outcome(&self, submission: [u8; 32]) -> Result<(), Refusal> {
        let mut committed = self.follower.committed();
        loop {
            let outcomes = self.index.outcomes(&[submission]).await?;
            if outcomes.iter().any(|row| row.outcome != crate::apply::outcome::PENDING) {
                return Ok(());
            }
            // Another instance may be the one that applies it: then nothing changes here, and the clock brings the next try.
            let again = tokio::time::sleep(std::time::Duration::from_millis(50));
            tokio::select! {
                _ = committed.changed() => {}
                () = again => {}
            }
        }
    }
}

/// Milliseconds as a protobuf timestamp.
pub fn timestamp(at: Millis) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: at.div_euclid(1000), nanos }
}
