//! Hostile inputs, rows 26 to 28: record types that somebody registers, in the catalogue and at a hub. Whatever is in them, nothing is
//! fetched, nothing runs for long, and nobody who publishes or reads the type is broken unheard.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{net::TcpListener, time::Duration};

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use weft_proto::{
    reason::{Reason, reason_of},
    v1,
};
use weft_record::{
    catalogue::{Catalogue, compatible},
    sdjwt::{Limits, Token},
    seal::{Content, seal},
    status::{Event, Status as RecordStatus},
};
use weft_tests::{
    department::{Example, TestDepartment},
    hub::{OPERATOR_NAMES, TestHub, reopen},
    story::settled,
    window::{ITEM, TestWindow, grant, look},
};

const TYPE: &str = "business-licence";
const DEPARTMENT: &str = "market-regulation";
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

/// The texts as an operator hands them in.
fn text(definition: &str, schema: &Value) -> v1::RecordTypeText {
    v1::RecordTypeText { definition: definition.into(), schema: schema.to_string() }
}

/// The second version with one more field, which nobody has to give.
fn with_a_new_field() -> (String, Value) {
    let (definition, mut schema) = second_version();
    let field = "\n[fields.motto]\nname = { zh = \"经营口号\", en = \"Motto\" }\nsensitivity = \"public\"\nshare = \"unconditional\"\n";
    schema["properties"]["fields"]["properties"]["motto"] = json!({"type": "string", "minLength": 1, "maxLength": 50});
    // Tables of fields stand together; the first one is found by its head.
    let at = definition.find("\n[fields.").unwrap();
    (format!("{}{field}{}", &definition[..at], &definition[at..]), schema)
}

async fn check(hub: &TestHub, record_type: v1::RecordTypeText) -> Result<v1::CheckRecordTypeResponse, Status> {
    let request = v1::CheckRecordTypeRequest { record_type: Some(record_type) };
    Ok(hub.operator(OPERATOR_NAMES[0]).await.check_record_type(request).await?.into_inner())
}

async fn register(hub: &TestHub, record_type: v1::RecordTypeText) -> Result<v1::Change, Status> {
    let request = v1::RegisterRecordTypeRequest { record_type: Some(record_type) };
    Ok(hub.operator(OPERATOR_NAMES[0]).await.register_record_type(request).await?.into_inner())
}

fn fields_named(status: &Status) -> Vec<(String, String)> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    violations.into_iter().map(|one| (one.field, one.description)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_26_to_28_at_a_hub_what_is_refused_leaves_no_trace() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    hub.window("hall-1").await;
    let grant = hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "scope"])).await;
    let before = hub.status(false).await.registry_position;
    let (definition, schema) = second_version();
    let lure = TcpListener::bind("127.0.0.1:0").unwrap();
    lure.set_nonblocking(true).unwrap();
    let near = format!("http://{}/schema.json", lure.local_addr().unwrap());
    for (what, definition, schema, field) in [
        ("what is fetched", definition.as_str(), with_field("name", json!({"$ref": near})), "schema"),
        ("a loop", &definition, with_field("name", json!({"$ref": "#/properties/fields/properties/name"})), "schema"),
        ("look-ahead", &definition, with_field("name", json!({"type": "string", "pattern": "^(?=a)b"})), "schema"),
        ("too long a text", &definition, format!("{}{schema}", " ".repeat(300_000)), "schema"),
        ("an abyss", &definition, format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), "schema"),
        ("{}", &definition, "{}".to_owned(), "schema"),
        ("true", &definition, "true".to_owned(), "schema"),
        ("a field that takes everything", &definition, with_field("name", json!({})), "schema"),
        ("nothing", "", String::new(), "definition"),
        ("no TOML", "type = [", schema.to_string(), "definition"),
    ] {
        let record_type = v1::RecordTypeText { definition: definition.into(), schema };
        let begun = tokio::time::Instant::now();
        for status in
            [check(&hub, record_type.clone()).await.unwrap_err(), register(&hub, record_type).await.unwrap_err()]
        {
            assert_eq!(reason_of(&status), Some(Reason::BadRequest), "{what}: {status}");
            assert_eq!(fields_named(&status)[0].0, format!("record_type.{field}"), "{what}: {status}");
        }
        assert!(begun.elapsed() < PROMPT * 2, "{what}: {:?}", begun.elapsed());
    }
    assert!(lure.accept().is_err(), "something was fetched");

    whom_it_would_break_is_told_first(&hub, &grant).await;
    assert_eq!(hub.status(false).await.registry_position, before, "nothing was written");
    let sealed = department.seal(&Example::business_licence(2800), 1, Event::Issue, RecordStatus::Valid);
    assert_eq!(department.publish(std::slice::from_ref(&sealed)).await.outcome(&sealed), v1::OutcomeKind::Indexed);
    hub.stop().await;
}

