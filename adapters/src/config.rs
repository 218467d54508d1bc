//! `adapter.toml`: which department's which sources become which record types, and where the hub is.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    coverage::Coverage,
    hours::Hours,
    mapping::Mapping,
    source::{file::FileConfig, odbc::OdbcConfig, push::PushConfig, rest::RestConfig, sql::SqlConfig},
};

/// The kinds of source, for messages.
const KINDS: &str = "[source.file], [source.sql], [source.odbc], [source.rest], [source.push]";

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
    /// Reading pauses while the disk of the state directory has less room, MiB.
    pub min_free_mib: u64,
    /// A source is judged by so many answers of the hub at least …
    pub stop_after: u64,
    /// … and stops when so many of the last in a hundred are refusals: it would only fill the quarantine.
    pub stop_at_percent: u64,
    /// How often the hub is told how the adapter is, milliseconds.
    pub heartbeat_ms: u64,
    /// How often source and hub are compared, hours.
    pub reconcile_hours: u32,
}

impl Limits {
    /// Whether so many of so many are almost all.
    pub fn too_many(&self, all: u64, wrong: u64) -> bool {
        all >= self.stop_after && wrong.saturating_mul(100) >= all.saturating_mul(self.stop_at_percent)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rows: 2_000_000,
            max_waiting: 20_000,
            min_free_mib: 64,
            stop_after: 100,
            stop_at_percent: 90,
            heartbeat_ms: 10_000,
            reconcile_hours: 24,
        }
    }
}

/// One source: a name, exactly one kind, and how its rows become records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name, unique within the adapter.
    pub name: String,
    /// How often it is looked at, milliseconds.
    #[serde(default = "default_poll")]
    pub poll_ms: u64,
    /// When it may be read, such as `18:00-08:00`, in Asia/Shanghai; outside of these hours it rests. Empty: always.
    #[serde(default)]
    pub hours: Vec<String>,
    /// Where more of a unit's rows fail than this, of 20 at least, the source stops instead of sending any of it, percent.
    #[serde(default = "default_max_failed")]
    pub max_failed_percent: u8,
    /// A watched folder.
    pub file: Option<FileConfig>,
    /// A table or view of PostgreSQL, MySQL, MariaDB or SQLite.
    pub sql: Option<SqlConfig>,
    /// A table or view of whatever has an ODBC driver.
    pub odbc: Option<OdbcConfig>,
    /// A system that serves its records as JSON over HTTP.
    pub rest: Option<RestConfig>,
    /// An endpoint on this machine where the department's system posts its records.
    pub push: Option<PushConfig>,
    /// How its rows become records.
    pub mapping: Mapping,
}

