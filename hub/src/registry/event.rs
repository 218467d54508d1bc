//! One administrative event: who, when, before, after, and the revision of the entity that it changes.

use serde::{Deserialize, Serialize};

pub use super::grant::{Grant, GrantState};
use crate::clock::Millis;

/// An entry of the registry topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who did it: an identity's path, or `hub`.
    pub who: String,
    /// When the hub took it.
    pub at: Millis,
    /// The entity that it changes: `department/<code>`, `window/<name>`, `identity/<path>`, `token/<id>`, `key/<department>/<kid>`,
    /// `grant/<id>`, `record-type/<name>`, `erasure/<record_id>@<version>`, `correction/<submission id>/<path>`, `resend/<n>`,
    /// `command/<id>`, `installation`.
    pub entity: String,
    /// The entity's revision after this event: it takes effect only as the next one. So an old event copied whole is stopped,
    /// and of two that race the first in the log wins.
    pub revision: u64,
    /// The entity before, for the reader of the log; `null` when it is new.
    pub before: serde_json::Value,
    /// The entity after.
    pub after: After,
}

/// What an entity is after an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum After {
    /// The first event of all.
    Installation {
        /// The key directory's name for it.
        installation: String,
        /// The hub's public name.
        hub_name: String,
    },
    /// A department.
    Department(Department),
    /// A window.
    Window(Window),
    /// An identity's certificates, or its end.
    Identity(IdentityState),
    /// A join token.
    JoinToken(JoinToken),
    /// A sealing key.
    SealingKey(SealingKey),
    /// A grant.
    Grant(Grant),
    /// A record type, or a new version of one.
    RecordType(RegisteredType),
    /// A version to be erased.
    Erasure(Erasure),
    /// One person's confirmation of a correction of an ended record.
    Correction {
        /// The submission, hex.
        submission_id: String,
        /// The department.
        department: String,
    },
    /// Adapters are to send again.
    Resend(Resend),
    /// An adapter is to do something.
    Command(Command),
}

/// A department: an authority that owns records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Department {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name_zh: String,
    /// Its name.
    pub name_en: String,
    /// The record types it owns.
    pub record_types: Vec<String>,
    /// What it has declared to publish.
    pub coverage: Vec<Coverage>,
    /// The data key of its envelopes, wrapped by the master key.
    pub data_key: Wrapped,
    /// Its secret (record ids, digests), wrapped by the master key.
    pub secret: Wrapped,
}

/// A key wrapped by the master key (an envelope bound to the registry and its own name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// Which master key.
    pub master: String,
    /// Binds the wrapping: a random id, hex.
    pub id: String,
    /// The wrapped bytes, base64.
    pub wrapped: String,
}

/// Declared coverage of one record type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The type.
    pub record_type: String,
    /// Records issued since this local date are published; empty means all there ever were.
    pub since: String,
    /// Division codes; empty means the whole county.
    pub divisions: Vec<String>,
    /// Whether the back-fill is finished.
    pub back_fill_finished: bool,
    /// The adapter that owns the type; empty until one publishes it.
    pub adapter: String,
}

/// A window: a consuming system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its name in the identity.
    pub name: String,
    /// Its name for people.
    pub name_zh: String,
    /// The hall it stands in.
    pub hall: String,
}

/// An identity's certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityState {
    /// The identity's path.
    pub path: String,
    /// Serial numbers of its certificates that are in force, with their ends, newest last.
    pub certificates: Vec<(String, Millis)>,
    /// Cut off, and why.
    pub revoked: Option<String>,
    /// The other CA whose certificates alone speak for it; absent for the hub's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Serial numbers of that CA's certificates that are not accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_serials: Vec<String>,
    /// Why it was admitted, or lost one certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl IdentityState {
    /// An identity without a certificate.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            certificates: Vec::new(),
            revoked: None,
            through: None,
            revoked_serials: Vec::new(),
            why: None,
        }
    }
}

/// A join token. Its secret stands nowhere: only the secret's SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinToken {
    /// SHA-256 of the secret, hex.
    pub id: String,
    /// The one identity that it is for: its path.
    pub identity: String,
    /// When it ends.
    pub expires_at: Millis,
    /// Who made it.
    pub made_by: String,
    /// The redemption that won: the serial of the certificate and SHA-256 of the CSR.
    pub redeemed: Option<Redeemed>,
}

/// A redemption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeemed {
    /// Serial of the certificate that is signed for it.
    pub serial: String,
    /// SHA-256 of the CSR, hex: the same CSR may ask again, another may not.
    pub csr: String,
    /// When.
    pub at: Millis,
    /// The end of that certificate.
    pub not_after: Millis,
    /// For an adapter, its sealing public key; `pending` until a second person confirms it.
    pub sealing_key: Option<Box<SealingKey>>,
}

/// How a sealing key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum KeyStanding {
    /// Waits for a second person.
    Pending,
    /// Accepted.
    Active {
        /// Since when.
        since: Millis,
    },
    /// Accepted 30 days more.
    Retired {
        /// Since when.
        at: Millis,
    },
    /// Not accepted; versions accepted since then are stale.
    Compromised {
        /// Since when.
        since: Millis,
    },
}

/// A department's sealing public key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealingKey {
    /// The department.
    pub department: String,
    /// The adapter that made it.
    pub adapter: String,
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The public JWK, as text.
    pub jwk: String,
    /// How it stands.
    pub standing: KeyStanding,
    /// Who made the join token or proposed the key: may not confirm it.
    pub proposed_by: String,
}

impl Eq for SealingKey {}

/// A record type that was registered at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredType {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// `type.toml`.
    pub definition: String,
    /// The JSON Schema.
    pub schema: String,
}

/// A version that is erased: what replay needs when compaction has taken the text away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The record type.
    pub record_type: String,
    /// The department.
    pub department: String,
    /// Its event.
    pub event: String,
    /// Its status.
    pub status: String,
    /// The flags after it.
    pub frozen: bool,
    /// The flags after it.
    pub suspended: bool,
    /// Its `iat`.
    pub iat: i64,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// Which key sealed it.
    pub kid: String,
    /// The submission, hex.
    pub submission_id: String,
    /// The offset of its first entry.
    pub offset: u64,
    /// Hex.
    pub content_digest: String,
    /// Hex.
    pub substance_digest: String,
    /// The keys under which its text stood.
    pub keys: Vec<String>,
    /// Why.
    pub why: String,
    /// By which law.
    pub legal_basis: String,
}

impl Erasure {
    /// (content digest, substance digest, submission id); `None` when one of them is not 32 bytes of hex.
    pub fn digests(&self) -> Option<([u8; 32], [u8; 32], [u8; 32])> {
        let decode = |text: &str| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
        };
        Some((decode(&self.content_digest)?, decode(&self.substance_digest)?, decode(&self.submission_id)?))
    }
}

/// Adapters of a department are to send again what they released since a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// The department.
    pub department: String,
    /// The types.
    pub record_types: Vec<String>,
    /// Since when.
    pub since: Millis,
}

/// What an operator asks of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its id.
    pub id: String,
    /// The department.
    pub department: String,
    /// The adapter.
    pub adapter: String,
    /// What it is to do.
    pub act: Act,
    /// Of this source alone; empty means all.
    pub source: String,
}

/// What an adapter is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum Act {
    /// Read no further.
    Pause {},
    /// Read again.
    Resume {},
    /// Read again what the source has since then.
    Resync {
        /// Since when.
        since: Millis,
    },
    /// Compare source and hub.
    Reconcile {
        /// And send again what differs.
        repair: bool,
    },
    /// Renew the certificate now.
    Renew {},
}
