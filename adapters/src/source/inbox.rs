//! Rows that were fetched or handed in over a network: durable and encrypted until they are worked off, so that a unit
//! can be read as often as needed and a caller's "accepted" is true.
//!
//! A unit is one file of frames: length (4 bytes, big endian), then nonce, text and tag of one JSON value, bound to
//! the unit's name and the frame's number. The last frame holds a NUL and what the source notes with the unit: a file
//! without it was cut.
//!
//! - `waiting`: what waits, in numbers

mod waiting;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use aws_lc_rs::digest::{Context, SHA256};

pub(crate) use waiting::{Place, places};

use super::{Error, Item, Row, Rows, RowsError, Stamp, Unit, hand, json};
use crate::{
    clock::{Chance, Clock},
    problem::{Reason, RowProblem},
    spool::Vault,
};

/// No frame is longer: one row, its nonce and its tag.
const MAX_FRAME: u32 = (16 << 20) + 64;
/// The first byte of the last frame; no JSON value begins with it.
const END: u8 = 0;
const FRESH: &str = ".tmp";
const WAITING: &str = ".rows";
/// How the time stands in a unit's name, in UTC.
const NAMED: &str = "%Y%m%dT%H%M%S%3fZ";

/// The folder of one source.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    folder: PathBuf,
    vault: Vault,
}

impl Inbox {
    /// The inbox in `folder`, made for its owner alone.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn open(folder: PathBuf, vault: Vault) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, vault })
    }

    /// Removes what was begun and never finished. Only while nobody writes: what is being written is not finished either.
    ///
    /// # Errors
    /// The folder cannot be listed, or a file not removed.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == &FRESH[1..]) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// A name for a new unit: names ascend with time, and no two are equal.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn fresh_name(clock: &dyn Clock, chance: &dyn Chance) -> io::Result<String> {
        let mut tail = [0; 8];
        chance.fill(&mut tail).map_err(io::Error::other)?;
        Ok(format!("{}-{}", clock.now().strftime(NAMED), hex::encode(tail)))
    }

    /// Begins a unit. Nothing of it waits before [`Writer::finish`].
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn write(&self, name: &str) -> io::Result<Writer> {
        let fresh = self.folder.join(format!("{name}{FRESH}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        Ok(Writer {
            inbox: self.clone(),
            name: name.to_owned(),
            fresh: Fresh(Some(fresh)),
            file: BufWriter::new(file),
            digest: Context::new(&SHA256),
            frames: 0,
        })
    }

    /// The units that wait, oldest first.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(WAITING)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// How many bytes wait.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        fs::read_dir(&self.folder)?.try_fold(0, |sum, entry| {
            // A unit that was worked off meanwhile counts nothing.
            let bytes = entry?.metadata().map_or(0, |meta| meta.len());
            Ok(sum + bytes)
        })
    }

    /// Reads a unit from its first row.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Reader> {
        let file = File::open(self.path(name))?;
        Ok(Reader {
            vault: self.vault.clone(),
            name: name.to_owned(),
            file: BufReader::new(file),
            frames: 0,
            note: String::new(),
        })
    }

    /// Removes a unit; one that is gone already is no error. Durable when it returns.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{WAITING}"))
    }
}

/// The place to which a frame is bound.
fn place(name: &str, number: u64) -> Vec<u8> {
    [b"inbox\0", name.as_bytes(), b"\0", &number.to_be_bytes()].concat()
}

/// A file that is removed unless it became a unit.
#[derive(Debug)]
struct Fresh(Option<PathBuf>);

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // What cannot be removed now is removed when the inbox is tidied.
            let _ = fs::remove_file(path);
        }
    }
}

/// A unit being written. Dropping it leaves nothing.
pub(crate) struct Writer {
    inbox: Inbox,
    name: String,
    fresh: Fresh,
    file: BufWriter<File>,
    digest: Context,
    frames: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("name", &self.name).field("frames", &self.frames).finish_non_exhaustive()
    }
}

impl Writer {
    /// How many rows were added.
    pub(crate) fn rows(&self) -> u64 {
        self.frames
    }

    /// Adds one row.
    ///
    /// # Errors
    /// It is longer than 16 MiB, or cannot be written.
    pub(crate) fn add(&mut self, text: &[u8]) -> io::Result<()> {
        self.digest.update(&(text.len() as u64).to_be_bytes());
        self.digest.update(text);
        self.frame(text)
    }

