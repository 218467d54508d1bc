//! Every record type under `schemas/`, held against its own examples.
//!
//! Per type: what is valid passes; what is invalid is told with the reason, pointer and rule that the example names;
//! each required field taken away and each field given another JSON type is refused; and there are enough examples
//! of enough kinds. The files are read from disk, so data can be tried without compiling.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use weft_record::catalogue::{Catalogue, RecordType, effective_event};
use weft_record::problem::{Problem, Reason};
use weft_record::status::Event;

/// 2026-11-01T00:00:00Z.
const ISSUED_AT: i64 = 1_793_491_200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    #[expect(dead_code, reason = "for people")]
    note: String,
    event_department: String,
    reason: Option<Reason>,
    pointer: Option<String>,
    rule: Option<String>,
    content: Value,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas")
}

fn read_files(dir: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_files(&path, files);
        } else {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

static FILES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mut files = BTreeMap::new();
    read_files(&root(), &mut files);
    files
});

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::from_files(&*FILES).unwrap_or_else(|error| panic!("{error}")));

fn examples(record_type: &RecordType) -> Vec<(&'static str, Example)> {
    let folder = format!("record-types/{}/examples/", record_type.definition.name);
    FILES
        .iter()
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(path, text)| {
            let example: Example = serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
            let says_valid = path[folder.len()..].starts_with("valid-");
            assert_eq!(says_valid, example.reason.is_none(), "{path}: the file's name and `reason` disagree");
            (path.as_str(), example)
        })
        .collect()
}

/// The payload that an example's content would be sealed as.
fn payload(record_type: &RecordType, example: &Example) -> Value {
    let name = &record_type.definition.name;
    let mut payload = example.content.clone();
    let department = &example.event_department;
    payload["iss"] = json!(format!("https://hub.example/departments/{department}"));
    payload["iat"] = json!(ISSUED_AT);
    payload["vct"] = json!(record_type.vct("hub.example"));
    if let Some(record) = payload.get_mut("record").and_then(Value::as_object_mut) {
        record.insert("id".to_owned(), json!(format!("{name}.{department}.aaaaaaaaaaaaaaaaaaaaaaaaaa")));
    }
    payload
}

fn check(record_type: &RecordType, payload: &Value) -> Vec<Problem> {
    record_type.check_content(payload, effective_event(payload).unwrap_or(Event::Issue))
}

fn refusals(record_type: &RecordType, payload: &Value) -> Vec<Problem> {
    check(record_type, payload).into_iter().filter(|problem| !problem.warning).collect()
}

/// Runs `judge` over every type and tells all its complaints at once.
fn over_types(judge: impl Fn(&RecordType, &mut Vec<String>)) {
    let mut complaints = Vec::new();
    for record_type in CATALOGUE.record_types() {
        judge(record_type, &mut complaints);
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_type_that_has_a_folder_is_loaded() {
    let folders: BTreeSet<&str> =
        FILES.keys().filter_map(|path| path.strip_prefix("record-types/")?.split('/').next()).collect();
    let loaded: BTreeSet<&str> = CATALOGUE.record_types().map(|loaded| loaded.definition.name.as_str()).collect();
    assert_eq!(folders, loaded);
    assert_eq!(loaded.len(), 18, "the record types of the hall");
}

#[test]
fn what_is_compiled_in_is_what_lies_on_disk() {
    let built_in: BTreeMap<String, String> =
        Catalogue::builtin_files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let paths = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&built_in), paths(&FILES));
    assert!(built_in == *FILES, "a file differs from the compiled-in one");
}

#[test]
fn valid_examples_pass() {
    over_types(|record_type, complaints| {
        for (path, example) in examples(record_type).iter().filter(|(_, example)| example.reason.is_none()) {
            let told = refusals(record_type, &payload(record_type, example));
            complaints.extend(told.iter().map(|problem| format!("{path}: {problem:?}")));
        }
    });
}

