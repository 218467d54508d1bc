//! What every request's form is checked with: all that is wrong is said at once.

use jiff::civil::Date;
use weft_proto::{Reason, Refusal};

const MAX_NAME: usize = 100;
const MAX_TEXT: usize = 500;

/// The field violations of one request.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(String, String)>);

impl Faults {
    pub(super) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push((field.into(), problem.into()));
    }

    /// A name that people read: there, short, on one line.
    pub(super) fn name(&mut self, field: &str, text: &str) {
        self.text(field, text, MAX_NAME);
    }

    /// A sentence for the log that people read.
    pub(super) fn sentence(&mut self, field: &str, text: &str) {
        self.text(field, text, MAX_TEXT);
    }

    fn text(&mut self, field: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.add(field, "must not be empty");
        } else if length > most {
            self.add(field, format!("has {length} characters, at most {most} are allowed"));
        } else if text.chars().any(char::is_control) {
            self.add(field, "holds control characters");
        }
    }

    /// A text that may be absent, but is a name where it is there.
    pub(super) fn optional_name(&mut self, field: &str, text: &str) {
        if !text.is_empty() {
            self.name(field, text);
        }
    }

    /// Names each entry that stands twice.
    pub(super) fn distinct<'a>(&mut self, field: &str, entries: impl IntoIterator<Item = &'a str>) {
        let mut seen = std::collections::HashSet::new();
        for (at, entry) in entries.into_iter().enumerate() {
            if !seen.insert(entry) {
                self.add(format!("{field}[{at}]"), "stands there twice");
            }
        }
    }

    /// Refuses when anything was found.
    pub(super) fn done(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal { fields: self.0, ..Refusal::new(Reason::BadRequest) }) }
    }
}

/// Whether the text is a day that exists, as `YYYY-MM-DD` and in no other of ISO 8601's forms.
pub(super) fn is_date(text: &str) -> bool {
    text.parse::<Date>().is_ok_and(|date| date.to_string() == text)
}

/// `[a-z][a-z0-9-]{1,40}`: the code of a department.
pub(super) fn is_department(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|first: char| first.is_ascii_lowercase()) && crate::identity::is_name(text)
}

/// A protobuf timestamp in milliseconds.
pub(super) fn millis(at: &prost_types::Timestamp) -> i64 {
    at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_request_is_named() {
        let mut faults = Faults::default();
        faults.name("name_zh", " ");
        faults.name("hall", "a\nb");
        faults.sentence("why", &"长".repeat(501));
        faults.distinct("fields", ["a", "b", "a"]);
        let refusal = faults.done().unwrap_err();
        let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["name_zh", "hall", "why", "fields[2]"]);
        assert_eq!(refusal.reason, Reason::BadRequest);
    }

    #[test]
    fn days_and_codes_have_one_form() {
        assert!(is_date("2024-02-29"));
        for text in ["2023-02-29", "20240229", "2024-2-9", "2024-02-29T00:00", ""] {
            assert!(!is_date(text), "{text}");
        }
        assert!(is_department("market-regulation"));
        for text in ["m", "1a", "-a", "Ab", "a/b", ""] {
            assert!(!is_department(text), "{text}");
        }
    }
}
