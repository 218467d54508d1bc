//! What commands read and write: bounded, and private where it is secret.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// A file that cannot be read.
fn unreadable(path: &str, error: std::io::Error) -> Failure {
    Failure::usage("文件无法读取", "a file cannot be read").because(format!("{path}: {error}"))
}

/// A file of at most `max` bytes; `-` is standard input.
pub(crate) fn read(path: &str, max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let taken = if path == "-" {
        std::io::stdin().lock().take(max + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
    };
    taken.map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > max {
        let failure = Failure::usage("文件过大", "a file is larger than it may be");
        return Err(failure.because(format!("{path}: {max} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], as text without white space around it.
pub(crate) fn read_text(path: &str, max: u64) -> Result<Zeroizing<String>, Failure> {
    let bytes = read(path, max)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Failure::usage("文件不是 UTF-8 文本", "a file is not UTF-8 text").because(path))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Writes a file that only its owner may read, whole or not at all. What it holds is personal data or a secret.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let failure = Failure::usage("文件无法写入", "a file cannot be written");
        failure.because(format!("{}: {error}", path.display()))
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let mut file = options.map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Removes a file that is not needed any more.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    fs::remove_file(path).map_err(|error| {
        Failure::usage("文件无法删除", "a file cannot be removed").because(format!("{}: {error}", path.display()))
    })
}
