//! Where rows come from. One seam, a file per kind of source.

pub mod cursor;
pub mod file;
pub mod odbc;
pub mod push;
pub mod rest;
pub mod sql;
pub mod table;

#[cfg(any(test, feature = "test-util"))]
pub mod contract;
pub(crate) mod delimited;
pub(crate) mod encoding;
mod hand;
mod heading;
mod inbox;
pub(crate) mod json;
mod keeping;
pub(crate) mod sheet;

use std::{fmt::Debug, path::Path, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;

pub(crate) use inbox::{Place as Inbox, places as inboxes};
pub use sheet::{SHEET_CHILD, sheet_child};
pub use table::Access;

use crate::{
    clock::Surroundings,
    config::{self, Kind, SourceConfig},
    problem::{Reason, Refused, RowProblem},
};
use keeping::Keeping;

/// One thing to work off: a file, an answer of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What people call it: a file's name without its folder. Never a value of a record.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// It is a whole snapshot: what is not in it has vanished from the source.
    pub whole: bool,
    /// What the source tells this content from later content of the same name by.
    pub(crate) stamp: Stamp,
}

/// How a source is, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It is read, or there is nothing to read.
    Working,
    /// It is outside of its service hours.
    Resting,
    /// It is not read until somebody mends what is named.
    Stopped {
        /// Why, and what to do.
        reason: Reason,
        /// What the reason alone does not say; never a value of a record.
        detail: String,
    },
    /// It cannot be reached or read now, and is tried again.
    Unreachable {
        /// What failed.
        reason: String,
    },
}

/// What must not change while a unit is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    pub(crate) modified_ns: i128,
    pub(crate) encoding: encoding::Encoding,
    pub(crate) format: file::Format,
}

/// What a source has to offer now.
#[derive(Debug)]
pub enum Next {
    /// This is to be worked off.
    Unit(Unit),
    /// This cannot be read at all: finish it as failed.
    Unreadable(Unit, Refused),
    /// Nothing can be offered until somebody mends what is named.
    Missing(Refused),
    /// Something is there that is not complete yet: ask again after this time.
    Later(Duration),
    /// Nothing.
    Nothing,
}

/// One row: the cells of the columns that were asked for, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the unit, from 1: the line where it begins or the row of the sheet, titles counted; of a list of
    /// JSON or an answer, its place.
    pub line: u64,
    /// The cells, as they stand in the source.
    pub cells: Vec<String>,
}

/// What stands at one place of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A row.
    Row(Row),
    /// Something that is no row; the next one may be.
    Bad(RowProblem),
    /// Something to know about the unit or a row of it; nothing is lost by it.
    Note(RowProblem),
}

/// The rows of a unit on their way. Dropping it stops the reading.
#[derive(Debug)]
pub struct Rows {
    receiver: mpsc::Receiver<Result<Vec<Item>, RowsError>>,
    ready: std::vec::IntoIter<Item>,
}

impl Rows {
    fn new(receiver: mpsc::Receiver<Result<Vec<Item>, RowsError>>) -> Self {
        Self { receiver, ready: Vec::new().into_iter() }
    }

