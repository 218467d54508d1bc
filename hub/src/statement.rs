//! Signing the hub's statement, its word that a version was the highest at a position and time. Its form, and how it is
//! checked by whoever has the hub's public keys, is [`weft_record::statement`]'s.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use weft_record::statement::TYPE;
pub use weft_record::statement::{Statement, sha256_base64url};

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
        let header = serde_json::json!({"alg": "EdDSA", "kid": self.kid, "typ": TYPE}).to_string();
        let payload = serde_json::to_vec(statement).expect("a statement is plain JSON");
        let mut jws = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(jws.as_bytes());
        jws.push('.');
        jws.push_str(&URL_SAFE_NO_PAD.encode(signature));
        jws
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_statement_verifies_under_the_published_key() {
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
        let keys = serde_json::json!({"keys": [key.public_jwk()]}).to_string();
        let keys = weft_record::keys::KeySet::parse(keys.as_bytes()).unwrap();
        assert_eq!(weft_record::statement::verify(&key.sign(&statement), &keys).unwrap(), statement);
    }
}
