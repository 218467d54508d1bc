//! A watched folder where a department drops files: CSV and TSV, JSON, XLSX and XLS.
//!
//! A file is taken when it has not changed for a while and nobody has it open, read in place, and moved to `done/` or
//! `failed/` beside it with a report. The folder is polled, so that a share works like a disk. Names that begin with a
//! dot or `~$`, or end in `.tmp`, `.part` or `.crdownload`, are left alone.
//!
//! - `config`: `[source.file]`
//! - `keep`: which files wait; where finished ones go, and for how long
//! - `kept`: what was done with, read once more
//! - `read`: the rows of one file

mod config;
mod keep;
mod kept;
mod read;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Ending, Error, Next, Rows, RowsError, Source, Stamp, Unit,
    delimited::ReadError,
    encoding::{self, Survey},
    hand::{self, Hand},
};
use crate::{
    clock::{Clock, Surroundings},
    problem::{Reason, Refused},
};
use keep::Waiting;

pub use super::encoding::Wanted;
pub use config::{FileConfig, Format, SheetConfig};
pub use keep::waiting_names;
pub(super) use kept::KeptFiles;

/// How often `done/` is looked through.
const EMPTIED: Duration = Duration::from_secs(3_600);
const DAY_SECONDS: i64 = 24 * 3_600;

/// The watched folder.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    config: FileConfig,
    /// The program that reads workbooks.
    helper: PathBuf,
    clock: Arc<dyn Clock>,
    seen: HashMap<PathBuf, (u64, i128, Instant)>,
    emptied: Option<Instant>,
}

impl FileSource {
    /// Watches a folder.
    pub fn new(name: impl Into<String>, config: FileConfig, surroundings: &Surroundings) -> Self {
        let (helper, clock) = (surroundings.helper.clone(), surroundings.clock.clone());
        Self { name: name.into(), config, helper, clock, seen: HashMap::new(), emptied: None }
    }

    /// What is said where the folder is not there.
    async fn missing(&self) -> Result<Option<Refused>, Error> {
        let folder = self.config.folder.clone();
        self.blocking("finding the folder", move || {
            let told = || Refused::new(Reason::FolderMissing, None, folder.display().to_string());
            Ok((!folder.is_dir()).then(told))
        })
        .await
    }

    /// The files that have come to rest, or how long the nearest one still needs.
    fn settled(&mut self, files: Vec<Waiting>, now: Instant) -> Result<Vec<Waiting>, Option<Duration>> {
        self.seen.retain(|path, _| files.iter().any(|(file, ..)| file == path));
        let (mut settled, mut wait) = (Vec::new(), None::<Duration>);
        for (path, bytes, modified) in files {
            let seen = self.seen.entry(path.clone()).or_insert((bytes, modified, now));
            if (seen.0, seen.1) != (bytes, modified) {
                *seen = (bytes, modified, now);
            }
            let left = self.config.settle().saturating_sub(now.duration_since(seen.2));
            if left.is_zero() {
                settled.push((path, bytes, modified));
            } else {
                wait = Some(wait.map_or(left, |shortest| shortest.min(left)));
            }
        }
        if settled.is_empty() { Err(wait) } else { Ok(settled) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        super::blocking(&self.name, what, work).await
    }

    /// What a file is, and its digest; `None` where it is locked or shorter than it was.
    async fn survey(&self, (path, bytes, modified_ns): &Waiting) -> Result<Option<Next>, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let format = self.config.format.of(&name).unwrap_or(Ok(Format::Delimited));
        let max_bytes = self.config.sheet.max_mib << 20;
        let (at, bytes, wanted) = (path.clone(), *bytes, self.config.encoding);
        let looked = self.blocking("reading a file", move || look(&at, bytes, (format, wanted), max_bytes)).await?;
        let Some((survey, format)) = looked else { return Ok(None) };
        let encoding = survey.encoding.clone().unwrap_or_default();
        let stamp = Stamp { bytes, modified_ns: *modified_ns, encoding, format };
        let unit = Unit { name, digest: survey.digest, whole: self.config.snapshot, stamp };
        Ok(Some(match survey.encoding {
            Ok(_) => Next::Unit(unit),
            Err(refused) => Next::Unreadable(unit, refused),
        }))
    }

