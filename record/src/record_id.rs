//! `record_id`: the name of a record, for ever: `<type>.<department>.<26 base32 characters>`.
//!
//! The last part is an HMAC of the natural key under a secret of the department, so that a record's name can stand in
//! keys, logs and URLs without telling a number of the holder, and so that the department's adapters all make the same
//! one. It is made as follows, which may never change:
//!
//! - key = HKDF-SHA256 (RFC 5869; no salt), secret as input, info = `weft record_id v1` and the department;
//! - mac = HMAC-SHA256 over the type, then each normalised part of the natural key; each with its length in bytes before
//!   it, as 8 bytes, most significant first;
//! - the first 130 bits in the alphabet of RFC 4648 section 6, lower case.

use aws_lc_rs::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const LABEL: &[u8] = b"weft record_id v1";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const CODE_CHARS: usize = 26;
const MAX_PART_CHARS: usize = 64;

/// The name of a record. Any value of this type has the right form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(String);

/// A text that is no record_id, or parts from which none can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record_id is <type>.<department>.<26 base32 characters>")]
pub struct InvalidRecordId;

impl RecordId {
    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The record type that it names.
    #[must_use]
    pub fn record_type(&self) -> &str {
        self.part(0)
    }

    /// The department that it names.
    #[must_use]
    pub fn department(&self) -> &str {
        self.part(1)
    }

    fn part(&self, place: usize) -> &str {
        self.0.split('.').nth(place).unwrap_or_default()
    }
}

impl FromStr for RecordId {
    type Err = InvalidRecordId;

    fn from_str(text: &str) -> Result<Self, InvalidRecordId> {
        let parts: Vec<&str> = text.split('.').collect();
        let [record_type, department, code] = parts[..] else { return Err(InvalidRecordId) };
        let well_formed = is_type(record_type)
            && is_department(department)
            && code.len() == CODE_CHARS
            && code.bytes().all(|character| ALPHABET.contains(&character));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidRecordId) }
    }
}

/// `[a-z][a-z-]*`, as `type` in `type.toml`.
fn is_type(text: &str) -> bool {
    text.len() <= MAX_PART_CHARS
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|character| character.is_ascii_lowercase() || character == b'-')
}

/// `[a-z0-9][a-z0-9-]*`: the code of a department.
fn is_department(text: &str) -> bool {
    text.len() <= MAX_PART_CHARS
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text
            .bytes()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == b'-')
}

impl TryFrom<String> for RecordId {
    type Error = InvalidRecordId;

    fn try_from(text: String) -> Result<Self, InvalidRecordId> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(record_id: RecordId) -> Self {
        record_id.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RecordId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The key by which one department's records are named, derived once.
pub struct RecordIdKey {
    department: String,
    key: hmac::Key,
}

impl fmt::Debug for RecordIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordIdKey").field("department", &self.department).finish_non_exhaustive()
    }
}

impl RecordIdKey {
    /// Derives the key of a department from its secret.
    ///
    /// # Errors
    /// The department's code is not `[a-z0-9][a-z0-9-]*`.
    pub fn new(department: &str, secret: &[u8; 32]) -> Result<Self, InvalidRecordId> {
        if !is_department(department) {
            return Err(InvalidRecordId);
        }
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret);
        let info = [LABEL, department.as_bytes()];
        let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).map_err(|_| InvalidRecordId)?;
        let mut derived = zeroize::Zeroizing::new([0; 32]);
        expanded.fill(&mut *derived).map_err(|_| InvalidRecordId)?;
        Ok(Self { department: department.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &*derived) })
    }

    /// Names the record of a type with this natural key, whose parts are already normalised.
    ///
    /// # Errors
    /// The type's name is not `[a-z][a-z-]*`, or the natural key is empty or has an empty part.
    pub fn name(&self, record_type: &str, natural_key: &[String]) -> Result<RecordId, InvalidRecordId> {
        if !is_type(record_type) || natural_key.is_empty() || natural_key.iter().any(String::is_empty) {
            return Err(InvalidRecordId);
        }
        let mut mac = hmac::Context::with_key(&self.key);
        for part in std::iter::once(record_type).chain(natural_key.iter().map(String::as_str)) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let code = base32(mac.sign().as_ref());
        Ok(RecordId(format!("{record_type}.{}.{code}", self.department)))
    }
}

