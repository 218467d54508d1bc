//! The keys that departments seal with, as the hub knows them: public halves and what became of them.
//!
//! Signatures come from libraries, and each algorithm has exactly one way in: Ed25519 by
//! [`ed25519_dalek::VerifyingKey::verify_strict`] (small-order keys and non-canonical signatures pass the plain `verify`
//! of several libraries), ES256 by aws-lc-rs over the fixed form r‖s. A key that would verify what nobody signed is
//! refused when it is read, so it never reaches a signature.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::json;
use crate::problem::Reason;

/// How long a retired key is still accepted, by the time of acceptance: records sealed before its retirement may
/// still lie in an adapter's spool.
pub const RETIREMENT_GRACE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The algorithms that a seal may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032, RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256 with SHA-256 (RFC 7518 section 3.4).
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// The name in a JOSE header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of exactly this name; everything else, `none` in any spelling first of all, is not on the list.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::EdDsa, Self::Es256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an object, or not strict JSON.
    #[error("not a json web key")]
    NotAKey,
    /// `d` or another private member.
    #[error("the key holds private members: only the public half may be registered")]
    Private,
    /// A member that is not `kty`, `crv`, `x`, `y`, `kid`, `alg` or `use`, or one that contradicts the rest.
    #[error("the key has a member that is unknown or contradicts the others")]
    Member,
    /// Neither OKP Ed25519 nor EC P-256.
    #[error("the key is neither ed25519 nor p-256")]
    Unsupported,
    /// Coordinates of the wrong length, not base64url, not canonical, or not on the curve.
    #[error("the key's coordinates are not a point of the curve")]
    BadPoint,
    /// A key of small order, for which signatures can be made without a private key.
    #[error("the key is weak")]
    Weak,
    /// A key set with the same key twice, or without `keys`.
    #[error("not a json web key set of distinct keys")]
    BadSet,
}

/// The signature does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The public half of a sealing key, sound and ready to verify.
#[derive(Clone)]
pub struct VerifyingKey {
    point: Point,
    kid: String,
}

#[derive(Clone)]
enum Point {
    Ed25519(ed25519_dalek::VerifyingKey),
    /// The uncompressed point (0x04, x, y), and the same parsed once.
    P256([u8; 65], ParsedPublicKey),
}

impl VerifyingKey {
    /// An Ed25519 key from its 32 bytes.
    ///
    /// # Errors
    /// Not a canonical point of the curve (RFC 8032 section 5.1.3), or one of small order.
    pub fn ed25519(bytes: &[u8; 32]) -> Result<Self, Error> {
        if !is_canonical(bytes) {
            return Err(Error::BadPoint);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Error::BadPoint)?;
        if key.is_weak() {
            return Err(Error::Weak);
        }
        Ok(Self::new(Point::Ed25519(key)))
    }

    /// A P-256 key from its uncompressed point: 0x04, x, y.
    ///
    /// # Errors
    /// Not a point of the curve.
    pub fn p256(point: &[u8; 65]) -> Result<Self, Error> {
        if point[0] != 4 {
            return Err(Error::BadPoint);
        }
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| Error::BadPoint)?;
        Ok(Self::new(Point::P256(*point, parsed)))
    }

    fn new(point: Point) -> Self {
        let mut key = Self { point, kid: String::new() };
        // RFC 7638 section 3: the required members alone, sorted, without white space. `members` has them so.
        let canonical = Value::Object(key.members()).to_string();
        key.kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        key
    }

    /// Reads a JWK: `kty`, `crv`, `x` (and `y`), with `kid`, `alg` and `use` allowed where they agree with the rest.
    ///
    /// # Errors
    /// Any other member, a private one in particular, and any unsound key.
    pub fn from_jwk(jwk: &Value) -> Result<Self, Error> {
        let members = jwk.as_object().ok_or(Error::NotAKey)?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
            return Err(Error::Private);
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let key = match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) if !members.contains_key("y") => Self::ed25519(&coordinate(text("x"))?)?,
            (Some("EC"), Some("P-256")) => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(&coordinate(text("x"))?);
                point[33..].copy_from_slice(&coordinate(text("y"))?);
                Self::p256(&point)?
            }
            _ => return Err(Error::Unsupported),
        };
        for (name, value) in members {
            let agrees = match name.as_str() {
                "kty" | "crv" | "x" | "y" => true,
                "kid" => value == key.kid(),
                "alg" => value == key.algorithm().name(),
                "use" => value == "sig",
                _ => false,
            };
            if !agrees {
                return Err(Error::Member);
            }
        }
        Ok(key)
    }

    /// The JWK with `kid`, `alg` and `use`, as it stands in a key set.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let mut members = self.members();
        members.insert("kid".into(), self.kid.clone().into());
        members.insert("alg".into(), self.algorithm().name().into());
        members.insert("use".into(), "sig".into());
        Value::Object(members)
    }

    /// The members that make the thumbprint, in the order of their names.
    fn members(&self) -> Map<String, Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match &self.point {
            Point::Ed25519(key) => json!({"crv": "Ed25519", "kty": "OKP", "x": encode(key.as_bytes())}),
            Point::P256(point, _) => {
                json!({"crv": "P-256", "kty": "EC", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
        };
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// The key's name: its RFC 7638 thumbprint, SHA-256, base64url.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.point {
            Point::Ed25519(_) => Algorithm::EdDsa,
            Point::P256(..) => Algorithm::Es256,
        }
    }

    /// Verifies a signature over a message: 64 bytes, R‖S or r‖s.
    ///
    /// # Errors
    /// It is not this key's over this message, or not in the one form that is accepted.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature: &[u8; 64] = signature.try_into().map_err(|_| BadSignature)?;
        match &self.point {
            Point::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature);
                key.verify_strict(message, &signature).map_err(|_| BadSignature)
            }
            Point::P256(_, key) => key.verify_sig(message, signature).map_err(|_| BadSignature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.algorithm().name(), self.kid)
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid
    }
}

