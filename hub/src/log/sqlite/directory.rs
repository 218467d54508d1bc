//! The data directory: owned by one process, on a file system of this machine, and its files settled after a crash.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, FlockOperation, fadvise, flock, statfs};

use super::OpenError;

/// The lock's own file: never written, never deleted, so that a lock on it always means the same file.
const LOCK: &str = "weft.lock";
const DATABASE: &str = "log.db";
const WAL: &str = "log.db-wal";
const WAL_COPY: &str = "log.db-wal.new";

/// File systems on which locks or shared memory do not hold between machines, by their number in statfs(2).
/// FUSE is let through: what lies behind it cannot be seen, and local file systems do.
const NETWORK_FILE_SYSTEMS: [(u64, &str); 10] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
];

/// A data directory that this process owns for as long as the value lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory where it is missing, readable by its owner only, and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { directory: path.into(), source };
        if !path.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
            path.parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .map_or(Ok(()), sync_directory)
                .map_err(failed)?;
        }
        if let Some(kind) = network_file_system(path).map_err(failed)? {
            return Err(OpenError::NetworkFileSystem { directory: path.into(), kind });
        }
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { directory: path.into() }),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Where the log's database lies.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Puts the write-ahead log that a crash left behind into a fresh, synced file, before anybody relies on it.
    ///
    /// After an fsync that failed, the kernel may show pages that never reached the disk and call them clean, so that no
    /// later fsync writes them; entries appended behind such a hole would be lost with the power. So what the kernel
    /// holds is let go, and what can still be read is written anew. The database itself needs no such care: every page
    /// that a failed checkpoint may have left unwritten still stands in the write-ahead log and is written again from it.
    pub(super) fn settle(&self) -> io::Result<()> {
        let (wal, copy) = (self.path.join(WAL), self.path.join(WAL_COPY));
        if let Err(error) = fs::remove_file(&copy)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        if !wal.exists() || fs::metadata(&wal)?.len() == 0 {
            return Ok(());
        }
        for path in [&wal, &self.database()] {
            fadvise(File::open(path)?, 0, None, Advice::DontNeed)?;
        }
        let mut fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy)?;
        io::copy(&mut File::open(&wal)?, &mut fresh)?;
        fresh.sync_all()?;
        fs::rename(&copy, &wal)?;
        sync_directory(&self.path)
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }
}

/// Whether a process owns this data directory now. Asks for the lock and gives it back at once.
pub fn in_use(path: &Path) -> io::Result<bool> {
    let lock = match File::open(path.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The name of the network file system that `path` lies on, if it does.
pub fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    // The number's type and sign differ between machines; only its 32 bits count.
    let number = statfs(path)?.f_type as u64 & 0xffff_ffff;
    Ok(NETWORK_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == number).map(|(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_owned_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(!in_use(folder.path()).unwrap());
        let first = Directory::open(&path).unwrap();
        assert!(in_use(&path).unwrap());
        let error = Directory::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(first);
        assert!(!in_use(&path).unwrap());
        Directory::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "").unwrap();
        assert!(matches!(Directory::open(&path), Err(OpenError::Io { .. })));
    }

    #[test]
    fn settling_keeps_what_the_write_ahead_log_says() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        directory.settle().unwrap();
        fs::write(folder.path().join(DATABASE), "pages").unwrap();
        fs::write(folder.path().join(WAL), "frames").unwrap();
        fs::write(folder.path().join(WAL_COPY), "left by a crash in the middle").unwrap();
        directory.settle().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(WAL)).unwrap(), "frames");
        assert!(!folder.path().join(WAL_COPY).exists());
    }
}
