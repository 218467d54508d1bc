//! The closed set of rules that a record type can add to its schema (`[[rules]]` of `type.toml`).

mod check;

use crate::catalogue::Text;
use crate::identifier::Scheme;
use serde::{Deserialize, Serialize};

pub(crate) use check::{Context, broken, real_day, within_years};

/// One rule of a record type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct TypeRule {
    /// The name of the rule in an answer.
    pub id: String,
    /// What to tell the sender when it is broken.
    pub message: Text,
    /// What it asks for.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a rule asks for. Pointers are JSON Pointers into the payload, fields are names in `fields`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// `first` is no later than `last`; an absent one holds.
    DateOrder {
        /// Pointer to the earlier date.
        first: String,
        /// Pointer to the later date.
        last: String,
    },
    /// `last` is no later than `years` years after `first`; the anniversary itself still holds.
    MaxYears {
        /// Pointer to the first day.
        first: String,
        /// Pointer to the last day.
        last: String,
        /// How many years.
        years: u32,
    },
    /// The date in `field` is not after the local date (Asia/Shanghai) of `iat`.
    NotAfterIssue {
        /// A date field.
        field: String,
    },
    /// The field, normalised, is the value of a holder of that scheme and, where one is named, of that role.
    EqualsHolder {
        /// The field.
        field: String,
        /// The holder's scheme.
        scheme: Scheme,
        /// The holder's role; any when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// The two pointers hold equal values; an absent one holds.
    Equals {
        /// A pointer.
        first: String,
        /// Another pointer.
        second: String,
    },
    /// The field begins with the value of a holder of that scheme.
    StartsWithHolder {
        /// The field.
        field: String,
        /// The holder's scheme.
        scheme: Scheme,
    },
    /// When field `when` is one of `is`, `field` is there.
    RequiredIf {
        /// The field that must be there.
        field: String,
        /// The field that decides.
        when: String,
        /// The values that ask for it.
        is: Vec<serde_json::Value>,
    },
    /// When field `when` is one of `is`, `field` is not there.
    AbsentIf {
        /// The field that must be absent.
        field: String,
        /// The field that decides.
        when: String,
        /// The values that forbid it.
        is: Vec<serde_json::Value>,
    },
    /// The first `prefix_len` characters of the field, normalised, are among `codes`.
    CodeIn {
        /// The field.
        field: String,
        /// How many characters.
        prefix_len: usize,
        /// The codes.
        codes: Vec<String>,
    },
    /// The holders' shares add up to 1; all holders or none have one.
    SharesSumToOne {},
    /// No two holders of these roles have the same scheme and value.
    DistinctHolders {
        /// The roles.
        roles: Vec<String>,
    },
}

/// Why the text of a rule is not read.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// `id` or `message` is missing or has the wrong type.
    #[error("a rule needs a text `{0}`")]
    Lacks(&'static str),
    /// The rest does not fit its kind.
    #[error("rule {id}: {source}")]
    Kind {
        /// The rule's id.
        id: String,
        /// What does not fit.
        source: Box<toml::de::Error>,
    },
}

/// `id` and `message` are taken off first, so that every other key must belong to the kind.
impl TryFrom<toml::Table> for TypeRule {
    type Error = RuleError;

    fn try_from(mut table: toml::Table) -> Result<Self, RuleError> {
        let Some(toml::Value::String(id)) = table.remove("id") else { return Err(RuleError::Lacks("id")) };
        let message = table.remove("message").ok_or(RuleError::Lacks("message"))?;
        let wrong = |source| RuleError::Kind { id: id.clone(), source: Box::new(source) };
        let message = message.try_into().map_err(wrong)?;
        let kind = toml::Value::Table(table).try_into().map_err(wrong)?;
        Ok(Self { id, message, kind })
    }
}

impl TypeRule {
    /// The names of the `fields` that the rule speaks of, for the check that they exist.
    pub fn fields(&self) -> Vec<&str> {
        fn of_pointer(pointer: &str) -> Option<&str> {
            pointer.strip_prefix("/fields/").map(|rest| rest.split('/').next().unwrap_or(rest))
        }
        match &self.kind {
            Kind::DateOrder { first, last } | Kind::MaxYears { first, last, .. } => {
                [first, last].into_iter().filter_map(|pointer| of_pointer(pointer)).collect()
            }
            Kind::Equals { first, second } => {
                [first, second].into_iter().filter_map(|pointer| of_pointer(pointer)).collect()
            }
            Kind::NotAfterIssue { field }
            | Kind::EqualsHolder { field, .. }
            | Kind::StartsWithHolder { field, .. }
            | Kind::CodeIn { field, .. } => vec![field],
            Kind::RequiredIf { field, when, .. } | Kind::AbsentIf { field, when, .. } => vec![field, when],
            Kind::SharesSumToOne {} | Kind::DistinctHolders { .. } => Vec::new(),
        }
    }
}
