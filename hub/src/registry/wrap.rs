//! Keys that travel in registry events, wrapped by the master key of the key directory.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::event::Wrapped;
use crate::{
    clock::random,
    envelope::{self, ContentType, DataKey, DataKeys, Header, Place},
    keys::Keys,
    log::{EntryId, Topic},
};

const KEY: &str = "wrapped-key";

struct Masters<'a>(&'a Keys);

impl DataKeys for Masters<'_> {
    fn data_key(&self, id: &str) -> Option<DataKey> {
        self.0.master_key_of(id).cloned()
    }
}

/// Wraps 32 bytes.
pub fn wrap(keys: &Keys, bytes: &DataKey) -> Wrapped {
    let (master, key) = keys.master_key();
    let entry_id = EntryId(random());
    let header = Header {
        suite: "std".into(),
        key_id: master.to_owned(),
        sender: "hub".into(),
        accepted_at: 0,
        content: ContentType::Registry,
        registry_position: 0,
    };
    let place = Place { topic: &Topic::Registry, key: KEY, entry_id };
    let wrapped = envelope::seal(place, &header, key, bytes.as_slice());
    Wrapped { master: master.to_owned(), id: entry_id.to_string(), wrapped: STANDARD.encode(wrapped) }
}

/// Unwraps; `None` when this key directory did not wrap it.
pub fn unwrap(keys: &Keys, wrapped: &Wrapped) -> Option<DataKey> {
    let entry_id = EntryId::parse(&wrapped.id)?;
    let value = STANDARD.decode(&wrapped.wrapped).ok()?;
    let place = Place { topic: &Topic::Registry, key: KEY, entry_id };
    let (_, text) = envelope::open(place, &Masters(keys), &value).ok()?;
    text.as_slice().try_into().ok().map(Zeroizing::new)
}
