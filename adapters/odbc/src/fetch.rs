//! Rows of a cursor, every cell as text: converted by the driver, which alone knows how its numbers and times are
//! written.

use odbc_api::{
    Cursor, DataType,
    buffers::{ColumnarBuffer, TextColumn},
};

use crate::{
    protocol::UNREADABLE,
    session::Failure,
    text::{Narrow, unreadable},
};

/// A row: text, or NULL; a cell that cannot be decoded begins with [`UNREADABLE`].
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
                    let cell = batch.column(place).get(number);
                    row.push(cell.map(|units| match $decode(units).filter(|text| !text.contains(UNREADABLE)) {
                        Some(text) => column.text(text),
                        None => unreadable(units),
                    }));
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
    hand_over!(cursor, buffers.collect(), columns, limit, |units| String::from_utf16(units).ok(), each)
}

pub(crate) fn narrow(
    cursor: impl Cursor,
    columns: &[Column],
    limit: u64,
    narrow: Narrow,
    each: Each<'_>,
) -> Result<(), Failure> {
    // Up to four bytes a character, of lengths that drivers give in characters.
    let wide: Vec<Column> = columns.iter().map(|column| Column { length: column.length * 4, ..*column }).collect();
    let rows = batch(&wide, 1);
    let buffers = (1..).zip(&wide).map(|(place, column)| (place, TextColumn::<u8>::new(rows, column.length)));
    hand_over!(cursor, buffers.collect(), columns, limit, |bytes| narrow.decode(bytes), each)
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
}
