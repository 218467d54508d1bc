//! A watched folder where a department drops CSV files.
//!
//! A file is taken when it has not changed for a while, read in place, and moved to `done/` or `failed/` beside it
//! with a report. Names that begin with a dot or `~$`, or end in `.tmp`, `.part` or `.crdownload`, are left alone.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Ending, Error, Item, Next, Row, Rows, RowsError, Source, Stamp, Unit,
    delimited::{ReadError, Records},
    encoding::{self, Utf8Reader},
    heading::{self, Heading},
};
use crate::{
    problem::{Reason, Refused, RowProblem},
    text,
};

mod config;

pub use super::encoding::Wanted;
pub use config::FileConfig;

/// Rows handed over at a time; with the channel's four chunks, all that is ever held.
const CHUNK_ROWS: usize = 128;
const CHUNKS: usize = 4;
const UNFINISHED: [&str; 3] = [".tmp", ".part", ".crdownload"];

/// The watched folder.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    config: FileConfig,
    seen: HashMap<PathBuf, (u64, i128, Instant)>,
}

impl FileSource {
    /// Watches a folder.
    pub fn new(name: impl Into<String>, config: FileConfig) -> Self {
        Self { name: name.into(), config, seen: HashMap::new() }
    }

    fn error(&self, what: &'static str) -> impl FnOnce(io::Error) -> Error {
        let source_name = self.name.clone();
        move |cause| Error { source_name, what, cause }
    }

    /// The first file that has come to rest, or how long the nearest one still needs.
    fn settled(&mut self, files: Vec<Waiting>, now: Instant) -> Result<Waiting, Option<Duration>> {
        self.seen.retain(|path, _| files.iter().any(|(file, ..)| file == path));
        let mut wait: Option<Duration> = None;
        for (path, bytes, modified) in files {
            let seen = self.seen.entry(path.clone()).or_insert((bytes, modified, now));
            if (seen.0, seen.1) != (bytes, modified) {
                *seen = (bytes, modified, now);
            }
            let left = self.config.settle().saturating_sub(now.duration_since(seen.2));
            if left.is_zero() {
                return Ok((path, bytes, modified));
            }
            wait = Some(wait.map_or(left, |shortest| shortest.min(left)));
        }
        Err(wait)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(self.error(what))
    }
}

#[async_trait]
impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&mut self) -> Result<Next, Error> {
        let (folder, pattern) = (self.config.folder.clone(), self.config.pattern.clone());
        let files = self.blocking("listing the folder", move || waiting(&folder, &pattern)).await?;
        let (path, bytes, modified_ns) = match self.settled(files, Instant::now()) {
            Ok(file) => file,
            Err(Some(wait)) => return Ok(Next::Later(wait)),
            Err(None) => return Ok(Next::Nothing),
        };
        let (wanted, at) = (self.config.encoding, path.clone());
        let survey =
            self.blocking("reading a file", move || encoding::survey(File::open(at)?.take(bytes), wanted)).await?;
        if survey.bytes != bytes {
            return Ok(Next::Later(self.config.settle().max(Duration::from_millis(200))));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stamp = Stamp { bytes, modified_ns, encoding: survey.encoding.clone().unwrap_or_default() };
        let unit = Unit { name, digest: survey.digest, whole: self.config.snapshot, stamp };
        Ok(match survey.encoding {
            Ok(_) => Next::Unit(unit),
            Err(refused) => Next::Unreadable(unit, refused),
        })
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        let (path, stamp, columns) = (self.config.folder.join(&unit.name), unit.stamp.clone(), columns.to_vec());
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let source_name = self.name.clone();
        tokio::task::spawn_blocking(move || {
            let ended = read_rows(&path, &stamp, &columns, &sender);
            if let Err(error) = ended {
                let error = match error {
                    ReadError::Refused(refused) => RowsError::Refused(refused),
                    ReadError::Io(cause) => RowsError::Failed(Error { source_name, what: "reading a file", cause }),
                };
                // Nobody listens any more: the reading was stopped, which is no failure.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(Rows::new(receiver))
    }

    async fn finish(&mut self, unit: &Unit, ending: Ending) -> Result<(), Error> {
        let (folder, name) = (self.config.folder.clone(), unit.name.clone());
        let tag = hex::encode(&unit.digest[..4]);
        self.blocking("moving a finished file", move || put_away(&folder, &name, &tag, &ending)).await
    }
}

/// A file that waits: path, length, time of the last change.
type Waiting = (PathBuf, u64, i128);

/// The files that wait, oldest first.
fn waiting(folder: &Path, pattern: &str) -> io::Result<Vec<Waiting>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') || name.starts_with("~$");
        if hidden || UNFINISHED.iter().any(|end| name.ends_with(end)) || !text::matches_pattern(pattern, &name) {
            continue;
        }
        // Of a link, the link's own kind: nothing outside the folder is ever read.
        let Ok(meta) = entry.path().symlink_metadata() else { continue };
        if meta.is_file() {
            files.push((entry.path(), meta.len(), modified_ns(&meta)));
        }
    }
    files.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
    Ok(files)
}

/// The names of the files that wait in `folder`, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn waiting_names(folder: &Path, pattern: &str) -> io::Result<Vec<String>> {
    let name = |(path, ..): &Waiting| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(waiting(folder, pattern)?.iter().filter_map(name).collect())
}

