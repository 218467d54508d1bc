//! Departments, windows and the tokens that identities join with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use weft_proto::{Reason, Refusal, v1};
use weft_record::{catalogue::Catalogue, verify::Sender};

use super::{
    OperatorService, change,
    check::{Faults, is_date, is_department, millis},
};
use crate::{
    clock::{Millis, random},
    decode::sha256,
    identity::{Identity, is_name},
    log::Topic,
    query::timestamp,
    registry::{
        Administered, Registry,
        event::{After, Coverage, Department, JoinToken, Resend, Window},
        fold::data_key,
        wrap,
    },
};

const TOKEN_SECONDS: u32 = 3600;
const MOST_TOKEN_SECONDS: u32 = 86_400;

impl OperatorService {
    pub(super) async fn put_department(
        &self,
        who: &str,
        request: v1::RegisterDepartmentRequest,
    ) -> Result<Administered, Refusal> {
        let registry = self.registry.snapshot();
        check_department(&request, registry.catalogue())?;
        for record_type in &request.record_types {
            self.log.ensure(&Topic::Records(record_type.clone())).await?;
        }
        let make = |registry: &Registry| {
            not_owned_elsewhere(registry, &request)?;
            let entity = format!("department/{}", request.department);
            Ok((entity, After::Department(self.department(registry, &request))))
        };
        self.registry.administer(who, make).await
    }

    /// A department keeps its keys for ever: what it published must open and keep its names.
    fn department(&self, registry: &Registry, request: &v1::RegisterDepartmentRequest) -> Department {
        let (data_key, secret) = match registry.departments.get(&request.department) {
            Some(known) => (known.data_key.clone(), known.secret.clone()),
            None => (wrap::wrap(&self.keys, &data_key(random())), wrap::wrap(&self.keys, &data_key(random()))),
        };
        Department {
            code: request.department.clone(),
            name_zh: request.name_zh.clone(),
            name_en: request.name_en.clone(),
            record_types: request.record_types.clone(),
            coverage: request.coverage.iter().map(coverage).collect(),
            data_key,
            secret,
        }
    }

    pub(super) fn departments(&self) -> Vec<v1::DepartmentInfo> {
        let registry = self.registry.snapshot();
        registry.departments.values().map(|department| department_info(&registry, department)).collect()
    }

