//! What others verify with: departments' keys, the hub's statement key, type metadata.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use weft_record::{catalogue::RecordType, verify::issuer_of};

use super::Shared;
use crate::registry::{Registry, event::KeyStanding};

/// How long a reader may keep it: short, because keys are retired and marked as compromised.
const KEEP: &str = "public, max-age=60";

fn published(body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, KEEP)];
    (headers, body.to_string()).into_response()
}

fn absent() -> Response {
    (StatusCode::NOT_FOUND, "没有找到 / there is no such thing\n").into_response()
}

/// The hub's public key for statements, as a JWK Set (RFC 7517 section 5).
pub(super) async fn statement_keys(State(served): Shared) -> Response {
    published(&json!({"keys": [served.console.keys.signing.public_jwk()]}))
}

/// A department's issuer metadata (SD-JWT VC, "JWT VC Issuer Metadata"), its keys inline: those in force and those retired, because
/// what they sealed stays sealed. Pending and compromised keys are not there.
pub(super) async fn issuer(State(served): Shared, Path(department): Path<String>) -> Response {
    let registry = served.console.registry.snapshot();
    match metadata(&registry, &department) {
        Some(metadata) => published(&metadata),
        None => absent(),
    }
}

fn metadata(registry: &Registry, department: &str) -> Option<Value> {
    let hub = registry.hub_name.as_deref()?;
    registry.departments.get(department)?;
    let keys: Vec<Value> = registry
        .sealing_keys
        .values()
        .filter(|key| key.department == department)
        .filter(|key| matches!(key.standing, KeyStanding::Active { .. } | KeyStanding::Retired { .. }))
        .filter_map(|key| registry.verifying_key(department, &key.kid))
        .map(weft_record::keys::VerifyingKey::to_jwk)
        .collect();
    Some(json!({"issuer": issuer_of(hub, department), "jwks": {"keys": keys}}))
}

/// A record type (SD-JWT VC, "Type Metadata"), with the JSON Schema of the processed payload.
pub(super) async fn record_type(State(served): Shared, Path((name, version)): Path<(String, String)>) -> Response {
    let registry = served.console.registry.snapshot();
    let number =
        version.strip_prefix('v').filter(|number| !number.starts_with('0')).and_then(|number| number.parse().ok());
    let found = number.and_then(|number| registry.catalogue().record_type_version(&name, number));
    match (found, registry.hub_name.as_deref()) {
        (Some(record_type), Some(hub)) => published(&type_metadata(record_type, hub)),
        _ => absent(),
    }
}

fn type_metadata(record_type: &RecordType, hub: &str) -> Value {
    let definition = &record_type.definition;
    let display = |zh: &str, en: &str| json!([{"lang": "zh-CN", "name": zh}, {"lang": "en", "name": en}]);
    let claims: Vec<Value> = definition
        .fields
        .iter()
        .map(|(field, one)| {
            json!({
                "path": ["fields", field],
                "display": [{"lang": "zh-CN", "label": one.name.zh}, {"lang": "en", "label": one.name.en}],
                "sd": "always",
            })
        })
        .collect();
    json!({
        "vct": record_type.vct(hub),
        "name": definition.title.en,
        "description": definition.title.zh,
        "display": display(&definition.title.zh, &definition.title.en),
        "claims": claims,
        "schema": record_type.schema,
    })
}
