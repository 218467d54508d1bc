//! `expected.toml`: what is to come of a department's samples.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The folder of the samples.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/samples")
}

/// What is to come of a department's samples.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// By source of its configuration.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// What is to come of one source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Its name in the configuration.
    pub name: String,
    pub record_type: String,
    /// The sample's file, with a word on which part of it where it has several.
    pub sample: String,
    pub rows: u64,
    pub mapped: u64,
    /// Receipts, which all are indexed.
    pub published: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// How many rows have a problem of this reason; the door's reasons as they are.
    pub reasons: BTreeMap<String, u64>,
    /// The same, of what is told beside a record that goes on its way.
    pub notes: BTreeMap<String, u64>,
    /// A few records that a window asks for.
    #[serde(rename = "record")]
    pub records: Vec<Record>,
}

/// What a window is answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// `scheme:value` of the holder that it asks about.
    pub holder: String,
    pub version: u64,
    pub status: String,
    pub valid_from: Option<String>,
    pub valid_until: Option<String>,
    /// All of its fields.
    pub fields: Map<String, Value>,
}

impl Expected {
    /// # Panics
    /// When there is none.
    pub(crate) fn of(department: &str) -> Self {
        let path = samples().join(department).join("expected.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Source {
    /// The lines of README.md that say the same.
    pub(crate) fn readme_lines(&self) -> [String; 3] {
        let Self { name, rows, mapped, published, rejected, .. } = self;
        let list = |counts: &BTreeMap<String, u64>| {
            let each: Vec<String> = counts.iter().map(|(reason, count)| format!("`{reason}` {count}")).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(" · ") }
        };
        [
            format!("| {name} | {rows} | {mapped} | {published} | {rejected} |"),
            format!("Reasons: {}", list(&self.reasons)),
            format!("Notes: {}", list(&self.notes)),
        ]
    }
}
