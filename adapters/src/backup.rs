//! State and keys in one encrypted file, and back: an adapter that is restored goes on with the same record identifiers and
//! version numbers.
//!
//! The file: a line that names the format, a line of JSON that says how it is encrypted, then chunks of AES-256-GCM, each up to 64 KiB of
//! the archive. The key is argon2id of a passphrase and a fresh salt, so a counter is a nonce; the last chunk's nonce says that it is
//! the last, so nothing can be cut off. The two lines are associated data of every chunk. The archive is, file by file: the length of its
//! name and of its bytes, 8 octets each, then both.

mod sealed;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    clock::Surroundings,
    config::Config,
    keys::{self, Directory, Identity},
    spool::{self, Spool},
};
use sealed::{CHUNK, Cipher, Header, Opened, Sealed, TAG, header};

const FORMAT: &str = "weft-adapter-backup/1\n";
/// A passphrase has as many characters at least.
pub const MIN_PASSPHRASE: usize = 12;
const SPOOL: &str = "spool.db";
const CURSORS: &str = "cursors";

/// Why a backup could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// The state directory.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// The passphrase is another one, or the file is damaged.
    #[error("the passphrase is another one, or the backup is damaged")]
    Closed,
    /// Not a backup of an adapter.
    #[error("this is no backup of an adapter")]
    Format,
    /// The passphrase is too short.
    #[error("a passphrase has at least {MIN_PASSPHRASE} characters")]
    Passphrase,
    /// There is something where the backup would be written, or restored.
    #[error("{} is there already; it is never overwritten", .0.display())]
    There(PathBuf),
    /// No key could be made.
    #[error("no key could be made")]
    Key,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Whose it is.
    pub identity: Identity,
    /// Files.
    pub files: usize,
    /// Bytes of the backup.
    pub bytes: u64,
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::Io(path.to_owned(), error)
}

/// A wrong passphrase shows as the first chunk that does not open.
fn read_failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::Closed,
        _ => Error::Io(path.to_owned(), error),
    }
}

fn put(out: &mut impl Write, name: &str, length: u64, bytes: &mut impl Read) -> io::Result<()> {
    out.write_all(&(name.len() as u64).to_be_bytes())?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(name.as_bytes())?;
    let copied = io::copy(&mut bytes.take(length), out)?;
    if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The name and length of the next file; nothing at the end.
fn next_file(from: &mut impl Read) -> io::Result<Option<(String, u64)>> {
    let mut numbers = [0; 16];
    let first = from.read(&mut numbers[..1])?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut numbers[1..])?;
    let number = |half: &[u8]| half.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
    let (length, bytes) = (number(&numbers[..8]), number(&numbers[8..]));
    let mut name = vec![0; usize::try_from(length.min(4_096)).unwrap_or(4_096)];
    from.read_exact(&mut name)?;
    let name = String::from_utf8(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((name, bytes)))
}

fn check_passphrase(passphrase: &str) -> Result<(), Error> {
    if passphrase.chars().count() < MIN_PASSPHRASE { Err(Error::Passphrase) } else { Ok(()) }
}

/// Writes state and keys of an adapter into `to`, also while it works. What was written is read back before it is relied on.
///
/// # Errors
/// The passphrase is short, the state cannot be read, or the file cannot be written.
pub async fn backup(config: &Config, to: &Path, passphrase: &str, surroundings: &Surroundings) -> Result<Made, Error> {
    check_passphrase(passphrase)?;
    if to.exists() {
        return Err(Error::There(to.to_owned()));
    }
    let directory = Directory::new(&config.state_dir);
    let identity = directory.identity()?.ok_or_else(|| keys::Error::NotJoined(config.state_dir.clone()))?;
    let copy = directory.path().join(".spool.copy");
    let there = directory.spool().exists();
    if there {
        if copy.exists() {
            fs::remove_file(&copy).map_err(at(&copy))?;
        }
        let key = directory.spool_key()?;
        let spool = Spool::beside(&directory.spool(), &key, surroundings.chance.clone()).await?;
        spool.copy_to(&copy).await?;
        spool.close().await;
    }
    let (header, line) = header(surroundings.chance.as_ref(), surroundings.clock.now().as_millisecond())?;
    let written = write(&directory, there.then_some(copy.as_path()), to, passphrase, (&header, &line));
    if there {
        fs::remove_file(&copy).map_err(at(&copy))?;
    }
    let files = written?;
    let (read, bytes) = verify(to, passphrase)?;
    if read != files {
        return Err(Error::Closed);
    }
    Ok(Made { identity, files, bytes })
}

