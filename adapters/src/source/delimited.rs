//! Records of a delimited text (RFC 4180), with the bounds that a hostile or broken file needs: published readers take
//! a quotation mark that is never closed silently, and swallow the rest of the file with it.

use std::io::{self, BufRead};

use memchr::memchr3;

use crate::problem::{Reason, Refused};

/// The longest record.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The most lines of one record.
pub(crate) const MAX_LINES: u64 = 50;
/// The most cells of one record.
pub(crate) const MAX_COLUMNS: usize = 1_000;

/// One record, as it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) cells: Vec<String>,
    /// There was text after a closing quotation mark.
    pub(crate) misquoted: bool,
}

/// Why reading ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    CellStart,
    Plain,
    Quoted,
    /// After a mark inside a quoted cell: the cell's end, or the first of two.
    Mark,
    /// After the end of a quoted cell, where only a separator or line end belongs.
    Closed,
}

/// Reads record after record.
pub(crate) struct Records<R> {
    input: R,
    separator: u8,
    line: u64,
    after_return: bool,
}

/// A record being read.
struct Building {
    line: u64,
    lines: u64,
    bytes: usize,
    place: Place,
    cell: Vec<u8>,
    cells: Vec<String>,
    misquoted: bool,
}

impl Building {
    fn end_cell(&mut self) -> Result<(), ReadError> {
        let cell = String::from_utf8(std::mem::take(&mut self.cell))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        self.cells.push(cell);
        self.place = Place::CellStart;
        if self.cells.len() > MAX_COLUMNS { Err(self.too_long("columns")) } else { Ok(()) }
    }

    fn too_long(&self, of: &str) -> ReadError {
        Refused::new(Reason::RecordTooLong, Some(self.line), format!("too many {of}")).into()
    }

