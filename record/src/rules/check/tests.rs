use super::*;
use serde_json::json;

fn definition() -> Definition {
    toml::from_str(
        r#"
        type = "sample"
        version = 1
        name = { zh = "示例", en = "Sample" }
        departments = ["sample"]
        type_code = { value = "11370322YY0000044B900", confirmed = false }
        natural_key = ["uscc"]
        cardinality = "one"
        by = "act"
        freshness_hours = 24
        slots = { holders = 2, fields = 8 }
        events = ["issue"]
        holders = []
        [validity]
        rule = "none"
        [fields.uscc]
        name = { zh = "代码", en = "Code" }
        rule = "uscc"
        sensitivity = "public"
        share = "unconditional"
        [fields.id]
        name = { zh = "身份证号", en = "ID" }
        rule = "citizen-id"
        sensitivity = "sensitive"
        share = "conditional"
        "#,
    )
    .unwrap()
}

fn rule(text: &str) -> TypeRule {
    let text = format!("id = \"r\"\nmessage = {{ zh = \"错\", en = \"wrong\" }}\n{text}");
    toml::from_str::<toml::Table>(&text).unwrap().try_into().unwrap()
}

/// Whether the rule is broken over the payload, and where.
fn at(text: &str, payload: Value) -> Option<String> {
    broken(&rule(text), &Context { payload: &payload, definition: &definition() })
}

fn fields(fields: Value) -> Value {
    json!({"iat": 1_795_442_400, "fields": fields, "record": {"valid_from": "2020-03-01", "valid_until": "2025-03-01"}})
}

#[test]
fn date_order() {
    let text = "kind = \"date_order\"\nfirst = \"/fields/a\"\nlast = \"/record/valid_until\"";
    assert_eq!(at(text, fields(json!({"a": "2025-03-01"}))), None, "equal holds");
    assert_eq!(at(text, fields(json!({"a": "2025-03-02"}))).as_deref(), Some("/fields/a"));
    assert_eq!(at(text, fields(json!({}))), None, "absent holds");
    assert_eq!(at(text, fields(json!({"a": "2025-02-30"}))), None, "an unreadable date is reported elsewhere");
    assert_eq!(at(text, fields(json!({"a": 1}))), None);
}

#[test]
fn max_years_lets_the_anniversary_pass() {
    let text = "kind = \"max_years\"\nfirst = \"/record/valid_from\"\nlast = \"/fields/a\"\nyears = 5";
    assert_eq!(at(text, fields(json!({"a": "2025-02-28"}))), None);
    assert_eq!(at(text, fields(json!({"a": "2025-03-01"}))), None);
    assert_eq!(at(text, fields(json!({"a": "2025-03-02"}))).as_deref(), Some("/fields/a"));
}

#[test]
fn years_that_no_calendar_reaches_bound_nothing() {
    let day = |text| real_day(text).unwrap();
    for years in [7_980, 20_000, 40_000, u32::MAX] {
        assert!(within_years(day("2020-01-01"), day("9999-12-31"), years));
    }
    assert!(!within_years(day("2020-02-29"), day("2021-03-01"), 1));
    assert!(within_years(day("2020-02-29"), day("2021-02-28"), 1));
}

#[test]
fn not_after_issue_reads_the_local_day() {
    // 1795442400 is 2026-11-23T14:00:00Z, 22:00 in Shanghai; three hours later it is the 24th there.
    let text = "kind = \"not_after_issue\"\nfield = \"a\"";
    assert_eq!(at(text, fields(json!({"a": "2026-11-23"}))), None);
    assert_eq!(at(text, fields(json!({"a": "2026-11-24"}))).as_deref(), Some("/fields/a"));
    let later = json!({"iat": 1_795_442_400 + 3 * 3600, "fields": {"a": "2026-11-24"}});
    assert_eq!(at(text, later), None);
}

#[test]
fn equals_holder_normalises_and_sees_through_masks() {
    let text = "kind = \"equals_holder\"\nfield = \"uscc\"\nscheme = \"uscc\"";
    let with = |value: &str| json!({"holders": [{"role": "r", "scheme": "uscc", "value": "91370322MAYY000184"}], "fields": {"uscc": value}});
    assert_eq!(at(text, with("91370322mayy0001-84")), None);
    assert_eq!(at(text, with("92370322MAYY00026U")).as_deref(), Some("/fields/uscc"));
    assert_eq!(
        at(text, json!({"holders": [], "fields": {"uscc": "91370322MAYY000184"}})).as_deref(),
        Some("/fields/uscc")
    );
    assert_eq!(at(text, json!({"holders": [], "fields": {}})), None, "an absent field holds");
    let text = "kind = \"equals_holder\"\nfield = \"id\"\nscheme = \"citizen-id\"";
    let with = |value: &str| json!({"holders": [{"role": "r", "scheme": "citizen-id", "value": "370399198506150021"}], "fields": {"id": value}});
    assert_eq!(at(text, with("3703991985****0021")), None);
    assert_eq!(at(text, with("3703991986****0021")).as_deref(), Some("/fields/id"));
}

#[test]
fn equals_holder_tells_roles_apart_where_one_is_named() {
    let holder = |role: &str, value: &str| json!({"role": role, "scheme": "citizen-id", "value": value});
    let couple = [holder("husband", "370399198002290012"), holder("wife", "370399198506150021")];
    let with = |value: &str| json!({"holders": couple.clone(), "fields": {"id": value}});
    let any = "kind = \"equals_holder\"\nfield = \"id\"\nscheme = \"citizen-id\"";
    assert_eq!(at(any, with("370399198506150021")), None);
    let husband = format!("{any}\nrole = \"husband\"");
    assert_eq!(at(&husband, with("370399198002290012")), None);
    assert_eq!(at(&husband, with("370399198506150021")).as_deref(), Some("/fields/id"), "that is the wife's");
}

