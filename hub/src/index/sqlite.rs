//! The index on SQLite: one file beside the embedded log, one writer, a few readers.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::{
    Arguments, AssertSqlSafe, Row, SqlSafeStr, Sqlite, SqliteConnection, Transaction, TypeInfo, ValueRef,
    migrate::{Migration, MigrationType, Migrator},
    pool::PoolConnection,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};
use tokio::sync::watch;

use super::{
    Error,
    sql::{
        Engine, OnRow, Session, SqlIndex,
        statement::{Args, Cells, Columns, Kind, Value, broken},
    },
};

/// The index in a file.
pub type SqliteIndex = SqlIndex<SqliteEngine>;

/// The name of the file in the data directory.
pub const FILE: &str = "index.db";

const READERS: u32 = 4;

/// How long a connection waits for another process (a backup, a look by hand) to let go of the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's primary result codes: <https://www.sqlite.org/rescode.html>.
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;
/// No room to enlarge the WAL index: a full disk, which heals.
const SQLITE_IOERR_SHMSIZE: u32 = 4874;

/// One file: a writer, and readers that see what was committed.
#[derive(Debug)]
pub struct SqliteEngine {
    writer: SqlitePool,
    readers: SqlitePool,
    poisoned: watch::Sender<bool>,
}

impl SqlIndex<SqliteEngine> {
    /// Opens or creates the index in a directory that only this process works in.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        let poisoned = watch::Sender::new(false);
        let options = SqliteConnectOptions::new()
            .filename(dir.join(FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(PATIENCE)
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
            .thread_name(|id| format!("weft-index-{id}"));
        let failed = |error| unavailable(&poisoned, error);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        migrations().run(&writer).await.map_err(|error| Error::Unavailable(error.to_string()))?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(failed)?;
        Ok(Self { engine: SqliteEngine { writer, readers, poisoned } })
    }

    /// Becomes `true` when the file could not be read, written or synced, or is damaged. What the operating system then says of
    /// the file cannot be trusted: the process is to exit, and a start reads it anew.
    pub fn poisoned(&self) -> watch::Receiver<bool> {
        self.engine.poisoned.subscribe()
    }

    /// Closes all connections; the file is whole without its WAL afterwards.
    pub async fn close(&self) {
        self.engine.readers.close().await;
        self.engine.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE * 2)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn migrations() -> Migrator {
    let tables = include_str!("sqlite/0001_tables.sql").into_sql_str();
    let fleet = include_str!("sqlite/0002_fleet.sql").into_sql_str();
    let keys = include_str!("sqlite/0003_quarantine_keys.sql").into_sql_str();
    Migrator::with_migrations(vec![
        Migration::new(1, "tables".into(), MigrationType::Simple, tables, false),
        Migration::new(2, "fleet".into(), MigrationType::Simple, fleet, false),
        Migration::new(3, "quarantine keys".into(), MigrationType::Simple, keys, false),
    ])
}

/// The one place where SQLite's errors are read.
fn unavailable(poisoned: &watch::Sender<bool>, error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    if code.is_some_and(is_fatal) {
        poisoned.send_replace(true);
    }
    Error::Unavailable(error.to_string())
}

fn is_fatal(code: u32) -> bool {
    code != SQLITE_IOERR_SHMSIZE && matches!(code & 0xff, SQLITE_IOERR | SQLITE_CORRUPT | SQLITE_NOTADB)
}

impl SqliteEngine {
    fn check(&self) -> Result<(), Error> {
        if *self.poisoned.borrow() {
            return Err(Error::Unavailable("the index file failed before; the process must be restarted".into()));
        }
        Ok(())
    }

    fn session(&self, connection: Connection) -> Box<dyn Session> {
        Box::new(SqliteSession { connection, poisoned: self.poisoned.clone() })
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        unavailable(&self.poisoned, error)
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn write(&self) -> Result<Box<dyn Session>, Error> {
        self.check()?;
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.failed(error))?;
        Ok(self.session(Connection::Transaction(transaction)))
    }

    async fn snapshot(&self) -> Result<Box<dyn Session>, Error> {
        self.check()?;
        let transaction = self.readers.begin().await.map_err(|error| self.failed(error))?;
        Ok(self.session(Connection::Transaction(transaction)))
    }

    async fn once(&self) -> Result<Box<dyn Session>, Error> {
        self.check()?;
        let connection = self.readers.acquire().await.map_err(|error| self.failed(error))?;
        Ok(self.session(Connection::Plain(connection)))
    }

    /// Empties the WAL, which may hold what was erased. A reader that is in the middle of it keeps it until the next checkpoint.
    async fn scrub(&self) -> Result<(), Error> {
        let mut connection = self.writer.acquire().await.map_err(|error| self.failed(error))?;
        let truncate = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        truncate.execute(&mut *connection).await.map_err(|error| self.failed(error))?;
        Ok(())
    }
}

enum Connection {
    Transaction(Transaction<'static, Sqlite>),
    Plain(PoolConnection<Sqlite>),
}

impl Connection {
    fn get(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Transaction(transaction) => transaction,
            Self::Plain(connection) => connection,
        }
    }
}

struct SqliteSession {
    connection: Connection,
    poisoned: watch::Sender<bool>,
}

#[async_trait]
impl Session for SqliteSession {
    /// `json_each` over an array of rows. Envelopes stand end to end in one blob beside it and are cut out by place and length.
    fn source(&self, columns: Columns, singles: usize) -> String {
        let (rows, envelopes) = (singles + 1, singles + 2);
        let mut cell = 0;
        let mut cells = Vec::with_capacity(columns.len());
        for (name, kind) in columns {
            cells.push(match kind {
                Kind::Int | Kind::Bool | Kind::Text => format!("e.value ->> {cell} AS {name}"),
                Kind::Hash => format!("unhex(e.value ->> {cell}) AS {name}"),
                Kind::Envelope => {
                    cell += 1;
                    format!("substr(${envelopes}, e.value ->> {}, e.value ->> {cell}) AS {name}", cell - 1)
                }
            });
            cell += 1;
        }
        format!("SELECT {} FROM json_each(${rows}) e", cells.join(", "))
    }

    async fn each(&mut self, sql: String, columns: Columns, args: Args, on_row: OnRow<'_>) -> Result<(), Error> {
        let arguments = arguments(columns, args)?;
        let poisoned = self.poisoned.clone();
        let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(self.connection.get());
        while let Some(row) = rows.try_next().await.map_err(|error| unavailable(&poisoned, error))? {
            on_row(cells(&row).map_err(|error| unavailable(&poisoned, error))?)?;
        }
        Ok(())
    }

    async fn execute(&mut self, sql: String, columns: Columns, args: Args) -> Result<u64, Error> {
        let arguments = arguments(columns, args)?;
        let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(self.connection.get()).await;
        done.map(|done| done.rows_affected()).map_err(|error| unavailable(&self.poisoned, error))
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        match self.connection {
            Connection::Transaction(transaction) => {
                transaction.commit().await.map_err(|error| unavailable(&self.poisoned, error))
            }
            Connection::Plain(_) => Ok(()),
        }
    }
}

fn arguments(columns: Columns, args: Args) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for value in args.singles {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(number) => arguments.add(number),
            Value::Bool(flag) => arguments.add(flag),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(bytes.to_vec()),
        }
        .map_err(|_| broken("a value does not encode"))?;
    }
    if !columns.is_empty() {
        let (rows, envelopes) = json(columns, &args.batch)?;
        arguments.add(rows).map_err(|_| broken("a batch does not encode"))?;
        if columns.iter().any(|(_, kind)| *kind == Kind::Envelope) {
            arguments.add(envelopes).map_err(|_| broken("a batch does not encode"))?;
        }
    }
    Ok(arguments)
}

