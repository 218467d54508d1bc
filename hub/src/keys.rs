//! The key directory: master key, CA, hub signing key, hash keys – each with an id, old ones kept. With the log, the second
//! thing that replay cannot rebuild.
//!
//! One file, `keyring.json`, readable by its owner alone; it is written once, whole, and synced before anything uses it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{hkdf, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use weft_proto::{Reason, Refusal};
use zeroize::Zeroizing;

use crate::{
    alarms::{Alarms, SIGNING_UNAVAILABLE},
    clock::{Millis, random},
    envelope::DataKey,
    identity::ca::{Ca, CaError},
    statement::SigningKey,
};

/// How often the signing key is looked for.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// While it is away there is one alarm an hour.
const ALARM_EVERY_MS: Millis = 3_600_000;

/// Why the key directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It exists already; it is never overwritten.
    #[error("{0} exists already; a key directory is never overwritten")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// Others may read it.
    #[error("{0} can be read by others; chmod 600 it")]
    WorldReadable(PathBuf),
    /// It is not a key ring.
    #[error("{path} is not a key ring: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// The key that signs statements is not in it, or cannot be used.
    #[error(
        "the signing key {id} {problem} in {path}: nothing can be answered without it; put the key directory back from its backup (weft admin restore-keys)"
    )]
    Signing {
        /// Which file.
        path: PathBuf,
        /// The key's id.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The CA in it cannot be used.
    #[error(transparent)]
    Ca(#[from] CaError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Names the installation; stands in the first registry event, so that a key directory and a log that do not belong together are told apart.
    installation: String,
    created_at: Millis,
    /// Wraps departments' data keys and secrets. id → 32 bytes, base64.
    master: BTreeMap<String, String>,
    /// The hub's own data keys (ledger, registry).
    data: BTreeMap<String, String>,
    /// Keyed hashes of holders and look-up identifiers; page tokens. The index is built on the first.
    hash: BTreeMap<String, String>,
    /// The hub's signing keys for statements: PKCS#8, base64.
    signing: BTreeMap<String, String>,
    /// Which of them signs: one that is gone is missed by its name.
    #[serde(default = "first_signing")]
    signs: String,
    ca_certificate: String,
    ca_key: String,
    /// The first operators: identity path → serial of the certificate made with this key ring.
    operators: BTreeMap<String, String>,
}

fn first_signing() -> String {
    "signing/1".into()
}

/// The keys, loaded.
pub struct Keys {
    /// The installation's name.
    pub installation: String,
    /// When the key directory was made.
    pub created_at: Millis,
    /// The built-in CA.
    pub ca: Ca,
    /// Signs statements: by way of [`Keys::signer`].
    pub signing: SigningKey,
    /// Whether the signing key still stands in the key directory.
    signs: AtomicBool,
    /// The first operators: identity path → serial.
    pub operators: BTreeMap<String, String>,
    master: BTreeMap<String, DataKey>,
    data: BTreeMap<String, DataKey>,
    hash: hmac::Key,
    page: hmac::Key,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("installation", &self.installation).finish_non_exhaustive()
    }
}

/// The file's name in the key directory.
pub const KEYRING: &str = "keyring.json";

impl Keys {
    /// Makes a new key directory. Refuses to touch an existing one.
    pub fn create(
        dir: &Path,
        trust_domain: &str,
        operators: BTreeMap<String, String>,
        now: Millis,
    ) -> Result<(), KeysError> {
        let path = dir.join(KEYRING);
        if path.exists() {
            return Err(KeysError::Exists(path));
        }
        let (ca_certificate, ca_key) = Ca::create(&format!("Weft CA {trust_domain}"), now)?;
        let stored = Stored {
            installation: hex::encode(random::<16>()),
            created_at: now,
            master: one_random("master/1"),
            data: one_random("hub/1"),
            hash: one_random("hash/1"),
            signing: [(first_signing(), STANDARD.encode(SigningKey::generate_pkcs8()))].into(),
            signs: first_signing(),
            ca_certificate,
            ca_key,
            operators,
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io(dir))?;
        let json = Zeroizing::new(serde_json::to_vec_pretty(&stored).expect("a key ring is plain JSON"));
        write_private(&path, &json)
    }