#[test]
fn equals_and_starts_with_holder() {
    let text = "kind = \"equals\"\nfirst = \"/fields/uscc\"\nsecond = \"/fields/b\"";
    assert_eq!(at(text, fields(json!({"uscc": "a", "b": "A"}))), None, "the identifier is normalised");
    assert_eq!(at(text, fields(json!({"uscc": "a", "b": "B"}))).as_deref(), Some("/fields/uscc"));
    assert_eq!(at(text, fields(json!({"uscc": "a"}))), None);
    let text = "kind = \"starts_with_holder\"\nfield = \"number\"\nscheme = \"citizen-id\"";
    let with = |number: &str| json!({"holders": [{"role": "r", "scheme": "citizen-id", "value": "37039919810229001x"}], "fields": {"number": number}});
    assert_eq!(at(text, with("37039919810229001X42")), None);
    assert_eq!(at(text, with("37039919810229002142")).as_deref(), Some("/fields/number"));
}

#[test]
fn conditions_on_another_field() {
    let required = "kind = \"required_if\"\nfield = \"a\"\nwhen = \"kind\"\nis = [\"x\", true, 3]";
    for decides in [json!("x"), json!(true), json!(3)] {
        assert_eq!(at(required, fields(json!({"kind": decides}))).as_deref(), Some("/fields/a"));
        assert_eq!(at(required, fields(json!({"kind": decides, "a": 0}))), None);
    }
    assert_eq!(at(required, fields(json!({"kind": "y"}))), None);
    assert_eq!(at(required, fields(json!({}))), None);
    let absent = "kind = \"absent_if\"\nfield = \"a\"\nwhen = \"kind\"\nis = [\"x\"]";
    assert_eq!(at(absent, fields(json!({"kind": "x", "a": 1}))).as_deref(), Some("/fields/a"));
    assert_eq!(at(absent, fields(json!({"kind": "x"}))), None);
    assert_eq!(at(absent, fields(json!({"a": 1}))), None);
}

#[test]
fn code_in_looks_at_the_first_characters() {
    let text = "kind = \"code_in\"\nfield = \"uscc\"\nprefix_len = 2\ncodes = [\"91\", \"92\"]";
    assert_eq!(at(text, fields(json!({"uscc": " 9137"}))), None);
    assert_eq!(at(text, fields(json!({"uscc": "5137"}))).as_deref(), Some("/fields/uscc"));
    assert_eq!(at(text, fields(json!({"uscc": "9"}))).as_deref(), Some("/fields/uscc"));
}

#[test]
fn shares_add_up_per_record_and_are_whole_per_role() {
    let text = "kind = \"shares_sum_to_one\"";
    let with = |shares: &[Option<&str>]| {
        let mut holders: Vec<Value> = shares
            .iter()
            .map(|share| {
                let mut holder = json!({"role": "owner", "scheme": "other-person", "value": "v"});
                if let Some(share) = share {
                    holder["share"] = json!(share);
                }
                holder
            })
            .collect();
        holders.push(json!({"role": "asset", "scheme": "real-estate-unit", "value": "u"}));
        json!({"holders": holders})
    };
    assert_eq!(at(text, with(&[None, None])), None);
    assert_eq!(at(text, with(&[Some("1/3"), Some("1/6"), Some("1/2")])), None);
    assert_eq!(at(text, with(&[Some("1/3"), Some("1/3")])).as_deref(), Some("/holders"));
    assert_eq!(at(text, with(&[Some("1/2"), Some("1/2"), None])).as_deref(), Some("/holders"));
    assert_eq!(at(text, with(&[Some("1/0")])).as_deref(), Some("/holders"));
    assert_eq!(at(text, with(&[Some("half")])).as_deref(), Some("/holders"));
}

#[test]
fn distinct_holders_compares_normalised_numbers_within_the_roles() {
    let text = "kind = \"distinct_holders\"\nroles = [\"husband\", \"wife\"]";
    let with = |first: &str, second: &str, role: &str| {
        json!({"holders": [
            {"role": "husband", "scheme": "citizen-id", "value": first},
            {"role": role, "scheme": "citizen-id", "value": second}]})
    };
    assert_eq!(at(text, with("1x", "1X", "wife")).as_deref(), Some("/holders"));
    assert_eq!(at(text, with("1x", "2X", "wife")), None);
    assert_eq!(at(text, with("1x", "1X", "witness")), None);
}

#[test]
fn a_rule_with_a_strange_key_kind_or_without_id_is_not_read() {
    let read = |text: &str| -> Result<TypeRule, String> {
        let table: toml::Table = toml::from_str(text).unwrap();
        TypeRule::try_from(table).map_err(|error| error.to_string())
    };
    let message = "message = { zh = \"错\", en = \"wrong\" }\n";
    assert!(read(&format!("id = \"r\"\n{message}kind = \"shares_sum_to_one\"\nfield = \"a\"")).is_err());
    assert!(read(&format!("id = \"r\"\n{message}kind = \"anything_goes\"")).is_err());
    assert!(read(&format!("{message}kind = \"shares_sum_to_one\"")).is_err());
    assert!(read("id = \"r\"\nkind = \"shares_sum_to_one\"").is_err());
    assert!(read(&format!("id = \"r\"\n{message}kind = \"shares_sum_to_one\"")).is_ok());
}

#[test]
fn days_are_real_and_strictly_written() {
    assert!(real_day("2020-02-29").is_some());
    for text in ["2019-02-29", "2020-2-29", "2020-02-29 ", "+020-02-29", "20200229", "2020-02-29T00:00"] {
        assert!(real_day(text).is_none(), "{text}");
    }
}
