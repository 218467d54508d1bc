//! The door: whether a submission may go into the log. Pure; the time is passed in.
//!
//! Stages, in this order; the first that fails answers with all its problems:
//!
//! 1. **shape** – size, UTF-8
//! 2. **token** – RFC 9901 ([`sdjwt`](crate::sdjwt)) and Weft's profile
//! 3. **sender** – may this adapter of this department publish for this `iss`, type and record?
//! 4. **key** – the key registered under (`iss`, `kid`), its state now, the signature
//! 5. **content** – schema, identifiers and the type's own rules, always all three; readable text; `iat`
//!
//! Only what passed becomes a [`Verified`], and only a [`Verified`] can be appended. Nothing in a token chooses its key:
//! `kid` is a name to look up, and everything that could point elsewhere is refused in stage 2.

mod content;
mod facts;

pub use facts::{Facts, LookUp, submission_id};

use serde_json::{Map, Value};

use crate::catalogue::RecordType;
use crate::keys::{KeySet, KeyState, VerifyingKey};
use crate::problem::{Problem, Reason, Rejection, Stage};
use crate::sdjwt::{Limits, Token, profile};

/// How far `iat` may lie ahead of the hub's clock, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 5 * 60;

/// As many characters of a pointer are told.
const MAX_POINTER: usize = 200;

/// As many problems are told of one submission; more would not be read.
const MAX_PROBLEMS: usize = 100;

/// Who hands a submission over, from the certificate of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The department's code.
    pub department: String,
    /// The adapter's name within the department.
    pub adapter: String,
}

/// A sealing key as the registry has it.
#[derive(Debug, Clone, Copy)]
pub struct RegisteredKey<'r> {
    /// The public key.
    pub key: &'r VerifyingKey,
    /// What became of it.
    pub state: KeyState,
}

/// What verification asks of the registry: look-ups in one snapshot, without I/O.
pub trait RegistryView {
    /// The hub's public name, the host in every `iss` and `vct`.
    fn public_name(&self) -> &str;

    /// Whether this adapter publishes this record type for its department: a type of a department belongs to one adapter.
    fn may_publish(&self, sender: &Sender, record_type: &str) -> bool;

    /// The key that was registered under this name for this issuer, in whatever state.
    fn key(&self, issuer: &str, kid: &str) -> Option<RegisteredKey<'_>>;

    /// The record type that a `vct` names, in exactly its version.
    fn record_type(&self, vct: &str) -> Option<&RecordType>;
}

/// The `iss` of a department's records.
#[must_use]
pub fn issuer_of(public_name: &str, department: &str) -> String {
    format!("https://{public_name}/departments/{department}")
}

/// The department of an `iss` of this hub.
#[must_use]
pub fn department_of<'i>(public_name: &str, issuer: &'i str) -> Option<&'i str> {
    issuer.strip_prefix("https://")?.strip_prefix(public_name)?.strip_prefix("/departments/")
}

/// A submission that passed the door. Made by [`verify`] alone.
#[derive(Clone)]
pub struct Verified {
    sealed: String,
    facts: Facts,
    warnings: Vec<Problem>,
}

impl Verified {
    /// The bytes exactly as they were submitted.
    #[must_use]
    pub fn sealed(&self) -> &str {
        &self.sealed
    }

    /// What they say.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is worth saying and refuses nothing; it travels with the record.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The parts, for whoever appends.
    #[must_use]
    pub fn into_parts(self) -> (String, Facts, Vec<Problem>) {
        (self.sealed, self.facts, self.warnings)
    }
}

/// Names no person.
impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified")
            .field("facts", &self.facts)
            .field("warnings", &self.warnings.len())
            .finish_non_exhaustive()
    }
}

