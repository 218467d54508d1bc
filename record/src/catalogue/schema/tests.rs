use super::*;
use serde_json::json;

fn common() -> Documents {
    let mut documents = Documents::default();
    let text = json!({"$schema": DIALECT, "$id": "weft:common", "type": "object",
        "$defs": {"date": {"title": "日期", "type": "string", "pattern": "^[0-9]+$"}, "again": {"$ref": "#/$defs/date"}}});
    documents.add(&text.to_string()).unwrap();
    documents
}

/// Reads and compiles a schema with these keywords beside `$schema`.
fn take(keywords: Value) -> Result<Validator, SchemaError> {
    let mut schema = json!({"$schema": DIALECT});
    schema.as_object_mut().unwrap().extend(keywords.as_object().unwrap().clone());
    let documents = common();
    documents.read(&schema.to_string()).and_then(|schema| documents.compile(&schema))
}

#[test]
fn references_resolve_inside_the_catalogue_only() {
    assert!(take(json!({"properties": {"a": {"$ref": "weft:common#/$defs/date"}}})).is_ok());
    assert!(take(json!({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}})).is_ok());
    for reference in [
        "http://169.254.169.254/latest/meta-data",
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "weft:nothing",
        "weft:common#/$defs/nothing",
        "#/$defs/nothing",
        "other.json",
        "#anchor",
    ] {
        let refused = take(json!({"properties": {"a": {"$ref": reference}}})).unwrap_err();
        assert_eq!(refused, SchemaError::Reference { pointer: "/properties/a/$ref".to_owned() }, "{reference}");
    }
}

#[test]
fn a_reference_reaches_the_compiled_validator() {
    let validator = take(json!({"properties": {"a": {"$ref": "weft:common#/$defs/again"}}})).unwrap();
    assert!(validator.is_valid(&json!({"a": "12"})));
    assert!(!validator.is_valid(&json!({"a": "x"})));
}

#[test]
fn keywords_that_reach_elsewhere_or_that_nobody_listed_are_refused() {
    for (keyword, value) in [
        ("$dynamicRef", json!("#x")),
        ("$dynamicAnchor", json!("x")),
        ("$anchor", json!("x")),
        ("$vocabulary", json!({})),
        ("$recursiveRef", json!("#")),
        ("patternProperties", json!({"(a+)+$": true})),
        ("unevaluatedProperties", json!(false)),
        ("contentSchema", json!(true)),
        ("dependentSchemas", json!({})),
        ("format", json!("regex")),
        ("misspelt", json!(1)),
        ("$ref", json!(1)),
        ("allOf", json!({})),
        ("properties", json!([])),
        ("pattern", json!(1)),
    ] {
        let mut inner = serde_json::Map::new();
        inner.insert(keyword.to_owned(), value);
        let refused = take(json!({"properties": {"a": inner}})).unwrap_err();
        assert!(matches!(&refused, SchemaError::Keyword { keyword: named, .. } if named == keyword), "{refused}");
    }
    assert!(matches!(take(json!({"properties": {"a": 1}})), Err(SchemaError::NotASchema { .. })));
    let nested = take(json!({"properties": {"a": {"$schema": DIALECT}}}));
    assert!(matches!(nested, Err(SchemaError::Keyword { .. })));
}

#[test]
fn a_remote_or_absent_dialect_is_refused() {
    let documents = Documents::default();
    for text in ["{}", "true", r#"{"$schema": "http://example.org/schema"}"#] {
        assert_eq!(documents.read(text).unwrap_err(), SchemaError::Dialect);
    }
    assert!(matches!(documents.read("{"), Err(SchemaError::Json(_))));
}

#[test]
fn a_reference_that_leads_back_to_itself_is_refused() {
    assert!(matches!(take(json!({"$ref": "#"})), Err(SchemaError::Loop { .. })));
    let round = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
    assert!(matches!(take(round), Err(SchemaError::Loop { .. })));
    let through_properties = json!({"properties": {"next": {"$ref": "#"}}});
    assert!(matches!(take(through_properties), Err(SchemaError::Loop { .. })));
}

