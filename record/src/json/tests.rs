use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Value, Error> {
    parse(text.as_bytes(), Limits::default())
}

fn fault(text: &str) -> (Fault, String) {
    let error = read(text).expect_err(text);
    (error.fault, error.pointer)
}

#[test]
fn plain_json_is_read() {
    let text =
        r#" {"a":[1,-2,true,null,"b"],"c":{"d":9007199254740991,"e":-9007199254740991},"名":"\u9ad8\ud83d\ude00\/"} "#;
    let expected = json!({"a": [1, -2, true, null, "b"], "c": {"d": MAX_INTEGER, "e": -MAX_INTEGER}, "名": "高😀/"});
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn a_repeated_name_is_refused_where_it_stands() {
    assert_eq!(fault(r#"{"a":1,"a":1}"#), (Fault::DuplicateName, "/a".into()));
    assert_eq!(fault(r#"{"x":[{"a":1},{"b":{"c":1,"\u0063":2}}]}"#), (Fault::DuplicateName, "/x/1/b/c".into()));
    assert_eq!(fault(r#"{"a/b~":{"":1,"":2}}"#), (Fault::DuplicateName, "/a~1b~0/".into()));
}

#[test]
fn numbers_that_readers_round_are_refused() {
    for number in [
        "0.1",
        "1.0",
        "1e2",
        "1E2",
        "1e-2",
        "1e400",
        "-1e400",
        "-0",
        "-0.0",
        "9007199254740992",
        "-9007199254740992",
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
        "100000000000000000000.5",
    ] {
        let text = format!(r#"{{"a":[0,{number}]}}"#);
        assert_eq!(fault(&text), (Fault::Number, "/a/1".into()), "{number}");
    }
}

#[test]
fn what_is_not_a_json_number_is_refused() {
    for number in ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "5.", "0x10", "1_000"] {
        assert!(read(&format!("[{number}]")).is_err(), "{number}");
    }
}

#[test]
fn broken_text_is_refused() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, "\"\u{1}\"", "\"a\nb\""] {
        assert_eq!(fault(text).0, Fault::Text, "{text}");
    }
    assert_eq!(fault(r#"{"a":"x\u0000"}"#), (Fault::Text, "/a".into()));
    assert_eq!(fault("{\"a\\u0000\":1}").0, Fault::Text);
    assert_eq!(fault("\u{feff}{}").0, Fault::Text);
    let error = parse(b"{\"a\":\"\xff\"}", Limits::default()).unwrap_err();
    assert_eq!((error.fault, error.position), (Fault::Text, 6));
    assert_eq!(parse(b"\"\xed\xa0\x80\"", Limits::default()).unwrap_err().fault, Fault::Text);
}

#[test]
fn what_is_not_json_is_refused_with_its_position() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        r#"{"a":1,}"#,
        "{'a':1}",
        "{a:1}",
        "[1] x",
        "[] []",
        "nul",
        "// c\n1",
        r#"{"a" 1}"#,
        r#""\u00zz""#,
    ] {
        assert_eq!(fault(text).0, Fault::Syntax, "{text:?}");
    }
    let error = read("{\"a\": 1,\n \"b\": x}").unwrap_err();
    assert_eq!((error.fault, error.position, error.pointer.as_str()), (Fault::Syntax, 15, "/b"));
}

#[test]
fn depth_and_size_have_limits() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(16)).is_ok());
    assert_eq!(fault(&deep(17)).0, Fault::TooDeep);
    assert_eq!(fault(&deep(30_000)).0, Fault::TooDeep);
    assert_eq!(fault(&"[".repeat(60_000)).0, Fault::TooDeep);
    let loose = Limits { max_bytes: 1 << 20, max_depth: 100_000 };
    assert_eq!(parse(deep(100_000).as_bytes(), loose).unwrap_err().fault, Fault::TooDeep);
    let long = format!("\"{}\"", "a".repeat(64 * 1024 - 2));
    assert!(read(&long).is_ok());
    assert_eq!(fault(&format!("{long} ")).0, Fault::TooLarge);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-MAX_INTEGER..=MAX_INTEGER).prop_map(Value::from),
        "[^\u{0}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[^\u{0}]{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_back(value in any_value()) {
        prop_assert_eq!(read(&value.to_string()).unwrap(), value);
    }

    #[test]
    fn bytes_never_panic_and_never_pass_what_serde_refuses(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = parse(&bytes, Limits::default()) {
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
        }
    }
}