/// Judges a submission. `now_ms` is the hub's time of acceptance, in milliseconds since 1970.
///
/// # Errors
/// Every problem of the first stage that fails.
pub fn verify(
    submission: &[u8],
    sender: &Sender,
    registry: &dyn RegistryView,
    now_ms: i64,
) -> Result<Verified, Rejection> {
    let text = check_shape(submission)?;
    let token = parse(text)?;
    let record_type = token.payload.get("vct").and_then(Value::as_str).and_then(|vct| registry.record_type(vct));
    let payload = check_token(&token, record_type)?;
    let record_type = check_sender(&payload, sender, registry, record_type)?;
    check_key(&token, registry, Some(now_ms))?;
    let (event, warnings) = content::check(&payload, record_type, now_ms)?;
    let facts = Facts::read(&token, payload, record_type, event, &sender.department)?;
    Ok(Verified { sealed: text.to_owned(), facts, warnings })
}

/// Reads again what passed the door before, as a rebuild from the log does: token, key and signature are checked, but
/// not the sender, the key's present state, schemas and rules, all of which may have changed since.
///
/// # Errors
/// It is not what a department of this hub sealed, or its type is unknown.
pub fn reread(sealed: &[u8], registry: &dyn RegistryView) -> Result<Facts, Rejection> {
    let text = check_shape(sealed)?;
    let token = parse(text)?;
    let payload = check_token(&token, None)?;
    let vct = payload.get("vct").and_then(Value::as_str);
    let record_type = vct
        .and_then(|vct| registry.record_type(vct))
        .ok_or_else(|| Rejection::one(Problem::new("/vct", Reason::UnknownType)))?;
    let issuer = payload.get("iss").and_then(Value::as_str);
    let department = issuer
        .and_then(|issuer| department_of(registry.public_name(), issuer))
        .ok_or_else(|| Rejection::one(Problem::new("/iss", Reason::NotYourIssuer)))?
        .to_owned();
    check_key(&token, registry, None)?;
    let event = crate::catalogue::effective_event(&payload)
        .ok_or_else(|| Rejection::one(Problem::new("/event", Reason::MissingField)))?;
    Facts::read(&token, payload, record_type, event, &department)
}

/// A presentation whose seal verified.
#[derive(Clone, PartialEq)]
pub struct VerifiedPresentation {
    /// Who sealed it. Whether the keys were really this issuer's is for whoever chose them.
    pub issuer: String,
    /// Under which key.
    pub kid: String,
    /// What it says.
    pub payload: Map<String, Value>,
}

/// Names no person.
impl std::fmt::Debug for VerifiedPresentation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { issuer, kid, .. } = self;
        f.debug_struct("VerifiedPresentation").field("issuer", issuer).field("kid", kid).finish_non_exhaustive()
    }
}

/// Checks a presentation (or a whole record) offline: RFC 9901, the profile, and the seal under one of `keys`. Says
/// nothing about whether the record is still current: that is the hub's statement.
///
/// # Errors
/// Every problem of the first stage that fails.
pub fn verify_presentation(presentation: &[u8], keys: &KeySet) -> Result<VerifiedPresentation, Rejection> {
    let token = parse(check_shape(presentation)?)?;
    let Value::Object(payload) = check_token(&token, None)? else {
        return Err(Rejection::one(Problem::new("", Reason::MalformedToken)));
    };
    let kid = kid_of(&token);
    let key = keys.get(kid).ok_or_else(|| Rejection::one(Problem::new("", Reason::UnknownKey)))?;
    token.check_signature(key).map_err(|error| Rejection::one(Problem::from(&error)))?;
    let issuer = payload.get("iss").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(VerifiedPresentation { issuer, kid: kid.to_owned(), payload })
}

/// Fails the stage if there is any problem.
fn pass(stage: Stage, problems: Vec<Problem>) -> Result<(), Rejection> {
    if problems.iter().all(|problem| problem.warning) { Ok(()) } else { Err(refusal(stage, problems)) }
}

fn refusal(stage: Stage, problems: Vec<Problem>) -> Rejection {
    Rejection { stage, problems: bounded(problems) }
}

