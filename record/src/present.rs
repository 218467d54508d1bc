//! Cutting a record down: the same token with disclosures left out, so its seal still verifies.
//!
//! What a presentation always says: the plain claims (`iss`, `iat`, `vct`, `record`) and `event`, without which a reader
//! cannot tell why the status is what it is. `supersedes` is never in it: that names another record, which has grants of
//! its own. A field or holder that was not chosen is absent, not hidden: neither its value nor its name nor its salt
//! is in the bytes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::identifier::{Scheme, normalise_holder};
use crate::sdjwt::profile::{Layout, Place};
use crate::sdjwt::{self, Disclosure, Limits, Token};
use crate::seal::Holder;

/// Which holder a presentation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HolderSelection {
    /// None: for a look by record identifier.
    None,
    /// The one that was asked about, in each of its roles.
    Only {
        /// The scheme of its identifier.
        scheme: String,
        /// The identifier, in any spelling that normalises to the sealed one's form.
        value: String,
    },
}

/// A record cut down to the chosen fields. Its token verifies as the whole record does.
#[derive(Clone, PartialEq)]
pub struct Presentation {
    /// The SD-JWT, ending in one tilde.
    pub token: String,
    /// The fields in it. One that was asked for and that the record does not have is not among them.
    pub fields: Map<String, Value>,
    /// The holder that was asked for: once for each role it has; empty if none was asked for.
    pub holders: Vec<Holder>,
}

/// Names only: what is presented is personal data.
impl std::fmt::Debug for Presentation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.fields.keys().collect();
        f.debug_struct("Presentation")
            .field("fields", &names)
            .field("holders", &self.holders.len())
            .finish_non_exhaustive()
    }
}

/// Why a record cannot be presented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is kept is no sealed record: ours to find out, since only verified records are kept.
    #[error("not a sealed record: {0}")]
    NotARecord(#[from] sdjwt::Error),
    /// A disclosure is of no kind that a record has.
    #[error("not a sealed record: a disclosure of an unknown kind")]
    UnknownDisclosure,
    /// The holder that was asked about is not a holder of this record: there is no answer.
    #[error("the record has no such holder")]
    NoSuchHolder,
}

/// Cuts a sealed record down to some fields and one holder or none.
///
/// Does not check the seal: what is in the index was verified at the door, and whoever receives the presentation
/// verifies it.
///
/// # Errors
/// `sealed` is not a record, or does not have the holder.
pub fn present(sealed: &str, fields: &BTreeSet<String>, holders: &HolderSelection) -> Result<Presentation, Error> {
    let token = Token::parse(sealed, Limits::default())?;
    let layout = Layout::of(&token.payload);
    let mut presentation = Presentation { token: format!("{}~", token.jwt), fields: Map::new(), holders: Vec::new() };
    for disclosure in &token.disclosures {
        if presentation.takes(disclosure, &layout, fields, holders)? {
            presentation.token.push_str(disclosure.encoded);
            presentation.token.push('~');
        }
    }
    if matches!(holders, HolderSelection::Only { .. }) && presentation.holders.is_empty() {
        return Err(Error::NoSuchHolder);
    }
    Ok(presentation)
}

impl Presentation {
    /// Whether the disclosure belongs in; notes what it says if so.
    fn takes(
        &mut self,
        disclosure: &Disclosure<'_>,
        layout: &Layout<'_>,
        fields: &BTreeSet<String>,
        holders: &HolderSelection,
    ) -> Result<bool, Error> {
        let claim = || disclosure.as_claim().ok_or(Error::UnknownDisclosure);
        match layout.place(disclosure).ok_or(Error::UnknownDisclosure)? {
            Place::Top => Ok(claim()?.0 == "event"),
            Place::Field => {
                let (name, value) = claim()?;
                let granted = fields.contains(name);
                if granted {
                    self.fields.insert(name.to_owned(), value.clone());
                }
                Ok(granted)
            }
            Place::Holder => {
                let HolderSelection::Only { scheme, value } = holders else { return Ok(false) };
                let element = disclosure.as_element().ok_or(Error::UnknownDisclosure)?;
                // A taking-away event may carry a holder of a wrong form; it is nobody's.
                let Ok(holder) = serde_json::from_value::<Holder>(element.clone()) else { return Ok(false) };
                let asked = holder.scheme == *scheme && is_same(scheme, &holder.value, value);
                if asked {
                    self.holders.push(holder);
                }
                Ok(asked)
            }
        }
    }
}

/// Whether two spellings of an identifier are one: they are sealed as the department wrote them, and asked for normalised.
fn is_same(scheme: &str, sealed: &str, asked: &str) -> bool {
    match scheme.parse::<Scheme>() {
        Ok(scheme) => normalise_holder(scheme, sealed) == normalise_holder(scheme, asked),
        Err(_) => sealed == asked,
    }
}
