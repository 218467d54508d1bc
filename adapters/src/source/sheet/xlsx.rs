//! The cells of an XLSX workbook, streamed.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Write},
};

use calamine::{Reader as _, Xlsx, XlsxCellReader, XlsxError};

use super::{
    Request,
    archive::{self, Stop, unreadable},
    cell::Value,
    child::pass,
    facts::{self, Facts},
    sample,
    table::{self, Choice, Grid, Placed, Table},
};
use crate::problem::{Reason, Refused};

/// A compound file with an encrypted package in it is an XLSX with a password.
pub(super) fn is_encrypted(file: &File) -> bool {
    matches!(Xlsx::new(BufReader::new(file)), Err(XlsxError::Password))
}

/// Reads a workbook whose archive, parts and XML are looked at first.
pub(super) fn read(file: &File, request: &Request, out: &mut impl Write) -> Result<(), Stop> {
    let mut facts = look(file, request)?;
    let mut workbook = Xlsx::new(BufReader::new(file)).map_err(|_| unreadable(""))?;
    if let Some(rows) = request.sample {
        for name in workbook.sheet_names() {
            if let Some(mut cells) = cells(&mut workbook, &name)? {
                sample::pass(&mut cells, &name, rows, out)?;
            }
        }
        return Ok(());
    }
    let mut choice = Choice::new(request.sheet.as_deref());
    for name in workbook.sheet_names() {
        if !choice.admits(&name) {
            continue;
        }
        if let Some(mut cells) = cells(&mut workbook, &name)? {
            let found = table::heading(&mut cells, &request.columns)?;
            choice.add(&name, found);
        }
    }
    let (name, heading) = choice.made()?;
    let facts = facts.remove(&name).unwrap_or_default();
    let mut cells = cells(&mut workbook, &name)?.ok_or_else(|| unreadable(""))?;
    pass(&mut cells, Table::new(request.rules(), heading, facts), out)
}

/// What is to know about every sheet; refuses what is not safe to read.
fn look(file: &File, request: &Request) -> Result<HashMap<String, Facts>, Stop> {
    let mut archive = archive::open(BufReader::new(file))?;
    let mut all = HashMap::new();
    let mut cells = 0;
    for (name, part) in facts::sheets(&mut archive)? {
        let facts = facts::of_sheet(&mut archive, &part)?;
        cells += facts.cells;
        all.insert(name, facts);
    }
    facts::of_workbook(&mut archive, cells, request.max_strings)?;
    Ok(all)
}

/// The cells of a sheet; `None` where the sheet is a chart.
fn cells<'a, 'f>(workbook: &'a mut Xlsx<BufReader<&'f File>>, name: &str) -> Result<Option<Cells<'a, 'f>>, Stop> {
    match workbook.worksheet_cells_reader(name) {
        Ok(reader) => Ok(Some(Cells { reader, before: None })),
        Err(XlsxError::NotAWorksheet(_)) => Ok(None),
        Err(_) => Err(unreadable("")),
    }
}

type Inner<'a, 'f> = XlsxCellReader<'a, BufReader<&'f File>>;

struct Cells<'a, 'f> {
    reader: Inner<'a, 'f>,
    before: Option<(u32, u32)>,
}

impl Grid for Cells<'_, '_> {
    fn next(&mut self) -> Result<Option<Placed<'_>>, Refused> {
        let refused = |detail: &str, line: Option<u64>| Refused::new(Reason::WorkbookUnreadable, line, detail);
        let line = self.before.map(|(row, _)| u64::from(row) + 1);
        let cell = self.reader.next_cell_with_formula_metadata().map_err(|_| refused("", line))?;
        let Some(cell) = cell else { return Ok(None) };
        if self.before.is_some_and(|before| before >= cell.pos) {
            return Err(refused("cells out of order", line));
        }
        self.before = Some(cell.pos);
        let (row, column) = cell.pos;
        Ok(Some(Placed { row, column, value: Value::from(cell.value), formula: cell.formula.is_some() }))
    }
}
