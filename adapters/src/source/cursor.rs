//! What a polling source remembers between two runs: one small file each, under `cursors/` in the state directory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Serialize, de::DeserializeOwned};

/// Names of files longer than this are shortened to a digest; Linux admits 255 bytes.
const LONGEST_NAME: usize = 200;

/// Where one source's cursor lies. Blocking: the file is small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorFile {
    folder: PathBuf,
    name: String,
}

impl CursorFile {
    /// The cursor of `source` in `state_dir`. Nothing is made yet.
    pub fn new(state_dir: &Path, source: &str) -> Self {
        Self { folder: state_dir.join("cursors"), name: file_name(source) }
    }

    /// What was stored last; `None` when nothing ever was.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn load<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        match fs::read(self.path()) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| {
                let said = format!("{} is damaged; restore it from a backup, or remove it to read anew", self.name);
                io::Error::new(io::ErrorKind::InvalidData, said)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores `cursor` in place of the one before. Durable when it returns; after a crash one of the two is there,
    /// whole.
    ///
    /// # Errors
    /// It could not be written; the one before stands.
    pub fn store<T: Serialize>(&self, cursor: &T) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let beside = self.folder.join(format!(".{}.new", self.name));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(cursor)?)?;
        file.sync_all()?;
        fs::rename(&beside, self.path())?;
        File::open(&self.folder)?.sync_all()?;
        // The folder itself may be new.
        File::open(self.folder.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

/// `<source>.json`; whatever a file's name must not hold is written `%xx`.
fn file_name(source: &str) -> String {
    let mut name = String::new();
    for c in source.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '_') {
            name.push(c);
        } else {
            name.extend(c.to_string().bytes().map(|byte| format!("%{byte:02x}")));
        }
    }
    if name.len() > LONGEST_NAME {
        name = hex::encode(digest(&SHA256, source.as_bytes()));
    }
    format!("{name}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_stored_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = CursorFile::new(folder.path(), "licences");
        assert_eq!(file.load::<Vec<u32>>().unwrap(), None);
        file.store(&vec![1, 2]).unwrap();
        file.store(&vec![3]).unwrap();
        assert_eq!(CursorFile::new(folder.path(), "licences").load().unwrap(), Some(vec![3]));
        let names: Vec<_> = fs::read_dir(folder.path().join("cursors")).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_damaged_one_is_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = CursorFile::new(folder.path(), "licences");
        file.store(&vec![1]).unwrap();
        fs::write(folder.path().join("cursors/licences.json"), "[1").unwrap();
        assert_eq!(file.load::<Vec<u32>>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_name_stays_one_file_in_the_folder() {
        assert_eq!(file_name("婚姻登记-1"), "婚姻登记-1.json");
        assert_eq!(file_name("../x y"), "%2e%2e%2fx%20y.json");
        assert_ne!(file_name("a/b"), file_name("a%2fb"));
        let long = file_name(&"😀".repeat(64));
        assert!(long.len() < 80, "{long}");
    }
}
