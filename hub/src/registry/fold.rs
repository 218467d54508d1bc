//! The registry as one instance sees it: every event up to a position, folded.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use weft_record::{catalogue::Catalogue, digest::DigestKey, keys::VerifyingKey};
use zeroize::Zeroizing;

use super::event::{
    After, Command, Department, Erasure, Event, Grant, IdentityState, JoinToken, KeyStanding, RegisteredType, Resend,
    SealingKey, Window,
};
use crate::{
    clock::Millis,
    envelope::{DataKey, DataKeys},
    identity::Through,
    keys::Keys,
    registry::wrap,
};

/// The keys of a department, unwrapped.
#[derive(Clone)]
pub struct DepartmentKeys {
    /// Its envelopes' key.
    pub data: DataKey,
    /// Its secret: handed to its adapters at enrolment.
    pub secret: DataKey,
    /// Keyed digests of content, derived from the secret.
    pub digest: Arc<DigestKey>,
}

/// An event that did not take effect, and why. Not an error of ours: the log may hold such.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Another event with that revision came first, or this one is a copy.
    #[error("revision {got} of {entity} where {want} is next")]
    Revision {
        /// The entity.
        entity: String,
        /// Its revision.
        got: u64,
        /// The one that would have taken effect.
        want: u64,
    },
    /// A wrapped key does not open.
    #[error("a key of {0} does not open with this key directory")]
    Key(String),
    /// A record type that was taken when it was registered is not taken now.
    #[error("record type {0} cannot be used: {1}")]
    RecordType(String, String),
    /// The log belongs to another installation.
    #[error("the log belongs to installation {0}")]
    Installation(String),
}

/// How long a command is told to its adapter, milliseconds.
pub const COMMAND_MS: Millis = 86_400_000;

/// Every administrative fact up to [`Registry::position`].
#[derive(Clone)]
pub struct Registry {
    /// The next registry offset that is not in here.
    pub position: u64,
    /// The hub's public name, once the installation is there.
    pub hub_name: Option<String>,
    /// By code.
    pub departments: BTreeMap<String, Department>,
    /// By name.
    pub windows: BTreeMap<String, Window>,
    /// By path.
    pub identities: HashMap<String, IdentityState>,
    /// By SHA-256 of the secret, hex.
    pub tokens: HashMap<String, JoinToken>,
    /// By (department, kid).
    pub sealing_keys: BTreeMap<(String, String), SealingKey>,
    /// By id.
    pub grants: BTreeMap<String, Grant>,
    /// Record types registered at run time, by name: the newest version.
    pub registered_types: BTreeMap<String, u32>,
    /// By (record_id, version).
    pub erasures: HashMap<(String, u64), Erasure>,
    /// By submission id (hex): who confirmed, at which offset.
    pub corrections: HashMap<String, Vec<(String, u64)>>,
    /// (when, what), in order.
    pub resends: Vec<(Millis, Resend)>,
    /// (when, what), in order; those that are too old to be told are forgotten.
    pub commands: VecDeque<(Millis, Command)>,
    /// When the newest event was made.
    pub newest: Millis,
    revisions: HashMap<String, u64>,
    brought_by: HashMap<(String, u64), u64>,
    keys: HashMap<String, DepartmentKeys>,
    hub_keys: HashMap<String, DataKey>,
    verifying: HashMap<(String, String), VerifyingKey>,
    catalogue: Arc<Catalogue>,
}

impl std::fmt::Debug for DepartmentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DepartmentKeys").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("position", &self.position).finish_non_exhaustive()
    }
}

impl DataKeys for Registry {
    fn data_key(&self, id: &str) -> Option<DataKey> {
        match id.strip_prefix("department/").and_then(|rest| rest.strip_suffix("/1")) {
            Some(code) => self.keys.get(code).map(|keys| keys.data.clone()),
            None => self.hub_keys.get(id).cloned(),
        }
    }
}

impl Registry {
    /// An empty registry that can open the hub's own envelopes.
    pub fn new(keys: &Keys, catalogue: Arc<Catalogue>) -> Self {
        let (id, key) = keys.hub_data_key();
        Self {
            position: 0,
            hub_name: None,
            departments: BTreeMap::new(),
            windows: BTreeMap::new(),
            identities: HashMap::new(),
            tokens: HashMap::new(),
            sealing_keys: BTreeMap::new(),
            grants: BTreeMap::new(),
            registered_types: BTreeMap::new(),
            erasures: HashMap::new(),
            corrections: HashMap::new(),
            resends: Vec::new(),
            commands: VecDeque::new(),
            newest: 0,
            revisions: HashMap::new(),
            brought_by: HashMap::new(),
            keys: HashMap::new(),
            hub_keys: [(id.to_owned(), key.clone())].into(),
            verifying: HashMap::new(),
            catalogue,
        }
    }

