//! The way of a record from a department to the log: identify → verify → append → receipt; its outcome follows from the index.
//!
//! A receipt means that the submission is durable in the log. A rejection is final, and is itself durable in quarantine before it
//! is answered. Trouble of ours is neither: the adapter sends again.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::Mutex;
use weft_proto::{Reason, Refusal};
use weft_record::{
    problem::{Problem, Reason as Wrong, Rejection},
    verify::{Facts, Sender, Verified, submission_id, verify},
};

use crate::{
    admitted::Admitted,
    body,
    clock::{Millis, SharedClock},
    envelope::{self, ContentType, Header, Place},
    identity::Identity,
    index::{SharedIndex, rows::SubmissionId},
    log::{Draft, EntryId, Partition, SharedLog, Topic, partition_of},
    metrics::{Metrics, Said},
    partitions::Partitions,
    registry::{Registry, RegistryView},
};

/// Open quarantine entries a sender may have; above it, what would be refused is not taken.
pub const QUARANTINE_PER_SENDER: u64 = 10_000;

/// How long "unknown key" waits for the registry to be confirmed before the sender is told to try again.
const CONFIRM_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What the door says to one submission.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Durable in the log.
    Receipt {
        /// The record.
        record_id: String,
        /// The version.
        version: u64,
        /// Findings that did not stop it.
        warnings: Vec<Problem>,
    },
    /// Refused; durable in quarantine.
    Rejected(Rejection),
    /// Ours: to be sent again.
    Retry(Refusal),
}

