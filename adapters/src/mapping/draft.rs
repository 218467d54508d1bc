//! What a row says, before it is a version of a record: that needs to know what was published before.

use serde::{Deserialize, Serialize};
use weft_record::status::{Event, Status};

/// What a row says of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The first day of validity.
    pub valid_from: Option<String>,
    /// The last day of validity; nothing for an open end.
    pub valid_until: Option<String>,
    /// The holders, in the order of the row.
    pub holders: Vec<HolderDraft>,
    /// The fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// What happened, as far as the row says it.
    pub intent: Intent,
}

impl Draft {
    /// An event that needs no content: what it takes away keeps what it said.
    #[must_use]
    pub fn without_content(intent: Intent) -> Self {
        Self { valid_from: None, valid_until: None, holders: Vec::new(), fields: serde_json::Map::new(), intent }
    }
}

/// One holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderDraft {
    /// Its role.
    pub role: String,
    /// The kind of its number.
    pub scheme: String,
    /// Its number, normalised.
    pub value: String,
    /// Its name.
    pub name: Option<String>,
    /// Its share.
    pub share: Option<String>,
}

/// What a row says of the record's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// The record is this now; what happened follows from the difference.
    Is(Status),
    /// This happened.
    Happened(Event),
}
