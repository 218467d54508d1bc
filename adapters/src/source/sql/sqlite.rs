//! A file of SQLite, opened for reading.

use std::{io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::mpsc;

use super::{SqlConfig, send_rows, told};
use crate::source::table::{
    Read, Session,
    offer::{Offer, Told, is_named},
    staging::Cells,
    statement::{Column, Dialect, Statement, Table},
};

pub(super) const BEGIN: &str = "PRAGMA query_only = ON; BEGIN";
/// Tables and views of a name.
pub(super) const CATALOGUE: &str =
    "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?) ORDER BY name";
/// The columns of one, generated ones too.
pub(super) const COLUMNS: &str = "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden IN (0, 2, 3) ORDER BY cid";

/// All tables and views but SQLite's own.
const NAMES: &str = "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' \
    ESCAPE '\\' ORDER BY name";
/// The columns of one, whether they are of its primary key, and whether an index begins with them.
const OFFERED: &str = "SELECT x.name, x.type, x.pk > 0, EXISTS (SELECT 1 FROM pragma_index_list(?1) l, \
    pragma_index_info(l.name) i WHERE i.seqno = 0 AND i.name = x.name) FROM pragma_table_xinfo(?1) x \
    WHERE x.hidden IN (0, 2, 3) AND upper(x.type) NOT LIKE '%BLOB%' ORDER BY x.cid";

/// Somebody else writes for so long at most.
const BUSY: Duration = Duration::from_secs(10);

/// A session.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: SqliteConnection,
    file: PathBuf,
}

impl Sqlite {
    pub(super) async fn connect(config: &SqlConfig) -> io::Result<Self> {
        let file = config.file.clone().unwrap_or_default();
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(BUSY)
            .row_buffer_size(64);
        let connection = SqliteConnection::connect_with(&options).await.map_err(told)?;
        Ok(Self { connection, file })
    }
}

/// A cell as text. Old programs write GBK into their files: what is no UTF-8 is read as GB18030, or not at all.
fn cell(row: &sqlx::sqlite::SqliteRow, place: usize) -> io::Result<Option<String>> {
    let bytes: Option<Vec<u8>> = sqlx::Row::try_get_unchecked(row, place).map_err(told)?;
    let Some(bytes) = bytes else { return Ok(None) };
    String::from_utf8(bytes).map(Some).or_else(|error| {
        let text = encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(error.as_bytes());
        let refused = || io::Error::new(io::ErrorKind::InvalidData, "a value is neither UTF-8 nor GB18030");
        text.map(|text| Some(text.into_owned())).ok_or_else(refused)
    })
}

#[async_trait]
impl Session for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn tables(&mut self, schema: Option<&str>, table: &str) -> io::Result<Vec<Table>> {
        if schema.is_some_and(|schema| schema != "main") {
            return Ok(Vec::new());
        }
        let names = sqlx::query_scalar::<_, String>(CATALOGUE).bind(table).fetch_all(&mut self.connection).await;
        let mut tables = Vec::new();
        for name in names.map_err(told)? {
            let query = sqlx::query_as::<_, (String, String)>(COLUMNS).bind(&name);
            let columns = query.fetch_all(&mut self.connection).await.map_err(told)?;
            let columns = columns.into_iter().map(|(name, of_type)| Column { name, of_type }).collect();
            tables.push(Table { schema: Some("main".to_owned()), name, columns });
        }
        Ok(tables)
    }

    async fn offers(&mut self, schema: Option<&str>, named: &[String]) -> io::Result<Vec<Offer>> {
        if schema.is_some_and(|schema| schema != "main") {
            return Ok(Vec::new());
        }
        let names = sqlx::query_scalar::<_, String>(NAMES).fetch_all(&mut self.connection).await.map_err(told)?;
        let mut offers = Vec::new();
        for name in names.into_iter().filter(|name| is_named(name, named)) {
            let query = sqlx::query_as::<_, (String, String, bool, bool)>(OFFERED).bind(&name);
            // A view over something that is gone has no columns, and is no reason to see nothing of the others.
            let Ok(columns) = query.fetch_all(&mut self.connection).await else { continue };
            let mut offer = Offer::new(None, name, None);
            for (name, of_type, key, indexed) in columns {
                offer.add(Column { name, of_type }, Told { comment: None, indexed, key });
            }
            offers.push(offer);
        }
        Ok(offers)
    }

    async fn begin(&mut self) -> io::Result<()> {
        sqlx::raw_sql(BEGIN).execute(&mut self.connection).await.map(drop).map_err(told)
    }

    async fn end(&mut self) -> io::Result<()> {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await.map(drop).map_err(told)
    }

    fn rows(&mut self, statement: Statement, sender: mpsc::Sender<Vec<Cells>>) -> Read<'_> {
        Box::pin(async move { send_rows!(&mut self.connection, statement, sender, cell) })
    }

    async fn rights(&mut self, _: &Table) -> io::Result<Option<Vec<String>>> {
        let writable = rustix::fs::access(&self.file, rustix::fs::Access::WRITE_OK).is_ok();
        Ok(Some(if writable { vec!["write the file".to_owned()] } else { Vec::new() }))
    }
}