    pub(super) async fn put_window(
        &self,
        who: &str,
        request: v1::RegisterWindowRequest,
    ) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        if !is_name(&request.window) {
            faults.add("window", "must be 1 to 41 of a-z, 0-9 and -, not beginning with -");
        }
        faults.name("name_zh", &request.name_zh);
        faults.optional_name("hall", &request.hall);
        faults.done()?;
        let window = Window { name: request.window, name_zh: request.name_zh, hall: request.hall };
        self.registry.administer(who, |_| Ok((format!("window/{}", window.name), After::Window(window)))).await
    }

    pub(super) fn windows(&self) -> Vec<v1::WindowInfo> {
        let registry = self.registry.snapshot();
        let info = |window: &Window| v1::WindowInfo {
            window: window.name.clone(),
            name_zh: window.name_zh.clone(),
            hall: window.hall.clone(),
            revoked: is_revoked(&registry, &format!("window/{}", window.name)),
        };
        registry.windows.values().map(info).collect()
    }

    pub(super) async fn join_token(
        &self,
        who: &str,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, Refusal> {
        let mut faults = Faults::default();
        let identity = self.identity(&request.identity, &mut faults);
        if request.valid_seconds > MOST_TOKEN_SECONDS {
            faults.add("valid_seconds", format!("at most {MOST_TOKEN_SECONDS}"));
        }
        faults.done()?;
        let path = identity.map(|identity| identity.to_string()).unwrap_or_default();
        let seconds = if request.valid_seconds == 0 { TOKEN_SECONDS } else { request.valid_seconds };
        let expires_at = self.clock.now() + Millis::from(seconds) * 1000;
        let secret = URL_SAFE_NO_PAD.encode(random::<32>());
        let id = hex::encode(sha256(secret.as_bytes()));
        let make = |registry: &Registry| {
            if !exists(registry, &path) {
                return Err(
                    Refusal::new(Reason::NotFound).field("identity", "names no registered department or window")
                );
            }
            let entity = format!("token/{id}");
            let token = JoinToken { id, identity: path, expires_at, made_by: who.into(), redeemed: None };
            Ok((entity, After::JoinToken(token)))
        };
        let administered = self.registry.administer(who, make).await?;
        let content = serde_json::json!({
            "enrolment": self.enrolment_address,
            "ca": self.keys.ca.certificate_pem(),
            "secret": secret,
        });
        Ok(v1::CreateJoinTokenResponse {
            join_token: format!("weft-join.{}", URL_SAFE_NO_PAD.encode(content.to_string())),
            expires_at: Some(timestamp(expires_at)),
            change: Some(change(administered)),
        })
    }

    /// An identity named by its whole SPIFFE URI or by its path.
    pub(super) fn identity(&self, text: &str, faults: &mut Faults) -> Option<Identity> {
        let identity = Identity::parse_uri(text, &self.trust_domain).or_else(|| Identity::parse_path(text));
        if identity.is_none() {
            faults.add(
                "identity",
                "must be department/<code>/adapter/<name>, window/<name> or operator/<name>, or the whole SPIFFE URI of this trust domain",
            );
        }
        identity
    }

    pub(super) async fn resend(&self, who: &str, request: v1::RequestResendRequest) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        let since = request.since.as_ref().map(millis);
        match since {
            None => faults.add("since", "must be given"),
            Some(since) if since > self.clock.now() => faults.add("since", "lies in the future"),
            Some(_) => {}
        }
        faults.distinct("record_types", request.record_types.iter().map(String::as_str));
        faults.done()?;
        let make = |registry: &Registry| {
            let department = registry.departments.get(&request.department);
            let department =
                department.ok_or_else(|| Refusal::new(Reason::NotFound).field("department", "is not registered"))?;
            let mut faults = Faults::default();
            for (at, record_type) in request.record_types.iter().enumerate() {
                if !department.record_types.contains(record_type) {
                    faults.add(format!("record_types[{at}]"), "does not belong to the department");
                }
            }
            faults.done()?;
            let record_types =
                if request.record_types.is_empty() { department.record_types.clone() } else { request.record_types };
            let resend = Resend { department: request.department, record_types, since: since.unwrap_or_default() };
            Ok((format!("resend/{}", registry.resends.len() + 1), After::Resend(resend)))
        };
        self.registry.administer(who, make).await
    }
}

fn check_department(request: &v1::RegisterDepartmentRequest, catalogue: &Catalogue) -> Result<(), Refusal> {
    let mut faults = Faults::default();
    if !is_department(&request.department) {
        faults.add("department", "must be 2 to 41 of a-z, 0-9 and -, beginning with a letter");
    }
    faults.name("name_zh", &request.name_zh);
    faults.optional_name("name_en", &request.name_en);
    if request.record_types.is_empty() {
        faults.add("record_types", "must name at least one record type");
    }
    faults.distinct("record_types", request.record_types.iter().map(String::as_str));
    for (at, record_type) in request.record_types.iter().enumerate() {
        if catalogue.record_type(record_type).is_none() {
            faults.add(format!("record_types[{at}]"), "is not in the catalogue");
        }
    }
    faults.distinct("coverage", request.coverage.iter().map(|one| one.record_type.as_str()));
    for (at, coverage) in request.coverage.iter().enumerate() {
        check_coverage(&format!("coverage[{at}]"), coverage, &request.record_types, catalogue, &mut faults);
    }
    faults.done()
}

fn check_coverage(
    field: &str,
    coverage: &v1::Coverage,
    record_types: &[String],
    catalogue: &Catalogue,
    faults: &mut Faults,
) {
    if !record_types.contains(&coverage.record_type) {
        faults.add(format!("{field}.record_type"), "is not among record_types");
    }
    if !coverage.since.is_empty() && !is_date(&coverage.since) {
        faults.add(format!("{field}.since"), "must be a day that exists, YYYY-MM-DD");
    }
    if !coverage.adapter.is_empty() && !is_name(&coverage.adapter) {
        faults.add(format!("{field}.adapter"), "must be the name of an adapter: a-z, 0-9 and -");
    }
    let divisions = catalogue.code_table("divisions");
    for (at, code) in coverage.divisions.iter().enumerate() {
        if divisions.is_some_and(|table| table.division(code, None).is_none()) {
            faults.add(format!("{field}.divisions[{at}]"), "is no division code (GB/T 2260)");
        }
    }
}

