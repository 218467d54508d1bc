//! The key directory in one encrypted file, and back.
//!
//! The file: a line that names the format, a line of JSON that says how it is encrypted, then the AES-256-GCM ciphertext of
//! an archive of the key directory's files; the two lines are its associated data. The key is argon2id of a passphrase.

use std::{
    fs,
    io::Write,
    path::{Component, Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use weft_hub::{
    clock::{Clock, Millis, SystemClock, random},
    keys::{KEYRING, Keys},
};
use zeroize::Zeroizing;

use crate::{failure::Failure, files, hub::ConfigArgs, report::Report};

const FORMAT: &str = "weft-key-backup/1";
/// Stands in the key directory after a backup was made: of which key ring, and when.
const MARKER: &str = "backup.json";
const MAX_ARCHIVE: u64 = 16 << 20;
const MIN_PASSPHRASE: usize = 12;

/// `weft admin backup`
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file to write; keep it away from this machine, and the passphrase away from the file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The file with the passphrase, at least 12 characters; `-` is standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: String,
}

/// `weft admin restore-keys`
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The file that `backup` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The key directory to make; it may not hold one
    #[arg(long, value_name = "DIR")]
    keys_dir: PathBuf,
    /// The file with the passphrase; `-` is standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: String,
}

/// How a backup is encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    installation: String,
    made_at: Millis,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    files: Vec<Archived>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archived {
    path: String,
    bytes: Zeroizing<String>,
}

/// Of which key ring a backup was made, and when.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marker {
    pub(crate) made_at: Millis,
    keyring_sha256: String,
}

