//! May this window see these fields of this record type for this item? By a grant, in memory, before any look-up.

use std::collections::BTreeSet;

use jiff::civil::Date;
use weft_proto::{
    Reason, Refusal,
    v1::{CaseRef, Look as LookRequest},
};
use weft_record::identifier::{Scheme, Tolerance, Verdict, check_holder, normalise_holder};

use crate::{
    identity::Identity,
    registry::{Registry, event::Grant},
};

/// Characters of a look's purpose at most.
pub const MAX_TEXT: usize = 200;
const MAX_NAME: usize = 64;

/// A look whose form is right: complete, bounded, nothing wild in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The window's request id.
    pub request_id: String,
    /// The case.
    pub case: CaseRef,
    /// Why; empty where none was given.
    pub purpose: String,
    /// Who.
    pub clerk: String,
    /// (scheme, normalised value).
    pub holder: Option<(String, String)>,
    /// The fields asked for; empty means all granted.
    pub fields: BTreeSet<String>,
    /// The submission to wait for.
    pub after_submission: Option<[u8; 32]>,
    /// The time of acceptance asked about.
    pub as_of: Option<i64>,
}

/// Checks the form of what every look carries. All that is wrong is said at once.
pub fn check_form(look: Option<&LookRequest>) -> Result<Checked, Refusal> {
    let Some(look) = look else {
        return Err(Refusal::new(Reason::CaseIncomplete).field("look", "is missing"));
    };
    let mut case_faults = Vec::new();
    let case = look.case.clone().unwrap_or_default();
    for (field, text) in [
        ("look.case.number", &case.number),
        ("look.case.service_item", &case.service_item),
        ("look.case.party_role", &case.party_role),
    ] {
        check_text(field, text, MAX_NAME, &mut case_faults);
    }
    if !case_faults.is_empty() {
        return Err(Refusal { fields: case_faults, ..Refusal::new(Reason::CaseIncomplete) });
    }
    let mut faults = Vec::new();
    // A look without a purpose has the right form: it is denied, and on the ledger, like one with a wrong purpose.
    let purpose = if look.purpose.trim().is_empty() { "" } else { &look.purpose };
    if !purpose.is_empty() {
        check_text("look.purpose", purpose, MAX_TEXT, &mut faults);
    }
    check_text("look.clerk", &look.clerk, MAX_NAME, &mut faults);
    check_text("look.request_id", &look.request_id, MAX_NAME, &mut faults);
    let holder = look.holder.as_ref().and_then(|holder| check_scheme(holder, &mut faults));
    let after_submission = match look.after_submission.as_slice() {
        [] => None,
        bytes => bytes.try_into().map_or_else(
            |_| {
                faults.push((
                    "look.after_submission".into(),
                    "must be 32 bytes, the SHA-256 of the sealed record".into(),
                ));
                None
            },
            Some,
        ),
    };
    let as_of = look.as_of.map(|at| at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000));
    if !faults.is_empty() {
        return Err(Refusal { fields: faults, ..Refusal::new(Reason::BadRequest) });
    }
    Ok(Checked {
        request_id: look.request_id.clone(),
        case,
        purpose: purpose.to_owned(),
        clerk: look.clerk.clone(),
        holder,
        fields: look.fields.iter().cloned().collect(),
        after_submission,
        as_of,
    })
}

/// Text for a ledger that people read: there, bounded, and without control characters that could forge a line.
fn check_text(field: &str, text: &str, most: usize, faults: &mut Vec<(String, String)>) {
    let length = text.chars().count();
    if text.trim().is_empty() {
        faults.push((field.into(), "must not be empty".into()));
    } else if length > most {
        faults.push((field.into(), format!("has {length} characters, at most {most} are allowed")));
    } else if text.chars().any(char::is_control) {
        faults.push((field.into(), "holds control characters".into()));
    }
}

fn check_scheme(holder: &weft_proto::v1::Holder, faults: &mut Vec<(String, String)>) -> Option<(String, String)> {
    let Ok(scheme) = holder.scheme.parse::<Scheme>() else {
        faults.push(("look.holder.scheme".into(), "is no known kind of number".into()));
        return None;
    };
    let value = normalise_holder(scheme, &holder.value);
    let wild = value.is_empty() || value.chars().any(|character| "*%_?".contains(character) || character.is_control());
    let verdict = check_holder(scheme, &holder.value, Tolerance::TEST).verdict;
    if wild || matches!(verdict, Verdict::Wrong(_)) {
        // The number itself is personal: it is not repeated.
        let rule = verdict.finding().map_or("must be one whole number", |finding| finding.en);
        faults.push(("look.holder.value".into(), rule.into()));
        return None;
    }
    Some((scheme.as_str().to_owned(), value))
}

/// What a look asks for, as far as a grant is about it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The window.
    pub window: &'a str,
    /// The record type.
    pub record_type: &'a str,
    /// The department, where the question names one.
    pub department: Option<&'a str>,
    /// Without a holder.
    pub by_record: bool,
    /// The local day.
    pub day: Date,
}

impl Wanted<'_> {
    fn is_allowed_by(&self, grant: &Grant, checked: &Checked) -> bool {
        grant.in_force(self.day)
            && grant.window == self.window
            && grant.service_item == checked.case.service_item
            && grant.record_type == self.record_type
            && self.department.is_none_or(|department| grant.department == department)
            && (!self.by_record || grant.by_record)
            && (!grant.exact_purpose || grant.purpose == checked.purpose)
    }
}

/// The grant that allows the look, and the fields to disclose. `None` is `denied`, in the same words whatever exists, and whatever is
/// wrong: no purpose, another than the grant's, another window's, a grant that is over, not yet begun, suspended or ended.
pub fn granted<'a>(
    registry: &'a Registry,
    checked: &Checked,
    wanted: &Wanted<'_>,
) -> Result<Option<(&'a Grant, BTreeSet<String>)>, Refusal> {
    let grant = registry.grants.values().find(|grant| wanted.is_allowed_by(grant, checked));
    let Some(grant) = grant.filter(|_| !checked.purpose.is_empty()) else {
        return Ok(None);
    };
    let granted: BTreeSet<String> = grant.fields.iter().cloned().collect();
    if checked.fields.is_empty() {
        return Ok(Some((grant, granted)));
    }
    let refused: Vec<_> = checked
        .fields
        .difference(&granted)
        .map(|field| (format!("look.fields[{field}]"), "is not granted".to_owned()))
        .collect();
    if refused.is_empty() {
        Ok(Some((grant, checked.fields.clone())))
    } else {
        Err(Refusal { fields: refused, ..Refusal::new(Reason::FieldNotGranted) })
    }
}

/// The caller's identity was held against the view of that time; what this one knows of it counts.
pub(super) fn still_admitted(registry: &Registry, window: &str) -> Result<(), Refusal> {
    let identity = registry.identities.get(&Identity::Window(window.to_owned()).to_string());
    match identity {
        Some(identity) if identity.revoked.is_none() => Ok(()),
        _ => Err(Refusal::new(Reason::IdentityRevoked)),
    }
}
