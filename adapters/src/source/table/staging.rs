//! What a poll read, until it is in the spool: in a file without a name, under a key that only this process has.
//!
//! A poll's rows are needed more than once and have to be the same each time, which a living database does not give;
//! and they may be more than memory holds. Nobody else can open the file, and what stays on the disk after a crash
//! cannot be read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::{clock::Chance, source::odbc::protocol::UNREADABLE};

/// Bytes encrypted together.
const CHUNK: usize = 128 << 10;

/// One row of a database: text, or NULL, or what [`unreadable`] knows.
pub(crate) type Cells = Vec<Option<String>>;

/// Whether a cell's bytes are no text in the encoding that its database is said to have.
pub(super) fn unreadable(cell: &str) -> bool {
    cell.starts_with(UNREADABLE)
}

/// A row as it was staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedRow {
    /// The watermark was NULL.
    pub(super) unmarked: bool,
    /// The cells; NULL is the empty string.
    pub(super) cells: Vec<String>,
}

struct Sealed {
    file: File,
    key: LessSafeKey,
}

/// Rows on their way into the file.
pub(super) struct Staging {
    sealed: Arc<Sealed>,
    buffer: Vec<u8>,
    chunks: Vec<(u64, usize)>,
    rows: u64,
}

/// Rows in the file, to be read as often as one likes.
#[derive(Clone)]
pub(super) struct Staged {
    sealed: Arc<Sealed>,
    chunks: Arc<Vec<(u64, usize)>>,
    rows: u64,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged({} rows)", self.rows)
    }
}

impl Staging {
    /// A file in `folder`, which is made where it is missing.
    pub(super) fn create(folder: &Path, chance: &dyn Chance) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut name = [0; 8];
        let mut key = Zeroizing::new([0; 32]);
        let filled = chance.fill(&mut name).and_then(|()| chance.fill(key.as_mut_slice()));
        filled.map_err(io::Error::other)?;
        let path = folder.join(format!(".poll-{}", hex::encode(name)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        let key =
            UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| io::Error::other("no key could be made"))?;
        let sealed = Arc::new(Sealed { file, key: LessSafeKey::new(key) });
        Ok(Self { sealed, buffer: Vec::new(), chunks: Vec::new(), rows: 0 })
    }

    /// Adds a row.
    pub(super) async fn push(&mut self, unmarked: bool, cells: &[Option<String>]) -> io::Result<()> {
        self.rows += 1;
        self.buffer.push(u8::from(unmarked));
        for cell in cells {
            let text = cell.as_deref().unwrap_or_default();
            let length = u32::try_from(text.len()).map_err(|_| io::Error::other("a cell is longer than 4 GiB"))?;
            self.buffer.extend(length.to_le_bytes());
            self.buffer.extend(text.as_bytes());
        }
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    async fn flush(&mut self) -> io::Result<()> {
        let (number, at) = (self.chunks.len(), self.chunks.last().map_or(0, |&(at, length)| at + length as u64));
        let (sealed, mut bytes) = (self.sealed.clone(), std::mem::take(&mut self.buffer));
        let written = spawn_blocking(move || {
            let tagged = sealed.key.seal_in_place_append_tag(nonce(number), Aad::empty(), &mut bytes);
            tagged.map_err(|_| io::Error::other("rows could not be encrypted"))?;
            sealed.file.write_all_at(&bytes, at).map(|()| bytes.len())
        });
        let length = written.await.map_err(io::Error::other)??;
        self.chunks.push((at, length));
        Ok(())
    }

    /// All rows are there.
    pub(super) async fn finish(mut self) -> io::Result<Staged> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        Ok(Staged { sealed: self.sealed, chunks: Arc::new(self.chunks), rows: self.rows })
    }
}

/// Each chunk of a file has its number as nonce, and each file a key of its own.
fn nonce(number: usize) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Staged {
    /// The rows of every chunk, each row `width` cells, in order. Blocking.
    pub(super) fn chunks(&self, width: usize) -> impl Iterator<Item = io::Result<Vec<StagedRow>>> + '_ {
        (0..self.chunks.len()).map(move |number| {
            let (at, length) = self.chunks[number];
            let mut bytes = vec![0; length];
            self.sealed.file.read_exact_at(&mut bytes, at)?;
            let opened = self.sealed.key.open_in_place(nonce(number), Aad::empty(), &mut bytes);
            let text = opened.map_err(|_| damaged())?;
            rows(text, width).ok_or_else(damaged)
        })
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what was staged is damaged")
}

fn rows(mut bytes: &[u8], width: usize) -> Option<Vec<StagedRow>> {
    let mut rows = Vec::new();
    while let Some((&unmarked, rest)) = bytes.split_first() {
        bytes = rest;
        let mut cells = Vec::with_capacity(width);
        for _ in 0..width {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            cells.push(String::from_utf8(text.to_vec()).ok()?);
            bytes = rest;
        }
        rows.push(StagedRow { unmarked: unmarked == 1, cells });
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemChance;

    #[tokio::test]
    async fn rows_come_back_as_often_as_one_likes_and_leave_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut staging = Staging::create(folder.path(), &SystemChance).unwrap();
        for number in 0..20_000 {
            staging.push(number % 7 == 0, &[Some(format!("行{number}")), None]).await.unwrap();
        }
        let staged = staging.finish().await.unwrap();
        assert!(staged.chunks.len() > 1);
        for _ in 0..2 {
            let rows: Vec<_> = staged.chunks(2).flat_map(Result::unwrap).collect();
            assert_eq!(rows.len(), 20_000);
            assert_eq!(rows[14], StagedRow { unmarked: true, cells: vec!["行14".into(), String::new()] });
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut bytes = vec![0; staged.chunks[0].1];
        staged.sealed.file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(!bytes.windows(4).any(|four| four == "行1".as_bytes()), "no clear text on the disk");
    }
}
