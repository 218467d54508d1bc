//! `[source.file]`: a watched folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Wanted;
use crate::config::{Error, wrong};

/// A watched folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The folder where files are dropped. The adapter moves them to `done/` and `failed/` in it.
    pub folder: PathBuf,
    /// Which files: `*` for any run of characters, `?` for one.
    #[serde(default = "all")]
    pub pattern: String,
    /// What the files are; `auto` goes by the end of their names, and leaves other names alone.
    #[serde(default)]
    pub format: Format,
    /// The encoding of text; workbooks name their own.
    #[serde(default)]
    pub encoding: Wanted,
    /// A file is taken when it has not changed for so long, milliseconds.
    #[serde(default = "default_settle")]
    pub settle_ms: u64,
    /// Every file is a whole snapshot: what is not in it has vanished.
    #[serde(default)]
    pub snapshot: bool,
    /// How long finished files are kept in `done/`, days.
    #[serde(default = "default_keep")]
    pub keep_days: u32,
    /// Of JSON, the names that lead to the list of records, such as `data/rows`; empty where the text is that list, or
    /// one record after the other.
    #[serde(default)]
    pub records: String,
    /// Bounds and rules of workbooks (XLSX, XLS).
    #[serde(default)]
    pub sheet: SheetConfig,
}

/// Bounds and rules of workbooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SheetConfig {
    /// The sheet's name; without it, the one sheet that has the heading.
    pub name: Option<String>,
    /// Take from a formula what it came to when the file was saved; otherwise its row is refused.
    pub formulas: bool,
    /// The largest file, MiB.
    pub max_mib: u64,
    /// The most rows.
    pub max_rows: u64,
    /// The most texts that differ from each other.
    pub max_strings: u64,
    /// What the process that reads a workbook may take of memory, MiB.
    pub memory_mib: u64,
    /// What it may take of a processor's time, seconds.
    pub cpu_seconds: u64,
}

impl Default for SheetConfig {
    fn default() -> Self {
        Self {
            name: None,
            formulas: false,
            max_mib: 256,
            max_rows: 200_000,
            max_strings: 5_000_000,
            memory_mib: 1_024,
            cpu_seconds: 120,
        }
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the end of its name.
    #[default]
    Auto,
    /// Text with cells between commas, semicolons, tabs or bars (CSV, TSV).
    Delimited,
    /// A list of JSON objects, or one after the other (JSON lines).
    Json,
    /// A workbook as Office Open XML.
    Xlsx,
    /// A workbook in the format before that.
    Xls,
}

/// Ends of names that are tables of another kind: refused, so that somebody sees them.
const OTHER_TABLES: [&str; 6] = ["xlsm", "xlsb", "xlt", "ods", "et", "dbf"];

impl Format {
    /// What a file of this name is: `None` where it is none of ours, an error where it is a table that is not read.
    pub(crate) fn of(self, name: &str) -> Option<Result<Self, String>> {
        if self != Self::Auto {
            return Some(Ok(self));
        }
        let end = name.rsplit_once('.')?.1.to_ascii_lowercase();
        match end.as_str() {
            "csv" | "tsv" | "txt" => Some(Ok(Self::Delimited)),
            "json" | "jsonl" | "ndjson" => Some(Ok(Self::Json)),
            "xlsx" => Some(Ok(Self::Xlsx)),
            "xls" => Some(Ok(Self::Xls)),
            end if OTHER_TABLES.contains(&end) => Some(Err(format!(".{end}"))),
            _ => None,
        }
    }
}

fn all() -> String {
    "*".to_owned()
}

fn default_settle() -> u64 {
    2_000
}

fn default_keep() -> u32 {
    7
}

impl FileConfig {
    /// All files of `folder` that are tables, with the defaults.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            pattern: all(),
            format: Format::default(),
            encoding: Wanted::default(),
            settle_ms: default_settle(),
            snapshot: false,
            keep_days: default_keep(),
            records: String::new(),
            sheet: SheetConfig::default(),
        }
    }

    /// How long a file must have rested.
    pub fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    /// Takes relative paths from `base`.
    pub(crate) fn root(&mut self, base: &Path) {
        self.folder = base.join(&self.folder);
    }

    /// Checks what the form alone does not say; `at` names a key.
    pub(crate) fn verify(&self, at: impl Fn(&str) -> String) -> Result<(), Error> {
        if self.pattern.contains('/') || self.pattern.contains("..") {
            return Err(wrong(at("file.pattern"), "names files of the folder, not paths"));
        }
        let sheet = &self.sheet;
        if [sheet.max_mib, sheet.max_rows, sheet.max_strings, sheet.cpu_seconds].contains(&0) || sheet.memory_mib < 64 {
            return Err(wrong(at("file.sheet"), "bounds must not be 0, and memory not below 64"));
        }
        Ok(())
    }

    /// Whether both would take the same files.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.folder == other.folder && self.pattern == other.pattern
    }
}
