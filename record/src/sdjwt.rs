//! SD-JWT as RFC 9901 has it: the compact form taken apart, its disclosures put back in their places.
//!
//! Two layers. This module with `process` is the first: it accepts what the RFC accepts and refuses what its section
//! 7.1 refuses. [`profile`] is the second: what Weft alone asks of a record. Both stop at [`Limits`], so that a hostile
//! token costs no more than an honest one.
//!
//! | step of RFC 9901 section 7.1 | where |
//! |---|---|
//! | 1 separate | [`Token::parse`] |
//! | 2.1 algorithm | [`Token::parse`]: EdDSA and ES256, nothing else |
//! | 2.2 signature | [`Token::check_signature`] |
//! | 2.3 issuer and key | [`crate::verify`]: the key comes from the registry by (`iss`, `kid`) |
//! | 2.4 `_sd_alg`, 3, 4, 5 | [`Token::process`] |
//! | 6 validity claims | [`profile`]: a record has none of them; its dates stand in `record` |
//!
//! Section 7.2: whoever receives a token from its issuer refuses one with key binding; so does [`Token::parse`].

mod fault;
mod process;
pub mod profile;

pub use fault::{Error, Fault};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::keys::{Algorithm, VerifyingKey};

/// How much a token may ask of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole compact form.
    pub max_bytes: usize,
    /// Embedded digests, decoys included, over the payload and all disclosures.
    pub max_digests: usize,
    /// Nested arrays and objects of the processed payload.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024, max_digests: 512, max_depth: 16 }
    }
}

/// One disclosure as it was sent, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure<'t> {
    /// The base64url text, over which the digest goes.
    pub encoded: &'t str,
    /// Base64url of the SHA-256 of `encoded` (RFC 9901 section 4.2.3).
    pub digest: String,
    /// The elements of the array: salt, name and value of a claim, or salt and value of an array element.
    pub elements: Vec<Value>,
}

impl Disclosure<'_> {
    /// Name and value, if this discloses a claim: three elements, the first two of them strings.
    #[must_use]
    pub fn as_claim(&self) -> Option<(&str, &Value)> {
        match self.elements.as_slice() {
            [Value::String(_), Value::String(name), value] => Some((name, value)),
            _ => None,
        }
    }

    /// The value, if this discloses an array element: two elements, the first of them a string.
    #[must_use]
    pub fn as_element(&self) -> Option<&Value> {
        match self.elements.as_slice() {
            [Value::String(_), value] => Some(value),
            _ => None,
        }
    }
}

/// An SD-JWT taken apart. Nothing in it is to be believed before [`Token::check_signature`].
#[derive(Debug, Clone)]
pub struct Token<'t> {
    /// The whole compact form.
    pub text: &'t str,
    /// The issuer-signed JWT, without the tilde.
    pub jwt: &'t str,
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The payload as signed, digests and all.
    pub payload: Map<String, Value>,
    /// The disclosures in the order in which they were sent.
    pub disclosures: Vec<Disclosure<'t>>,
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    signing_input: &'t str,
    signature: Vec<u8>,
    limits: Limits,
}