/// Problems as they may be told, whatever the sender put in.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.truncate(MAX_PROBLEMS);
    for problem in &mut problems {
        problem.pointer = shown(&problem.pointer);
    }
    problems
}

/// A pointer as it may be told: names of members are a stranger's text, so they are kept short and readable.
fn shown(pointer: &str) -> String {
    let readable = |character| if content::is_unreadable(character) { char::REPLACEMENT_CHARACTER } else { character };
    pointer.chars().map(readable).take(MAX_POINTER).collect()
}

fn check_shape(submission: &[u8]) -> Result<&str, Rejection> {
    if submission.len() > Limits::default().max_bytes {
        return Err(Rejection::one(Problem::new("", Reason::TooLarge)));
    }
    std::str::from_utf8(submission).map_err(|_| Rejection::one(Problem::new("", Reason::MalformedToken)))
}

fn parse(text: &str) -> Result<Token<'_>, Rejection> {
    Token::parse(text, Limits::default()).map_err(|error| refusal(Stage::Token, vec![Problem::from(&error)]))
}

/// Both layers at once: the processed payload, if neither finds anything.
fn check_token(token: &Token<'_>, record_type: Option<&RecordType>) -> Result<Value, Rejection> {
    let slots = record_type.map(|record_type| &record_type.definition.slots);
    let mut errors = profile::check(token, slots);
    match token.process() {
        Ok(payload) if errors.is_empty() => return Ok(Value::Object(payload)),
        Ok(_) => {}
        Err(error) => errors.push(error),
    }
    Err(refusal(Stage::Token, errors.iter().take(MAX_PROBLEMS).map(Problem::from).collect()))
}

fn check_sender<'r>(
    payload: &Value,
    sender: &Sender,
    registry: &dyn RegistryView,
    record_type: Option<&'r RecordType>,
) -> Result<&'r RecordType, Rejection> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut problems = Vec::new();
    if text("/iss") != issuer_of(registry.public_name(), &sender.department) {
        problems.push(Problem::new("/iss", Reason::NotYourIssuer));
    }
    let record_type = record_type.filter(|known| known.vct(registry.public_name()) == text("/vct"));
    let Some(record_type) = record_type else {
        problems.push(Problem::new("/vct", Reason::UnknownType));
        return Err(refusal(Stage::Sender, problems));
    };
    let name = &record_type.definition.name;
    if !registry.may_publish(sender, name) {
        problems.push(Problem::new("/vct", Reason::NotYourType));
    }
    if !facts::is_record_id(text("/record/id"), name, &sender.department) {
        problems.push(Problem::new("/record/id", Reason::WrongRecordId));
    }
    pass(Stage::Sender, problems)?;
    Ok(record_type)
}

fn kid_of<'t>(token: &'t Token<'_>) -> &'t str {
    token.header.get("kid").and_then(Value::as_str).unwrap_or_default()
}

/// The key, its state at `now_ms` (without it, that it was ever confirmed), and the signature.
fn check_key(token: &Token<'_>, registry: &dyn RegistryView, now_ms: Option<i64>) -> Result<(), Rejection> {
    let issuer = token.payload.get("iss").and_then(Value::as_str).unwrap_or_default();
    let mut problems = Vec::new();
    match registry.key(issuer, kid_of(token)) {
        None => problems.push(Problem::new("", Reason::UnknownKey)),
        Some(registered) => {
            let accepted = match now_ms {
                Some(now_ms) => registered.state.accepts(now_ms),
                // What became of a key later does not touch what it sealed before; one never confirmed sealed nothing.
                None if registered.state == KeyState::Pending => Err(Reason::UnknownKey),
                None => Ok(()),
            };
            problems.extend(accepted.err().map(|reason| Problem::new("", reason)));
            if let Err(error) = token.check_signature(registered.key) {
                problems.push(Problem::from(&error));
            }
        }
    }
    pass(Stage::Key, problems)
}

#[cfg(test)]
mod tests;
