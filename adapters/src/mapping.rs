//! How a department's columns become a record: declared in TOML, checked against the record type before anything runs.
//!
//! - this module: what can be declared
//! - `check`: a declaration against its record type
//! - `mapper`: row in, draft of a record out, or all that is wrong with the row
//! - `value`, `date`, `holders`, `order`: the parts of a row

mod check;
mod date;
mod draft;
mod holders;
mod mapper;
mod order;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weft_record::status::{Event, Status};

pub use check::Fault;
pub use draft::{Draft, HolderDraft, Intent};
pub use mapper::{Mapped, Mapper};

/// How one kind of row becomes one type of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The record type, such as `business-licence`.
    pub record_type: String,
    /// The column that orders two versions of a record: the later one is newer. Without it the later line is.
    pub order: Option<Order>,
    /// The column that says what happened, or what the record is since. Without it every row is a valid record, and
    /// events come from differences with the last version: first `issue`, then `change`.
    pub status: Option<StatusColumn>,
    /// The first day of validity.
    pub valid_from: Option<Value>,
    /// The last day of validity, included. An open end is left out.
    pub valid_until: Option<Value>,
    /// Field of the record type → where its value comes from.
    pub fields: BTreeMap<String, Value>,
    /// Where the holders come from.
    #[serde(default)]
    pub holders: Vec<Holders>,
}

/// A column that orders versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Its heading.
    pub column: String,
    /// What stands in it.
    #[serde(default)]
    pub kind: OrderKind,
}

/// What stands in an ordering column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKind {
    /// A date, with or without a time of day.
    #[default]
    Date,
    /// A whole number.
    Number,
}

/// A column from which event or status is read. Exactly one of the two dictionaries is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusColumn {
    /// Its heading.
    pub column: String,
    /// What the column says → what the record is since then: `"存续" = "valid"`, `"吊销" = "revoked"`.
    #[serde(default)]
    pub statuses: BTreeMap<String, Status>,
    /// What the column says → what caused the version: `"变更" = "change"`, `"注销" = "cancel"`.
    #[serde(default)]
    pub events: BTreeMap<String, Event>,
    /// What an empty cell stands for, as if it were written there. Without it an empty cell is a problem.
    pub empty: Option<String>,
}

/// Where a value comes from and how it is read. Exactly one of `column`, `columns`, `constant` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The heading of its column.
    pub column: Option<String>,
    /// The headings of several columns, written one after another; empty cells are left out.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What stands between the cells of `columns`.
    #[serde(default)]
    pub join: String,
    /// The same for every row.
    pub constant: Option<String>,
    /// What an empty cell stands for.
    pub default: Option<String>,
    /// What kind of value it is.
    #[serde(default)]
    pub kind: Kind,
    /// Full-width letters, digits and marks become half-width. By default for identifiers, dates and numbers, and not
    /// for text, where （） may belong to a name.
    pub fold: Option<bool>,
    /// Cell texts that mean "nothing": `["/", "无"]`. An empty cell always does.
    #[serde(default)]
    pub nothing: Vec<String>,
    /// What the cell says → the value. A cell that it lacks is a problem, unless `otherwise` is given.
    #[serde(default)]
    pub dictionary: BTreeMap<String, String>,
    /// The value of a cell that the dictionary lacks; `=` keeps the cell as it is.
    pub otherwise: Option<String>,
    /// With kind `date`: texts that mean an open end; `长期` and `永久` always do.
    #[serde(default)]
    pub open_end: Vec<String>,
    /// With kind `decimal`: units that may follow the number and are dropped, `["万元", "㎡"]`.
    #[serde(default)]
    pub units: Vec<String>,
    /// With kind `decimal`: how many places the point moves to the right, 4 for 万元 to 元.
    #[serde(default)]
    pub shift: u8,
    /// With kind `list`: characters that separate its members; `、，,；;` by default.
    pub separators: Option<String>,
    /// With kind `boolean`: cell texts that mean yes. By default 是, 有, Y, 1, true. Anything else but a "no" (否, 无,
    /// N, 0, false) is a problem.
    #[serde(default)]
    pub yes: Vec<String>,
    /// With kind `boolean`: cell texts that mean no.
    #[serde(default)]
    pub no: Vec<String>,
}

/// What kind of value a cell is read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Text without blanks at its ends.
    #[default]
    Text,
    /// A day: 2018-12-13, 2018/12/13, 2018.12.13, 20181213, 2018年12月13日, with or without a time behind it.
    Date,
    /// A number as text, without superfluous zeros: amounts and areas are never floating point.
    Decimal,
    /// A whole number below 2^53.
    Integer,
    /// Yes or no.
    Boolean,
    /// Several texts.
    List,
}

/// Where holders come from: one, or several in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holders {
    /// Their role, one of the record type's.
    pub role: String,
    /// The kind of their number, when it is the same for all rows.
    pub scheme: Option<String>,
    /// The column that says the kind of number, by a dictionary whose values are schemes.
    pub scheme_from: Option<Value>,
    /// Their number.
    pub value: Value,
    /// Their name.
    pub name: Option<Value>,
    /// Their share, such as `1/2` (also read: `50%`).
    pub share: Option<Value>,
    /// Characters that separate several holders in one cell, such as `"、;"`. Every one of the cells is divided; a
    /// kind of number given once holds for all.
    pub separators: Option<String>,
}

impl Mapping {
    /// A digest of the declaration: a file is worked off once per content and mapping.
    pub fn digest(&self) -> [u8; 32] {
        // Unwrap safety: a struct of strings, maps with string keys and enums always serialises.
        #[allow(clippy::unwrap_used)]
        let text = serde_json::to_vec(self).unwrap();
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text).as_ref());
        digest
    }
}

#[cfg(test)]
mod tests;
