//! A department under test: an enrolled adapter that seals what a test gives it.

use std::{collections::HashMap, time::Duration};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Streaming, transport::Channel};
use weft_proto::v1::{self, publish_response::Kind, publishing_client::PublishingClient, submission_answer};
use weft_record::{
    catalogue::Catalogue,
    keys::Algorithm,
    record_id,
    seal::{Content, Holder, SealingKey, seal},
    status::{Event, Status},
};

use crate::{
    client::{Credentials, connect},
    enrol::redeem,
    hub::{OPERATOR_NAMES, TestHub},
};

/// How long a test waits for an answer or an outcome.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon, and how late, it sends again what it is asked for again.
const AGAIN: Duration = Duration::from_millis(50);
const LATEST_AGAIN: Duration = Duration::from_secs(1);

/// An enrolled adapter of a department.
pub struct TestDepartment {
    /// The department's code.
    pub code: String,
    /// Its certificate.
    pub credentials: Credentials,
    /// Its sealing key.
    pub key: SealingKey,
    /// The department's secret.
    pub secret: [u8; 32],
    /// The hub's public name.
    pub hub_name: String,
    /// Connected to the hub it was enrolled at.
    pub client: PublishingClient<Channel>,
    catalogue: Catalogue,
}

impl std::fmt::Debug for TestDepartment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestDepartment").field("code", &self.code).finish_non_exhaustive()
    }
}

/// A sealed submission.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The token.
    pub token: String,
}

impl Sealed {
    /// SHA-256 of the token.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        weft_record::verify::submission_id(self.token.as_bytes())
    }
}

/// What the hub said of the submissions of one stream.
#[derive(Debug, Default)]
pub struct Heard {
    /// Answers by submission.
    pub answers: HashMap<Vec<u8>, submission_answer::Kind>,
    /// Outcomes by submission.
    pub outcomes: HashMap<Vec<u8>, v1::Outcome>,
    /// How long it took until the last answer, from the stream's beginning.
    pub receipts_took: Duration,
}

impl Heard {
    /// The outcome of one submission.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn outcome(&self, sealed: &Sealed) -> v1::OutcomeKind {
        let id = sealed.id();
        let outcome = self.outcomes.get(id.as_slice());
        outcome.unwrap_or_else(|| panic!("no outcome; the answer was {:?}", self.answers.get(id.as_slice()))).kind()
    }

    /// Why one submission is to be sent again, if it is, and after how long.
    fn retry(&self, id: &[u8]) -> Option<&v1::Retry> {
        match self.answers.get(id)? {
            submission_answer::Kind::Retry(retry) => Some(retry),
            _ => None,
        }
    }

    /// With what was said later.
    fn merge(&mut self, later: Self) {
        self.answers.extend(later.answers);
        self.outcomes.extend(later.outcomes);
    }

    /// The rejection of one submission, if it was rejected.
    #[must_use]
    pub fn rejection(&self, id: &[u8; 32]) -> Option<&v1::Rejection> {
        match self.answers.get(id.as_slice())? {
            submission_answer::Kind::Rejection(rejection) => Some(rejection),
            _ => None,
        }
    }
}

impl TestDepartment {
    /// Enrols an adapter of a registered department and has its key confirmed.
    pub async fn enrol(hub: &TestHub, code: &str, adapter: &str) -> Self {
        let key = new_key();
        let token = hub.join_token(&format!("department/{code}/adapter/{adapter}")).await;
        let (response, credentials) =
            redeem(hub, &token, &key.public_jwk().to_string()).await.expect("the adapter is enrolled");
        confirm(hub, code, key.kid()).await.expect("the sealing key is confirmed");
        let channel = connect(hub.api, &hub.ca(), Some(&credentials)).await.expect("the adapter connects");
        Self {
            code: code.into(),
            credentials,
            key,
            secret: response.department_secret.try_into().expect("a secret of 32 bytes"),
            hub_name: response.hub_name,
            client: PublishingClient::new(channel),
            catalogue: Catalogue::builtin().expect("the catalogue"),
        }
    }

    /// A client of the same adapter at another hub instance.
    pub async fn at(&self, hub: &TestHub) -> PublishingClient<Channel> {
        PublishingClient::new(connect(hub.api, &hub.ca(), Some(&self.credentials)).await.expect("the adapter connects"))
    }

    /// Seals a version of a type's example with changed fields. The natural key's fields make the record id.
    ///
    /// # Panics
    /// When the example is none, or does not seal.
    #[must_use]
    pub fn seal(&self, example: &Example, version: u64, event: Event, status: Status) -> Sealed {
        let definition = self.catalogue.record_type(&example.record_type).expect("a record type");
        let payload = json!({"fields": example.fields});
        let natural_key = definition.natural_key(&payload).expect("a natural key");
        let id = record_id::make(&example.record_type, &self.code, &self.secret, &natural_key).expect("a record id");
        let content = Content {
            record_id: id.to_string(),
            version,
            status,
            valid_from: example.valid_from.clone(),
            valid_until: example.valid_until.clone(),
            event,
            supersedes: None,
            holders: example.holders.clone(),
            fields: example.fields.clone(),
        };
        let token = self.seal_content(&content, &example.record_type, &self.key);
        Sealed { record_id: content.record_id, version, token }
    }