/// Names one record. For many, derive the [`RecordIdKey`] once.
///
/// # Errors
/// As [`RecordIdKey::new`] and [`RecordIdKey::name`].
pub fn make(
    record_type: &str,
    department: &str,
    secret: &[u8; 32],
    natural_key: &[String],
) -> Result<RecordId, InvalidRecordId> {
    RecordIdKey::new(department, secret)?.name(record_type, natural_key)
}

/// The first 130 bits in RFC 4648 base32, lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    (0..CODE_CHARS)
        .map(|place| {
            let bit = place * 5;
            let pair = u16::from(bytes[bit / 8]) << 8 | u16::from(bytes[bit / 8 + 1]);
            ALPHABET[usize::from(pair >> (11 - bit % 8) & 31)] as char
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn base32_agrees_with_rfc_4648() {
        let mut bytes = *b"foobar\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert!(base32(&bytes).starts_with("mzxw6ytboi"));
        bytes.fill(0xff);
        assert_eq!(base32(&bytes), "7".repeat(26));
    }

    /// Made once with another implementation of HKDF and HMAC (Python's `hmac` and `hashlib`): a record's name may
    /// never change.
    #[test]
    fn a_name_made_today_is_the_name_for_ever() {
        let secret: [u8; 32] = std::array::from_fn(|at| at as u8);
        let named = make("business-licence", "market-regulation", &secret, &key(&["91370322MAYY000184"])).unwrap();
        assert_eq!(named.as_str(), "business-licence.market-regulation.6dh4ujtkutlmlb4wyipoxs3ogg");
        let two = make("social-insurance-proof", "human-resources", &secret, &key(&["99000001", "养老保险"])).unwrap();
        assert_eq!(two.as_str(), "social-insurance-proof.human-resources.gkg2y755idapgy7tbnd3rwfuku");
        assert_eq!((named.record_type(), named.department()), ("business-licence", "market-regulation"));
    }

    #[test]
    fn type_department_secret_and_the_cut_between_parts_all_matter() {
        let names: std::collections::HashSet<String> = [
            make("type-a", "dep-a", &[1; 32], &key(&["ab", "c"])),
            make("type-b", "dep-a", &[1; 32], &key(&["ab", "c"])),
            make("type-a", "dep-b", &[1; 32], &key(&["ab", "c"])),
            make("type-a", "dep-a", &[2; 32], &key(&["ab", "c"])),
            make("type-a", "dep-a", &[1; 32], &key(&["a", "bc"])),
            make("type-a", "dep-a", &[1; 32], &key(&["abc"])),
        ]
        .into_iter()
        .map(|name| name.unwrap().part(2).to_owned())
        .collect();
        assert_eq!(names.len(), 6);
    }

    #[test]
    fn texts_of_another_form_are_no_record_id() {
        let code = "a".repeat(26);
        assert!(format!("a-b.dep-1.{code}").parse::<RecordId>().is_ok());
        for text in [
            String::new(),
            format!("a.b.{code}.c"),
            format!("A.b.{code}"),
            format!("a1.b.{code}"),
            format!(".b.{code}"),
            format!("a..{code}"),
            format!("a.b_c.{code}"),
            format!("a.b.{}", &code[1..]),
            format!("a.b.{code}a"),
            format!("a.b.{}", "A".repeat(26)),
            format!("a.b.{}", "1".repeat(26)),
            format!("{}.b.{code}", "a".repeat(65)),
        ] {
            assert_eq!(text.parse::<RecordId>(), Err(InvalidRecordId), "{text}");
            assert!(serde_json::from_value::<RecordId>(serde_json::Value::String(text)).is_err());
        }
    }

    #[test]
    fn what_would_not_read_back_is_not_made() {
        let parts = key(&["x"]);
        assert!(make("Type", "dep", &[0; 32], &parts).is_err());
        assert!(make("type", "部门", &[0; 32], &parts).is_err());
        assert!(make("type", "dep", &[0; 32], &[]).is_err());
        assert!(make("type", "dep", &[0; 32], &key(&["x", ""])).is_err());
        let made = make("type", "dep", &[0; 32], &parts).unwrap();
        assert_eq!(made.to_string().parse::<RecordId>(), Ok(made));
    }

    #[test]
    fn the_key_tells_nothing_of_itself() {
        let shown = format!("{:?}", RecordIdKey::new("dep", &[7; 32]).unwrap());
        assert_eq!(shown, "RecordIdKey { department: \"dep\", .. }");
    }
}
