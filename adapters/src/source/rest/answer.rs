//! An answer taken apart: the array of its records and the cursor of the next page. Records stay the text that they
//! are; they are read when their rows are.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::fetch::Failure;

/// One answer.
pub(super) struct Answer<'a>(&'a RawValue);

impl<'a> Answer<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Failure> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        // The parser's message names line and column and no value.
        serde_json::from_slice(bytes).map(Self).map_err(|error| Failure::Form(format!("not JSON: {error}")))
    }

    /// The records, as they are written.
    pub(super) fn records(&self, path: &str) -> Result<Vec<&'a RawValue>, Failure> {
        let named = if path.is_empty() { "the answer" } else { path };
        let array = at(self.0, path).ok_or_else(|| Failure::Form(format!("{named} is not there")))?;
        serde_json::from_str(array.get()).map_err(|_| Failure::Form(format!("{named} is not an array")))
    }

    /// The next page's cursor; `None` where it is missing, null or empty.
    pub(super) fn next(&self, path: &str) -> Result<Option<String>, Failure> {
        let Some(value) = at(self.0, path) else { return Ok(None) };
        match text(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None if value.get() == "null" => Ok(None),
            None => Err(Failure::Form(format!("{path} is neither a text nor a number"))),
        }
    }
}

/// What stands at a path of keys.
fn at<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    path.split('/').filter(|key| !key.is_empty()).try_fold(value, |value, key| {
        let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
        members.get(key).copied()
    })
}

/// A text, or a number as it is written.
fn text(value: &RawValue) -> Option<String> {
    let raw = value.get();
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'-' | b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}

/// What a record says at a path, when it is a text or a number.
pub(super) fn value(record: &str, path: &str) -> Option<String> {
    let record: &RawValue = serde_json::from_str(record).ok()?;
    text(at(record, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_cursor_are_found_where_they_stand() {
        let bytes = br#"{"data":{"items":[{"a":1.50},{"a":"x"}],"next":"abc"},"more":null,"page":7}"#;
        let answer = Answer::parse(bytes).unwrap();
        let records: Vec<_> = answer.records("data/items").unwrap().iter().map(|one| one.get()).collect();
        assert_eq!(records, [r#"{"a":1.50}"#, r#"{"a":"x"}"#]);
        assert_eq!(answer.next("data/next").unwrap().as_deref(), Some("abc"));
        assert_eq!(answer.next("page").unwrap().as_deref(), Some("7"));
        assert_eq!(answer.next("more").unwrap(), None);
        assert_eq!(answer.next("absent").unwrap(), None);
        assert!(answer.next("data").is_err());
        assert!(answer.records("data").is_err() && answer.records("absent").is_err());
        assert_eq!(value(records[0], "a").as_deref(), Some("1.50"));
    }

    #[test]
    fn a_bare_array_and_what_is_no_json() {
        assert_eq!(Answer::parse(b"\xEF\xBB\xBF [1, 2]").unwrap().records("").unwrap().len(), 2);
        assert!(Answer::parse(b"<html>").is_err());
        assert!(Answer::parse(format!("{}1", "[".repeat(200)).as_bytes()).is_err());
    }
}
