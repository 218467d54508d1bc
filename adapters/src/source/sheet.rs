//! XLSX and XLS. A workbook is read in a process of its own that limits its memory and time before it looks at the
//! first byte: no library for these formats bounds what it takes. The file comes in as standard input, rows go out as
//! frames; the process opens nothing else.
//!
//! - this module: the adapter's side
//! - `child`: the other side, [`sheet_child`]
//! - `frame`: what passes between them
//! - `archive`, `facts`: what is looked at before a value is read
//! - `compound`, `hidden`: what is hidden in an XLS
//! - `xlsx`, `xls`: the cells, by calamine
//! - `cell`, `table`: cells become text and rows
//! - `sample`: the first rows of every sheet, whatever stands in them

mod archive;
mod cell;
mod child;
mod compound;
mod facts;
mod frame;
mod hidden;
mod sample;
mod table;
mod xls;
mod xlsx;

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Item, delimited::ReadError, hand::Hand};
use crate::problem::{Reason, Refused};
use frame::Frame;

pub use child::sheet_child;
pub(crate) use sample::sample;

/// The first argument that makes a program the child: [`sheet_child`] is then all that it does.
pub const SHEET_CHILD: &str = "__sheet";

/// How a Rust program ends that came upon what its author had not thought of.
const PANICKED: i32 = 101;

/// What a file should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Xlsx,
    Xls,
}

/// What the child is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// The sheet's name; without it, the one sheet with the heading.
    pub(super) sheet: Option<String>,
    pub(super) columns: Vec<String>,
    /// Take what a formula came to when the file was saved.
    pub(super) formulas: bool,
    pub(super) max_rows: u64,
    pub(super) max_strings: u64,
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
    /// Not the rows below a heading, but so many first rows of every sheet.
    pub(super) sample: Option<usize>,
}

/// The child, ended when this is dropped.
struct Reading(Child);

impl Drop for Reading {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the rows of a workbook into `hand`.
pub(super) fn read(program: &Path, file: File, request: &Request, hand: &mut Hand<'_>) -> Result<(), ReadError> {
    ask(program, file, request, |output| forward(output, hand))
}

/// Has a child answer `request`; `take` reads what it says, and tells whether that came to its end.
fn ask(
    program: &Path,
    file: File,
    request: &Request,
    take: impl FnOnce(&mut BufReader<ChildStdout>) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    let mut command = Command::new(program);
    command.arg(SHEET_CHILD).arg(serde_json::to_string(request).map_err(io::Error::from)?);
    command.env_clear().stdin(Stdio::from(file)).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Reading(command.spawn()?);
    let output = child.0.stdout.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    if take(&mut BufReader::with_capacity(1 << 16, output))? {
        return Ok(());
    }
    match child.0.wait()?.code() {
        Some(child::MISUSED) => Err(io::Error::other("the program is no reader of workbooks").into()),
        Some(PANICKED) => Err(Refused::new(Reason::WorkbookUnreadable, None, "").into()),
        Some(code) => Err(io::Error::other(format!("the reader of workbooks ended with {code}")).into()),
        // Ended by a limit that it had set itself.
        None => Err(Refused::new(Reason::WorkbookTooHeavy, None, "").into()),
    }
}

/// Passes frames on; whether the stream came to its end, or nobody listens any more.
fn forward(input: &mut impl Read, hand: &mut Hand<'_>) -> Result<bool, ReadError> {
    loop {
        let item = match Frame::read(input) {
            Ok(Some(Frame::Row(row))) => Item::Row(row),
            Ok(Some(Frame::Bad(problem))) => Item::Bad(problem),
            Ok(Some(Frame::Note(problem))) => Item::Note(problem),
            Ok(Some(Frame::Refused(refused))) => return Err(refused.into()),
            // What only a sample has.
            Ok(Some(Frame::Sheet(_))) => continue,
            Ok(Some(Frame::End)) => return Ok(true),
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if !hand.over(item) {
            return Ok(true);
        }
    }
}
