//! Where a source is, as its configuration says it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    propose::Proposal,
    sample::Table,
    watermark,
    write::{comment, percent, quoted, word},
};
use crate::source::{
    file::Format,
    odbc::OdbcConfig,
    rest::RestConfig,
    sql::{SqlConfig, Tls},
    table::Reading,
};

/// How often a table is looked at by its watermark, and how often one is read whole, milliseconds.
const LOOK_MS: u64 = 60_000;
const WHOLE_MS: u64 = 3_600_000;

/// Where a source is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder.
    File(FilePlace),
    /// A table or view.
    Sql(Box<SqlConfig>),
    /// A table or view behind an ODBC driver.
    Odbc(Box<OdbcConfig>),
    /// An interface.
    Rest(Box<RestConfig>),
}

/// Files of a folder.
#[derive(Clone, Debug, Default)]
pub struct FilePlace {
    /// The folder, as the configuration names it.
    pub folder: String,
    /// Which files of it.
    pub pattern: String,
    pub(super) format: Option<Format>,
    pub(super) records: String,
    pub(super) sheet: Option<String>,
    /// The headings of columns in which formulas stand.
    pub(super) formulas: Vec<String>,
}

impl Place {
    /// The sheet or table, where the place has more than one.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        match self {
            Self::File(file) => file.sheet.as_deref(),
            Self::Sql(sql) => Some(&sql.table),
            Self::Odbc(odbc) => Some(&odbc.table),
            Self::Rest(_) => None,
        }
    }

    /// Names files as seen from the configuration's folder.
    pub fn relocate(&mut self, seen: impl Fn(&Path) -> PathBuf) {
        let paths: Vec<&mut Option<PathBuf>> = match self {
            Self::File(_) => Vec::new(),
            Self::Sql(sql) => vec![&mut sql.file, &mut sql.password_file, &mut sql.ca_file],
            Self::Odbc(odbc) => vec![&mut odbc.password_file, &mut odbc.helper],
            Self::Rest(rest) => vec![&mut rest.ca_file, &mut rest.secret_file],
        };
        for path in paths.into_iter().flatten() {
            *path = seen(path);
        }
    }

    /// The lines of a source that say where it is and how often it is looked at.
    #[must_use]
    pub fn lines(&self, table: &Table, proposal: &Proposal) -> String {
        match self {
            Self::File(file) => file.lines(proposal),
            Self::Sql(sql) => {
                let mut keys = vec![("engine", word(&sql.engine))];
                keys.extend([("host", text(&sql.host)), ("port", sql.port.map(|port| port.to_string()))]);
                keys.extend([("database", text(&sql.database)), ("file", path(&sql.file)), ("user", text(&sql.user))]);
                keys.push(("password_file", path(&sql.password_file)));
                keys.push(("tls", Some(&sql.tls).filter(|tls| **tls != Tls::Verify).and_then(word)));
                keys.push(("ca_file", path(&sql.ca_file)));
                of_table("sql", &keys, &sql.reading(), table, proposal)
            }
            Self::Odbc(odbc) => {
                let attributes = odbc.connection.iter().map(|(name, value)| format!("{name} = {}", quoted(value)));
                let connection = format!("{{ {} }}", attributes.collect::<Vec<_>>().join(", "));
                let mut keys = vec![("driver", Some(quoted(&odbc.driver))), ("connection", Some(connection))];
                keys.extend([("user", text(&odbc.user)), ("password_file", path(&odbc.password_file))]);
                keys.push((
                    "encoding",
                    Some(&odbc.encoding).filter(|text| **text != Default::default()).and_then(word),
                ));
                keys.push(("helper", path(&odbc.helper)));
                of_table("odbc", &keys, &odbc.reading(), table, proposal)
            }
            Self::Rest(rest) => of_rest(rest),
        }
    }
}

