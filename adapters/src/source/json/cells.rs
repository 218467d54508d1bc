//! The cells of a record: what stands at the paths of the columns.

use super::{Value, path};
use crate::problem::{Reason, RowProblem};

/// Between the items of a list of plain values.
const BETWEEN: &str = "、";

/// The columns of a mapping, as paths.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    names: Vec<String>,
    paths: Vec<Vec<String>>,
    seen: Vec<bool>,
}

impl Columns {
    pub(crate) fn new(columns: &[String]) -> Self {
        let paths = columns.iter().map(|column| path(column)).collect();
        Self { names: columns.to_vec(), paths, seen: vec![false; columns.len()] }
    }

    /// The cells of record `number`; what is not there is empty.
    ///
    /// # Errors
    /// What stands at a column is no plain value.
    pub(crate) fn cells(&mut self, record: &Value, number: u64) -> Result<Vec<String>, Box<RowProblem>> {
        let mut cells = Vec::with_capacity(self.paths.len());
        for (index, path) in self.paths.iter().enumerate() {
            let value = record.at(path);
            self.seen[index] |= value.is_some();
            let cell = value.map_or(Some(String::new()), cell);
            let wrong = || RowProblem::new(number, &self.names[index], Reason::ValueNotPlain);
            cells.push(cell.ok_or_else(|| Box::new(wrong()))?);
        }
        Ok(cells)
    }

    /// The columns that no record had so far.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &str> {
        self.names.iter().zip(&self.seen).filter(|(_, seen)| !**seen).map(|(name, _)| name.as_str())
    }
}

/// A value as a cell; `None` where it has no text of its own.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::List(items) => {
            // An item with the separator in it could not be told from two.
            let plain = |item| plain(item).filter(|text| items.len() == 1 || !text.contains(BETWEEN));
            Some(items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(BETWEEN))
        }
        value => plain(value),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(text) | Value::Text(text) => Some(text.clone()),
        Value::List(_) | Value::Object(_) => None,
    }
}
