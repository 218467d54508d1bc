//! Secrets in files of their own.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use zeroize::Zeroizing;

/// More is no password.
const LONGEST: usize = 64 << 10;

/// Reads a secret: the file's text without the line's end.
///
/// # Errors
/// The file is not there, can be read by others, or is no text.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let meta = fs::metadata(path).map_err(named)?;
    if meta.permissions().mode() & 0o077 != 0 {
        let said = format!("{} can be read by others: chmod 600", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, said));
    }
    if meta.len() > LONGEST as u64 {
        return Err(io::Error::other(format!("{} is too long for a secret", path.display())));
    }
    let mut text = Zeroizing::new(fs::read_to_string(path).map_err(named)?);
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "s3cret \r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("s3cret"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path).unwrap().as_str(), "s3cret ");
    }
}
