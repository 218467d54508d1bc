//! Whether a new version of a record type can take the place of the old one.

use super::RecordType;
use serde_json::Value;
use std::fmt;

/// One thing that a new version takes from those who publish or read the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incompatibility {
    /// It is another type.
    OtherType,
    /// Its version is not higher.
    VersionNotHigher,
    /// A field is gone: grants and service items that name it break.
    FieldDropped(String),
    /// A field that publishers need not give is required now, or a new field is required from the start.
    NewlyRequired(String),
    /// A field that readers could rely on may be absent now.
    NoLongerRequired(String),
    /// A field's JSON type is another.
    TypeChanged(String),
    /// A field's pattern or format is another.
    PatternChanged(String),
    /// Values that were allowed are not, or bounds became narrower, or another constraint changed.
    Narrowed(String),
    /// A field's schema asks for less than any type: it accepts everything.
    AcceptsEverything(String),
    /// A field may be seen by fewer than before: grants to see it break.
    ShareNarrowed(String),
    /// A field's identifier rule is another: its normalised values, and look-ups by them, are too.
    RuleChanged(String),
    /// The natural key is another: every record would get another record_id.
    NaturalKeyChanged,
    /// There are fewer slots than fields of old records need.
    FewerSlots,
    /// An event that publishers use is gone.
    EventDropped(crate::status::Event),
    /// A role or scheme of holders is gone, or their number is bounded more narrowly.
    HolderNarrowed(String),
}

impl Incompatibility {
    /// The field that it is about; `None` where it is about the type as a whole.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::FieldDropped(name)
            | Self::NewlyRequired(name)
            | Self::NoLongerRequired(name)
            | Self::TypeChanged(name)
            | Self::PatternChanged(name)
            | Self::Narrowed(name)
            | Self::AcceptsEverything(name)
            | Self::ShareNarrowed(name)
            | Self::RuleChanged(name) => Some(name),
            Self::OtherType
            | Self::VersionNotHigher
            | Self::NaturalKeyChanged
            | Self::FewerSlots
            | Self::EventDropped(_)
            | Self::HolderNarrowed(_) => None,
        }
    }
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType => f.write_str("it is another record type"),
            Self::VersionNotHigher => f.write_str("its version is not higher"),
            Self::FieldDropped(name) => write!(f, "field {name} is dropped"),
            Self::NewlyRequired(name) => write!(f, "field {name} is newly required"),
            Self::NoLongerRequired(name) => write!(f, "field {name} is no longer required"),
            Self::TypeChanged(name) => write!(f, "field {name} has another type"),
            Self::PatternChanged(name) => write!(f, "field {name} has another pattern"),
            Self::Narrowed(name) => write!(f, "field {name} allows less, or otherwise"),
            Self::AcceptsEverything(name) => write!(f, "field {name} accepts everything"),
            Self::ShareNarrowed(name) => write!(f, "field {name} is shared more narrowly"),
            Self::RuleChanged(name) => write!(f, "field {name} has another identifier rule"),
            Self::NaturalKeyChanged => f.write_str("the natural key is another"),
            Self::FewerSlots => f.write_str("there are fewer slots"),
            Self::EventDropped(event) => write!(f, "the event {event} is dropped"),
            Self::HolderNarrowed(role) => write!(f, "holders in the role {role} are bounded more narrowly"),
        }
    }
}

