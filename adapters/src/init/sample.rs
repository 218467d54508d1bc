//! A sample of a source becomes a table.

use super::place::Place;
use crate::{
    mapping,
    source::{delimited::ReadError, table::MarkKind},
    text,
};

/// Rows that are looked at.
pub(super) const ROWS: usize = 2_000;
/// Among so many rows the heading is looked for, as when a file is read.
pub(super) const HEADING_ROWS: usize = 30;

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
    /// It has no records, or none with members that are plain values.
    #[error("no list of records was found in the JSON")]
    NoRecords,
    /// It is a table of such a kind, which is not read.
    #[error("a table of the kind {0} is not read")]
    Kind(String),
    /// The account sees nothing that it can read.
    #[error("the account sees no table or view with rows that it can read")]
    NoTable,
    /// The account does not see this one.
    #[error("the catalogue shows no table or view {0:?} to this account")]
    NotThere(String),
    /// Too many to look at.
    #[error("{0} tables and views are more than are looked at; name those that are meant")]
    TooMany(usize),
}

impl Error {
    /// What is wrong and what to do, in Chinese and English.
    #[must_use]
    pub fn told(&self) -> (String, String) {
        let (zh, en): (&str, &str) = match self {
            Self::Io(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                ("地址或选项不能使用；请按提示改正", "the address or an option cannot be used; correct it as told")
            }
            Self::Io(_) => (
                "样例或数据源无法读取；请检查路径、网络、账号和权限",
                "the sample or source cannot be read; check path, network, account and rights",
            ),
            Self::Refused(refused) => (refused.reason.zh(), refused.reason.en()),
            Self::NoHeading => (
                "前 30 行中没有表头，或表头下没有数据行；请给出带表头和若干行数据的样例",
                "there is no heading row among the first 30, or no row below it; give a sample with a heading and some rows",
            ),
            Self::NoRecords => (
                "JSON 中没有找到记录列表；请给出含若干条记录的样例",
                "no list of records was found in the JSON; give a sample with some records",
            ),
            Self::Kind(_) => (
                "不读取这种表格；请另存为 .xlsx 或 UTF-8 编码的 .csv",
                "this kind of table is not read; save it as .xlsx or as .csv in UTF-8",
            ),
            Self::NoTable => (
                "该账号看不到有数据可读的表或视图；请授予 SELECT 权限，或用 --schema、--table 指明",
                "the account sees no table or view with rows; grant it SELECT, or name them with --schema and --table",
            ),
            Self::NotThere(_) => (
                "该账号看不到所指的表或视图；请核对名称、--schema 和权限",
                "the account does not see the table or view that is named; check its name, --schema and the rights",
            ),
            Self::TooMany(_) => (
                "表和视图太多，不逐一查看；请用 --table 指明",
                "there are too many tables and views to look at; name those that are meant with --table",
            ),
        };
        (zh.to_owned(), en.to_owned())
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its heading, name or path, as it stands.
    pub heading: String,
    /// What the database says of it.
    pub comment: Option<String>,
    /// What a watermark in it would hold, where its type is one of times or numbers.
    pub mark: Option<MarkKind>,
    /// An index of the database begins with it.
    pub indexed: bool,
    /// It is part of the primary key.
    pub key: bool,
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

/// How many cells most rows have.
pub(super) fn width(grid: &[Vec<String>]) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for row in grid.iter().filter(|row| filled(row) > 1) {
        *counts.entry(row.len()).or_insert(0_usize) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map_or(0, |(width, _)| width)
}

fn filled(row: &[String]) -> usize {
    row.iter().filter(|cell| !text::trim(cell).is_empty()).count()
}

/// A table that may become a source.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What stands in it.
    pub table: Table,
    /// Where it is.
    pub place: Place,
}

/// Finds the heading of a grid of cells, and what belongs to it.
///
/// A row with fewer cells than the heading has shifted, unless rows are `ragged`: those of a sheet end with their last
/// filled cell.
///
/// # Errors
/// There is none.
pub(super) fn of_grid(name: String, grid: &[Vec<String>], ragged: bool) -> Result<Table, Error> {
    let width = width(grid);
    let at = grid.iter().take(HEADING_ROWS).position(|row| is_heading(row, width)).ok_or(Error::NoHeading)?;
    let headings: Vec<String> = grid[at].iter().map(|cell| text::heading(cell)).collect();
    let named = |index: &usize| {
        let heading = &headings[*index];
        !heading.is_empty() && headings.iter().filter(|other| *other == heading).count() == 1
    };
    let kept: Vec<usize> = (0..headings.len()).filter(named).collect();
    let columns = kept.iter().map(|&index| Column { heading: plain(&grid[at][index]), ..Column::default() }).collect();
    let titles = grid[..at].iter().flatten().map(|cell| text::trim(cell).to_owned());
    let rows = grid[at + 1..].iter().filter(|row| (ragged || row.len() >= headings.len()) && filled(row) > 0);
    // Where a page began the heading may stand again.
    let rows = rows.filter(|row| !row.iter().zip(&headings).all(|(cell, heading)| text::heading(cell) == *heading));
    let cell = |row: &[String], index: usize| row.get(index).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> =
        rows.take(ROWS).map(|row| kept.iter().map(|&index| cell(row, index)).collect()).collect();
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
