//! Grants: asked for by one person, decided by another. What may be shared without condition is granted at once.

use jiff::civil::Date;
use weft_proto::{Reason, Refusal, v1};
use weft_record::catalogue::{Definition, Share};

use super::{
    OperatorService,
    check::{Faults, is_date},
};
use crate::{
    clock::random,
    query::{answering::local_date, authorise::MAX_TEXT},
    registry::{
        Administered, Registry,
        event::{After, Grant, GrantState},
    },
};

impl OperatorService {
    pub(super) async fn ask_grant(&self, who: &str, request: v1::RequestGrantRequest) -> Result<Administered, Refusal> {
        let asked = request.grant.ok_or_else(|| Refusal::new(Reason::BadRequest).field("grant", "must be given"))?;
        let id = hex::encode(random::<16>());
        let today = local_date(self.clock.now());
        let make = |registry: &Registry| {
            let at_once = check_grant(registry, &asked, today)?;
            let state = if at_once { GrantState::Active } else { GrantState::Requested };
            let mut fields = asked.fields.clone();
            fields.sort();
            let grant = Grant {
                id: id.clone(),
                window: asked.window.clone(),
                service_item: asked.service_item.clone(),
                record_type: asked.record_type.clone(),
                department: asked.department.clone(),
                fields,
                purpose: asked.purpose.clone(),
                by_record: asked.by_record,
                state,
                requested_by: who.into(),
                decided_by: None,
                why: at_once.then(|| "every field may be shared without condition".into()),
                valid_from: asked.valid_from.parse().ok(),
                valid_until: asked.valid_until.parse().ok(),
                exact_purpose: asked.exact_purpose,
            };
            none_beside(registry, &grant, today)?;
            Ok((format!("grant/{id}"), After::Grant(grant)))
        };
        self.registry.administer(who, make).await
    }

    pub(super) async fn decide(&self, who: &str, request: v1::DecideGrantRequest) -> Result<Administered, Refusal> {
        let state = wanted(&request)?;
        let today = local_date(self.clock.now());
        let make = |registry: &Registry| {
            let grant = registry.grants.get(&request.grant_id);
            let grant =
                grant.ok_or_else(|| Refusal::new(Reason::NotFound).field("grant_id", "there is no such grant"))?;
            may_become(grant, state, who)?;
            let why = Some(request.why).filter(|why| !why.is_empty());
            let decided = Grant { state, decided_by: Some(who.into()), why, ..grant.clone() };
            if state == GrantState::Active {
                if grant.is_over(today) {
                    return Err(
                        Refusal::new(Reason::WrongState).detail("the grant's last day is over; ask for a new one")
                    );
                }
                none_beside(registry, &decided, today)?;
            }
            Ok((format!("grant/{}", grant.id), After::Grant(decided)))
        };
        self.registry.administer(who, make).await
    }
}

/// Checks what is asked for; `true` when every field may be shared without condition.
fn check_grant(registry: &Registry, asked: &v1::GrantInfo, today: Date) -> Result<bool, Refusal> {
    let mut faults = Faults::default();
    for (field, text) in [("grant.grant_id", &asked.grant_id), ("grant.state", &asked.state)] {
        if !text.is_empty() {
            faults.add(field, "is given by the hub");
        }
    }
    if !registry.windows.contains_key(&asked.window) {
        faults.add("grant.window", "is not registered");
    }
    if registry.catalogue().service_item(&asked.service_item).is_none() {
        faults.add("grant.service_item", "is not in the catalogue");
    }
    match registry.departments.get(&asked.department) {
        None => faults.add("grant.department", "is not registered"),
        Some(department) if !department.record_types.contains(&asked.record_type) => {
            faults.add("grant.record_type", "does not belong to the department");
        }
        Some(_) => {}
    }
    faults.sentence("grant.purpose", &asked.purpose);
    if asked.exact_purpose && asked.purpose.chars().count() > MAX_TEXT {
        faults.add("grant.purpose", format!("at most {MAX_TEXT} characters fit into a look"));
    }
    check_days(asked, today, &mut faults);
    let at_once = match registry.catalogue().record_type(&asked.record_type) {
        Some(record_type) => check_fields(&record_type.definition, &asked.fields, &mut faults),
        None => {
            faults.add("grant.record_type", "is not in the catalogue");
            false
        }
    };
    faults.done()?;
    Ok(at_once)
}

