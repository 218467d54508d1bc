//! Public keys to check seals and statements with: from files and from a hub's console.

use serde_json::Value;
use weft_record::{
    json,
    keys::{KeySet, VerifyingKey},
};

use crate::{failure::Failure, fetch, files};

const MAX_BYTES: u64 = 1 << 20;

/// Sets of keys; one that says whose it is counts for that issuer alone.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    sets: Vec<(Option<String>, KeySet)>,
}

impl Keys {
    /// From files, each a JWK set or an issuer's metadata with one (`{"issuer": …, "jwks": {"keys": […]}}`).
    pub(crate) fn from_files(paths: &[String]) -> Result<Self, Failure> {
        let mut keys = Self::default();
        for path in paths {
            keys.add(&files::read(path, MAX_BYTES)?, path)?;
        }
        Ok(keys)
    }

    /// From a console: the keys of an issuer (`https://<public name>/…`), where SD-JWT VC says that they are.
    pub(crate) async fn from_console(console: &str, issuer: &str) -> Result<Self, Failure> {
        let path = issuer.strip_prefix("https://").and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{}/.well-known/jwt-vc-issuer{slash}{path}", console.trim_end_matches('/'));
        let fetched = fetch::get(&url).await?;
        if fetched.status != 200 {
            let failure = Failure::problems("控制台没有该签发方的公钥", "the console has no keys of this issuer");
            return Err(failure.because(format!("{url}: {}", fetched.status)));
        }
        let mut keys = Self::default();
        keys.add(&fetched.body, &url)?;
        Ok(keys)
    }

    fn add(&mut self, bytes: &[u8], from: &str) -> Result<(), Failure> {
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::usage("公钥无法使用", "the public keys cannot be used").because(format!("{from}: {error}"))
        };
        let limits = json::Limits { max_bytes: 1 << 20, max_depth: 8 };
        let document = json::parse(bytes, limits).map_err(|error| unusable(&error))?;
        let issuer = document.get("issuer").and_then(Value::as_str).map(str::to_owned);
        let listed = document.get("jwks").unwrap_or(&document);
        let set = KeySet::parse(listed.to_string().as_bytes()).map_err(|error| unusable(&error))?;
        self.sets.push((issuer, set));
        Ok(())
    }

    /// All keys that may speak for this issuer.
    pub(crate) fn of(&self, issuer: &str) -> KeySet {
        let fits = |said: &&(Option<String>, KeySet)| said.0.as_deref().is_none_or(|said| said == issuer);
        let keys: Vec<VerifyingKey> = self.sets.iter().filter(fits).flat_map(|(_, set)| set.iter().cloned()).collect();
        KeySet::new(keys)
    }
}

#[cfg(test)]
mod tests {
    use weft_record::{keys::Algorithm, seal::SealingKey};

    use super::*;

    fn jwks(byte: u8) -> Value {
        let key = SealingKey::generate(Algorithm::EdDsa, &mut |bytes: &mut [u8]| bytes.fill(byte)).unwrap();
        serde_json::json!({"keys": [key.public_jwk()]})
    }

    #[test]
    fn a_set_that_names_its_issuer_speaks_for_no_other() {
        let mut keys = Keys::default();
        keys.add(jwks(1).to_string().as_bytes(), "a").unwrap();
        let metadata = serde_json::json!({"issuer": "https://hub.example/departments/d", "jwks": jwks(2)});
        keys.add(metadata.to_string().as_bytes(), "b").unwrap();
        assert_eq!(keys.of("https://hub.example/departments/d").iter().count(), 2);
        assert_eq!(keys.of("https://hub.example/departments/e").iter().count(), 1);
    }

    #[test]
    fn what_is_no_set_of_sound_keys_is_refused() {
        for text in ["", "{}", "[]", r#"{"keys": 1}"#, r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#] {
            assert!(Keys::default().add(text.as_bytes(), "x").is_err(), "{text}");
        }
    }
}
