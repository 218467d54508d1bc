//! A version cut down to the granted fields and the holder asked about. The seal still verifies; what was not granted is absent.

use std::collections::BTreeSet;

use serde_json::Value;
use weft_proto::{Reason, Refusal};
use weft_record::{
    identifier::{Scheme, normalise_holder},
    present::{Error, HolderSelection, Presentation, present},
    sdjwt::{Limits, Token},
};

use super::answering::Word;
use crate::{
    envelope::{self, DataKeys, Place},
    index::Found,
};

/// A version with the word that answers it.
#[derive(Debug)]
pub struct Presented {
    /// The word.
    pub word: Word,
    /// What was found.
    pub found: Found,
    /// The presentation; `None` where the text was erased.
    pub cut: Option<Presentation>,
}

/// Opens the version's envelope and cuts the record down.
pub fn cut(
    found: &Found,
    keys: &dyn DataKeys,
    fields: &BTreeSet<String>,
    holder: Option<&(String, String)>,
) -> Result<Option<Presentation>, Refusal> {
    let row = &found.row;
    if row.erased {
        return Ok(None);
    }
    let place = Place { topic: &row.partition.topic, key: &row.key, entry_id: row.entry_id };
    let internal = |what: &str| Refusal::new(Reason::Internal).detail(what.to_owned());
    let (_, text) =
        envelope::open(place, keys, &row.envelope).map_err(|_| internal("an indexed envelope does not open"))?;
    let sealed = std::str::from_utf8(&text).map_err(|_| internal("an indexed record is not text"))?;
    let Some((scheme, value)) = holder else {
        return present(sealed, fields, &HolderSelection::None)
            .map(Some)
            .map_err(|_| internal("an indexed record does not open"));
    };
    let selection = HolderSelection::Only { scheme: scheme.clone(), value: value.clone() };
    match present(sealed, fields, &selection) {
        Ok(presentation) => Ok(Some(presentation)),
        Err(Error::NoSuchHolder) => {
            // The department may have sealed the number in another writing; an event that takes away may name no holder at all.
            let selection = as_sealed(sealed, scheme, value).unwrap_or(HolderSelection::None);
            present(sealed, fields, &selection).map(Some).map_err(|_| internal("an indexed record does not open"))
        }
        Err(_) => Err(internal("an indexed record does not open")),
    }
}

fn as_sealed(sealed: &str, scheme: &str, value: &str) -> Option<HolderSelection> {
    let kind: Scheme = scheme.parse().ok()?;
    let payload = Token::parse(sealed, Limits::default()).ok()?.process().ok()?;
    let holders = payload.get("holders")?.as_array()?;
    holders.iter().find_map(|holder| {
        let written = holder.get("value").and_then(Value::as_str)?;
        let same = holder.get("scheme").and_then(Value::as_str)? == scheme && normalise_holder(kind, written) == value;
        same.then(|| HolderSelection::Only { scheme: scheme.to_owned(), value: written.to_owned() })
    })
}