    fn frame(&mut self, text: &[u8]) -> io::Result<()> {
        let locked = self.inbox.vault.lock(&place(&self.name, self.frames), text).map_err(io::Error::other)?;
        let length = u32::try_from(locked.len()).ok().filter(|length| *length <= MAX_FRAME);
        let length =
            length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a row is longer than 16 MiB"))?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&locked)?;
        self.frames += 1;
        Ok(())
    }

    /// SHA-256 over the rows so far, in their order.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(self.digest.clone())
    }

    /// The unit waits, with `note`, and is durable, when this returns.
    ///
    /// # Errors
    /// It could not be made durable; nothing waits.
    pub(crate) fn finish(mut self, note: &str) -> io::Result<()> {
        self.frame(&[&[END], note.as_bytes()].concat())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if let Some(fresh) = &self.fresh.0 {
            fs::rename(fresh, self.inbox.path(&self.name))?;
        }
        self.fresh.0 = None;
        File::open(&self.inbox.folder)?.sync_all()
    }
}

fn sha256(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// SHA-256 that names a unit: of its source, its name and its rows. The same rows later are another unit.
fn unit_digest(source: &str, name: &str, rows: &[u8; 32]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [source.as_bytes(), name.as_bytes(), rows] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    sha256(context)
}

/// A unit as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// SHA-256 over its rows, in their order.
    pub(crate) digest: [u8; 32],
    /// What was noted with it.
    pub(crate) note: String,
}

/// The rows of a unit.
#[derive(Debug)]
pub(crate) struct Reader {
    vault: Vault,
    name: String,
    file: BufReader<File>,
    frames: u64,
    note: String,
}

impl Reader {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The file was cut or altered, or cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut locked = vec![0; length as usize];
        self.file.read_exact(&mut locked)?;
        let text = self.vault.unlock(&place(&self.name, self.frames), &locked);
        let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.frames += 1;
        match text.strip_prefix(&[END]) {
            None => Ok(Some(text)),
            Some(note) => {
                self.note = String::from_utf8(note.to_vec()).map_err(|_| io::ErrorKind::InvalidData)?;
                Ok(None)
            }
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub(crate) fn survey(mut self) -> io::Result<Survey> {
        let mut context = Context::new(&SHA256);
        while let Some(text) = self.next()? {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(&text);
        }
        Ok(Survey { digest: sha256(context), note: self.note })
    }
}

/// A unit of the inbox as the source offers it.
pub(super) fn unit(source: &str, name: String, survey: &Survey, whole: bool) -> Unit {
    let digest = unit_digest(source, &name, &survey.digest);
    Unit { name, digest, whole, stamp: Stamp::default() }
}

/// The rows of a unit, from the first. Dropping them stops the reading.
pub(super) fn rows(source: &str, inbox: Inbox, name: &str, columns: &[String]) -> Rows {
    let (sender, rows) = hand::way();
    let (source_name, name, columns) = (source.to_owned(), name.to_owned(), json::Columns::new(columns));
    tokio::task::spawn_blocking(move || {
        if let Err(cause) = read_rows(&inbox, &name, columns, &sender) {
            let error = Error { source_name, what: "reading the inbox", cause };
            // Nobody listens any more: the reading was stopped, which is no failure.
            let _ = sender.blocking_send(Err(RowsError::Failed(error)));
        }
    });
    rows
}

fn read_rows(inbox: &Inbox, name: &str, mut columns: json::Columns, sender: &hand::Sender) -> io::Result<()> {
    let mut reader = inbox.read(name)?;
    let mut hand = hand::Hand::new(sender);
    let mut line = 0;
    while let Some(text) = reader.next()? {
        line += 1;
        let cells = match json::parse(&text, json::Bounds::default()) {
            Ok(record) => columns.cells(&record, line),
            Err(json::Error::Fault { what, .. }) => {
                Err(Box::new(RowProblem::new(line, "", Reason::JsonUnreadable).because(what, what)))
            }
            Err(json::Error::Io(error)) => return Err(error),
        };
        let item = match cells {
            Ok(cells) => Item::Row(Row { line, cells }),
            Err(problem) => Item::Bad(*problem),
        };
        if !hand.over(item) {
            return Ok(());
        }
    }
    // As above: a reading that was stopped is no failure.
    let _ = hand.flush();
    Ok(())
}

#[cfg(test)]
mod tests;