    /// The record types, service items and tables.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// A department's sealing key as it verifies, whatever its standing.
    pub fn verifying_key(&self, department: &str, kid: &str) -> Option<&VerifyingKey> {
        self.verifying.get(&(department.to_owned(), kid.to_owned()))
    }

    /// Whether two persons confirmed this correction before a registry position.
    pub fn correction_confirmed(&self, submission_id: &str, before: u64) -> bool {
        let confirmed = self.corrections.get(submission_id).map(Vec::as_slice).unwrap_or_default();
        confirmed.iter().filter(|(_, offset)| *offset < before).count() >= 2
    }

    /// Whether a version was erased.
    pub fn is_erased(&self, record_id: &str, version: u64) -> bool {
        // Asked about everything that comes, while next to nothing is ever erased.
        !self.erasures.is_empty() && self.erasures.contains_key(&(record_id.to_owned(), version))
    }

    /// The revision of an entity: 0 when there is none.
    pub fn revision(&self, entity: &str) -> u64 {
        self.revisions.get(entity).copied().unwrap_or(0)
    }

    /// The id of a department's data key.
    pub fn data_key_id(department: &str) -> String {
        format!("department/{department}/1")
    }

    /// The keys of a department.
    pub fn keys_of(&self, department: &str) -> Option<&DepartmentKeys> {
        self.keys.get(department)
    }

    /// Folds one event in. The position is the caller's to move.
    pub fn apply(&mut self, event: Event, offset: u64, keys: &Keys) -> Result<(), Ignored> {
        let want = self.revision(&event.entity) + 1;
        if event.revision != want {
            return Err(Ignored::Revision { entity: event.entity, got: event.revision, want });
        }
        self.take(event.after, (&event.who, event.at, offset), keys)?;
        self.newest = self.newest.max(event.at);
        self.brought_by.insert((event.entity.clone(), event.revision), offset);
        self.revisions.insert(event.entity, event.revision);
        Ok(())
    }

    /// The offset of the event that brought an entity to a revision.
    pub fn brought_by(&self, entity: &str, revision: u64) -> Option<u64> {
        self.brought_by.get(&(entity.to_owned(), revision)).copied()
    }

    /// An entity as it stands, for the `before` of the next event; `null` when there is none.
    pub fn entity_json(&self, entity: &str) -> serde_json::Value {
        let Some((family, id)) = entity.split_once('/') else {
            return serde_json::Value::Null;
        };
        let json = match family {
            "department" => serde_json::to_value(self.departments.get(id)),
            "window" => serde_json::to_value(self.windows.get(id)),
            "identity" => serde_json::to_value(self.identities.get(id)),
            "token" => serde_json::to_value(self.tokens.get(id)),
            "grant" => serde_json::to_value(self.grants.get(id)),
            // The texts of the version before stand in its own event.
            "record-type" => {
                Ok(serde_json::json!({"version": self.catalogue.record_type(id).map(|one| one.definition.version)}))
            }
            "key" => serde_json::to_value(
                id.split_once('/')
                    .and_then(|(department, kid)| self.sealing_keys.get(&(department.into(), kid.into()))),
            ),
            _ => Ok(serde_json::Value::Null),
        };
        // Plain structs of strings and numbers always serialise.
        json.unwrap_or_default()
    }

    fn take(&mut self, after: After, (who, at, offset): (&str, Millis, u64), keys: &Keys) -> Result<(), Ignored> {
        match after {
            After::Installation { installation, hub_name } => {
                if installation != keys.installation {
                    return Err(Ignored::Installation(installation));
                }
                self.hub_name = Some(hub_name);
            }
            After::Department(department) => {
                self.unwrap_keys(&department, keys)?;
                self.departments.insert(department.code.clone(), department);
            }
            After::Window(window) => {
                self.windows.insert(window.name.clone(), window);
            }
            After::Identity(identity) => {
                self.identities.insert(identity.path.clone(), identity);
            }
            After::JoinToken(token) => self.take_token(token),
            After::SealingKey(key) => self.take_sealing_key(key),
            After::Grant(grant) => {
                self.grants.insert(grant.id.clone(), grant);
            }
            After::RecordType(registered) => self.take_type(registered)?,
            After::Erasure(erasure) => {
                self.erasures.insert((erasure.record_id.clone(), erasure.version), erasure);
            }
            After::Correction { submission_id, .. } => {
                let confirmed = self.corrections.entry(submission_id).or_default();
                if !confirmed.iter().any(|(one, _)| one == who) {
                    confirmed.push((who.to_owned(), offset));
                }
            }
            After::Resend(resend) => self.resends.push((at, resend)),
            After::Command(command) => {
                let told_until = |asked: &Millis| asked.saturating_add(COMMAND_MS);
                while self.commands.front().is_some_and(|(asked, _)| told_until(asked) < at) {
                    self.commands.pop_front();
                }
                self.commands.push_back((at, command));
            }
        }
        Ok(())
    }

