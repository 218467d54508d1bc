//! What lies in an adapter's state directory: its identity, keys and spool. Private files are readable by their owner
//! alone, and an adapter does not start on others.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use weft_record::seal::SealingKey;
use zeroize::Zeroizing;

use crate::join::{self, CertificateRequest};

const IDENTITY: &str = "identity.json";
const CLIENT: &str = "client.pem";
const AUTHORITY: &str = "ca.pem";
/// What was sent for joining, until the answer is kept.
const JOINING: &str = "joining.pem";
const SEALING: &str = "sealing.key";
const NEXT_SEALING: &str = "sealing.next.key";
const SPOOL_KEY: &str = "spool.key";
const SECRET: &str = "department.secret";

/// Who the adapter is, as the hub said when it joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `spiffe://<trust-domain>/department/<code>/adapter/<name>`.
    pub identity: String,
    /// The department's code.
    pub department: String,
    /// The adapter's name.
    pub adapter: String,
    /// The hub's public name: `iss` and `vct` begin with `https://<name>`.
    pub hub_name: String,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The adapter has not joined.
    #[error("{} has no identity: join first", .0.display())]
    NotJoined(PathBuf),
    /// It joined before.
    #[error("{} belongs to {identity} already", .0.display(), identity = .1)]
    Joined(PathBuf, String),
    /// Another process works on it.
    #[error("another adapter works on {}", .0.display())]
    InUse(PathBuf),
    /// A private file can be read by others.
    #[error("{} can be read by others: chmod 600", .0.display())]
    Open(PathBuf),
    /// A file has not the form that was written.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// A key could not be made.
    #[error("no key could be made")]
    Key,
}

/// The state directory of an adapter.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// What an adapter that joined works with. The directory is its own as long as this lives.
#[derive(Debug)]
pub struct Keys {
    /// Who it is.
    pub identity: Identity,
    /// The private half of the department's sealing key.
    pub sealing: SealingKey,
    /// The key of the spool.
    pub spool: Zeroizing<[u8; 32]>,
    /// The department's secret: record identifiers and digests come from it.
    pub secret: Zeroizing<[u8; 32]>,
    /// The directory belongs to this process while this is open.
    pub(crate) lock: File,
}

