//! The rows of one file, read on a thread that may block.

use std::{
    fs::File,
    io::{self, BufReader},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{FileConfig, Format, keep::modified_ns};
use crate::{
    problem::{Reason, Refused, RowProblem},
    source::{
        Item, Row, Stamp,
        delimited::{ReadError, Record, Records},
        encoding::Utf8Reader,
        hand::Hand,
        heading::{self, Heading},
        json,
        sheet::{self, Kind, Request},
    },
    text,
};

/// Reads `path`, which must be as `stamp` says, into `hand`.
pub(super) fn rows(
    path: &Path,
    stamp: &Stamp,
    columns: &[String],
    (config, helper): (&FileConfig, &Path),
    hand: &mut Hand<'_>,
) -> Result<(), ReadError> {
    let workbook = |kind, hand: &mut Hand<'_>| {
        let file = open(path, stamp)?;
        sheet::read(helper, file, &request(config, kind, columns), hand)
    };
    match stamp.format {
        Format::Auto | Format::Delimited => delimited(path, stamp, columns, hand)?,
        Format::Json => json(path, stamp, columns, &config.records, hand)?,
        Format::Xlsx => workbook(Kind::Xlsx, hand)?,
        Format::Xls => workbook(Kind::Xls, hand)?,
    }
    unchanged(&File::open(path)?, stamp)?;
    hand.flush();
    Ok(())
}

fn request(config: &FileConfig, kind: Kind, columns: &[String]) -> Request {
    let sheet = &config.sheet;
    Request {
        kind,
        sheet: sheet.name.clone(),
        columns: columns.to_vec(),
        formulas: sheet.formulas,
        max_rows: sheet.max_rows,
        max_strings: sheet.max_strings,
        memory_bytes: sheet.memory_mib << 20,
        cpu_seconds: sheet.cpu_seconds,
        sample: None,
    }
}

fn open(path: &Path, stamp: &Stamp) -> Result<File, ReadError> {
    let file = File::open(path)?;
    unchanged(&file, stamp)?;
    Ok(file)
}

fn unchanged(file: &File, stamp: &Stamp) -> Result<(), ReadError> {
    let meta = file.metadata()?;
    if (meta.len(), modified_ns(&meta)) == (stamp.bytes, stamp.modified_ns) {
        return Ok(());
    }
    Err(Refused::new(Reason::ChangedWhileRead, None, "").into())
}

/// The text of a file as UTF-8, no further than it was surveyed.
fn text_of(path: &Path, stamp: &Stamp) -> Result<BufReader<Utf8Reader<io::Take<File>>>, ReadError> {
    use std::io::Read as _;
    let bytes = open(path, stamp)?.take(stamp.bytes);
    Ok(BufReader::with_capacity(1 << 16, Utf8Reader::new(bytes, stamp.encoding)))
}

fn delimited(path: &Path, stamp: &Stamp, columns: &[String], hand: &mut Hand<'_>) -> Result<(), ReadError> {
    let heading = heading::find(|| text_of(path, stamp), columns)?;
    let mut records = Records::new(text_of(path, stamp)?, heading.separator);
    while let Some(record) = records.next()? {
        if record.line <= heading.line || record.cells.iter().all(|cell| text::trim(cell).is_empty()) {
            continue;
        }
        if !hand.over(item(record, &heading)) {
            break;
        }
    }
    Ok(())
}

fn item(mut record: Record, heading: &Heading) -> Item {
    let bad = |reason| Item::Bad(RowProblem::new(record.line, "", reason));
    if record.misquoted {
        return bad(Reason::QuoteMisplaced);
    }
    let (count, expected) = (record.cells.len(), heading.names.len());
    // Spreadsheets write empty cells behind the last column; anything else that differs has shifted.
    let only_empty_behind = count > expected && record.cells[expected..].iter().all(|cell| text::trim(cell).is_empty());
    if count != expected && !only_empty_behind {
        let detail = format!("{count} ≠ {expected}");
        return Item::Bad(RowProblem::new(record.line, "", Reason::ColumnsShifted).because(&detail, &detail));
    }
    if record.cells.iter().zip(&heading.names).all(|(cell, name)| text::heading(cell) == *name) {
        return bad(Reason::HeadingRepeated);
    }
    let cells = heading.positions.iter().map(|&at| std::mem::take(&mut record.cells[at])).collect();
    Item::Row(Row { line: record.line, cells })
}

fn json(path: &Path, stamp: &Stamp, columns: &[String], at: &str, hand: &mut Hand<'_>) -> Result<(), ReadError> {
    let mut columns = json::Columns::new(columns);
    let mut records = json::Records::new(text_of(path, stamp)?, json::Bounds::default(), json::path(at));
    let mut anything = false;
    while let Some((line, record)) = records.next()? {
        anything = true;
        let item = match columns.cells(&record, line) {
            Ok(cells) => Item::Row(Row { line, cells }),
            Err(problem) => Item::Bad(*problem),
        };
        if !hand.over(item) {
            return Ok(());
        }
    }
    for column in columns.unseen().filter(|_| anything) {
        hand.over(Item::Note(RowProblem::new(0, column, Reason::ColumnUnseen).as_note()));
    }
    Ok(())
}

impl From<json::Error> for ReadError {
    fn from(error: json::Error) -> Self {
        match error {
            json::Error::Fault { line, what } => Refused::new(Reason::JsonUnreadable, Some(line), what).into(),
            json::Error::Io(error) => Self::Io(error),
        }
    }
}

/// How files begin that are no text whatever their names say.
const BEGINNINGS: [(&[u8], &str); 4] = [
    (b"PK\x03\x04", "a zip archive or .xlsx"),
    (&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], "an .xls"),
    (b"%PDF", "a .pdf"),
    (&[0x1f, 0x8b], "a .gz"),
];

/// What a file is that should be text and is not.
pub(super) fn no_text(file: &File) -> io::Result<Option<&'static str>> {
    let mut begin = [0; 8];
    let read = file.read_at(&mut begin, 0)?;
    Ok(BEGINNINGS.iter().find(|(beginning, _)| begin[..read].starts_with(beginning)).map(|(_, what)| *what))
}
