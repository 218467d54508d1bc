//! How a department's columns become a record: declared in TOML, checked against the record type before anything runs.
//!
//! - this module: what can be declared
//! - `named`: dialects and code tables that a declaration names become dictionaries
//! - `check`, `shape`: a declaration against its record type
//! - `mapper`: row in, draft of a record out, or all that is wrong with the row
//! - `value`, `date`, `number`, `when`, `intent`, `holders`, `order`: the parts of a row
//! - `changed`: what normalisation made of the cells

mod changed;
mod check;
mod date;
mod draft;
mod holders;
mod intent;
mod mapper;
mod named;
mod number;
mod order;
mod shape;
mod value;
mod when;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weft_record::status::{Event, Status};

pub use changed::{Changed, Changes, How};
pub use check::Fault;
pub(crate) use date::parse as parse_day;
pub use draft::{Draft, HolderDraft, Intent};
pub use mapper::{Mapped, Mapper};
pub(crate) use named::words as table_words;
pub(crate) use number::{decimal as parse_decimal, money as parse_money};
pub(crate) use value::{OPEN_END, is_boolean_word, split};

/// How one kind of row becomes one type of record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The record type, such as `business-licence`.
    pub record_type: String,
    /// Which rows are records; the others are passed over and counted.
    pub when: Option<Condition>,
    /// The column that orders two versions of a record: the later one is newer. Without it the later line is.
    pub order: Option<Order>,
    /// The column that says what happened, or what the record is since. Without it every row is a valid record, and
    /// events come from differences with the last version: first `issue`, then `change`.
    pub status: Option<StatusColumn>,
    /// The column that says what happened, beside `status`: where its word has no event, or one that does not lead to
    /// the status, the status decides.
    pub event: Option<EventColumn>,
    /// What to do when a record's row is not in a whole snapshot any more. Without it that is told, and no more.
    pub vanished: Option<Vanished>,
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

/// A condition on a row: the cell of a column is one of these texts, or none of those. Exactly one list is given; the
/// empty text stands for an empty cell. Blanks and widths make no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The column's heading.
    pub column: String,
    /// It holds for these cells.
    #[serde(default)]
    pub is: Vec<String>,
    /// It holds for all but these cells.
    #[serde(default)]
    pub is_not: Vec<String>,
}

/// What a row that vanished from a whole snapshot means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vanished {
    /// The event that it becomes, one that takes away (`cancel`, `suspend` …). Without it the row is only reported.
    pub event: Option<Event>,
    /// A snapshot from which more than so many in a hundred of the rows vanished at once is not believed: nothing
    /// vanishes, and that is told.
    #[serde(default = "default_limit_percent")]
    pub limit_percent: u8,
}

fn default_limit_percent() -> u8 {
    20
}

impl Default for Vanished {
    fn default() -> Self {
        Self { event: None, limit_percent: default_limit_percent() }
    }
}

/// A column that says what happened, beside one that says the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventColumn {
    /// Its heading.
    pub column: String,
    /// What the column says → what caused the version.
    #[serde(default)]
    pub events: BTreeMap<String, Event>,
    /// A code table of events, such as `events-mohurd`. Its codes without an event leave the word to the status.
    pub code_table: Option<String>,
    /// Words that leave it to the status; an empty cell always does.
    #[serde(default)]
    pub by_status: Vec<String>,
}

/// A column from which event or status is read. Exactly one of the two dictionaries is given, or comes of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusColumn {
    /// Its heading. May be left out with `dialect`: then it is the dialect's.
    #[serde(default)]
    pub column: String,
    /// A dialect whose code table of the column is read, such as `gbt36903`.
    pub dialect: Option<String>,
    /// A code table of statuses or events, such as `status-mohurd`. What stands in `statuses` or `events` comes first.
    pub code_table: Option<String>,
    /// What the column says → what the record is since then: `"存续" = "valid"`, `"吊销" = "revoked"`.
    #[serde(default)]
    pub statuses: BTreeMap<String, Status>,
    /// What the column says → what caused the version: `"变更" = "change"`, `"注销" = "cancel"`.
    #[serde(default)]
    pub events: BTreeMap<String, Event>,
    /// What an empty cell stands for, as if it were written there. Without it an empty cell is a problem.
    pub empty: Option<String>,
}

/// Where a value comes from and how it is read. Exactly one of `column`, `columns`, `constant` is given, or a dialect
/// that knows the column.
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
    /// The value is there in rows for which this holds, and nowhere else.
    pub when: Option<Condition>,
    /// What kind of value it is.
    #[serde(default)]
    pub kind: Kind,
    /// Full-width letters, digits and marks become half-width. By default for identifiers, dates and numbers, and not
    /// for text, where （） may belong to a name.
    pub fold: Option<bool>,
    /// The cell is a number with a rule of its own, such as `uscc`, where the field has none: it is taken in its normal
    /// form.
    pub identifier: Option<String>,
    /// Cell texts that mean "nothing": `["/", "无"]`. An empty cell always does.
    #[serde(default)]
    pub nothing: Vec<String>,
    /// What the cell says → the value. A cell that it lacks is a problem, unless `otherwise` is given.
    #[serde(default)]
    pub dictionary: BTreeMap<String, String>,
    /// A dialect of the catalogue, such as `gbt36903`: gives the column where none is named, and reads its codes. With
    /// a holder's `scheme_from` it gives the kinds of number.
    pub dialect: Option<String>,
    /// A code table of the catalogue, such as `currency-words`: its codes and their Chinese names are read as what
    /// they map to. What stands in `dictionary` comes first.
    pub code_table: Option<String>,
    /// The value of a cell that the dictionary lacks; `=` keeps the cell as it is.
    pub otherwise: Option<String>,
    /// With kind `date`: texts that mean an open end; `长期` and `永久` always do.
    #[serde(default)]
    pub open_end: Vec<String>,
    /// With kind `date`: numbers are days counted as a spreadsheet does, from 1900 or from 1904.
    pub serial: Option<Serial>,
    /// With kind `decimal`: units that may follow the number and are dropped, `["万元", "㎡"]`.
    #[serde(default)]
    pub units: Vec<String>,
    /// With kind `decimal`: how many places the point moves to the right, 4 for 万元 to 元.
    #[serde(default)]
    pub shift: u8,
    /// With kind `decimal`: the unit of the field. A cell with a unit of its own (万元, 亿元, 元) is converted exactly.
    pub money: Option<Money>,
    /// With `money`: the unit of a cell that has none; that of the field by default.
    pub bare: Option<Money>,
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

/// The day from which a spreadsheet counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Serial {
    /// 1 is 1900-01-01, and 60 is a day that never was.
    #[serde(rename = "1900")]
    From1900,
    /// 0 is 1904-01-01.
    #[serde(rename = "1904")]
    From1904,
}

/// Units of amounts of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Money {
    /// 1
    #[serde(rename = "元")]
    Yuan,
    /// 10^4
    #[serde(rename = "万元")]
    TenThousand,
    /// 10^8
    #[serde(rename = "亿元")]
    HundredMillion,
}

/// What kind of value a cell is read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Text without blanks at its ends.
    #[default]
    Text,
    /// A day: 2018-12-13, 2018/12/13, 2018.12.13, 20181213, 2018年12月13日, with or without a time behind it. A time
    /// with a zone is taken to China's time, which may be another day: that is told.
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
