//! From cells to rows: where the heading is, what stands in the mapped columns below it, and what is wrong there.

use super::{
    cell::{Value, address, letters},
    facts::Facts,
};
use crate::{
    problem::{Reason, Refused, RowProblem},
    source::{
        Row,
        delimited::MAX_COLUMNS,
        heading::{self, Nearest},
    },
    text,
};

/// Rows among which the heading is.
const HEADING_ROWS: u32 = 30;

/// A cell as it is met: row by row, from left to right.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    /// From 0.
    pub(super) row: u32,
    /// From 0.
    pub(super) column: u32,
    pub(super) value: Value<'a>,
    pub(super) formula: bool,
}

/// A sheet, cell by cell.
pub(super) trait Grid {
    /// The next cell; `None` at the end.
    fn next(&mut self) -> Result<Option<Placed<'_>>, Refused>;
}

/// What to read, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) columns: &'a [String],
    pub(super) formulas: bool,
    pub(super) max_rows: u64,
}

/// Where the heading is: its row from 0, and where each column asked for stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) row: u32,
    pub(super) positions: Vec<u32>,
}

/// What comes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    Row(Row),
    Bad(RowProblem),
    Note(RowProblem),
}

/// The heading among the first rows of a sheet, or how near a row came.
pub(super) fn heading(grid: &mut impl Grid, columns: &[String]) -> Result<Result<Heading, Option<Nearest>>, Refused> {
    let wanted: Vec<String> = columns.iter().map(|column| text::heading(column)).collect();
    let mut nearest: Option<Nearest> = None;
    let mut names: Vec<String> = Vec::new();
    let mut row = 0;
    loop {
        let placed = grid.next()?;
        let ended = placed.as_ref().is_none_or(|placed| placed.row != row);
        if ended && !names.is_empty() {
            match heading::place(&wanted, columns, &names, u64::from(row) + 1) {
                Ok(positions) => {
                    let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                    return Ok(Ok(Heading { row, positions: positions.into_iter().map(position).collect() }));
                }
                Err(near) if near.found > nearest.as_ref().map_or(0, |best| best.found) => nearest = Some(near),
                Err(_) => {}
            }
            names.clear();
        }
        let Some(placed) = placed.filter(|placed| placed.row < HEADING_ROWS) else { return Ok(Err(nearest)) };
        row = placed.row;
        if let Value::Text(text) = &placed.value
            && !text.is_empty()
        {
            let at = within(placed.row, placed.column)?;
            names.resize(names.len().max(at + 1), String::new());
            names[at] = text::heading(text);
        }
    }
}

/// The place of a cell with something in it, refused where no table reaches.
fn within(row: u32, column: u32) -> Result<usize, Refused> {
    let at = column as usize;
    if at < MAX_COLUMNS {
        return Ok(at);
    }
    let detail = format!("{}: {MAX_COLUMNS} columns", address(row, column));
    Err(Refused::new(Reason::RecordTooLong, Some(u64::from(row) + 1), detail))
}

/// A row on its way.
#[derive(Debug, Default)]
struct Building {
    row: u32,
    cells: Vec<String>,
    /// A first fault, and the addresses of all with the same reason.
    wrong: Option<(Reason, String, String)>,
    anything: bool,
}

/// Reads the rows below the heading.
#[derive(Debug)]
pub(super) struct Table<'a> {
    rules: Rules<'a>,
    heading: Heading,
    facts: Facts,
    building: Building,
    rows: u64,
}

impl<'a> Table<'a> {
    pub(super) fn new(rules: Rules<'a>, heading: Heading, mut facts: Facts) -> Self {
        facts.merged.sort_unstable_by_key(|region| region.rows);
        Self { rules, heading, facts, building: Building::default(), rows: 0 }
    }

    /// What is to know about the sheet as a whole.
    pub(super) fn notes(&self) -> Vec<Made> {
        let mut notes = Vec::new();
        if self.facts.hidden_unknown {
            let line = u64::from(self.heading.row) + 1;
            notes.push(hidden(
                line,
                "",
                "无法判断是否有隐藏的行或列",
                "whether any are hidden cannot be told of this file",
            ));
        }
        let first_row = self.heading.row + 1;
        let rows = self.facts.hidden_rows.iter().filter(|(_, to)| *to >= first_row);
        let rows: Vec<(u32, u32)> = rows.map(|&(from, to)| (from.max(first_row), to)).collect();
        if let Some(&(first, _)) = rows.first() {
            let told = shown(&rows, |row| (u64::from(row) + 1).to_string());
            notes.push(hidden(u64::from(first) + 1, "", &format!("行 {told}"), &format!("rows {told}")));
        }
        for (column, &at) in self.rules.columns.iter().zip(&self.heading.positions) {
            if self.facts.hidden_columns.iter().any(|(from, to)| (from..=to).contains(&&at)) {
                let told = letters(at);
                let line = u64::from(self.heading.row) + 1;
                notes.push(hidden(line, column, &format!("列 {told}"), &format!("column {told}")));
            }
        }
        notes
    }

