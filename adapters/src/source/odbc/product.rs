//! What differs from database to database behind ODBC, by the name that the driver gives its product.

use std::io;

use crate::source::table::statement::{Dialect, Limit, Table};

/// A family of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Oracle,
    SqlServer,
    Dameng,
    /// PostgreSQL and what comes from it: 人大金仓, openGauss, 瀚高.
    Postgres,
    MySql,
    Sqlite,
    Other,
}

impl Product {
    /// Of a product's name, or of a driver's.
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        let is = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if is(&["oracle"]) {
            Self::Oracle
        } else if is(&["sql server", "freetds", "sybase"]) {
            Self::SqlServer
        } else if is(&["dm8", "dm7", "dm dbms", "dameng"]) {
            Self::Dameng
        } else if is(&["postgres", "kingbase", "gauss", "highgo", "vastbase"]) {
            Self::Postgres
        } else if is(&["mysql", "mariadb", "oceanbase", "tidb"]) {
            Self::MySql
        } else if is(&["sqlite"]) {
            Self::Sqlite
        } else {
            Self::Other
        }
    }

    /// How it is told to end after so many rows; where versions differ (Oracle before 12c), reading just ends.
    pub(super) fn limit(self) -> Limit {
        match self {
            Self::SqlServer => Limit::Top,
            Self::Dameng | Self::Postgres | Self::MySql | Self::Sqlite => Limit::Last,
            Self::Oracle | Self::Other => Limit::None,
        }
    }

    /// What a session begins with. Oracle writes days and times in the form of the session.
    pub(super) fn preparation(self, timeout_s: u64) -> Vec<String> {
        let texts: &[&str] = match self {
            Self::Oracle => &[
                "ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS'",
                "ALTER SESSION SET NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6'",
                "ALTER SESSION SET NLS_TIMESTAMP_TZ_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6TZH:TZM'",
                "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
            ],
            Self::SqlServer => &["SET LOCK_TIMEOUT 10000"],
            Self::Postgres => &["SET default_transaction_read_only = on", "SET datestyle = 'ISO, YMD'"],
            Self::MySql => &["SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+08:00'"],
            Self::Sqlite => &["PRAGMA query_only = ON"],
            Self::Dameng | Self::Other => &[],
        };
        let mut texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        if self == Self::Postgres {
            texts.push(format!("SET statement_timeout = {}", timeout_s * 1_000));
        }
        texts
    }

    /// The first statement of a transaction, which makes it one that can only read, where there is such a thing.
    pub(super) fn begin(self) -> Option<&'static str> {
        match self {
            Self::Oracle | Self::Dameng => Some("SET TRANSACTION READ ONLY"),
            Self::Postgres => Some("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Self::MySql | Self::SqlServer | Self::Sqlite | Self::Other => None,
        }
    }

    /// Whether a schema is the database's own.
    pub(super) fn is_system(self, schema: &str) -> bool {
        let own: &[&str] = match self {
            Self::Oracle => {
                &["SYS", "SYSTEM", "CTXSYS", "MDSYS", "XDB", "WMSYS", "ORDSYS", "DBSNMP", "OUTLN", "LBACSYS"]
            }
            Self::Dameng => &["SYS", "SYSDBA", "SYSAUDITOR", "SYSSSO", "CTISYS"],
            Self::SqlServer => &["SYS", "INFORMATION_SCHEMA"],
            Self::MySql => &["MYSQL", "INFORMATION_SCHEMA", "PERFORMANCE_SCHEMA", "SYS"],
            Self::Postgres | Self::Sqlite | Self::Other => {
                &["PG_CATALOG", "INFORMATION_SCHEMA", "SYS_CATALOG", "PG_TOAST"]
            }
        };
        own.contains(&schema.to_uppercase().as_str())
    }

    /// SQLite has no times: they are text there, and compared as such.
    pub(super) fn compared_as(self, of_type: &'static str) -> &'static str {
        if self == Self::Sqlite && of_type == "time" { "text" } else { of_type }
    }

    /// A statement whose rows are columns and what is said of them, for the table that is bound as schema and name:
    /// drivers of these databases leave it out of what they tell of columns.
    pub(super) fn comments(self) -> Option<&'static str> {
        match self {
            Self::Oracle | Self::Dameng => {
                Some("SELECT column_name, comments FROM all_col_comments WHERE owner = ? AND table_name = ?")
            }
            Self::Postgres => Some(
                "SELECT a.attname, pg_catalog.col_description(c.oid, a.attnum) FROM pg_catalog.pg_class c JOIN \
                 pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = \
                 c.oid WHERE n.nspname = ? AND c.relname = ? AND a.attnum > 0 AND NOT a.attisdropped",
            ),
            Self::SqlServer => Some(
                "SELECT c.name, CAST(p.value AS nvarchar(500)) FROM sys.extended_properties p JOIN sys.columns c ON \
                 c.object_id = p.major_id AND c.column_id = p.minor_id JOIN sys.objects o ON o.object_id = c.object_id \
                 WHERE p.name = 'MS_Description' AND SCHEMA_NAME(o.schema_id) = ? AND o.name = ?",
            ),
            Self::MySql | Self::Sqlite | Self::Other => None,
        }
    }

    /// A statement whose rows are the account's rights beyond reading `table`; none where there is no such statement.
    pub(super) fn rights(self, dialect: &Dialect, table: &Table) -> io::Result<Option<String>> {
        let name = match &table.schema {
            Some(schema) => format!("{}.{}", dialect.name(schema)?, dialect.name(&table.name)?),
            None => dialect.name(&table.name)?,
        };
        let literal = name.replace('\'', "''");
        Ok(match self {
            Self::Oracle => Some(
                "SELECT privilege FROM session_privs WHERE privilege LIKE 'INSERT%' OR privilege LIKE 'UPDATE%' OR \
                 privilege LIKE 'DELETE%' OR privilege LIKE 'ALTER%' OR privilege LIKE 'DROP%' OR (privilege LIKE \
                 'CREATE%' AND privilege <> 'CREATE SESSION')"
                    .to_owned(),
            ),
            Self::SqlServer => Some(format!(
                "SELECT permission_name FROM fn_my_permissions(N'{literal}', 'OBJECT') WHERE subentity_name = '' AND \
                 permission_name IN ('INSERT', 'UPDATE', 'DELETE', 'ALTER', 'CONTROL')"
            )),
            Self::Postgres => Some(format!(
                "SELECT 'write ' || '{literal}' WHERE has_table_privilege('{literal}', 'INSERT, UPDATE, DELETE, \
                 TRUNCATE') UNION ALL SELECT 'superuser' FROM pg_catalog.pg_roles WHERE rolname = current_user AND \
                 rolsuper"
            )),
            Self::Dameng | Self::MySql | Self::Sqlite | Self::Other => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_known_by_their_names() {
        for (name, product) in [
            ("Oracle", Product::Oracle),
            ("Microsoft SQL Server", Product::SqlServer),
            ("DM DBMS", Product::Dameng),
            ("DM8 ODBC DRIVER", Product::Dameng),
            ("KingbaseES", Product::Postgres),
            ("PostgreSQL Unicode", Product::Postgres),
            ("SQLite3", Product::Sqlite),
            ("GBase", Product::Other),
        ] {
            assert_eq!(Product::of(name), product, "{name}");
        }
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let table = Table { schema: Some("s'".into()), name: "t\"; DROP TABLE x".into(), columns: Vec::new() };
        let dialect = Dialect::Odbc { quote: Some('"'), limit: Limit::Top };
        let text = Product::SqlServer.rights(&dialect, &table).unwrap().unwrap();
        assert!(text.contains("fn_my_permissions(N'\"s''\".\"t\"\"; DROP TABLE x\"', 'OBJECT')"), "{text}");
    }
}
