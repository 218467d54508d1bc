//! What a source asks of a database, told before anybody gives it anything.

use super::{
    Access, Database, Reading,
    statement::{At, Column, Select, Statement, Table},
};

/// Every statement over the table, with the names of the configuration. Nothing is asked of the database.
pub(super) fn of(database: &dyn Database, reading: &Reading, columns: &[String], when: &str) -> Vec<Access> {
    let rate = match reading.rows_per_second {
        Some(rate) => format!("at most {rate} rows a second"),
        None => "no bound: set rows_per_second for one".to_owned(),
    };
    let rate = format!("{rate}; a statement is given up after {} s", reading.server_timeout().as_secs());
    let table = match &reading.schema {
        Some(schema) => format!("{schema}.{}", reading.table),
        None => reading.table.clone(),
    };
    let access = |purpose, statement: String, rights: String| Access {
        purpose,
        statement,
        rights,
        when: when.to_owned(),
        rate: rate.clone(),
    };
    let mut all: Vec<Access> = database
        .preparation(reading)
        .into_iter()
        .map(|text| access("opening a session that can only read", text, "connect".to_owned()))
        .collect();
    let mut wanted: Vec<&str> = Vec::new();
    let configured = columns.iter().chain(reading.watermark.iter().map(|mark| &mark.column)).chain(&reading.key);
    for column in configured {
        if !wanted.contains(&column.as_str()) {
            wanted.push(column);
        }
    }
    let rights = format!("SELECT on {table} ({})", wanted.join(", "));
    for (purpose, statement) in statements(database, reading, columns) {
        let text = statement.unwrap_or_else(|error| error.to_string());
        all.push(access(purpose, text, rights.clone()));
    }
    all
}

type Told = (&'static str, Result<String, std::io::Error>);

fn statements(database: &dyn Database, reading: &Reading, columns: &[String]) -> Vec<Told> {
    let column = |name: &String| Column { name: name.clone(), of_type: format!("<type of {name}>") };
    let select = Select {
        dialect: database.dialect(),
        table: Table { schema: reading.schema.clone(), name: reading.table.clone(), columns: Vec::new() },
        columns: columns.iter().map(column).collect(),
        mark: reading.watermark.as_ref().map(|watermark| column(&watermark.column)),
        keys: reading.key.iter().map(column).collect(),
    };
    let text = |statement: Result<Statement, _>| statement.map(|statement| statement.text);
    if select.mark.is_none() {
        return vec![("the whole table, compared with the one before", text(select.whole()))];
    }
    let value = || "text:".to_owned();
    let at = At { mark: value(), keys: vec![Some(value()); select.keys.len()] };
    let (from, until, limit) = (value(), value(), reading.unit_rows);
    vec![
        ("the newest watermark", text(select.newest())),
        ("rows without a watermark", text(select.unmarked(10_001))),
        ("rows changed since the last look", text(select.page(Some(&from), &until, None, limit))),
        ("the same, continued", text(select.page(None, &until, Some(&at), limit))),
    ]
}
