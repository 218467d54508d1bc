//! Which rows and columns of an XLS workbook are hidden: the library does not tell. The records of the workbook's stream (MS-XLS)
//! are walked by their headers; of each sheet only ROW and COLINFO are looked into.

use std::{fs::File, io};

use super::{compound, facts::Facts};

/// Kinds of records (2.3).
const EOF: u16 = 0x000a;
const COLINFO: u16 = 0x007d;
const BOUND_SHEET: u16 = 0x0085;
const ROW: u16 = 0x0208;
const BOF: u16 = 0x0809;
/// Flags of ROW (2.4.221, fDyZero) and COLINFO (2.4.53, fHidden).
const ROW_HIDDEN: u16 = 0x20;
const COLUMN_HIDDEN: u16 = 0x01;

/// What is hidden in each sheet, in the order of the sheets.
///
/// # Errors
/// The stream of the workbook cannot be read to the end of each sheet.
pub(super) fn of(file: &File) -> io::Result<Vec<Facts>> {
    let stream = compound::stream(file, &["Workbook", "Book"])?;
    of_stream(&stream).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn number(body: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*body.get(at..)?.first_chunk()?))
}

/// Walks the records of one part of the stream, which begins at `from` with BOF and ends with its EOF; what is embedded in it has
/// both of its own, and is passed over.
fn walk(stream: &[u8], from: usize, mut each: impl FnMut(u16, &[u8]) -> Option<()>) -> Option<()> {
    let (mut rest, mut depth) = (stream.get(from..)?, 0_u32);
    loop {
        let (kind, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
        let body = rest.get(4..4 + length)?;
        match kind {
            BOF => depth += 1,
            EOF if depth <= 1 => return (depth == 1).then_some(()),
            EOF => depth -= 1,
            kind if depth == 1 => each(kind, body)?,
            _ => {}
        }
        rest = &rest[4 + length..];
    }
}

fn of_stream(stream: &[u8]) -> Option<Vec<Facts>> {
    let mut sheets = Vec::new();
    walk(stream, 0, |kind, body| {
        if kind == BOUND_SHEET {
            sheets.push(usize::from(number(body, 0)?) | usize::from(number(body, 2)?) << 16);
        }
        Some(())
    })?;
    sheets.into_iter().map(|from| of_sheet(stream, from)).collect()
}

fn of_sheet(stream: &[u8], from: usize) -> Option<Facts> {
    let mut facts = Facts::default();
    walk(stream, from, |kind, body| {
        match kind {
            ROW if number(body, 12)? & ROW_HIDDEN != 0 => {
                let row = u32::from(number(body, 0)?);
                facts.hide_rows((row, row));
            }
            COLINFO if number(body, 8)? & COLUMN_HIDDEN != 0 => {
                facts.hide_columns((number(body, 0)?.into(), number(body, 2)?.into()));
            }
            _ => {}
        }
        Some(())
    })?;
    Some(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &u16::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    }

    fn stream() -> Vec<u8> {
        let bof = record(BOF, &[0; 16]);
        let row = |number: u8, flags: u8| {
            record(ROW, &[&[number, 0, 0, 0, 2, 0, 255, 0, 0, 0, 0, 0, flags, 1, 0, 0][..]].concat())
        };
        let chart = [bof.clone(), row(9, 0x20), record(EOF, &[])].concat();
        let columns = record(COLINFO, &[2, 0, 4, 0, 0, 9, 0, 0, 1, 0, 0, 0]);
        let end = record(EOF, &[]);
        let sheet = [bof.clone(), columns, row(1, 0x20), row(2, 0x20), row(3, 0), chart, row(5, 0x21), end.clone()];
        let globals = |at: u32| {
            [bof.clone(), record(BOUND_SHEET, &[&at.to_le_bytes()[..], &[0; 4]].concat()), end.clone()].concat()
        };
        [globals(u32::try_from(globals(0).len()).unwrap()), sheet.concat()].concat()
    }

    #[test]
    fn hidden_rows_and_columns_are_seen_and_those_of_a_chart_are_not() {
        let facts = of_stream(&stream()).unwrap();
        assert_eq!((facts.len(), &facts[0].hidden_rows), (1, &vec![(1, 2), (5, 5)]));
        assert_eq!(facts[0].hidden_columns, [(2, 4)]);
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_none() {
        let whole = stream();
        for length in 0..whole.len() {
            assert_eq!(of_stream(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            // It comes to an end, whatever it finds.
            drop(of_stream(&damaged));
        }
    }
}
