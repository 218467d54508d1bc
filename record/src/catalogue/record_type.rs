//! A record type: its definition, its compiled schema, and that the two agree.

use super::definition::{Definition, Share};
use super::schema::{Documents, SchemaError};
use super::{Fault, FieldRule, ValidityRule};
use crate::identifier::{self, Tolerance};
use crate::rules::Kind;
use crate::status::{Event, Status};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A record type, ready to check payloads.
#[derive(Debug, Clone)]
pub struct RecordType {
    /// What `type.toml` says.
    pub definition: Definition,
    /// The JSON Schema as it was written.
    pub schema: Value,
    pub(super) shapes: BTreeMap<String, Value>,
    pub(super) required: BTreeSet<String>,
    pub(super) validator: jsonschema::Validator,
    pub(super) tolerance: Tolerance,
}

/// The event that a payload is judged by: its own, or where that cannot be read, the taking-away one that its status
/// speaks of. `None` where neither tells.
#[must_use]
pub fn effective_event(payload: &Value) -> Option<Event> {
    let own = payload.get("event").and_then(Value::as_str).and_then(|event| event.parse().ok());
    own.or_else(|| {
        let status: Status = payload.pointer("/record/status")?.as_str()?.parse().ok()?;
        status.implied_event()
    })
}

impl RecordType {
    pub(super) fn new(definition: Definition, schema: &str, documents: &Documents) -> Result<Self, Fault> {
        let schema = documents.read(schema)?;
        let id = format!("weft:types/{}/v{}", definition.name, definition.version);
        if schema.get("$id").and_then(Value::as_str) != Some(&id) {
            return Err(SchemaError::Id { expected: id }.into());
        }
        let has_common = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        if !has_common.into_iter().any(|part| part.get("$ref").and_then(Value::as_str) == Some("weft:common")) {
            return Err(SchemaError::Lacks("allOf with a $ref to weft:common").into());
        }
        let shapes = shapes_of_fields(&schema, documents)?;
        let required: BTreeSet<String> = schema
            .pointer("/properties/fields/required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        agree(&definition, &shapes, &required).map_err(Fault::Inconsistent)?;
        let validator = documents.compile(&schema)?;
        Ok(Self { definition, schema, shapes, required, validator, tolerance: Tolerance::TEST })
    }

    pub(super) fn with_tolerance(&self, tolerance: Tolerance) -> Self {
        Self { tolerance, ..self.clone() }
    }

    /// The `vct` of records of this type, behind a hub's public name.
    #[must_use]
    pub fn vct(&self, hub: &str) -> String {
        format!("https://{hub}/types/{}/v{}", self.definition.name, self.definition.version)
    }

    /// The names of the fields that a record must have.
    pub fn required_fields(&self) -> impl Iterator<Item = &str> {
        self.required.iter().map(String::as_str)
    }

    /// The schema of one field, every `$ref` followed.
    #[must_use]
    pub fn field_schema(&self, name: &str) -> Option<&Value> {
        self.shapes.get(name)
    }

    /// A field's text in the form in which it is compared and looked up; one that has no rule of its own is made
    /// half-width and upper-case, without blanks.
    #[must_use]
    pub fn normalise_field(&self, name: &str, text: &str) -> String {
        match self.definition.fields.get(name).and_then(|field| field.rule) {
            Some(FieldRule::Identifier(rule)) => identifier::normalise(rule, text),
            Some(FieldRule::Date) => text.trim().to_owned(),
            None => identifier::narrow(text),
        }
    }

    /// The normalised values of the natural key, from which the record_id is made; `None` where one is missing, empty
    /// or no text and no number.
    #[must_use]
    pub fn natural_key(&self, payload: &Value) -> Option<Vec<String>> {
        let fields = payload.get("fields")?;
        let part = |name: &String| match fields.get(name)? {
            Value::String(text) => Some(self.normalise_field(name, text)).filter(|part| !part.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        self.definition.natural_key.iter().map(part).collect()
    }
}

/// The schema of each field, inlined; every one must ask for something.
fn shapes_of_fields(schema: &Value, documents: &Documents) -> Result<BTreeMap<String, Value>, SchemaError> {
    let fields = schema.pointer("/properties/fields").ok_or(SchemaError::Lacks("properties.fields"))?;
    if fields.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(SchemaError::Lacks("additionalProperties: false in fields"));
    }
    if fields.get("type").and_then(Value::as_str) != Some("object") {
        return Err(SchemaError::Lacks("type: object in fields"));
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let properties = properties.ok_or(SchemaError::Lacks("properties of fields"))?;
    let mut shapes = BTreeMap::new();
    for (name, property) in properties {
        let shape = documents.inline(schema, property);
        if ["type", "enum", "const"].iter().all(|keyword| shape.get(keyword).is_none()) {
            let pointer = crate::problem::pointer_to("/properties/fields/properties", name);
            return Err(SchemaError::AcceptsEverything { pointer });
        }
        shapes.insert(name.clone(), shape);
    }
    Ok(shapes)
}

/// What a definition must satisfy in itself and beside its schema.
fn agree(definition: &Definition, shapes: &BTreeMap<String, Value>, required: &BTreeSet<String>) -> Result<(), String> {
    let known = |name: &str| definition.fields.contains_key(name);
    let name_in_shape =
        !definition.name.is_empty() && definition.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    ensure(name_in_shape, || "the type's name is not [a-z-]+".to_owned())?;
    ensure(definition.version > 0, || "version begins at 1".to_owned())?;
    for name in shapes.keys() {
        ensure(known(name), || format!("[fields.{name}] is missing"))?;
    }
    for (name, field) in &definition.fields {
        ensure(shapes.contains_key(name), || format!("field {name} is not in the schema"))?;
        ensure((field.share == Share::Withheld) == field.legal_basis.is_some(), || {
            format!("field {name}: legal_basis goes with share = \"withheld\"")
        })?;
    }
    for name in required {
        ensure(known(name), || format!("the schema requires {name}, which is no field"))?;
    }
    ensure(!definition.natural_key.is_empty(), || "natural_key is empty".to_owned())?;
    for name in &definition.natural_key {
        ensure(required.contains(name), || format!("natural_key: {name} is no required field"))?;
    }
    ensure(definition.slots.fields >= definition.fields.len(), || {
        format!("slots.fields is less than the {} fields", definition.fields.len())
    })?;
    ensure(definition.slots.holders > 0, || "slots.holders is 0".to_owned())?;
    ensure(definition.freshness_hours > 0, || "freshness_hours is 0".to_owned())?;
    let begins = [Event::Issue, Event::TransferIn].iter().any(|event| definition.events.contains(event));
    ensure(begins, || "events: no history can begin without issue or transfer_in".to_owned())?;
    ensure(distinct(&definition.events), || "events: one stands twice".to_owned())?;
    let bounded = definition.validity.max_years.is_none_or(|years| years > 0)
        && (definition.validity.rule != ValidityRule::None || definition.validity.max_years.is_none());
    ensure(bounded, || "validity: max_years is 0, or stands beside rule = \"none\"".to_owned())?;
    agree_on_holders(definition)?;
    agree_on_rules(definition)
}

fn agree_on_holders(definition: &Definition) -> Result<(), String> {
    let roles: Vec<&String> = definition.holders.iter().map(|holder| &holder.role).collect();
    ensure(!roles.is_empty() && distinct(&roles), || "holders: no role, or one stands twice".to_owned())?;
    for holder in &definition.holders {
        let role = &holder.role;
        ensure(!holder.schemes.is_empty(), || format!("holders: role {role} has no scheme"))?;
        ensure(holder.max.is_none_or(|max| max > 0 && holder.min <= max), || {
            format!("holders: role {role} has a min above its max")
        })?;
    }
    Ok(())
}

fn agree_on_rules(definition: &Definition) -> Result<(), String> {
    let ids: Vec<&String> = definition.rules.iter().map(|rule| &rule.id).collect();
    ensure(distinct(&ids), || "rules: one id stands twice".to_owned())?;
    for rule in &definition.rules {
        for name in rule.fields() {
            let known = definition.fields.contains_key(name);
            ensure(known, || format!("rule {}: {name} is no field", rule.id))?;
        }
        match &rule.kind {
            Kind::DistinctHolders { roles } => {
                for role in roles {
                    let known = definition.holders.iter().any(|holder| holder.role == *role);
                    ensure(known, || format!("rule {}: {role} is no role", rule.id))?;
                }
            }
            Kind::EqualsHolder { scheme, role: Some(role), .. } => {
                let known = definition.holders.iter().any(|one| one.role == *role && one.schemes.contains(scheme));
                ensure(known, || format!("rule {}: no holder has role {role} and scheme {scheme}", rule.id))?;
            }
            Kind::EqualsHolder { scheme, .. } | Kind::StartsWithHolder { scheme, .. } => {
                let known = definition.holders.iter().any(|holder| holder.schemes.contains(scheme));
                ensure(known, || format!("rule {}: no holder has scheme {scheme}", rule.id))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(place, item)| !items[..place].contains(item))
}
