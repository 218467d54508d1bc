//! A version is sealed as the department. Without I/O: key, catalogue and chance are given.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use weft_record::{
    catalogue::{Catalogue, RecordType},
    digest::DigestKey,
    record_id::{InvalidRecordId, RecordIdKey},
    seal::{self, Content, Holder, SealingKey},
    status::Status,
};

use crate::{change::Step, clock::Chance, mapping::Draft, spool::Digest};

/// Why a version cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalogue has no such record type.
    #[error("the catalogue has no record type {0}")]
    UnknownType(String),
    /// The content cannot be sealed.
    #[error(transparent)]
    Seal(#[from] seal::Error),
    /// The department's code is none, or the natural key has an empty part.
    #[error(transparent)]
    RecordId(#[from] InvalidRecordId),
    /// No random bytes could be had.
    #[error(transparent)]
    Chance(#[from] crate::clock::ChanceFailed),
}

/// A sealed version.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// SHA-256 of the bytes.
    pub id: Digest,
    /// The compact SD-JWT.
    pub bytes: Vec<u8>,
}

/// Seals as one department.
#[derive(Debug)]
pub struct Sealer {
    issuer: String,
    hub_name: String,
    /// Followed by the next one while the adapter works.
    key: RwLock<Arc<SealingKey>>,
    ids: RecordIdKey,
    digests: DigestKey,
    catalogue: Arc<Catalogue>,
    chance: Arc<dyn Chance>,
}

impl Sealer {
    /// A sealer for `department` at the hub of this public name.
    ///
    /// # Errors
    /// The department's code is none.
    pub fn new(
        (department, hub_name): (&str, &str),
        key: SealingKey,
        secret: &[u8; 32],
        catalogue: Arc<Catalogue>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, Error> {
        Ok(Self {
            issuer: format!("https://{hub_name}/departments/{department}"),
            hub_name: hub_name.to_owned(),
            key: RwLock::new(Arc::new(key)),
            ids: RecordIdKey::new(department, secret)?,
            digests: DigestKey::of_department(secret),
            catalogue,
            chance,
        })
    }

    /// The key that seals now.
    pub fn key(&self) -> Arc<SealingKey> {
        // Nothing that can panic runs under this lock.
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals with this key from now on.
    pub fn follow_with(&self, key: SealingKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// A record type of the catalogue.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn record_type(&self, name: &str) -> Result<&Arc<RecordType>, Error> {
        self.catalogue.record_type(name).ok_or_else(|| Error::UnknownType(name.to_owned()))
    }

    /// The record's identifier for ever.
    ///
    /// # Errors
    /// A part of the natural key is empty.
    pub fn record_id(&self, record_type: &str, natural_key: &[String]) -> Result<String, Error> {
        Ok(self.ids.name(record_type, natural_key)?.to_string())
    }

    /// The keyed digest of what a version says: holders, fields, status, validity.
    pub fn substance(&self, draft: &Draft, status: Status) -> Digest {
        self.digests.substance(&payload(draft, status))
    }

    /// Seals one version. `iat` is in seconds since 1970.
    ///
    /// # Errors
    /// The content cannot be sealed, or no random bytes could be had.
    pub fn seal(
        &self,
        of: &RecordType,
        draft: &Draft,
        record_id: &str,
        version: u64,
        step: Step,
        iat: i64,
    ) -> Result<Sealed, Error> {
        let content = content(draft, record_id, version, step);
        let mut failed = None;
        let mut random = |bytes: &mut [u8]| failed = self.chance.fill(bytes).err().or(failed);
        let vct = of.vct(&self.hub_name);
        let sealed = seal::seal(&content, &of.definition.slots, &self.issuer, &vct, iat, &self.key(), &mut random);
        if let Some(failed) = failed {
            return Err(failed.into());
        }
        let bytes = sealed?.into_bytes();
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(Sealed { id, bytes })
    }
}

fn holders(draft: &Draft) -> Vec<Holder> {
    let holder = |holder: &crate::mapping::HolderDraft| Holder {
        role: holder.role.clone(),
        scheme: holder.scheme.clone(),
        value: holder.value.clone(),
        name: holder.name.clone(),
        share: holder.share.clone(),
    };
    draft.holders.iter().map(holder).collect()
}

/// The content of one version.
pub fn content(draft: &Draft, record_id: &str, version: u64, step: Step) -> Content {
    Content {
        record_id: record_id.to_owned(),
        version,
        status: step.state.status,
        valid_from: draft.valid_from.clone(),
        valid_until: draft.valid_until.clone(),
        event: step.event,
        supersedes: None,
        holders: holders(draft),
        fields: draft.fields.clone(),
    }
}

/// The part of the processed payload that a draft decides (schemas/README.md).
pub fn payload(draft: &Draft, status: Status) -> Value {
    let mut record = json!({"status": status.as_str()});
    for (name, date) in [("valid_from", &draft.valid_from), ("valid_until", &draft.valid_until)] {
        if let Some(date) = date {
            record[name] = json!(date);
        }
    }
    json!({"record": record, "holders": holders(draft), "fields": draft.fields})
}
