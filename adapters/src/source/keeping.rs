//! Where sources keep what they must remember, and under which key.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{cursor::CursorFile, inbox::Inbox};
use crate::{
    clock::{Chance, Clock, Surroundings},
    keys::Directory,
    spool::{Spool, Vault},
};

/// Where the inbox of a source lies: named by a digest, since a source's name may hold any character.
pub(super) fn folder(state_dir: &Path, source: &str) -> PathBuf {
    let digest = digest(&SHA256, source.as_bytes());
    state_dir.join("inbox").join(hex::encode(&digest.as_ref()[..8]))
}

/// What sources that keep rows are made with.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    directory: Directory,
    state_dir: PathBuf,
    vault: Vault,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) chance: Arc<dyn Chance>,
}

impl Keeping {
    /// In `state_dir`, under the spool's key; where no adapter joined, as in a dry run, under one that nobody keeps.
    ///
    /// # Errors
    /// The key cannot be read, or no random bytes could be had.
    pub(crate) fn new(state_dir: &Path, surroundings: &Surroundings) -> io::Result<Self> {
        let directory = Directory::new(state_dir);
        let (clock, chance) = (surroundings.clock.clone(), surroundings.chance.clone());
        let mut key = Zeroizing::new([0; 32]);
        if directory.has_spool_key() {
            key = directory.spool_key().map_err(io::Error::other)?;
        } else {
            chance.fill(key.as_mut_slice()).map_err(io::Error::other)?;
        }
        let vault = Vault::new(&key, chance.clone()).map_err(io::Error::other)?;
        Ok(Self { directory, state_dir: state_dir.to_owned(), vault, clock, chance })
    }

    /// What the source remembers from one poll to the next.
    pub(super) fn cursor(&self, source: &str) -> CursorFile {
        CursorFile::new(&self.state_dir, source)
    }

    /// The adapter's spool, to look what became of things; not there in a dry run.
    pub(super) async fn spool(&self) -> io::Result<Option<Spool>> {
        let path = self.directory.spool();
        if !self.directory.has_spool_key() || !path.exists() {
            return Ok(None);
        }
        let key = self.directory.spool_key().map_err(io::Error::other)?;
        Spool::look(&path, &key, self.chance.clone()).await.map(Some).map_err(io::Error::other)
    }

    /// Where the inbox of a source lies.
    pub(super) fn folder(&self, source: &str) -> PathBuf {
        folder(&self.state_dir, source)
    }

    /// The inbox of a source.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn inbox(&self, source: &str) -> io::Result<Inbox> {
        Inbox::open(self.folder(source), self.vault.clone())
    }
}
