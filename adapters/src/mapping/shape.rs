//! A declared value against the shape of its field.

use serde_json::Value as Json;
use weft_record::catalogue::{Field, FieldRule};

use super::{Kind, Value};

/// All that keeps `value` from being one of the field's.
pub(super) fn faults(field: &Field, shape: Option<&Json>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if field.rule == Some(FieldRule::Date) {
        if value.kind != Kind::Date {
            found.push("the field is a date: kind = \"date\"".to_owned());
        }
        return found;
    }
    let Some(shape) = shape else { return found };
    let wanted = match shape.get("type").and_then(Json::as_str) {
        Some("array") => &[Kind::List][..],
        Some("integer") => &[Kind::Integer],
        Some("boolean") => &[Kind::Boolean],
        Some("string") => &[Kind::Text, Kind::Decimal, Kind::Date],
        _ => return found,
    };
    if !wanted.contains(&value.kind) {
        let kind = format!("{:?}", wanted[0]).to_lowercase();
        found.push(format!("the field is a {kind}: kind = \"{kind}\""));
        return found;
    }
    let one = if value.kind == Kind::List { shape.get("items").unwrap_or(shape) } else { shape };
    if !matches!(value.kind, Kind::Text | Kind::List) {
        return found;
    }
    // What a shared table maps to and the field does not take is told by the rows that have it.
    let own = value.dictionary.values().filter(|_| value.code_table.is_none() && value.dialect.is_none());
    let given = own.chain(&value.constant).chain(&value.default);
    let otherwise = value.otherwise.iter().filter(|word| *word != "=");
    for word in given.chain(otherwise) {
        let texts = if value.kind == Kind::List && !value.dictionary.values().any(|known| known == word) {
            super::split(word, value.separators.as_deref().unwrap_or("、，,；;")).collect()
        } else {
            vec![word.as_str()]
        };
        for text in texts.into_iter().filter(|text| !admits(one, text)) {
            found.push(format!("{text} is not among the values of the field"));
        }
    }
    found.dedup();
    found
}

/// Whether a shape with a closed list has this text; one without takes any.
fn admits(shape: &Json, text: &str) -> bool {
    if let Some(only) = shape.get("const") {
        return only.as_str() == Some(text);
    }
    let Some(values) = shape.get("enum").and_then(Json::as_array) else { return true };
    values.iter().any(|value| value.as_str() == Some(text))
}