#[test]
fn invalid_examples_are_told_with_their_reason_pointer_and_rule() {
    over_types(|record_type, complaints| {
        for (path, example) in &examples(record_type) {
            let Some(reason) = example.reason else { continue };
            let told = refusals(record_type, &payload(record_type, example));
            let found = told.iter().any(|problem| {
                problem.reason == reason
                    && example.pointer.as_ref().is_none_or(|pointer| *pointer == problem.pointer)
                    && (reason != Reason::RuleBroken || problem.rule == example.rule)
            });
            if !found {
                let wanted = (reason.as_str(), &example.pointer, &example.rule);
                let told: Vec<_> = told.iter().map(|p| (p.reason.as_str(), &p.pointer, &p.rule)).collect();
                complaints.push(format!("{path}: wanted {wanted:?}, told {told:?}"));
            }
            if example.pointer.is_none() || (reason == Reason::RuleBroken) != example.rule.is_some() {
                complaints.push(format!("{path}: an invalid example has a pointer, and a rule if one is broken"));
            }
        }
    });
}

#[test]
fn there_are_enough_examples_of_enough_kinds() {
    over_types(|record_type, complaints| {
        let name = &record_type.definition.name;
        let examples = examples(record_type);
        let reasons: BTreeSet<Reason> = examples.iter().filter_map(|(_, example)| example.reason).collect();
        let invalid = examples.iter().filter(|(_, example)| example.reason.is_some()).count();
        let past_the_schema = examples
            .iter()
            .filter(|(_, example)| example.reason == Some(Reason::RuleBroken))
            .any(|(_, example)| record_type.schema_problems(&payload(record_type, example)).is_empty());
        for (holds, what) in [
            (examples.len() - invalid >= 3, "3 valid examples"),
            (invalid >= 5, "5 invalid examples"),
            (reasons.len() >= 4, "4 different reasons"),
            (past_the_schema, "an example that passes the schema and breaks a rule"),
        ] {
            if !holds {
                complaints.push(format!("{name} lacks {what}"));
            }
        }
        let departments = &record_type.definition.departments;
        for (path, example) in &examples {
            if !departments.contains(&example.event_department) {
                complaints.push(format!("{path}: {} does not issue this type", example.event_department));
            }
        }
    });
}

/// The payloads of valid examples whose events do not take away.
fn given(record_type: &RecordType) -> Vec<(&'static str, Value)> {
    examples(record_type)
        .iter()
        .filter(|(_, example)| example.reason.is_none())
        .map(|(path, example)| (*path, payload(record_type, example)))
        .filter(|(_, payload)| !effective_event(payload).is_some_and(Event::takes_away))
        .collect()
}

#[test]
fn a_required_field_taken_away_is_refused() {
    over_types(|record_type, complaints| {
        let given = given(record_type);
        if given.is_empty() {
            complaints.push(format!("{} has no valid example that gives", record_type.definition.name));
        }
        for (path, payload) in given {
            for name in record_type.required_fields() {
                let mut without = payload.clone();
                without["fields"].as_object_mut().unwrap().remove(name);
                let pointer = format!("/fields/{name}");
                let told = refusals(record_type, &without);
                if !told.iter().any(|p| p.reason == Reason::MissingField && p.pointer == pointer) {
                    complaints.push(format!("{path} without {name}: {told:?}"));
                }
            }
            for pointer in ["iss", "iat", "vct", "record", "event", "holders", "fields"] {
                let mut without = payload.clone();
                without.as_object_mut().unwrap().remove(pointer);
                if effective_event(&without).is_some_and(Event::takes_away) {
                    continue; // Without its event, a version is judged by its status.
                }
                if refusals(record_type, &without).is_empty() {
                    complaints.push(format!("{path} without {pointer} passes"));
                }
            }
        }
    });
}

