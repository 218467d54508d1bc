//! From an entry of the log to what it says: envelope opened, seal verified. What does not open did not come through the door.

use weft_record::{
    identifier::{Scheme, normalise_holder},
    verify::reread,
};

use crate::{
    admitted::Admitted,
    apply::{Again, IncomingRecord, Standing},
    body,
    clock::Millis,
    envelope::{self, ContentType, Header, Place},
    index::{
        KeyedHash, KnownQuery,
        rows::{AppendRow, LedgerRow, QuarantineRow, SubmissionId},
    },
    keys::Keys,
    log::{Entry, EntryId, Partition, Topic},
    registry::{Registry, event::Event, open_event},
};

/// What an entry says.
#[derive(Debug)]
pub enum Incoming {
    /// A sealed record.
    Record(Box<IncomingRecord>),
    /// A stub in the place of an erased version.
    Stub {
        /// The version it stands for.
        stub: body::Stub,
        /// Its place.
        append: AppendRow,
    },
    /// An erased version that was handed in again.
    Again(Box<Again>),
    /// A submission refused at the door.
    Refused {
        /// As the index holds it.
        row: QuarantineRow,
        /// The submission.
        submission: SubmissionId,
        /// The first problem's reason.
        first_reason: String,
        /// Whether it keeps what was handed in.
        whole: bool,
        /// Its place.
        append: AppendRow,
    },
    /// A ledger entry.
    Ledger {
        /// As the index holds it.
        row: LedgerRow,
        /// Its place.
        append: AppendRow,
    },
    /// An administrative event: the registry view's business; the index only keeps it, for a log that loses it.
    Registry {
        /// Its place.
        append: AppendRow,
        /// The event.
        event: Box<Event>,
    },
    /// Written past the hub.
    Foreign {
        /// `foreign_entry` or `null_entry`.
        alarm: &'static str,
        /// Why it is none of ours; no value of a record.
        why: String,
    },
}

impl Incoming {
    /// What must be known to decide about it.
    pub fn query(&self) -> Option<KnownQuery> {
        let about = |record_id: &str, version, submission_id| {
            Some(KnownQuery { record_id: record_id.to_owned(), version, submission_id })
        };
        match self {
            Self::Record(record) => Some(record.query()),
            Self::Again(again) => about(&again.record_id, again.version, again.submission_id),
            Self::Stub { stub, .. } => about(&stub.record_id, stub.version, [0; 32]),
            Self::Refused { submission, .. } => about("", 0, *submission),
            _ => None,
        }
    }

    /// When a hub accepted it; of what came through no door, nobody knows.
    pub fn accepted_at(&self) -> Option<Millis> {
        match self {
            Self::Record(record) => Some(record.accepted_at),
            Self::Again(again) => Some(again.accepted_at),
            Self::Refused { row, .. } => Some(row.at),
            Self::Ledger { row, .. } => Some(row.at),
            Self::Registry { event, .. } => Some(event.at),
            Self::Stub { .. } | Self::Foreign { .. } => None,
        }
    }

    fn foreign(why: impl Into<String>) -> Self {
        Self::Foreign { alarm: "foreign_entry", why: why.into() }
    }
}

/// The registry position that an entry's envelope names: apply waits until the view has reached it. Not authenticated yet;
/// one beyond `end` is nobody's.
pub fn marked_position(entry: &Entry) -> Option<u64> {
    entry.value.as_deref().and_then(|value| envelope::header(value).ok()).map(|header| header.registry_position)
}

/// Reads one entry. What is in `admitted` was verified by this instance's door.
pub fn decode(partition: &Partition, entry: &Entry, registry: &Registry, keys: &Keys, admitted: &Admitted) -> Incoming {
    let Some(value) = &entry.value else {
        return Incoming::Foreign { alarm: "null_entry", why: "a null".into() };
    };
    let (Some(key), Some(entry_id)) = (&entry.key, entry.entry_id) else {
        return Incoming::foreign("no key or no entry id");
    };
    let standing = Standing {
        partition: partition.clone(),
        offset: entry.offset,
        key: key.clone(),
        entry_id,
        envelope: value.clone(),
    };
    let place = Place { topic: &partition.topic, key, entry_id };
    let (header, text) = match envelope::open(place, registry, value) {
        Ok(opened) => opened,
        Err(error) => return Incoming::foreign(error.to_string()),
    };
    let read = match (&partition.topic, header.content) {
        (Topic::Records(record_type), ContentType::Record) => {
            read_record(record_type, standing, &header, &text, registry, keys, admitted)
        }
        (Topic::Records(_), ContentType::Again) => read_again(standing, &header, &text),
        (Topic::Records(_) | Topic::Quarantine, ContentType::Stub) => read_stub(standing, &text),
        (Topic::Quarantine, ContentType::Refused) => read_refused(standing, &header, &text),
        (Topic::Ledger, ContentType::Ledger) => read_look(standing, &text),
        (Topic::Registry, ContentType::Registry) => open_event(registry, entry)
            .map(|event| Incoming::Registry { append: append_row(&standing), event: Box::new(event) }),
        (topic, content) => Err(format!("{content:?} does not belong to {topic}")),
    };
    read.unwrap_or_else(Incoming::foreign)
}

fn append_row(standing: &Standing) -> AppendRow {
    AppendRow {
        partition: standing.partition.clone(),
        offset: standing.offset,
        key: standing.key.clone(),
        entry_id: standing.entry_id,
        submission_id: None,
        record_id: None,
        version: None,
        envelope: Some(standing.envelope.clone()),
    }
}