    /// Removes what was done long ago, now and then.
    async fn empty(&mut self) -> Result<(), Error> {
        if self.emptied.is_some_and(|emptied| emptied.elapsed() < EMPTIED) {
            return Ok(());
        }
        self.emptied = Some(Instant::now());
        let before = self.clock.now().as_second() - i64::from(self.config.keep_days) * DAY_SECONDS;
        let folder = self.config.folder.clone();
        let removed = self.blocking("emptying done/", move || keep::empty(&folder, before)).await?;
        if removed > 0 {
            tracing::info!(source = self.name, removed, "files that were done long ago were removed");
        }
        Ok(())
    }
}

/// Looks at all bytes of a file once.
fn look(
    path: &std::path::Path,
    bytes: u64,
    (format, wanted): (Result<Format, String>, Wanted),
    max_bytes: u64,
) -> io::Result<Option<(Survey, Format)>> {
    let file = match File::open(path) {
        Ok(file) if !keep::is_locked(&file) => file,
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let refused = match &format {
        Ok(Format::Xlsx | Format::Xls) if bytes > max_bytes => {
            Some(Refused::new(Reason::FileTooLarge, None, format!("{} MiB", max_bytes >> 20)))
        }
        Ok(Format::Xlsx | Format::Xls) => None,
        Ok(_) => read::no_text(&file)?.map(|what| Refused::new(Reason::FormatMismatch, None, what)),
        Err(end) => Some(Refused::new(Reason::FormatMismatch, None, end)),
    };
    let is_text = matches!(format, Ok(Format::Delimited | Format::Json | Format::Auto)) && refused.is_none();
    let bounded = file.take(bytes);
    let mut survey = if is_text { encoding::survey(bounded, wanted)? } else { encoding::of_bytes(bounded)? };
    if survey.bytes != bytes {
        return Ok(None);
    }
    if let Some(refused) = refused {
        survey.encoding = Err(refused);
    }
    Ok(Some((survey, format.unwrap_or_default())))
}

#[async_trait]
impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&mut self) -> Result<Next, Error> {
        if let Some(refused) = self.missing().await? {
            return Ok(Next::Missing(refused));
        }
        self.empty().await?;
        let config = self.config.clone();
        let files = self.blocking("listing the folder", move || keep::waiting(&config)).await?;
        let files = match self.settled(files, Instant::now()) {
            Ok(files) => files,
            Err(Some(wait)) => return Ok(Next::Later(wait)),
            Err(None) => return Ok(Next::Nothing),
        };
        for file in files {
            if let Some(next) = self.survey(&file).await? {
                return Ok(next);
            }
        }
        Ok(Next::Later(self.config.settle().max(Duration::from_millis(200))))
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        let (path, stamp, columns) = (self.config.folder.join(&unit.name), unit.stamp.clone(), columns.to_vec());
        let (config, helper, source_name) = (self.config.clone(), self.helper.clone(), self.name.clone());
        let (sender, rows) = hand::way();
        tokio::task::spawn_blocking(move || {
            let ended = read::rows(&path, &stamp, &columns, (&config, &helper), &mut Hand::new(&sender));
            if let Err(error) = ended {
                let error = match error {
                    ReadError::Refused(refused) => RowsError::Refused(refused),
                    ReadError::Io(cause) => RowsError::Failed(Error { source_name, what: "reading a file", cause }),
                };
                // Nobody listens any more: the reading was stopped, which is no failure.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(rows)
    }

    async fn finish(&mut self, unit: &Unit, ending: Ending) -> Result<(), Error> {
        let (folder, name) = (self.config.folder.clone(), unit.name.clone());
        let tag = hex::encode(&unit.digest[..4]);
        self.blocking("moving a finished file", move || keep::put_away(&folder, &name, &tag, &ending)).await
    }

    async fn rewind(&mut self, since_ms: i64) -> Result<bool, Error> {
        let (folder, pattern) = (self.config.folder.clone(), self.config.pattern.clone());
        self.blocking("moving files back", move || keep::bring_back(&folder, &pattern, since_ms)).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