impl Marker {
    /// The marker of a key directory, if a backup of exactly its present key ring was made.
    pub(crate) fn current(keys_dir: &Path) -> Option<Self> {
        let marker: Self = serde_json::from_slice(&fs::read(keys_dir.join(MARKER)).ok()?).ok()?;
        let keyring = Zeroizing::new(fs::read(keys_dir.join(KEYRING)).ok()?);
        (marker.keyring_sha256 == sha256(&keyring)).then_some(marker)
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    let failure = Failure::usage("密钥目录或备份文件无法使用", "the key directory or the backup cannot be used");
    failure.because(format!("{}: {why}", path.display()))
}

impl BackupArgs {
    pub(crate) fn run(self) -> Result<Report, Failure> {
        let keys_dir = self.config.load()?.keys_dir;
        let passphrase = passphrase(&self.passphrase_file)?;
        let keys = Keys::open(&keys_dir).map_err(|error| unusable(&keys_dir, error))?;
        if self.to.exists() {
            return Err(unusable(&self.to, "exists already; a backup is never overwritten"));
        }
        let archive = archive(&keys_dir)?;
        let made_at = SystemClock.now();
        let sealed = seal(&archive, &passphrase, &keys.installation, made_at)?;
        files::write_private(&self.to, &sealed)?;
        // What was written is read back before anybody relies on it.
        let written = files::read(&self.to.to_string_lossy(), 2 * MAX_ARCHIVE)?;
        if open(&written, &passphrase).map_err(|why| unusable(&self.to, why))?.1 != archive {
            return Err(unusable(&self.to, "what was written does not read back"));
        }
        let keyring = Zeroizing::new(fs::read(keys_dir.join(KEYRING)).map_err(|error| unusable(&keys_dir, error))?);
        let marker = Marker { made_at, keyring_sha256: sha256(&keyring) };
        let marker = serde_json::to_vec(&marker).map_err(|error| unusable(&keys_dir, error))?;
        files::write_private(&keys_dir.join(MARKER), &marker)?;
        Ok(Report::sheet(json!({
            "file": self.to, "installation": keys.installation,
            "made_at": crate::verify::moment(made_at.div_euclid(1000)), "bytes": sealed.len(),
        })))
    }
}

impl RestoreArgs {
    pub(crate) fn run(self) -> Result<Report, Failure> {
        if self.keys_dir.join(KEYRING).exists() {
            return Err(unusable(&self.keys_dir, "holds a key ring already; it is never overwritten"));
        }
        let passphrase = passphrase(&self.passphrase_file)?;
        let sealed = files::read(&self.from.to_string_lossy(), 2 * MAX_ARCHIVE)?;
        let (header, archive) = open(&sealed, &passphrase).map_err(|why| unusable(&self.from, why))?;
        unpack(&archive, &self.keys_dir)?;
        let keys = Keys::open(&self.keys_dir).map_err(|error| unusable(&self.keys_dir, error))?;
        Ok(Report::sheet(json!({
            "keys_dir": self.keys_dir, "installation": keys.installation,
            "made_at": crate::verify::moment(header.made_at.div_euclid(1000)),
        })))
    }
}

fn passphrase(path: &str) -> Result<Zeroizing<String>, Failure> {
    let text = files::read_text(path, 4096)?;
    if text.chars().count() < MIN_PASSPHRASE {
        return Err(Failure::usage("口令至少 12 个字符", "a passphrase has at least 12 characters"));
    }
    Ok(text)
}

/// All files of the key directory, but the marker and what was left half-written.
fn archive(keys_dir: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let (mut archived, mut folders) = (Vec::new(), vec![keys_dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unusable(&folder, error))? {
            let path = entry.map_err(|error| unusable(&folder, error))?.path();
            let kind = fs::symlink_metadata(&path).map_err(|error| unusable(&path, error))?.file_type();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && name != MARKER && !name.ends_with(".partial") {
                let bytes = Zeroizing::new(fs::read(&path).map_err(|error| unusable(&path, error))?);
                let relative = path.strip_prefix(keys_dir).map_err(|error| unusable(&path, error))?;
                let relative = relative.to_str().ok_or_else(|| unusable(&path, "its name is not UTF-8"))?;
                archived.push(Archived { path: relative.to_owned(), bytes: Zeroizing::new(STANDARD.encode(&*bytes)) });
            }
        }
    }
    archived.sort_by(|one, other| one.path.cmp(&other.path));
    serde_json::to_vec(&Archive { files: archived }).map(Zeroizing::new).map_err(|error| unusable(keys_dir, error))
}

fn unpack(archive: &[u8], keys_dir: &Path) -> Result<(), Failure> {
    let archive: Archive = serde_json::from_slice(archive).map_err(|error| unusable(keys_dir, error))?;
    for file in &archive.files {
        let path = Path::new(&file.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(unusable(path, "leads out of the key directory"));
        }
        let path = keys_dir.join(path);
        let folder = path.parent().unwrap_or(keys_dir);
        private_folder(folder).map_err(|error| unusable(folder, error))?;
        let bytes = Zeroizing::new(STANDARD.decode(file.bytes.as_bytes()).map_err(|error| unusable(&path, error))?);
        files::write_private(&path, &bytes)?;
    }
    Ok(())
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn key(passphrase: &str, header: &Header) -> Result<LessSafeKey, String> {
    // A file from elsewhere may not make its reader work for ever.
    if header.kdf != "argon2id" || header.memory_kib > 1 << 20 || header.passes > 32 || header.lanes > 16 {
        return Err("its key derivation is not one of ours".to_owned());
    }
    let params = Params::new(header.memory_kib, header.passes, header.lanes, Some(32));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|error| error.to_string())?);
    let salt = STANDARD.decode(&header.salt).map_err(|error| error.to_string())?;
    let mut key = Zeroizing::new([0; 32]);
    argon2.hash_password_into(passphrase.as_bytes(), &salt, key.as_mut()).map_err(|error| error.to_string())?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| "the key cannot be used".to_owned())?;
    Ok(LessSafeKey::new(key))
}

fn seal(archive: &[u8], passphrase: &str, installation: &str, made_at: Millis) -> Result<Vec<u8>, Failure> {
    let nonce = random::<12>();
    let header = Header {
        kdf: "argon2id".to_owned(),
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
        salt: STANDARD.encode(random::<16>()),
        nonce: STANDARD.encode(nonce),
        installation: installation.to_owned(),
        made_at,
    };
    let failed = |why: String| Failure::usage("无法加密备份", "the backup cannot be encrypted").because(why);
    let json = serde_json::to_string(&header).map_err(|error| failed(error.to_string()))?;
    let mut sealed = format!("{FORMAT}\n{json}\n").into_bytes();
    let mut bytes = Zeroizing::new(archive.to_vec());
    bytes.reserve(AES_256_GCM.tag_len());
    let key = key(passphrase, &header).map_err(failed)?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&sealed), &mut *bytes)
        .map_err(|_| failed("the library refused".to_owned()))?;
    sealed.write_all(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok(sealed)
}

