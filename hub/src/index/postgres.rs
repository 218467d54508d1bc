//! The index on PostgreSQL, for several hub instances.

use std::{str::FromStr, time::Duration};

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::{
    Arguments, AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Row, SqlSafeStr, Transaction, TypeInfo,
    ValueRef,
    migrate::{Migration, MigrationType, Migrator},
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
};

use super::{
    Error,
    sql::{
        Engine, OnRow, Session, SqlIndex,
        statement::{Args, Cells, Columns, Kind, Statement, Value, broken},
    },
};

/// The index on a PostgreSQL server.
pub type PgIndex = SqlIndex<PgEngine>;

/// How the server is used.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// The schema that the tables stand in, made where it does not exist: several hubs can share a server.
    pub schema: String,
    /// Connections at most.
    pub connections: u32,
    /// After so long the server gives up a statement, and a transaction that its instance has left idle.
    pub statement_timeout: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self { schema: "weft".into(), connections: 16, statement_timeout: Duration::from_secs(10) }
    }
}

/// Held while the schema is made or changed, so that instances that start at once do it one after another.
const MIGRATION_LOCK: i64 = 0x7765_6674_6964_7801;

/// A connection that was idle for so long is asked whether it still stands before it is used.
const ASK_AFTER: Duration = Duration::from_secs(1);

const CLOCK: Statement = Statement {
    text: "-- clock
SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT",
    singles: 0,
    batch: &[],
};

/// A pool of connections.
#[derive(Debug)]
pub struct PgEngine {
    pool: PgPool,
}

impl SqlIndex<PgEngine> {
    /// Connects to `url` (`postgres://user:password@host:port/database`), makes or changes the tables where that is needed, and
    /// refuses a server that would acknowledge a commit before it is durable.
    pub async fn connect(url: &str, options: &PgOptions) -> Result<Self, Error> {
        let named = !options.schema.is_empty()
            && options.schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !named {
            return Err(Error::Unavailable("the schema's name may have only a-z, 0-9 and _".into()));
        }
        let timeout = options.statement_timeout.as_millis().to_string();
        let connect = PgConnectOptions::from_str(url).map_err(unavailable)?.application_name("weft").options([
            ("search_path", options.schema.as_str()),
            ("synchronous_commit", "on"),
            ("statement_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", timeout.as_str()),
            // Every statement on many rows is a batch led to its rows by an index. A plan that was made and kept while the tables
            // were small would read them whole for ever, or until somebody analyses them.
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
        ]);
        migrate(&connect, &options.schema).await?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.statement_timeout)
            // A connection in steady use is not asked before every statement whether it still stands.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > ASK_AFTER {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(connect)
            .await
            .map_err(unavailable)?;
        let index = Self { engine: PgEngine { pool } };
        index.check_durability().await?;
        Ok(index)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.engine.pool.close().await;
    }

    async fn check_durability(&self) -> Result<(), Error> {
        let statement = "-- check_durability
SELECT current_setting('synchronous_commit'), current_setting('fsync')";
        let row = sqlx::query(statement).fetch_one(&self.engine.pool).await.map_err(unavailable)?;
        let (commit, fsync): (String, String) = (row.get(0), row.get(1));
        if !matches!(commit.as_str(), "on" | "remote_apply") {
            return Err(Error::Unavailable(format!("synchronous_commit is {commit}, not on")));
        }
        if fsync != "on" {
            tracing::warn!(
                fsync,
                "the database server does not sync: a loss of power loses the index, which a replay makes anew"
            );
        }
        Ok(())
    }
}

async fn migrate(options: &PgConnectOptions, schema: &str) -> Result<(), Error> {
    let patient = options.clone().options([("statement_timeout", "0")]);
    let mut connection = PgConnection::connect_with(&patient).await.map_err(unavailable)?;
    let lock = "-- lock_migrations
SELECT pg_advisory_lock($1)";
    sqlx::query(lock).bind(MIGRATION_LOCK).execute(&mut connection).await.map_err(unavailable)?;
    // The name was checked: it needs no quotes.
    let create = format!("-- create_schema\nCREATE SCHEMA IF NOT EXISTS {schema}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.map_err(unavailable)?;
    let tables = include_str!("postgres/0001_tables.sql").into_sql_str();
    let fleet = include_str!("postgres/0002_fleet.sql").into_sql_str();
    let keys = include_str!("postgres/0003_quarantine_keys.sql").into_sql_str();
    let migrations = vec![
        Migration::new(1, "tables".into(), MigrationType::Simple, tables, false),
        Migration::new(2, "fleet".into(), MigrationType::Simple, fleet, false),
        Migration::new(3, "quarantine keys".into(), MigrationType::Simple, keys, false),
    ];
    let migrated = Migrator::with_migrations(migrations).run_direct(None, &mut connection, false).await;
    // The lock ends with the connection.
    connection.close().await.map_err(unavailable)?;
    migrated.map_err(|error| Error::Unavailable(error.to_string()))
}

/// The one place where PostgreSQL's errors are read. None is final: what was not stored for a passing reason is tried again, and
/// what was stored though its answer was lost makes the next try stale.
fn unavailable(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) => Error::Unavailable(format!("{error} (sqlstate {code})")),
        None => Error::Unavailable(error.to_string()),
    }
}