/// Everything by which `new` breaks those who publish or read `old`; empty where it is backward compatible.
#[must_use]
pub fn compatible(old: &RecordType, new: &RecordType) -> Vec<Incompatibility> {
    let mut found = Vec::new();
    let (before, after) = (&old.definition, &new.definition);
    if before.name != after.name {
        found.push(Incompatibility::OtherType);
    }
    if before.version >= after.version {
        found.push(Incompatibility::VersionNotHigher);
    }
    if before.natural_key != after.natural_key {
        found.push(Incompatibility::NaturalKeyChanged);
    }
    if after.slots.fields < before.slots.fields || after.slots.holders < before.slots.holders {
        found.push(Incompatibility::FewerSlots);
    }
    let dropped = before.events.iter().filter(|event| !after.events.contains(event));
    found.extend(dropped.map(|event| Incompatibility::EventDropped(*event)));
    for (name, shape) in &old.shapes {
        match new.shapes.get(name) {
            None => found.push(Incompatibility::FieldDropped(name.clone())),
            Some(now) => found.extend(changed(name, shape, now)),
        }
    }
    for name in new.required.difference(&old.required) {
        found.push(Incompatibility::NewlyRequired(name.clone()));
    }
    for name in old.required.difference(&new.required).filter(|name| new.shapes.contains_key(*name)) {
        found.push(Incompatibility::NoLongerRequired(name.clone()));
    }
    found.extend(fields_treated_otherwise(old, new));
    found.extend(holders_narrowed(old, new));
    found
}

fn fields_treated_otherwise(old: &RecordType, new: &RecordType) -> Vec<Incompatibility> {
    let mut found = Vec::new();
    for (name, before) in &old.definition.fields {
        let Some(after) = new.definition.fields.get(name) else { continue };
        if (after.share as u8) > (before.share as u8) {
            found.push(Incompatibility::ShareNarrowed(name.clone()));
        }
        if after.rule != before.rule {
            found.push(Incompatibility::RuleChanged(name.clone()));
        }
    }
    found
}

fn holders_narrowed(old: &RecordType, new: &RecordType) -> Vec<Incompatibility> {
    let narrowed = |before: &&super::HolderRule| {
        new.definition.holders.iter().find(|after| after.role == before.role).is_none_or(|after| {
            after.min > before.min
                || after.max.is_some_and(|max| before.max.is_none_or(|was| max < was))
                || before.schemes.iter().any(|scheme| !after.schemes.contains(scheme))
        })
    };
    let new_role = |after: &&super::HolderRule| {
        after.min > 0 && !old.definition.holders.iter().any(|before| before.role == after.role)
    };
    old.definition
        .holders
        .iter()
        .filter(narrowed)
        .chain(new.definition.holders.iter().filter(new_role))
        .map(|holder| Incompatibility::HolderNarrowed(holder.role.clone()))
        .collect()
}

/// How a field's schema changed for the worse. Both are inlined and free of annotations.
fn changed(name: &str, before: &Value, after: &Value) -> Option<Incompatibility> {
    if before == after {
        return None;
    }
    let name = name.to_owned();
    let asks_nothing = after.as_object().is_none_or(serde_json::Map::is_empty);
    if asks_nothing {
        return Some(Incompatibility::AcceptsEverything(name));
    }
    if before.get("type") != after.get("type") {
        return Some(Incompatibility::TypeChanged(name));
    }
    if ["pattern", "format"].iter().any(|keyword| before.get(keyword) != after.get(keyword)) {
        return Some(Incompatibility::PatternChanged(name));
    }
    let keywords = [before, after].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
    let widened = keywords.into_iter().all(|keyword| widens(keyword, before.get(keyword), after.get(keyword)));
    (!widened).then_some(Incompatibility::Narrowed(name))
}

/// Whether a keyword's change allows at least what was allowed.
fn widens(keyword: &str, before: Option<&Value>, after: Option<&Value>) -> bool {
    if before == after {
        return true;
    }
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    match keyword {
        "enum" => match (before.and_then(Value::as_array), after.and_then(Value::as_array)) {
            (Some(before), Some(after)) => before.iter().all(|value| after.contains(value)),
            (_, after) => after.is_none(),
        },
        "maxLength" | "maxItems" | "maximum" | "maxProperties" => match (number(before), number(after)) {
            (Some(before), Some(after)) => after >= before,
            (_, after) => after.is_none(),
        },
        "minLength" | "minItems" | "minimum" | "minProperties" => match (number(before), number(after)) {
            (Some(before), Some(after)) => after <= before,
            (_, after) => after.is_none(),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests;