fn check_days(asked: &v1::GrantInfo, today: Date, faults: &mut Faults) {
    let mut day = |field: &str, text: &str| {
        if !text.is_empty() && !is_date(text) {
            faults.add(field, "must be a day that exists, YYYY-MM-DD");
        }
        text.parse::<Date>().ok()
    };
    let (from, until) = (day("grant.valid_from", &asked.valid_from), day("grant.valid_until", &asked.valid_until));
    match (from, until) {
        (_, Some(until)) if until < today => faults.add("grant.valid_until", "lies in the past"),
        (Some(from), Some(until)) if until < from => faults.add("grant.valid_until", "lies before valid_from"),
        _ => {}
    }
}

fn check_fields(definition: &Definition, fields: &[String], faults: &mut Faults) -> bool {
    if fields.is_empty() {
        faults.add("grant.fields", "must name at least one field");
    }
    faults.distinct("grant.fields", fields.iter().map(String::as_str));
    let mut unconditional = true;
    for (at, name) in fields.iter().enumerate() {
        let place = format!("grant.fields[{at}]");
        match definition.fields.get(name) {
            None => faults.add(place, "is no field of the record type"),
            Some(field) if field.share == Share::Withheld => {
                let basis = field.legal_basis.as_deref().unwrap_or_default();
                faults.add(place, format!("is never granted: {basis}"));
            }
            Some(field) => unconditional &= field.share == Share::Unconditional,
        }
    }
    unconditional
}

/// On any day a window has one grant in force per item, type and department, and one that is asked for.
fn none_beside(registry: &Registry, asked: &Grant, today: Date) -> Result<(), Refusal> {
    let same = registry.grants.values().find(|grant| {
        grant.id != asked.id
            && grant.state == asked.state
            && grant.window == asked.window
            && grant.service_item == asked.service_item
            && grant.record_type == asked.record_type
            && grant.department == asked.department
            && !grant.is_over(today)
            && !asked.valid_from.is_some_and(|from| grant.is_over(from))
            && !grant.valid_from.is_some_and(|from| asked.is_over(from))
    });
    match same {
        Some(grant) => Err(Refusal::new(Reason::AlreadyExists).detail(format!(
            "grant {} of this window, item and type is {}; decide it first",
            grant.id,
            word(grant.state)
        ))),
        None => Ok(()),
    }
}

fn wanted(request: &v1::DecideGrantRequest) -> Result<GrantState, Refusal> {
    let mut faults = Faults::default();
    let state = match request.state.as_str() {
        "active" => GrantState::Active,
        "suspended" => GrantState::Suspended,
        "revoked" => GrantState::Revoked,
        _ => {
            faults.add("state", "must be active, suspended or revoked");
            GrantState::Requested
        }
    };
    if state != GrantState::Active || !request.why.is_empty() {
        faults.sentence("why", &request.why);
    }
    faults.done()?;
    Ok(state)
}

/// requested, suspended → active by another person than the one who asked; active → suspended; all but revoked → revoked.
fn may_become(grant: &Grant, state: GrantState, who: &str) -> Result<(), Refusal> {
    use GrantState::{Active, Requested, Revoked, Suspended};
    match (grant.state, state) {
        (Requested | Suspended, Active) if grant.requested_by == who => Err(Refusal::new(Reason::FourEyes)),
        (Requested | Suspended, Active) | (Active, Suspended) | (Requested | Active | Suspended, Revoked) => Ok(()),
        (from, _) => Err(Refusal::new(Reason::WrongState).detail(format!("the grant is {}", word(from)))),
    }
}

fn word(state: GrantState) -> &'static str {
    match state {
        GrantState::Requested => "requested",
        GrantState::Active => "active",
        GrantState::Suspended => "suspended",
        GrantState::Revoked => "revoked",
    }
}

/// A grant on the wire.
pub fn grant_info(grant: &Grant) -> v1::GrantInfo {
    v1::GrantInfo {
        grant_id: grant.id.clone(),
        window: grant.window.clone(),
        service_item: grant.service_item.clone(),
        record_type: grant.record_type.clone(),
        department: grant.department.clone(),
        fields: grant.fields.clone(),
        purpose: grant.purpose.clone(),
        by_record: grant.by_record,
        state: word(grant.state).into(),
        valid_from: grant.valid_from.map(|day| day.to_string()).unwrap_or_default(),
        valid_until: grant.valid_until.map(|day| day.to_string()).unwrap_or_default(),
        exact_purpose: grant.exact_purpose,
    }
}
