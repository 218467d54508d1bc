//! Names of a configuration, found in the database's catalogue: what the catalogue does not have is never read.

use std::io;

use super::{
    Reading, Session,
    statement::{Column, Select, Table},
};
use crate::text;

/// What is to be read, named as the catalogue names it.
pub(super) async fn select(session: &mut dyn Session, reading: &Reading, columns: &[String]) -> io::Result<Select> {
    let tables = session.tables(reading.schema.as_deref(), &reading.table).await?;
    let table = only(tables.iter(), &reading.table, |table| &table.name).map_err(|found| match found {
        0 => io::Error::other(format!("the catalogue shows no table or view {:?} to this account", reading.table)),
        _ => io::Error::other(format!("{found} tables are named {:?}: name the schema", reading.table)),
    })?;
    let column = |name: &String| -> io::Result<Column> {
        let found = only(table.columns.iter(), name, |column| &column.name);
        found.cloned().map_err(|found| {
            let what = if found == 0 { "has no column" } else { "has more than one column" };
            io::Error::other(format!("{:?} {what} {name:?}", table.name))
        })
    };
    Ok(Select {
        dialect: session.dialect(),
        columns: columns.iter().map(column).collect::<io::Result<_>>()?,
        mark: reading.watermark.as_ref().map(|watermark| column(&watermark.column)).transpose()?,
        keys: reading.key.iter().map(column).collect::<io::Result<_>>()?,
        table: Table { schema: table.schema.clone(), name: table.name.clone(), columns: Vec::new() },
    })
}

/// The one of this name; else the only one of this name but for case, width and blanks; else how many there are.
fn only<'a, T>(
    all: impl Iterator<Item = &'a T> + Clone,
    name: &str,
    of: impl Fn(&T) -> &String,
) -> Result<&'a T, usize> {
    let pick = |found: Vec<&'a T>| if let [one] = found[..] { Ok(one) } else { Err(found.len()) };
    let exact: Vec<_> = all.clone().filter(|one| of(one) == name).collect();
    if !exact.is_empty() {
        return pick(exact);
    }
    let form = |name: &str| text::heading(name).to_lowercase();
    pick(all.filter(|one| form(of(one)) == form(name)).collect())
}
