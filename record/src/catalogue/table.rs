//! Code tables and dialects: what words and codes of source systems mean.

use super::{Fault, Text};
use crate::identifier::Scheme;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A table of codes. Its form is told in `schemas/README.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeTable {
    /// The table's name, also its file's.
    pub table: String,
    /// What people call it.
    pub name: Text,
    /// Where it is from.
    pub source: String,
    /// Whether a published source has it; a code that differs says so itself.
    pub confirmed: bool,
    /// The codes.
    #[serde(rename = "code", default)]
    pub codes: Vec<Code>,
}

/// One code of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The code as the source writes it.
    pub code: String,
    /// What it means, in Chinese.
    pub zh: String,
    /// What it means, in English.
    pub en: String,
    /// Our word for it; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps_to: Option<String>,
    /// The first day on which it is in use, `YYYY-MM-DD`; absent: since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day on which it is in use; absent: still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether a published source has it; absent: as the table says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// Gone since an unknown day.
    #[serde(default)]
    pub retired: bool,
    /// Admitted in test mode only.
    #[serde(default)]
    pub test: bool,
}

impl Code {
    /// Whether the code was in use on a day (`YYYY-MM-DD`).
    #[must_use]
    pub fn in_use_on(&self, day: &str) -> bool {
        !self.retired
            && self.from.as_deref().is_none_or(|from| from <= day)
            && self.until.as_deref().is_none_or(|until| day <= until)
    }
}

impl CodeTable {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let table: Self = toml::from_str(text)?;
        let mut seen = HashSet::new();
        for code in &table.codes {
            for day in [&code.from, &code.until].into_iter().flatten() {
                if crate::rules::real_day(day).is_none() {
                    return Err(Fault::Inconsistent(format!("code {:?}: a date does not exist", code.code)));
                }
            }
            if !seen.insert((&code.code, &code.from)) {
                return Err(Fault::Inconsistent(format!("code {:?} stands twice for one date", code.code)));
            }
        }
        Ok(table)
    }

    /// The code in use on `day` (`YYYY-MM-DD`); without a day, the one that is in use still or was last.
    #[must_use]
    pub fn get(&self, code: &str, day: Option<&str>) -> Option<&Code> {
        let code = code.trim();
        let mut candidates = self.codes.iter().filter(|known| known.code == code);
        match day {
            Some(day) => candidates.find(|known| known.in_use_on(day)),
            None => candidates.max_by_key(|known| (known.until.is_none() && !known.retired, known.from.clone())),
        }
    }

    /// A division by its code of 6, 9 or 12 digits: noughts on the right are padding.
    #[must_use]
    pub fn division(&self, code: &str, day: Option<&str>) -> Option<&Code> {
        let code = code.trim();
        let shorter = |digits: usize| code.get(digits..).is_some_and(|rest| rest.bytes().all(|byte| byte == b'0'));
        [6, 9, 12]
            .into_iter()
            .filter(|digits| code.len() >= *digits && shorter(*digits))
            .find_map(|digits| self.get(&code[..digits], day))
    }
}

/// Under which headings a kind of source system has what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// The dialect's name, also its file's.
    pub dialect: String,
    /// What people call it.
    pub name: Text,
    /// Where it is from.
    pub source: String,
    /// Whether a published source has it.
    pub confirmed: bool,
    /// The headings.
    #[serde(rename = "heading", default)]
    pub headings: Vec<Heading>,
    /// The holder-code types.
    #[serde(rename = "scheme", default)]
    pub schemes: Vec<DialectScheme>,
}

/// One heading of a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heading {
    /// The heading as the source writes it.
    pub heading: String,
    /// A name in `fields` or one of the names that `schemas/README.md` lists; absent: known, not carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The code table by which its values are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether a published source has it; absent: as the dialect says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// One holder-code type of a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectScheme {
    /// The source's code.
    pub code: String,
    /// Our scheme.
    pub scheme: Scheme,
    /// Whether a published source has it; absent: as the dialect says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

impl Dialect {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        Ok(toml::from_str(text)?)
    }

    /// The field that a heading stands for.
    #[must_use]
    pub fn field(&self, heading: &str) -> Option<&str> {
        self.headings.iter().find(|known| known.heading == heading)?.field.as_deref()
    }

    /// The scheme that a holder-code type stands for.
    #[must_use]
    pub fn scheme(&self, code: &str) -> Option<Scheme> {
        self.schemes.iter().find(|known| known.code == code).map(|known| known.scheme)
    }
}