    /// Seals any content with any key.
    ///
    /// # Panics
    /// When it does not seal.
    #[must_use]
    pub fn seal_content(&self, content: &Content, record_type: &str, key: &SealingKey) -> String {
        let definition = self.catalogue.record_type(record_type).expect("a record type");
        let issuer = weft_record::verify::issuer_of(&self.hub_name, &self.code);
        let vct = definition.vct(&self.hub_name);
        let iat = weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock) / 1000;
        let mut random = weft_hub::clock::fill_random;
        seal(content, &definition.definition.slots, &issuer, &vct, iat, key, &mut random).expect("it seals")
    }

    /// Publishes and waits for every answer, and for the outcome of every receipt.
    pub async fn publish(&self, sealed: &[Sealed]) -> Heard {
        self.publish_bytes(sealed.iter().map(|one| one.token.clone().into_bytes()).collect()).await
    }

    /// Publishes bytes of any kind.
    pub async fn publish_bytes(&self, submissions: Vec<Vec<u8>>) -> Heard {
        publish_at(&mut self.client.clone(), submissions).await.expect("the stream goes through")
    }
}

/// Publishes over a client and waits for every answer, and for the outcome of every receipt. As a real adapter does, it sends
/// again what the hub asks to have again, until that is answered or the patience is over.
///
/// # Errors
/// The stream's end, if the hub refuses it.
pub async fn publish_at(
    client: &mut PublishingClient<Channel>,
    submissions: Vec<Vec<u8>>,
) -> Result<Heard, tonic::Status> {
    let begun = tokio::time::Instant::now();
    let (mut heard, mut open) = (Heard::default(), submissions);
    loop {
        let sent = begun.elapsed();
        let pause = match publish_once(client, open.clone()).await {
            Ok(said) => {
                heard.receipts_took = sent + said.receipts_took;
                heard.merge(said);
                open.retain(|sealed| heard.retry(&weft_record::verify::submission_id(sealed)).is_some());
                let retries = open.iter().filter_map(|one| heard.retry(&weft_record::verify::submission_id(one)));
                Duration::from_millis(retries.map(|retry| retry.retry_after_ms).max().unwrap_or(0))
            }
            Err(status) if status.code() == tonic::Code::Unavailable && begun.elapsed() < PATIENCE => AGAIN,
            Err(status) => return Err(status),
        };
        if open.is_empty() || begun.elapsed() >= PATIENCE {
            return Ok(heard);
        }
        let why = open.first().and_then(|one| heard.retry(&weft_record::verify::submission_id(one)));
        eprintln!("{} submissions are sent again: {:?}", open.len(), why.map(|retry| &retry.reason));
        tokio::time::sleep(pause.clamp(AGAIN, LATEST_AGAIN)).await;
    }
}

/// As [`publish_at`], but everything is sent once: an answer may be that it is to be sent again.
///
/// # Errors
/// The stream's end, if the hub refuses it.
pub async fn publish_once(
    client: &mut PublishingClient<Channel>,
    submissions: Vec<Vec<u8>>,
) -> Result<Heard, tonic::Status> {
    let (sender, requests) = mpsc::channel(8);
    let mut answers = client.publish(ReceiverStream::new(requests)).await?.into_inner();
    let count = submissions.len();
    let done = CancellationToken::new();
    // A stream that is left has to be ended: the connection keeps it otherwise, and a hub that stops waits for it.
    let _ended = done.clone().drop_guard();
    tokio::spawn(async move {
        let send_all = async {
            for (batch, chunk) in submissions.chunks(100).enumerate() {
                let submissions = chunk.iter().map(|sealed| v1::Submission { sealed: sealed.clone() }).collect();
                let request = v1::PublishRequest { batch: batch as u64, submissions, watch: Vec::new() };
                if sender.send(request).await.is_err() {
                    return;
                }
            }
            sender.closed().await;
        };
        done.run_until_cancelled(send_all).await;
    });
    let mut heard = Heard::default();
    tokio::time::timeout(PATIENCE, hear(&mut answers, &mut heard, count)).await.expect("answers and outcomes come")?;
    Ok(heard)
}