/// Takes submissions to the log.
pub struct Publisher {
    registry: Arc<RegistryView>,
    log: SharedLog,
    index: SharedIndex,
    partitions: Arc<Partitions>,
    admitted: Arc<Admitted>,
    clock: SharedClock,
    /// Per sender: open quarantine entries as last counted, with what was added since.
    quarantined: Mutex<HashMap<String, (u64, Millis)>>,
    quarantine_limit: u64,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher over these parts.
    #[allow(clippy::too_many_arguments, reason = "one place builds it, and each part is another room")]
    pub fn new(
        registry: Arc<RegistryView>,
        log: SharedLog,
        index: SharedIndex,
        partitions: Arc<Partitions>,
        admitted: Arc<Admitted>,
        clock: SharedClock,
        quarantine_limit: u64,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            registry,
            log,
            index,
            partitions,
            admitted,
            clock,
            quarantined: Mutex::default(),
            quarantine_limit,
            metrics,
        }
    }

    /// Takes a batch of submissions of one department to the log. Every receipt and every rejection in the answer is durable when this
    /// returns; the answers stand in the order of the batch. What is the same twice is appended twice: apply takes it once.
    pub async fn publish(&self, sender: &Sender, batch: Vec<Vec<u8>>) -> Vec<(SubmissionId, Answer)> {
        let ids: Vec<SubmissionId> = batch.iter().map(|sealed| submission_id(sealed)).collect();
        let answers = match self.registry.require_fresh() {
            Ok(()) => self.judge_and_append(sender, batch).await,
            Err(refusal) => vec![Answer::Retry(refusal); batch.len()],
        };
        for answer in &answers {
            self.metrics.count_submission(match answer {
                Answer::Receipt { .. } => Said::Receipt,
                Answer::Rejected(_) => Said::Rejected,
                Answer::Retry(_) => Said::Retry,
            });
        }
        ids.into_iter().zip(answers).collect()
    }

    async fn judge_and_append(&self, sender: &Sender, batch: Vec<Vec<u8>>) -> Vec<Answer> {
        let accepted_at = self.clock.now();
        let asked = batch.len();
        let (registry, judged) = match self.verify(sender, batch, accepted_at).await {
            Ok(judged) => judged,
            Err(refusal) => return vec![Answer::Retry(refusal); asked],
        };
        let mut answers = Vec::with_capacity(judged.len());
        let mut drafts = Vec::with_capacity(judged.len());
        let mut admitted = Vec::with_capacity(judged.len());
        for (sealed, verdict) in judged {
            let (draft, answer) = match verdict {
                Ok(verified) => {
                    let draft = self.record_draft(&registry, sender, &verified, accepted_at);
                    let (answer, facts) = receipt(verified);
                    admitted.extend(draft.as_ref().ok().map(|draft| (draft.entry_id, facts)));
                    (draft, answer)
                }
                Err(rejection) => (
                    self.refused_draft(&registry, sender, &sealed, &rejection, accepted_at).await,
                    Answer::Rejected(rejection),
                ),
            };
            match draft {
                Ok(draft) => {
                    drafts.push(draft);
                    answers.push(answer);
                }
                Err(refusal) => answers.push(Answer::Retry(refusal)),
            }
        }
        self.admitted.remember(admitted);
        self.append(drafts, answers).await
    }

    /// Verification is pure and costs processor time: it runs beside the tasks that serve connections. "Unknown key" and "unknown type" are
    /// said only after a confirmation of the registry view that is younger than the request.
    async fn verify(
        &self,
        sender: &Sender,
        batch: Vec<Vec<u8>>,
        now: Millis,
    ) -> Result<(Arc<Registry>, Vec<Judged>), Refusal> {
        let registry = self.registry.snapshot();
        let judged = judge(Arc::clone(&registry), sender.clone(), batch, now).await?;
        if !judged.iter().any(|(_, verdict)| verdict.as_ref().is_err_and(is_about_the_registry)) {
            return Ok((registry, judged));
        }
        self.registry.confirm_within(CONFIRM_WITHIN).await?;
        let registry = self.registry.snapshot();
        let batch = judged.into_iter().map(|(sealed, _)| sealed).collect();
        let judged = judge(Arc::clone(&registry), sender.clone(), batch, now).await?;
        Ok((registry, judged))
    }

    fn record_draft(
        &self,
        registry: &Registry,
        sender: &Sender,
        verified: &Verified,
        accepted_at: Millis,
    ) -> Result<Draft, Refusal> {
        let facts = verified.facts();
        let topic = Topic::Records(facts.record_type.clone());
        let partitions = self.log.partitions(&topic);
        if partitions == 0 {
            return Err(Refusal::new(Reason::LogUnavailable).detail("the type's topic is not ready"));
        }
        let partition = Partition { number: partition_of(&facts.record_id, partitions), topic };
        self.partitions.open_to_appends(&partition)?;
        let entry_id = EntryId::new();
        let key = format!("{}@{}@{entry_id}", facts.record_id, facts.version);
        let headers = cloud_event(facts, entry_id);
        let (content, text) = if registry.is_erased(&facts.record_id, facts.version) {
            (ContentType::Again, Cow::Owned(again(registry, facts)?))
        } else {
            (ContentType::Record, Cow::Borrowed(verified.sealed().as_bytes()))
        };
        let header = header(registry, sender, content, accepted_at);
        envelop(registry, partition, key, entry_id, &header, &text, headers)
    }

    async fn refused_draft(
        &self,
        registry: &Registry,
        sender: &Sender,
        sealed: &[u8],
        rejection: &Rejection,
        accepted_at: Millis,
    ) -> Result<Draft, Refusal> {
        let partition = Partition { topic: Topic::Quarantine, number: 0 };
        self.partitions.open_to_appends(&partition)?;
        let path = Identity::from(sender).to_string();
        self.room_in_quarantine(&path).await?;
        let claimed = Claimed::of(sealed);
        let erased = registry.is_erased(&claimed.record_id, claimed.version);
        let refused = body::Refused {
            submission_id: hex::encode(submission_id(sealed)),
            department: sender.department.clone(),
            sender: path,
            record_type: claimed.record_type,
            record_id: claimed.record_id,
            version: claimed.version,
            stage: rejection.stage.as_str().into(),
            problems: rejection.problems.clone(),
            sealed: if erased { String::new() } else { STANDARD.encode(sealed) },
        };
        let text = serde_json::to_vec(&refused).map_err(|error| Refusal::new(Reason::Internal).detail(error))?;
        let header = header(registry, sender, ContentType::Refused, accepted_at);
        envelop(registry, partition, refused.submission_id, EntryId::new(), &header, &text, Vec::new())
    }

    /// Quarantine is bounded per sender; the count is read anew every second.
    async fn room_in_quarantine(&self, sender: &str) -> Result<(), Refusal> {
        let now = self.clock.boot();
        let mut counts = self.quarantined.lock().await;
        let (count, counted_at) = counts.get(sender).copied().unwrap_or((0, Millis::MIN));
        let count =
            if now.saturating_sub(counted_at) < 1000 { count } else { self.index.quarantine_open(sender).await? };
        if count >= self.quarantine_limit {
            counts.insert(sender.to_owned(), (count, counted_at.max(now - 999)));
            return Err(Refusal::new(Reason::QuarantineFull).retry_after(std::time::Duration::from_secs(60)));
        }
        let counted_at = if now.saturating_sub(counted_at) < 1000 { counted_at } else { now };
        counts.insert(sender.to_owned(), (count + 1, counted_at));
        Ok(())
    }

    /// Appends the drafts; an answer whose draft did not surely get into the log becomes a retry.
    async fn append(&self, drafts: Vec<Draft>, mut answers: Vec<Answer>) -> Vec<Answer> {
        let mut appended = self.log.append(drafts).await.into_iter();
        for answer in &mut answers {
            if matches!(answer, Answer::Retry(_)) {
                continue;
            }
            match appended.next() {
                Some(Ok(_offset)) => {}
                Some(Err(error)) => *answer = Answer::Retry(error.into()),
                None => *answer = Answer::Retry(Refusal::new(Reason::Internal).detail("the log answered too little")),
            }
        }
        answers
    }
}