impl Directory {
    /// The directory at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes the directory, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), Error> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| Error::Io(self.path.clone(), error))
    }

    /// The spool's file.
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool.db")
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|error| Error::Io(path, error))
    }

    fn read_private(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let path = self.path.join(name);
        let meta = fs::metadata(&path).map_err(|error| Error::Io(path.clone(), error))?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(Error::Open(path));
        }
        self.read(name).map(Zeroizing::new)
    }

    fn damaged(&self, name: &str) -> Error {
        Error::Damaged(self.path.join(name))
    }

    /// Writes a file whole or not at all, readable by its owner alone.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!(".{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| Error::Io(path.clone(), error))
    }

    /// Who the adapter is; nothing before it joined.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>, Error> {
        if !self.path.join(IDENTITY).exists() {
            return Ok(None);
        }
        let text = self.read(IDENTITY)?;
        serde_json::from_slice(&text).map(Some).map_err(|_| self.damaged(IDENTITY))
    }

    /// Notes who the adapter is: the last step of joining.
    pub(crate) fn set_identity(&self, identity: &Identity) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(identity).map_err(|_| self.damaged(IDENTITY))?;
        self.write(IDENTITY, &text)?;
        self.end_joining()
    }

    /// The request for the first certificate: the one of a joining that was not ended, or a new one.
    pub(crate) fn certificate_request(&self) -> Result<CertificateRequest, join::Error> {
        if self.path.join(JOINING).exists() {
            let pem = self.read_private(JOINING)?;
            let kept = std::str::from_utf8(&pem).ok().and_then(CertificateRequest::from_pem);
            return kept.ok_or_else(|| self.damaged(JOINING).into());
        }
        let fresh = CertificateRequest::fresh()?;
        self.write(JOINING, fresh.to_pem().as_bytes())?;
        Ok(fresh)
    }

    fn end_joining(&self) -> Result<(), Error> {
        let path = self.path.join(JOINING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io(path, error)),
            _ => Ok(()),
        }
    }

    /// Certificate chain and private key of the connection, PEM: one file, so that both change at once.
    ///
    /// # Errors
    /// It is not there, or can be read by others.
    pub fn client_pem(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.read_private(CLIENT)
    }

    pub(crate) fn set_client_pem(&self, certificate: &str, key: &str) -> Result<(), Error> {
        self.write(CLIENT, Zeroizing::new(format!("{}\n{key}", certificate.trim_end())).as_bytes())
    }

    /// The certificate of the hub's authority, PEM.
    ///
    /// # Errors
    /// It is not there.
    pub fn authority_pem(&self) -> Result<Vec<u8>, Error> {
        self.read(AUTHORITY)
    }

    pub(crate) fn set_authority_pem(&self, pem: &str) -> Result<(), Error> {
        self.write(AUTHORITY, pem.as_bytes())
    }

    /// The sealing key that is there, or a new one.
    pub(crate) fn sealing_key(&self, make: impl FnOnce() -> Result<SealingKey, Error>) -> Result<SealingKey, Error> {
        if self.path.join(SEALING).exists() {
            let pem = self.read_private(SEALING)?;
            let text = std::str::from_utf8(&pem).map_err(|_| self.damaged(SEALING))?;
            return SealingKey::from_pkcs8_pem(text).map_err(|_| self.damaged(SEALING));
        }
        let key = make()?;
        let pem = key.to_pkcs8_pem().map_err(|_| Error::Key)?;
        self.write(SEALING, pem.as_bytes())?;
        Ok(key)
    }

    /// The sealing key that is to follow, or a new one. It is kept before the hub hears of it.
    pub(crate) fn next_sealing_key(
        &self,
        make: impl FnOnce() -> Result<SealingKey, Error>,
    ) -> Result<SealingKey, Error> {
        if self.path.join(NEXT_SEALING).exists() {
            let pem = self.read_private(NEXT_SEALING)?;
            let text = std::str::from_utf8(&pem).map_err(|_| self.damaged(NEXT_SEALING))?;
            return SealingKey::from_pkcs8_pem(text).map_err(|_| self.damaged(NEXT_SEALING));
        }
        let key = make()?;
        let pem = key.to_pkcs8_pem().map_err(|_| Error::Key)?;
        self.write(NEXT_SEALING, pem.as_bytes())?;
        Ok(key)
    }

    /// The key that was to follow is the sealing key from now on; the one before is gone. At once, whatever happens.
    pub(crate) fn follow_sealing_key(&self) -> Result<(), Error> {
        let (next, path) = (self.path.join(NEXT_SEALING), self.path.join(SEALING));
        let follow = || -> io::Result<()> {
            fs::rename(&next, &path)?;
            File::open(&self.path)?.sync_all()
        };
        follow().map_err(|error| Error::Io(path.clone(), error))
    }

    /// The files of a joined adapter beside its spool, those that are there.
    pub(crate) fn files() -> [&'static str; 7] {
        // The identity is the last: an interrupted restore has not joined.
        [CLIENT, AUTHORITY, SEALING, NEXT_SEALING, SPOOL_KEY, SECRET, IDENTITY]
    }

    /// Writes one of them, whole or not at all.
    pub(crate) fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, bytes)
    }

    /// Whether another process works on the directory now.
    ///
    /// # Errors
    /// The lock's file cannot be opened.
    pub fn in_use(&self) -> Result<bool, Error> {
        let lock = self.path.join("lock");
        if !lock.exists() {
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).open(&lock).map_err(|error| Error::Io(lock.clone(), error))?;
        Ok(file.try_lock().is_err())
    }

    /// Whether there is a spool's key: there is none before the adapter joined.
    pub(crate) fn has_spool_key(&self) -> bool {
        self.path.join(SPOOL_KEY).exists()
    }

    /// The spool's key: made at the first joining, and never replaced while there is a spool.
    pub(crate) fn ensure_spool_key(&self, fresh: &[u8; 32]) -> Result<(), Error> {
        if self.path.join(SPOOL_KEY).exists() {
            return self.key_file(SPOOL_KEY).map(drop);
        }
        self.write(SPOOL_KEY, Zeroizing::new(hex::encode(fresh)).as_bytes())
    }

    /// Keeps the department's secret. Another one than before would give every record another identifier.
    pub(crate) fn set_secret(&self, secret: &[u8; 32]) -> Result<(), Error> {
        if self.path.join(SECRET).exists() && *self.key_file(SECRET)? != *secret {
            return Err(self.damaged(SECRET));
        }
        self.write(SECRET, Zeroizing::new(hex::encode(secret)).as_bytes())
    }

    fn key_file(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        let text = self.read_private(name)?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), key.as_mut()).map_err(|_| self.damaged(name))?;
        Ok(key)
    }

    /// Takes the directory for this process and reads what an adapter works with.
    ///
    /// # Errors
    /// It has not joined, another process works on it, or a file is open to others or damaged.
    pub fn open(&self) -> Result<Keys, Error> {
        let identity = self.identity()?.ok_or_else(|| Error::NotJoined(self.path.clone()))?;
        let lock = self.path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(|error| Error::Io(lock.clone(), error))?;
        file.try_lock().map_err(|_| Error::InUse(self.path.clone()))?;
        self.end_joining()?;
        self.client_pem()?;
        Ok(Keys {
            identity,
            sealing: self.sealing_key(|| Err(self.damaged(SEALING)))?,
            spool: self.key_file(SPOOL_KEY)?,
            secret: self.key_file(SECRET)?,
            lock: file,
        })
    }

    /// The spool's key alone, without taking the directory: to look while an adapter works.
    ///
    /// # Errors
    /// It is not there, open to others or damaged.
    pub fn spool_key(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        self.key_file(SPOOL_KEY)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
