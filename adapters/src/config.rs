//! `adapter.toml`: which department's which sources become which record types, and where the hub is.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{coverage::Coverage, mapping::Mapping, source::file::Wanted};

/// The whole of `adapter.toml`. Relative paths are taken from the file's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The department's code, such as `market-regulation`. Must be that of the identity it joined with.
    pub department: String,
    /// The adapter's name within the department.
    pub name: String,
    /// Where identity, keys and spool are. Local disk; one adapter each.
    pub state_dir: PathBuf,
    /// API endpoints of hub instances, `https://name:port`, tried in turn. The name is what the certificate must say.
    pub hub: Vec<String>,
    /// Bounds of what the adapter holds.
    #[serde(default)]
    pub limits: Limits,
    /// What the department says that it publishes: since when, for where, back-fill finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
    /// The sources.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
}

/// Bounds of what the adapter holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Rows of one file; a longer one is refused. Reading holds 16 bytes a row.
    pub max_rows: usize,
    /// Versions that wait in the spool before reading pauses.
    pub max_waiting: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rows: 2_000_000, max_waiting: 20_000 }
    }
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name, unique within the adapter.
    pub name: String,
    /// What kind of source it is.
    pub kind: SourceKind,
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
    /// How often the folder is looked at, milliseconds.
    #[serde(default = "default_poll")]
    pub poll_ms: u64,
    /// How its rows become records.
    pub mapping: Mapping,
}

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A watched folder of CSV files.
    File,
}

fn all_csv() -> String {
    "*.csv".to_owned()
}

fn default_settle() -> u64 {
    2_000
}

fn default_poll() -> u64 {
    2_000
}

impl SourceConfig {
    /// How long a file must have rested.
    pub fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    /// How often the folder is looked at.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(50))
    }
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{} cannot be read", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// It is not TOML of this form; the message names key and line.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A value is wrong.
    #[error("{at}: {what}")]
    Value {
        /// The key.
        at: String,
        /// What is wrong.
        what: String,
    },
}

fn wrong(at: impl Into<String>, what: impl Into<String>) -> Error {
    Error::Value { at: at.into(), what: what.into() }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, has unknown keys, or a value is wrong.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::Io(path.to_owned(), error))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads a text whose relative paths are taken from `base`.
    ///
    /// # Errors
    /// It has unknown keys, or a value is wrong.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Error> {
        let mut config: Self = toml::from_str(text)?;
        config.state_dir = base.join(&config.state_dir);
        for source in &mut config.sources {
            source.folder = base.join(&source.folder);
        }
        config.verify()?;
        Ok(config)
    }

    /// Checks what the form alone does not say.
    ///
    /// # Errors
    /// A value is wrong.
    pub fn verify(&self) -> Result<(), Error> {
        if self.hub.is_empty() {
            return Err(wrong("hub", "name at least one endpoint"));
        }
        if let Some(endpoint) = self.hub.iter().find(|endpoint| crate::link::Endpoint::parse(endpoint).is_none()) {
            return Err(wrong("hub", format!("{endpoint} is not https://name:port")));
        }
        for (index, source) in self.sources.iter().enumerate() {
            let at = |key: &str| format!("source {}: {key}", source.name);
            if source.name.is_empty() || source.name.len() > 64 {
                return Err(wrong(at("name"), "1 to 64 characters"));
            }
            if self.sources[..index].iter().any(|other| other.name == source.name) {
                return Err(wrong(at("name"), "stands twice"));
            }
            if source.pattern.contains('/') || source.pattern.contains("..") {
                return Err(wrong(at("pattern"), "names files of the folder, not paths"));
            }
            let overlaps = |other: &Self| {
                let same = |a: &SourceConfig| a.folder == source.folder && a.pattern == source.pattern;
                other.sources[..index].iter().any(same)
            };
            if overlaps(self) {
                return Err(wrong(at("pattern"), "another source takes the same files"));
            }
        }
        if self.limits.max_rows == 0 || self.limits.max_waiting == 0 {
            return Err(wrong("limits", "must not be 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
department = "market-regulation"
name = "main"
state_dir = "state"
hub = ["https://hub.example:7443"]

[[source]]
name = "licences"
kind = "file"
folder = "drop"

[source.mapping]
record_type = "business-licence"
[source.mapping.fields]
uscc = { column = "统一社会信用代码" }
"#;

    #[test]
    fn paths_are_relative_to_the_file_and_defaults_hold() {
        let config = Config::parse(SMALL, Path::new("/etc/weft")).unwrap();
        assert_eq!(config.state_dir, Path::new("/etc/weft/state"));
        assert_eq!(config.sources[0].folder, Path::new("/etc/weft/drop"));
        assert_eq!((config.sources[0].pattern.as_str(), config.sources[0].encoding), ("*.csv", Wanted::Auto));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named() {
        for (from, to, told) in [
            ("name = \"main\"", "name = \"main\"\nnmae = 1", "nmae"),
            ("kind = \"file\"", "kind = \"file\"\npatern = \"x\"", "patern"),
            ("column =", "colum =", "colum"),
            ("https://hub.example:7443", "http://hub.example", "not https://name:port"),
            ("folder = \"drop\"", "folder = \"drop\"\npattern = \"../*.csv\"", "not paths"),
        ] {
            let text = SMALL.replace(from, to);
            let error = Config::parse(&text, Path::new("/")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
