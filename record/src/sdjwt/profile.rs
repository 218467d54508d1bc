//! What Weft asks of a record beyond RFC 9901: one shape for all, so that shape tells nothing and nothing is left to
//! whoever reads it.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Disclosure, Error, Fault, Token};
use crate::problem::pointer_to;
use crate::seal::{Slots, TOKEN_TYPE, holder_slots};

/// Claims that stand in plain. `_sd_alg` may be missing: that means sha-256.
const PLAIN: [&str; 5] = ["iss", "iat", "vct", "_sd_alg", "record"];
/// Claims that conceal.
const CONCEALING: [&str; 3] = ["_sd", "holders", "fields"];
/// The claims of `record`.
const RECORD: [&str; 5] = ["id", "version", "status", "valid_from", "valid_until"];

/// Where a digest stands in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside `iss`: `event` or `supersedes`.
    Top,
    /// An element of `holders`.
    Holder,
    /// In `fields`.
    Field,
}

/// The digests of a record by their places. Reads what is there and judges nothing.
#[derive(Debug)]
pub(crate) struct Layout<'t> {
    top: Vec<&'t str>,
    holders: Vec<&'t str>,
    fields: Vec<&'t str>,
    places: HashMap<&'t str, Place>,
}

impl<'t> Layout<'t> {
    pub(crate) fn of(payload: &'t Map<String, Value>) -> Self {
        let top = strings(payload.get("_sd"));
        let fields = strings(payload.get("fields").and_then(|fields| fields.get("_sd")));
        let holders = payload.get("holders").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let holders: Vec<&str> =
            holders.iter().filter_map(|element| element.get("...").and_then(Value::as_str)).collect();
        let mut places = HashMap::new();
        for (list, place) in [(&top, Place::Top), (&holders, Place::Holder), (&fields, Place::Field)] {
            places.extend(list.iter().map(|digest| (*digest, place)));
        }
        Self { top, holders, fields, places }
    }

    /// Where the digest of a disclosure stands; nowhere, if it stands inside another disclosure.
    pub(crate) fn place(&self, disclosure: &Disclosure<'_>) -> Option<Place> {
        self.places.get(disclosure.digest.as_str()).copied()
    }
}

