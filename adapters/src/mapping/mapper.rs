//! A checked mapping at work: row in, draft of a record out.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use weft_record::{
    catalogue::{FieldRule, RecordType, Sensitivity},
    identifier,
};

use super::{
    Draft, Fault, Intent, Mapping, OrderKind, StatusColumn, check, holders::HolderReader, order, value::Reader,
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
    status: Option<(usize, StatusColumn)>,
    order: Option<(usize, String, OrderKind)>,
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
    pub fn new(mapping: &Mapping, record_type: &RecordType) -> Result<Self, Vec<Fault>> {
        let faults = check::check(mapping, record_type);
        let definition = &record_type.definition;
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut columns = Columns::default();
        let mut fields = BTreeMap::new();
        for (name, spec) in &mapping.fields {
            let Some(field) = definition.fields.get(name) else { continue };
            let rule = match field.rule {
                Some(FieldRule::Identifier(rule)) => Some(rule),
                _ => None,
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
        let status = mapping.status.as_ref().map(|spec| (columns.index(&spec.column), spec.clone()));
        let order = mapping.order.as_ref().map(|spec| (columns.index(&spec.column), spec.column.clone(), spec.kind));
        Ok(Self {
            record_type: mapping.record_type.clone(),
            digest: mapping.digest(),
            columns: columns.0,
            natural_key: definition.natural_key.clone(),
            fields,
            valid_from,
            valid_until,
            holders,
            status,
            order,
        })
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
        let natural_key = self.key(row, &mut problems);
        for (name, field) in &self.fields {
            match field.read(row) {
                Ok(Some(value)) => drop(fields.insert(name.clone(), value)),
                Ok(None) => {}
                // The key's problems are told already.
                Err(_) if self.natural_key.contains(name) => {}
                Err(problem) => problems.push(*problem),
            }
        }
        let mut day = |reader: &Option<Reader>| match reader.as_ref().map(|reader| reader.read(row)) {
            Some(Ok(Some(Json::String(day)))) => Some(day),
            Some(Err(problem)) => {
                problems.push(*problem);
                None
            }
            Some(Ok(_)) | None => None,
        };
        let (valid_from, valid_until) = (day(&self.valid_from), day(&self.valid_until));
        let mut holders = Vec::new();
        for reader in &self.holders {
            match reader.read(row) {
                Ok(found) => holders.extend(found),
                Err(problem) => problems.push(*problem),
            }
        }
        let intent = self.intent(row).map_err(|problem| problems.push(*problem));
        let order = self.order(row).map_err(|problem| problems.push(*problem));
        // The same cell may serve two values: it is one problem.
        let mut told = std::collections::HashSet::new();
        problems.retain(|problem| told.insert((problem.column.clone(), problem.reason)));
        match (natural_key, intent, order, problems.is_empty()) {
            (Some(natural_key), Ok(intent), Ok(order), true) => {
                let draft = Draft { valid_from, valid_until, holders, fields, intent };
                Ok(Mapped { line: row.line, natural_key, order, draft })
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

    fn intent(&self, row: &Row) -> Result<Intent, Box<RowProblem>> {
        let Some((at, spec)) = &self.status else { return Ok(Intent::Is(weft_record::status::Status::Valid)) };
        let cell = text::heading(&row.cells[*at]);
        let word = if cell.is_empty() { spec.empty.as_deref().unwrap_or_default() } else { cell.as_str() };
        let is = |key: &String| text::heading(key) == text::heading(word);
        if let Some((_, status)) = spec.statuses.iter().find(|(key, _)| is(key)) {
            return Ok(Intent::Is(*status));
        }
        if let Some((_, event)) = spec.events.iter().find(|(key, _)| is(key)) {
            return Ok(Intent::Happened(*event));
        }
        Err(Box::new(RowProblem::new(row.line, spec.column.clone(), Reason::NotInDictionary).value(word, false)))
    }
}
