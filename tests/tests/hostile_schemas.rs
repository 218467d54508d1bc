//! Hostile inputs, rows 26 to 28: record types that somebody registers. Whatever is in them, nothing is fetched and nothing
//! runs for long.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{net::TcpListener, time::Duration};

use serde_json::{Value, json};
use weft_record::catalogue::{Catalogue, compatible};

const TYPE: &str = "business-licence";
/// One second is what is asked for; a slow machine that builds beside the test gets more. What hangs takes longer still.
const PROMPT: Duration = Duration::from_secs(10);

fn file(name: &str) -> String {
    let wanted = format!("record-types/{TYPE}/{name}");
    Catalogue::builtin_files().find(|(path, _)| *path == wanted).unwrap().1.to_owned()
}

/// The built-in definition and schema, as version 2.
fn second_version() -> (String, Value) {
    let definition = file("type.toml").replacen("\nversion = 1", "\nversion = 2", 1);
    let mut schema: Value = serde_json::from_str(&file("v1.schema.json")).unwrap();
    schema["$id"] = json!(format!("weft:types/{TYPE}/v2"));
    (definition, schema)
}

/// Registers a schema for version 2: why it is refused.
#[track_caller]
fn refused(what: &str, schema: &str) -> String {
    let catalogue = Catalogue::builtin().unwrap();
    let begun = tokio::time::Instant::now();
    let result = catalogue.with_type(&second_version().0, schema);
    assert!(begun.elapsed() < PROMPT, "{what}: {:?}", begun.elapsed());
    result.map(|_| ()).expect_err(what).to_string()
}

/// The schema with one field's schema replaced.
fn with_field(field: &str, value: Value) -> String {
    let (_, mut schema) = second_version();
    schema["properties"]["fields"]["properties"][field] = value;
    schema.to_string()
}

#[test]
fn as_it_stands_the_second_version_is_taken() {
    let (definition, schema) = second_version();
    Catalogue::builtin()
        .unwrap()
        .with_type(&definition, &schema.to_string())
        .expect("so the refusals are of what they name");
}

#[test]
fn row_26_nothing_outside_the_catalogue_is_referred_to_or_fetched() {
    // Whoever follows a reference comes here; nothing that is asked of the catalogue could make it.
    let lure = TcpListener::bind("127.0.0.1:0").unwrap();
    lure.set_nonblocking(true).unwrap();
    let near = format!("http://{}/schema.json", lure.local_addr().unwrap());
    for reference in [
        near.as_str(),
        "http://169.254.169.254/latest/meta-data",
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "/etc/passwd",
        "//127.0.0.1/x",
        "weft:types/nothing/v1",
        "weft:common#/$defs/nothing",
        "../common/payload.schema.json",
    ] {
        let why = refused(reference, &with_field("name", json!({"$ref": reference})));
        assert!(why.contains("nothing is fetched"), "{reference}: {why}");
        let nested = json!({"type": "array", "items": {"anyOf": [{"$ref": reference}]}});
        refused(reference, &with_field("name", nested));
        refused(reference, &with_field("name", json!({"$dynamicRef": reference})));
        refused(reference, &with_field("name", json!({"$recursiveRef": reference})));
        let (_, mut schema) = second_version();
        // The dialect's own name is no reference: it is known, and nothing else is.
        schema["$schema"] = json!(format!("{reference}#"));
        assert!(refused(reference, &schema.to_string()).contains("$schema"), "{reference}");
        let (_, mut schema) = second_version();
        schema["allOf"] = json!([{"$ref": reference}]);
        refused(reference, &schema.to_string());
        let (_, mut schema) = second_version();
        schema["$id"] = json!(reference);
        refused(reference, &schema.to_string());
    }
    assert!(lure.accept().is_err(), "something was fetched");
}

