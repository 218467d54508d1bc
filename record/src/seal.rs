//! Sealing: a department's content becomes an SD-JWT whose shape tells nothing about what is in it.
//!
//! Every field and every holder stands behind a digest of its own, lists are filled with decoys to the record type's
//! slots, digests are sorted (so their order says nothing), disclosures are sent in the order of their digests, and
//! every salt has 128 bits of its own. A record sealed without decoys could not be given any later.

mod key;

pub use crate::catalogue::Slots;
pub use key::{KeyError, SealingKey};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::json::MAX_INTEGER;
use crate::sdjwt::{self, Limits};
use crate::status::{Event, Status};

/// The `typ` of every record (SD-JWT VC).
pub const TOKEN_TYPE: &str = "dc+sd-jwt";

/// Whom or what a record is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// What the holder is to the record, as the record type names it.
    pub role: String,
    /// The kind of identifier: `uscc`, `citizen-id` …
    pub scheme: String,
    /// The identifier.
    pub value: String,
    /// The holder's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The holder's share, as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// What a department says in one version of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The record's identifier for ever.
    pub record_id: String,
    /// The version, from 1.
    pub version: u64,
    /// What the record is since this version.
    pub status: Status,
    /// The first day of validity, `YYYY-MM-DD`, local.
    pub valid_from: Option<String>,
    /// The last day of validity, included; none for an open end.
    pub valid_until: Option<String>,
    /// What caused this version.
    pub event: Event,
    /// The record that this one replaces.
    pub supersedes: Option<String>,
    /// The holders, in any order.
    pub holders: Vec<Holder>,
    /// The fields of the record type.
    pub fields: Map<String, Value>,
}

/// Why content cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More fields than the record type has slots.
    #[error("{have} fields do not fit in {slots} slots")]
    TooManyFields {
        /// How many there are.
        have: usize,
        /// How many fit.
        slots: usize,
    },
    /// A field that strict JSON or RFC 9901 does not allow: a fraction, NUL, `_sd`, `...`, or nested too deep.
    #[error("the field {name} cannot be sealed: it has a fraction, a NUL, a reserved name, or is nested too deep")]
    UnsealableField {
        /// The field's name.
        name: String,
    },
    /// The token would go beyond the limits that the door sets.
    #[error("the sealed record would be larger than the door accepts: {bytes} bytes, {digests} digests")]
    TooLarge {
        /// Bytes of the token.
        bytes: usize,
        /// Digests in it.
        digests: usize,
    },
    /// The library refused to sign.
    #[error("signing failed")]
    Signing,
}

/// How many digests the list of holders has: the type's slots, or for more holders the next power of two.
#[must_use]
pub fn holder_slots(holders: usize, slots: usize) -> usize {
    if holders <= slots { slots } else { holders.next_power_of_two() }
}

