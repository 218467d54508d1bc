//! Who is calling: the one SPIFFE URI in the certificate's SAN, whole-string match. Never the CN.
//!
//! - [`ca`]: the built-in certificate authority
//! - [`trust`]: which CA may vouch for which identity
//! - [`tls`]: the listeners' TLS, and the certificate of a connection

pub mod ca;
pub mod tls;
pub mod trust;

use std::{fmt, sync::Arc};

use rustls::pki_types::CertificateDer;
use weft_record::verify::Sender;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::clock::Millis;

/// Who a certificate speaks for. The text form is its path: `department/<code>/adapter/<name>`, `window/<name>`, `operator/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// An adapter of a department.
    Adapter {
        /// The department's code.
        department: String,
        /// The adapter's name.
        adapter: String,
    },
    /// A window: a consuming system.
    Window(String),
    /// An operator of the hub.
    Operator(String),
}

impl Identity {
    /// From its path, such as `window/hall-1`. Names are `[a-z0-9][a-z0-9-]*`, 1 to 41 characters.
    pub fn parse_path(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().all(|part| is_name(part)) {
            return None;
        }
        match parts.as_slice() {
            ["department", department, "adapter", adapter] => {
                Some(Self::Adapter { department: (*department).into(), adapter: (*adapter).into() })
            }
            ["window", name] => Some(Self::Window((*name).into())),
            ["operator", name] => Some(Self::Operator((*name).into())),
            _ => None,
        }
    }

    /// From its whole SPIFFE URI in this trust domain.
    pub fn parse_uri(uri: &str, trust_domain: &str) -> Option<Self> {
        Self::parse_path(uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix('/')?)
    }

    /// The whole SPIFFE URI.
    pub fn uri(&self, trust_domain: &str) -> String {
        format!("spiffe://{trust_domain}/{self}")
    }
}

impl From<&Sender> for Identity {
    fn from(sender: &Sender) -> Self {
        Self::Adapter { department: sender.department.clone(), adapter: sender.adapter.clone() }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter { department, adapter } => write!(f, "department/{department}/adapter/{adapter}"),
            Self::Window(name) => write!(f, "window/{name}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
        }
    }
}

/// Whether `text` may be a department's code or the name of an adapter, window or operator.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=41).contains(&bytes.len())
        && bytes[0] != b'-'
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// Whose certificates speak for an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// The hub's own CA.
    Hub,
    /// Another one, by its name in the configuration.
    Other(String),
}

/// Who is calling, as the listener found it: certificate verified, identity in force when the request began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The identity.
    pub identity: Identity,
    /// The serial of its certificate, lower-case hex.
    pub serial: String,
    /// When the certificate ends.
    pub not_after: Millis,
    /// The CA that vouched for it.
    pub through: Through,
    /// The certificates that were shown, where another CA than the hub's own vouched: to be verified again when its lists change.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The [`trust::Trust::generation`] under which they were verified.
    pub generation: u64,
}

/// What a certificate says, before anybody asked the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whose it is.
    pub identity: Identity,
    /// Its serial number, lower-case hex.
    pub serial: String,
    /// When it ends.
    pub not_after: Millis,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// None, or more than one, or one that is not exactly an identity of this trust domain.
    #[error("the certificate's SAN does not hold exactly one identity of this trust domain")]
    NotOneIdentity,
}

/// Reads the identity of an end-entity certificate (DER).
pub fn presented(certificate: &[u8], trust_domain: &str) -> Result<Presented, IdentityError> {
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    let san = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::NotOneIdentity)?
        .ok_or(IdentityError::NotOneIdentity)?;
    let mut uris = san.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(IdentityError::NotOneIdentity);
    };
    let identity = Identity::parse_uri(uri, trust_domain).ok_or(IdentityError::NotOneIdentity)?;
    let not_after = certificate.validity().not_after.timestamp().saturating_mul(1000);
    Ok(Presented { identity, serial: hex::encode(certificate.raw_serial()), not_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_adapter() {
        let sender = Sender { department: "civil-affairs".into(), adapter: "main".into() };
        assert_eq!(Identity::from(&sender).to_string(), "department/civil-affairs/adapter/main");
    }

    #[test]
    fn only_whole_uris_of_the_trust_domain_are_identities() {
        let td = "weft.test";
        for (uri, path) in [
            (
                "spiffe://weft.test/department/market-regulation/adapter/main",
                "department/market-regulation/adapter/main",
            ),
            ("spiffe://weft.test/window/hall-1", "window/hall-1"),
            ("spiffe://weft.test/operator/wang", "operator/wang"),
        ] {
            let identity = Identity::parse_uri(uri, td).unwrap();
            assert_eq!(identity.to_string(), path);
            assert_eq!(identity.uri(td), uri);
        }
        for uri in [
            "spiffe://weft.test/window/*",
            "spiffe://weft.test./window/a",
            "spiffe://weft.test/window/a.",
            "spiffe://weft.test/window/a/",
            "spiffe://weft.test/window/A",
            "SPIFFE://weft.test/window/a",
            "spiffe://WEFT.test/window/a",
            "spiffe://weft.test/window/a\0",
            "spiffe://weft.test/window/a?x",
            "spiffe://weft.test/window/",
            "spiffe://weft.test//window/a",
            "spiffe://weft.test/window/../operator/a",
            "spiffe://other/window/a",
            "spiffe://weft.testing/window/a",
            "spiffe://weft.test/department/a/adapter",
            "spiffe://weft.test/department/a",
            " spiffe://weft.test/window/a",
        ] {
            assert_eq!(Identity::parse_uri(uri, td), None, "{uri}");
        }
    }
}