/// Checks envelope and seal, not schemas and rules: those were the door's, and may have changed since.
fn read_record(
    record_type: &str,
    standing: Standing,
    header: &Header,
    sealed: &[u8],
    registry: &Registry,
    keys: &Keys,
    admitted: &Admitted,
) -> Result<Incoming, String> {
    let facts = match admitted.take(standing.entry_id, sealed) {
        Some(facts) => facts,
        None => reread(sealed, registry).map_err(|rejection| rejection.to_string())?,
    };
    if facts.record_type != record_type {
        return Err("its topic is another type's".into());
    }
    if !header.sender.starts_with(&format!("department/{}/", facts.department)) {
        return Err("its sender is another department".into());
    }
    let digest_key = &registry.keys_of(&facts.department).ok_or("a department that the registry does not have")?.digest;
    let event = facts.payload["event"].as_str().and_then(|event| event.parse().ok());
    let holders = facts.holders.iter().map(|holder| holder_hash(keys, &holder.scheme, &holder.value));
    let identifiers = facts.look_ups.iter().map(|one| identifier_hash(keys, record_type, &one.field, &one.value));
    Ok(Incoming::Record(Box::new(IncomingRecord {
        submission_id: facts.submission_id,
        sender: header.sender.clone(),
        event,
        status: facts.status,
        iat: facts.iat,
        accepted_at: header.accepted_at,
        content_digest: digest_key.content(&facts.payload),
        substance_digest: digest_key.substance(&facts.payload),
        holders: holders.collect(),
        identifiers: identifiers.collect(),
        confirmed: registry.correction_confirmed(&hex::encode(facts.submission_id), header.registry_position),
        record_id: facts.record_id,
        version: facts.version,
        record_type: facts.record_type,
        department: facts.department,
        valid_from: facts.valid_from,
        valid_until: facts.valid_until,
        kid: facts.kid,
        standing,
    })))
}

/// Keyed hash of a holder: what `holders` rows and look-ups have in common.
pub fn holder_hash(keys: &Keys, scheme: &str, value: &str) -> KeyedHash {
    let value = match scheme.parse::<Scheme>() {
        Ok(scheme) => normalise_holder(scheme, value),
        Err(_) => value.to_owned(),
    };
    keys.keyed_hash(&["holder", scheme, &value])
}

/// Keyed hash of a look-up identifier.
pub fn identifier_hash(keys: &Keys, record_type: &str, field: &str, normalised: &str) -> KeyedHash {
    keys.keyed_hash(&["identifier", record_type, field, normalised])
}

fn read_stub(standing: Standing, text: &[u8]) -> Result<Incoming, String> {
    let stub: body::Stub = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut append = append_row(&standing);
    append.record_id = Some(stub.record_id.clone());
    append.version = Some(stub.version);
    Ok(Incoming::Stub { stub, append })
}

fn read_again(standing: Standing, header: &Header, text: &[u8]) -> Result<Incoming, String> {
    let again: body::Again = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let (mut submission_id, mut content_digest) = ([0; 32], [0; 32]);
    hex::decode_to_slice(&again.submission_id, &mut submission_id).map_err(|error| error.to_string())?;
    hex::decode_to_slice(&again.digest, &mut content_digest).map_err(|error| error.to_string())?;
    Ok(Incoming::Again(Box::new(Again {
        standing,
        submission_id,
        record_id: again.record_id,
        version: again.version,
        content_digest,
        accepted_at: header.accepted_at,
    })))
}

fn read_refused(standing: Standing, header: &Header, text: &[u8]) -> Result<Incoming, String> {
    let refused: body::Refused = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut submission = [0; 32];
    hex::decode_to_slice(&refused.submission_id, &mut submission).map_err(|error| error.to_string())?;
    let mut append = append_row(&standing);
    append.submission_id = Some(submission);
    if refused.version > 0 && !refused.record_id.is_empty() {
        // A copy of the version that it claims to be: erasure finds it so.
        append.record_id = Some(refused.record_id.clone());
        append.version = Some(refused.version);
    }
    let first_reason = refused.problems.first().map_or("internal", |problem| problem.reason.as_str()).to_owned();
    let row = QuarantineRow {
        id: refused.submission_id,
        department: refused.department,
        sender: refused.sender,
        record_type: refused.record_type,
        record_id: refused.record_id,
        version: refused.version,
        at: header.accepted_at,
        stage: refused.stage,
        problems: crate::apply::problems_json(&refused.problems),
        closed: false,
        partition: standing.partition,
        offset: standing.offset,
    };
    Ok(Incoming::Refused { row, submission, first_reason, whole: !refused.sealed.is_empty(), append })
}

fn read_look(standing: Standing, text: &[u8]) -> Result<Incoming, String> {
    let look: body::Look = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let given: Vec<(&str, u64)> = look.given.iter().map(|given| (given.record_id.as_str(), given.version)).collect();
    let row = LedgerRow {
        entry_id: EntryId::parse(&look.look_id).ok_or("no look id")?,
        offset: standing.offset,
        kind: look.kind.clone(),
        window: look.window.clone(),
        request_id: look.request_id.clone(),
        holder: hex::decode(&look.holder).ok().and_then(|hash| hash.try_into().ok()),
        records: serde_json::to_string(&given).map_err(|error| error.to_string())?,
        department: look.department.clone(),
        at: look.at,
        envelope: standing.envelope.clone(),
    };
    Ok(Incoming::Ledger { row, append: append_row(&standing) })
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}
