//! One thing that was looked at: how it stands, and what to do.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::report::{Code, Report, readable};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and something should be done.
    Warn,
    /// It does not work, or breaks a promise.
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What is wrong and what to do: (Chinese, English) each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// What is wrong.
    pub(super) wrong: (&'static str, &'static str),
    /// What to do.
    pub(super) remedy: (&'static str, &'static str),
}

#[derive(Debug)]
struct Finding {
    check: &'static str,
    level: Level,
    said: Option<Said>,
    detail: String,
}

/// What was looked at so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// It is as it should be.
    pub(super) fn ok(&mut self, check: &'static str, detail: impl Display) {
        self.add(check, Level::Ok, None, detail);
    }

    /// It works, and something should be done.
    pub(super) fn warn(&mut self, check: &'static str, said: Said, detail: impl Display) {
        self.add(check, Level::Warn, Some(said), detail);
    }

    /// It does not work, or breaks a promise.
    pub(super) fn fail(&mut self, check: &'static str, said: Said, detail: impl Display) {
        self.add(check, Level::Fail, Some(said), detail);
    }

    fn add(&mut self, check: &'static str, level: Level, said: Option<Said>, detail: impl Display) {
        self.0.push(Finding { check, level, said, detail: detail.to_string() });
    }

    /// All of it; the code is 1 when anything failed.
    pub(super) fn report(&self) -> Report {
        let table = self.0.iter().map(Finding::lines).collect();
        let json = self.0.iter().map(Finding::json).collect();
        let failed = self.0.iter().any(|finding| finding.level == Level::Fail);
        Report::both(table, Value::Array(json)).with_code(if failed { Code::Problems } else { Code::Done })
    }
}

impl Finding {
    fn lines(&self) -> String {
        let mut lines = format!("{:<5} {:<20} {}\n", self.level.as_str(), self.check, readable(&self.detail));
        if let Some(Said { wrong, remedy }) = self.said {
            for (mark, text) in [("", wrong.0), ("", wrong.1), ("→ ", remedy.0), ("→ ", remedy.1)] {
                lines.push_str(&format!("{:26} {mark}{text}\n", ""));
            }
        }
        lines
    }

    fn json(&self) -> Value {
        let mut json = json!({"check": self.check, "level": self.level.as_str(), "detail": self.detail});
        if let Some(Said { wrong, remedy }) = self.said {
            json["zh"] = wrong.0.into();
            json["en"] = wrong.1.into();
            json["todo_zh"] = remedy.0.into();
            json["todo_en"] = remedy.1.into();
        }
        json
    }
}

/// A configuration that cannot be used.
pub(super) const CONFIGURATION: Said = Said {
    wrong: ("配置无法使用", "the configuration cannot be used"),
    remedy: ("按所示改正配置文件", "correct the file as it says"),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Format;

    #[test]
    fn only_a_failure_changes_the_exit_code() {
        let mut findings = Findings::default();
        findings.ok("a", "fine");
        findings.warn("b", CONFIGURATION, "");
        assert_eq!(findings.report().code(), Code::Done);
        findings.fail("c", CONFIGURATION, "line 3");
        let report = findings.report();
        assert_eq!(report.code(), Code::Problems);
        assert_eq!(report.json()[2]["todo_en"], CONFIGURATION.remedy.1);
        assert!(report.shown(Format::Table).contains("fail  c"));
    }
}