/// The department with what one of its adapters declares for its own record types; `None` where nothing differs. A type that
/// another adapter owns stays that one's.
pub(crate) fn declared(
    registry: &Registry,
    sender: &Sender,
    coverage: &[v1::Coverage],
) -> Result<Option<Department>, Refusal> {
    let department = registry.departments.get(&sender.department);
    let department =
        department.ok_or_else(|| Refusal::new(Reason::NotFound).field("department", "is not registered"))?;
    let mut faults = Faults::default();
    faults.distinct("coverage", coverage.iter().map(|one| one.record_type.as_str()));
    for (at, one) in coverage.iter().enumerate() {
        check_coverage(&format!("coverage[{at}]"), one, &department.record_types, registry.catalogue(), &mut faults);
    }
    faults.done()?;
    let mut changed = department.clone();
    for one in coverage {
        let new = Coverage { adapter: sender.adapter.clone(), ..self::coverage(one) };
        match changed.coverage.iter_mut().find(|known| known.record_type == one.record_type) {
            Some(known) if known.adapter.is_empty() || known.adapter == sender.adapter => *known = new,
            Some(known) => {
                tracing::warn!(record_type = known.record_type, owner = known.adapter, "another adapter owns the type");
            }
            None => changed.coverage.push(new),
        }
    }
    Ok((changed != *department).then_some(changed))
}

fn not_owned_elsewhere(registry: &Registry, request: &v1::RegisterDepartmentRequest) -> Result<(), Refusal> {
    let mut refusal = Refusal::new(Reason::AlreadyExists);
    for (at, record_type) in request.record_types.iter().enumerate() {
        if let Some(owner) = registry.owners(record_type).find(|owner| owner.code != request.department) {
            refusal = refusal.field(format!("record_types[{at}]"), format!("belongs to department {}", owner.code));
        }
    }
    if refusal.fields.is_empty() { Ok(()) } else { Err(refusal) }
}

/// Whether what the identity belongs to is registered; operators need nothing.
pub(super) fn exists(registry: &Registry, path: &str) -> bool {
    match Identity::parse_path(path) {
        Some(Identity::Adapter { department, .. }) => registry.departments.contains_key(&department),
        Some(Identity::Window(name)) => registry.windows.contains_key(&name),
        Some(Identity::Operator(_)) => true,
        None => false,
    }
}

fn is_revoked(registry: &Registry, path: &str) -> bool {
    registry.identities.get(path).is_some_and(|identity| identity.revoked.is_some())
}

fn coverage(declared: &v1::Coverage) -> Coverage {
    Coverage {
        record_type: declared.record_type.clone(),
        since: declared.since.clone(),
        divisions: declared.divisions.clone(),
        back_fill_finished: declared.back_fill_finished,
        adapter: declared.adapter.clone(),
    }
}

fn department_info(registry: &Registry, department: &Department) -> v1::DepartmentInfo {
    let coverage = |one: &Coverage| v1::Coverage {
        record_type: one.record_type.clone(),
        since: one.since.clone(),
        divisions: one.divisions.clone(),
        back_fill_finished: one.back_fill_finished,
        adapter: one.adapter.clone(),
    };
    let prefix = format!("department/{}/adapter/", department.code);
    let mut adapters: Vec<String> = registry
        .identities
        .values()
        .filter(|identity| identity.revoked.is_none())
        .filter_map(|identity| identity.path.strip_prefix(&prefix).map(str::to_owned))
        .collect();
    adapters.sort();
    v1::DepartmentInfo {
        department: department.code.clone(),
        name_zh: department.name_zh.clone(),
        name_en: department.name_en.clone(),
        record_types: department.record_types.clone(),
        coverage: department.coverage.iter().map(coverage).collect(),
        adapters,
    }
}