type Judged = (Vec<u8>, Result<Verified, Rejection>);

/// An error when verification panicked: a defect of ours, never the sender's mistake.
async fn judge(
    registry: Arc<Registry>,
    sender: Sender,
    batch: Vec<Vec<u8>>,
    now: Millis,
) -> Result<Vec<Judged>, Refusal> {
    let judging = tokio::task::spawn_blocking(move || {
        let judge_one = |sealed: Vec<u8>| {
            let verdict = verify(&sealed, &sender, registry.as_ref(), now);
            (sealed, verdict)
        };
        batch.into_iter().map(judge_one).collect()
    });
    judging.await.map_err(|error| {
        tracing::error!(%error, "verification panicked");
        Refusal::new(Reason::Internal)
    })
}

fn is_about_the_registry(rejection: &Rejection) -> bool {
    rejection.problems.iter().any(|problem| {
        matches!(problem.reason, Wrong::UnknownKey | Wrong::UnknownType | Wrong::NotYourType | Wrong::NotYourIssuer)
    })
}

/// The receipt, once the log has it; and what apply will ask for.
fn receipt(verified: Verified) -> (Answer, Facts) {
    let (_, facts, warnings) = verified.into_parts();
    (Answer::Receipt { record_id: facts.record_id.clone(), version: facts.version, warnings }, facts)
}

fn header(registry: &Registry, sender: &Sender, content: ContentType, accepted_at: Millis) -> Header {
    Header {
        suite: "std".into(),
        key_id: Registry::data_key_id(&sender.department),
        sender: Identity::from(sender).to_string(),
        accepted_at,
        content,
        registry_position: registry.position,
    }
}

/// What of an erased version that is handed in again goes into the log.
fn again(registry: &Registry, facts: &Facts) -> Result<Vec<u8>, Refusal> {
    let keys = registry.keys_of(&facts.department);
    let keys = keys.ok_or_else(|| Refusal::new(Reason::RegistryStale).detail("the department is not known here"))?;
    let again = body::Again {
        submission_id: hex::encode(facts.submission_id),
        record_id: facts.record_id.clone(),
        version: facts.version,
        digest: hex::encode(keys.digest.content(&facts.payload)),
    };
    serde_json::to_vec(&again).map_err(|error| Refusal::new(Reason::Internal).detail(error))
}

fn envelop(
    registry: &Registry,
    partition: Partition,
    key: String,
    entry_id: EntryId,
    header: &Header,
    text: &[u8],
    headers: Vec<(String, String)>,
) -> Result<Draft, Refusal> {
    let data_key = envelope::DataKeys::data_key(registry, &header.key_id)
        .ok_or_else(|| Refusal::new(Reason::RegistryStale).detail("the department's data key is not known here"))?;
    let value = envelope::seal(Place { topic: &partition.topic, key: &key, entry_id }, header, &data_key, text);
    Ok(Draft { partition, key, entry_id, headers, value })
}

/// CloudEvents 1.0 attributes in binary mode (Kafka protocol binding). They name the record, never a person.
fn cloud_event(facts: &Facts, entry_id: EntryId) -> Vec<(String, String)> {
    [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", entry_id.to_string()),
        ("ce_source", format!("/departments/{}", facts.department)),
        ("ce_type", format!("weft.record.{}", facts.record_type)),
        ("ce_subject", facts.record_id.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What a refused submission claims to be, as far as that can be read.
#[derive(Default)]
struct Claimed {
    record_type: String,
    record_id: String,
    version: u64,
}

impl Claimed {
    fn of(sealed: &[u8]) -> Self {
        Self::read(sealed).unwrap_or_default()
    }

    fn read(sealed: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(sealed).ok()?;
        let token = weft_record::sdjwt::Token::parse(text, weft_record::sdjwt::Limits::default()).ok()?;
        let record = token.payload.get("record")?;
        // Only what has the form of a record id is kept: the place could hold anything.
        let record_id = record["id"].as_str()?.parse::<weft_record::record_id::RecordId>().ok()?.to_string();
        let record_type = record_id.split('.').next()?.to_owned();
        Some(Self { record_type, record_id, version: record["version"].as_u64()? })
    }
}
