//! The envelope: the hub's authenticated encryption around every value in the log.
//!
//! One mechanism keeps the text secret, binds it to its place (topic, key, entry id), and proves that it came through the door:
//! whoever lacks the data key can neither read a value nor write one that opens.
//!
//! Form: `WEFT1`, the header's length (u32, big endian), the header (JSON, authenticated, not secret), the AEAD text with its tag.
//! The key of one envelope is HKDF-SHA-256 of the data key and the entry id, which is never used twice; the nonce is zero.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    clock::Millis,
    log::{EntryId, Topic},
};

const MAGIC: &[u8; 5] = b"WEFT1";
const MAX_HEADER_BYTES: usize = 4096;

/// A key for envelopes: 256 bits.
pub type DataKey = Zeroizing<[u8; 32]>;

/// Finds data keys by their id: `department/<code>/<n>` or `hub/<n>`.
pub trait DataKeys: Send + Sync {
    /// The key of that id, if it is known.
    fn data_key(&self, id: &str) -> Option<DataKey>;
}

/// What stands in front of the encrypted text: authenticated, and readable to whoever reads the log. No personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The cryptographic suite; `std` is AES-256-GCM with HKDF-SHA-256.
    pub suite: String,
    /// Which data key.
    pub key_id: String,
    /// Who handed it in: `department/<code>/adapter/<name>`, or `hub`.
    pub sender: String,
    /// When the hub accepted it.
    pub accepted_at: Millis,
    /// What is inside.
    pub content: ContentType,
    /// The registry position (next offset) that the verification used.
    pub registry_position: u64,
}

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentType {
    /// A sealed record: the compact SD-JWT as its department sent it.
    Record,
    /// A stub in the place of an erased version or of a closed quarantine entry (JSON).
    Stub,
    /// What is left of an erased version that was handed in again: nothing of its text (JSON).
    Again,
    /// A submission refused at the door, with its problems (JSON).
    Refused,
    /// A ledger entry (JSON).
    Ledger,
    /// A registry event (JSON).
    Registry,
}

/// The place that an envelope is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The topic.
    pub topic: &'a Topic,
    /// The entry's key.
    pub key: &'a str,
    /// The entry's id.
    pub entry_id: EntryId,
}

/// Why an envelope did not open. What is written past the hub ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No envelope at all.
    #[error("not an envelope")]
    NotAnEnvelope,
    /// A suite that this build does not have.
    #[error("unknown suite")]
    UnknownSuite,
    /// A data key that the registry does not name.
    #[error("unknown data key")]
    UnknownKey,
    /// Changed, moved to another place, or made with another key.
    #[error("does not authenticate")]
    NotAuthentic,
}

/// Seals `text` for its place.
///
/// # Panics
/// Never: AES-256-GCM and HKDF with these lengths cannot fail.
pub fn seal(place: Place<'_>, header: &Header, data_key: &DataKey, text: &[u8]) -> Bytes {
    let header_json = serde_json::to_vec(header).expect("a header is plain JSON");
    let mut sealed = text.to_vec();
    cipher(data_key, place.entry_id)
        .seal_in_place_append_tag(zero_nonce(), Aad::from(associated(place, &header_json)), &mut sealed)
        .expect("records are far below the AEAD's limit");
    let mut value = Vec::with_capacity(MAGIC.len() + 4 + header_json.len() + sealed.len());
    value.extend_from_slice(MAGIC);
    value.extend_from_slice(&u32::try_from(header_json.len()).expect("a header is short").to_be_bytes());
    value.extend_from_slice(&header_json);
    value.extend_from_slice(&sealed);
    value.into()
}

/// Opens a value read at a place.
pub fn open(place: Place<'_>, keys: &dyn DataKeys, value: &[u8]) -> Result<(Header, Zeroizing<Vec<u8>>), OpenError> {
    let (header, header_json, text) = split(value)?;
    if header.suite != "std" {
        return Err(OpenError::UnknownSuite);
    }
    let data_key = keys.data_key(&header.key_id).ok_or(OpenError::UnknownKey)?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = cipher(&data_key, place.entry_id)
        .open_in_place(zero_nonce(), Aad::from(associated(place, header_json)), &mut text)
        .map_err(|_| OpenError::NotAuthentic)?
        .len();
    text.truncate(length);
    Ok((header, text))
}

/// The header alone, not authenticated.
pub fn header(value: &[u8]) -> Result<Header, OpenError> {
    split(value).map(|(header, _, _)| header)
}

fn split(value: &[u8]) -> Result<(Header, &[u8], &[u8]), OpenError> {
    let rest = value.strip_prefix(MAGIC).ok_or(OpenError::NotAnEnvelope)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(OpenError::NotAnEnvelope)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_HEADER_BYTES || length > rest.len() {
        return Err(OpenError::NotAnEnvelope);
    }
    let (header_json, text) = rest.split_at(length);
    let header = serde_json::from_slice(header_json).map_err(|_| OpenError::NotAnEnvelope)?;
    Ok((header, header_json, text))
}

/// Associated data, each part length-prefixed so that no two places give the same bytes.
fn associated(place: Place<'_>, header_json: &[u8]) -> Vec<u8> {
    let topic = place.topic.name();
    let mut data = Vec::with_capacity(64 + header_json.len());
    for part in [topic.as_bytes(), place.key.as_bytes(), &place.entry_id.0, header_json] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

fn cipher(data_key: &DataKey, entry_id: EntryId) -> LessSafeKey {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &entry_id.0)
        .extract(data_key.as_slice())
        .expand(&[b"weft envelope std"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes are within HKDF's limit");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("the key has 32 bytes"))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(DataKey);
    impl DataKeys for One {
        fn data_key(&self, id: &str) -> Option<DataKey> {
            (id == "hub/1").then(|| self.0.clone())
        }
    }

    fn header_for(key_id: &str) -> Header {
        Header {
            suite: "std".into(),
            key_id: key_id.into(),
            sender: "hub".into(),
            accepted_at: 1,
            content: ContentType::Ledger,
            registry_position: 7,
        }
    }

    #[test]
    fn opens_in_its_place_and_nowhere_else() {
        let keys = One(Zeroizing::new([7; 32]));
        let id = EntryId([1; 16]);
        let place = Place { topic: &Topic::Ledger, key: "k", entry_id: id };
        let value = seal(place, &header_for("hub/1"), &keys.0, b"text");
        let (header, text) = open(place, &keys, &value).unwrap();
        assert_eq!((header, text.as_slice()), (header_for("hub/1"), b"text".as_slice()));

        let elsewhere = [
            Place { topic: &Topic::Registry, ..place },
            Place { key: "k2", ..place },
            Place { entry_id: EntryId([2; 16]), ..place },
        ];
        for other in elsewhere {
            assert_eq!(open(other, &keys, &value).unwrap_err(), OpenError::NotAuthentic);
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = One(Zeroizing::new([7; 32]));
        let place = Place { topic: &Topic::Ledger, key: "k", entry_id: EntryId([1; 16]) };
        let value = seal(place, &header_for("hub/1"), &keys.0, b"text");
        for at in 0..value.len() {
            let mut changed = value.to_vec();
            changed[at] ^= 1;
            assert!(open(place, &keys, &changed).is_err(), "byte {at}");
            assert!(open(place, &keys, &value[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(open(place, &keys, &[]).unwrap_err(), OpenError::NotAnEnvelope);
        let foreign = seal(place, &header_for("hub/9"), &keys.0, b"text");
        assert_eq!(open(place, &keys, &foreign).unwrap_err(), OpenError::UnknownKey);
    }
}
