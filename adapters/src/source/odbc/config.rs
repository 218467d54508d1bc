//! `[source.odbc]`: a table or view of any database that has an ODBC driver.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::protocol::Text;
use crate::{
    config::{Error, wrong},
    source::{
        sql::config::{default_statement_timeout_s, default_unit_rows},
        table::{Reading, Watermark},
    },
};

/// Attributes that say where a database is and how to speak with it. Drivers know others that run statements, load
/// libraries or write files; those are not to be had.
const ATTRIBUTES: [&str; 26] = [
    "address",
    "applicationintent",
    "charset",
    "database",
    "db",
    "dbq",
    "encrypt",
    "host",
    "hostname",
    "hostnameincertificate",
    "instance",
    "locale",
    "network",
    "port",
    "protocol",
    "readonly",
    "server",
    "server_name",
    "servername",
    "service",
    "sid",
    "sslca",
    "sslmode",
    "tcp_port",
    "tds_version",
    "trustservercertificate",
];

/// A table or view. There is no key for SQL text or for a whole connection string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OdbcConfig {
    /// The driver's name in `odbcinst.ini`.
    pub driver: String,
    /// Where the database is, in the driver's own words: `server`, `port`, `database`, `dbq` …
    #[serde(default)]
    pub connection: BTreeMap<String, String>,
    /// The account; one that can only read.
    pub user: Option<String>,
    /// A file with the account's password, readable by the adapter's user alone.
    pub password_file: Option<PathBuf>,
    /// How text goes to the driver and comes from it: `wide` (UTF-16), `utf8` or `gbk`.
    #[serde(default)]
    pub encoding: Text,
    /// The schema (Oracle: the owner); needed where the table's name is not unique.
    pub schema: Option<String>,
    /// The table or view.
    pub table: String,
    /// Columns that tell apart rows of equal watermark.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column that grows with every change. Without it the whole table is read each time, and what is not in it
    /// any more has vanished.
    pub watermark: Option<Watermark>,
    /// Rows of one unit, with a watermark.
    #[serde(default = "default_unit_rows")]
    pub unit_rows: u64,
    /// A statement is given up after so many seconds.
    #[serde(default = "default_statement_timeout_s")]
    pub statement_timeout_s: u64,
    /// Rows read a second at most.
    pub rows_per_second: Option<u32>,
    /// The helper program; `weft-odbc` beside the adapter's own by default.
    pub helper: Option<PathBuf>,
}

impl OdbcConfig {
    /// Takes relative paths from `base`.
    pub(crate) fn root(&mut self, base: &Path) {
        for path in [&mut self.password_file, &mut self.helper].into_iter().flatten() {
            *path = base.join(&*path);
        }
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading {
            schema: self.schema.clone(),
            table: self.table.clone(),
            key: self.key.clone(),
            watermark: self.watermark.clone(),
            unit_rows: self.unit_rows,
            statement_timeout_s: self.statement_timeout_s,
            rows_per_second: self.rows_per_second,
        }
    }

    /// Checks what the form alone does not say; `at` names a key.
    pub(crate) fn verify(&self, at: impl Fn(&str) -> String) -> Result<(), Error> {
        let at = |key: &str| at(&format!("odbc.{key}"));
        let plain = |text: &str| !text.is_empty() && !text.contains(['{', '}', ';', '=', '\0', '\n', '\r']);
        if !plain(&self.driver) || self.driver.contains('/') {
            return Err(wrong(at("driver"), "the driver's name in odbcinst.ini, not a path"));
        }
        for (name, value) in &self.connection {
            let at = at(&format!("connection.{name}"));
            if !ATTRIBUTES.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(wrong(at, format!("not among those admitted: {}", ATTRIBUTES.join(", "))));
            }
            if !plain(value) {
                return Err(wrong(at, "one value; further options have keys of their own"));
            }
        }
        self.reading().verify(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<(), String> {
        let config: OdbcConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.verify(|key| key.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn attributes_that_do_more_than_find_the_database_are_refused() {
        let plain = "driver = \"Oracle\"\ntable = \"V_LICENCE\"\nconnection = { dbq = \"//db:1521/ORCL\" }\n";
        config(plain).unwrap();
        for (from, to, told) in [
            ("dbq =", "ConnSettings =", "not among those admitted"),
            ("dbq =", "LoadExt =", "not among those admitted"),
            ("dbq =", "pwd =", "not among those admitted"),
            ("dbq =", "dsn =", "not among those admitted"),
            ("ORCL\"", "ORCL;ConnSettings=drop table x\"", "one value"),
            ("\"Oracle\"", "\"/tmp/evil.so\"", "not a path"),
            ("\"Oracle\"", "\"Oracle};DSN={x\"", "not a path"),
            ("table =", "query = \"COPY x TO PROGRAM 'id'\"\ntable =", "unknown field `query`"),
        ] {
            let error = config(&plain.replace(from, to)).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
        }
    }
}
