//! What the adapter and its helper `weft-odbc` say to each other over the helper's standard input and output: each
//! message is its length (four bytes, little end first) and JSON. The helper answers every request, in order; it ends
//! when its input does. Shared by both programs as source text, so that neither links the other's libraries.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Both sides must be of one make.
pub const VERSION: u32 = 2;
/// A longer message is a mistake.
pub const LONGEST: usize = 64 << 20;
/// What a cell begins with whose bytes are no text in the encoding; no text has this character, which is none
/// (Unicode, 23.7 Noncharacters). What follows tells one such cell from another.
pub const UNREADABLE: char = '\u{ffff}';

/// What the adapter asks.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Connect; once, first.
    Connect {
        /// Of the protocol.
        version: u32,
        /// Attribute and value; values are escaped by the helper.
        attributes: Vec<(String, String)>,
        /// Seconds.
        login_timeout_s: u32,
        /// How text goes and comes.
        text: Text,
    },
    /// Begin a transaction.
    Begin {
        /// Its first statement.
        text: Option<String>,
    },
    /// End it; nothing of it stays.
    End,
    /// Run a statement that gives no rows, or whose rows do not matter.
    Run {
        /// The statement.
        text: String,
    },
    /// What the catalogue says of tables of this name, whatever its case.
    Describe {
        /// The schema; all where none is given.
        schema: Option<String>,
        /// The name.
        table: String,
    },
    /// Which tables and views there are.
    Offer {
        /// The schema; all where none is given.
        schema: Option<String>,
    },
    /// Run a statement and send its rows.
    Rows {
        /// The statement.
        text: String,
        /// Its values, bound as text.
        binds: Vec<String>,
        /// End after so many rows.
        limit: Option<u64>,
        /// Seconds.
        timeout_s: u64,
    },
}

/// Without the attributes: the password is among them.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect { .. } => "Connect",
            Self::Begin { .. } => "Begin",
            Self::End => "End",
            Self::Run { .. } => "Run",
            Self::Describe { .. } => "Describe",
            Self::Offer { .. } => "Offer",
            Self::Rows { .. } => "Rows",
        })
    }
}

/// How text goes to a driver and comes from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Text {
    /// As UTF-16, converted by the driver.
    #[default]
    Wide,
    /// As bytes in UTF-8.
    Utf8,
    /// As bytes in GBK or GB18030.
    Gbk,
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Connected to such a database.
    Connected {
        /// Its product name.
        product: String,
        /// How names are quoted.
        quote: Option<char>,
    },
    /// The statement ran.
    Ran,
    /// Columns, table by table.
    Described(Vec<Column>),
    /// Tables and views.
    Offered(Vec<Offered>),
    /// Some rows; more follow. A cell that is no text begins with [`UNREADABLE`].
    Rows(Vec<Vec<Option<String>>>),
    /// No more rows.
    End,
    /// The request failed. The session is of no more use.
    Failed {
        /// SQLSTATE, where the driver gave one.
        state: String,
        /// What the driver said.
        said: String,
    },
}

/// A table or view as the catalogue functions know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Its schema, where there are schemas.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub remarks: Option<String>,
}

/// A column as the catalogue functions know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The table's schema, where there are schemas.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The column.
    pub name: String,
    /// SQL data type, as ODBC numbers them.
    pub data_type: i16,
    /// What is said of it, where the driver tells.
    pub remarks: Option<String>,
}

/// A message as bytes.
///
/// # Errors
/// It is too long.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    let short = u32::try_from(length).ok().filter(|_| length <= LONGEST);
    let short = short.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the message is too long"))?;
    bytes[..4].copy_from_slice(&short.to_le_bytes());
    Ok(bytes)
}

/// Sends a message, whole.
///
/// # Errors
/// The other side is gone, or the message is too long.
#[allow(dead_code, reason = "the helper sends so, the adapter without blocking")]
pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}

/// The next message; `None` at the end.
///
/// # Errors
/// It is cut off, too long, or no message.
#[allow(dead_code, reason = "the helper reads so, the adapter without blocking")]
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = vec![0; checked(length)?];
    from.read_exact(&mut bytes)?;
    parse(&bytes).map(Some)
}

fn other() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other side speaks another protocol")
}

/// The length that a message begins with.
///
/// # Errors
/// It is too long.
pub fn checked(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    (length <= LONGEST).then_some(length).ok_or_else(other)
}

/// A message from its bytes.
///
/// # Errors
/// It is none.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|_| other())
}
