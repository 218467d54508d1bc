//! Files that wait, and files that are done with.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{Ending, FileConfig};
use crate::text;

/// Ends of names that are still being written.
const UNFINISHED: [&str; 3] = [".tmp", ".part", ".crdownload"];
pub(super) const DONE: &str = "done";
const FAILED: &str = "failed";
const REPORT: &str = ".problems.csv";

/// A file that waits: path, length, time of the last change.
pub(super) type Waiting = (PathBuf, u64, i128);

/// The files that wait, oldest first.
pub(super) fn waiting(config: &FileConfig) -> io::Result<Vec<Waiting>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&config.folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') || name.starts_with("~$");
        if hidden
            || UNFINISHED.iter().any(|end| name.ends_with(end))
            || !text::matches_pattern(&config.pattern, &name)
            || config.format.of(&name).is_none()
            || is_open(&config.folder, &name)
        {
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

/// The names of the files that wait, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn waiting_names(config: &FileConfig) -> io::Result<Vec<String>> {
    let name = |(path, ..): &Waiting| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(waiting(config)?.iter().filter_map(name).collect())
}

/// Whether a spreadsheet program has the file open: it keeps a file of its own beside it. Excel and WPS put `~$` in
/// front of the name, or in the place of its first two letters where it is long; LibreOffice writes `.~lock.NAME#`.
fn is_open(folder: &Path, name: &str) -> bool {
    let shortened = name.char_indices().nth(2).map(|(at, _)| format!("~${}", &name[at..]));
    let beside = [Some(format!("~${name}")), shortened, Some(format!(".~lock.{name}#"))];
    beside.into_iter().flatten().any(|lock| folder.join(lock).symlink_metadata().is_ok())
}

/// Whether another process has locked the file. Where the file system has no locks, none is there.
pub(super) fn is_locked(file: &File) -> bool {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // The lock ends with the file anyway.
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

pub(super) fn modified_ns(meta: &fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// Moves a file to `done/` or `failed/`, its report first: a file that is there has its report.
pub(super) fn put_away(folder: &Path, name: &str, tag: &str, ending: &Ending) -> io::Result<()> {
    let (kept, report) = match ending {
        Ending::Done { report } => (folder.join(DONE), report),
        Ending::Failed { report } => (folder.join(FAILED), report),
    };
    fs::create_dir_all(&kept)?;
    let from = folder.join(name);
    if !from.exists() {
        return Ok(());
    }
    let to = if kept.join(name).exists() { format!("{tag}-{name}") } else { name.to_owned() };
    if !report.is_empty() {
        fs::write(kept.join(format!("{to}{REPORT}")), report)?;
    }
    fs::rename(&from, kept.join(&to))?;
    File::open(&kept)?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Removes what was put into `done/` before `before`, seconds since 1970. What failed stays until a person removes it.
pub(super) fn empty(folder: &Path, before: i64) -> io::Result<u64> {
    let entries = match fs::read_dir(folder.join(DONE)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        // A move changes the inode, not the content: the later of both times is never too early.
        if meta.is_file() && meta.ctime().max(meta.mtime()) < before {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What is kept in `done/` of the files that a source takes, in the order in which they were done with.
pub(super) fn kept(config: &FileConfig) -> io::Result<Vec<Waiting>> {
    let entries = match fs::read_dir(config.folder.join(DONE)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let meta = entry.path().symlink_metadata()?;
        let ours = [Some(name.as_str()), untagged(&name)];
        let ours = ours.into_iter().flatten().any(|name| text::matches_pattern(&config.pattern, name));
        if ours && meta.is_file() && !name.ends_with(REPORT) && matches!(config.format.of(&name), Some(Ok(_))) {
            let done = (meta.ctime(), meta.ctime_nsec());
            files.push((done, (entry.path(), meta.len(), modified_ns(&meta))));
        }
    }
    files.sort_by(|a, b| (a.0, &a.1.0).cmp(&(b.0, &b.1.0)));
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

/// The name that a file had before one of the same name was done with.
fn untagged(name: &str) -> Option<&str> {
    name.split_once('-').filter(|(tag, _)| tag.len() == 8).map(|(_, rest)| rest)
}

/// Moves back what was put into `done/` since, milliseconds since 1970, so that it is offered again; the spool remembers in which order
/// units were read first.
pub(super) fn bring_back(folder: &Path, pattern: &str, since_ms: i64) -> io::Result<()> {
    let kept = folder.join(DONE);
    if !kept.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&kept)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let meta = entry.path().symlink_metadata()?;
        // Moving a file changes its inode alone: the time of that is when it was done with.
        let done_ms = meta.ctime().saturating_mul(1_000).saturating_add(meta.ctime_nsec() / 1_000_000);
        if !meta.is_file() || name.ends_with(REPORT) || done_ms < since_ms {
            continue;
        }
        let names = [Some(name.as_str()).filter(|name| text::matches_pattern(pattern, name)), untagged(&name)];
        if let Some(back) = names.into_iter().flatten().find(|name| !folder.join(name).exists()) {
            fs::rename(entry.path(), folder.join(back))?;
        }
    }
    File::open(&kept)?.sync_all()?;
    File::open(folder)?.sync_all()
}
