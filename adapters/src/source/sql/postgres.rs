//! PostgreSQL, and what speaks its protocol.

use std::io;

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::sync::mpsc;

use super::{SqlConfig, Tls, grouped, send_rows, text_cell, told};
use crate::source::table::{
    Read, Reading, Session,
    offer::{Offer, Told, is_named},
    staging::Cells,
    statement::{Column, Dialect, Statement, Table},
};

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Tables and views of a name, their columns in order.
pub(super) const CATALOGUE: &str = "SELECT CAST(n.nspname AS text), CAST(c.relname AS text), CAST(a.attname AS text), \
    pg_catalog.format_type(a.atttypid, a.atttypmod) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
    WHERE lower(c.relname) = lower($1) AND n.nspname = $2 AND c.relkind IN ('r', 'v', 'm', 'f', 'p') \
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum";

/// Tables and views that the account can read, the columns of which it can read, and what is said of both.
const OFFERS: &str = "SELECT CAST(n.nspname AS text), CAST(c.relname AS text), \
    pg_catalog.obj_description(c.oid, 'pg_class'), CAST(a.attname AS text), \
    pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.col_description(c.oid, a.attnum), \
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum), \
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
    WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' \
    AND (CAST($1 AS text) IS NULL OR n.nspname = $1) AND a.atttypid <> CAST('bytea' AS regtype) \
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') \
    ORDER BY n.nspname, c.relname, a.attnum";

/// Whatever the account can do beyond reading: attributes of its role, writing in any table, making something new.
const RIGHTS: &str = "SELECT CAST(r.told AS text) FROM ( \
    SELECT 'superuser' AS told FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper \
    UNION ALL SELECT 'create role' FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolcreaterole \
    UNION ALL SELECT 'create database' FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolcreatedb \
    UNION ALL (SELECT 'write ' || n.nspname || '.' || c.relname FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    AND n.nspname NOT LIKE 'pg\\_t%' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
    AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY c.relname LIMIT 3) \
    UNION ALL (SELECT 'create in ' || n.nspname FROM pg_catalog.pg_namespace n \
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND pg_catalog.has_schema_privilege(n.oid, 'CREATE') ORDER BY n.nspname LIMIT 3)) r";

/// What a session begins with. Days and times come in one form, in the hall's time.
pub(super) fn preparation(reading: &Reading) -> String {
    format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {}; SET lock_timeout = 10000; \
         SET timezone = 'Asia/Shanghai'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; \
         SET bytea_output = 'hex'; SET extra_float_digits = 3",
        reading.server_timeout().as_millis()
    )
}

/// A session.
#[derive(Debug)]
pub(super) struct Postgres {
    connection: PgConnection,
}

impl Postgres {
    pub(super) async fn connect(config: &SqlConfig, reading: &Reading) -> io::Result<Self> {
        let host = config.host.as_deref().unwrap_or_default();
        // Nothing is taken from libpq's own files; what its environment variables name is set here one by one.
        let mut options = PgConnectOptions::new_without_pgpass()
            .username(config.user.as_deref().unwrap_or_default())
            .database(config.database.as_deref().unwrap_or_default())
            .port(config.port.unwrap_or(5432))
            .application_name("weft-adapter")
            .statement_cache_capacity(0)
            .ssl_mode(match config.tls {
                Tls::Verify => PgSslMode::VerifyFull,
                Tls::Encrypt => PgSslMode::Require,
                Tls::Off => PgSslMode::Disable,
            });
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
        if let Some(password) = config.password()? {
            options = options.password(&password);
        }
        if let Some(authority) = &config.ca_file {
            options = options.ssl_root_cert(authority);
        }
        let mut connection = PgConnection::connect_with(&options).await.map_err(told)?;
        sqlx::raw_sql(AssertSqlSafe(preparation(reading))).execute(&mut connection).await.map_err(told)?;
        Ok(Self { connection })
    }
}

#[async_trait]
impl Session for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn tables(&mut self, schema: Option<&str>, table: &str) -> io::Result<Vec<Table>> {
        let query = sqlx::query_as::<_, (String, String, String, String)>(CATALOGUE).persistent(false);
        let found = query.bind(table).bind(schema.unwrap_or("public")).fetch_all(&mut self.connection).await;
        found.map(grouped).map_err(told)
    }

    async fn offers(&mut self, schema: Option<&str>, named: &[String]) -> io::Result<Vec<Offer>> {
        type Found = (String, String, Option<String>, String, String, Option<String>, bool, bool);
        let query = sqlx::query_as::<_, Found>(OFFERS).persistent(false).bind(schema);
        let found = query.fetch_all(&mut self.connection).await.map_err(told)?;
        let mut offers: Vec<Offer> = Vec::new();
        for (schema, table, of_table, name, of_type, comment, indexed, key) in found {
            if !is_named(&table, named) {
                continue;
            }
            let schema = Some(schema);
            if !offers.last().is_some_and(|offer| offer.is(&schema, &table)) {
                offers.push(Offer::new(schema, table, of_table));
            }
            if let Some(offer) = offers.last_mut() {
                offer.add(Column { name, of_type }, Told { comment, indexed, key });
            }
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
        Box::pin(async move { send_rows!(&mut self.connection, statement, sender, text_cell!()) })
    }

    async fn rights(&mut self, _: &Table) -> io::Result<Option<Vec<String>>> {
        let query = sqlx::query_scalar::<_, String>(RIGHTS).persistent(false);
        query.fetch_all(&mut self.connection).await.map(Some).map_err(told)
    }
}