#[test]
fn what_grows_without_bound_is_refused_before_it_is_compiled() {
    let wide = json!({"allOf": vec![json!({"type": "object"}); MAX_BRANCHES + 1]});
    assert!(matches!(take(wide), Err(SchemaError::TooMuch { what: "branches", .. })));
    let million = format!(r#"{{"$schema": "{DIALECT}", "allOf": [{}true]}}"#, "true,".repeat(1_000_000));
    assert!(matches!(Documents::default().read(&million), Err(SchemaError::TooLarge { .. })));
    let mut doubling = serde_json::Map::new();
    for level in 0..20 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        doubling.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    doubling.insert("d20".to_owned(), json!({"type": "object"}));
    let doubling = json!({"$defs": doubling, "$ref": "#/$defs/d0"});
    assert!(matches!(take(doubling), Err(SchemaError::TooMuch { what: "schemas after following every $ref", .. })));
    let mut deep = json!({"type": "object"});
    for _ in 0..=MAX_DEPTH {
        deep = json!({"not": deep});
    }
    assert!(matches!(take(deep), Err(SchemaError::TooMuch { what: "levels", .. })));
    let abyss = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(Documents::default().read(&abyss), Err(SchemaError::Json(_))));
    let many: Value = (0..=MAX_SCHEMAS).map(|at| (at.to_string(), json!({"type": "null"}))).collect();
    assert!(matches!(take(json!({"properties": many})), Err(SchemaError::TooMuch { what: "schemas", .. })));
    let long_list: Vec<usize> = (0..=MAX_LIST).collect();
    assert!(matches!(take(json!({"enum": long_list})), Err(SchemaError::TooMuch { what: "values", .. })));
    let long_pattern = "a".repeat(MAX_PATTERN_CHARS + 1);
    assert!(matches!(take(json!({"pattern": long_pattern})), Err(SchemaError::TooMuch { .. })));
}

#[test]
fn patterns_run_in_linear_time_or_do_not_compile() {
    for pattern in ["(?=a)b", "(?!0{8})[0-9]{8}", r"(a)\1", "(?<=a)b", "a{1000}{1000}{1000}", "("] {
        assert!(matches!(take(json!({"pattern": pattern})), Err(SchemaError::Compile(_))), "{pattern}");
    }
    let nested = take(json!({"pattern": "^(a+)+$"})).unwrap();
    assert!(!nested.is_valid(&json!(format!("{}b", "a".repeat(50_000)))));
}

#[test]
fn only_names_of_ours_can_be_referred_to() {
    for id in ["http://example.org/common", "weft:", "weft:Common", "common"] {
        let text = json!({"$schema": DIALECT, "$id": id}).to_string();
        assert!(matches!(Documents::default().add(&text), Err(SchemaError::Id { .. })), "{id}");
    }
}

#[test]
fn inlining_follows_references_and_drops_annotations() {
    let documents = common();
    let schema = json!({"title": "x", "$ref": "weft:common#/$defs/again", "maxLength": 3});
    let inlined = documents.inline(&schema, &schema);
    assert_eq!(inlined, json!({"type": "string", "pattern": "^[0-9]+$", "maxLength": 3}));
    let both = json!({"$ref": "weft:common#/$defs/date", "pattern": "^1"});
    let inlined = documents.inline(&both, &both);
    assert_eq!(inlined["pattern"], "^1");
    assert_eq!(inlined["allOf"], json!([{"pattern": "^[0-9]+$"}]));
}

#[test]
fn keywords_with_a_value_that_they_cannot_have_do_not_compile() {
    for (keyword, value) in [
        ("type", json!("strin")),
        ("type", json!(["string", 1])),
        ("minLength", json!("1")),
        ("maximum", json!("1")),
        ("required", json!("a")),
        ("enum", json!("a")),
        ("uniqueItems", json!("yes")),
    ] {
        let mut inner = serde_json::Map::new();
        inner.insert(keyword.to_owned(), value);
        let refused = take(json!({"properties": {"a": inner}}));
        assert!(refused.is_err(), "{keyword}");
    }
}

#[test]
fn the_format_date_is_enforced() {
    let validator = take(json!({"format": "date"})).unwrap();
    assert!(validator.is_valid(&json!("2020-02-29")) && !validator.is_valid(&json!("2019-02-29")));
}
