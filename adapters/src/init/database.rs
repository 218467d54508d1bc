//! A database becomes samples: one for each table and view that the account can read.

use std::io;

use super::{
    place::Place,
    sample::{Column, Error, Sample, Table},
};
use crate::source::{
    odbc::OdbcConfig,
    sql::{Engine, SqlConfig},
    table::{
        Database, MarkKind, Reading,
        offer::{OFFERED, Offer, Offers},
    },
};

/// Rows of a table that are looked at.
const ROWS: u64 = 500;

/// The tables and views of a database, each with its first rows; those that are `named`, or all that have rows.
///
/// # Errors
/// It cannot be reached, a table that is named cannot be read, or there is none.
pub(super) async fn of_sql(sql: &SqlConfig, named: &[String]) -> Result<Vec<Sample>, Error> {
    let mark = |of_type: &str| of_sql_type(sql.engine, of_type);
    let place = |schema: Option<String>, table: String| {
        let schema =
            schema.filter(|schema| sql.schema.is_some() || (sql.engine == Engine::Postgres && schema != "public"));
        Place::Sql(Box::new(SqlConfig { schema, table, ..sql.clone() }))
    };
    samples(sql, &sql.reading(), named, mark, place).await
}

/// The same behind an ODBC driver.
///
/// # Errors
/// As [`of_sql`].
pub(super) async fn of_odbc(odbc: &OdbcConfig, named: &[String]) -> Result<Vec<Sample>, Error> {
    let mark = |of_type: &str| match of_type {
        "time" => Some(MarkKind::Timestamp),
        "number" => Some(MarkKind::Number),
        _ => None,
    };
    let place =
        |schema: Option<String>, table: String| Place::Odbc(Box::new(OdbcConfig { schema, table, ..odbc.clone() }));
    samples(odbc, &odbc.reading(), named, mark, place).await
}

/// What a watermark in a column of this type would hold. SQLite has no type of times: there the cells say it.
fn of_sql_type(engine: Engine, of_type: &str) -> Option<MarkKind> {
    let of_type = of_type.to_lowercase();
    let is = |parts: &[&str]| parts.iter().any(|part| of_type.starts_with(part));
    if is(&["timestamp", "datetime"]) {
        Some(MarkKind::Timestamp)
    } else if is(&["int", "bigint", "numeric", "decimal", "smallint", "number"]) {
        Some(MarkKind::Number)
    } else {
        (engine == Engine::Sqlite).then_some(MarkKind::Timestamp)
    }
}

async fn samples(
    database: &dyn Database,
    reading: &Reading,
    named: &[String],
    mark: impl Fn(&str) -> Option<MarkKind>,
    place: impl Fn(Option<String>, String) -> Place,
) -> Result<Vec<Sample>, Error> {
    let mut offers = Offers::new(database, reading);
    let offered = offers.all(named).await?;
    if let Some(name) = named.iter().find(|name| !offered.iter().any(|offer| same(&offer.table.name, name))) {
        return Err(Error::NotThere(name.clone()));
    }
    if offered.len() > OFFERED {
        return Err(Error::TooMany(offered.len()));
    }
    let (mut samples, mut failed) = (Vec::new(), None);
    for offer in offered.into_iter().filter(|offer| !offer.table.columns.is_empty()) {
        match offers.rows(&offer.table, ROWS).await {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => {
                let place = place(offer.table.schema.clone(), offer.table.name.clone());
                samples.push(Sample { table: table(offer, rows, &mark), place });
            }
            // One view that is broken is no reason to see nothing of the others.
            Err(error) if named.is_empty() => failed = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    offers.end().await?;
    match (samples.is_empty(), failed) {
        (false, _) => Ok(samples),
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(Error::NoTable),
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn table(offer: Offer, rows: Vec<Vec<String>>, mark: impl Fn(&str) -> Option<MarkKind>) -> Table {
    let Offer { table, comment, told } = offer;
    let columns = table.columns.into_iter().zip(told).map(|(column, told)| Column {
        mark: mark(&column.of_type),
        heading: column.name,
        comment: told.comment,
        indexed: told.indexed,
        key: told.key,
    });
    Table { name: table.name, titles: comment.into_iter().collect(), columns: columns.collect(), rows }
}

/// Settings with which a database is looked at: its statements are given up sooner than a source's.
pub(super) const TIMEOUT_S: u64 = 30;

/// Something that cannot be pointed at.
pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::InvalidInput, what.into()))
}
