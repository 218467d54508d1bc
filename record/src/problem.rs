//! What is wrong with a submission, said so that its sender can mend it.
//!
//! A [`Reason`] is stable: it stands on the wire, names the page `docs/errors/<reason>.md` and labels a metric. The
//! texts of every reason stand in one table (`problem/reason.rs`). A [`Problem`] is one finding at one place, a
//! [`Rejection`] is all findings of the first stage that failed.

mod reason;

pub use reason::{Reason, UnknownReason};

use serde::{Deserialize, Serialize};

/// One finding about a submission.
///
/// Its texts may name fields and rules and say what form is wanted. They never repeat a value of the record, so
/// they may be logged, queued and shown to an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// RFC 6901 JSON Pointer into the processed payload; empty for the whole, or for a token that has no payload yet.
    pub pointer: String,
    /// The stable kind of the finding.
    pub reason: Reason,
    /// The identifier rule (`uscc-check`) or the type's own rule (`holder-is-uscc`) that was broken, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What happened and what to do, in Chinese.
    pub zh: String,
    /// What happened and what to do, in English.
    pub en: String,
    /// A warning travels with the record and refuses nothing.
    #[serde(default)]
    pub warning: bool,
}

impl Problem {
    /// A problem told in the words of its reason alone.
    #[must_use]
    pub fn new(pointer: impl Into<String>, reason: Reason) -> Self {
        Self::detailed(pointer, reason, reason.happened_zh(), reason.happened_en())
    }

    /// A problem whose "what happened" is more exact than the reason's; the reason's "what to do" is added.
    #[must_use]
    pub fn detailed(pointer: impl Into<String>, reason: Reason, zh: &str, en: &str) -> Self {
        Self {
            pointer: pointer.into(),
            reason,
            rule: None,
            zh: format!("{zh}；{}", reason.remedy_zh()),
            en: format!("{en}; {}", reason.remedy_en()),
            warning: false,
        }
    }

    /// A problem whose texts already say what to do, as those of rules do.
    #[must_use]
    pub fn worded(pointer: impl Into<String>, reason: Reason, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason, rule: None, zh: zh.into(), en: en.into(), warning: false }
    }

    /// The same problem, naming the rule that was broken.
    #[must_use]
    pub fn under_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// The same problem as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

/// A step of the door's verification, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Size and outer form of the bytes.
    Shape,
    /// The structure of the SD-JWT and the profile.
    Token,
    /// Whether this sender may publish this.
    Sender,
    /// The sealing key and the signature.
    Key,
    /// Schema, identifiers and the type's own rules, always all three.
    Content,
}

impl Stage {
    /// The stage's name on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Token => "token",
            Self::Sender => "sender",
            Self::Key => "key",
            Self::Content => "content",
        }
    }
}

/// The word of the door that a submission is not taken: every problem of the first stage that failed.
///
/// This is data about the sender's record, not a failure of ours: it is answered and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The first stage that failed.
    pub stage: Stage,
    /// Its problems, at least one of which is no warning.
    pub problems: Vec<Problem>,
}

impl Rejection {
    /// A rejection for one problem, at the stage that its reason belongs to.
    #[must_use]
    pub fn one(problem: Problem) -> Self {
        Self { stage: problem.reason.stage(), problems: vec![problem] }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rejected at stage {}:", self.stage.as_str())?;
        for problem in self.problems.iter().filter(|problem| !problem.warning) {
            write!(f, " {}", problem.reason)?;
            if !problem.pointer.is_empty() {
                write!(f, " at {}", problem.pointer)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

/// Appends one reference token to a JSON Pointer, escaped as RFC 6901 section 3 says.
#[must_use]
pub fn pointer_to(parent: &str, token: &str) -> String {
    format!("{parent}/{}", token.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_name_of_its_own_that_reads_back() {
        let mut names = HashSet::new();
        for reason in Reason::ALL {
            assert!(names.insert(reason.as_str()), "{reason} twice");
            assert_eq!(reason.as_str().parse::<Reason>().unwrap(), *reason);
            assert!(reason.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{reason}");
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.as_str()));
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), *reason);
        }
        assert!("no_such_reason".parse::<Reason>().is_err());
    }

    #[test]
    fn every_reason_says_what_happened_and_what_to_do_in_both_languages() {
        for reason in Reason::ALL {
            for text in [reason.happened_en(), reason.remedy_en()] {
                assert!(text.is_ascii() && text.len() > 10 && !text.ends_with('.'), "{reason}: {text}");
            }
            for text in [reason.happened_zh(), reason.remedy_zh()] {
                assert!(!text.is_ascii() && !text.ends_with('。'), "{reason}: {text}");
            }
        }
    }

    #[test]
    fn a_pointer_escapes_tilde_and_slash() {
        assert_eq!(pointer_to("/fields", "a/b~c"), "/fields/a~1b~0c");
    }

    #[test]
    fn a_problem_without_rule_reads_back_from_json() {
        let problem = Problem::new("/fields/uscc", Reason::MissingField);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["reason"], "missing_field");
        assert!(json.get("rule").is_none());
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
