//! Dialects and code tables that a mapping names become its dictionaries and columns.

use std::collections::BTreeMap;

use weft_record::{
    catalogue::{Catalogue, CodeTable, Dialect},
    status::{Event, Status},
};

use super::{Mapping, Value};

/// A mapping without names, and what is wrong with those that it had: where, and what.
pub(super) fn resolve(mapping: &Mapping, catalogue: &Catalogue) -> (Mapping, Vec<(String, String)>) {
    let mut mapping = mapping.clone();
    let mut names = Names { catalogue, faults: Vec::new() };
    for (field, value) in &mut mapping.fields {
        names.value(&format!("fields.{field}"), field, value);
    }
    for (path, value) in [("valid_from", &mut mapping.valid_from), ("valid_until", &mut mapping.valid_until)] {
        if let Some(value) = value {
            names.value(path, &format!("record.{path}"), value);
        }
    }
    for (index, holder) in mapping.holders.iter_mut().enumerate() {
        let at = format!("holders[{index}]");
        names.value(&at, "holders.value", &mut holder.value);
        for (path, value) in [("holders.name", &mut holder.name), ("holders.scheme", &mut holder.scheme_from)] {
            if let Some(value) = value {
                names.value(&at, path, value);
            }
        }
    }
    names.status(&mut mapping);
    (mapping, names.faults)
}

struct Names<'a> {
    catalogue: &'a Catalogue,
    faults: Vec<(String, String)>,
}

impl<'a> Names<'a> {
    fn fault(&mut self, at: &str, what: String) {
        self.faults.push((at.to_owned(), what));
    }

    fn dialect(&mut self, at: &str, name: &str) -> Option<&'a Dialect> {
        let found = self.catalogue.dialect(name);
        if found.is_none() {
            let known: Vec<&str> = self.catalogue.dialects().map(|dialect| dialect.dialect.as_str()).collect();
            self.fault(at, format!("there is no dialect {name}; there are {}", known.join(", ")));
        }
        found.map(AsRef::as_ref)
    }

    fn table(&mut self, at: &str, name: &str) -> Option<&'a CodeTable> {
        let found = self.catalogue.code_table(name);
        if found.is_none() {
            let known: Vec<&str> = self.catalogue.code_tables().map(|table| table.table.as_str()).collect();
            self.fault(at, format!("there is no code table {name}; there are {}", known.join(", ")));
        }
        found.map(AsRef::as_ref)
    }

    fn value(&mut self, at: &str, path: &str, value: &mut Value) {
        if let Some(dialect) = value.dialect.clone().and_then(|name| self.dialect(at, &name)) {
            let given = value.column.is_some() || !value.columns.is_empty() || value.constant.is_some();
            if !given {
                value.column = heading_of(dialect, path);
            }
            let table = value.column.as_deref().and_then(|column| table_of(dialect, column));
            let schemes = path == "holders.scheme";
            if value.column.is_none() || (given && table.is_none() && !schemes) {
                self.fault(at, format!("the dialect {} says nothing of it", dialect.dialect));
            }
            if schemes {
                let words = dialect.schemes.iter().map(|one| (one.code.clone(), one.scheme.as_str().to_owned()));
                extend(&mut value.dictionary, words);
            }
            if let Some(table) = table.and_then(|name| self.table(at, name)) {
                extend(&mut value.dictionary, words(table));
            }
        }
        if let Some(table) = value.code_table.clone().and_then(|name| self.table(at, &name)) {
            extend(&mut value.dictionary, words(table));
        }
    }

    fn status(&mut self, mapping: &mut Mapping) {
        if let Some(column) = &mut mapping.status {
            let mut table = column.code_table.clone();
            if let Some(dialect) = column.dialect.clone().and_then(|name| self.dialect("status", &name)) {
                if column.column.is_empty() {
                    column.column = heading_of(dialect, "record.status").unwrap_or_default();
                }
                table = table.or_else(|| table_of(dialect, &column.column).map(str::to_owned));
                if table.is_none() {
                    self.fault("status.dialect", format!("the dialect {} has no table of it", dialect.dialect));
                }
            }
            if let Some(table) = table.and_then(|name| self.table("status", &name)) {
                for (word, meaning) in mapped_words(table) {
                    if let Some(status) = status_of(&meaning) {
                        column.statuses.entry(word).or_insert(status);
                    } else if let Ok(event) = meaning.parse::<Event>() {
                        column.events.entry(word).or_insert(event);
                    }
                }
            }
        }
        if let Some(column) = &mut mapping.event
            && let Some(table) = column.code_table.clone().and_then(|name| self.table("event", &name))
        {
            for code in &table.codes {
                let event = code.maps_to.as_deref().and_then(|meaning| meaning.parse::<Event>().ok());
                for word in [&code.code, &code.zh] {
                    if let Some(event) = event {
                        column.events.entry(word.clone()).or_insert(event);
                    } else if !column.events.contains_key(word) {
                        column.by_status.push(word.clone());
                    }
                }
            }
        }
    }
}

/// `expired` is computed when answering: such a row is a valid record whose last day has passed.
fn status_of(meaning: &str) -> Option<Status> {
    if meaning == "expired" { Some(Status::Valid) } else { meaning.parse().ok() }
}

fn heading_of(dialect: &Dialect, path: &str) -> Option<String> {
    dialect.headings.iter().find(|heading| heading.field.as_deref() == Some(path)).map(|known| known.heading.clone())
}

fn table_of<'a>(dialect: &'a Dialect, column: &str) -> Option<&'a str> {
    dialect.headings.iter().find(|heading| heading.heading == column)?.table.as_deref()
}

/// Codes and their Chinese names → what they map to, or the code itself in a table that maps nothing.
pub(crate) fn words(table: &CodeTable) -> Vec<(String, String)> {
    let maps = table.codes.iter().any(|code| code.maps_to.is_some());
    if maps {
        return mapped_words(table);
    }
    let both = |code: &weft_record::catalogue::Code| {
        [(code.code.clone(), code.code.clone()), (code.zh.clone(), code.code.clone())]
    };
    table.codes.iter().flat_map(both).collect()
}

fn mapped_words(table: &CodeTable) -> Vec<(String, String)> {
    let mapped = table.codes.iter().filter_map(|code| Some((code, code.maps_to.clone()?)));
    mapped.flat_map(|(code, to)| [(code.code.clone(), to.clone()), (code.zh.clone(), to)]).collect()
}

fn extend(dictionary: &mut BTreeMap<String, String>, words: impl IntoIterator<Item = (String, String)>) {
    for (word, meaning) in words {
        dictionary.entry(word).or_insert(meaning);
    }
}
