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
    #[serde(default = "all_csv")]
    pub pattern: String,
    /// Their encoding.
    #[serde(default)]
    pub encoding: Wanted,
    /// A file is taken when it has not changed for so long, milliseconds.
    #[serde(default = "default_settle")]
    pub settle_ms: u64,
    /// Every file is a whole snapshot: what is not in it has vanished.
    #[serde(default)]
    pub snapshot: bool,
}

fn all_csv() -> String {
    "*.csv".to_owned()
}

fn default_settle() -> u64 {
    2_000
}

impl FileConfig {
    /// All CSV files of `folder`, with the defaults.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            pattern: all_csv(),
            encoding: Wanted::default(),
            settle_ms: default_settle(),
            snapshot: false,
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
        Ok(())
    }

    /// Whether both would take the same files.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.folder == other.folder && self.pattern == other.pattern
    }
}