fn write(
    directory: &Directory,
    copy: Option<&Path>,
    to: &Path,
    passphrase: &str,
    (header, line): (&Header, &str),
) -> Result<usize, Error> {
    let partial = to.with_extension("partial");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let mut out = BufWriter::new(file.map_err(at(&partial))?);
    let cipher = Cipher::new(header, line, passphrase)?;
    out.write_all(&cipher.head).map_err(at(&partial))?;
    let mut sealed = Sealed { out, cipher, chunk: Vec::with_capacity(CHUNK + TAG) };
    let mut all: Vec<(String, PathBuf)> = copy.map(|copy| (SPOOL.to_owned(), copy.to_owned())).into_iter().collect();
    let cursors = directory.path().join(CURSORS);
    if cursors.is_dir() {
        for entry in fs::read_dir(&cursors).map_err(at(&cursors))? {
            let path = entry.map_err(at(&cursors))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.is_empty() && !name.starts_with('.') && path.is_file() {
                all.push((format!("{CURSORS}/{name}"), path));
            }
        }
    }
    let keys = Directory::files().into_iter().map(|name| (name.to_owned(), directory.path().join(name)));
    all.extend(keys.filter(|(_, path)| path.exists()));
    for (name, path) in &all {
        let mut from = File::open(path).map_err(at(path))?;
        let length = from.metadata().map_err(at(path))?.len();
        put(&mut sealed, name, length, &mut from).map_err(at(path))?;
    }
    let out = sealed.end().map_err(at(&partial))?;
    out.into_inner()
        .map_err(|error| Error::Io(partial.clone(), error.into_error()))?
        .sync_all()
        .map_err(at(&partial))?;
    fs::rename(&partial, to).map_err(at(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    Ok(all.len())
}

/// The archive, and when it was made, milliseconds since 1970.
fn open(path: &Path, passphrase: &str) -> Result<(Opened<File>, i64), Error> {
    let mut from = BufReader::new(File::open(path).map_err(at(path))?);
    let mut format = vec![0; FORMAT.len()];
    from.read_exact(&mut format).map_err(|_| Error::Format)?;
    let mut line = Vec::new();
    io::BufRead::read_until(&mut (&mut from).take(4_096), b'\n', &mut line).map_err(at(path))?;
    let line = String::from_utf8(line).map_err(|_| Error::Format)?;
    let line = line.strip_suffix('\n').ok_or(Error::Format)?;
    if format != FORMAT.as_bytes() {
        return Err(Error::Format);
    }
    let header: Header = serde_json::from_str(line).map_err(|_| Error::Format)?;
    let cipher = Cipher::new(&header, line, passphrase)?;
    Ok((Opened { from, cipher, chunk: Vec::new(), read: 0, ended: false }, header.made_at))
}

fn verify(path: &Path, passphrase: &str) -> Result<(usize, u64), Error> {
    let (mut opened, _) = open(path, passphrase)?;
    let mut files = 0;
    while let Some((_, length)) = next_file(&mut opened).map_err(read_failed(path))? {
        let copied = io::copy(&mut (&mut opened).take(length), &mut io::sink()).map_err(read_failed(path))?;
        if copied != length {
            return Err(Error::Closed);
        }
        files += 1;
    }
    Ok((files, fs::metadata(path).map_err(at(path))?.len()))
}

/// Brings state and keys back into the state directory of the configuration, which must not hold an adapter. The hub may have taken
/// more since the backup was made: it is asked for its heads before anything is sealed. What was read since and never sent, only the
/// sources still have: the status says so until they are read again.
///
/// # Errors
/// The passphrase is another one, there is an adapter already, or the directory cannot be written.
pub async fn restore(
    config: &Config,
    from: &Path,
    passphrase: &str,
    surroundings: &Surroundings,
) -> Result<Made, Error> {
    let directory = Directory::new(&config.state_dir);
    for there in ["identity.json", SPOOL] {
        if directory.path().join(there).exists() {
            return Err(Error::There(directory.path().join(there)));
        }
    }
    // All of it must open before anything of it is written.
    let (files, bytes) = verify(from, passphrase)?;
    directory.create()?;
    let (mut opened, made_at) = open(from, passphrase)?;
    while let Some((name, length)) = next_file(&mut opened).map_err(read_failed(from))? {
        unpack(&directory, &name, &mut (&mut opened).take(length), from)?;
    }
    let identity = directory.identity()?.ok_or(Error::Format)?;
    if directory.spool().exists() {
        let key = directory.spool_key()?;
        let spool = Spool::beside(&directory.spool(), &key, surroundings.chance.clone()).await?;
        for (record_type, _) in spool.facts("heads:").await? {
            spool.forget_fact(&format!("heads:{record_type}")).await?;
        }
        spool.set_recovered(made_at).await?;
        spool.close().await;
    }
    Ok(Made { identity, files, bytes })
}

fn unpack(directory: &Directory, name: &str, bytes: &mut impl Read, from: &Path) -> Result<(), Error> {
    if Directory::files().contains(&name) {
        let mut text = Zeroizing::new(Vec::new());
        bytes.read_to_end(&mut text).map_err(read_failed(from))?;
        return Ok(directory.write_file(name, &text)?);
    }
    let relative = Path::new(name);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || !(name == SPOOL || name.starts_with("cursors/")) {
        return Err(Error::Format);
    }
    let path = directory.path().join(relative);
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(at(&path))?;
    io::copy(bytes, &mut file).map_err(read_failed(from))?;
    file.sync_all().map_err(at(&path))
}