async fn whom_it_would_break_is_told_first(hub: &TestHub, grant: &str) {
    let (definition, schema) = second_version();
    // A required field that becomes optional, and the same version again: first whom it would break, then by what.
    let mut wider = schema.clone();
    wider["properties"]["fields"]["required"].as_array_mut().unwrap().retain(|name| name != "scope");
    let told = check(hub, text(&definition, &wider)).await.unwrap();
    assert_eq!((told.record_type.as_str(), told.version), (TYPE, 2));
    assert_eq!(
        (told.grants, told.incompatibilities),
        (vec![grant.to_owned()], vec!["field scope is no longer required".to_owned()])
    );
    let status = register(hub, text(&definition, &wider)).await.unwrap_err();
    assert_eq!((status.code(), reason_of(&status)), (Code::FailedPrecondition, Some(Reason::IncompatibleType)));
    assert!(status.message().contains(grant), "{status}");
    assert_eq!(fields_named(&status), [("record_type".to_owned(), "field scope is no longer required".to_owned())]);
    let mut other_key = definition.clone();
    other_key = other_key.replacen("natural_key = [\"uscc\"]", "natural_key = [\"uscc\", \"name\"]", 1);
    let told = check(hub, text(&other_key, &schema)).await.unwrap();
    assert!(
        told.grants == [grant.to_owned()] && !told.service_items.is_empty(),
        "what is about the whole type is about all: {told:?}"
    );
    let first: Value = serde_json::from_str(&file("v1.schema.json")).unwrap();
    let status = register(hub, text(&file("type.toml"), &first)).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::IncompatibleType), "version 1 again: {status}");
}

/// A record of the second version, with its new field.
fn sealed_anew(department: &TestDepartment, catalogue: &Catalogue, number: u32) -> (String, Vec<u8>) {
    let example = Example::business_licence(number).with("motto", json!("诚信经营"));
    let sealed = department.seal(&Example::business_licence(number), 1, Event::Issue, RecordStatus::Valid);
    let content = Content {
        record_id: sealed.record_id.clone(),
        version: 1,
        status: RecordStatus::Valid,
        valid_from: example.valid_from,
        valid_until: example.valid_until,
        event: Event::Issue,
        supersedes: None,
        holders: example.holders,
        fields: example.fields,
    };
    let second = catalogue.record_type_version(TYPE, 2).unwrap();
    let issuer = weft_record::verify::issuer_of(&department.hub_name, DEPARTMENT);
    let vct = second.vct(&department.hub_name);
    let iat = weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock) / 1000;
    let mut random = weft_hub::clock::fill_random;
    let slots = &second.definition.slots;
    let token = seal(&content, slots, &issuer, &vct, iat, &department.key, &mut random).unwrap();
    (sealed.record_id, token.into_bytes())
}