#[async_trait]
impl Engine for PgEngine {
    async fn write(&self) -> Result<Box<dyn Session>, Error> {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        let transaction = self.pool.begin_with(begin).await.map_err(unavailable)?;
        Ok(Box::new(PgSession { connection: Connection::Transaction(transaction) }))
    }

    async fn snapshot(&self) -> Result<Box<dyn Session>, Error> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let transaction = self.pool.begin_with(begin).await.map_err(unavailable)?;
        Ok(Box::new(PgSession { connection: Connection::Transaction(transaction) }))
    }

    async fn once(&self) -> Result<Box<dyn Session>, Error> {
        let connection = self.pool.acquire().await.map_err(unavailable)?;
        Ok(Box::new(PgSession { connection: Connection::Plain(connection) }))
    }

    fn clock(&self) -> Option<&'static Statement> {
        Some(&CLOCK)
    }
}

enum Connection {
    Transaction(Transaction<'static, Postgres>),
    Plain(PoolConnection<Postgres>),
}

impl Connection {
    fn get(&mut self) -> &mut PgConnection {
        match self {
            Self::Transaction(transaction) => transaction,
            Self::Plain(connection) => connection,
        }
    }
}

struct PgSession {
    connection: Connection,
}

#[async_trait]
impl Session for PgSession {
    /// `UNNEST` of one array per column.
    fn source(&self, columns: Columns, singles: usize) -> String {
        let arrays = columns.iter().enumerate().map(|(nth, (_, kind))| {
            let array = match kind {
                Kind::Int => "bigint[]",
                Kind::Bool => "boolean[]",
                Kind::Text => "text[]",
                Kind::Hash | Kind::Envelope => "bytea[]",
            };
            format!("${}::{array}", singles + nth + 1)
        });
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let arrays: Vec<_> = arrays.collect();
        format!("SELECT * FROM UNNEST({}) AS e ({})", arrays.join(", "), names.join(", "))
    }

    async fn each(&mut self, sql: String, columns: Columns, args: Args, on_row: OnRow<'_>) -> Result<(), Error> {
        let arguments = arguments(columns, &args)?;
        let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(self.connection.get());
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            on_row(cells(&row).map_err(unavailable)?)?;
        }
        Ok(())
    }

    async fn execute(&mut self, sql: String, columns: Columns, args: Args) -> Result<u64, Error> {
        let arguments = arguments(columns, &args)?;
        let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(self.connection.get()).await;
        done.map(|done| done.rows_affected()).map_err(unavailable)
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        match self.connection {
            Connection::Transaction(transaction) => transaction.commit().await.map_err(unavailable),
            Connection::Plain(_) => Ok(()),
        }
    }
}

fn arguments(columns: Columns, args: &Args) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    for value in &args.singles {
        match value {
            Value::Null => arguments.add(None::<&str>),
            Value::Int(number) => arguments.add(number),
            Value::Bool(flag) => arguments.add(flag),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(&bytes[..]),
        }
        .map_err(|_| broken("a value does not encode"))?;
    }
    for (nth, (_, kind)) in columns.iter().enumerate() {
        let column = args.batch.iter().map(|row| &row[nth]);
        match kind {
            Kind::Int => arguments.add(column.map(int).collect::<Vec<_>>()),
            Kind::Bool => arguments.add(column.map(flag).collect::<Vec<_>>()),
            Kind::Text => arguments.add(column.map(text).collect::<Vec<_>>()),
            Kind::Hash | Kind::Envelope => arguments.add(column.map(bytes).collect::<Vec<_>>()),
        }
        .map_err(|_| broken("a batch does not encode"))?;
    }
    Ok(arguments)
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

fn flag(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value { Some(*flag) } else { None }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Blob(bytes) = value { Some(bytes) } else { None }
}

fn cells(row: &PgRow) -> Result<Cells, sqlx::Error> {
    let cells = (0..row.len()).map(|column| {
        let raw = row.try_get_raw(column)?;
        Ok(match raw.type_info().name() {
            _ if raw.is_null() => Value::Null,
            "BOOL" => Value::Int(row.try_get_unchecked::<bool, _>(column)?.into()),
            "INT4" => Value::Int(row.try_get_unchecked::<i32, _>(column)?.into()),
            "INT8" => Value::Int(row.try_get_unchecked(column)?),
            "BYTEA" => Value::Blob(row.try_get_unchecked::<Vec<u8>, _>(column)?.into()),
            _ => Value::Text(row.try_get_unchecked(column)?),
        })
    });
    cells.collect::<Result<Vec<_>, sqlx::Error>>().map(Cells::new)
}
