//! The cells of an XLS workbook. The library holds such a workbook whole: at most 65,536 rows of 256 columns.

use std::{
    fs::File,
    io::{BufReader, Write},
};

use calamine::{Data, Range, Reader as _, Xls, XlsError};

use super::{
    Request,
    archive::{Stop, unreadable, unsafe_workbook},
    cell::Value,
    child::pass,
    facts::{Facts, Region},
    hidden, sample,
    table::{self, Choice, Grid, Placed, Table},
};
use crate::problem::Refused;

pub(super) fn read(file: File, request: &Request, out: &mut impl Write) -> Result<(), Stop> {
    // Before the library holds the workbook too. What it then takes for a workbook although this could not be read is told.
    let mut hidden = hidden::of(&file).ok();
    let mut workbook = Xls::new(BufReader::new(file)).map_err(|error| match error {
        XlsError::Password => unsafe_workbook("encrypted"),
        _ => unreadable(""),
    })?;
    if !matches!(workbook.vba_project(), Ok(None)) {
        return Err(unsafe_workbook("macros"));
    }
    if let Some(rows) = request.sample {
        for name in workbook.sheet_names() {
            sample::pass(&mut cells(&mut workbook, &name)?, &name, rows, out)?;
        }
        return Ok(());
    }
    let mut choice = Choice::new(request.sheet.as_deref());
    let names = workbook.sheet_names();
    for name in names.clone() {
        if choice.admits(&name) {
            let found = table::heading(&mut cells(&mut workbook, &name)?, &request.columns)?;
            choice.add(&name, found);
        }
    }
    let (name, heading) = choice.made()?;
    let region = |region: &calamine::Dimensions| Region {
        rows: (region.start.0, region.end.0),
        columns: (region.start.1, region.end.1),
    };
    let merged = workbook.merge_cells_by_sheet_name(&name).unwrap_or_default().iter().map(region).collect();
    let at = names.iter().position(|one| *one == name);
    let known = hidden.as_mut().zip(at).and_then(|(hidden, at)| hidden.get_mut(at).map(std::mem::take));
    let unknown = || Facts { hidden_unknown: true, ..Facts::default() };
    let facts = Facts { merged, ..known.unwrap_or_else(unknown) };
    let mut cells = cells(&mut workbook, &name)?;
    pass(&mut cells, Table::new(request.rules(), heading, facts), out)
}

fn cells(workbook: &mut Xls<BufReader<File>>, name: &str) -> Result<Cells, Stop> {
    let values = workbook.worksheet_range(name).map_err(|_| unreadable(""))?;
    let formulas = workbook.worksheet_formula(name).map_err(|_| unreadable(""))?;
    Ok(Cells { start: values.start().unwrap_or_default(), values, formulas, next: 0 })
}

struct Cells {
    start: (u32, u32),
    values: Range<Data>,
    formulas: Range<String>,
    next: usize,
}

impl Grid for Cells {
    fn next(&mut self) -> Result<Option<Placed<'_>>, Refused> {
        loop {
            let (height, width) = self.values.get_size();
            if self.next >= height * width {
                return Ok(None);
            }
            let at = (self.next / width, self.next % width);
            self.next += 1;
            let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let (row, column) = (self.start.0 + offset(at.0), self.start.1 + offset(at.1));
            let formula = self.formulas.get_value((row, column)).is_some_and(|formula| !formula.is_empty());
            let value = self.values.get(at).cloned().unwrap_or_default();
            if formula || value != Data::Empty {
                return Ok(Some(Placed { row, column, value: Value::from(value), formula }));
            }
        }
    }
}