    /// Takes one byte that is not a line end outside of quotation marks.
    fn take(&mut self, byte: u8, separator: u8) -> Result<(), ReadError> {
        self.bytes += 1;
        if self.bytes > MAX_BYTES {
            return Err(self.too_long("bytes"));
        }
        match (self.place, byte) {
            (Place::CellStart, b'"') => self.place = Place::Quoted,
            (Place::Quoted, b'"') => self.place = Place::Mark,
            (Place::Mark, b'"') => {
                self.cell.push(b'"');
                self.place = Place::Quoted;
            }
            (Place::Quoted, _) => self.cell.push(byte),
            (_, _) if byte == separator => return self.end_cell(),
            (Place::Mark | Place::Closed, b' ' | b'\t') => self.place = Place::Closed,
            (Place::Mark | Place::Closed, _) => {
                self.misquoted = true;
                self.cell.push(byte);
                self.place = Place::Plain;
            }
            (Place::CellStart | Place::Plain, _) => {
                self.cell.push(byte);
                self.place = Place::Plain;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Records<R> {
    /// Reads UTF-8 text.
    pub(crate) fn new(input: R, separator: u8) -> Self {
        Self { input, separator, line: 1, after_return: false }
    }

    /// The next record; `None` at the end. Empty lines are records of one empty cell.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let mut record = Building {
            line: self.line,
            lines: 1,
            bytes: 0,
            place: Place::CellStart,
            cell: Vec::new(),
            cells: Vec::new(),
            misquoted: false,
        };
        let mut anything = false;
        while let Some(byte) = self.byte()? {
            let second_of_pair = byte == b'\n' && std::mem::take(&mut self.after_return);
            self.after_return = byte == b'\r';
            if second_of_pair {
                // The line feed of a CR LF whose CR already ended the line (or stands in a quoted cell).
                if !anything {
                    record.line = self.line;
                }
                continue;
            }
            anything = true;
            if !matches!(byte, b'\n' | b'\r') {
                record.take(byte, self.separator)?;
                self.run(&mut record)?;
                continue;
            }
            self.line += 1;
            if record.place != Place::Quoted {
                return Self::finish(record).map(Some);
            }
            record.lines += 1;
            if record.lines > MAX_LINES {
                return Err(record.too_long("lines"));
            }
            record.take(b'\n', self.separator)?;
        }
        if record.place == Place::Quoted {
            return Err(Refused::new(Reason::QuoteOpen, Some(record.line), "").into());
        }
        if anything { Self::finish(record).map(Some) } else { Ok(None) }
    }

    fn finish(mut record: Building) -> Result<Record, ReadError> {
        record.end_cell()?;
        Ok(Record { line: record.line, cells: record.cells, misquoted: record.misquoted })
    }

    /// Takes what stands before the next byte that may mean something, as far as it is in the buffer.
    fn run(&mut self, record: &mut Building) -> Result<(), ReadError> {
        let ending = match record.place {
            Place::Plain => self.separator,
            Place::Quoted => b'"',
            Place::CellStart | Place::Mark | Place::Closed => return Ok(()),
        };
        let buffer = self.input.fill_buf()?;
        let length = memchr3(ending, b'\n', b'\r', buffer).unwrap_or(buffer.len());
        record.bytes += length;
        if record.bytes > MAX_BYTES {
            return Err(record.too_long("bytes"));
        }
        record.cell.extend_from_slice(&buffer[..length]);
        self.input.consume(length);
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.input.fill_buf()?.first().copied();
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, separator: u8) -> Result<Vec<(u64, Vec<String>)>, ReadError> {
        let mut records = Records::new(text.as_bytes(), separator);
        let mut out = Vec::new();
        while let Some(record) = records.next()? {
            out.push((record.line, record.cells));
        }
        Ok(out)
    }

    fn cells(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (line, cells.iter().map(|&cell| cell.to_owned()).collect())
    }

    #[test]
    fn quotes_line_ends_and_separators_of_every_kind() {
        let text = "甲,乙\r\n\"a,b\",\"说\"\"是\"\"\"\r\"两\r\n行\",x\n\n末,";
        let expected = [
            cells(1, &["甲", "乙"]),
            cells(2, &["a,b", "说\"是\""]),
            cells(3, &["两\n行", "x"]),
            cells(5, &[""]),
            cells(6, &["末", ""]),
        ];
        assert_eq!(all(text, b',').unwrap(), expected);
        assert_eq!(all("a;b,c\td", b';').unwrap(), [cells(1, &["a", "b,c\td"])]);
        assert_eq!(all("a;b\tc", b'\t').unwrap(), [cells(1, &["a;b", "c"])]);
        assert_eq!(all("5\" 管,b", b',').unwrap(), [cells(1, &["5\" 管", "b"])]);
        assert!(all("", b',').unwrap().is_empty());
    }

    #[test]
    fn text_behind_a_closing_mark_is_told() {
        let mut records = Records::new("\"高青\"示例,b\n\"c\" ,d\n".as_bytes(), b',');
        assert!(records.next().unwrap().unwrap().misquoted);
        let second = records.next().unwrap().unwrap();
        assert!(!second.misquoted);
        assert_eq!(second.cells, ["c", "d"]);
    }

    #[test]
    fn what_is_open_or_too_long_refuses_the_file_with_its_line() {
        let refused = |text: &str| match all(text, b',') {
            Err(ReadError::Refused(refused)) => (refused.reason, refused.line.unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("a,b\nc,\"d\ne,f\n"), (Reason::QuoteOpen, 2));
        assert_eq!(refused(&format!("a\n\"{}\"", "x\n".repeat(60))), (Reason::RecordTooLong, 2));
        assert_eq!(refused(&format!("a\n\n{}", "x".repeat(MAX_BYTES + 1))), (Reason::RecordTooLong, 3));
        assert_eq!(refused(&",".repeat(MAX_COLUMNS + 1)), (Reason::RecordTooLong, 1));
    }
}
