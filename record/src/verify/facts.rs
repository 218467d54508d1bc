//! What a verified record says, taken out once for all who come after.

use aws_lc_rs::digest;
use serde_json::Value;

use super::kid_of;
use crate::catalogue::RecordType;
use crate::identifier::{Scheme, normalise_holder};
use crate::problem::{Problem, Reason, Rejection};
use crate::record_id::RecordId;
use crate::sdjwt::Token;
use crate::seal::Holder;
use crate::status::{Event, Status};

/// A value that a record of the type can be looked up by, as a licence number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookUp {
    /// The field.
    pub field: String,
    /// Its value, normalised.
    pub value: String,
}

/// What a verified record says.
#[derive(Clone, PartialEq)]
pub struct Facts {
    /// SHA-256 of the submitted bytes: the submission's id.
    pub submission_id: [u8; 32],
    /// The department that sealed it.
    pub department: String,
    /// Its `iss`.
    pub issuer: String,
    /// The name of its sealing key.
    pub kid: String,
    /// The record type's name.
    pub record_type: String,
    /// The record type's version.
    pub type_version: u32,
    /// The record's identifier.
    pub record_id: String,
    /// The version, from 1.
    pub version: u64,
    /// What caused it; where that cannot be read, the taking-away event that the status speaks of.
    pub event: Event,
    /// What the record is since.
    pub status: Status,
    /// First day, `YYYY-MM-DD`, local.
    pub valid_from: Option<String>,
    /// Last day, included.
    pub valid_until: Option<String>,
    /// When it was sealed, as the sealer says: seconds since 1970.
    pub iat: i64,
    /// The record that this one replaces.
    pub supersedes: Option<String>,
    /// The holders with their identifiers normalised; of an event that takes away, those that can be read.
    pub holders: Vec<Holder>,
    /// What the record can be looked up by, normalised.
    pub look_ups: Vec<LookUp>,
    /// The processed payload.
    pub payload: Value,
}

/// Names no person: neither holders nor fields are shown.
impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts")
            .field("record_id", &self.record_id)
            .field("version", &self.version)
            .field("event", &self.event)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Facts {
    /// Takes the facts out of a processed payload that passed the profile.
    pub(super) fn read(
        token: &Token<'_>,
        payload: Value,
        record_type: &RecordType,
        event: Event,
        department: &str,
    ) -> Result<Self, Rejection> {
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let missing = |pointer: &str| Rejection::one(Problem::new(pointer, Reason::MissingField));
        let status = text("/record/status").and_then(|status| status.parse::<Status>().ok());
        let holders = payload.get("holders").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let facts = Self {
            submission_id: submission_id(token.text.as_bytes()),
            department: department.to_owned(),
            issuer: text("/iss").ok_or_else(|| missing("/iss"))?,
            kid: kid_of(token).to_owned(),
            record_type: record_type.definition.name.clone(),
            type_version: record_type.definition.version,
            record_id: text("/record/id").ok_or_else(|| missing("/record/id"))?,
            version: payload
                .pointer("/record/version")
                .and_then(Value::as_u64)
                .ok_or_else(|| missing("/record/version"))?,
            event,
            status: status.ok_or_else(|| missing("/record/status"))?,
            valid_from: text("/record/valid_from"),
            valid_until: text("/record/valid_until"),
            iat: payload.get("iat").and_then(Value::as_i64).ok_or_else(|| missing("/iat"))?,
            supersedes: text("/supersedes"),
            holders: holders.iter().filter_map(readable_holder).collect(),
            look_ups: look_ups(&payload, record_type),
            payload,
        };
        Ok(facts)
    }
}

/// The id of a submission: SHA-256 of its bytes.
#[must_use]
pub fn submission_id(submission: &[u8]) -> [u8; 32] {
    let mut id = [0; 32];
    id.copy_from_slice(digest::digest(&digest::SHA256, submission).as_ref());
    id
}

fn readable_holder(element: &Value) -> Option<Holder> {
    let mut holder: Holder = serde_json::from_value(element.clone()).ok()?;
    let scheme: Scheme = holder.scheme.parse().ok()?;
    holder.value = normalise_holder(scheme, &holder.value);
    Some(holder)
}

/// The fields that the type is looked up by, of a list every text in it.
fn look_ups(payload: &Value, record_type: &RecordType) -> Vec<LookUp> {
    let mut found = Vec::new();
    for (name, _) in record_type.definition.fields.iter().filter(|(_, field)| field.look_up) {
        let values = match payload.get("fields").and_then(|fields| fields.get(name)) {
            Some(Value::Array(values)) => values.iter().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        for text in values.into_iter().filter_map(Value::as_str) {
            let value = record_type.normalise_field(name, text);
            if !value.is_empty() {
                found.push(LookUp { field: name.clone(), value });
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether this is a record_id of exactly this type and department.
pub(super) fn is_record_id(id: &str, record_type: &str, department: &str) -> bool {
    id.parse::<RecordId>().is_ok_and(|id| id.record_type() == record_type && id.department() == department)
}