    /// The next row, in the source's order; `None` at the end.
    ///
    /// # Errors
    /// The unit is refused from here on, or cannot be read.
    pub async fn next(&mut self) -> Result<Option<Item>, RowsError> {
        loop {
            if let Some(item) = self.ready.next() {
                return Ok(Some(item));
            }
            match self.receiver.recv().await {
                Some(chunk) => self.ready = chunk?.into_iter(),
                None => return Ok(None),
            }
        }
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub(crate) fn blocking_next(&mut self) -> Result<Option<Item>, RowsError> {
        loop {
            if let Some(item) = self.ready.next() {
                return Ok(Some(item));
            }
            match self.receiver.blocking_recv() {
                Some(chunk) => self.ready = chunk?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// Why the rows of a unit end early.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The unit's own fault: it is finished as failed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The reading failed: it is tried again later.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of its rows are durable in the spool, or stand in the report (CSV; empty when there is nothing to tell).
    Done {
        /// The report.
        report: String,
    },
    /// The unit as a whole was refused.
    Failed {
        /// The report.
        report: String,
    },
}

/// A source that cannot be worked now: our trouble or the machine's, tried again later.
#[derive(Debug, thiserror::Error)]
#[error("source {source_name} cannot be read: {what}")]
pub struct Error {
    /// The source's name.
    pub source_name: String,
    /// The step that failed.
    pub what: &'static str,
    /// Why.
    #[source]
    pub cause: std::io::Error,
}

/// Work on files, away from the tasks that must not wait.
async fn blocking<T: Send + 'static>(
    source: &str,
    what: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|cause| Error { source_name: source.to_owned(), what, cause })
}

/// A department's data, row by row.
///
/// Every implementation passes the suite in `contract`:
/// - **Order**: units come oldest first, rows in the order of the unit, and a second reading gives the same rows.
/// - **Resume**: a unit is offered until it is finished, whatever was read of it before; a finished one never again.
/// - **Bounded memory**: however long a unit, only a fixed number of rows is held; reading waits for its reader.
/// - **Clean stop**: dropping `Rows` ends the reading and leaves the unit as it was.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// The source's name, as configured.
    fn name(&self) -> &str;

    /// The unit to work off now. Idempotent until `finish`.
    ///
    /// # Errors
    /// The source cannot be reached; try again later.
    async fn next(&mut self) -> Result<Next, Error>;

    /// The rows of `unit` from the first, with the cells of `columns`.
    ///
    /// # Errors
    /// The unit is refused (no such columns), or cannot be read.
    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError>;

    /// Takes the unit away. Durable when it returns; may be repeated after a crash.
    ///
    /// # Errors
    /// It could not be taken away; it will be offered again.
    async fn finish(&mut self, unit: &Unit, ending: Ending) -> Result<(), Error>;

    /// Offers again what the source had since a time (milliseconds since 1970), as far as it still has it. False where this kind of
    /// source cannot. May be repeated.
    ///
    /// # Errors
    /// The source cannot be reached; try again later.
    async fn rewind(&mut self, since_ms: i64) -> Result<bool, Error> {
        let _ = since_ms;
        Ok(false)
    }

    /// What is not as it should be with the way into the department's system; for `check`.
    ///
    /// # Errors
    /// The source cannot be reached.
    async fn warnings(&mut self) -> Result<Vec<RowProblem>, Error> {
        Ok(Vec::new())
    }

    /// What is asked of the department's system, to hand to whoever runs it. Nothing is reached for it.
    fn access(&self) -> Vec<Access> {
        Vec::new()
    }
}

/// A source read anew, apart from its work: nothing of it is moved or remembered.
pub(crate) struct Anew {
    pub(crate) source: Box<dyn Source>,
    /// What is not in it is not in the department's system.
    pub(crate) whole: bool,
    /// It offers unit after unit without any being finished; otherwise one.
    pub(crate) several: bool,
}

/// The source that a configuration describes, to be read anew and compared with what was published; nothing where that
/// cannot be had. What of files is still kept is read: the last snapshot, or all increments in their order.
///
/// # Errors
/// As [`open`].
pub(crate) fn anew(
    config: &SourceConfig,
    columns: &[String],
    state_dir: &Path,
    surroundings: &Surroundings,
) -> Result<Option<Anew>, config::Error> {
    let io = |error| config::Error::Io(state_dir.to_owned(), error);
    let table = |of| Anew {
        source: Box::new(table::TableSource::anew(config, columns, of, state_dir, surroundings)),
        whole: true,
        several: false,
    };
    Ok(Some(match config.kind()? {
        Kind::Push(_) => return Ok(None),
        Kind::Sql(sql) => table((sql.reading(), Box::new(sql.clone()))),
        Kind::Odbc(odbc) => table((odbc.reading(), Box::new(odbc.clone()))),
        Kind::Rest(rest) => {
            let whole = rest.snapshot || rest.since.as_ref().is_some_and(|since| since.first.is_none());
            let keeping = Keeping::new(state_dir, surroundings).map_err(io)?;
            let source = Box::new(rest::RestSource::anew(&config.name, rest.clone(), keeping));
            Anew { source, whole, several: false }
        }
        Kind::File(file) => {
            let kept = file::KeptFiles::new(&config.name, file, surroundings).map_err(io)?;
            Anew { source: Box::new(kept), whole: file.snapshot, several: true }
        }
    }))
}

/// The source that a configuration describes, for `columns`. `state_dir` is where it may keep what it must remember.
///
/// # Errors
/// The configuration gives no kind, or more than one.
pub fn open(
    config: &SourceConfig,
    columns: &[String],
    state_dir: &Path,
    surroundings: &Surroundings,
) -> Result<Box<dyn Source>, config::Error> {
    let table = |of| Box::new(table::TableSource::new(config, columns, of, state_dir, surroundings));
    let keeping =
        || Keeping::new(state_dir, surroundings).map_err(|error| config::Error::Io(state_dir.to_owned(), error));
    Ok(match config.kind()? {
        Kind::Rest(rest) => Box::new(rest::RestSource::new(&config.name, rest.clone(), keeping()?)),
        Kind::Push(push) => Box::new(push::PushSource::new(&config.name, push.clone(), keeping()?)),
        Kind::File(file) => Box::new(file::FileSource::new(&config.name, file.clone(), surroundings)),
        Kind::Odbc(odbc) => table((odbc.reading(), Box::new(odbc.clone()))),
        Kind::Sql(sql) => table((sql.reading(), Box::new(sql.clone()))),
    })
}
