//! A grant: which window may see which fields, for what and in which days.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// Asked for.
    Requested,
    /// In force.
    Active,
    /// Halted.
    Suspended,
    /// Ended.
    Revoked,
}

/// Which window may see which fields of which record type for which service item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// The window's name.
    pub window: String,
    /// The service item.
    pub service_item: String,
    /// The record type.
    pub record_type: String,
    /// The department that owns the records.
    pub department: String,
    /// The fields, sorted.
    pub fields: Vec<String>,
    /// What for.
    pub purpose: String,
    /// Whether a look by record identifier alone is allowed; no holder is disclosed then.
    pub by_record: bool,
    /// How it stands.
    pub state: GrantState,
    /// Who asked.
    pub requested_by: String,
    /// Who decided last.
    pub decided_by: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// The first local day (Asia/Shanghai) on which it allows anything.
    #[serde(default, with = "day", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Date>,
    /// The last such day, included.
    #[serde(default, with = "day", skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Date>,
    /// A look must give exactly [`Grant::purpose`].
    #[serde(default)]
    pub exact_purpose: bool,
}

impl Grant {
    /// Whether it allows anything on a local day.
    pub fn in_force(&self, day: Date) -> bool {
        self.state == GrantState::Active
            && self.valid_from.is_none_or(|from| from <= day)
            && self.valid_until.is_none_or(|until| day <= until)
    }

    /// Whether its last day lies before `day`.
    pub fn is_over(&self, day: Date) -> bool {
        self.valid_until.is_some_and(|until| until < day)
    }
}

/// A local day as `YYYY-MM-DD`.
mod day {
    use jiff::civil::Date;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(day: &Option<Date>, to: S) -> Result<S::Ok, S::Error> {
        match day {
            Some(day) => to.collect_str(day),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