async fn hear(
    answers: &mut Streaming<v1::PublishResponse>,
    heard: &mut Heard,
    count: usize,
) -> Result<(), tonic::Status> {
    let began = tokio::time::Instant::now();
    let (mut answered, mut receipts) = (0, 0);
    while answered < count || heard.outcomes.len() < receipts {
        let Some(response) = answers.message().await? else {
            return Err(tonic::Status::unavailable("the stream ended early"));
        };
        match response.kind {
            Some(Kind::Answer(batch)) => {
                answered += batch.answers.len();
                heard.receipts_took = began.elapsed();
                for (id, kind) in batch.answers.into_iter().filter_map(|one| Some((one.submission_id, one.kind?))) {
                    let is_receipt = matches!(kind, submission_answer::Kind::Receipt(_));
                    let is_new = heard.answers.insert(id, kind).is_none();
                    receipts += usize::from(is_receipt && is_new);
                }
            }
            Some(Kind::Outcome(outcome)) => {
                heard.outcomes.insert(outcome.submission_id.clone(), outcome);
            }
            Some(Kind::Resend(_)) | None => {}
        }
    }
    Ok(())
}

/// A fresh sealing key.
///
/// # Panics
/// When the operating system has no randomness.
#[must_use]
pub fn new_key() -> SealingKey {
    SealingKey::generate(Algorithm::EdDsa, &mut weft_hub::clock::fill_random).expect("a sealing key")
}

/// The second operator confirms a sealing key.
///
/// # Errors
/// The hub's refusal.
pub async fn confirm(hub: &TestHub, department: &str, kid: &str) -> Result<v1::Change, tonic::Status> {
    set_key(hub, OPERATOR_NAMES[1], department, kid, v1::KeyState::Active).await
}

/// Sets a sealing key's state.
///
/// # Errors
/// The hub's refusal.
pub async fn set_key(
    hub: &TestHub,
    operator: &str,
    department: &str,
    kid: &str,
    state: v1::KeyState,
) -> Result<v1::Change, tonic::Status> {
    let request = v1::SetSealingKeyStateRequest {
        department: department.into(),
        kid: kid.into(),
        state: state.into(),
        since: None,
    };
    Ok(hub.operator(operator).await.set_sealing_key_state(request).await?.into_inner())
}

/// What a record of a type says, taken from the type's examples.
#[derive(Clone, Debug)]
pub struct Example {
    /// The type.
    pub record_type: String,
    /// Local date.
    pub valid_from: Option<String>,
    /// Local date.
    pub valid_until: Option<String>,
    /// Holders.
    pub holders: Vec<Holder>,
    /// Fields.
    pub fields: Map<String, Value>,
}

impl Example {
    /// A valid example of a type by its file's name.
    ///
    /// # Panics
    /// When there is no such example.
    #[must_use]
    pub fn of(record_type: &str, name: &str) -> Self {
        let path = format!("record-types/{record_type}/examples/{name}.json");
        let file = Catalogue::builtin_files().find(|(one, _)| one.ends_with(&path));
        let (_, text) = file.unwrap_or_else(|| panic!("no example {path}"));
        let example: Value = serde_json::from_str(text).expect("an example is JSON");
        let content = &example["content"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            record_type: record_type.into(),
            valid_from: text(&content["record"]["valid_from"]),
            valid_until: text(&content["record"]["valid_until"]),
            holders: serde_json::from_value(content["holders"].clone()).expect("holders"),
            fields: content["fields"].as_object().expect("fields").clone(),
        }
    }

    /// A business licence of the synthetic body `MAYY` + `number` (below 32,000), with every check digit right.
    #[must_use]
    pub fn business_licence(number: u32) -> Self {
        let mut example = Self::of("business-licence", "valid-company");
        let uscc = synthetic_uscc(number);
        example.holders[0].value.clone_from(&uscc);
        for field in ["uscc", "certificateNumber"] {
            example.fields.insert(field.into(), json!(uscc));
        }
        example.fields.remove("certificateIdentifier");
        example
    }

    /// With one field changed.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.fields.insert(field.into(), value);
        self
    }
}

/// The unified social credit code of a synthetic body: GB 32100-2015 around GB 11714-1997.
///
/// # Panics
/// When `number` is not below 31,000.
#[must_use]
pub fn synthetic_uscc(number: u32) -> String {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    assert!(number < 31_000, "bodies are MAYY0000 to MAYY9999, then MAYYA000 to MAYYY999");
    let body = match number.checked_sub(10_000) {
        None => format!("MAYY{number:04}"),
        Some(more) => {
            let letter = char::from(ALPHABET[10..][more as usize / 1000]);
            format!("MAYY{letter}{:03}", more % 1000)
        }
    };
    let value = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 });
    let sum: u32 = body.bytes().zip([3, 7, 9, 10, 5, 8, 4, 2]).map(|(byte, weight)| value(byte) * weight).sum();
    let inner = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        digit => char::from_digit(digit, 10).expect("a digit"),
    };
    let start = format!("91370322{body}{inner}");
    let mut weight = 1;
    let mut sum = 0;
    for byte in start.bytes() {
        let value = ALPHABET.iter().position(|one| *one == byte).expect("a character of the code");
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    let check = ALPHABET[(31 - sum % 31) % 31];
    format!("{start}{}", char::from(check))
}
