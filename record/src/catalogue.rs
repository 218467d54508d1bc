//! The record types, code tables and service items that a deployment knows, compiled once.
//!
//! Everything comes from `schemas/`: compiled in as the default, or handed over as texts at run time. Nothing is ever
//! fetched: a `$ref` resolves to `weft:` names of the same catalogue or is refused.

mod check;
mod compatible;
mod definition;
mod record_type;
mod schema;
mod table;
mod wording;

pub use compatible::{Incompatibility, compatible};
pub use definition::{
    By, Cardinality, Definition, Display, Field, FieldRule, HolderRule, Sensitivity, Share, Slots, Text, TypeCode,
    Validity, ValidityRule,
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
            let parts: Vec<&str> = path.split('/').collect();
            let at = |problem: Fault| Error { path: path.clone(), problem };
            match parts[..] {
                ["record-types", folder, "type.toml"] => {
                    catalogue.load_type(&files, folder, text).map_err(at)?;
                }
                ["code-tables", _] => {
                    let table = CodeTable::parse(text).map_err(at)?;
                    named_like_file(&table.table, &parts).map_err(at)?;
                    catalogue.tables.insert(table.table.clone(), Arc::new(table));
                }
                ["dialects", _] => {
                    let dialect = Dialect::parse(text).map_err(at)?;
                    named_like_file(&dialect.dialect, &parts).map_err(at)?;
                    catalogue.dialects.insert(dialect.dialect.clone(), Arc::new(dialect));
                }
                ["common", _] | ["record-types", _, "examples", _] | ["service-items", _] => {}
                ["record-types", folder, name] if name.ends_with(".schema.json") => {
                    let definition = format!("record-types/{folder}/type.toml");
                    if !files.contains_key(&definition) {
                        return Err(at(Fault::Missing(definition)));
                    }
                }
                _ if path.ends_with(".md") => {}
                _ => return Err(at(Fault::Inconsistent("a file of this name has no place here".to_owned()))),
            }
        }
        Ok(catalogue)
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

    /// This catalogue with one more record type, or one more version of one: registration at run time.
    ///
    /// # Errors
    /// What is wrong with either text.
    pub fn with_type(&self, type_toml: &str, schema: &str) -> Result<Self, Fault> {
        let record_type = RecordType::new(toml::from_str(type_toml)?, schema, &self.documents)?;
        let mut catalogue = self.clone();
        catalogue.insert(record_type);
        Ok(catalogue)
    }

    /// This catalogue with another tolerance for identifiers: a deployment with real data takes
    /// [`Tolerance::LIVE`].
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Tolerance) -> Self {
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

fn named_like_file(name: &str, path: &[&str]) -> Result<(), Fault> {
    let file = path.last().copied().unwrap_or_default();
    if file == format!("{name}.toml") {
        Ok(())
    } else {
        Err(Fault::Inconsistent(format!("the file says that it is {name:?}")))
    }
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
