//! Why a command was not done: in Chinese and English, with the code to exit with.

use std::fmt::Display;

use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;
use weft_proto::{Reason, reason::reason_of};

use crate::report::{Code, Format, readable};

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// The hub's stable reason, where the hub refused.
    reason: Option<Reason>,
    zh: String,
    en: String,
    /// What the texts do not say: a cause, a path.
    detail: String,
    /// Fields of the request, and what is wrong with each.
    fields: Vec<(String, String)>,
    retry_after_ms: Option<u64>,
}

impl Failure {
    fn new(code: Code, zh: &str, en: &str) -> Self {
        let (zh, en, detail) = (zh.to_owned(), en.to_owned(), String::new());
        Self { code, reason: None, zh, en, detail, fields: Vec::new(), retry_after_ms: None }
    }

    /// The command line, a configuration or a file cannot be used.
    pub(crate) fn usage(zh: &str, en: &str) -> Self {
        Self::new(Code::Usage, zh, en)
    }

    /// Problems were found.
    pub(crate) fn problems(zh: &str, en: &str) -> Self {
        Self::new(Code::Problems, zh, en)
    }

    /// Something cannot be reached.
    pub(crate) fn unreachable(zh: &str, en: &str) -> Self {
        Self::new(Code::Unreachable, zh, en)
    }

    /// Adds what the texts do not say.
    #[must_use]
    pub(crate) fn because(mut self, detail: impl Display) -> Self {
        self.detail = detail.to_string();
        self
    }

    /// Adds an error with all that caused it.
    #[must_use]
    pub(crate) fn caused_by(self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.because(chain(error))
    }

    fn json(&self) -> Value {
        json!({"error": {
            "reason": self.reason.map(Reason::as_str),
            "zh": self.zh,
            "en": self.en,
            "detail": self.detail,
            "fields": self.fields.iter().map(|(field, problem)| json!({"field": field, "problem": problem})).collect::<Vec<_>>(),
            "retry_after_ms": self.retry_after_ms,
        }})
    }

    /// What stands on standard error.
    pub(crate) fn shown(&self, format: Format) -> String {
        if format == Format::Json {
            return format!("{:#}\n", self.json());
        }
        let named = self.reason.map(|reason| format!("[{reason}] ")).unwrap_or_default();
        let mut text = format!("weft: {named}{}\n      {}\n", readable(&self.zh), readable(&self.en));
        if !self.detail.is_empty() {
            text.push_str(&format!("      {}\n", readable(&self.detail)));
        }
        for (field, problem) in &self.fields {
            text.push_str(&format!("      {}: {}\n", readable(field), readable(problem)));
        }
        if let Some(after) = self.retry_after_ms {
            text.push_str(&format!("      {after} ms\n"));
        }
        text
    }

    /// Prints on standard error, and gives the exit code.
    pub(crate) fn print(&self, format: Format) -> Code {
        eprint!("{}", self.shown(format));
        self.code
    }

    /// The exit code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Whether it is the hub's word, not the way to it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.reason.is_some()
    }

    /// In one line, Chinese.
    pub(crate) fn zh_line(&self) -> String {
        join(&self.zh, &self.detail, "：")
    }

    /// In one line, English.
    pub(crate) fn en_line(&self) -> String {
        join(&self.en, &self.detail, ": ")
    }
}

fn join(text: &str, detail: &str, by: &str) -> String {
    if detail.is_empty() { text.to_owned() } else { format!("{text}{by}{detail}") }
}

/// An error and what caused it, joined.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<Status> for Failure {
    /// What a hub answered. A status without a reason of ours came from the way there, or from something that is no hub.
    fn from(status: Status) -> Self {
        let Some(reason) = reason_of(&status) else {
            let code = match status.code() {
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Code::Unreachable,
                tonic::Code::Unknown if std::error::Error::source(&status).is_some() => Code::Unreachable,
                _ => Code::Problems,
            };
            let (zh, en) = match code {
                Code::Unreachable => (
                    "枢纽没有答复；请检查地址、网络和证书",
                    "the hub does not answer; check address, network and certificates",
                ),
                _ => ("枢纽拒绝了请求", "the hub refused the request"),
            };
            let cause =
                std::error::Error::source(&status).map(chain).map(|cause| format!(": {cause}")).unwrap_or_default();
            return Self::new(code, zh, en).because(format!("{:?}: {}{cause}", status.code(), status.message()));
        };
        let code = if reason.code() == tonic::Code::Unavailable { Code::Unreachable } else { Code::Problems };
        let mut failure = Self::new(code, reason.zh(), reason.en());
        let told = format!("{} / {}", reason.zh(), reason.en());
        let detail = status.message().strip_prefix(told.as_str()).unwrap_or(status.message());
        failure.detail = detail.trim_start_matches(": ").to_owned();
        failure.reason = Some(reason);
        let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
        failure.fields = violations.into_iter().map(|violation| (violation.field, violation.description)).collect();
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        failure.retry_after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
        failure
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::Refusal;

    use super::*;

    #[test]
    fn a_refusal_keeps_reason_fields_and_both_languages() {
        let refusal = Refusal::new(Reason::BadRequest).detail("two fields").field("look.purpose", "must not be empty");
        let failure = Failure::from(Status::from(refusal));
        assert_eq!(failure.code(), Code::Problems);
        let shown = failure.shown(Format::Table);
        for part in [
            "[bad_request]",
            Reason::BadRequest.zh(),
            Reason::BadRequest.en(),
            "two fields",
            "look.purpose: must not be empty",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        let json: Value = serde_json::from_str(&failure.shown(Format::Json)).unwrap();
        assert_eq!(json["error"]["reason"], "bad_request");
        assert_eq!(json["error"]["fields"][0]["field"], "look.purpose");
    }

    #[test]
    fn what_cannot_serve_now_is_told_apart_from_a_refusal() {
        let unavailable = Failure::from(Status::from(Refusal::new(Reason::LedgerUnavailable)));
        assert_eq!((unavailable.code(), unavailable.retry_after_ms), (Code::Unreachable, Some(1000)));
        assert_eq!(Failure::from(Status::from(Refusal::new(Reason::Denied))).code(), Code::Problems);
        assert_eq!(Failure::from(Status::unavailable("tcp connect error")).code(), Code::Unreachable);
        assert_eq!(Failure::from(Status::unimplemented("")).code(), Code::Problems);
    }
}