#[test]
fn a_field_of_another_json_type_is_refused() {
    over_types(|record_type, complaints| {
        for (path, payload) in given(record_type) {
            for (name, value) in payload["fields"].as_object().unwrap() {
                for other in [json!("x"), json!(7), json!(true), json!([]), json!({}), json!(null)] {
                    let kind = |value: &Value| std::mem::discriminant(value);
                    if kind(&other) == kind(value) {
                        continue;
                    }
                    let mut changed = payload.clone();
                    changed["fields"][name] = other.clone();
                    let pointer = format!("/fields/{name}");
                    let told = refusals(record_type, &changed);
                    if !told.iter().any(|p| p.reason == Reason::WrongType && p.pointer == pointer) {
                        complaints.push(format!("{path}: {name} = {other}: {told:?}"));
                    }
                }
            }
        }
    });
}

#[test]
fn every_valid_example_has_a_natural_key() {
    over_types(|record_type, complaints| {
        for (path, payload) in given(record_type) {
            if record_type.natural_key(&payload).is_none() {
                complaints.push(format!("{path} has no natural key"));
            }
        }
    });
}

#[test]
fn every_type_has_the_fields_that_all_certificates_share() {
    const SHARED: [(&str, &str); 7] = [
        ("certificateName", "ZZMC"),
        ("certificateTypeCode", "ZZLXDM"),
        ("certificateNumber", "ZZBH"),
        ("certificateIdentifier", "ZZBS"),
        ("issuingAuthorityName", "ZZBFJG"),
        ("issuingAuthorityCode", "ZZBFJGDM"),
        ("issuedDate", "ZZBFRQ"),
    ];
    over_types(|record_type, complaints| {
        let required: BTreeSet<&str> = record_type.required_fields().collect();
        for (name, code) in SHARED {
            let field = record_type.definition.fields.get(name);
            if field.and_then(|field| field.code.as_deref()) != Some(code) {
                complaints.push(format!("{}: {name} is to be there with code {code}", record_type.definition.name));
            }
            if name != "certificateIdentifier" && !required.contains(name) {
                complaints.push(format!("{}: {name} is to be required", record_type.definition.name));
            }
        }
    });
}

#[test]
fn problems_never_repeat_a_value_of_the_record() {
    over_types(|record_type, complaints| {
        for (path, example) in &examples(record_type) {
            let payload = payload(record_type, example);
            let allowed = record_type.schema.to_string();
            let texts = payload["fields"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str());
            let holders = payload["holders"].as_array().into_iter().flatten();
            let texts = texts.chain(holders.filter_map(|holder| holder["value"].as_str()));
            // Short texts and words of the schema itself occur in sentences by chance.
            let secrets: Vec<&str> =
                texts.filter(|text| text.chars().count() >= 6 && !allowed.contains(*text)).collect();
            for problem in check(record_type, &payload) {
                if secrets.iter().any(|secret| problem.zh.contains(secret) || problem.en.contains(secret)) {
                    complaints.push(format!("{path}: {problem:?}"));
                }
            }
        }
    });
}

/// Every place of a value, as pointers.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(member, &format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| places(item, &format!("{pointer}/{at}"), found));
        }
        _ => {}
    }
}

#[test]
fn whatever_stands_at_a_place_is_answered_and_never_panics() {
    let hostile = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(""),
        json!("\u{202e}\u{0}"),
        json!("****"),
        json!("０".repeat(5_000)),
        json!("9999-99-99"),
        json!("0000-00-00"),
        json!("1/0"),
        json!([[], {}, null, "x", 1]),
        json!({"role": 1, "scheme": [], "value": {}}),
        json!({"": {"/": {"~": null}}}),
    ];
    over_types(|record_type, complaints| {
        let Some((path, payload)) = given(record_type).into_iter().next() else { return };
        let mut found = Vec::new();
        places(&payload, "", &mut found);
        for pointer in found {
            for value in &hostile {
                let mut changed = payload.clone();
                *changed.pointer_mut(&pointer).unwrap() = value.clone();
                for event in [Event::Issue, Event::Revoke] {
                    let told = record_type.check_content(&changed, event);
                    if told.iter().any(|problem| problem.zh.len() + problem.en.len() > 2_000) {
                        complaints.push(format!("{path} at {pointer}: a text is too long"));
                    }
                }
            }
        }
    });
}