/// What a window is shown of the one licence of a holder: its record and the new field.
async fn shown(window: &TestWindow, number: u32) -> (String, Option<String>) {
    let holder = Example::business_licence(number).holders[0].value.clone();
    let request = v1::ListHolderRecordsRequest {
        look: Some(look(ITEM, Some(("uscc", &holder)))),
        record_type: TYPE.into(),
        page_size: 0,
        page_token: String::new(),
    };
    let answers = window.client.clone().list_holder_records(request).await.unwrap().into_inner().answers;
    assert_eq!(answers.len(), 1);
    let token = Token::parse(&answers[0].presentation, Limits::default()).unwrap();
    let fields = token.process().unwrap()["fields"].clone();
    (answers[0].record_id.clone(), fields["motto"].as_str().map(str::to_owned))
}

/// Stops a hub, deletes its index, and starts it anew.
async fn rebuilt(mut hub: TestHub) -> TestHub {
    let data_dir = hub.data_dir();
    hub.stop().await;
    let (config, folder) = (hub.config.clone(), hub.folder.clone());
    drop(hub);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        match std::fs::remove_file(data_dir.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{file}: {error}"),
            _ => {}
        }
    }
    TestHub::run(config.clone(), reopen(&config).await, folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_a_compatible_version_is_taken_up_without_a_restart_and_survives_a_rebuild() {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let window = hub.window("hall-1").await;
    let (definition, schema) = with_a_new_field();
    let catalogue = Catalogue::builtin().unwrap().with_type(&definition, &schema.to_string()).unwrap();
    let (record_id, bytes) = sealed_anew(&department, &catalogue, 2801);
    let early = department.publish_bytes(vec![bytes.clone()]).await;
    assert!(early.outcomes.is_empty(), "before it is registered the type is unknown: {:?}", early.answers);

    let told = check(&hub, text(&definition, &schema)).await.unwrap();
    assert!(told.incompatibilities.is_empty() && told.grants.is_empty() && told.service_items.is_empty(), "{told:?}");
    let change = register(&hub, text(&definition, &schema)).await.unwrap();
    assert_eq!((change.entity.as_str(), change.revision), ("record-type/business-licence", 1));
    let status = register(&hub, text(&definition, &schema)).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::IncompatibleType), "twice");

    // The door, the index and the windows know it at once, and the version before goes on.
    let granted = hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "motto"])).await;
    assert!(!granted.is_empty());
    let heard = department.publish_bytes(vec![bytes]).await;
    assert!(heard.outcomes.values().all(|one| one.kind() == v1::OutcomeKind::Indexed) && heard.outcomes.len() == 1);
    let old = department.seal(&Example::business_licence(2802), 1, Event::Issue, RecordStatus::Valid);
    assert_eq!(department.publish(std::slice::from_ref(&old)).await.outcome(&old), v1::OutcomeKind::Indexed);
    assert_eq!(shown(&window, 2801).await, (record_id.clone(), Some("诚信经营".into())));
    assert_eq!(shown(&window, 2802).await, (old.record_id.clone(), None));
    let by = v1::get_record_request::By::Identifier(v1::LookUpIdentifier {
        record_type: TYPE.into(),
        field: "uscc".into(),
        value: Example::business_licence(2801).holders[0].value.clone(),
    });
    let holder = Example::business_licence(2801).holders[0].value.clone();
    let request = v1::GetRecordRequest { look: Some(look(ITEM, Some(("uscc", &holder)))), by: Some(by) };
    assert_eq!(
        window.client.clone().get_record(request).await.unwrap().into_inner().answer.unwrap().record_id,
        record_id
    );

    // A rebuild comes to the same rows, and what was taken is not judged again.
    let before = settled(&hub).await;
    let mut hub = rebuilt(hub).await;
    let after = settled(&hub).await;
    assert_eq!((after.indexed, &after.content_digest), (before.indexed, &before.content_digest));
    let again = TestWindow { client: window.at(&hub).await, ..window };
    assert_eq!(shown(&again, 2801).await, (record_id, Some("诚信经营".into())));
    hub.stop().await;
}