/// The batch as an array of rows, and all envelopes end to end.
fn json(columns: Columns, batch: &[Vec<Value>]) -> Result<(String, Vec<u8>), Error> {
    // SQLite binds a blob of no bytes as null, of which `substr` makes null: a batch of empty envelopes needs a byte before them.
    let mut envelopes = vec![0];
    let mut rows = String::with_capacity(batch.len() * columns.len() * 24);
    let text = |text: &str| serde_json::to_string(text).map_err(|_| broken("a batch does not encode"));
    for (nth, row) in batch.iter().enumerate() {
        rows.push_str(if nth == 0 { "[[" } else { ",[" });
        for (nth, ((_, kind), value)) in columns.iter().zip(row).enumerate() {
            if nth > 0 {
                rows.push(',');
            }
            match (kind, value) {
                (Kind::Envelope, Value::Blob(bytes)) => {
                    rows.push_str(&format!("{},{}", envelopes.len() + 1, bytes.len()));
                    envelopes.extend_from_slice(bytes);
                }
                (Kind::Envelope, _) => rows.push_str("null,null"),
                (_, Value::Null) => rows.push_str("null"),
                (_, Value::Int(number)) => rows.push_str(&number.to_string()),
                (_, Value::Bool(flag)) => rows.push_str(if *flag { "true" } else { "false" }),
                (_, Value::Text(value)) => rows.push_str(&text(value)?),
                (_, Value::Blob(bytes)) => {
                    rows.push('"');
                    rows.push_str(&hex::encode(bytes));
                    rows.push('"');
                }
            }
        }
        rows.push(']');
    }
    rows.push_str(if batch.is_empty() { "[]" } else { "]" });
    Ok((rows, envelopes))
}

fn cells(row: &SqliteRow) -> Result<Cells, sqlx::Error> {
    let cells = (0..row.len()).map(|column| {
        let raw = row.try_get_raw(column)?;
        Ok(match raw.type_info().name() {
            _ if raw.is_null() => Value::Null,
            "TEXT" => Value::Text(row.try_get_unchecked(column)?),
            "BLOB" => Value::Blob(row.try_get_unchecked::<Vec<u8>, _>(column)?.into()),
            _ => Value::Int(row.try_get_unchecked(column)?),
        })
    });
    cells.collect::<Result<Vec<_>, sqlx::Error>>().map(Cells::new)
}

#[cfg(test)]
mod tests {
    use super::is_fatal;

    #[test]
    fn a_failed_sync_is_fatal_and_a_full_disk_is_not() {
        assert!(is_fatal(1034), "SQLITE_IOERR_FSYNC");
        assert!(is_fatal(522), "SQLITE_IOERR_SHORT_READ");
        assert!(is_fatal(11));
        assert!(!is_fatal(13), "SQLITE_FULL");
        assert!(!is_fatal(5), "SQLITE_BUSY");
        assert!(!is_fatal(super::SQLITE_IOERR_SHMSIZE));
    }
}
