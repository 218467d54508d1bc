//! The first start: the key directory, the operators' certificates, and the first registry events.

use std::{fs, path::Path};

use crate::{
    clock::Clock,
    config::Config,
    identity::{Identity, ca::Ca},
    keys::{Keys, KeysError, write_private},
};

/// The folder in the key directory where operators' certificates are put for them to take away.
pub const OPERATORS: &str = "operators";
/// The CA's certificate, for those who call the hub.
pub const CA_FILE: &str = "ca.pem";

/// Why an installation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The key directory.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An operator's name.
    #[error("{0:?} is no operator's name: lower-case letters, digits and hyphens, at most 41")]
    Name(String),
    /// No operator at all: nobody could administer the hub.
    #[error("name at least two operators: a second person confirms what the first proposes")]
    TooFew,
    /// The CA.
    #[error(transparent)]
    Ca(#[from] crate::identity::ca::CaError),
    /// A key pair.
    #[error("an operator's key could not be made: {0}")]
    Key(String),
}

/// Makes the key directory, a client certificate per operator under `<keys_dir>/operators/<name>.{crt,key}.pem`, and
/// `<keys_dir>/ca.pem`. Refuses to touch an existing key directory. At least two operators, for the four eyes.
pub fn init(config: &Config, operators: &[String], clock: &dyn Clock) -> Result<(), InitError> {
    if operators.len() < 2 {
        return Err(InitError::TooFew);
    }
    let identities = operators
        .iter()
        .map(|name| Identity::parse_path(&format!("operator/{name}")).ok_or_else(|| InitError::Name(name.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let serials: Vec<String> = identities.iter().map(|_| Ca::new_serial()).collect();
    let paths = identities.iter().map(ToString::to_string);
    let now = clock.now();
    let first = paths.zip(serials.iter().cloned()).collect();
    Keys::create(&config.keys_dir, &config.trust_domain, first, now)?;
    let keys = Keys::open(&config.keys_dir)?;
    let folder = config.keys_dir.join(OPERATORS);
    fs::create_dir_all(&folder).map_err(|error| KeysError::Io { path: folder.clone(), error })?;
    write_private(&config.keys_dir.join(CA_FILE), keys.ca.certificate_pem().as_bytes())?;
    for ((identity, name), serial) in identities.iter().zip(operators).zip(&serials) {
        operator_certificate(&keys, config, identity, name, serial, &folder)?;
    }
    Ok(())
}

fn operator_certificate(
    keys: &Keys,
    config: &Config,
    identity: &Identity,
    name: &str,
    serial: &str,
    folder: &Path,
) -> Result<(), InitError> {
    let key = rcgen::KeyPair::generate().map_err(|error| InitError::Key(error.to_string()))?;
    let request = rcgen::CertificateParams::default().serialize_request(&key);
    let request = request.map_err(|error| InitError::Key(error.to_string()))?;
    let issued = keys.ca.sign_identity(request.der(), identity, &config.trust_domain, serial, keys.created_at)?;
    write_private(&folder.join(format!("{name}.key.pem")), key.serialize_pem().as_bytes())?;
    write_private(&folder.join(format!("{name}.crt.pem")), issued.pem.as_bytes())?;
    Ok(())
}
