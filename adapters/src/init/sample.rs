//! A sample of a source becomes a table.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use crate::{
    mapping,
    source::{
        delimited::{ReadError, Records},
        encoding::{Utf8Reader, Wanted, survey},
    },
    text,
};

/// Rows that are looked at.
const ROWS: usize = 2_000;
/// Among so many rows the heading is looked for, as when a file is read.
const HEADING_ROWS: usize = 30;
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Why a sample cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the sample cannot be read")]
    Io(#[from] std::io::Error),
    /// It is broken.
    #[error(transparent)]
    Refused(#[from] crate::problem::Refused),
    /// It has no heading row with rows below.
    #[error("no heading row with rows below it was found among the first 30 rows")]
    NoHeading,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refused) => Self::Refused(refused),
            ReadError::Io(error) => Self::Io(error),
        }
    }
}

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading or name, as it stands.
    pub heading: String,
    /// What the database says of it.
    pub comment: Option<String>,
}

/// A sample: columns, and cells as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The file's or table's name.
    pub name: String,
    /// The texts above the heading, or the table's comment.
    pub titles: Vec<String>,
    /// The columns that have a heading of their own; others cannot be named.
    pub columns: Vec<Column>,
    /// Rows, each with a cell per column.
    pub rows: Vec<Vec<String>>,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, is broken, or has no heading.
pub fn read(path: &Path) -> Result<Table, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    of_grid(name, &delimited(path)?)
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

fn grid<R: std::io::BufRead>(mut records: Records<R>) -> Result<Vec<Vec<String>>, ReadError> {
    let mut grid = Vec::new();
    while grid.len() < ROWS + HEADING_ROWS {
        let Some(record) = records.next()? else { break };
        grid.push(record.cells);
    }
    Ok(grid)
}

/// How many cells most rows have.
fn width(grid: &[Vec<String>]) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for row in grid.iter().filter(|row| filled(row) > 1) {
        *counts.entry(row.len()).or_insert(0_usize) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map_or(0, |(width, _)| width)
}

fn filled(row: &[String]) -> usize {
    row.iter().filter(|cell| !text::trim(cell).is_empty()).count()
}

/// Finds the heading of a grid of cells, and what belongs to it.
///
/// # Errors
/// There is none.
pub(crate) fn of_grid(name: String, grid: &[Vec<String>]) -> Result<Table, Error> {
    let width = width(grid);
    let at = grid.iter().take(HEADING_ROWS).position(|row| is_heading(row, width)).ok_or(Error::NoHeading)?;
    let headings: Vec<String> = grid[at].iter().map(|cell| text::heading(cell)).collect();
    let named = |index: &usize| {
        let heading = &headings[*index];
        !heading.is_empty() && headings.iter().filter(|other| *other == heading).count() == 1
    };
    let kept: Vec<usize> = (0..headings.len()).filter(named).collect();
    let columns = kept.iter().map(|&index| Column { heading: plain(&grid[at][index]), comment: None }).collect();
    let titles = grid[..at].iter().flatten().map(|cell| text::trim(cell).to_owned());
    let rows = grid[at + 1..].iter().filter(|row| row.len() >= headings.len() && filled(row) > 0);
    // Where a page began the heading may stand again.
    let rows = rows.filter(|row| !row.iter().zip(&headings).all(|(cell, heading)| text::heading(cell) == *heading));
    let rows: Vec<Vec<String>> =
        rows.take(ROWS).map(|row| kept.iter().map(|&index| row[index].clone()).collect()).collect();
    if rows.is_empty() {
        return Err(Error::NoHeading);
    }
    Ok(Table { name, titles: titles.filter(|title| !title.is_empty()).collect(), columns, rows })
}

/// A heading on one line.
fn plain(cell: &str) -> String {
    text::trim(cell).split_whitespace().collect()
}

/// Most of its cells are filled and differ, and they are words, not data.
fn is_heading(row: &[String], width: usize) -> bool {
    let cells: Vec<String> = row.iter().map(|cell| text::heading(cell)).filter(|cell| !cell.is_empty()).collect();
    let mut differing = cells.clone();
    differing.sort();
    differing.dedup();
    let is_data = |cell: &&String| {
        let digits = cell.chars().filter(char::is_ascii_digit).count();
        digits >= 6 || digits * 2 > cell.chars().count() || mapping::parse_day(cell, None).is_ok()
    };
    let data = cells.iter().filter(is_data).count();
    cells.len() >= 2
        && cells.len() * 5 >= width * 3
        && differing.len() * 10 >= cells.len() * 9
        && data * 10 <= cells.len()
}
