use super::*;
use crate::problem::Reason;
use crate::status::Event;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

fn builtin() -> Catalogue {
    BUILTIN.clone()
}

fn files() -> HashMap<String, String> {
    Catalogue::builtin_files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// Loads the files of one type with one text edited, and tells the refusal.
fn refused_with(path: &str, from: &str, to: &str) -> String {
    let mut files = files();
    files.retain(|file, _| file.starts_with("common/") || file.starts_with("record-types/business-licence/"));
    let text = files.get_mut(path).unwrap();
    assert!(text.contains(from), "{path} has no {from}");
    *text = text.replacen(from, to, 1);
    let error = Catalogue::from_files(files).unwrap_err();
    assert_eq!(error.path, path);
    error.problem.to_string()
}

/// A payload of the business licence, from its example.
fn licence() -> Value {
    let files = files();
    let example: Value =
        serde_json::from_str(&files["record-types/business-licence/examples/valid-company.json"]).unwrap();
    let mut payload = example["content"].clone();
    payload["iss"] = json!("https://hub.example/departments/market-regulation");
    payload["iat"] = json!(1_795_442_400);
    payload["vct"] = json!("https://hub.example/types/business-licence/v1");
    payload["record"]["id"] = json!("business-licence.market-regulation.aaaaaaaaaaaaaaaaaaaaaaaaaa");
    payload
}

fn problems(payload: &Value) -> Vec<crate::problem::Problem> {
    let event = effective_event(payload).unwrap_or(Event::Issue);
    builtin().record_type("business-licence").unwrap().check_content(payload, event)
}

fn reasons(payload: &Value) -> Vec<(String, &'static str, bool)> {
    problems(payload).into_iter().map(|p| (p.pointer, p.reason.as_str(), p.warning)).collect()
}

#[test]
fn the_built_in_files_load_and_types_are_found_by_name_version_and_vct() {
    let catalogue = builtin();
    let licence = catalogue.record_type("business-licence").unwrap();
    assert_eq!(licence.vct("hub.example"), "https://hub.example/types/business-licence/v1");
    assert!(catalogue.record_type_of_vct("https://hub.example/types/business-licence/v1").is_some());
    for vct in [
        "https://hub.example/types/business-licence/v2",
        "https://hub.example/types/business-licence/v01",
        "https://hub.example/types/business-licence/v+1",
        "https://hub.example/types/business-licence/v1/x",
        "https://hub.example/types/nothing/v1",
        "business-licence",
    ] {
        assert!(catalogue.record_type_of_vct(vct).is_none(), "{vct}");
    }
    assert!(catalogue.record_type_version("business-licence", 2).is_none());
    assert!(catalogue.record_type("no-such-type").is_none());
    assert!(catalogue.record_types().count() >= 1);
}

const EVENTS: &str = "events = [\"issue\", \"change\", \"reissue\", \"suspend\", \"resume\", \"freeze\", \"unfreeze\", \"correct\", \"rescind\", \"revoke\", \"cancel\", \"transfer_out\", \"transfer_in\"]";

#[test]
fn a_definition_that_does_not_fit_itself_or_its_schema_is_refused() {
    let toml = "record-types/business-licence/type.toml";
    for (from, to, told) in [
        ("type = \"business-licence\"", "type = \"other\"", "the folder"),
        ("version = 1", "version = 2", "v2.schema.json is missing"),
        ("cardinality = \"one\"", "cardinality = \"few\"", "unknown variant"),
        ("freshness_hours = 24", "freshness_hours = 24\nfresh = 1", "unknown field"),
        ("freshness_hours = 24", "freshness_hours = 0", "freshness_hours is 0"),
        ("natural_key = [\"uscc\"]", "natural_key = []", "natural_key is empty"),
        ("natural_key = [\"uscc\"]", "natural_key = [\"phone\"]", "no required field"),
        ("fields = 32", "fields = 3", "slots.fields"),
        ("holders = 2", "holders = 0", "slots.holders"),
        (EVENTS, "events = [\"change\"]", "no history can begin"),
        ("\"change\"", "\"change\", \"change\"", "one stands twice"),
        ("schemes = [\"uscc\"]", "schemes = []", "no scheme"),
        ("schemes = [\"uscc\"]", "schemes = [\"name\"]", "unknown variant"),
        ("min = 1", "min = 2", "min above its max"),
        ("[fields.phone]", "[fields.telephone]", "[fields.phone] is missing"),
        ("rule = \"phone\"", "rule = \"telephone\"", "unknown identifier rule"),
        ("share = \"unconditional\"", "share = \"withheld\"", "legal_basis"),
        ("id = \"term-in-order\"", "id = \"holder-is-uscc\"", "one id stands twice"),
        ("first = \"/fields/termFrom\"", "first = \"/fields/from\"", "from is no field"),
        ("rule = \"open\"", "rule = \"none\"\nmax_years = 1", "max_years"),
        ("scheme = \"uscc\"", "scheme = \"project\"", "no holder has scheme"),
        ("kind = \"equals_holder\"", "kind = \"equals_owner\"", "unknown variant"),
    ] {
        let refusal = refused_with(toml, from, to);
        assert!(refusal.contains(told), "{from} -> {to}: {refusal}");
    }
}

#[test]
fn a_schema_that_lacks_what_a_record_types_has_is_refused() {
    // The refusal of a schema is told of the type that it belongs to.
    let catalogue = builtin();
    let files = files();
    let toml = &files["record-types/business-licence/type.toml"];
    let schema = &files["record-types/business-licence/v1.schema.json"];
    for (from, to, told) in [
        ("\"weft:types/business-licence/v1\"", "\"weft:types/other/v1\"", "$id is not"),
        ("\"allOf\": [{\"$ref\": \"weft:common\"}],", "", "weft:common"),
        ("\"additionalProperties\": false,", "", "additionalProperties"),
        ("\"additionalProperties\": false,", "\"additionalProperties\": true,", "additionalProperties"),
        (
            "{\"title\": \"是否列入经营异常名录 / On the list of abnormal businesses\", \"type\": \"boolean\"}",
            "{}",
            "accepts everything",
        ),
        (
            "{\"title\": \"是否列入经营异常名录 / On the list of abnormal businesses\", \"type\": \"boolean\"}",
            "true",
            "accepts everything",
        ),
        ("weft:common#/$defs/typeCode", "http://example.org/x", "nothing is fetched"),
        ("\"address\", \"scope\"]", "\"address\", \"scope\", \"remark\"]", "no field"),
    ] {
        assert!(schema.contains(from), "{from}");
        let refusal = catalogue.with_type(toml, &schema.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(refusal.contains(told), "{from} -> {to}: {refusal}");
    }
}

#[test]
fn files_without_a_place_are_refused() {
    for path in ["record-types/business-licence/notes.txt", "code-tables/x/y.toml", "other.json"] {
        let error = Catalogue::from_files([(path, "")]).unwrap_err();
        assert_eq!(error.path, path);
    }
    let orphan = Catalogue::from_files([("record-types/x/v1.schema.json", "{}")]).unwrap_err();
    assert!(orphan.to_string().contains("type.toml is missing"));
    assert!(Catalogue::from_files([("README.md", "text")]).is_ok());
}

#[test]
fn an_event_that_takes_away_is_refused_for_its_record_claims_only() {
    let mut revocation = licence();
    revocation["event"] = json!("revoke");
    revocation["record"] = json!({"id": revocation["record"]["id"], "version": 2, "status": "revoked"});
    revocation["fields"] = json!({"uscc": "91370322MAYY000185", "extra": 1});
    revocation["holders"] = json!([{"role": "x", "scheme": "uscc", "value": "****"}]);
    let told = problems(&revocation);
    assert!(told.len() > 5 && told.iter().all(|problem| problem.warning), "{told:?}");

    revocation["record"]["status"] = json!("valid");
    let refused: Vec<_> = reasons(&revocation).into_iter().filter(|(.., warning)| !warning).collect();
    assert_eq!(refused, [("/record/status".to_owned(), "status_event_mismatch", false)]);

    revocation["record"] = json!({"id": "x", "version": 0});
    let refused: Vec<_> = reasons(&revocation).into_iter().filter(|(.., warning)| !warning).collect();
    assert_eq!(
        refused,
        [
            ("/record/status".to_owned(), "missing_field", false),
            ("/record/id".to_owned(), "wrong_pattern", false),
            ("/record/version".to_owned(), "out_of_bounds", false),
        ]
    );
}

#[test]
fn an_unreadable_event_is_judged_by_the_status() {
    let mut payload = licence();
    payload["event"] = json!("吊销");
    payload["record"]["status"] = json!("revoked");
    assert_eq!(effective_event(&payload), Some(Event::Revoke));
    assert!(problems(&payload).iter().all(|problem| problem.warning));
    payload["record"]["status"] = json!("valid");
    assert_eq!(effective_event(&payload), None);
    assert_eq!(reasons(&payload), [("/event".to_owned(), "not_in_list", false)]);
}

#[test]
fn an_event_that_the_type_lacks_is_told() {
    let mut payload = licence();
    payload["event"] = json!("renew");
    assert_eq!(reasons(&payload), [("/event".to_owned(), "event_not_allowed", false)]);
}

#[test]
fn warnings_travel_with_a_record_that_is_right() {
    let mut payload = licence();
    payload["fields"]["certificateIdentifier"] =
        json!("1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.001.4");
    payload["fields"]["issuingAuthorityCode"] = json!("91370322MAYY00011E");
    let told = problems(&payload);
    let rules: Vec<_> = told.iter().filter_map(|problem| problem.rule.as_deref()).collect();
    assert_eq!(rules, ["certificate-identifier-check", "uscc-inner-check"]);
    assert!(told.iter().all(|problem| problem.warning && problem.reason == Reason::IdentifierWrong));
}

#[test]
fn texts_name_the_field_and_never_repeat_a_value() {
    let mut payload = licence();
    payload["fields"]["capital"] = json!(987_654_321);
    payload["fields"]["legalRepId"] = json!("370399198506150020");
    payload["fields"]["entityType"] = json!("秘密甲");
    let told = problems(&payload);
    assert_eq!(told.len(), 3, "{told:?}");
    for problem in &told {
        for text in [&problem.zh, &problem.en] {
            assert!(!["987654321", "370399198506150020", "秘密甲"].iter().any(|value| text.contains(value)), "{text}");
        }
    }
    let capital = told.iter().find(|problem| problem.pointer == "/fields/capital").unwrap();
    assert!(capital.zh.contains("注册资本") && capital.en.contains("Registered capital"), "{capital:?}");
}

#[test]
fn all_problems_are_told_at_once_and_a_flood_is_cut() {
    let mut payload = licence();
    payload["fields"]["uscc"] = json!("91370322MAYY000185");
    payload["fields"]["termTo"] = json!("2017-01-01");
    payload["fields"]["established"] = json!("2019-02-29");
    payload["fields"]["remark"] = json!("x");
    let told: Vec<_> = reasons(&payload).into_iter().map(|(_, reason, _)| reason).collect();
    for reason in ["unknown_field", "identifier_wrong", "impossible_date", "rule_broken"] {
        assert!(told.contains(&reason), "{told:?}");
    }
    let flood: serde_json::Map<String, Value> = (0..250).map(|at| (format!("x{at}"), json!(1))).collect();
    payload["fields"] = Value::Object(flood);
    assert_eq!(problems(&payload).len(), 100);
}

#[test]
fn holders_are_held_to_role_scheme_number_and_count() {
    let holder = |role: &str, scheme: &str, value: &str| json!({"role": role, "scheme": scheme, "value": value});
    let right = holder("licensee", "uscc", "91370322MAYY000184");
    let cases = [
        (json!([right, right]), vec![("/holders/1", "holder_not_allowed"), ("/holders", "holder_not_allowed")]),
        (json!([]), vec![("/holders", "holder_missing"), ("/fields/uscc", "rule_broken")]),
        (json!([right, holder("witness", "uscc", "92370322MAYY00026U")]), vec![("/holders/1", "holder_not_allowed")]),
        (
            json!([right, holder("licensee", "passport", "E9900****")]),
            vec![
                ("/holders/1", "holder_not_allowed"),
                ("/holders/1/value", "identifier_wrong"),
                ("/holders", "holder_not_allowed"),
            ],
        ),
    ];
    for (holders, expected) in cases {
        let mut payload = licence();
        payload["holders"] = holders;
        let told = problems(&payload);
        let told: Vec<_> = told.iter().map(|p| (p.pointer.as_str(), p.reason.as_str())).collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn natural_keys_are_normalised() {
    let catalogue = builtin();
    let licence_type = catalogue.record_type("business-licence").unwrap();
    let mut payload = licence();
    assert_eq!(licence_type.natural_key(&payload), Some(vec!["91370322MAYY000184".to_owned()]));
    payload["fields"]["uscc"] = json!(" 91370322mayy000184");
    assert_eq!(licence_type.natural_key(&payload), Some(vec!["91370322MAYY000184".to_owned()]));
    payload["fields"]["uscc"] = json!("");
    assert_eq!(licence_type.natural_key(&payload), None);
}

#[test]
fn synthetic_people_are_remarked_on_where_data_is_real() {
    let live = builtin().with_tolerance(crate::identifier::Tolerance::LIVE);
    let told = live.record_type("business-licence").unwrap().check_content(&licence(), Event::Issue);
    assert_eq!(told.len(), 1);
    assert!(told[0].warning && told[0].rule.as_deref() == Some("test-area"));
}

#[test]
fn code_tables_are_read_by_day() {
    let text = "table = \"t\"\nname = { zh = \"表\", en = \"T\" }\nsource = \"s\"\nconfirmed = false\n
        [[code]]\ncode = \"01\"\nzh = \"旧\"\nen = \"old\"\nuntil = \"2020-12-31\"\n
        [[code]]\ncode = \"01\"\nzh = \"新\"\nen = \"new\"\nfrom = \"2021-01-01\"\nmaps_to = \"valid\"\n
        [[code]]\ncode = \"370322\"\nzh = \"县\"\nen = \"county\"\n";
    let catalogue = Catalogue::from_files([("code-tables/t.toml", text)]).unwrap();
    let table = catalogue.code_table("t").unwrap();
    assert_eq!(table.get("01", Some("2020-12-31")).unwrap().en, "old");
    assert_eq!(table.get("01", Some("2021-01-01")).unwrap().maps_to.as_deref(), Some("valid"));
    assert_eq!(table.get(" 01 ", None).unwrap().en, "new");
    assert!(table.get("02", None).is_none());
    assert_eq!(table.division("370322000000 ", None).unwrap().en, "county");
    assert!(table.division("370322101", None).is_none() && table.division("37032", None).is_none());
    for wrong in [
        text.replace("2020-12-31", "2020-13-31"),
        text.replace("from = \"2021-01-01\"", ""),
        text.replace("\"t\"", "\"u\""),
    ] {
        let files = [(
            "code-tables/t.toml",
            wrong.replacen("until = \"2020-12-31\"", "", usize::from(!wrong.contains("from"))),
        )];
        assert!(Catalogue::from_files(files).is_err());
    }
}

#[test]
fn service_items_are_read_and_held_against_the_types_that_they_name() {
    let catalogue = builtin();
    let item = catalogue.service_item("house-transfer-registration").unwrap();
    assert_eq!(catalogue.service_items().count(), 25);
    let (requirement, alternative) =
        item.record_alternatives().find(|(requirement, _)| requirement.id == "unencumbered").unwrap();
    assert_eq!(alternative.record_type, "real-estate-title");
    assert_eq!(alternative.fields_looked_at().into_iter().collect::<Vec<_>>(), ["mortgaged"]);
    assert_eq!(item.party(&requirement.party).unwrap().kinds, [PartyKind::Asset]);
    assert!(
        item.requirement("deed-tax")
            .unwrap()
            .alternatives
            .contains(&Alternative::Awaits("deed-tax-declaration".to_owned()))
    );

    let path = "service-items/11-house-transfer-registration.toml";
    let files = files();
    let text = &files[path];
    for (from, to, told) in [
        ("produces = \"real-estate-title\"", "produces = \"deed\"", "no record type deed"),
        ("record_type = \"deed-tax-proof\"", "record_type = \"proof\"", "no record type proof"),
        ("fields = [\"mortgaged\"]", "fields = [\"mortgage\"]", "no field mortgage"),
        ("where = [{ field = \"mortgaged\"", "where = [{ field = \"mortgage\"", "no field mortgage"),
        ("awaits = \"deed-tax-declaration\"", "awaits = \"tax\"", "no item tax"),
        ("with = \"seller\"", "with = \"owner\"", "owner is no party"),
        ("with = \"seller\"\n", "", "go together"),
        ("party = \"seller\"", "party = \"owner\"", "owner is no party"),
        ("id = \"title\"", "id = \"marriage\"", "stands twice"),
        ("role = \"buyer\"", "role = \"seller\"", "stands twice"),
        ("release = \"record\"", "release = \"all\"", "unknown variant"),
        ("release = \"record\"", "bring = { zh = \"x\", en = \"x\" }", "either record_type"),
        ("from = \"2015-03-01\"", "from = \"2015-02-30\"", "does not exist"),
        ("value = 30", "value = 0", "on the spot"),
        ("promise = \"part\"", "promise = \"none\"", "excludes promises"),
        ("{ status = [\"valid\"] }", "{ status = [] }", "no status"),
        ("{ status = [\"valid\"] }", "{ status = [\"expired\"] }", "unknown variant"),
    ] {
        assert!(text.contains(from), "{from}");
        let refusal = builtin().with_item(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(refusal.contains(told), "{from} -> {to}: {refusal}");
    }
    for (from, to, told) in [
        ("number = 11", "number = 12", "named 12-house"),
        ("awaits = \"deed-tax-declaration\"", "awaits = \"tax\"", "no item tax"),
    ] {
        let mut files = files.clone();
        files.insert(path.to_owned(), text.replacen(from, to, 1));
        let error = Catalogue::from_files(files).unwrap_err();
        assert_eq!(error.path, path);
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn a_new_version_of_a_type_names_the_items_that_it_breaks() {
    let files = files();
    let toml = files["record-types/real-estate-title/type.toml"].replacen("version = 1", "version = 2", 1);
    let schema = files["record-types/real-estate-title/v1.schema.json"].replacen("title/v1", "title/v2", 1);
    let toml = toml.replace("[fields.mortgaged]", "[fields.inPledge]").replace("\"mortgaged\"", "\"inPledge\"");
    let schema = schema.replace("\"mortgaged\"", "\"inPledge\"");
    let wider = builtin().with_type(&toml, &schema).unwrap();
    let broken: Vec<String> = wider.broken_items().into_iter().map(|(item, _)| item).collect();
    assert!(broken.contains(&"house-transfer-registration".to_owned()), "{broken:?}");
}

#[test]
fn the_legal_representative_has_one_name_in_every_type() {
    let catalogue = builtin();
    let mut named = 0;
    for record_type in catalogue.record_types() {
        for (name, field) in &record_type.definition.fields {
            if field.name.zh.starts_with("法定代表人") {
                assert!(["legalRep", "legalRepId"].contains(&name.as_str()), "{}: {name}", record_type.definition.name);
                named += 1;
            }
        }
    }
    assert!(named >= 6, "{named}");
}

#[test]
fn the_code_tables_and_dialects_that_are_compiled_in_are_there() {
    let catalogue = builtin();
    let divisions = catalogue.code_table("divisions").unwrap();
    assert_eq!(divisions.division("370322", None).unwrap().zh, "高青县");
    assert_eq!(divisions.division("370322000000", None).unwrap().zh, "高青县");
    assert_eq!(divisions.division("370322101", None).unwrap().zh, "青城镇");
    assert!(divisions.division("370399", None).is_none_or(|code| code.test));
    let statuses = catalogue.code_table("status-mohurd").unwrap();
    assert_eq!(statuses.get("03", None).unwrap().maps_to.as_deref(), Some("rescinded"));
    assert_eq!(catalogue.dialect("gbt36903").unwrap().field("ZZBH"), Some("certificateNumber"));
    assert!(catalogue.dialects().count() >= 3 && catalogue.code_tables().count() >= 10);
    for dialect in catalogue.dialects() {
        for heading in &dialect.headings {
            let table = heading.table.as_deref();
            assert!(table.is_none_or(|table| catalogue.code_table(table).is_some()), "{}: {table:?}", dialect.dialect);
        }
    }
}

#[test]
fn a_catalogue_is_shared_between_threads_and_a_registered_text_is_bounded() {
    fn shared<T: Send + Sync>(_: &T) {}
    let catalogue = builtin();
    shared(&catalogue);
    let long = "#".repeat(256 * 1024 + 1);
    assert!(catalogue.with_type(&long, "{}").unwrap_err().to_string().contains("longer"));
    assert!(catalogue.with_item(&long).unwrap_err().to_string().contains("longer"));
}
