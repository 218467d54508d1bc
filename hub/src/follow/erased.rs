//! Text of an erased version that came through a door which had not heard of the erasure yet: a stub is written over it.

use std::collections::HashMap;

use weft_proto::{Reason, Refusal};

use super::{Error, Follower};
use crate::{
    body::Stub,
    clock::Millis,
    decode::Incoming,
    envelope::{self, ContentType, DataKeys, Header, Place},
    index::Known,
    log::{Draft, Entry, EntryId, Partition},
    registry::{Registry, event::Erasure},
};

/// An entry with text of an erased version.
pub(super) struct Late {
    key: String,
    offset: u64,
    erasure: Erasure,
}

/// The entry as one that has to be overwritten, if it is. What stood under the erasure's own keys before it has its stubs from the erasure,
/// and no reading for them holds up a rebuild; what stands there behind the stub was copied back past the hub.
pub(super) fn late(registry: &Registry, entry: &Entry, incoming: &Incoming, known: &Known) -> Option<Late> {
    let (record_id, version, is_record) = match incoming {
        Incoming::Record(record) => (&record.record_id, record.version, true),
        Incoming::Refused { row, whole: true, .. } => (&row.record_id, row.version, false),
        _ => return None,
    };
    if !registry.is_erased(record_id, version) {
        return None;
    }
    let (erasure, key) = (registry.erasures.get(&(record_id.clone(), version))?, entry.key.clone()?);
    let behind_its_stub = || {
        let mut versions = known.versions.iter();
        versions.any(|row| row.record_id == *record_id && row.version == version && row.erased)
    };
    let settled = is_record && erasure.keys.contains(&key) && !behind_its_stub();
    (!settled).then(|| Late { key, offset: entry.offset, erasure: erasure.clone() })
}

impl Follower {
    /// What has its stub already gets none: then this is a rebuild.
    pub(super) async fn overwrite_erased(
        &self,
        partition: &Partition,
        registry: &Registry,
        late: Vec<Late>,
    ) -> Result<(), Error> {
        let places: HashMap<String, u64> = late.iter().map(|one| (one.key.clone(), one.offset)).collect();
        let held = self.held_since(partition, &places).await?;
        let mut drafts = Vec::new();
        for one in late.iter().filter(|one| places.get(&one.key) == Some(&one.offset) && !held.contains(&one.key)) {
            let at = self.clock.now();
            let stub = Stub::from(&one.erasure);
            match stub_draft(registry, &one.erasure.department, &stub, (partition, &one.key), at) {
                Ok(draft) => drafts.push(draft),
                Err(refusal) => {
                    tracing::error!(%refusal, %partition, offset = one.offset, "text of an erased version is not overwritten");
                }
            }
        }
        self.append_all(drafts).await
    }
}

/// A stub to be written over what stands under a key.
pub(crate) fn stub_draft(
    registry: &Registry,
    department: &str,
    stub: &Stub,
    (partition, key): (&Partition, &str),
    at: Millis,
) -> Result<Draft, Refusal> {
    let key_id = Registry::data_key_id(department);
    let data_key = registry
        .data_key(&key_id)
        .ok_or_else(|| Refusal::new(Reason::Internal).detail("the department's data key is not known here"))?;
    let header = Header {
        suite: "std".into(),
        key_id,
        sender: "hub".into(),
        accepted_at: at,
        content: ContentType::Stub,
        registry_position: registry.position,
    };
    let text = serde_json::to_vec(stub).map_err(|error| Refusal::new(Reason::Internal).detail(error))?;
    let entry_id = EntryId::new();
    let value = envelope::seal(Place { topic: &partition.topic, key, entry_id }, &header, &data_key, &text);
    Ok(Draft { partition: partition.clone(), key: key.to_owned(), entry_id, headers: Vec::new(), value })
}
