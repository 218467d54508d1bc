//! A file becomes samples: a text one, a workbook one for each sheet that holds a table.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use super::{
    json,
    place::{FilePlace, Place},
    sample::{Error, HEADING_ROWS, ROWS, Sample, of_grid, width},
};
use crate::{
    source::{
        delimited::{ReadError, Records},
        encoding::{Utf8Reader, Wanted, survey},
        file::{Format, SheetConfig},
        sheet::{self, Kind},
    },
    text,
};

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// How a database of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
const ARCHIVE: &[u8] = b"PK\x03\x04";
const COMPOUND: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// Whether a file is a database of SQLite.
///
/// # Errors
/// It cannot be read.
pub fn is_sqlite(path: &Path) -> io::Result<bool> {
    Ok(beginning(path)?.starts_with(SQLITE))
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Reads a file. `helper` is the program that reads workbooks, as in [`crate::Surroundings`].
///
/// # Errors
/// It cannot be read, is broken, or holds no table.
pub fn read(path: &Path, helper: &Path) -> Result<Vec<Sample>, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let by_name = Format::Auto.of(&name);
    let format = match (by_content(&beginning(path)?), &by_name) {
        (Some(format), _) => format,
        (None, Some(Err(end))) => return Err(Error::Kind(end.clone())),
        (None, Some(Ok(format))) => *format,
        (None, None) => looks_like(path)?,
    };
    // Where the name says something else, or nothing, the configuration has to.
    let told = Some(format).filter(|format| by_name != Some(Ok(*format)));
    let file = FilePlace { format: told, ..FilePlace::default() };
    match format {
        Format::Xlsx => workbook(path, (&name, file), helper, Kind::Xlsx),
        Format::Xls => workbook(path, (&name, file), helper, Kind::Xls),
        Format::Json => {
            let (table, records) = json::read(name, || text_of(path))?;
            Ok(vec![Sample { table, place: Place::File(FilePlace { records, ..file }) }])
        }
        Format::Auto | Format::Delimited => {
            Ok(vec![Sample { table: of_grid(name, &delimited(path)?, false)?, place: Place::File(file) }])
        }
    }
}

fn by_content(begin: &[u8]) -> Option<Format> {
    if begin.starts_with(ARCHIVE) {
        Some(Format::Xlsx)
    } else if begin.starts_with(COMPOUND) {
        Some(Format::Xls)
    } else {
        None
    }
}

/// What a text is whose name does not say it.
fn looks_like(path: &Path) -> Result<Format, Error> {
    let mut begin = Vec::new();
    text_of(path)?.take(64).read_to_end(&mut begin)?;
    let first = begin.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(if matches!(first, Some(b'{' | b'[')) { Format::Json } else { Format::Delimited })
}

/// A text as UTF-8, in whichever encoding all of it is.
fn text_of(path: &Path) -> Result<BufReader<Utf8Reader<io::Take<File>>>, Error> {
    let survey = survey(File::open(path)?, Wanted::Auto)?;
    Ok(BufReader::new(Utf8Reader::new(File::open(path)?.take(survey.bytes), survey.encoding?)))
}

/// The rows of a delimited text, under the separator that gives the most columns.
fn delimited(path: &Path) -> Result<Vec<Vec<String>>, Error> {
    let survey = survey(File::open(path)?, Wanted::Auto)?;
    let encoding = survey.encoding?;
    let mut best: Vec<Vec<String>> = Vec::new();
    let mut broken = None;
    for separator in SEPARATORS {
        let reader = Utf8Reader::new(File::open(path)?.take(survey.bytes), encoding);
        match grid(Records::new(BufReader::new(reader), separator)) {
            Ok(grid) if width(&grid) > width(&best) => best = grid,
            Ok(_) => {}
            Err(ReadError::Refused(refused)) => broken = Some(refused),
            Err(error) => return Err(error.into()),
        }
    }
    match broken {
        Some(refused) if width(&best) < 2 => Err(refused.into()),
        _ => Ok(best),
    }
}

fn grid<R: io::BufRead>(mut records: Records<R>) -> Result<Vec<Vec<String>>, ReadError> {
    let mut grid = Vec::new();
    while grid.len() < ROWS + HEADING_ROWS {
        let Some(record) = records.next()? else { break };
        grid.push(record.cells);
    }
    Ok(grid)
}

/// The sheets that hold a table, each named where there is more than one.
fn workbook(path: &Path, (name, file): (&str, FilePlace), helper: &Path, kind: Kind) -> Result<Vec<Sample>, Error> {
    let sheets = sheet::sample(helper, File::open(path)?, kind, ROWS + HEADING_ROWS, &SheetConfig::default())?;
    let several = sheets.len() > 1;
    let mut samples = Vec::new();
    for sheet in sheets {
        let grid: Vec<Vec<String>> = sheet.rows.into_iter().map(|row| row.cells).collect();
        let Ok(mut table) = of_grid(name.to_owned(), &grid, true) else { continue };
        let computed = |heading: &&String| {
            let stands = |row: &Vec<String>| {
                sheet
                    .formulas
                    .iter()
                    .any(|&at| row.get(at).is_some_and(|cell| text::heading(cell) == text::heading(heading)))
            };
            grid.iter().take(HEADING_ROWS).any(stands)
        };
        let headings = table.columns.iter().map(|column| &column.heading);
        let formulas = headings.filter(computed).cloned().collect();
        // A sheet's name says what is in it, like a title.
        table.titles.push(sheet.name.clone());
        let place = FilePlace { sheet: Some(sheet.name).filter(|_| several), formulas, ..file.clone() };
        samples.push(Sample { table, place: Place::File(place) });
    }
    if samples.is_empty() { Err(Error::NoHeading) } else { Ok(samples) }
}
