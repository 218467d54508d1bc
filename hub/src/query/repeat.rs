//! A request that comes again: whether it asks the same, and which versions its first answer pins.

use weft_proto::{Reason, Refusal};
use weft_record::record_id::RecordId;

use super::{Query, Question, coalesce::Asked};
use crate::{
    body::Look,
    envelope::{self, Place},
    index::{By, Found, LookUp, rows::LedgerRow},
    keys::Keys,
    log::Topic,
    registry::Registry,
};

impl Query {
    /// A repeated request is answered anew from the versions that its first entry pins.
    pub(super) async fn pinned(
        &self,
        pins: Vec<(String, u64)>,
        mut floor: u64,
        look_up: &LookUp,
    ) -> Result<(u64, Vec<Found>), Refusal> {
        let mut found = Vec::new();
        for (record_id, version) in pins {
            let pin = LookUp { by: By::Record(record_id), version: Some(version), as_of: None, holder: look_up.holder };
            let one = self.coalescer.look(Asked { look_up: pin, request: None }).await?;
            if one.repairing && one.found.is_empty() {
                return Err(Refusal::new(Reason::PartitionNotCurrent));
            }
            floor = floor.max(one.registry_floor);
            found.extend(one.found);
        }
        Ok((floor, found))
    }
}

/// Keyed hash of what a look asks for within its record type, hex. Of an identifier the normalised value counts.
pub(super) fn question_hash(keys: &Keys, question: &Question, look_up: &LookUp) -> String {
    let hash = match (question, &look_up.by) {
        (Question::Record(id), _) => keys.keyed_hash(&["question", "record", id]),
        (Question::Identifier { field, .. }, By::Identifier { record_type, hash }) => {
            keys.keyed_hash(&["question", "identifier", record_type, field, &hex::encode(hash)])
        }
        (Question::Identifier { record_type, .. } | Question::Holder { record_type, .. }, _) => {
            keys.keyed_hash(&["question", "holder", record_type])
        }
    };
    hex::encode(hash)
}

/// The versions that a repeat is answered from; `None` where it is answered as if it were the first.
///
/// # Errors
/// The request id was used for another record or identifier of the same type.
pub(super) fn pinned_by(
    first: &LedgerRow,
    registry: &Registry,
    record_type: &str,
    question: &str,
    look_up: &LookUp,
) -> Result<Option<Vec<(String, u64)>>, Refusal> {
    let opened = open(first, registry);
    if let (Some(entry), By::Record(_) | By::Identifier { .. }) = (&opened, &look_up.by)
        && entry.kind == "look"
        && entry.record_type == record_type
        && !entry.question.is_empty()
        && entry.question != question
    {
        return Err(Refusal::new(Reason::BadRequest)
            .field("look.request_id", "was used for another question; a new question has a new request id"));
    }
    let same = opened.is_some_and(|entry| entry.question == question);
    Ok(pins(first, look_up, same))
}

/// The entry's text. An entry that stands where the log was repaired has another id than its look's, and cannot be opened by it.
fn open(first: &LedgerRow, registry: &Registry) -> Option<Look> {
    let key = first.entry_id.to_string();
    let place = Place { topic: &Topic::Ledger, key: &key, entry_id: first.entry_id };
    let (_, text) = envelope::open(place, registry, &first.envelope).ok()?;
    serde_json::from_slice(&text).ok()
}

/// `same`: the question is known to be the first one's.
fn pins(first: &LedgerRow, look_up: &LookUp, same: bool) -> Option<Vec<(String, u64)>> {
    if first.kind != "look" || first.holder != look_up.holder {
        return None;
    }
    let pins: Vec<(String, u64)> = serde_json::from_str(&first.records).unwrap_or_default();
    let fits = match &look_up.by {
        By::Record(id) => pins.iter().all(|(pinned, _)| pinned == id),
        By::Identifier { .. } => same,
        // A later page is not what the first one gave.
        By::Holder { after: Some(_), .. } => false,
        // A request id that came with another question before pins nothing: what was given then may not be granted now.
        By::Holder { record_type, .. } => {
            pins.iter().all(|(pinned, _)| pinned.parse::<RecordId>().is_ok_and(|one| one.record_type() == record_type))
        }
    };
    (fits && !pins.is_empty()).then_some(pins)
}
