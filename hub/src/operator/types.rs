//! Record types registered at run time: judged by whom they would break before anything is written.

use std::collections::BTreeSet;

use weft_proto::{Reason, Refusal, v1};
use weft_record::catalogue::{Fault, Incompatibility, RecordType, compatible};

use super::OperatorService;
use crate::{
    query::answering::local_date,
    registry::{
        Administered, Registry,
        event::{After, GrantState, RegisteredType},
    },
};

/// Names that are listed of each kind in a refusal; `CheckRecordType` lists all.
const LISTED: usize = 20;
/// A topic is named after the type.
const MAX_NAME: usize = 64;

/// A type that could be read, and what stands against it.
struct Judged {
    registered: RegisteredType,
    /// Grants in force or asked for that name what changes.
    grants: Vec<String>,
    /// Service items that need what changes.
    items: Vec<String>,
    incompatible: Vec<Incompatibility>,
}

impl OperatorService {
    pub(super) async fn check_type(
        &self,
        request: v1::CheckRecordTypeRequest,
    ) -> Result<v1::CheckRecordTypeResponse, Refusal> {
        self.registry.confirm_within(crate::registry::ADMINISTER_WITHIN).await?;
        let judged = self.judge(&self.registry.snapshot(), request.record_type)?;
        Ok(v1::CheckRecordTypeResponse {
            record_type: judged.registered.name,
            version: judged.registered.version,
            grants: judged.grants,
            service_items: judged.items,
            incompatibilities: judged.incompatible.iter().map(ToString::to_string).collect(),
        })
    }

    pub(super) async fn register_type(
        &self,
        who: &str,
        request: v1::RegisterRecordTypeRequest,
    ) -> Result<Administered, Refusal> {
        let make = |registry: &Registry| {
            let judged = self.judge(registry, request.record_type)?;
            if judged.incompatible.is_empty() {
                return Ok((format!("record-type/{}", judged.registered.name), After::RecordType(judged.registered)));
            }
            Err(refusal(&judged))
        };
        self.registry.administer(who, make).await
    }

    fn judge(&self, registry: &Registry, text: Option<v1::RecordTypeText>) -> Result<Judged, Refusal> {
        let text = text.ok_or_else(|| Refusal::new(Reason::BadRequest).field("record_type", "must be given"))?;
        let new = registry.catalogue().read_type(&text.definition, &text.schema).map_err(|fault| unreadable(&fault))?;
        let (name, version) = (new.definition.name.clone(), new.definition.version);
        if name.len() > MAX_NAME {
            return Err(Refusal::new(Reason::BadRequest)
                .field("record_type.definition", format!("the name has more than {MAX_NAME} characters")));
        }
        let registered = RegisteredType { name, version, definition: text.definition, schema: text.schema };
        Ok(self.against(registry, &new, registered))
    }

    /// Whom a type in its new version would break.
    fn against(&self, registry: &Registry, new: &RecordType, registered: RegisteredType) -> Judged {
        let name = &registered.name;
        let old = registry.catalogue().record_type(name);
        let incompatible = old.map(|old| compatible(old, new)).unwrap_or_default();
        // What is about no field, as another natural key, is about whoever uses the type.
        let whole = incompatible.iter().any(|one| one.field().is_none() && *one != Incompatibility::VersionNotHigher);
        let fields: BTreeSet<&str> = incompatible.iter().filter_map(Incompatibility::field).collect();
        let touched =
            |named: &[&str]| !incompatible.is_empty() && (whole || named.iter().any(|one| fields.contains(one)));
        let today = local_date(self.clock.now());
        let grants = registry.grants.values().filter(|grant| {
            let named: Vec<&str> = grant.fields.iter().map(String::as_str).collect();
            grant.record_type == *name && grant.state != GrantState::Revoked && !grant.is_over(today) && touched(&named)
        });
        let items = registry.catalogue().service_items().filter(|item| {
            item.record_alternatives().any(|(_, alternative)| {
                let named: Vec<&str> = alternative.fields_looked_at().into_iter().collect();
                alternative.record_type == *name && touched(&named)
            })
        });
        Judged {
            grants: grants.map(|grant| grant.id.clone()).collect(),
            items: items.map(|item| item.item.clone()).collect(),
            incompatible,
            registered,
        }
    }
}

fn unreadable(fault: &Fault) -> Refusal {
    let field = match fault {
        Fault::Schema(_) => "record_type.schema",
        Fault::Toml(_) | Fault::Inconsistent(_) | Fault::Missing(_) => "record_type.definition",
    };
    Refusal::new(Reason::BadRequest).field(field, fault)
}

/// First whom it would break, then by what.
fn refusal(judged: &Judged) -> Refusal {
    let listed = |names: &[String]| match names.len() {
        0 => "none".to_owned(),
        count if count > LISTED => format!("{} and {} more", names[..LISTED].join(", "), count - LISTED),
        _ => names.join(", "),
    };
    let whom = format!("it breaks grants: {}; service items: {}", listed(&judged.grants), listed(&judged.items));
    let refusal = Refusal::new(Reason::IncompatibleType).detail(whom);
    judged.incompatible.iter().fold(refusal, |refusal, one| refusal.field("record_type", one))
}
