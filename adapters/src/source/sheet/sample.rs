//! The first rows of every sheet, all their cells: for a proposal, before anybody knows which columns matter.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use super::{
    Kind, Request,
    archive::Stop,
    ask,
    cell::Value,
    frame::{Ended, Frame},
    table::Grid,
};
use crate::{
    problem::{Reason, Refused},
    source::{
        Row,
        delimited::{MAX_COLUMNS, ReadError},
        file::SheetConfig,
    },
};

/// More bytes of one sheet's rows are not taken.
const LONGEST: usize = 32 << 20;

/// The beginning of a sheet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    /// Its name.
    pub(crate) name: String,
    /// Rows that are not empty, with their number from 1; a row ends with its last cell that is filled.
    pub(crate) rows: Vec<Row>,
    /// The places of columns, from 0, in which a formula stands.
    pub(crate) formulas: Vec<usize>,
}

/// The first `rows` rows of every sheet of a workbook, read by a child under the limits of `config`.
pub(crate) fn sample(
    program: &Path,
    file: File,
    kind: Kind,
    rows: usize,
    config: &SheetConfig,
) -> Result<Vec<Sheet>, ReadError> {
    let bytes = file.metadata()?.len();
    if bytes > config.max_mib << 20 {
        return Err(Refused::new(Reason::FileTooLarge, None, format!("{} MiB", bytes >> 20)).into());
    }
    let request = Request {
        kind,
        sheet: None,
        columns: Vec::new(),
        formulas: true,
        max_rows: config.max_rows,
        max_strings: config.max_strings,
        memory_bytes: config.memory_mib << 20,
        cpu_seconds: config.cpu_seconds,
        sample: Some(rows),
    };
    let mut sheets = Vec::new();
    ask(program, file, &request, |output| gather(output, &mut sheets))?;
    Ok(sheets)
}

/// Takes what the child says; whether it came to its end.
fn gather(input: &mut impl Read, sheets: &mut Vec<Sheet>) -> Result<bool, ReadError> {
    let mut rows = Vec::new();
    loop {
        match Frame::read(input) {
            Ok(Some(Frame::Row(row))) => rows.push(row),
            Ok(Some(Frame::Sheet(Ended { name, formulas }))) => {
                let formulas = formulas.into_iter().map(|at| at as usize).collect();
                sheets.push(Sheet { name, rows: std::mem::take(&mut rows), formulas });
            }
            Ok(Some(Frame::Refused(refused))) => return Err(refused.into()),
            Ok(Some(Frame::End)) => return Ok(true),
            // A sample has no problems: what is wrong with a cell is told when its column is read.
            Ok(Some(Frame::Bad(_) | Frame::Note(_))) => {}
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The child's side: writes the first rows of a sheet.
pub(super) fn pass(grid: &mut impl Grid, name: &str, rows: usize, out: &mut impl Write) -> Result<(), Stop> {
    let mut ended = Ended { name: name.to_owned(), formulas: Default::default() };
    let (mut row, mut given, mut bytes) = (Row { line: 0, cells: Vec::new() }, 0, 0);
    while let Some(placed) = grid.next()? {
        let line = u64::from(placed.row) + 1;
        if line != row.line {
            given += usize::from(!row.cells.is_empty());
            give(&mut row, out)?;
            row.line = line;
            if given >= rows || bytes > LONGEST {
                break;
            }
        }
        let at = placed.column as usize;
        if at >= MAX_COLUMNS {
            continue;
        }
        if placed.formula {
            ended.formulas.insert(placed.column);
        }
        let Value::Text(text) = placed.value else { continue };
        if !text.is_empty() {
            row.cells.resize(row.cells.len().max(at + 1), String::new());
            bytes += text.len();
            row.cells[at] = text.into_owned();
        }
    }
    give(&mut row, out)?;
    Frame::Sheet(ended).write(out)?;
    Ok(())
}

fn give(row: &mut Row, out: &mut impl Write) -> io::Result<()> {
    let cells = std::mem::take(&mut row.cells);
    if cells.is_empty() { Ok(()) } else { Frame::Row(Row { line: row.line, cells }).write(out) }
}
