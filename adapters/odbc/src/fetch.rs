//! Rows of a cursor, every cell as text: converted by the driver, which alone knows how its numbers and times are
//! written.

use odbc_api::{
    Cursor, DataType,
    buffers::{ColumnarBuffer, TextColumn},
};

use crate::session::Failure;

/// A row: text, or NULL.
pub(crate) type Row = Vec<Option<String>>;

/// Memory of the rows fetched at a time, and how many they are at most.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_ROWS: usize = 256;
/// Drivers do not know how long a text without a bound is: so many characters are fetched at least and at most. A
/// longer one is an error, never cut off.
const LEAST: usize = 4_096;
const MOST: usize = 32_768;
/// Enough for every number and time.
const SHORT: usize = 256;

/// How a column is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Characters.
    length: usize,
    /// Filled up with blanks that are no part of the text.
    padded: bool,
}

impl Column {
    pub(crate) fn of(data_type: DataType) -> Self {
        let size = data_type.display_size().map_or(0, std::num::NonZeroUsize::get);
        match data_type {
            DataType::Char { .. } | DataType::WChar { .. } => Self { length: size.clamp(SHORT, MOST), padded: true },
            DataType::Varchar { .. }
            | DataType::WVarchar { .. }
            | DataType::LongVarchar { .. }
            | DataType::WLongVarchar { .. }
            | DataType::Unknown
            | DataType::Other { .. } => {
                Self { length: if size == 0 { MOST } else { size.clamp(LEAST, MOST) }, padded: false }
            }
            _ => Self { length: size.clamp(SHORT, MOST), padded: false },
        }
    }

    fn text(self, mut text: String) -> String {
        if self.padded {
            text.truncate(text.trim_end_matches(' ').len());
        }
        text
    }
}

/// Rows fetched at a time, when a character takes so many bytes.
fn batch(columns: &[Column], character: usize) -> usize {
    let row: usize = columns.iter().map(|column| (column.length + 1) * character + 8).sum();
    (BATCH_BYTES / row.max(1)).clamp(1, BATCH_ROWS)
}

type Each<'a> = &'a mut dyn FnMut(Vec<Row>) -> Result<(), Failure>;

/// The rows of a cursor, with columns of one kind of character.
macro_rules! hand_over {
    ($cursor:expr, $buffers:expr, $columns:expr, $limit:expr, $decode:expr, $each:expr) => {{
        let mut cursor = $cursor.bind_buffer(ColumnarBuffer::new($buffers))?;
        let mut left = $limit;
        while let Some(batch) = cursor.fetch_with_truncation_check(true)? {
            let count = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
            let mut rows = Vec::with_capacity(count);
            for number in 0..count {
                let mut row = Row::with_capacity($columns.len());
                for (place, column) in $columns.iter().enumerate() {
                    let cell = batch.column(place).get(number).map(|text| $decode(text)).transpose()?;
                    row.push(cell.map(|text| column.text(text)));
                }
                rows.push(row);
            }
            left -= count as u64;
            $each(rows)?;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }};
}

pub(crate) fn wide(cursor: impl Cursor, columns: &[Column], limit: u64, each: Each<'_>) -> Result<(), Failure> {
    let rows = batch(columns, 2);
    let buffers = (1..).zip(columns).map(|(place, column)| (place, TextColumn::<u16>::new(rows, column.length)));
    hand_over!(cursor, buffers.collect(), columns, limit, utf16, each)
}

/// How bytes become text.
type Decode = fn(&[u8]) -> Result<String, Failure>;

pub(crate) fn narrow(
    cursor: impl Cursor,
    columns: &[Column],
    limit: u64,
    decode: Decode,
    each: Each<'_>,
) -> Result<(), Failure> {
    // Up to four bytes a character, of lengths that drivers give in characters.
    let wide: Vec<Column> = columns.iter().map(|column| Column { length: column.length * 4, ..*column }).collect();
    let rows = batch(&wide, 1);
    let buffers = (1..).zip(&wide).map(|(place, column)| (place, TextColumn::<u8>::new(rows, column.length)));
    hand_over!(cursor, buffers.collect(), columns, limit, decode, each)
}

fn no_text(kind: &str) -> Failure {
    Failure::Driver { state: "22021".to_owned(), said: format!("a value is no {kind}") }
}

pub(crate) fn utf16(text: &[u16]) -> Result<String, Failure> {
    String::from_utf16(text).map_err(|_| no_text("UTF-16"))
}

pub(crate) fn utf8(text: &[u8]) -> Result<String, Failure> {
    String::from_utf8(text.to_vec()).map_err(|_| no_text("UTF-8"))
}

pub(crate) fn gb18030(text: &[u8]) -> Result<String, Failure> {
    let decoded = encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(text);
    decoded.map(std::borrow::Cow::into_owned).ok_or_else(|| no_text("GB18030"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn only_char_is_trimmed_and_lengths_are_bounded() {
        let char18 = Column::of(DataType::Char { length: NonZeroUsize::new(18) });
        assert_eq!(char18.text("3703  ".into()), "3703");
        assert_eq!(char18.text("   ".into()), "");
        let varchar = Column::of(DataType::Varchar { length: NonZeroUsize::new(255) });
        assert_eq!((varchar.length, varchar.text("a ".into())), (LEAST, "a ".to_owned()));
        assert_eq!(Column::of(DataType::WLongVarchar { length: NonZeroUsize::new(1 << 30) }).length, MOST);
        assert_eq!(batch(&[varchar; 200], 2), 2);
        assert_eq!(batch(&[], 2), BATCH_ROWS);
    }

    #[test]
    fn bytes_are_text_or_an_error() {
        assert_eq!(gb18030(&[0xb8, 0xdf, 0xc7, 0xe0]).unwrap(), "高青");
        assert!(gb18030(&[0xff, 0xff]).is_err() && utf8(&[0xb8]).is_err() && utf16(&[0xd800]).is_err());
    }
}
