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

    /// From a console: the keys of an issuer (`https://<public name>/departments/<code>`) where SD-JWT VC says that they are, or
    /// those of the hub itself (`https://<public name>`).
    pub(crate) async fn from_console(console: &str, issuer: &str) -> Result<Self, Failure> {
        let path = issuer.strip_prefix("https://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
        let file = path.map_or_else(|| "jwks.json".to_owned(), |path| format!("jwt-vc-issuer/{path}"));
        let url = format!("{}/.well-known/{file}", console.trim_end_matches('/'));
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

    /// A console that answers one request with `body`; gives its address, and later the path that was asked for.
    async fn console(body: String) -> (String, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let (mut first, mut line) = (String::new(), String::new());
            stream.read_line(&mut first).await.unwrap();
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
            }
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            first.split(' ').nth(1).unwrap().to_owned()
        });
        (address, served)
    }

    #[tokio::test]
    async fn a_console_gives_keys_of_departments_and_of_the_hub() {
        let issuer = "https://hub.example/departments/d";
        let metadata = serde_json::json!({"issuer": issuer, "jwks": jwks(2)}).to_string();
        let (address, served) = console(metadata).await;
        assert_eq!(Keys::from_console(&address, issuer).await.unwrap().of(issuer).iter().count(), 1);
        assert_eq!(served.await.unwrap(), "/.well-known/jwt-vc-issuer/departments/d");
        let (address, served) = console(jwks(1).to_string()).await;
        let hub = "https://hub.example";
        assert_eq!(Keys::from_console(&address, hub).await.unwrap().of(hub).iter().count(), 1);
        assert_eq!(served.await.unwrap(), "/.well-known/jwks.json");
        let (address, _) = console(String::new()).await;
        let missing = Keys::from_console(&address, issuer).await.unwrap_err();
        assert_eq!(missing.code(), crate::report::Code::Problems);
        for address in ["https://127.0.0.1:1", "127.0.0.1:1", "", "ftp://x"] {
            let wrong = Keys::from_console(address, issuer).await.unwrap_err();
            assert_eq!(wrong.code(), crate::report::Code::Usage, "{address}");
        }
    }

    #[test]
    fn what_is_no_set_of_sound_keys_is_refused() {
        for text in ["", "{}", "[]", r#"{"keys": 1}"#, r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#] {
            assert!(Keys::default().add(text.as_bytes(), "x").is_err(), "{text}");
        }
    }
}
