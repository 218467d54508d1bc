//! Encryption of what the spool holds: AES-256-GCM under the key of the state directory, a random nonce before each
//! text, bound to the place where it stands.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::Error;
use crate::clock::Chance;

/// Encrypts and decrypts. Random 96-bit nonces are safe for the 2^32 texts of one key (NIST SP 800-38D section 8.3);
/// a spool that writes 1,000 texts a second reaches that after 49 days of never resting, and a back-fill of a million
/// records uses a thousandth of it.
#[derive(Clone)]
pub(crate) struct Vault {
    key: Arc<LessSafeKey>,
    chance: Arc<dyn Chance>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(secret)")
    }
}

impl Vault {
    pub(crate) fn new(key: &[u8; 32], chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::Key)?;
        Ok(Self { key: Arc::new(LessSafeKey::new(key)), chance })
    }

    /// Nonce, then text and tag. `place` names table, column and row.
    pub(crate) fn lock(&self, place: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        self.chance.fill(&mut nonce).map_err(|_| Error::Key)?;
        let mut sealed = text.to_vec();
        let tagged =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed);
        tagged.map_err(|_| Error::Key)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// # Errors
    /// The key is another one, or the bytes are not those that were written at this place.
    pub(crate) fn unlock(&self, place: &[u8], locked: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, sealed) = locked.split_at_checked(NONCE_LEN).ok_or(Error::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Damaged)?;
        let mut text = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(place), &mut text).map_err(|_| Error::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemChance;

    #[test]
    fn a_text_opens_at_its_place_under_its_key_alone() {
        let vault = |byte| Vault::new(&[byte; 32], Arc::new(SystemChance)).unwrap();
        let locked = vault(1).lock(b"here", "张示例".as_bytes()).unwrap();
        assert_eq!(vault(1).unlock(b"here", &locked).unwrap(), "张示例".as_bytes());
        assert!(vault(1).unlock(b"there", &locked).is_err());
        assert!(vault(2).unlock(b"here", &locked).is_err());
        assert!(vault(1).unlock(b"here", &locked[..5]).is_err());
        assert_ne!(vault(1).lock(b"here", b"x").unwrap(), vault(1).lock(b"here", b"x").unwrap());
    }
}