/// The kind of a source, with its own configuration.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A watched folder.
    File(&'a FileConfig),
    /// A table or view, by the adapter itself.
    Sql(&'a SqlConfig),
    /// A table or view, by the helper for ODBC.
    Odbc(&'a OdbcConfig),
    /// Records pulled as JSON over HTTP.
    Rest(&'a RestConfig),
    /// Records posted on this machine.
    Push(&'a PushConfig),
}

fn default_max_failed() -> u8 {
    50
}

fn default_poll() -> u64 {
    2_000
}

impl SourceConfig {
    /// How often it is looked at.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(50))
    }

    /// When it may be read.
    ///
    /// # Errors
    /// A text is no span of hours.
    pub fn hours(&self) -> Result<Hours, Error> {
        Hours::parse(&self.hours, &self.at("hours"))
    }

    /// Its kind.
    ///
    /// # Errors
    /// None is given, or more than one.
    pub fn kind(&self) -> Result<Kind<'_>, Error> {
        let kinds = [
            self.file.as_ref().map(Kind::File),
            self.sql.as_ref().map(Kind::Sql),
            self.odbc.as_ref().map(Kind::Odbc),
            self.rest.as_ref().map(Kind::Rest),
            self.push.as_ref().map(Kind::Push),
        ];
        let mut given = kinds.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(kind), None) => Ok(kind),
            _ => Err(wrong(self.at(""), format!("give exactly one of {KINDS}"))),
        }
    }

    /// The name of its kind, as the configuration spells it.
    pub fn kind_name(&self) -> &'static str {
        match self.kind() {
            Ok(Kind::File(_)) => "file",
            Ok(Kind::Sql(_)) => "sql",
            Ok(Kind::Odbc(_)) => "odbc",
            Ok(Kind::Rest(_)) => "rest",
            Ok(Kind::Push(_)) => "push",
            Err(_) => "",
        }
    }

    /// Names one of its keys.
    fn at(&self, key: &str) -> String {
        if key.is_empty() { format!("source {}", self.name) } else { format!("source {}: {key}", self.name) }
    }

    fn root(&mut self, base: &Path) {
        if let Some(file) = &mut self.file {
            file.root(base);
        }
        if let Some(sql) = &mut self.sql {
            sql.root(base);
        }
        if let Some(odbc) = &mut self.odbc {
            odbc.root(base);
        }
        if let Some(rest) = &mut self.rest {
            rest.root(base);
        }
        if let Some(push) = &mut self.push {
            push.root(base);
        }
    }

    fn verify(&self) -> Result<(), Error> {
        if self.name.is_empty() || self.name.len() > 64 {
            return Err(wrong(self.at("name"), "1 to 64 characters"));
        }
        if self.max_failed_percent > 100 {
            return Err(wrong(self.at("max_failed_percent"), "0 to 100"));
        }
        self.hours()?;
        match self.kind()? {
            Kind::File(file) => file.verify(|key| self.at(key)),
            Kind::Sql(sql) => sql.verify(|key| self.at(key)),
            Kind::Odbc(odbc) => odbc.verify(|key| self.at(key)),
            Kind::Rest(rest) => rest.verify().map_err(|(key, what)| wrong(self.at(key), what)),
            Kind::Push(push) => push.verify().map_err(|(key, what)| wrong(self.at(key), what)),
        }
    }

    /// Whether both would read the same.
    fn overlaps(&self, other: &Self) -> bool {
        match (&self.file, &other.file) {
            (Some(file), Some(other)) => file.overlaps(other),
            _ => self.push.as_ref().zip(other.push.as_ref()).is_some_and(|(push, other)| push.overlaps(other)),
        }
    }
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{} cannot be read", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// It is not TOML of this form. The line is named and not shown: a secret may stand in it by mistake.
    #[error("line {line}: {what}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// What is wrong: the key, and what is known in its place.
        what: String,
    },
    /// A value is wrong.
    #[error("{at}: {what}")]
    Value {
        /// The key.
        at: String,
        /// What is wrong.
        what: String,
    },
}

pub(crate) fn wrong(at: impl Into<String>, what: impl Into<String>) -> Error {
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
        let mut config: Self = toml::from_str(text).map_err(|error| Error::Form {
            line: error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1)),
            what: error.message().to_owned(),
        })?;
        config.state_dir = base.join(&config.state_dir);
        for source in &mut config.sources {
            source.root(base);
        }
        config.verify()?;
        Ok(config)
    }

    /// SHA-256 of the configuration with all its defaults, hex.
    pub fn digest(&self) -> String {
        // Plain structs of strings and numbers always serialise.
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text))
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
            source.verify()?;
            let before = &self.sources[..index];
            if before.iter().any(|other| other.name == source.name) {
                return Err(wrong(source.at("name"), "stands twice"));
            }
            if before.iter().any(|other| other.overlaps(source)) {
                return Err(wrong(source.at(""), "another source reads the same"));
            }
        }
        let limits = &self.limits;
        let zero = [limits.max_waiting, limits.stop_after, limits.stop_at_percent, limits.heartbeat_ms].contains(&0);
        if zero || limits.max_rows == 0 || limits.reconcile_hours == 0 {
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
[source.file]
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
        let Kind::File(file) = config.sources[0].kind().unwrap() else { panic!("a folder") };
        assert_eq!(*file, FileConfig::new("/etc/weft/drop"));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named() {
        for (from, to, told) in [
            ("name = \"main\"", "name = \"main\"\nnmae = 1", "nmae"),
            ("folder = \"drop\"", "folder = \"drop\"\npatern = \"x\"", "patern"),
            ("column =", "colum =", "colum"),
            ("https://hub.example:7443", "http://hub.example", "not https://name:port"),
            ("folder = \"drop\"", "folder = \"drop\"\npattern = \"../*.csv\"", "not paths"),
            ("name = \"licences\"", "name = \"licences\"\nhours = [\"18-8\"]", "source licences: hours"),
            ("[source.file]\nfolder = \"drop\"", "", "exactly one of"),
        ] {
            let text = SMALL.replace(from, to);
            let error = Config::parse(&text, Path::new("/")).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn two_sources_have_two_names_and_read_two_things() {
        let (head, source) = SMALL.split_at(SMALL.find("[[source]]").unwrap());
        let told = |second: String| {
            Config::parse(&format!("{head}{source}{second}"), Path::new("/"))
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert!(told(source.to_owned()).unwrap_err().contains("stands twice"));
        assert!(told(source.replace("licences", "more")).unwrap_err().contains("reads the same"));
        told(source.replace("licences", "more").replace("drop", "other")).unwrap();
    }
}