#[test]
fn row_27_what_would_run_without_bound_is_refused_at_registration() {
    for (what, value) in [
        ("a loop", json!({"$ref": "#/properties/fields/properties/name"})),
        ("the whole in its part", json!({"$ref": "#"})),
        ("look-ahead", json!({"type": "string", "pattern": "^(?=a)b"})),
        ("look-behind", json!({"type": "string", "pattern": "(?<=a)b"})),
        ("a back-reference", json!({"type": "string", "pattern": r"^(a)\1$"})),
        ("a pattern that unfolds", json!({"type": "string", "pattern": "a{1000}{1000}{1000}"})),
        ("patternProperties", json!({"type": "object", "patternProperties": {"(a+)+$": {"type": "string"}}})),
    ] {
        refused(what, &with_field("name", value));
    }
    let (_, mut schema) = second_version();
    schema["$defs"] = json!({"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}});
    schema["allOf"] = json!([{"$ref": "weft:common"}, {"$ref": "#/$defs/a"}]);
    refused("a loop of two", &schema.to_string());
    let mut doubling: serde_json::Map<String, Value> = (0..30)
        .map(|level| {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            (format!("d{level}"), json!({"allOf": [next, next]}))
        })
        .collect();
    doubling.insert("d30".into(), json!({"type": "object"}));
    let (_, mut schema) = second_version();
    schema["$defs"] = json!(doubling);
    schema["allOf"] = json!([{"$ref": "weft:common"}, {"$ref": "#/$defs/d0"}]);
    refused("one that doubles 30 times", &schema.to_string());
    let million = schema.to_string().replacen("\"allOf\":[", &format!("\"allOf\":[{}", "true,".repeat(1_000_000)), 1);
    refused("a million branches", &million);
    let hundred = schema.to_string().replacen("\"allOf\":[", &format!("\"allOf\":[{}", "true,".repeat(100)), 1);
    refused("a hundred branches", &hundred);
    refused("an abyss", &format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)));

    // Nested repetition is taken: the engine runs in linear time, whatever the text.
    let (definition, _) = second_version();
    let nested = with_field("name", json!({"type": "string", "pattern": "^(a+)+$"}));
    let catalogue = Catalogue::builtin().unwrap().with_type(&definition, &nested).unwrap();
    let begun = tokio::time::Instant::now();
    let payload = json!({"fields": {"name": format!("{}b", "a".repeat(50_000))}});
    let record_type = catalogue.record_type_version(TYPE, 2).unwrap();
    let problems = record_type.check_content(&payload, weft_record::status::Event::Issue);
    assert!(problems.iter().any(|one| one.pointer == "/fields/name"), "{problems:?}");
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
}

#[test]
fn row_28_what_accepts_everything_or_drops_a_field_is_refused_or_told() {
    for (what, schema) in [
        ("{}", "{}".to_owned()),
        ("true", "true".to_owned()),
        ("a field without a type", with_field("name", json!({}))),
        ("a field that is true", with_field("name", json!(true))),
        ("a field that is anything but nothing", with_field("name", json!({"not": false}))),
    ] {
        refused(what, &schema);
    }
    let (_, mut open) = second_version();
    open["properties"]["fields"]["additionalProperties"] = json!(true);
    refused("fields that nobody named", &open.to_string());

    // A required field that becomes optional, or goes: told, with the service items that it would break.
    let (definition, mut schema) = second_version();
    let required = schema["properties"]["fields"]["required"].as_array_mut().unwrap();
    required.retain(|name| name != "scope");
    let wider = Catalogue::builtin().unwrap().with_type(&definition, &schema.to_string()).unwrap();
    let versions = [1, 2].map(|version| wider.record_type_version(TYPE, version).unwrap().clone());
    let told: Vec<String> = compatible(&versions[0], &versions[1]).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["field scope is no longer required"]);

    let properties = schema["properties"]["fields"]["properties"].as_object_mut().unwrap();
    properties.shift_remove("name");
    let required = schema["properties"]["fields"]["required"].as_array_mut().unwrap();
    required.retain(|name| name != "name");
    let without: String = definition
        .split("\n[fields.")
        .enumerate()
        .filter(|(at, table)| *at == 0 || !table.starts_with("name]"))
        .map(|(at, table)| if at == 0 { table.to_owned() } else { format!("\n[fields.{table}") })
        .collect();
    assert_ne!(without, definition);
    let fewer = Catalogue::builtin().unwrap().with_type(&without, &schema.to_string()).unwrap();
    let versions = [1, 2].map(|version| fewer.record_type_version(TYPE, version).unwrap().clone());
    let told: Vec<String> = compatible(&versions[0], &versions[1]).iter().map(ToString::to_string).collect();
    assert!(told.contains(&"field name is dropped".to_owned()), "{told:?}");
    let broken = fewer.broken_items();
    assert!(!broken.is_empty(), "the service items that ask for the field are listed");
}
