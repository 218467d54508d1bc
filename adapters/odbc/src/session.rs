//! A connection to a database.

use std::{borrow::Cow, cell::Cell, collections::BTreeSet, fmt, io};

use odbc_api::{
    Connection, ConnectionOptions, Cursor, Error, IntoParameter as _, ResultSetMetadata as _, Utf16String,
    buffers::{ColumnarBuffer, TextColumn},
    environment, escape_attribute_value,
    parameter::VarCharBox,
};

use crate::{
    fetch,
    protocol::{Column, Offered, Text},
    text::Narrow,
};

/// Characters of a name in the catalogue.
const NAME: usize = 512;
/// And bytes of it.
const NAME_BYTES: usize = NAME * 4;
/// Where SQLColumns has what is said of a column.
const REMARKS: u16 = 12;
/// Columns of the catalogue fetched at a time.
const COLUMNS: usize = 64;

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver's word.
    Driver {
        /// SQLSTATE.
        state: String,
        /// Its message.
        said: String,
    },
    /// The adapter is gone.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn told(said: impl Into<String>) -> Self {
        Self::Driver { state: String::new(), said: said.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Diagnostics { record, .. } => {
                Self::Driver { state: String::from_utf8_lossy(&record.state.0).into_owned(), said: record.to_string() }
            }
            Error::TooLargeValueForBuffer { buffer_index, .. } => {
                Self::told(format!("column {} of the answer holds a longer text than is fetched", buffer_index + 1))
            }
            _ => Self::told(error.to_string()),
        }
    }
}

/// How names and statements are spoken; one and the same for ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    /// In UTF-16, to a driver that has it.
    Wide,
    /// Byte by byte, to one that has not.
    Bytes,
}

pub(crate) struct Session {
    connection: Connection<'static>,
    /// Of values and of the catalogue's answers; none where they are UTF-16.
    narrow: Option<Narrow>,
    /// Found out with the catalogue, before a statement has a name that is not ASCII.
    speech: Cell<Speech>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub(crate) fn open(attributes: &[(String, String)], timeout_s: u32, text: Text) -> Result<Self, Failure> {
        let parts = attributes.iter().map(|(name, value)| match name.as_str() {
            "DRIVER" => format!("DRIVER={{{value}}};"),
            _ => format!("{name}={};", escape_attribute_value(value)),
        });
        let string: String = parts.collect();
        let options = ConnectionOptions { login_timeout_sec: Some(timeout_s), ..ConnectionOptions::default() };
        let connection = environment()?.connect_with_connection_string(&string, options)?;
        let narrow = Narrow::of(text);
        let speech = Cell::new(if narrow.is_some() { Speech::Bytes } else { Speech::Wide });
        Ok(Self { connection, narrow, speech })
    }

    /// The database's name for itself, and how it quotes names.
    pub(crate) fn product(&self) -> Result<(String, Option<char>), Failure> {
        let quote = self.connection.identifier_quote_char()?;
        Ok((self.connection.database_management_system_name()?, quote.filter(|quote| *quote != ' ')))
    }

    pub(crate) fn run(&self, text: &str) -> Result<(), Failure> {
        self.connection.execute(&self.spoken(self.speech.get(), text)?, (), None)?;
        Ok(())
    }

    /// A transaction; `text` is its first statement.
    pub(crate) fn begin(&self, text: Option<&str>) -> Result<(), Failure> {
        self.connection.set_autocommit(false)?;
        text.map_or(Ok(()), |text| self.run(text))
    }

    pub(crate) fn end(&self) -> Result<(), Failure> {
        self.connection.rollback()?;
        self.connection.set_autocommit(true)?;
        Ok(())
    }

