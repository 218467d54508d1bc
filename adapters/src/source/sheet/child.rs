//! The process that reads one workbook and nothing else.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{
    Kind, Request,
    archive::{Stop, unsafe_workbook},
    frame::Frame,
    table::{Grid, Made, Rules, Table},
    xls, xlsx,
};
use crate::problem::{Reason, Refused};

/// Ended because it was not called as it should be.
pub(super) const MISUSED: i32 = 64;

/// How an archive begins (APPNOTE.TXT 4.3.7), and a compound file (MS-CFB 2.2).
const ARCHIVE: &[u8] = b"PK\x03\x04";
const COMPOUND: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// Reads the workbook on standard input as the second argument asks and writes its rows to standard output, under
/// limits of memory and time that it sets itself first. To be called before anything else by a program whose first
/// argument is [`super::SHEET_CHILD`].
pub fn sheet_child() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // The other side has gone, or the file cannot be read: it sees a stream without an end.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => ExitCode::from(MISUSED as u8),
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    let request = std::env::args().nth(2).ok_or(io::ErrorKind::InvalidInput)?;
    let request: Request = serde_json::from_str(&request).map_err(|_| io::ErrorKind::InvalidInput)?;
    limit(&request)?;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut out = BufWriter::with_capacity(1 << 16, File::from(io::stdout().as_fd().try_clone_to_owned()?));
    match read(file, &request, &mut out) {
        Ok(()) => {}
        Err(Stop::Refused(refused)) => Frame::Refused(refused).write(&mut out)?,
        Err(Stop::Io(error)) => return Err(error),
    }
    Frame::End.write(&mut out)?;
    out.flush()
}

/// From here on this process cannot take more memory and time than this, nor write a file.
fn limit(request: &Request) -> io::Result<()> {
    let limits = [
        (Resource::As, request.memory_bytes),
        (Resource::Cpu, request.cpu_seconds),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

fn read(mut file: File, request: &Request, out: &mut impl Write) -> Result<(), Stop> {
    let mut begin = Vec::new();
    (&mut file).take(COMPOUND.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    let mismatch = |what| Err(Refused::new(Reason::FormatMismatch, None, what).into());
    match (request.kind, begin.starts_with(ARCHIVE), begin.starts_with(COMPOUND)) {
        (Kind::Xlsx, true, _) => xlsx::read(&file, request, out),
        (Kind::Xls, _, true) => xls::read(file, request, out),
        (Kind::Xlsx, _, true) if xlsx::is_encrypted(&file) => Err(unsafe_workbook("encrypted")),
        (Kind::Xlsx, _, true) => mismatch(".xls"),
        (Kind::Xls, true, _) => mismatch(".xlsx"),
        _ => mismatch("no workbook"),
    }
}

impl Request {
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules { columns: &self.columns, formulas: self.formulas, max_rows: self.max_rows }
    }
}

/// Writes what comes of the cells of `grid` below the heading of `table`.
pub(super) fn pass(grid: &mut impl Grid, mut table: Table<'_>, out: &mut impl Write) -> Result<(), Stop> {
    for note in table.notes() {
        write(note, out)?;
    }
    while let Some(placed) = grid.next()? {
        if let Some(made) = table.take(&placed)? {
            write(made, out)?;
        }
    }
    if let Some(made) = table.end()? {
        write(made, out)?;
    }
    Ok(())
}

fn write(made: Made, out: &mut impl Write) -> io::Result<()> {
    let frame = match made {
        Made::Row(row) => Frame::Row(row),
        Made::Bad(problem) => Frame::Bad(problem),
        Made::Note(problem) => Frame::Note(problem),
    };
    frame.write(out)
}