    /// Takes a cell; gives the row before it, when that is complete.
    pub(super) fn take(&mut self, placed: &Placed<'_>) -> Result<Option<Made>, Refused> {
        if placed.row <= self.heading.row {
            return Ok(None);
        }
        let made = if placed.row == self.building.row { None } else { self.end()? };
        self.building.row = placed.row;
        if placed.value.is_empty() && !placed.formula {
            return Ok(made);
        }
        within(placed.row, placed.column)?;
        self.building.anything = true;
        self.building.cells.resize(self.rules.columns.len(), String::new());
        for index in 0..self.rules.columns.len() {
            if self.heading.positions[index] == placed.column {
                self.fill(index, placed);
            }
        }
        Ok(made)
    }

    fn fill(&mut self, index: usize, placed: &Placed<'_>) {
        let wrong = match &placed.value {
            _ if placed.formula && !self.rules.formulas => Some((Reason::FormulaRefused, "")),
            Value::Text(text) if text.is_empty() => Some((Reason::FormulaRefused, "no value")),
            Value::Text(text) => {
                self.building.cells[index] = text.as_ref().to_owned();
                None
            }
            Value::Wrong(reason, detail) => Some((*reason, *detail)),
        };
        if let Some((reason, detail)) = wrong {
            let place = address(placed.row, placed.column);
            let told = if detail.is_empty() { place } else { format!("{place} {detail}") };
            self.fault(reason, index, &told);
        }
    }

    fn fault(&mut self, reason: Reason, index: usize, told: &str) {
        match &mut self.building.wrong {
            Some((first, _, all)) if *first == reason => *all = format!("{all}、{told}"),
            Some(_) => {}
            none => *none = Some((reason, self.rules.columns[index].clone(), told.to_owned())),
        }
    }

    /// The row that was under way.
    ///
    /// # Errors
    /// There are more rows than admitted.
    pub(super) fn end(&mut self) -> Result<Option<Made>, Refused> {
        if !self.building.anything {
            self.building = Building::default();
            return Ok(None);
        }
        let line = u64::from(self.building.row) + 1;
        self.rows += 1;
        if self.rows > self.rules.max_rows {
            return Err(Refused::new(Reason::TooManyRows, Some(line), self.rules.max_rows.to_string()));
        }
        let merged = self.merged();
        if matches!(merged, Some(true)) {
            self.building = Building::default();
            return Ok(None);
        }
        let building = std::mem::take(&mut self.building);
        if let Some((reason, column, told)) = building.wrong {
            return Ok(Some(Made::Bad(RowProblem::new(line, column, reason).because(&told, &told))));
        }
        let heading = building.cells.iter().zip(self.rules.columns);
        if heading.clone().all(|(cell, name)| text::heading(cell) == text::heading(name)) {
            return Ok(Some(Made::Bad(RowProblem::new(line, "", Reason::HeadingRepeated))));
        }
        Ok(Some(Made::Row(Row { line, cells: building.cells })))
    }

    /// Whether a mapped cell of the row is merged with others: a fault of the row, unless the region begins in the
    /// heading or above it, of which the row is then a part.
    fn merged(&mut self) -> Option<bool> {
        for index in 0..self.heading.positions.len() {
            let at = (self.building.row, self.heading.positions[index]);
            let Some(region) = self.facts.merged_at(at) else { continue };
            if region.rows.0 <= self.heading.row {
                return Some(true);
            }
            let from = address(region.rows.0, region.columns.0);
            let told = format!("{from}:{}", address(region.rows.1, region.columns.1));
            self.fault(Reason::MergedCells, index, &told);
            return Some(false);
        }
        None
    }
}

fn hidden(line: u64, column: &str, zh: &str, en: &str) -> Made {
    Made::Note(RowProblem::new(line, column, Reason::HiddenCells).because(zh, en).as_note())
}

/// Spans as people write them, the first twenty.
fn shown(spans: &[(u32, u32)], name: impl Fn(u32) -> String) -> String {
    let one = |&(from, to): &(u32, u32)| {
        if from == to { name(from) } else { format!("{}–{}", name(from), name(to)) }
    };
    let more = if spans.len() > 20 { " …" } else { "" };
    format!("{}{more}", spans.iter().take(20).map(one).collect::<Vec<_>>().join(", "))
}

/// Which of the sheets is read: the one that has the heading.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    wanted: Option<&'a str>,
    found: Vec<(String, Heading)>,
    nearest: Option<Nearest>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(wanted: Option<&'a str>) -> Self {
        Self { wanted, found: Vec::new(), nearest: None }
    }

    /// Whether a sheet is to be looked at.
    pub(super) fn admits(&self, name: &str) -> bool {
        self.wanted.is_none_or(|wanted| text::heading(wanted) == text::heading(name))
    }

    pub(super) fn add(&mut self, name: &str, found: Result<Heading, Option<Nearest>>) {
        match found {
            Ok(heading) => self.found.push((name.to_owned(), heading)),
            Err(Some(near)) if near.found > self.nearest.as_ref().map_or(0, |best| best.found) => {
                self.nearest = Some(near);
            }
            Err(_) => {}
        }
    }

    /// The sheet and its heading.
    ///
    /// # Errors
    /// No sheet has the heading, or more than one.
    pub(super) fn made(mut self) -> Result<(String, Heading), Refused> {
        if self.found.len() > 1 {
            let names: Vec<String> = self.found.into_iter().map(|(name, _)| name).collect();
            return Err(Refused::new(Reason::SheetUnclear, None, names.join("、")));
        }
        let missing = || Refused::new(Reason::HeadingMissing, None, "");
        self.found.pop().ok_or_else(|| self.nearest.map_or_else(missing, |near| near.refused))
    }
}
