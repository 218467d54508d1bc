//! A statement that both engines understand, what goes into it and what comes out.
//!
//! The text is the same for both: `$1`, `$2` … are single values; `{batch}` stands for many rows at once and is what the
//! engines differ in (`UNNEST` of one array per column, or `json_each`), see [`super::Engine`].

use bytes::Bytes;

use super::Error;

/// One cell, on its way in or out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A number, or a flag read back (0 or 1).
    Int(i64),
    /// A flag on its way in.
    Bool(bool),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

/// Offsets and versions end at 2^53 − 1 by their own rules; what is larger saturates, so that no comparison wraps round.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Blob(Bytes::copy_from_slice(bytes))
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Self {
        Self::Blob(bytes.clone())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column of a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Int,
    /// A flag.
    Bool,
    /// Text.
    Text,
    /// A few bytes: a hash, an id.
    Hash,
    /// Many bytes: an envelope.
    Envelope,
}

/// The columns of a batch, by the names that the statement calls them.
pub type Columns = &'static [(&'static str, Kind)];

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Its text, `-- name` in the first line; `{version}` stands for the columns of a version in the order of
    /// [`super::cells::version`], out of `v`.
    pub text: &'static str,
    /// How many single values it takes: `$1` … .
    pub singles: usize,
    /// The columns of its batch; empty when it takes none.
    pub batch: Columns,
}

/// What is bound to a statement.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// `$1` … in order.
    pub singles: Vec<Value>,
    /// The rows of the batch, each in the order of [`Statement::batch`].
    pub batch: Vec<Vec<Value>>,
}

impl Args {
    /// Single values only.
    pub fn singles(singles: impl Into<Vec<Value>>) -> Self {
        Self { singles: singles.into(), batch: Vec::new() }
    }

    /// A batch only.
    pub fn batch(batch: Vec<Vec<Value>>) -> Self {
        Self { singles: Vec::new(), batch }
    }
}

/// The columns of a version, out of `v`.
const VERSION: &str = "v.record_id, v.version, v.record_type, v.department, v.event, v.status, v.frozen, v.suspended, \
     v.valid_from, v.valid_until, v.iat, v.accepted_at, v.kid, v.submission_id, v.content_digest, v.substance_digest, \
     v.erased, v.topic, v.partition_no, v.entry_offset, v.entry_key, v.entry_id, v.envelope";

impl Statement {
    /// Its name, from its first line.
    pub fn name(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
    }

    /// The text with `source`, an engine's way to spell the batch, in its place.
    pub(crate) fn sql(&self, source: &str) -> String {
        self.text.replace("{batch}", source).replace("{version}", VERSION)
    }
}

/// The cells of one row that was read, taken from left to right.
#[derive(Debug)]
pub struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    /// Over a row.
    pub(crate) fn new(row: Vec<Value>) -> Self {
        Self(row.into_iter())
    }

    /// The next cell.
    pub(crate) fn value(&mut self) -> Result<Value, Error> {
        self.0.next().ok_or_else(|| broken("a column is missing"))
    }

    /// A number or nothing.
    pub(crate) fn opt_int(&mut self) -> Result<Option<i64>, Error> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            other => Err(broken(&format!("a number was expected, not {}", kind_of(&other)))),
        }
    }

    /// A number.
    pub(crate) fn int(&mut self) -> Result<i64, Error> {
        self.opt_int()?.ok_or_else(|| broken("a number is null"))
    }

    /// A number that is not negative, or nothing.
    pub(crate) fn opt_count(&mut self) -> Result<Option<u64>, Error> {
        self.opt_int()?.map(|number| u64::try_from(number).map_err(|_| broken("a number is negative"))).transpose()
    }

    /// A number that is not negative.
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        self.opt_count()?.ok_or_else(|| broken("a number is null"))
    }

    /// A flag.
    pub(crate) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.int()? != 0)
    }

    /// Text or nothing.
    pub(crate) fn opt_text(&mut self) -> Result<Option<String>, Error> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(broken(&format!("text was expected, not {}", kind_of(&other)))),
        }
    }

    /// Text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.opt_text()?.ok_or_else(|| broken("a text is null"))
    }

    /// Bytes or nothing.
    pub(crate) fn opt_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            other => Err(broken(&format!("bytes were expected, not {}", kind_of(&other)))),
        }
    }

    /// Bytes.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, Error> {
        self.opt_bytes()?.ok_or_else(|| broken("bytes are null"))
    }

    /// `N` bytes or nothing.
    pub(crate) fn opt_hash<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        self.opt_bytes()?
            .map(|bytes| {
                bytes[..].try_into().map_err(|_| broken(&format!("{} bytes stand where {N} belong", bytes.len())))
            })
            .transpose()
    }

    /// `N` bytes.
    pub(crate) fn hash<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.opt_hash()?.ok_or_else(|| broken("bytes are null"))
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Int(_) => "a number",
        Value::Bool(_) => "a flag",
        Value::Text(_) => "text",
        Value::Blob(_) => "bytes",
    }
}

/// A row that does not have the shape of its table.
pub(crate) fn broken(what: &str) -> Error {
    Error::Unavailable(format!("the index is broken: {what}"))
}
