//! `[source.sql]`: a table or view of PostgreSQL, MySQL, MariaDB or SQLite.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Error, wrong},
    source::table::{Reading, Watermark},
};

/// A table or view. There is no key for SQL text: what is read is named, and found in the database's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// The kind of database.
    pub engine: Engine,
    /// The server: a name, an address, or the path of a socket. Not for SQLite.
    pub host: Option<String>,
    /// Its port; the engine's usual one by default.
    pub port: Option<u16>,
    /// The database's name. Not for SQLite.
    pub database: Option<String>,
    /// SQLite's file.
    pub file: Option<PathBuf>,
    /// The account; one that can only read.
    pub user: Option<String>,
    /// A file with the account's password, readable by the adapter's user alone.
    pub password_file: Option<PathBuf>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// Certificates (PEM) of the authority that vouches for the server.
    pub ca_file: Option<PathBuf>,
    /// Takes `tls = "off"` to another machine, where the password and the records cross the network in the clear.
    #[serde(default)]
    pub plain_text: bool,
    /// The schema; PostgreSQL: `public`, MySQL: the database, by default.
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
}

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL or MariaDB.
    #[serde(alias = "mariadb")]
    MySql,
    /// A file of SQLite.
    Sqlite,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Encrypted, and the server proves its name.
    #[default]
    Verify,
    /// Encrypted, to whoever answers.
    Encrypt,
    /// In the clear: for a socket, or for a server on the same machine.
    Off,
}

pub(in crate::source) fn default_unit_rows() -> u64 {
    100_000
}

pub(in crate::source) fn default_statement_timeout_s() -> u64 {
    120
}

impl SqlConfig {
    /// Takes relative paths from `base`.
    pub(crate) fn root(&mut self, base: &Path) {
        for path in [&mut self.file, &mut self.password_file, &mut self.ca_file].into_iter().flatten() {
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
        let at = |key: &str| at(&format!("sql.{key}"));
        let server = [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("database", self.database.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
        ];
        if self.engine == Engine::Sqlite {
            if let Some((key, _)) = server.into_iter().find(|(_, given)| *given) {
                return Err(wrong(at(key), "SQLite has no server; name its file"));
            }
            if self.file.is_none() {
                return Err(wrong(at("file"), "name SQLite's file"));
            }
        } else {
            if self.file.is_some() {
                return Err(wrong(at("file"), "is for SQLite"));
            }
            let needed = ["host", "database", "user"];
            if let Some((key, _)) = server.into_iter().find(|(key, given)| needed.contains(key) && !given) {
                return Err(wrong(at(key), "is needed"));
            }
        }
        if let Some(host) = &self.host {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
            if !host.starts_with('/') && (host.is_empty() || !host.chars().all(plain)) {
                return Err(wrong(
                    at("host"),
                    "a name, an address or the path of a socket; options have keys of their own",
                ));
            }
        }
        if self.tls == Tls::Off && !self.plain_text && self.host.as_deref().is_some_and(|host| !is_here(host)) {
            let what = "\"off\" sends the password and the records over the network in the clear; use \"verify\" with ca_file, \
                        or say plain_text = true where the network is protected otherwise";
            return Err(wrong(at("tls"), what));
        }
        self.reading().verify(at)
    }
}

/// A socket, or an address of this machine.
fn is_here(host: &str) -> bool {
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    host.starts_with('/') || host.eq_ignore_ascii_case("localhost") || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<SqlConfig, String> {
        let config: SqlConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.verify(|key| key.to_owned()).map_err(|error| error.to_string())?;
        Ok(config)
    }

    const SERVER: &str = "engine = \"postgres\"\nhost = \"db\"\ndatabase = \"d\"\nuser = \"weft\"\ntable = \"t\"\n";

    #[test]
    fn a_server_and_a_file_are_taken() {
        let config = config(SERVER).unwrap();
        assert_eq!((config.tls, config.unit_rows), (Tls::Verify, 100_000));
        assert!(super::tests::config("engine = \"sqlite\"\nfile = \"x.db\"\ntable = \"t\"").is_ok());
    }

    #[test]
    fn nothing_crosses_a_network_in_the_clear_unless_that_is_said() {
        let at =
            |host: &str, more: &str| config(&format!("{}\n{more}", SERVER.replace("\"db\"", &format!("{host:?}"))));
        for host in ["localhost", "127.0.0.1", "127.8.0.1", "::1", "/run/postgresql"] {
            at(host, "tls = \"off\"").unwrap();
        }
        for host in ["db", "10.1.2.3", "localhost.example", "127.0.0.1.example", "0.0.0.0"] {
            let error = at(host, "tls = \"off\"").unwrap_err();
            assert!(error.starts_with("sql.tls:") && error.contains("plain_text = true"), "{error}");
            at(host, "tls = \"off\"\nplain_text = true").unwrap();
            at(host, "tls = \"encrypt\"").unwrap();
        }
    }

    #[test]
    fn no_sql_and_no_options_get_in() {
        for (more, told) in [
            ("query = \"COPY (SELECT 1) TO PROGRAM 'id'\"", "unknown field `query`"),
            ("where = \"1=1\"", "unknown field `where`"),
            ("options = \"-c statement_timeout=0\"", "unknown field `options`"),
            ("url = \"postgres://db/d?sslmode=disable\"", "unknown field `url`"),
            ("file = \"x.db\"", "is for SQLite"),
            ("unit_rows = 1", "at least 2"),
            ("rows_per_second = 0", "must not be 0"),
        ] {
            let error = config(&format!("{SERVER}{more}")).unwrap_err();
            assert!(error.contains(told), "{more}: {error}");
        }
        for host in ["db?sslmode=disable", "db/d", "a b", "", "user:pw@db"] {
            let error = config(&SERVER.replace("\"db\"", &format!("{host:?}"))).unwrap_err();
            assert!(error.contains("host"), "{host}: {error}");
        }
    }
}
