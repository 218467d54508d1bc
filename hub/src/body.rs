//! What stands inside envelopes besides sealed records: JSON bodies of quarantine, ledger and stub entries.

use serde::{Deserialize, Serialize};
use weft_record::problem::Problem;

use crate::{clock::Millis, registry::event::Erasure};

/// A submission refused at the door, kept with its problems until its department sends a right one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// SHA-256 of the sealed bytes, hex.
    pub submission_id: String,
    /// The sender's department.
    pub department: String,
    /// The sender: `department/<code>/adapter/<name>`.
    pub sender: String,
    /// Empty where it could not be read.
    pub record_type: String,
    /// Empty where it could not be read.
    pub record_id: String,
    /// 0 where it could not be read.
    pub version: u64,
    /// The first stage that failed.
    pub stage: String,
    /// All problems of that stage.
    pub problems: Vec<Problem>,
    /// What was handed in, base64; empty where it says to be a version that was erased.
    pub sealed: String,
}

/// An erased version that was handed in again: what its outcome follows from, and nothing of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// SHA-256 of the sealed bytes, hex.
    pub submission_id: String,
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The content digest of what was handed in, hex.
    pub digest: String,
}

/// One look: allowed and about to be sent, or denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// The look's id: the entry id of its first writing, hex.
    pub look_id: String,
    /// `look` or `look_denied`.
    pub kind: String,
    /// When it was decided.
    pub at: Millis,
    /// The window, from its certificate.
    pub window: String,
    /// The clerk, as the window named them.
    pub clerk: String,
    /// The case's number.
    pub case_number: String,
    /// The service item.
    pub service_item: String,
    /// The party's role.
    pub party_role: String,
    /// Why.
    pub purpose: String,
    /// The window's request id.
    pub request_id: String,
    /// The grant that allowed it; empty where none did.
    pub grant: String,
    /// The department whose records were asked for; empty where nobody's.
    pub department: String,
    /// The record type.
    pub record_type: String,
    /// Keyed hash of the holder asked about, hex; empty for a look by record.
    pub holder: String,
    /// Keyed hash of what was asked for within the type, hex; empty where nothing was looked up.
    #[serde(default)]
    pub question: String,
    /// What was given: record, version, the answering word, the fields disclosed.
    pub given: Vec<Given>,
    /// The time of acceptance asked about; absent for now.
    pub as_of: Option<Millis>,
    /// The registry position that it was decided on.
    pub registry_position: u64,
    /// The salt of this entry's leaf, hex; the looker has it too.
    pub salt: String,
}

/// One record given to a looker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The answering word, lower case.
    pub answering: String,
    /// The names of the fields disclosed.
    pub fields: Vec<String>,
}

/// A stub in the place of an erased version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// Its event.
    pub event: String,
    /// Its status.
    pub status: String,
    /// Its content digest, hex.
    pub digest: String,
}

impl From<&Erasure> for Stub {
    fn from(erasure: &Erasure) -> Self {
        Self {
            record_id: erasure.record_id.clone(),
            version: erasure.version,
            event: erasure.event.clone(),
            status: erasure.status.clone(),
            digest: erasure.content_digest.clone(),
        }
    }
}
