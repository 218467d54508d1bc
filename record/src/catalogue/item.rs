//! Service items: what a citizen or firm applies for, and what must be known for it.

use super::{Fault, RecordType, Share, Text};
use crate::status::Status;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A service item. Its form is told in `schemas/README.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceItem {
    /// The stable name, as in cases, grants and the ledger.
    pub item: String,
    /// The number in the county's list.
    pub number: u32,
    /// What people call it.
    pub name: Text,
    /// The area of the hall.
    pub area: Text,
    /// The kinds of department that decide.
    pub departments: Vec<String>,
    /// 告知承诺: whether a promise may stand in for evidence.
    pub promise: Promise,
    /// Whether promise and requirements have a published source.
    pub confirmed: bool,
    /// The record type that the item issues or changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produces: Option<String>,
    /// The limit by law.
    pub statutory_days: TimeLimit,
    /// What the hall promises.
    pub promised_days: TimeLimit,
    /// Who takes part.
    pub parties: Vec<Party>,
    /// What must be known.
    pub requirements: Vec<Requirement>,
}

/// How far a promise may stand in for evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// For what the item asks, as a rule.
    Usual,
    /// For some requirements.
    Part,
    /// Excluded.
    None,
}

/// A time limit for deciding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeLimit {
    /// How many days; 0 on the spot.
    pub value: u32,
    /// What a day is.
    pub kind: DayKind,
    /// How many days longer it may be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<u32>,
    /// Since when the limit is in force, `YYYY-MM-DD`.
    pub from: String,
    /// Whether a published source says so.
    pub confirmed: bool,
    /// The source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What the days of a limit are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayKind {
    /// 工作日
    Working,
    /// 自然日
    Calendar,
    /// 即办
    OnTheSpot,
}

/// One who takes part in a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// The role, as a case names it.
    pub role: String,
    /// What people call it.
    pub name: Text,
    /// What it can be.
    pub kinds: Vec<PartyKind>,
    /// Whether a case may have several, each of which must meet the requirements.
    #[serde(default)]
    pub many: bool,
}

/// What a party can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A natural person.
    Person,
    /// An organisation or a business.
    Organisation,
    /// Real estate, a vehicle, a project.
    Asset,
}

/// One thing that must be known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Unique in the item.
    pub id: String,
    /// What people call it.
    pub name: Text,
    /// The role of the party that is asked about.
    pub party: String,
    /// Whether a promise may settle it.
    pub promise: bool,
    /// When it is wanted at all; the clerk says when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Text>,
    /// In order: the first that holds settles, a later one is a substitute.
    pub alternatives: Vec<Alternative>,
}

/// One way to settle a requirement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AlternativeKeys", rename_all = "snake_case")]
pub enum Alternative {
    /// A record that a department publishes.
    Record(RecordAlternative),
    /// The applicant's own paper, which no office here publishes.
    Bring(Text),
    /// An earlier item of the same case.
    Awaits(String),
}

/// A record that settles a requirement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordAlternative {
    /// Of which type.
    pub record_type: String,
    /// What is shown of it, no more than the case needs.
    pub fields: Vec<String>,
    /// Another party than the requirement's, whose record it is.
    pub party: Option<String>,
    /// What must hold between that party and another, and the other's role.
    pub relation: Option<(Relation, String)>,
    /// One record, or every record of the party.
    pub take: Take,
    /// Whether fields are shown.
    pub release: Release,
    /// What the record must satisfy; all must hold.
    pub conditions: Conditions,
}

impl RecordAlternative {
    /// The fields that a grant must name: those shown or compared, and those that conditions read.
    #[must_use]
    pub fn fields_looked_at(&self) -> BTreeSet<&str> {
        let read = self.conditions.matching.iter().map(|condition| condition.field.as_str());
        self.fields.iter().map(String::as_str).chain(read).collect()
    }
}

/// What must hold between two parties of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The other is among the record's holders too.
    CoHolder,
    /// The other is the other spouse among the record's holders.
    SpouseOf,
    /// The other has a record of this type with the same household.
    SameHousehold,
    /// The party is named as legal representative of the other.
    LegalRepresentativeOf,
}

/// How many records settle a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// One.
    #[default]
    One,
    /// Every record that the party holds, none included.
    All,
}

/// What an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// The fields.
    Record,
    /// Only yes or no.
    Match,
}

/// What a record must satisfy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Its status is one of these; a dated record must not have expired either.
    pub status: Vec<Status>,
    /// A snapshot is no older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u32>,
    /// Values that fields must have.
    #[serde(rename = "where", default, skip_serializing_if = "Vec::is_empty")]
    pub matching: Vec<FieldCondition>,
}

/// A field's value is one of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldCondition {
    /// The field.
    pub field: String,
    /// The values.
    pub is: Vec<serde_json::Value>,
}

/// The keys of an alternative as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlternativeKeys {
    record_type: Option<String>,
    fields: Option<Vec<String>>,
    party: Option<String>,
    relation: Option<Relation>,
    with: Option<String>,
    take: Option<Take>,
    release: Option<Release>,
    conditions: Option<Conditions>,
    bring: Option<Text>,
    awaits: Option<String>,
}

impl TryFrom<AlternativeKeys> for Alternative {
    type Error = &'static str;

    fn try_from(keys: AlternativeKeys) -> Result<Self, &'static str> {
        let none_of_a_record = keys.fields.is_none()
            && keys.party.is_none()
            && keys.relation.is_none()
            && keys.with.is_none()
            && keys.take.is_none()
            && keys.release.is_none()
            && keys.conditions.is_none();
        match (keys.record_type, keys.bring, keys.awaits) {
            (Some(record_type), None, None) => Ok(Self::Record(RecordAlternative {
                record_type,
                fields: keys.fields.ok_or("an alternative with a record type needs fields")?,
                party: keys.party,
                relation: match (keys.relation, keys.with) {
                    (Some(relation), Some(with)) => Some((relation, with)),
                    (None, None) => None,
                    _ => return Err("relation and with go together"),
                },
                take: keys.take.unwrap_or_default(),
                release: keys.release.ok_or("an alternative with a record type needs release")?,
                conditions: keys.conditions.ok_or("an alternative with a record type needs conditions")?,
            })),
            (None, Some(bring), None) if none_of_a_record => Ok(Self::Bring(bring)),
            (None, None, Some(awaits)) if none_of_a_record => Ok(Self::Awaits(awaits)),
            _ => Err("an alternative has either record_type and its keys, or bring, or awaits"),
        }
    }
}

impl ServiceItem {
    /// Reads an item and checks what can be known of it alone.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let item: Self = toml::from_str(text)?;
        item.agree().map_err(Fault::Inconsistent)?;
        Ok(item)
    }

    /// The requirement of this id.
    #[must_use]
    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.id == id)
    }

    /// The party of this role.
    #[must_use]
    pub fn party(&self, role: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.role == role)
    }

    /// The alternatives that are records, each with its requirement.
    pub fn record_alternatives(&self) -> impl Iterator<Item = (&Requirement, &RecordAlternative)> {
        self.requirements.iter().flat_map(|requirement| {
            requirement.alternatives.iter().filter_map(move |alternative| match alternative {
                Alternative::Record(record) => Some((requirement, record)),
                Alternative::Bring(_) | Alternative::Awaits(_) => None,
            })
        })
    }

    fn agree(&self) -> Result<(), String> {
        let known_role = |role: &String| match self.party(role) {
            Some(_) => Ok(()),
            None => Err(format!("{role} is no party")),
        };
        for limit in [&self.statutory_days, &self.promised_days] {
            if crate::rules::real_day(&limit.from).is_none() {
                return Err("a limit's `from` does not exist".to_owned());
            }
            if (limit.kind == DayKind::OnTheSpot) != (limit.value == 0) {
                return Err("a limit on the spot has the value 0, and no other has".to_owned());
            }
        }
        let mut seen = BTreeSet::new();
        if !self.parties.iter().all(|party| seen.insert(&party.role)) {
            return Err("a party stands twice".to_owned());
        }
        let mut seen = BTreeSet::new();
        for requirement in &self.requirements {
            if !seen.insert(&requirement.id) {
                return Err(format!("requirement {} stands twice", requirement.id));
            }
            known_role(&requirement.party)?;
            if requirement.alternatives.is_empty() {
                return Err(format!("requirement {} has no alternative", requirement.id));
            }
            if requirement.promise && self.promise == Promise::None {
                return Err(format!("requirement {}: the item excludes promises", requirement.id));
            }
        }
        for (requirement, alternative) in self.record_alternatives() {
            alternative.party.iter().try_for_each(known_role)?;
            alternative.relation.iter().try_for_each(|(_, with)| known_role(with))?;
            if alternative.conditions.status.is_empty() {
                return Err(format!("requirement {}: conditions name no status", requirement.id));
            }
        }
        Ok(())
    }

    /// What an item names that the rest of the catalogue must have.
    pub(super) fn agree_with<'a>(
        &self,
        record_type: impl Fn(&str) -> Option<&'a RecordType>,
        item: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if let Some(produces) = self.produces.as_ref().filter(|produces| record_type(produces).is_none()) {
            return Err(format!("produces: there is no record type {produces}"));
        }
        for (requirement, alternative) in self.record_alternatives() {
            let name = &alternative.record_type;
            let at = |what: String| format!("requirement {}: {what}", requirement.id);
            let found = record_type(name).ok_or_else(|| at(format!("there is no record type {name}")))?;
            for field in alternative.fields_looked_at() {
                match found.definition.fields.get(field) {
                    None => return Err(at(format!("{name} has no field {field}"))),
                    Some(known) if known.share == Share::Withheld => {
                        return Err(at(format!("{field} of {name} is withheld")));
                    }
                    Some(_) => {}
                }
            }
        }
        for requirement in &self.requirements {
            for alternative in &requirement.alternatives {
                if let Alternative::Awaits(awaited) = alternative
                    && !item(awaited)
                {
                    return Err(format!("requirement {}: there is no item {awaited}", requirement.id));
                }
            }
        }
        Ok(())
    }
}
