//! How a source that is no file is pointed at: `postgres://user@host:port/database`, `mysql://…`, `sqlite:FILE`,
//! `odbc:DRIVER;server=…;database=…;user=…`, `https://…`. A password is never part of it: command lines are seen by others.

use std::{collections::BTreeMap, path::PathBuf};

use reqwest::Url;
use serde_json::json;

use super::{
    database::{self, TIMEOUT_S, wrong},
    interface,
    sample::{Error, Sample},
};
use crate::source::{odbc::OdbcConfig, rest::RestConfig, sql::SqlConfig};

/// What an address does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The schema of the tables.
    pub schema: Option<String>,
    /// Tables and views; all without any.
    pub tables: Vec<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// How the connection to a database is protected: `verify`, `encrypt`, `off`.
    pub tls: Option<String>,
    /// Certificates of the authority that vouches for the server.
    pub ca_file: Option<PathBuf>,
    /// How text is fetched from an ODBC driver: `wide`, `utf8`, `gbk`.
    pub encoding: Option<String>,
    /// The helper for ODBC.
    pub helper: Option<PathBuf>,
    /// Networks and addresses at which an interface may be asked.
    pub allow: Vec<String>,
    /// A file with an interface's secret.
    pub secret_file: Option<PathBuf>,
    /// The header that carries it.
    pub secret_header: Option<String>,
}

/// A source that is no file in a folder.
#[derive(Clone, Debug)]
pub enum Address {
    /// A database.
    Sql(Box<SqlConfig>),
    /// A database behind an ODBC driver.
    Odbc(Box<OdbcConfig>),
    /// An interface.
    Rest(Box<RestConfig>),
}

impl Address {
    /// Reads an address; nothing where the text is the path of a file.
    ///
    /// # Errors
    /// It is an address, and it is wrong.
    pub fn parse(text: &str, options: &Options) -> Result<Option<Self>, Error> {
        let Some((scheme, rest)) = text.split_once(':') else { return Ok(None) };
        Ok(Some(match scheme {
            "postgres" | "postgresql" | "mysql" | "mariadb" => Self::Sql(Box::new(server(scheme, text, options)?)),
            "sqlite" => Self::sqlite(&PathBuf::from(rest), options)?,
            "odbc" => Self::Odbc(Box::new(driver(rest, options)?)),
            "http" | "https" => Self::Rest(Box::new(interface(text, options)?)),
            _ => return Ok(None),
        }))
    }

    /// A file of SQLite.
    ///
    /// # Errors
    /// The options do not fit.
    pub fn sqlite(file: &std::path::Path, options: &Options) -> Result<Self, Error> {
        let config = json!({"engine": "sqlite", "file": file, "table": "?", "schema": options.schema,
            "statement_timeout_s": TIMEOUT_S});
        sql(config).map(|config| Self::Sql(Box::new(config)))
    }

    /// The tables of the database that are named in `options`, or all; an interface's first answer.
    ///
    /// # Errors
    /// It cannot be reached or read, or holds nothing.
    pub async fn samples(&self, options: &Options) -> Result<Vec<Sample>, Error> {
        match self {
            Self::Sql(config) => database::of_sql(config, &options.tables).await,
            Self::Odbc(config) => database::of_odbc(config, &options.tables).await,
            Self::Rest(config) => interface::of_rest(config).await,
        }
    }
}

fn server(scheme: &str, text: &str, options: &Options) -> Result<SqlConfig, Error> {
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if url.password().is_some() {
        return Err(wrong("a password does not belong on a command line: name a file with --password-file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("further settings have options of their own"));
    }
    let plain = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    sql(json!({
        "engine": if scheme.starts_with("postgres") { "postgres" } else { scheme },
        "host": url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']')),
        "port": url.port(),
        "user": plain(url.username()),
        "database": plain(url.path().trim_matches('/')),
        "schema": options.schema,
        "table": "?",
        "password_file": options.password_file,
        "tls": options.tls.as_deref().unwrap_or("verify"),
        "ca_file": options.ca_file,
        "statement_timeout_s": TIMEOUT_S,
    }))
}

