//! JSON as departments' systems have it: records as a list, one after the other, or in a member of a wrapping object;
//! numbers keep their text. Read from a stream, with one record in memory.
//!
//! What two readers could understand differently is refused: a name that stands twice, an unpaired surrogate, text that
//! is not UTF-8. So is what would need more than the bounds.

mod cells;
mod reader;
mod records;

pub(crate) use cells::Columns;
pub(crate) use reader::Reader;
pub(crate) use records::Records;

/// A value. Members stand in the order of the text; no name stands twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is written: `1.10` is not `1.1`.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The value at a path of names and indexes.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| match value {
            Self::Object(members) => members.iter().find(|(name, _)| name == step).map(|(_, value)| value),
            Self::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The steps of a path such as `holders/0/name`; within a step `~1` is `/` and `~0` is `~` (as in RFC 6901).
pub(crate) fn path(text: &str) -> Vec<String> {
    let steps = text.split('/').filter(|step| !step.is_empty());
    steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

/// How much one record may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of a record's text.
    pub(crate) bytes: usize,
    /// Values in a record, nested ones counted.
    pub(crate) values: usize,
    /// Lists and objects within each other.
    pub(crate) depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 1 << 20, values: 10_000, depth: 32 }
    }
}

/// Why reading ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The text is not taken.
    #[error("line {line}: {what}")]
    Fault {
        /// The line, from 1.
        line: u64,
        /// What is wrong; never a value.
        what: &'static str,
    },
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads one text that is one value.
///
/// # Errors
/// It is not JSON, or needs more than `bounds`.
pub(crate) fn parse(text: &[u8], bounds: Bounds) -> Result<Value, Error> {
    let mut reader = Reader::new(text, bounds);
    let value = reader.record()?;
    match reader.peek()? {
        None => Ok(value),
        Some(_) => Err(reader.fault("text after the value")),
    }
}

#[cfg(test)]
mod tests;
