//! The record types, code tables and service items that a deployment knows, compiled once.
//!
//! Everything comes from `schemas/`: compiled in as the default, or handed over as texts at run time. Nothing is ever
//! fetched: a `$ref` resolves to `weft:` names of the same catalogue or is refused.

mod check;
mod compatible;
mod definition;
mod item;
mod record_type;
mod schema;
mod table;
mod wording;

pub use compatible::{Incompatibility, compatible};
pub use definition::{
    By, Cardinality, Definition, Display, Field, FieldRule, HolderRule, Sensitivity, Share, Slots, Text, TypeCode,
    Validity, ValidityRule,
};
pub use item::{
    Alternative, Conditions, DayKind, FieldCondition, Party, PartyKind, Promise, RecordAlternative, Relation, Release,
    Requirement, ServiceItem, Take, TimeLimit,
};
pub use record_type::{RecordType, effective_event};
pub use schema::SchemaError;
pub use table::{Code, CodeTable, Dialect, DialectScheme, Heading};

use crate::identifier::Tolerance;
use include_dir::{Dir, DirEntry, include_dir};
use schema::Documents;
use std::collections::BTreeMap;
use std::sync::Arc;

static DEFAULT_FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../schemas");

/// Why a catalogue is not loaded: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Error {
    /// The file's path below `schemas/`.
    pub path: String,
    /// What is wrong.
    #[source]
    pub problem: Fault,
}

/// What can be wrong with a file of the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The TOML does not have the form that is asked for.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// The JSON Schema is not taken.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Parts that must agree do not.
    #[error("{0}")]
    Inconsistent(String),
    /// A file that the other needs is not there.
    #[error("{0} is missing")]
    Missing(String),
}

/// What a deployment knows of record types, code tables and service items.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    documents: Documents,
    types: BTreeMap<(String, u32), Arc<RecordType>>,
    tables: BTreeMap<String, Arc<CodeTable>>,
    dialects: BTreeMap<String, Arc<Dialect>>,
    items: BTreeMap<String, Arc<ServiceItem>>,
    /// `None` is test mode.
    tolerance: Option<Tolerance>,
}

impl Catalogue {
    /// The catalogue that is compiled in.
    ///
    /// # Errors
    /// One of the compiled-in files is wrong, which the tests of this crate exclude.
    pub fn builtin() -> Result<Self, Error> {
        Self::from_files(Self::builtin_files())
    }

    /// The files that are compiled in, by their path below `schemas/`.
    pub fn builtin_files() -> impl Iterator<Item = (&'static str, &'static str)> {
        let mut files = Vec::new();
        collect(&DEFAULT_FILES, &mut files);
        files.into_iter()
    }

    /// A catalogue of the given files, in test mode for identifiers (see [`Catalogue::with_tolerance`]). Examples and
    /// texts for people (`examples/`, `*.md`) are passed over; any other file that has no place is refused.
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn from_files<P, T>(files: impl IntoIterator<Item = (P, T)>) -> Result<Self, Error>
    where
        P: AsRef<str>,
        T: AsRef<str>,
    {
        let files: BTreeMap<String, String> =
            files.into_iter().map(|(path, text)| (path.as_ref().to_owned(), text.as_ref().to_owned())).collect();
        let mut catalogue = Self::default();
        for (path, text) in files.iter().filter(|(path, _)| path.starts_with("common/")) {
            let added = catalogue.documents.add(text);
            added.map_err(|error| Error { path: path.clone(), problem: error.into() })?;
        }
        for (path, text) in &files {
            let loaded = catalogue.load_file(&files, path, text);
            loaded.map_err(|problem| Error { path: path.clone(), problem })?;
        }
        // Items name types and one another, so they are judged when all are there.
        if let Some((item, broken)) = catalogue.broken_items().into_iter().next() {
            let found = files.iter().find(|(path, text)| is_file_of_item(path, text, &item));
            let path = found.map_or(item, |(path, _)| path.clone());
            return Err(Error { path, problem: Fault::Inconsistent(broken) });
        }
        Ok(catalogue)
    }