/// Seals one version of a record as `department` (`issuer` = its `iss`) under `key`. `iat` is in seconds since 1970.
///
/// `random` fills a buffer with bytes from a cryptographic source; with a seeded one the token is the same every time
/// under an Ed25519 key.
///
/// # Errors
/// The content does not fit the type's slots, the door's limits or strict JSON. It is not checked against the type's
/// schema here: that is [`crate::verify::verify`]'s.
pub fn seal(
    content: &Content,
    slots: &Slots,
    issuer: &str,
    vct: &str,
    iat: i64,
    key: &SealingKey,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<String, Error> {
    let limits = Limits::default();
    let mut veil = Veil { random, disclosures: Vec::new() };
    let payload = payload(content, slots, (issuer, vct, iat), &mut veil, limits)?;
    let header = json!({"alg": key.algorithm().name(), "typ": TOKEN_TYPE, "kid": key.kid()});
    let mut token = format!("{}.{}", sdjwt::encode(header.to_string()), sdjwt::encode(payload.to_string()));
    let signature = key.sign(token.as_bytes()).map_err(|_| Error::Signing)?;
    token.push('.');
    token.push_str(&sdjwt::encode(signature));
    token.push('~');
    veil.disclosures.sort_unstable();
    for (_, encoded) in &veil.disclosures {
        token.push_str(encoded);
        token.push('~');
    }
    let digests = 2 + slots.fields + holder_slots(content.holders.len(), slots.holders);
    if token.len() > limits.max_bytes || digests > limits.max_digests {
        return Err(Error::TooLarge { bytes: token.len(), digests });
    }
    Ok(token)
}

/// The payload as it is signed.
fn payload(
    content: &Content,
    slots: &Slots,
    (issuer, vct, iat): (&str, &str, i64),
    veil: &mut Veil<'_>,
    limits: Limits,
) -> Result<Value, Error> {
    if content.fields.len() > slots.fields {
        return Err(Error::TooManyFields { have: content.fields.len(), slots: slots.fields });
    }
    let mut record = json!({"id": content.record_id, "version": content.version, "status": content.status.as_str()});
    for (name, date) in [("valid_from", &content.valid_from), ("valid_until", &content.valid_until)] {
        if let Some(date) = date {
            record[name] = json!(date);
        }
    }
    let event = veil.claim("event", &json!(content.event.as_str()));
    let supersedes = match &content.supersedes {
        Some(id) => veil.claim("supersedes", &json!(id)),
        None => veil.decoy(),
    };
    let holders = content.holders.iter().map(|holder| veil.element(holder)).collect();
    let holders = veil.fill(holders, holder_slots(content.holders.len(), slots.holders));
    let mut fields = Vec::with_capacity(slots.fields);
    for (name, value) in &content.fields {
        // The value stands in `fields` in the payload: two levels are used before it begins.
        if is_reserved(name) || name.contains('\0') || !is_sealable(value, limits.max_depth.saturating_sub(2)) {
            return Err(Error::UnsealableField { name: name.clone() });
        }
        fields.push(veil.claim(name, value));
    }
    let fields = veil.fill(fields, slots.fields);
    let top = veil.fill(vec![event, supersedes], 2);
    let holders: Vec<Value> = holders.into_iter().map(|digest| json!({"...": digest})).collect();
    Ok(json!({
        "iss": issuer, "iat": iat, "vct": vct, "_sd_alg": "sha-256",
        "record": record, "_sd": top, "holders": holders, "fields": {"_sd": fields},
    }))
}

fn is_reserved(name: &str) -> bool {
    name == "_sd" || name == "..."
}

/// Whether the door will read this value as it is: no reserved names, safe integers, no NUL, `depth` levels at most.
fn is_sealable(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|number| number.abs() <= MAX_INTEGER),
        Value::String(text) => !text.contains('\0'),
        Value::Array(elements) => depth > 0 && elements.iter().all(|element| is_sealable(element, depth - 1)),
        Value::Object(members) => {
            let sound = |(name, value): (&String, &Value)| {
                !is_reserved(name) && !name.contains('\0') && is_sealable(value, depth - 1)
            };
            depth > 0 && members.iter().all(sound)
        }
    }
}

/// Makes disclosures and decoys, and keeps the disclosures by their digests.
struct Veil<'r> {
    random: &'r mut dyn FnMut(&mut [u8]),
    disclosures: Vec<(String, String)>,
}

impl Veil<'_> {
    fn salt(&mut self) -> String {
        let mut salt = [0; 16];
        (self.random)(&mut salt);
        sdjwt::encode(salt)
    }

    fn claim(&mut self, name: &str, value: &Value) -> String {
        let salt = self.salt();
        self.disclose(&json!([salt, name, value]))
    }

    fn element(&mut self, value: &Holder) -> String {
        let salt = self.salt();
        self.disclose(&json!([salt, value]))
    }

    fn disclose(&mut self, elements: &Value) -> String {
        let encoded = sdjwt::encode(elements.to_string());
        let digest = sdjwt::digest_of(&encoded);
        self.disclosures.push((digest.clone(), encoded));
        digest
    }

    /// A digest that nothing can be found for: of random bytes (RFC 9901 section 4.2.5).
    fn decoy(&mut self) -> String {
        let mut bytes = [0; 32];
        (self.random)(&mut bytes);
        sdjwt::digest_of(&sdjwt::encode(bytes))
    }

    /// The digests filled with decoys to `slots`, sorted.
    fn fill(&mut self, mut digests: Vec<String>, slots: usize) -> Vec<String> {
        while digests.len() < slots {
            digests.push(self.decoy());
        }
        digests.sort_unstable();
        digests
    }
}

#[cfg(test)]
mod tests;
