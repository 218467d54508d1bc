//! A checked mapping at work: row in, draft of a record out.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use weft_record::{
    catalogue::{Catalogue, FieldRule, RecordType, Sensitivity},
    identifier,
};

use super::{
    Changed, Draft, Fault, Mapping, OrderKind, Vanished, check, holders::HolderReader, intent::IntentReader, order,
    value::Reader, when::When,
};
use crate::{
    problem::{Reason, RowProblem},
    source::Row,
    text,
};

/// A mapping, bound to its record type and to the columns that it needs.
#[derive(Clone, Debug)]
pub struct Mapper {
    record_type: String,
    digest: [u8; 32],
    columns: Vec<String>,
    natural_key: Vec<String>,
    fields: BTreeMap<String, FieldReader>,
    valid_from: Option<Reader>,
    valid_until: Option<Reader>,
    holders: Vec<HolderReader>,
    intent: IntentReader,
    order: Option<(usize, String, OrderKind)>,
    when: Option<When>,
    vanished: Vanished,
}

#[derive(Clone, Debug)]
struct FieldReader {
    reader: Reader,
    rule: Option<identifier::Rule>,
}

impl FieldReader {
    /// The value, an identifier in its normal form.
    fn read(&self, row: &Row) -> Result<Option<Json>, Box<RowProblem>> {
        let value = self.reader.read(row)?;
        Ok(value.map(|value| match (self.rule, &value) {
            (Some(rule), Json::String(text)) => Json::String(identifier::normalise(rule, text)),
            _ => value,
        }))
    }
}

/// A row that could be mapped.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The line where the row begins.
    pub line: u64,
    /// The values of the natural key, normalised, in the type's order.
    pub natural_key: Vec<String>,
    /// Where the row stands among the versions of its record, where a column says so.
    pub order: Option<i64>,
    /// What it says.
    pub draft: Draft,
    /// The cells that are not in the record as they stood in the source.
    pub changed: Vec<Changed>,
}

/// The columns that a mapping needs, each once.
#[derive(Default)]
struct Columns(Vec<String>);

impl Columns {
    fn index(&mut self, heading: &str) -> usize {
        let wanted = text::heading(heading);
        let known = self.0.iter().position(|column| text::heading(column) == wanted);
        known.unwrap_or_else(|| {
            self.0.push(heading.to_owned());
            self.0.len() - 1
        })
    }
}

impl Mapper {
    /// Binds a mapping to its record type.
    ///
    /// # Errors
    /// All that is wrong with the mapping.
    pub fn new(mapping: &Mapping, catalogue: &Catalogue) -> Result<Self, Vec<Fault>> {
        let (mapping, mut faults) = check::resolved(mapping, catalogue);
        let Some(record_type) = catalogue.record_type(&mapping.record_type) else { return Err(faults) };
        faults.extend(check::check(&mapping, record_type));
        if faults.is_empty() { Ok(Self::bind(&mapping, record_type)) } else { Err(faults) }
    }

    /// Binds a mapping without faults and without names.
    fn bind(mapping: &Mapping, record_type: &RecordType) -> Self {
        let definition = &record_type.definition;
        let mut columns = Columns::default();
        let mut fields = BTreeMap::new();
        for (name, spec) in &mapping.fields {
            let Some(field) = definition.fields.get(name) else { continue };
            let rule = match field.rule {
                Some(FieldRule::Identifier(rule)) => Some(rule),
                _ => spec.identifier.as_deref().and_then(|rule| rule.parse().ok()),
            };
            let hidden = field.sensitivity != Sensitivity::Public;
            let reader = Reader::bind(spec, rule.is_some(), hidden, |heading| columns.index(heading));
            fields.insert(name.clone(), FieldReader { reader, rule });
        }
        let mut date = |spec: &Option<super::Value>| {
            spec.as_ref().map(|spec| Reader::bind(spec, false, false, |heading| columns.index(heading)))
        };
        let (valid_from, valid_until) = (date(&mapping.valid_from), date(&mapping.valid_until));
        let bind_holder = |holder| HolderReader::bind(holder, |heading| columns.index(heading));
        let holders = mapping.holders.iter().map(bind_holder).collect();
        let bind_intent = |heading: &str| columns.index(heading);
        let intent = IntentReader::bind(mapping.status.as_ref(), mapping.event.as_ref(), bind_intent);
        let order = mapping.order.as_ref().map(|spec| (columns.index(&spec.column), spec.column.clone(), spec.kind));
        let when = mapping.when.as_ref().map(|when| When::bind(when, |heading| columns.index(heading)));
        Self {
            record_type: mapping.record_type.clone(),
            digest: mapping.digest(),
            columns: columns.0,
            natural_key: definition.natural_key.clone(),
            fields,
            valid_from,
            valid_until,
            holders,
            intent,
            order,
            when,
            vanished: mapping.vanished.clone().unwrap_or_default(),
        }
    }

