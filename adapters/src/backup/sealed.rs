//! The encryption of a backup: AES-256-GCM in chunks under a key of argon2id.

use std::io::{self, BufReader, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Error, FORMAT};
use crate::clock::Chance;

pub(super) const CHUNK: usize = 64 * 1024;
pub(super) const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    /// Milliseconds since 1970.
    pub(super) made_at: i64,
}

/// Seals chunks, or opens them.
pub(super) struct Cipher {
    key: LessSafeKey,
    pub(super) head: Vec<u8>,
    next: u64,
}

impl Cipher {
    pub(super) fn new(header: &Header, line: &str, passphrase: &str) -> Result<Self, Error> {
        if header.kdf != "argon2id" || header.memory_kib > 1 << 20 || header.passes > 16 || header.lanes > 16 {
            return Err(Error::Format);
        }
        let salt = hex::decode(&header.salt).map_err(|_| Error::Format)?;
        let params =
            Params::new(header.memory_kib, header.passes, header.lanes, Some(32)).map_err(|_| Error::Format)?;
        let mut key = Zeroizing::new([0; 32]);
        let kdf = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        kdf.hash_password_into(passphrase.as_bytes(), &salt, key.as_mut()).map_err(|_| Error::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| Error::Key)?;
        Ok(Self { key: LessSafeKey::new(key), head: format!("{FORMAT}{line}\n").into_bytes(), next: 0 })
    }

    fn nonce(&mut self, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[0] = u8::from(last);
        nonce[4..].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), Error> {
        let nonce = self.nonce(last);
        self.key.seal_in_place_append_tag(nonce, Aad::from(&self.head), chunk).map_err(|_| Error::Key)
    }

    fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), Error> {
        let nonce = self.nonce(last);
        let length = self.key.open_in_place(nonce, Aad::from(&self.head), chunk).map_err(|_| Error::Closed)?.len();
        chunk.truncate(length);
        Ok(())
    }
}

/// Writes the archive in sealed chunks.
pub(super) struct Sealed<W> {
    pub(super) out: W,
    pub(super) cipher: Cipher,
    pub(super) chunk: Vec<u8>,
}

impl<W: Write> Sealed<W> {
    fn flush_chunk(&mut self, last: bool) -> io::Result<()> {
        self.cipher.seal(&mut self.chunk, last).map_err(io::Error::other)?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    pub(super) fn end(mut self) -> io::Result<W> {
        self.flush_chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk goes when more follows: the last one must be known as such.
        if self.chunk.len() == CHUNK {
            self.flush_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the archive out of sealed chunks.
pub(super) struct Opened<R> {
    pub(super) from: BufReader<R>,
    pub(super) cipher: Cipher,
    pub(super) chunk: Vec<u8>,
    pub(super) read: usize,
    pub(super) ended: bool,
}

impl<R: Read> Opened<R> {
    fn fill(&mut self) -> io::Result<()> {
        self.chunk.clear();
        self.read = 0;
        (&mut self.from).take((CHUNK + TAG) as u64).read_to_end(&mut self.chunk)?;
        self.ended = io::BufRead::fill_buf(&mut self.from)?.is_empty();
        self.cipher.open(&mut self.chunk, self.ended).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let taken = into.len().min(self.chunk.len() - self.read);
        into[..taken].copy_from_slice(&self.chunk[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}

pub(super) fn header(chance: &dyn Chance, made_at: i64) -> Result<(Header, String), Error> {
    let mut salt = [0; 16];
    chance.fill(&mut salt).map_err(|_| Error::Key)?;
    let header =
        Header { kdf: "argon2id".into(), memory_kib: 64 * 1024, passes: 3, lanes: 1, salt: hex::encode(salt), made_at };
    let line = serde_json::to_string(&header).map_err(|_| Error::Format)?;
    Ok((header, line))
}
