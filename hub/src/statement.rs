//! The hub's statement: its short signature that a version was the highest at a position and time (a compact JWS, RFC 7515,
//! `alg: EdDSA`, `typ: weft-statement+jwt`). With the seal it is the proof that every answer carries.

use aws_lc_rs::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The `typ` of a statement.
pub const TYP: &str = "weft-statement+jwt";

/// What is stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The hub: `https://<public name>`.
    pub iss: String,
    /// When it was stated, seconds.
    pub iat: i64,
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The status that was answered.
    pub status: String,
    /// Topic, partition and next offset up to which the index had followed: the version was the highest there.
    pub position: (String, u32, u64),
    /// For a look at history: the time of acceptance asked about, seconds; then `version` was the highest then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub as_of: Option<i64>,
    /// The ledger entry of the look.
    pub ledger_entry: String,
    /// SHA-256 of the presentation, base64url: the statement belongs to this answer and no other.
    pub presentation: String,
}

/// The hub's signing key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    kid: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// SHA-256 as base64url.
pub fn sha256_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes))
}

impl SigningKey {
    /// A new key, PKCS#8.
    pub fn generate_pkcs8() -> Vec<u8> {
        let pair = Ed25519KeyPair::generate().expect("the operating system gives randomness");
        pair.to_pkcs8v1().expect("a fresh key serialises").as_ref().to_vec()
    }

    /// From PKCS#8.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, String> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|error| error.to_string())?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let kid = sha256_base64url(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        Ok(Self { pair, kid })
    }

    /// The key's RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JWK.
    pub fn public_jwk(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "alg": "EdDSA", "use": "sig"})
    }

    /// Signs a statement.
    pub fn sign(&self, statement: &Statement) -> String {
        let header = serde_json::json!({"alg": "EdDSA", "kid": self.kid, "typ": TYP}).to_string();
        let payload = serde_json::to_vec(statement).expect("a statement is plain JSON");
        let mut jws = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(jws.as_bytes());
        jws.push('.');
        jws.push_str(&URL_SAFE_NO_PAD.encode(signature));
        jws
    }
}

/// Checks a statement's signature with the hub's public key (a JWK as [`SigningKey::public_jwk`] gives it) and reads it.
pub fn verify(jws: &str, jwk: &serde_json::Value) -> Result<Statement, String> {
    let (signed, signature) = jws.rsplit_once('.').ok_or("a statement has three parts")?;
    let (header, payload) = signed.split_once('.').ok_or("a statement has three parts")?;
    let header: serde_json::Value = decode_json(header)?;
    if header["alg"] != "EdDSA" || header["typ"] != TYP {
        return Err("not a statement: wrong alg or typ".into());
    }
    let x = jwk["x"].as_str().ok_or("the hub's key has no x")?;
    let key = URL_SAFE_NO_PAD.decode(x).map_err(|error| error.to_string())?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "the statement's signature does not verify")?;
    decode_json(payload)
}

fn decode_json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, String> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_verifies_until_a_character_changes() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8()).unwrap();
        let statement = Statement {
            iss: "https://hub.test".into(),
            iat: 1,
            record_id: "r".into(),
            version: 2,
            status: "valid".into(),
            position: ("weft.records.t".into(), 0, 9),
            as_of: None,
            ledger_entry: "e".into(),
            presentation: sha256_base64url(b"p"),
        };
        let jws = key.sign(&statement);
        assert_eq!(verify(&jws, &key.public_jwk()).unwrap(), statement);
        for at in (0..jws.len()).step_by(7) {
            let mut changed = jws.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(verify(std::str::from_utf8(&changed).unwrap(), &key.public_jwk()).is_err(), "byte {at}");
        }
    }
}