    /// A redemption brings the identity's certificate and, for an adapter, its sealing key in the same event.
    fn take_token(&mut self, token: JoinToken) {
        if let Some(redeemed) = &token.redeemed {
            let identity = self.identities.entry(token.identity.clone());
            let identity = identity.or_insert_with(|| IdentityState::new(&token.identity));
            identity.revoked = None;
            identity.through = None;
            identity.certificates = vec![(redeemed.serial.clone(), redeemed.not_after)];
            *self.revisions.entry(format!("identity/{}", token.identity)).or_default() += 1;
            if let Some(key) = &redeemed.sealing_key {
                let entity = format!("key/{}/{}", key.department, key.kid);
                if self.revision(&entity) == 0 {
                    self.revisions.insert(entity, 1);
                    self.take_sealing_key((**key).clone());
                }
            }
        }
        self.tokens.insert(token.id.clone(), token);
    }

    /// Whom a version would break was asked before its event was made; a rebuild does not ask again.
    fn take_type(&mut self, registered: RegisteredType) -> Result<(), Ignored> {
        let RegisteredType { name, version, definition, schema } = registered;
        let taken = self.catalogue.with_type(&definition, &schema);
        self.catalogue = Arc::new(taken.map_err(|fault| Ignored::RecordType(name.clone(), fault.to_string()))?);
        self.registered_types.insert(name, version);
        Ok(())
    }

    fn take_sealing_key(&mut self, key: SealingKey) {
        let place = (key.department.clone(), key.kid.clone());
        let jwk = serde_json::from_str(&key.jwk).unwrap_or_default();
        // A key that does not parse was refused before its event was made; one that still stands here verifies nothing.
        if let Ok(verifying) = VerifyingKey::from_jwk(&jwk) {
            self.verifying.insert(place.clone(), verifying);
        }
        self.sealing_keys.insert(place, key);
    }

    fn unwrap_keys(&mut self, department: &Department, keys: &Keys) -> Result<(), Ignored> {
        let open = |wrapped| wrap::unwrap(keys, wrapped).ok_or_else(|| Ignored::Key(department.code.clone()));
        let secret = open(&department.secret)?;
        let digest = Arc::new(DigestKey::of_department(&secret));
        let unwrapped = DepartmentKeys { data: open(&department.data_key)?, secret, digest };
        self.keys.insert(department.code.clone(), unwrapped);
        Ok(())
    }

    /// Whether this certificate of this identity is in force at `now`. One CA speaks for an identity: a certificate of another one, even
    /// with a name and a number that are known, does not.
    pub fn in_force(&self, path: &str, serial: &str, through: &Through, now: Millis) -> bool {
        let Some(identity) = self.identities.get(path).filter(|identity| identity.revoked.is_none()) else {
            return false;
        };
        match (&identity.through, through) {
            (None, Through::Hub) => {
                identity.certificates.iter().any(|(one, not_after)| one == serial && *not_after > now)
            }
            (Some(admitted), Through::Other(by)) => {
                admitted == by && !identity.revoked_serials.iter().any(|one| same_serial(one, serial))
            }
            _ => false,
        }
    }

    /// The departments that own a record type.
    pub fn owners<'a>(&'a self, record_type: &'a str) -> impl Iterator<Item = &'a Department> {
        self.departments.values().filter(move |department| department.record_types.iter().any(|one| one == record_type))
    }

    /// Every record type that a department here owns, each once.
    pub fn record_types(&self) -> Vec<String> {
        let mut types: Vec<String> =
            self.departments.values().flat_map(|department| department.record_types.iter().cloned()).collect();
        types.sort();
        types.dedup();
        types
    }

    /// Whether what a key sealed, and the hub accepted at `accepted_at`, has been compromised since.
    pub fn compromised(&self, department: &str, kid: &str, accepted_at: Millis) -> bool {
        let key = self.sealing_keys.get(&(department.to_owned(), kid.to_owned()));
        matches!(key.map(|key| key.standing), Some(KeyStanding::Compromised { since }) if accepted_at >= since)
    }
}

/// Whether two serial numbers in lower-case hex are one; DER begins one with a zero byte where others do not.
pub fn same_serial(one: &str, other: &str) -> bool {
    one.trim_start_matches('0') == other.trim_start_matches('0')
}

/// 32 bytes as a key.
pub fn data_key(bytes: [u8; 32]) -> DataKey {
    Zeroizing::new(bytes)
}
