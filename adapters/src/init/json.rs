//! JSON becomes a table: a column for every path that leads to a plain value.

use std::io::BufRead;

use super::sample::{Column, Error, ROWS, Table};
use crate::source::json::{self, Bounds, Columns, Reader, Records, Value};

/// Names that lead to the list of records, at most.
const STEPS: usize = 4;
/// Items of a list that have columns of their own.
const ITEMS: usize = 4;
/// Columns at most.
const COLUMNS: usize = 500;
/// So much is read to find the list of records.
const FAR: Bounds = Bounds { bytes: 64 << 20, values: 100_000, depth: 32 };

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Self {
        crate::source::delimited::ReadError::from(error).into()
    }
}

/// The table, and the keys that lead to its records; `open` gives the text from its beginning.
pub(super) fn read<R: BufRead>(
    name: String,
    mut open: impl FnMut() -> Result<R, Error>,
) -> Result<(Table, String), Error> {
    let plain = records(open()?, Vec::new());
    // One object, or one that is too long for a record, may only wrap the list.
    if let Ok(records) = &plain
        && (records.len() > 1 || !has_list(records))
    {
        return Ok((table(name, records)?, String::new()));
    }
    let mut path = Vec::new();
    if !list(&mut Reader::new(open()?, FAR), &mut path)? {
        return plain.and_then(|records| Ok((table(name, &records)?, String::new())));
    }
    let records = records(open()?, path.clone())?;
    let path: Vec<String> = path.iter().map(|step| escaped(step)).collect();
    Ok((table(name, &records)?, path.join("/")))
}

fn records<R: BufRead>(text: R, path: Vec<String>) -> Result<Vec<Value>, Error> {
    let mut records = Records::new(text, Bounds::default(), path);
    let mut all = Vec::new();
    while all.len() < ROWS {
        let Some((_, record)) = records.next()? else { break };
        all.push(record);
    }
    Ok(all)
}

/// Whether the one record holds a list of objects.
fn has_list(records: &[Value]) -> bool {
    fn held(value: &Value) -> bool {
        match value {
            Value::List(items) => items.iter().any(|item| matches!(item, Value::Object(_))),
            Value::Object(members) => members.iter().any(|(_, value)| held(value)),
            _ => false,
        }
    }
    records.iter().any(held)
}

/// Goes to the first list of objects that names alone lead to.
fn list<R: BufRead>(reader: &mut Reader<R>, path: &mut Vec<String>) -> Result<bool, json::Error> {
    match reader.peek()? {
        Some(b'[') => {
            reader.eat(b'[')?;
            if reader.peek()? == Some(b'{') {
                return Ok(true);
            }
            let mut ended = reader.eat(b']')?;
            while !ended {
                reader.record()?;
                ended = reader.eat(b']')?;
                if !ended {
                    reader.expect(b',', "a comma or closing bracket belongs here")?;
                }
            }
            Ok(false)
        }
        Some(b'{') if path.len() < STEPS => {
            reader.eat(b'{')?;
            let mut ended = reader.eat(b'}')?;
            while !ended {
                path.push(reader.name()?);
                if list(reader, path)? {
                    return Ok(true);
                }
                path.pop();
                ended = reader.eat(b'}')?;
                if !ended {
                    reader.expect(b',', "a comma or closing brace belongs here")?;
                }
            }
            Ok(false)
        }
        _ => reader.record().map(|_| false),
    }
}

fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Records as rows; those in which a column is no plain value are left out.
fn table(name: String, records: &[Value]) -> Result<Table, Error> {
    let mut paths = Vec::new();
    for record in records {
        leaves(record, "", &mut paths);
    }
    // What is an object in one record and null in another is named by what is below it.
    let within = |path: &String| {
        paths.iter().any(|other| other.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/')))
    };
    let paths: Vec<String> = paths.iter().filter(|path| !within(path)).cloned().collect();
    let mut columns = Columns::new(&paths);
    let rows: Vec<Vec<String>> = records.iter().filter_map(|record| columns.cells(record, 0).ok()).collect();
    if paths.is_empty() || rows.is_empty() {
        return Err(Error::NoRecords);
    }
    let columns = paths.into_iter().map(|heading| Column { heading, ..Column::default() }).collect();
    Ok(Table { name, titles: Vec::new(), columns, rows })
}

/// The paths of a record's plain values, in its order.
fn leaves(value: &Value, path: &str, paths: &mut Vec<String>) {
    let below = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| !name.is_empty()) {
                leaves(value, &below(&escaped(name)), paths);
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item, Value::Object(_) | Value::List(_))) => {
            for (index, item) in items.iter().enumerate().take(ITEMS) {
                leaves(item, &below(&index.to_string()), paths);
            }
        }
        _ if !path.is_empty() && paths.len() < COLUMNS && !paths.iter().any(|known| known == path) => {
            paths.push(path.to_owned());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Table, String), Error> {
        read("x.json".into(), || Ok(text.as_bytes()))
    }

    fn headings(table: &Table) -> Vec<&str> {
        table.columns.iter().map(|column| column.heading.as_str()).collect()
    }

    #[test]
    fn every_path_to_a_plain_value_is_a_column() {
        let text =
            "{\"a\":{\"b\":1.50,\"c~/\":[\"x\",\"y\"]},\"d\":null}\n{\"a\":{\"b\":2},\"d\":{\"e\":[{\"f\":true}]}}\n";
        let (table, records) = read_text(text).unwrap();
        assert_eq!(headings(&table), ["a/b", "a/c~0~1", "d/e/0/f"]);
        assert_eq!(table.rows, [["1.50", "x、y", ""], ["2", "", "true"]]);
        assert_eq!(records, "");
    }

    #[test]
    fn a_list_is_found_within_what_wraps_it() {
        let (table, records) =
            read_text("{\"code\":0,\"tags\":[1],\"data\":{\"total\":2,\"a/b\":[{\"k\":1},{\"k\":2}]},\"more\":[]}")
                .unwrap();
        assert_eq!((headings(&table), records.as_str(), table.rows.len()), (vec!["k"], "data/a~1b", 2));
        let (table, records) = read_text("[{\"k\":[{\"n\":1}]},{\"k\":[]}]").unwrap();
        assert_eq!((headings(&table), records.as_str()), (vec!["k/0/n"], ""));
        // One record after the other, each with a list: nothing wraps them.
        let (table, records) = read_text("{\"k\":[{\"n\":1}]}\n{\"k\":[{\"n\":2}]}\n").unwrap();
        assert_eq!((headings(&table), records.as_str()), (vec!["k/0/n"], ""));
    }

    #[test]
    fn what_is_no_list_of_records_is_said() {
        assert!(matches!(read_text("[]"), Err(Error::NoRecords)));
        assert!(matches!(read_text("{\"a\":"), Err(Error::Refused(_))));
        assert!(matches!(read_text("[1,2]"), Err(Error::Refused(_))));
    }
}