fn open(sealed: &[u8], passphrase: &str) -> Result<(Header, Zeroizing<Vec<u8>>), String> {
    let mut parts = sealed.splitn(3, |byte| *byte == b'\n');
    let (Some(format), Some(json), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("not a backup of a key directory".to_owned());
    };
    if format != FORMAT.as_bytes() {
        return Err("not a backup of a key directory".to_owned());
    }
    let header: Header = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let nonce = STANDARD.decode(&header.nonce).map_err(|error| error.to_string())?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| "its nonce is not one".to_owned())?;
    let associated = &sealed[..format.len() + json.len() + 2];
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let opened = key(passphrase, &header)?.open_in_place(nonce, Aad::from(associated), &mut bytes);
    let length = opened.map_err(|_| "wrong passphrase, or the file was changed".to_owned())?.len();
    bytes.truncate(length);
    Ok((header, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hub::ConfigArgs, report::Code};

    const PASSPHRASE: &str = "four words of a clerk";

    fn installation(folder: &Path) -> weft_hub::config::Config {
        let config = weft_hub::config::Config { keys_dir: folder.join("keys"), ..Default::default() };
        let operators = ["li".to_owned(), "wang".to_owned()];
        weft_hub::init::init(&config, &operators, &SystemClock).unwrap();
        config
    }

    fn backup(folder: &Path, passphrase: &str) -> Result<Report, Failure> {
        let file = folder.join("passphrase");
        fs::write(&file, passphrase).unwrap();
        BackupArgs {
            config: ConfigArgs::for_keys_dir(&folder.join("keys")),
            to: folder.join("backup"),
            passphrase_file: file.to_str().unwrap().to_owned(),
        }
        .run()
    }

    fn restore(folder: &Path, to: &Path) -> Result<Report, Failure> {
        let passphrase_file = folder.join("passphrase").to_str().unwrap().to_owned();
        RestoreArgs { from: folder.join("backup"), keys_dir: to.to_owned(), passphrase_file }.run()
    }

    #[test]
    fn the_whole_key_directory_comes_back_and_doctor_knows() {
        let folder = tempfile::tempdir().unwrap();
        let config = installation(folder.path());
        assert!(Marker::current(&config.keys_dir).is_none());
        backup(folder.path(), PASSPHRASE).unwrap();
        assert!(Marker::current(&config.keys_dir).is_some());
        let secret = fs::read(config.keys_dir.join("operators/li.key.pem")).unwrap();
        let sealed = fs::read(folder.path().join("backup")).unwrap();
        assert!(!sealed.windows(20).any(|part| part == &secret[40..60]));
        let restored = folder.path().join("restored");
        restore(folder.path(), &restored).unwrap();
        for file in [KEYRING, "ca.pem", "operators/li.key.pem", "operators/wang.crt.pem"] {
            assert_eq!(fs::read(config.keys_dir.join(file)).unwrap(), fs::read(restored.join(file)).unwrap(), "{file}");
        }
        assert!(restore(folder.path(), &restored).is_err());
        assert!(backup(folder.path(), PASSPHRASE).is_err());
        fs::write(config.keys_dir.join(KEYRING), "another").unwrap();
        assert!(Marker::current(&config.keys_dir).is_none());
    }

    #[test]
    fn another_passphrase_and_any_changed_byte_are_told() {
        let archive = br#"{"files":[]}"#;
        let sealed = seal(archive, PASSPHRASE, "i", 1).unwrap();
        assert_eq!(&**open(&sealed, PASSPHRASE).unwrap().1, archive);
        assert!(open(&sealed, "another passphrase").is_err());
        for at in [0, 20, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, PASSPHRASE).is_err(), "byte {at}");
        }
        for text in [&b""[..], b"x", b"weft-key-backup/1\n{}\n"] {
            assert!(open(text, PASSPHRASE).is_err());
        }
    }

    #[test]
    fn a_short_passphrase_is_refused_and_nothing_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        installation(folder.path());
        assert_eq!(backup(folder.path(), "short").unwrap_err().code(), Code::Usage);
        for path in ["../x", "/x", "a/../../x"] {
            let archive = json!({"files": [{"path": path, "bytes": ""}]}).to_string();
            assert!(unpack(archive.as_bytes(), &folder.path().join("new")).is_err(), "{path}");
        }
    }
}