    /// Loads a key directory.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        let path = dir.join(KEYRING);
        let mode = fs::metadata(&path).map_err(io(&path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeysError::WorldReadable(path));
        }
        let stored = stored_in(&path)?;
        let unreadable = |error: String| KeysError::Unreadable { path: path.clone(), error };
        let hash = decode_keys(&stored.hash).map_err(unreadable)?;
        let hash = hash.last_key_value().ok_or_else(|| unreadable("no hash key".into()))?.1;
        Ok(Self {
            ca: Ca::load(&stored.ca_certificate, &stored.ca_key)?,
            signing: signing_key(&stored, &path)?,
            signs: AtomicBool::new(true),
            master: decode_keys(&stored.master).map_err(unreadable)?,
            data: decode_keys(&stored.data).map_err(unreadable)?,
            hash: hmac::Key::new(hmac::HMAC_SHA256, derive(hash, b"weft hash").as_slice()),
            page: hmac::Key::new(hmac::HMAC_SHA256, derive(hash, b"weft page token").as_slice()),
            installation: stored.installation,
            operators: stored.operators,
            created_at: stored.created_at,
        })
    }

    /// The key that signs statements, while it stands in the key directory.
    pub fn signer(&self) -> Result<&SigningKey, Refusal> {
        if self.signs.load(Ordering::SeqCst) {
            Ok(&self.signing)
        } else {
            Err(Refusal::new(Reason::SigningUnavailable))
        }
    }

    /// Looks every two seconds, until `stop`, whether the signing key still stands in the key directory. Who takes it away, or loses it,
    /// is not to find out at the next start: from then on nothing is answered, until it is there again.
    pub async fn watch_signer(self: Arc<Self>, dir: PathBuf, alarms: Arc<Alarms>, stop: CancellationToken) {
        let mut every = tokio::time::interval(WATCH_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let path = dir.join(KEYRING);
            let stands = stored_in(&path).and_then(|stored| signing_key(&stored, &path)).and_then(|key| {
                let id = self.signing.kid().to_owned();
                let problem = "is another one".to_owned();
                if key.kid() == id { Ok(()) } else { Err(KeysError::Signing { path: path.clone(), id, problem }) }
            });
            if let Err(error) = &stands {
                alarms.raise(SIGNING_UNAVAILABLE, "keys_dir", ALARM_EVERY_MS, &error.to_string());
            } else if !self.signs.load(Ordering::SeqCst) {
                tracing::info!("the signing key stands in the key directory again");
            }
            self.signs.store(stands.is_ok(), Ordering::SeqCst);
        }
    }

    /// The hub's newest own data key: (id, key).
    pub fn hub_data_key(&self) -> (&str, &DataKey) {
        let (id, key) = self.data.last_key_value().expect("a key ring has a data key");
        (id, key)
    }

    /// One of the hub's own data keys.
    pub fn data_key(&self, id: &str) -> Option<DataKey> {
        self.data.get(id).cloned()
    }

    /// The newest master key: (id, key).
    pub fn master_key(&self) -> (&str, &DataKey) {
        let (id, key) = self.master.last_key_value().expect("a key ring has a master key");
        (id, key)
    }

    /// A master key by id.
    pub fn master_key_of(&self, id: &str) -> Option<&DataKey> {
        self.master.get(id)
    }

    /// Keyed hash of length-prefixed parts: what the index holds of holders and look-up identifiers.
    pub fn keyed_hash(&self, parts: &[&str]) -> [u8; 32] {
        mac(&self.hash, parts.iter().map(|part| part.as_bytes()))
    }

    /// The code of a page token: only this hub can make one.
    pub fn page_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.page, parts.iter().copied())
    }
}

fn stored_in(path: &Path) -> Result<Stored, KeysError> {
    let json = Zeroizing::new(fs::read(path).map_err(io(path))?);
    let unreadable = |error: serde_json::Error| KeysError::Unreadable { path: path.into(), error: error.to_string() };
    serde_json::from_slice(&json).map_err(unreadable)
}

fn signing_key(stored: &Stored, path: &Path) -> Result<SigningKey, KeysError> {
    let id = &stored.signs;
    let wrong = |problem: String| KeysError::Signing { path: path.into(), id: id.clone(), problem };
    let text = stored.signing.get(id).ok_or_else(|| wrong("is missing".into()))?;
    let unusable = |error: String| wrong(format!("cannot be used ({error})"));
    let pkcs8 = Zeroizing::new(STANDARD.decode(text).map_err(|error| unusable(error.to_string()))?);
    SigningKey::from_pkcs8(&pkcs8).map_err(unusable)
}

fn mac<'a>(key: &hmac::Key, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// HKDF-SHA-256 of a key for one use.
pub fn derive(key: &DataKey, label: &[u8]) -> DataKey {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(key.as_slice())
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("32 bytes are within HKDF's limit");
    out
}

/// Writes a file that only its owner can read, whole and synced, or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io(&partial))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&partial))?;
    fs::rename(&partial, path).map_err(io(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> KeysError {
    move |error| KeysError::Io { path: path.into(), error }
}

fn one_random(id: &str) -> BTreeMap<String, String> {
    [(id.into(), STANDARD.encode(random::<32>()))].into()
}

fn decode_keys(stored: &BTreeMap<String, String>) -> Result<BTreeMap<String, DataKey>, String> {
    stored
        .iter()
        .map(|(id, text)| {
            let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|error| error.to_string())?);
            let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| format!("key {id} does not have 32 bytes"))?;
            Ok((id.clone(), Zeroizing::new(key)))
        })
        .collect()
}