impl FilePlace {
    fn lines(&self, proposal: &Proposal) -> String {
        let mut out = format!("[source.file]\nfolder = {}\npattern = {}", quoted(&self.folder), quoted(&self.pattern));
        let keys = [
            ("format", self.format.as_ref().and_then(word)),
            ("records", Some(&self.records).filter(|records| !records.is_empty()).map(|records| quoted(records))),
            ("sheet", self.sheet.as_ref().map(|sheet| format!("{{ name = {} }}", quoted(sheet)))),
        ];
        add(&mut out, &keys);
        let used = |heading: &&String| proposal.choices.iter().any(|choice| choice.column.as_ref() == Some(heading));
        let computed: Vec<String> = self.formulas.iter().filter(used).map(|heading| comment(heading)).collect();
        if !computed.is_empty() {
            let _ = write!(
                out,
                "\n# 下列列含公式，保存的结果可能已过时；确认可用后允许 · these columns have formulas, whose saved results may be \
                 stale; once sure of them allow them with sheet.formulas = true: {}",
                computed.join("、")
            );
        }
        out
    }
}

type Keys<'a> = [(&'a str, Option<String>)];

fn add(out: &mut String, keys: &Keys<'_>) {
    for (key, value) in keys {
        if let Some(value) = value {
            let _ = write!(out, "\n{key} = {value}");
        }
    }
}

fn text(text: &Option<String>) -> Option<String> {
    text.as_deref().map(quoted)
}

fn path(path: &Option<PathBuf>) -> Option<String> {
    path.as_deref().map(|path| quoted(&path.to_string_lossy()))
}

fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    format!("[{}]", texts.into_iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", "))
}

fn of_table(kind: &str, keys: &Keys<'_>, reading: &Reading, table: &Table, proposal: &Proposal) -> String {
    let grows = watermark::of(table, proposal);
    let every = if grows.is_some() { LOOK_MS } else { WHOLE_MS };
    let mut out = format!("poll_ms = {every}\n[source.{kind}]");
    add(&mut out, keys);
    add(&mut out, &[("schema", text(&reading.schema)), ("table", Some(quoted(&reading.table)))]);
    match grows {
        Some(grows) => {
            let key = watermark::key(table, proposal);
            if !key.is_empty() {
                add(&mut out, &[("key", Some(list(key)))]);
            }
            let _ = write!(
                out,
                "\nwatermark = {{ column = {}, kind = {} }}  # {}；{} · {}",
                quoted(&grows.column),
                word(&grows.kind).unwrap_or_default(),
                percent(grows.confidence),
                grows.why.0,
                grows.why.1
            );
        }
        None => out.push_str(
            "\n# 未见随每次修改增长的列：每次整表读取并比较；如有，请加 watermark · no column is seen that grows with every change: \
             the whole is read and compared each time; if there is one, name it as watermark",
        ),
    }
    out
}

fn of_rest(rest: &RestConfig) -> String {
    fn json<T: Serialize>(value: &T) -> Option<String> {
        serde_json::to_string(value).ok()
    }
    let mut out = format!("poll_ms = {LOOK_MS}\n[source.rest]");
    let told = |flag: bool| Some("true".to_owned()).filter(|_| flag);
    add(
        &mut out,
        &[
            ("url", Some(quoted(&rest.url))),
            // A list of texts in JSON is one in TOML.
            ("allow", json(&rest.allow)),
            ("plain_http", told(rest.plain_http)),
            ("ca_file", path(&rest.ca_file)),
            ("secret_file", path(&rest.secret_file)),
            ("secret_header", text(&rest.secret_header)),
            ("records", Some(&rest.records).filter(|records| !records.is_empty()).map(|records| quoted(records))),
        ],
    );
    out.push_str(
        "\n# 若应答分页，请加 page 或 cursor；若可只取变更，请加 since · if answers come in pages add page or cursor, if changes \
         alone can be asked for add since",
    );
    out
}