fn modified_ns(meta: &fs::Metadata) -> i128 {
    let since = meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0))
}

type Sender = mpsc::Sender<Result<Vec<Item>, RowsError>>;

fn read_rows(path: &Path, stamp: &Stamp, columns: &[String], sender: &Sender) -> Result<(), ReadError> {
    let open = || -> Result<_, ReadError> {
        let file = File::open(path)?;
        unchanged(&file, stamp)?;
        Ok(BufReader::with_capacity(1 << 16, Utf8Reader::new(file.take(stamp.bytes), stamp.encoding)))
    };
    let heading = heading::find(open, columns)?;
    let mut records = Records::new(open()?, heading.separator);
    let mut chunk = Vec::with_capacity(CHUNK_ROWS);
    let mut held = 0;
    while let Some(record) = records.next()? {
        if record.line <= heading.line || record.cells.iter().all(|cell| text::trim(cell).is_empty()) {
            continue;
        }
        held += record.cells.iter().map(String::len).sum::<usize>();
        chunk.push(item(record, &heading));
        if chunk.len() == CHUNK_ROWS || held > 1 << 20 {
            held = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                return Ok(());
            }
        }
    }
    unchanged(&File::open(path)?, stamp)?;
    if !chunk.is_empty() {
        // Nobody listens any more: the reading was stopped.
        let _ = sender.blocking_send(Ok(chunk));
    }
    Ok(())
}

fn unchanged(file: &File, stamp: &Stamp) -> Result<(), ReadError> {
    let meta = file.metadata()?;
    if (meta.len(), modified_ns(&meta)) == (stamp.bytes, stamp.modified_ns) {
        return Ok(());
    }
    Err(Refused::new(Reason::ChangedWhileRead, None, "").into())
}

fn item(mut record: super::delimited::Record, heading: &Heading) -> Item {
    let bad = |reason| Item::Bad(RowProblem::new(record.line, "", reason));
    if record.misquoted {
        return bad(Reason::QuoteMisplaced);
    }
    let (count, expected) = (record.cells.len(), heading.names.len());
    // Spreadsheets write empty cells behind the last column; anything else that differs has shifted.
    let only_empty_behind = count > expected && record.cells[expected..].iter().all(|cell| text::trim(cell).is_empty());
    if count != expected && !only_empty_behind {
        let detail = format!("{count} ≠ {expected}");
        return Item::Bad(RowProblem::new(record.line, "", Reason::ColumnsShifted).because(&detail, &detail));
    }
    if record.cells.iter().zip(&heading.names).all(|(cell, name)| text::heading(cell) == *name) {
        return bad(Reason::HeadingRepeated);
    }
    let cells = heading.positions.iter().map(|&at| std::mem::take(&mut record.cells[at])).collect();
    Item::Row(Row { line: record.line, cells })
}

/// Moves a file to `done/` or `failed/`, its report first: a file that is there has its report.
fn put_away(folder: &Path, name: &str, tag: &str, ending: &Ending) -> io::Result<()> {
    let (kept, report) = match ending {
        Ending::Done { report } => (folder.join("done"), report),
        Ending::Failed { report } => (folder.join("failed"), report),
    };
    fs::create_dir_all(&kept)?;
    let from = folder.join(name);
    if !from.exists() {
        return Ok(());
    }
    let to = if kept.join(name).exists() { format!("{tag}-{name}") } else { name.to_owned() };
    if !report.is_empty() {
        fs::write(kept.join(format!("{to}.problems.csv")), report)?;
    }
    fs::rename(&from, kept.join(&to))?;
    File::open(&kept)?.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