    /// The record type.
    pub fn record_type(&self) -> &str {
        &self.record_type
    }

    /// The digest of the mapping.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The columns that a row must bring, in the order of its cells.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether a row is a record at all, by the mapping's condition.
    pub fn is_record(&self, row: &Row) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(row))
    }

    /// What a row that vanished means.
    pub fn vanished(&self) -> &Vanished {
        &self.vanished
    }

    /// Which record the row is about, and where among its versions it stands; nothing where that cannot be read,
    /// which `map` then tells.
    pub fn place(&self, row: &Row) -> Option<(Vec<String>, Option<i64>)> {
        let mut ignored = Vec::new();
        let key = self.key(row, &mut ignored)?;
        Some((key, self.order(row).ok()?))
    }

    /// Maps a row.
    ///
    /// # Errors
    /// All that is wrong with the row.
    pub fn map(&self, row: &Row) -> Result<Mapped, Vec<RowProblem>> {
        let mut problems = Vec::new();
        let mut fields = serde_json::Map::new();
        let mut changed = Vec::new();
        let natural_key = self.key(row, &mut problems);
        for (name, field) in &self.fields {
            match field.read(row) {
                Ok(Some(value)) => {
                    changed.extend(field.reader.changed(row, &value));
                    fields.insert(name.clone(), value);
                }
                Ok(None) => {}
                // The key's problems are told already.
                Err(_) if self.natural_key.contains(name) => {}
                Err(problem) => problems.push(*problem),
            }
        }
        let mut day = |reader: &Option<Reader>| {
            let reader = reader.as_ref()?;
            match reader.read(row) {
                Ok(Some(value)) => {
                    changed.extend(reader.changed(row, &value));
                    value.as_str().map(str::to_owned)
                }
                Ok(None) => None,
                Err(problem) => {
                    problems.push(*problem);
                    None
                }
            }
        };
        let (valid_from, valid_until) = (day(&self.valid_from), day(&self.valid_until));
        let mut holders = Vec::new();
        for reader in &self.holders {
            match reader.read(row) {
                Ok(found) => holders.extend(found),
                Err(problem) => problems.push(*problem),
            }
        }
        let intent = self.intent.read(row).map_err(|problem| problems.push(*problem));
        let order = self.order(row).map_err(|problem| problems.push(*problem));
        // The same cell may serve two values: it is one problem.
        let mut told = std::collections::HashSet::new();
        problems.retain(|problem| told.insert((problem.column.clone(), problem.reason)));
        let mut seen = std::collections::HashSet::new();
        changed.retain(|one: &Changed| seen.insert(one.column.clone()));
        match (natural_key, intent, order, problems.is_empty()) {
            (Some(natural_key), Ok(intent), Ok(order), true) => {
                let draft = Draft { valid_from, valid_until, holders, fields, intent };
                Ok(Mapped { line: row.line, natural_key, order, draft, changed })
            }
            _ => Err(problems),
        }
    }

    fn key(&self, row: &Row, problems: &mut Vec<RowProblem>) -> Option<Vec<String>> {
        let mut key = Vec::with_capacity(self.natural_key.len());
        for name in &self.natural_key {
            // `check` saw to it that every part of the key is mapped.
            let field = self.fields.get(name)?;
            match field.read(row) {
                Ok(Some(Json::String(part))) => key.push(part),
                Ok(Some(other)) => key.push(other.to_string()),
                Ok(None) => problems.push(*field.reader.problem(row, Reason::KeyMissing)),
                Err(problem) => problems.push(*problem),
            }
        }
        (key.len() == self.natural_key.len()).then_some(key)
    }

    fn order(&self, row: &Row) -> Result<Option<i64>, Box<RowProblem>> {
        let Some((at, column, kind)) = &self.order else { return Ok(None) };
        let cell = &row.cells[*at];
        let problem =
            |reason| Box::new(RowProblem::new(row.line, column.clone(), reason).value(text::trim(cell), false));
        order::parse(*kind, cell).map(Some).map_err(problem)
    }
}
