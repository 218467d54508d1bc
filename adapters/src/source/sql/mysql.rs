//! MySQL and MariaDB.

use std::io;

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Connection as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use tokio::sync::mpsc;

use super::{SqlConfig, Tls, grouped, send_rows, text_cell, told};
use crate::source::table::{
    Read, Reading, Session,
    offer::{Offer, Told, is_named},
    staging::Cells,
    statement::{Column, Dialect, Statement, Table},
};

/// What a session begins with.
pub(super) const PREPARATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
pub(super) const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Tables and views of a name, their columns in order.
pub(super) const CATALOGUE: &str = "SELECT CAST(table_schema AS CHAR), CAST(table_name AS CHAR), \
    CAST(column_name AS CHAR), CAST(column_type AS CHAR) FROM information_schema.columns \
    WHERE table_schema = COALESCE(?, DATABASE()) AND LOWER(table_name) = LOWER(?) \
    ORDER BY table_name, ordinal_position";

/// Tables and views that the account can read, the columns of which it can read, and what is said of both.
const OFFERS: &str = "SELECT CAST(t.table_name AS CHAR), CAST(t.table_comment AS CHAR), CAST(c.column_name AS CHAR), \
    CAST(c.column_type AS CHAR), CAST(c.column_comment AS CHAR), CAST(c.column_key AS CHAR), \
    CAST(t.table_schema AS CHAR) FROM information_schema.tables t JOIN information_schema.columns c \
    ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
    WHERE t.table_schema = COALESCE(?, DATABASE()) AND FIND_IN_SET('select', LOWER(c.privileges)) > 0 \
    AND LOWER(c.data_type) NOT IN ('blob', 'tinyblob', 'mediumblob', 'longblob', 'binary', 'varbinary', 'geometry') \
    ORDER BY t.table_name, c.ordinal_position";

/// Whatever the account can do beyond reading.
const RIGHTS: &str = "SELECT DISTINCT CAST(privilege_type AS CHAR) FROM ( \
    SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = ? \
    UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = ? \
    UNION SELECT privilege_type FROM information_schema.table_privileges WHERE grantee = ?) p \
    WHERE privilege_type NOT IN ('USAGE', 'SELECT', 'SHOW VIEW', 'SHOW DATABASES', 'PROCESS', 'REPLICATION CLIENT', \
    'BINLOG MONITOR') ORDER BY 1 LIMIT 6";

/// Who the account is, in the form of the privilege tables.
const GRANTEE: &str = "SELECT CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";

/// Bounds a statement's time: MariaDB counts seconds, MySQL milliseconds.
pub(super) fn timeout(reading: &Reading, maria: bool) -> String {
    let timeout = reading.server_timeout();
    if maria {
        format!("SET SESSION max_statement_time = {}", timeout.as_secs())
    } else {
        format!("SET SESSION max_execution_time = {}", timeout.as_millis())
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct MySql {
    connection: MySqlConnection,
}

impl MySql {
    pub(super) async fn connect(config: &SqlConfig, reading: &Reading) -> io::Result<Self> {
        let host = config.host.as_deref().unwrap_or_default();
        let mut options = MySqlConnectOptions::new()
            .username(config.user.as_deref().unwrap_or_default())
            .database(config.database.as_deref().unwrap_or_default())
            .port(config.port.unwrap_or(3306))
            .charset("utf8mb4")
            // The hall's time: TIMESTAMP columns come in it.
            .timezone(Some("+08:00".to_owned()))
            .statement_cache_capacity(0)
            .ssl_mode(match config.tls {
                Tls::Verify => MySqlSslMode::VerifyIdentity,
                Tls::Encrypt => MySqlSslMode::Required,
                Tls::Off => MySqlSslMode::Disabled,
            });
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
        if let Some(password) = config.password()? {
            options = options.password(&password);
        }
        if let Some(authority) = &config.ca_file {
            options = options.ssl_ca(authority);
        }
        let mut connection = MySqlConnection::connect_with(&options).await.map_err(told)?;
        let version: String = sqlx::query_scalar("SELECT CAST(VERSION() AS CHAR)")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(told)?;
        let maria = version.contains("MariaDB");
        for text in [PREPARATION.to_owned(), timeout(reading, maria)] {
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.map_err(told)?;
        }
        Ok(Self { connection })
    }
}

#[async_trait]
impl Session for MySql {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    async fn tables(&mut self, schema: Option<&str>, table: &str) -> io::Result<Vec<Table>> {
        let query = sqlx::query_as::<_, (String, String, String, String)>(CATALOGUE).persistent(false);
        let found = query.bind(schema).bind(table).fetch_all(&mut self.connection).await;
        found.map(grouped).map_err(told)
    }

    async fn offers(&mut self, schema: Option<&str>, named: &[String]) -> io::Result<Vec<Offer>> {
        type Found = (String, Option<String>, String, String, Option<String>, Option<String>, String);
        let query = sqlx::query_as::<_, Found>(OFFERS).persistent(false).bind(schema);
        let found = query.fetch_all(&mut self.connection).await.map_err(told)?;
        let mut offers: Vec<Offer> = Vec::new();
        for (table, of_table, name, of_type, comment, index, schema) in found {
            if !is_named(&table, named) {
                continue;
            }
            let schema = Some(schema);
            if !offers.last().is_some_and(|offer| offer.is(&schema, &table)) {
                // Of a view there is nothing but the word VIEW.
                offers.push(Offer::new(schema, table, of_table.filter(|comment| comment != "VIEW")));
            }
            if let Some(offer) = offers.last_mut() {
                let index = index.unwrap_or_default();
                offer.add(Column { name, of_type }, Told { comment, indexed: !index.is_empty(), key: index == "PRI" });
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
        let grantee: String =
            sqlx::query_scalar(GRANTEE).persistent(false).fetch_one(&mut self.connection).await.map_err(told)?;
        let query = sqlx::query_scalar::<_, String>(RIGHTS).persistent(false);
        let query = query.bind(grantee.clone()).bind(grantee.clone()).bind(grantee);
        query.fetch_all(&mut self.connection).await.map(Some).map_err(told)
    }
}