    /// What the driver manager is given for a text.
    fn spoken<'a>(&self, speech: Speech, text: &'a str) -> Result<Cow<'a, str>, Failure> {
        Ok(match (speech, self.narrow) {
            (Speech::Bytes, Some(narrow)) => narrow.bytewise(text)?.into(),
            _ => text.into(),
        })
    }

    /// The columns of all tables of this name, and how the statements that have their names are to be spoken.
    ///
    /// No statement has UTF-16 that is not ASCII for a driver that may lack it: what becomes of it there could be a quote.
    pub(crate) fn describe(&self, schema: Option<&str>, table: &str) -> Result<Vec<Column>, Failure> {
        let found = self.columns(self.speech.get(), schema, table)?;
        if self.narrow.is_none() {
            return Ok(found);
        }
        if found.is_empty() && !(schema.unwrap_or_default().is_ascii() && table.is_ascii()) {
            // A driver without UTF-16 may refuse what becomes of the name; what it did understand is not there.
            let found = match self.columns(Speech::Wide, schema, table) {
                Err(Failure::Driver { .. }) => Vec::new(),
                found => found?,
            };
            self.speech.set(if found.is_empty() { Speech::Bytes } else { Speech::Wide });
            return Ok(found);
        }
        let plain = |column: &Column| {
            column.schema.as_deref().unwrap_or_default().is_ascii() && column.table.is_ascii() && column.name.is_ascii()
        };
        if let Some(column) = found.iter().find(|column| !plain(column)) {
            let same = self.catalogue(Speech::Bytes, column.schema.as_deref(), &column.table, &column.name)?;
            let understood = !same.is_empty() && same.iter().all(|one| one.name == column.name);
            self.speech.set(if understood { Speech::Bytes } else { Speech::Wide });
        }
        Ok(found)
    }

    /// The catalogue functions take patterns, and some databases keep names in upper case: so they are asked for each
    /// case, and only what equals the name but for case is told.
    fn columns(&self, speech: Speech, schema: Option<&str>, table: &str) -> Result<Vec<Column>, Failure> {
        let mut columns: Vec<Column> = Vec::new();
        for pattern in BTreeSet::from([table.to_owned(), table.to_uppercase(), table.to_lowercase()]) {
            for found in self.catalogue(speech, schema, &pattern, "%")? {
                let same_schema = schema.is_none_or(|schema| found.schema.as_deref() == Some(schema));
                let same = found.table.to_lowercase() == table.to_lowercase() && same_schema;
                if same && !columns.contains(&found) {
                    columns.push(found);
                }
            }
        }
        Ok(columns)
    }

    /// What the catalogue has for patterns.
    fn catalogue(
        &self,
        speech: Speech,
        schema: Option<&str>,
        table: &str,
        column: &str,
    ) -> Result<Vec<Column>, Failure> {
        // The driver's own word, as it came.
        let catalogue = self.connection.current_catalog().unwrap_or_default();
        let mut statement = self.connection.preallocate()?;
        let spoken = |text| self.spoken(speech, text);
        let (schema, table, column) = (spoken(schema.unwrap_or("%"))?, spoken(table)?, spoken(column)?);
        let mut cursor = statement.columns_cursor(&catalogue, &schema, &table, &column)?;
        // TABLE_SCHEM, TABLE_NAME, COLUMN_NAME, DATA_TYPE; REMARKS, which not every driver has
        let remarks = u16::try_from(cursor.num_result_cols()?).is_ok_and(|count| count >= REMARKS);
        let remarks = remarks.then_some(REMARKS);
        let mut columns = Vec::new();
        for row in self.listed(cursor, &[2, 3, 4, 5], remarks)? {
            let [schema, Some(table), Some(name), Some(data_type), remarks] = row else { continue };
            let data_type = data_type.trim().parse().map_err(|_| Failure::told("a type is no number"))?;
            columns.push(Column { schema, table, name, data_type, remarks });
        }
        Ok(columns)
    }

    /// The tables and views of a schema, or of all.
    pub(crate) fn offer(&self, schema: Option<&str>) -> Result<Vec<Offered>, Failure> {
        let offered = self.offered(self.speech.get(), schema)?;
        if offered.is_empty() && self.narrow.is_some() && !schema.unwrap_or_default().is_ascii() {
            // As in `describe`.
            return match self.offered(Speech::Wide, schema) {
                Err(Failure::Driver { .. }) => Ok(Vec::new()),
                offered => offered,
            };
        }
        Ok(offered)
    }

    fn offered(&self, speech: Speech, schema: Option<&str>) -> Result<Vec<Offered>, Failure> {
        let catalogue = self.connection.current_catalog().unwrap_or_default();
        let mut statement = self.connection.preallocate()?;
        let schema = self.spoken(speech, schema.unwrap_or("%"))?;
        let cursor = statement.tables_cursor(&catalogue, &schema, "%", "TABLE,VIEW")?;
        // TABLE_SCHEM, TABLE_NAME, and REMARKS
        let rows = self.listed(cursor, &[2, 3], Some(5))?;
        let tables = rows
            .into_iter()
            .filter_map(|[schema, name, remarks]: [_; 3]| Some(Offered { schema, name: name?, remarks }));
        Ok(tables.collect())
    }

    /// Rows of a catalogue's answer: its cells at `places`, then its remarks, where it has them. Those may be cut off;
    /// then they are left out if that was in the middle of a character.
    fn listed<const CELLS: usize>(
        &self,
        cursor: impl Cursor,
        places: &[u16],
        remarks: Option<u16>,
    ) -> Result<Vec<[Option<String>; CELLS]>, Failure> {
        let (names, places) = (places.len(), places.iter().copied().chain(remarks));
        let mut rows = Vec::new();
        if let Some(narrow) = self.narrow {
            let buffers = places.map(|place| (place, TextColumn::<u8>::new(COLUMNS, NAME_BYTES))).collect();
            let mut cursor = cursor.bind_buffer(ColumnarBuffer::new(buffers))?;
            while let Some(batch) = cursor.fetch()? {
                let cell = |row, place| batch.column(place).get(row).map(|name| narrow.decode(name));
                listed(batch.num_rows(), (names, remarks.is_some()), cell, &mut rows)?;
            }
        } else {
            let buffers = places.map(|place| (place, TextColumn::<u16>::new(COLUMNS, NAME))).collect();
            let mut cursor = cursor.bind_buffer(ColumnarBuffer::new(buffers))?;
            while let Some(batch) = cursor.fetch()? {
                let cell = |row, place| batch.column(place).get(row).map(|name| String::from_utf16(name).ok());
                listed(batch.num_rows(), (names, remarks.is_some()), cell, &mut rows)?;
            }
        }
        Ok(rows)
    }

    /// Runs a statement; `each` takes its rows, so many at a time.
    pub(crate) fn rows(
        &self,
        text: &str,
        binds: &[String],
        (limit, timeout_s): (u64, u64),
        each: &mut dyn FnMut(Vec<fetch::Row>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut statement = self.connection.preallocate()?;
        // Not every driver has such a bound; the adapter has one of its own.
        let _ = statement.set_query_timeout_sec(usize::try_from(timeout_s).unwrap_or(usize::MAX));
        let text = self.spoken(self.speech.get(), text)?;
        let executed = if let Some(narrow) = self.narrow {
            let bytes = binds.iter().map(|value| narrow.encode(value).map(VarCharBox::from_vec));
            statement.execute(&text, bytes.collect::<Result<Vec<_>, _>>()?.as_slice())?
        } else {
            let wide: Vec<_> = binds.iter().map(|value| Utf16String::from_str(value).into_parameter()).collect();
            statement.execute(&text, wide.as_slice())?
        };
        let Some(mut cursor) = executed else { return Ok(()) };
        let count = u16::try_from(cursor.num_result_cols()?).unwrap_or(0);
        let mut columns = Vec::new();
        for place in 1..=count {
            let mut description = odbc_api::ColumnDescription::default();
            cursor.describe_col(place, &mut description)?;
            columns.push(fetch::Column::of(description.data_type));
        }
        match self.narrow {
            None => fetch::wide(cursor, &columns, limit, each),
            Some(narrow) => fetch::narrow(cursor, &columns, limit, narrow, each),
        }
    }
}

/// Adds rows of `names` cells and, where there are any, remarks; `cell` gives what stands in a row at a place, which is
/// none where that is no text.
fn listed<const CELLS: usize>(
    count: usize,
    (names, remarks): (usize, bool),
    cell: impl Fn(usize, usize) -> Option<Option<String>>,
    rows: &mut Vec<[Option<String>; CELLS]>,
) -> Result<(), Failure> {
    for number in 0..count {
        let mut row = [const { None }; CELLS];
        for (place, taken) in row.iter_mut().enumerate().take(names) {
            let no_text = || Failure::told("a name in the catalogue is no text in the encoding configured");
            *taken = cell(number, place).map(|name| name.ok_or_else(no_text)).transpose()?;
        }
        if remarks {
            row[names] = cell(number, names).flatten();
        }
        rows.push(row);
    }
    Ok(())
}
