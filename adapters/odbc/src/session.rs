//! A connection to a database.

use std::{collections::BTreeSet, fmt, io};

use odbc_api::{
    Connection, ConnectionOptions, Error, IntoParameter as _, ResultSetMetadata as _, Utf16String,
    buffers::{ColumnarBuffer, TextColumn},
    environment, escape_attribute_value,
};

use crate::{
    fetch::{self, utf16},
    protocol::{Column, Offered, Text},
};

/// Characters of a name in the catalogue.
const NAME: usize = 512;
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

pub(crate) struct Session {
    connection: Connection<'static>,
    text: Text,
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
        Ok(Self { connection, text })
    }

    /// The database's name for itself, and how it quotes names.
    pub(crate) fn product(&self) -> Result<(String, Option<char>), Failure> {
        let quote = self.connection.identifier_quote_char()?;
        Ok((self.connection.database_management_system_name()?, quote.filter(|quote| *quote != ' ')))
    }

    pub(crate) fn run(&self, text: &str) -> Result<(), Failure> {
        self.connection.execute(text, (), None)?;
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

    /// The columns of all tables of this name. The catalogue functions take patterns, and some databases keep names
    /// in upper case: so they are asked for each case, and only what equals the name but for case is told.
    pub(crate) fn describe(&self, schema: Option<&str>, table: &str) -> Result<Vec<Column>, Failure> {
        let catalogue = self.connection.current_catalog().unwrap_or_default();
        let mut columns: Vec<Column> = Vec::new();
        for pattern in BTreeSet::from([table.to_owned(), table.to_uppercase(), table.to_lowercase()]) {
            let mut statement = self.connection.preallocate()?;
            let mut cursor = statement.columns_cursor(&catalogue, schema.unwrap_or("%"), &pattern, "%")?;
            // TABLE_SCHEM, TABLE_NAME, COLUMN_NAME, DATA_TYPE; REMARKS, which not every driver has
            let remarks = u16::try_from(cursor.num_result_cols()?).is_ok_and(|count| count >= REMARKS);
            let places = (2..=5).chain(remarks.then_some(REMARKS));
            let places = places.map(|place| (place, TextColumn::<u16>::new(COLUMNS, NAME))).collect();
            let mut cursor = odbc_api::Cursor::bind_buffer(cursor, ColumnarBuffer::new(places))?;
            while let Some(batch) = cursor.fetch()? {
                for row in 0..batch.num_rows() {
                    let cell = |place: usize| batch.column(place).get(row).map(utf16).transpose();
                    let (Some(name), Some(column), Some(data_type)) = (cell(1)?, cell(2)?, cell(3)?) else { continue };
                    let data_type = data_type.trim().parse().map_err(|_| Failure::told("a type is no number"))?;
                    let remarks = if remarks { cell(4)? } else { None };
                    let found = Column { schema: cell(0)?, table: name, name: column, data_type, remarks };
                    let same_schema = schema.is_none_or(|schema| found.schema.as_deref() == Some(schema));
                    let same = found.table.to_lowercase() == table.to_lowercase() && same_schema;
                    if same && !columns.contains(&found) {
                        columns.push(found);
                    }
                }
            }
        }
        Ok(columns)
    }

    /// The tables and views of a schema, or of all.
    pub(crate) fn offer(&self, schema: Option<&str>) -> Result<Vec<Offered>, Failure> {
        let catalogue = self.connection.current_catalog().unwrap_or_default();
        let mut statement = self.connection.preallocate()?;
        let cursor = statement.tables_cursor(&catalogue, schema.unwrap_or("%"), "%", "TABLE,VIEW")?;
        // TABLE_SCHEM, TABLE_NAME, and REMARKS
        let places = [2, 3, 5].map(|place| (place, TextColumn::<u16>::new(COLUMNS, NAME))).into();
        let mut cursor = odbc_api::Cursor::bind_buffer(cursor, ColumnarBuffer::new(places))?;
        let mut tables = Vec::new();
        while let Some(batch) = cursor.fetch()? {
            for row in 0..batch.num_rows() {
                let cell = |place: usize| batch.column(place).get(row).map(utf16).transpose();
                let Some(name) = cell(1)? else { continue };
                tables.push(Offered { schema: cell(0)?, name, remarks: cell(2)? });
            }
        }
        Ok(tables)
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
        let binds: Vec<_> = binds.iter().map(|value| Utf16String::from_str(value).into_parameter()).collect();
        let Some(mut cursor) = statement.execute(text, binds.as_slice())? else { return Ok(()) };
        let count = u16::try_from(cursor.num_result_cols()?).unwrap_or(0);
        let mut columns = Vec::new();
        for place in 1..=count {
            let mut description = odbc_api::ColumnDescription::default();
            cursor.describe_col(place, &mut description)?;
            columns.push(fetch::Column::of(description.data_type));
        }
        match self.text {
            Text::Wide => fetch::wide(cursor, &columns, limit, each),
            Text::Utf8 => fetch::narrow(cursor, &columns, limit, fetch::utf8, each),
            Text::Gbk => fetch::narrow(cursor, &columns, limit, fetch::gb18030, each),
        }
    }
}