impl<'t> Token<'t> {
    /// Takes the compact form apart: `<JWT>~<disclosure>~…~`.
    ///
    /// # Errors
    /// The first thing that is not as RFC 9901 sections 4 and 7.1 (steps 1 and 2.1) ask, a key binding JWT (section
    /// 7.2), or a limit.
    pub fn parse(text: &'t str, limits: Limits) -> Result<Self, Error> {
        if text.len() > limits.max_bytes {
            return Err(Fault::TooLarge.into());
        }
        let (jwt, rest) = text.split_once('~').ok_or(Fault::NoTilde)?;
        let disclosures = parse_disclosures(rest, limits)?;
        let mut parts = jwt.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::NotThreeParts.into());
        };
        // The two dots are single bytes, so the signing input ends where the second one stands.
        let signing_input = &jwt[..header.len() + 1 + payload.len()];
        let header = object(header, "header", limits)?;
        let payload = object(payload, "payload", limits)?;
        let signature = decode(signature).map_err(|error| error.about("signature"))?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::from_name)
            .ok_or(Fault::UnsupportedAlgorithm)?;
        Ok(Self { text, jwt, header, payload, disclosures, algorithm, signing_input, signature, limits })
    }

    /// Checks the issuer's signature (step 2.2). The algorithm is the key's; the header must name the same.
    ///
    /// # Errors
    /// [`Fault::BadSignature`].
    pub fn check_signature(&self, key: &VerifyingKey) -> Result<(), Error> {
        if self.algorithm != key.algorithm() {
            return Err(Fault::BadSignature.into());
        }
        key.verify(self.signing_input.as_bytes(), &self.signature).map_err(|_| Fault::BadSignature.into())
    }

    /// Puts every disclosure in its place and takes digests and `_sd_alg` out (steps 2.4 and 3 to 5).
    ///
    /// # Errors
    /// The first thing for which section 7.1 says that the token must be rejected, or a limit.
    pub fn process(&self) -> Result<Map<String, Value>, Error> {
        process::process(&self.payload, &self.disclosures, self.limits)
    }
}

/// The processed payload of a payload and disclosures that are not (yet) a signed token.
///
/// # Errors
/// As [`Token::process`].
pub fn process_payload(
    payload: &Map<String, Value>,
    disclosures: &[Disclosure<'_>],
    limits: Limits,
) -> Result<Map<String, Value>, Error> {
    process::process(payload, disclosures, limits)
}

/// Reads one disclosure.
///
/// # Errors
/// Not base64url, not strict JSON, or not an array.
pub fn parse_disclosure(encoded: &str, limits: Limits) -> Result<Disclosure<'_>, Error> {
    let bytes = decode(encoded)?;
    // Its own array is no level of the processed payload, so it may be one deeper.
    let depth = limits.max_depth.saturating_add(1);
    match json::parse(&bytes, json::Limits { max_bytes: limits.max_bytes, max_depth: depth })? {
        Value::Array(elements) => Ok(Disclosure { encoded, digest: digest_of(encoded), elements }),
        _ => Err(Fault::DisclosureNotArray.into()),
    }
}

/// What stands after the first tilde: disclosures, each closed by a tilde, and after the last tilde nothing.
fn parse_disclosures(rest: &str, limits: Limits) -> Result<Vec<Disclosure<'_>>, Error> {
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let Some(listed) = rest.strip_suffix('~') else {
        let last = rest.rsplit('~').next().unwrap_or(rest);
        let fault = if last.contains('.') { Fault::KeyBinding } else { Fault::NoLastTilde };
        return Err(fault.into());
    };
    let mut disclosures = Vec::new();
    for (index, encoded) in listed.split('~').enumerate() {
        if encoded.is_empty() {
            return Err(Fault::ExtraTilde.into());
        }
        if index == limits.max_digests {
            return Err(Fault::TooManyDigests.into());
        }
        let about = |error: Error| error.about(&format!("disclosure {}", index + 1));
        disclosures.push(parse_disclosure(encoded, limits).map_err(about)?);
    }
    Ok(disclosures)
}

fn object(encoded: &str, part: &str, limits: Limits) -> Result<Map<String, Value>, Error> {
    let json_limits = json::Limits { max_bytes: limits.max_bytes, max_depth: limits.max_depth };
    let read = || match json::parse(&decode(encoded)?, json_limits)? {
        Value::Object(members) => Ok(members),
        _ => Err(Error::from(Fault::NotAnObject)),
    };
    read().map_err(|error| error.about(part))
}

/// Strict base64url: no padding, no other character, no bits left over (RFC 4648 sections 3.2, 3.3 and 3.5).
pub(crate) fn decode(encoded: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Fault::BadBase64.into())
}

/// Base64url without padding.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The digest of an encoded disclosure: base64url of its SHA-256 (RFC 9901 section 4.2.3).
#[must_use]
pub fn digest_of(encoded: &str) -> String {
    encode(digest::digest(&digest::SHA256, encoded.as_bytes()))
}
