//! What `type.toml` says of a record type, beyond the shape that its JSON Schema gives.

use crate::identifier;
use crate::rules::TypeRule;
use crate::status::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// The whole of `type.toml`. The form of each key is told in `schemas/README.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The type's name in identifiers, topics and paths: `[a-z-]+`.
    #[serde(rename = "type")]
    pub name: String,
    /// The version of the type, from 1.
    pub version: u32,
    /// What people call it.
    #[serde(rename = "name")]
    pub title: Text,
    /// The kinds of department that issue it.
    pub departments: Vec<String>,
    /// 证照类型代码 of GB/T 36904.
    pub type_code: TypeCode,
    /// The fields whose normalised values make the record_id.
    pub natural_key: Vec<String>,
    /// How many live records of this type a holder has.
    pub cardinality: Cardinality,
    /// Whether the record is an act or a view of a day.
    pub by: By,
    /// An unsent backlog older than this makes answers stale.
    pub freshness_hours: u32,
    /// Digests in every token.
    pub slots: Slots,
    /// The events that this type has.
    pub events: Vec<Event>,
    /// How long a record is valid.
    pub validity: Validity,
    /// Which holders a record may have.
    pub holders: Vec<HolderRule>,
    /// One entry per property of the schema's `fields`.
    pub fields: BTreeMap<String, Field>,
    /// The type's own rules, beyond shape.
    #[serde(default)]
    pub rules: Vec<TypeRule>,
}

/// A national type code and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeCode {
    /// 21 characters, or a local code.
    pub value: String,
    /// Whether a published source has it.
    pub confirmed: bool,
    /// The source, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// How many live records of a type a holder may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    /// One.
    One,
    /// Any number.
    Many,
}

/// What a record of the type speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// An act of an authority: it holds until another act.
    Act,
    /// The state of things on a day: it says "as of", and ages.
    Snapshot,
}

/// How many digests a token has, used or decoy, so that its shape tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// For holders; more holders take the next power of two.
    pub holders: usize,
    /// For fields: at least the number of possible ones.
    pub fields: usize,
}

/// How long a record of the type is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Whether there is an end.
    pub rule: ValidityRule,
    /// The longest validity, with rule `dated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_years: Option<u32>,
    /// Whether a published source says so.
    #[serde(default = "yes")]
    pub confirmed: bool,
    /// The source, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

fn yes() -> bool {
    true
}

/// Whether a record of the type has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidityRule {
    /// No end, or one that may be given.
    Open,
    /// `valid_from` and `valid_until` are required.
    Dated,
    /// Validity says nothing for this type; `valid_until` is not given.
    None,
}

/// One kind of holder that a record may or must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderRule {
    /// The role, as in `holders[].role`.
    pub role: String,
    /// The schemes that a holder of this role may be named by.
    pub schemes: Vec<identifier::Scheme>,
    /// At least so many.
    pub min: usize,
    /// At most so many; without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}

/// What is known of one field beyond its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// What people call it.
    pub name: Text,
    /// GB/T 36903 metadata code; `KZ_…` for an extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The rule that its value keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<FieldRule>,
    /// How much harm its value can do.
    pub sensitivity: Sensitivity,
    /// How a grant to see it comes to be.
    pub share: Share,
    /// With `share = "withheld"`: by which law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// Whether a record can be looked up by it.
    #[serde(default)]
    pub look_up: bool,
    /// How a page masks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
    /// Whether what is said of the field has a published source.
    #[serde(default = "yes")]
    pub confirmed: bool,
    /// The source, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The rule of one field: an identifier's, or a real date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldRule {
    /// A date that exists, `YYYY-MM-DD`.
    Date,
    /// An identifier; the value is normalised before it is compared.
    Identifier(identifier::Rule),
}

impl FieldRule {
    /// The rule's name in `type.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Identifier(rule) => rule.as_str(),
        }
    }
}

impl FromStr for FieldRule {
    type Err = identifier::UnknownRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "date" { Ok(Self::Date) } else { name.parse().map(Self::Identifier) }
    }
}

impl Serialize for FieldRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FieldRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How much harm a field's value can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// On public registers.
    Public,
    /// Needs a service item as its basis.
    Restricted,
    /// Sensitive personal information.
    Sensitive,
}

/// The share class of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// 无条件: granted at once.
    Unconditional,
    /// 有条件: granted by approval.
    Conditional,
    /// 不予: never granted.
    Withheld,
}

/// How a page masks a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Display {
    /// Characters 11 to 14 are shown as `****`.
    #[serde(rename = "mask-11-14")]
    MaskMiddle,
}