    fn load_file(&mut self, files: &BTreeMap<String, String>, path: &str, text: &str) -> Result<(), Fault> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["record-types", folder, "type.toml"] => self.load_type(files, folder, text),
            ["record-types", folder, name] if name.ends_with(".schema.json") => {
                let definition = format!("record-types/{folder}/type.toml");
                if files.contains_key(&definition) { Ok(()) } else { Err(Fault::Missing(definition)) }
            }
            ["code-tables", name] => {
                let table = CodeTable::parse(text)?;
                named_like_file(&table.table, name)?;
                self.tables.insert(table.table.clone(), Arc::new(table));
                Ok(())
            }
            ["dialects", name] => {
                let dialect = Dialect::parse(text)?;
                named_like_file(&dialect.dialect, name)?;
                self.dialects.insert(dialect.dialect.clone(), Arc::new(dialect));
                Ok(())
            }
            ["service-items", name] => {
                let item = ServiceItem::parse(text)?;
                named_like_file(&format!("{:02}-{}", item.number, item.item), name)?;
                self.items.insert(item.item.clone(), Arc::new(item));
                Ok(())
            }
            ["common", _] | ["record-types", _, "examples", _] => Ok(()),
            _ if path.ends_with(".md") => Ok(()),
            _ => Err(Fault::Inconsistent("a file of this name has no place here".to_owned())),
        }
    }

    fn load_type(&mut self, files: &BTreeMap<String, String>, folder: &str, text: &str) -> Result<(), Fault> {
        let definition: Definition = toml::from_str(text)?;
        if definition.name != folder {
            return Err(Fault::Inconsistent(format!("type is {:?}, the folder {folder:?}", definition.name)));
        }
        let name = format!("record-types/{folder}/v{}.schema.json", definition.version);
        let schema = files.get(&name).ok_or(Fault::Missing(name))?;
        self.insert(RecordType::new(definition, schema, &self.documents)?);
        Ok(())
    }

    fn insert(&mut self, record_type: RecordType) {
        let key = (record_type.definition.name.clone(), record_type.definition.version);
        self.types.insert(key, Arc::new(record_type));
    }

    /// A record type as this catalogue would take it.
    ///
    /// # Errors
    /// What is wrong with either text.
    pub fn read_type(&self, type_toml: &str, schema: &str) -> Result<RecordType, Fault> {
        let record_type = RecordType::new(toml::from_str(bounded(type_toml)?)?, schema, &self.documents)?;
        Ok(self.tolerance.map_or(record_type.clone(), |tolerance| record_type.with_tolerance(tolerance)))
    }

    /// This catalogue with one more record type, or one more version of one: registration at run time.
    ///
    /// What it would break is told by [`compatible()`] and by [`Catalogue::broken_items`] of the result.
    ///
    /// # Errors
    /// What is wrong with either text.
    pub fn with_type(&self, type_toml: &str, schema: &str) -> Result<Self, Fault> {
        let record_type = self.read_type(type_toml, schema)?;
        let mut catalogue = self.clone();
        catalogue.insert(record_type);
        Ok(catalogue)
    }

    /// This catalogue with one more service item, or another form of one: registration at run time.
    ///
    /// # Errors
    /// What is wrong with the text, or what it names that is not here.
    pub fn with_item(&self, text: &str) -> Result<Self, Fault> {
        let item = ServiceItem::parse(bounded(text)?)?;
        let mut catalogue = self.clone();
        let name = item.item.clone();
        catalogue.items.insert(name.clone(), Arc::new(item));
        match catalogue.broken_items().into_iter().find(|(broken, _)| *broken == name) {
            Some((_, broken)) => Err(Fault::Inconsistent(broken)),
            None => Ok(catalogue),
        }
    }

    /// The service items that name what this catalogue lacks, each with the first thing that is lacking.
    #[must_use]
    pub fn broken_items(&self) -> Vec<(String, String)> {
        let judge = |item: &Arc<ServiceItem>| {
            let record_type = |name: &str| self.record_type(name).map(Arc::as_ref);
            let broken = item.agree_with(record_type, |name| self.items.contains_key(name)).err()?;
            Some((item.item.clone(), broken))
        };
        self.items.values().filter_map(judge).collect()
    }

    /// This catalogue with another tolerance for identifiers: a deployment with real data takes
    /// [`Tolerance::LIVE`].
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = Some(tolerance);
        for record_type in self.types.values_mut() {
            *record_type = Arc::new(record_type.with_tolerance(tolerance));
        }
        self
    }

    /// Every record type, each in its highest version, by name.
    pub fn record_types(&self) -> impl Iterator<Item = &Arc<RecordType>> {
        let mut highest: BTreeMap<&str, &Arc<RecordType>> = BTreeMap::new();
        // Keys come in order of version, so the last one of a name stays.
        for ((name, _), record_type) in &self.types {
            highest.insert(name, record_type);
        }
        highest.into_values()
    }

    /// The highest version of a record type.
    #[must_use]
    pub fn record_type(&self, name: &str) -> Option<&Arc<RecordType>> {
        let versions = (name.to_owned(), 0)..=(name.to_owned(), u32::MAX);
        self.types.range(versions).next_back().map(|(_, record_type)| record_type)
    }

    /// One version of a record type.
    #[must_use]
    pub fn record_type_version(&self, name: &str, version: u32) -> Option<&Arc<RecordType>> {
        self.types.get(&(name.to_owned(), version))
    }

    /// The record type that a `vct` names: `https://<hub's public name>/types/<type>/v<version>`. Whose name stands
    /// before `/types/` is for the caller to check.
    #[must_use]
    pub fn record_type_of_vct(&self, vct: &str) -> Option<&Arc<RecordType>> {
        let (_, path) = vct.split_once("/types/")?;
        let (name, version) = path.split_once("/v")?;
        let plain = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
        if !plain {
            return None;
        }
        self.record_type_version(name, version.parse().ok()?)
    }

    /// A code table by its name, such as `divisions`.
    #[must_use]
    pub fn code_table(&self, name: &str) -> Option<&Arc<CodeTable>> {
        self.tables.get(name)
    }

    /// Every code table, by name.
    pub fn code_tables(&self) -> impl Iterator<Item = &Arc<CodeTable>> {
        self.tables.values()
    }

    /// A service item by its name, such as `house-transfer-registration`.
    #[must_use]
    pub fn service_item(&self, name: &str) -> Option<&Arc<ServiceItem>> {
        self.items.get(name)
    }

    /// Every service item, by name.
    pub fn service_items(&self) -> impl Iterator<Item = &Arc<ServiceItem>> {
        self.items.values()
    }

    /// A dialect by its name, such as `gbt36903`.
    #[must_use]
    pub fn dialect(&self, name: &str) -> Option<&Arc<Dialect>> {
        self.dialects.get(name)
    }

    /// Every dialect, by name.
    pub fn dialects(&self) -> impl Iterator<Item = &Arc<Dialect>> {
        self.dialects.values()
    }
}

/// A text that someone registers is no longer than this, in bytes.
const MAX_REGISTERED: usize = 256 * 1024;

fn bounded(text: &str) -> Result<&str, Fault> {
    if text.len() <= MAX_REGISTERED {
        Ok(text)
    } else {
        Err(Fault::Inconsistent(format!("the text is longer than {MAX_REGISTERED} bytes")))
    }
}

fn named_like_file(name: &str, file: &str) -> Result<(), Fault> {
    if file.strip_suffix(".toml") == Some(name) {
        Ok(())
    } else {
        Err(Fault::Inconsistent(format!("the file is to be named {name}.toml")))
    }
}

fn is_file_of_item(path: &str, text: &str, item: &str) -> bool {
    path.starts_with("service-items/") && ServiceItem::parse(text).is_ok_and(|parsed| parsed.item == item)
}

fn collect(dir: &'static Dir<'static>, files: &mut Vec<(&'static str, &'static str)>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, files),
            DirEntry::File(file) => {
                // A path or text that is not UTF-8 is no file of ours.
                if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
                    files.push((path, text));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