fn sql(config: serde_json::Value) -> Result<SqlConfig, Error> {
    let config: SqlConfig = serde_json::from_value(config).map_err(|error| wrong(error.to_string()))?;
    config.verify(str::to_owned).map_err(|error| wrong(error.to_string()))?;
    Ok(config)
}

fn driver(text: &str, options: &Options) -> Result<OdbcConfig, Error> {
    let mut parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let driver = parts.next().unwrap_or_default();
    let (mut connection, mut user) = (BTreeMap::new(), None);
    for part in parts {
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(format!("{part}: name=value belongs here")))?;
        match name.trim().to_lowercase().as_str() {
            "uid" | "user" => user = Some(value.trim().to_owned()),
            "pwd" | "password" => {
                return Err(wrong("a password does not belong on a command line: name a file with --password-file"));
            }
            name => drop(connection.insert(name.to_owned(), value.trim().to_owned())),
        }
    }
    let config = json!({"driver": driver, "connection": connection, "user": user, "password_file": options.password_file,
        "encoding": options.encoding.as_deref().unwrap_or("wide"), "schema": options.schema, "table": "?",
        "helper": options.helper, "statement_timeout_s": TIMEOUT_S});
    let config: OdbcConfig = serde_json::from_value(config).map_err(|error| wrong(error.to_string()))?;
    config.verify(str::to_owned).map_err(|error| wrong(error.to_string()))?;
    Ok(config)
}

fn interface(url: &str, options: &Options) -> Result<RestConfig, Error> {
    let config = json!({"url": url, "allow": options.allow, "plain_http": url.starts_with("http:"),
        "ca_file": options.ca_file, "secret_file": options.secret_file, "secret_header": options.secret_header});
    let config: RestConfig = serde_json::from_value(config).map_err(|error| wrong(error.to_string()))?;
    config.verify().map_err(|(key, what)| wrong(format!("{key}: {what}")))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { allow: vec!["10.1.2.3".into()], ..Options::default() }
    }

    fn refused(text: &str) -> String {
        match Address::parse(text, &options()) {
            Err(Error::Io(error)) => error.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_taken_and_paths_are_none() {
        let Ok(Some(Address::Sql(sql))) = Address::parse("postgres://reader@10.1.2.3:5433/licensing", &options())
        else {
            panic!()
        };
        assert_eq!(
            (sql.host.as_deref(), sql.port, sql.user.as_deref()),
            (Some("10.1.2.3"), Some(5433), Some("reader"))
        );
        assert_eq!(sql.database.as_deref(), Some("licensing"));
        let Ok(Some(Address::Odbc(odbc))) = Address::parse("odbc:Oracle 23;dbq=//db:1521/ORCL;UID=reader", &options())
        else {
            panic!()
        };
        assert_eq!((odbc.driver.as_str(), odbc.user.as_deref()), ("Oracle 23", Some("reader")));
        assert_eq!(odbc.connection["dbq"], "//db:1521/ORCL");
        assert!(matches!(Address::parse("sqlite:old.db", &options()), Ok(Some(Address::Sql(_)))));
        assert!(matches!(Address::parse("http://10.1.2.3/licences", &options()), Ok(Some(Address::Rest(_)))));
        for path in ["drop/台账.csv", "C:\\x.csv", "a:b.csv"] {
            assert!(matches!(Address::parse(path, &options()), Ok(None)), "{path}");
        }
    }

    #[test]
    fn a_password_and_what_is_admitted_nowhere_are_refused() {
        for (text, told) in [
            ("postgres://reader:s3cret@db/licensing", "--password-file"),
            ("odbc:Oracle;dbq=x;pwd=s3cret", "--password-file"),
            ("odbc:Oracle;loadext=x", "not among those admitted"),
            ("odbc:Oracle;x", "name=value"),
            ("postgres://db/licensing?sslmode=disable", "options of their own"),
            ("postgres://db", "is needed"),
            ("http://10.9.9.9/licences", "not within rest.allow"),
        ] {
            let said = refused(text);
            assert!(said.contains(told) && !said.contains("s3cret"), "{text}: {said}");
        }
    }
}
