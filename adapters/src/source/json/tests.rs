use super::*;
use crate::problem::Reason;

fn told(text: &str) -> (u64, &'static str) {
    match parse(text.as_bytes(), Bounds::default()) {
        Err(Error::Fault { line, what }) => (line, what),
        other => panic!("{text}: {other:?}"),
    }
}

fn records(text: &str, at: &str) -> Result<Vec<(u64, Value)>, Error> {
    let mut records = Records::new(text.as_bytes(), Bounds::default(), path(at));
    std::iter::from_fn(|| records.next().transpose()).collect()
}

fn numbers(text: &str, at: &str) -> Vec<u64> {
    records(text, at).unwrap().into_iter().map(|(number, _)| number).collect()
}

fn fault(text: &str, at: &str) -> (u64, &'static str) {
    match records(text, at) {
        Err(Error::Fault { line, what }) => (line, what),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn numbers_keep_their_text_and_escapes_are_read() {
    let text =
        r#" {"a": [1.10, -0, 1E+15, 123456789012345678], "b/c": "\u9ad8\ud842\udfb7\n\"", "n": null, "t": true} "#;
    let value = parse(text.as_bytes(), Bounds::default()).unwrap();
    let mut columns = Columns::new(&["a", "a/3", "b~1c", "n", "t", "none/0"].map(str::to_owned));
    let cells = columns.cells(&value, 1).unwrap();
    assert_eq!(cells, ["1.10、-0、1E+15、123456789012345678", "123456789012345678", "高𠮷\n\"", "", "true", ""]);
    assert_eq!(columns.unseen().collect::<Vec<_>>(), ["none/0"]);
}

#[test]
fn what_is_no_plain_value_is_no_cell() {
    let value =
        parse(r#"{"a": [{"b": 1}], "c": ["甲、乙", "丙"], "d": ["甲、乙"]}"#.as_bytes(), Bounds::default()).unwrap();
    for (column, plain) in [("a", false), ("a/0", false), ("a/0/b", true), ("c", false), ("c/0", true), ("d", true)] {
        let cells = Columns::new(&[column.to_owned()]).cells(&value, 7);
        assert_eq!(cells.is_ok(), plain, "{column}");
        if let Err(problem) = cells {
            assert_eq!((problem.line, problem.column.as_str(), problem.reason), (7, column, Reason::ValueNotPlain));
        }
    }
}

#[test]
fn what_two_readers_could_take_differently_is_refused_with_its_line() {
    for (text, line, what) in [
        ("{\"a\": 1,\n \"a\": 2}", 2, "a name stands twice in an object"),
        (r#"{"a": 1, "\u0061": 2}"#, 1, "a name stands twice in an object"),
        (r#""\ud800""#, 1, "an unpaired surrogate"),
        (r#""\ud800\u0041""#, 1, "an unpaired surrogate"),
        (r#""\udc00""#, 1, "an unpaired surrogate"),
        (r#""\u0000""#, 1, "a zero character"),
        ("\"\n\"", 2, "a control character within quotation marks"),
        (r#""\x41""#, 1, "an unknown escape"),
        ("01", 1, "not a number"),
        ("1.", 1, "not a number"),
        ("+1", 1, "no value begins like this"),
        ("1e", 1, "not a number"),
        ("NaN", 1, "no value begins like this"),
        ("[1,]", 1, "no value begins like this"),
        ("{\"a\":1,}", 1, "a name belongs here"),
        ("[1 2]", 1, "a comma or closing bracket belongs here"),
        ("[1\n", 2, "a comma or closing bracket belongs here"),
        ("\"a", 1, "the text ends within quotation marks"),
        ("", 1, "the text ends within a value"),
        ("1 2", 1, "text after the value"),
    ] {
        assert_eq!(told(text), (line, what), "{text}");
    }
    let broken = parse(b"\"\xff\"", Bounds::default()).unwrap_err().to_string();
    assert_eq!(broken, "line 1: text that is not utf-8");
}

#[test]
fn what_needs_too_much_is_refused() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(deep(32).as_bytes(), Bounds::default()).is_ok());
    assert_eq!(told(&deep(33)).1, "nested too deep");
    assert_eq!(told(&"[".repeat(1 << 20)).1, "nested too deep");
    assert_eq!(told(&format!("\"{}\"", "x".repeat(1 << 20))).1, "a record is too long");
    assert_eq!(told(&format!("[{}1]", "1,".repeat(10_000))).1, "a record has too many values");
    let members: Vec<String> = (0..1_001).map(|member| format!("\"{member}\":1")).collect();
    assert_eq!(told(&format!("{{{}}}", members.join(","))).1, "an object has too many members");
}

#[test]
fn records_stand_in_a_list_or_one_after_the_other_or_in_a_member() {
    assert_eq!(numbers("[{}, {},\n{}]", ""), [1, 2, 3]);
    assert_eq!(numbers("[]", ""), Vec::<u64>::new());
    assert_eq!(numbers("{\"a\":1}\n\n{\"a\":\n2}\n{}\n", ""), [1, 3, 5]);
    assert_eq!(numbers(" \n", ""), Vec::<u64>::new());
    assert_eq!(numbers(r#"{"code": 0, "data": {"n": [1], "rows": [{}, {}], "x": {}}, "z": 1}"#, "data/rows"), [1, 2]);
}

#[test]
fn records_that_are_not_where_they_belong_are_refused() {
    assert_eq!(fault("[{}, 1]", "").1, "a record is an object");
    assert_eq!(fault("{} {}", "").1, "two records begin on one line");
    assert_eq!(fault("3", "").1, "a list of records belongs here");
    assert_eq!(fault("[{}] x", "").1, "text after the records");
    assert_eq!(fault("[{}", ""), (1, "a comma or closing bracket belongs here"));
    assert_eq!(fault(r#"{"data": {}}"#, "data").1, "a list of records belongs here");
    assert_eq!(fault(r#"{"date": []}"#, "data").1, "the member with the records is not there");
    assert_eq!(fault(r#"{"data": [], "data": []}"#, "data").1, "a name stands twice in an object");
    assert_eq!(fault(r#"[]"#, "data").1, "an object belongs here, on the way to the records");
}
