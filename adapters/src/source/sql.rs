//! Tables and views of PostgreSQL, MySQL, MariaDB and SQLite.
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@config`] | the keys of `[source.sql]` |
//! | `postgres`, `mysql`, `sqlite` | a session each, that can only read |

pub mod config;
mod mysql;
mod postgres;
mod sqlite;

use std::io;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::table::{
    Database, Reading, Session,
    statement::{Column, Dialect, Table},
};
use crate::secret;
pub use config::{Engine, SqlConfig, Tls};

/// How long connecting may take.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(30);
/// Rows sent at a time.
const CHUNK_ROWS: usize = 256;

impl SqlConfig {
    fn password(&self) -> io::Result<Option<Zeroizing<String>>> {
        self.password_file.as_deref().map(secret::read).transpose()
    }
}

#[async_trait]
impl Database for SqlConfig {
    async fn connect(&self, reading: &Reading) -> io::Result<Box<dyn Session>> {
        let connected = async {
            Ok::<Box<dyn Session>, io::Error>(match self.engine {
                Engine::Postgres => Box::new(postgres::Postgres::connect(self, reading).await?),
                Engine::MySql => Box::new(mysql::MySql::connect(self, reading).await?),
                Engine::Sqlite => Box::new(sqlite::Sqlite::connect(self).await?),
            })
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time");
        tokio::time::timeout(CONNECT, connected).await.map_err(late)?
    }

    fn dialect(&self) -> Dialect {
        match self.engine {
            Engine::Postgres => Dialect::Postgres,
            Engine::MySql => Dialect::MySql,
            Engine::Sqlite => Dialect::Sqlite,
        }
    }

    fn preparation(&self, reading: &Reading) -> Vec<String> {
        match self.engine {
            Engine::Postgres => {
                vec![postgres::preparation(reading), postgres::BEGIN.into(), postgres::CATALOGUE.into()]
            }
            Engine::MySql => vec![
                mysql::PREPARATION.into(),
                mysql::timeout(reading, false),
                mysql::BEGIN.into(),
                mysql::CATALOGUE.into(),
            ],
            Engine::Sqlite => vec![sqlite::BEGIN.into(), sqlite::CATALOGUE.into(), sqlite::COLUMNS.into()],
        }
    }
}

/// Tables and their columns from rows of a catalogue (schema, table, column, type), those of one table together.
fn grouped(rows: Vec<(String, String, String, String)>) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (schema, name, column, of_type) in rows {
        let column = Column { name: column, of_type };
        match tables.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => tables.push(Table { schema: Some(schema), name, columns: vec![column] }),
        }
    }
    tables
}

/// What a driver's error says, without a value of a row: a server quotes them in its messages about data.
fn told(error: sqlx::Error) -> io::Error {
    match error {
        sqlx::Error::Io(error) => handshake(&error).map_or(error, io::Error::other),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            let about_data = ["22", "23", "P0"].iter().any(|class| code.starts_with(class)) || code.is_empty();
            let said = if about_data { "a value does not fit" } else { error.message() };
            io::Error::other(format!("{said} (code {code})"))
        }
        sqlx::Error::Tls(error) => io::Error::other(format!("tls: {error}; see the keys sql.tls and sql.ca_file")),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            io::Error::new(io::ErrorKind::InvalidData, "a value is no text in UTF-8")
        }
        error => io::Error::other(error.to_string()),
    }
}

/// Why the server's certificate was not taken, where that is why a connection failed.
fn handshake(error: &io::Error) -> Option<String> {
    use rustls::{CertificateError as Wrong, Error};

    let Error::InvalidCertificate(wrong) = error.get_ref()?.downcast_ref::<Error>()? else { return None };
    Some(match wrong {
        Wrong::UnknownIssuer => "tls: no authority in sql.ca_file vouches for the server's certificate".to_owned(),
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "tls: the server's certificate is for another name than sql.host".to_owned()
        }
        Wrong::Expired | Wrong::ExpiredContext { .. } => "tls: the server's certificate has expired".to_owned(),
        other => format!("tls: the server's certificate was not taken: {other:?}"),
    })
}

/// Runs a statement on a connection of sqlx and sends its rows; `$cell` reads one cell.
macro_rules! send_rows {
    ($connection:expr, $statement:expr, $sender:expr, $cell:expr) => {{
        use futures::TryStreamExt as _;
        use sqlx::Row as _;

        let mut query = sqlx::query(sqlx::AssertSqlSafe($statement.text)).persistent(false);
        for value in $statement.binds {
            query = query.bind(value);
        }
        let mut rows = query.fetch($connection);
        let mut chunk = Vec::with_capacity(crate::source::sql::CHUNK_ROWS);
        while let Some(row) = rows.try_next().await.map_err(crate::source::sql::told)? {
            let cells: std::io::Result<crate::source::table::staging::Cells> =
                (0..row.len()).map(|place| $cell(&row, place)).collect();
            chunk.push(cells?);
            if chunk.len() == crate::source::sql::CHUNK_ROWS && $sender.send(std::mem::take(&mut chunk)).await.is_err()
            {
                return Ok(());
            }
        }
        if !chunk.is_empty() {
            // Nobody listens any more: the reading was stopped.
            let _ = $sender.send(chunk).await;
        }
        Ok(())
    }};
}
use send_rows;

/// A cell as text, from a column that was selected as text.
macro_rules! text_cell {
    () => {
        |row: &_, place: usize| -> std::io::Result<Option<String>> {
            sqlx::Row::try_get_unchecked(row, place).map_err(crate::source::sql::told)
        }
    };
}
use text_cell;

#[cfg(test)]
mod tests;