fn strings(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Everything in a token that is not as the profile asks. With `slots`, the token is a submission, with all its
/// disclosures, and must have exactly its type's slots; without, it may be a presentation.
#[must_use]
pub fn check(token: &Token<'_>, slots: Option<&Slots>) -> Vec<Error> {
    let mut errors = Vec::new();
    let layout = Layout::of(&token.payload);
    check_header(&token.header, &mut errors);
    check_plain(&token.payload, &mut errors);
    check_hidden(&token.payload, &mut errors);
    check_digests(&layout, &mut errors);
    check_disclosures(token, &layout, &mut errors);
    if let Some(slots) = slots {
        check_slots(token, &layout, slots, &mut errors);
    }
    errors
}

fn check_header(header: &Map<String, Value>, errors: &mut Vec<Error>) {
    if header.get("typ").and_then(Value::as_str) != Some(TOKEN_TYPE) {
        errors.push(Fault::WrongType.into());
    }
    if !header.get("kid").and_then(Value::as_str).is_some_and(is_digest) {
        errors.push(Fault::BadKid.into());
    }
    for name in header.keys().filter(|name| !["alg", "typ", "kid"].contains(&name.as_str())) {
        // A header parameter's name is no personal data, but it is a stranger's text: kept short and plain.
        let shown: String = name.chars().filter(char::is_ascii_graphic).take(32).collect();
        errors.push(Error::from(Fault::ForbiddenHeader).about(&shown));
    }
}

/// `iss`, `iat`, `vct` and `record` in plain, and no claim that a record does not have.
fn check_plain(payload: &Map<String, Value>, errors: &mut Vec<Error>) {
    for name in payload.keys() {
        let at = pointer_to("", name);
        if name == "cnf" {
            errors.push(Error::at(Fault::KeyBindingClaim, &at));
        } else if !PLAIN.contains(&name.as_str()) && !CONCEALING.contains(&name.as_str()) {
            errors.push(Error::at(Fault::ForbiddenClaim, &at));
        }
    }
    let is_text = |value: Option<&Value>| value.is_some_and(Value::is_string);
    for name in ["iss", "vct"] {
        if !is_text(payload.get(name)) {
            errors.push(Error::at(Fault::PlainClaim, &pointer_to("", name)));
        }
    }
    if payload.get("iat").and_then(Value::as_i64).is_none_or(|iat| iat < 0) {
        errors.push(Error::at(Fault::PlainClaim, "/iat"));
    }
    let Some(record) = payload.get("record").and_then(Value::as_object) else {
        errors.push(Error::at(Fault::PlainClaim, "/record"));
        return;
    };
    for name in record.keys().filter(|name| !RECORD.contains(&name.as_str())) {
        errors.push(Error::at(Fault::ForbiddenClaim, &pointer_to("/record", name)));
    }
    if record.get("version").and_then(Value::as_u64).is_none_or(|version| version == 0) {
        errors.push(Error::at(Fault::PlainClaim, "/record/version"));
    }
    for name in ["id", "status"].into_iter().filter(|name| !is_text(record.get(*name))) {
        errors.push(Error::at(Fault::PlainClaim, &pointer_to("/record", name)));
    }
    for name in ["valid_from", "valid_until"].into_iter().filter(|name| record.contains_key(*name)) {
        if !is_text(record.get(name)) {
            errors.push(Error::at(Fault::PlainClaim, &pointer_to("/record", name)));
        }
    }
}

/// Nothing of `fields` and `holders` in plain, and both there.
fn check_hidden(payload: &Map<String, Value>, errors: &mut Vec<Error>) {
    match payload.get("fields").and_then(Value::as_object) {
        None => errors.push(Error::at(Fault::NotHidden, "/fields")),
        Some(fields) => {
            for name in fields.keys().filter(|name| *name != "_sd") {
                errors.push(Error::at(Fault::NotHidden, &pointer_to("/fields", name)));
            }
        }
    }
    match payload.get("holders").and_then(Value::as_array) {
        None => errors.push(Error::at(Fault::NotHidden, "/holders")),
        Some(holders) => {
            for (index, _) in holders.iter().enumerate().filter(|(_, holder)| holder.get("...").is_none()) {
                errors.push(Error::at(Fault::NotHidden, &pointer_to("/holders", &index.to_string())));
            }
        }
    }
}

/// Every digest a SHA-256, every list sorted, and two beside `iss`.
fn check_digests(layout: &Layout<'_>, errors: &mut Vec<Error>) {
    for (list, at) in [(&layout.top, "/_sd"), (&layout.holders, "/holders"), (&layout.fields, "/fields/_sd")] {
        if !list.iter().all(|digest| is_digest(digest)) || !list.is_sorted() {
            errors.push(Error::at(Fault::BadDigest, at));
        }
    }
    if layout.top.len() != 2 {
        errors.push(Error::at(Fault::WrongSlots, "/_sd"));
    }
}

/// Base64url of exactly 32 bytes.
fn is_digest(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode_slice(text, &mut [0; 36]).is_ok()
}

/// Each disclosure of the kind of its place, and none with digests of its own.
fn check_disclosures(token: &Token<'_>, layout: &Layout<'_>, errors: &mut Vec<Error>) {
    for disclosure in &token.disclosures {
        let claim = disclosure.as_claim();
        let (within, value, allowed) = match layout.place(disclosure) {
            Some(Place::Top) => {
                let allowed = claim.is_some_and(|(name, _)| name == "event" || name == "supersedes");
                ("", claim.map(|(_, value)| value), allowed)
            }
            Some(Place::Field) => ("/fields", claim.map(|(_, value)| value), claim.is_some()),
            Some(Place::Holder) => ("/holders", disclosure.as_element(), disclosure.as_element().is_some()),
            // Only another disclosure can name it, and that one is told of.
            None => continue,
        };
        let at = || match claim {
            Some((name, _)) if within != "/holders" => pointer_to(within, name),
            _ => within.to_owned(),
        };
        if !allowed {
            errors.push(Error::at(Fault::ForbiddenDisclosure, &at()));
        }
        if value.is_some_and(has_digests) {
            errors.push(Error::at(Fault::NestedDigests, &at()));
        }
    }
}

fn has_digests(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(has_digests),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name == "_sd" || name == "..." || has_digests(value))
        }
        _ => false,
    }
}

/// As many digests as the type has slots; more holders than slots take the next power of two.
fn check_slots(token: &Token<'_>, layout: &Layout<'_>, slots: &Slots, errors: &mut Vec<Error>) {
    if layout.fields.len() != slots.fields {
        errors.push(Error::at(Fault::WrongSlots, "/fields/_sd"));
    }
    let disclosed: HashSet<&str> = token.disclosures.iter().map(|disclosure| disclosure.digest.as_str()).collect();
    let holders = layout.holders.iter().filter(|digest| disclosed.contains(**digest)).count();
    if layout.holders.len() != holder_slots(holders, slots.holders) {
        errors.push(Error::at(Fault::WrongSlots, "/holders"));
    }
}