impl Eq for VerifyingKey {}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text.ok_or(Error::BadPoint)?).map_err(|_| Error::BadPoint)?;
    bytes.try_into().map_err(|_| Error::BadPoint)
}

/// Whether the y coordinate is below p = 2^255 − 19 (RFC 8032 section 5.1.3): the library reduces it silently.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let high = bytes[31] & 0x7f;
    high != 0x7f || bytes[1..31].iter().any(|byte| *byte != 0xff) || bytes[0] < 0xed
}

/// A set of keys by thumbprint, as `/.well-known/jwt-vc-issuer/…` serves it and `weft verify --keys` reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// The set of these keys; the same key twice stands once.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let mut set = Self::default();
        for key in keys {
            if set.get(key.kid()).is_none() {
                set.keys.push(key);
            }
        }
        set
    }

    /// Reads a JWK set (RFC 7517 section 5) of at most 1 MiB, strictly.
    ///
    /// # Errors
    /// Not strict JSON, not a set, an unsound key, or the same key twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let limits = json::Limits { max_bytes: 1 << 20, max_depth: 8 };
        let document = json::parse(bytes, limits).map_err(|_| Error::NotAKey)?;
        let listed = document.get("keys").and_then(Value::as_array).ok_or(Error::BadSet)?;
        let keys = listed.iter().map(VerifyingKey::from_jwk).collect::<Result<Vec<_>, _>>()?;
        let set = Self::new(keys);
        if set.keys.len() == listed.len() { Ok(set) } else { Err(Error::BadSet) }
    }

    /// The set as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"keys": self.keys.iter().map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
    }

    /// The key of this name.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// All keys, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }
}

/// What became of a registered key. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyState {
    /// Registered, and its fingerprint not yet confirmed: nothing is accepted.
    Pending,
    /// In use.
    Active,
    /// Out of use: accepted for [`RETIREMENT_GRACE_MS`] more, and kept in the key set.
    Retired {
        /// When.
        at_ms: i64,
    },
    /// Known or feared to be in other hands: nothing is accepted, whatever its date.
    Compromised {
        /// From when on versions that were accepted are in doubt.
        since_ms: i64,
    },
}

impl KeyState {
    /// Whether a seal by this key may be accepted now. Only the time of acceptance counts, never `iat`, which whoever
    /// holds the key can write.
    ///
    /// # Errors
    /// The reason why not.
    pub fn accepts(self, now_ms: i64) -> Result<(), Reason> {
        match self {
            Self::Active => Ok(()),
            Self::Pending => Err(Reason::UnknownKey),
            Self::Retired { at_ms } if now_ms <= at_ms.saturating_add(RETIREMENT_GRACE_MS) => Ok(()),
            Self::Retired { .. } => Err(Reason::KeyRetired),
            Self::Compromised { .. } => Err(Reason::KeyCompromised),
        }
    }
}

#[cfg(test)]
mod tests;
