//! The state machine by tables and by properties: whatever comes, no record has a hole, the first content wins, and it does not
//! depend on how the log was cut into batches.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;
use weft_record::status::{Event, Status};

use super::{Again, IncomingRecord, Standing, Working, outcome, reason};
use crate::{
    index::{
        Known,
        rows::{HeadRow, OutcomeRow, Rows, VersionRow},
    },
    log::{EntryId, Partition, Topic},
    registry::event::Erasure,
};

fn incoming(offset: u64, record: &str, version: u64, event: Event, status: Status, content: u8) -> IncomingRecord {
    let mut submission_id = [content; 32];
    submission_id[..8].copy_from_slice(&offset.to_be_bytes());
    IncomingRecord {
        standing: Standing {
            partition: Partition { topic: Topic::Records("t".into()), number: 0 },
            offset,
            key: format!("{record}@{version}@{offset}"),
            entry_id: EntryId([content; 16]),
            envelope: Bytes::new(),
        },
        submission_id,
        record_id: record.into(),
        version,
        record_type: "t".into(),
        department: "d".into(),
        sender: "department/d/adapter/a".into(),
        event: Some(event),
        status,
        valid_from: None,
        valid_until: None,
        iat: 0,
        accepted_at: 1,
        kid: "k".into(),
        content_digest: [content; 32],
        substance_digest: [content; 32],
        holders: vec![[content; 32]],
        identifiers: vec![[content; 32]],
        confirmed: false,
    }
}

/// The digest of the content 1, hex: what a conflict with it names.
const FIRST_DIGEST: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn nothing_erased(_: &str, _: u64) -> Option<Erasure> {
    None
}

/// An index in memory, as far as the state machine needs one.
#[derive(Default)]
struct Memory {
    heads: HashMap<String, HeadRow>,
    versions: HashMap<(String, u64), VersionRow>,
    outcomes: HashMap<[u8; 32], OutcomeRow>,
}

impl Memory {
    fn apply(&mut self, batch: &[IncomingRecord]) -> Rows {
        let mut known = Known::default();
        for one in batch {
            known.heads.extend(self.heads.get(&one.record_id).cloned());
            known.versions.extend(self.versions.get(&(one.record_id.clone(), one.version)).cloned());
            known.outcomes.extend(self.outcomes.get(&one.submission_id).cloned());
        }
        let mut working = Working::new(known);
        for one in batch {
            working.record(one, &nothing_erased);
        }
        let rows = working.into_rows();
        for row in &rows.versions {
            let before = self.versions.insert((row.record_id.clone(), row.version), row.clone());
            assert!(before.is_none(), "a version is inserted once");
        }
        self.heads.extend(rows.heads.iter().map(|row| (row.record_id.clone(), row.clone())));
        self.outcomes.extend(rows.outcomes.iter().map(|row| (row.submission_id, row.clone())));
        rows
    }
}

fn outcome_of(rows: &Rows, incoming: &IncomingRecord) -> (String, Option<String>, u64) {
    let row = rows.outcomes.iter().find(|row| row.submission_id == incoming.submission_id).expect("an outcome");
    (row.outcome.clone(), row.reason.clone(), row.head)
}

#[test]
fn only_the_next_number_with_an_allowed_step_is_indexed() {
    let mut memory = Memory::default();
    let first = incoming(0, "r", 1, Event::Issue, Status::Valid, 1);
    let rows = memory.apply(std::slice::from_ref(&first));
    assert_eq!(outcome_of(&rows, &first), (outcome::INDEXED.into(), None, 0));

    for (step, expected) in [
        (incoming(1, "r", 1, Event::Issue, Status::Valid, 1), (outcome::DUPLICATE, None, 1)),
        (incoming(2, "r", 1, Event::Issue, Status::Valid, 2), (outcome::CONFLICT, Some(FIRST_DIGEST), 1)),
        (incoming(3, "r", 3, Event::Change, Status::Valid, 3), (outcome::GAP, None, 1)),
        (
            incoming(4, "r", 2, Event::Resume, Status::Valid, 4),
            (outcome::QUARANTINED, Some(reason::STEP_NOT_ALLOWED), 1),
        ),
        (
            incoming(5, "r", 2, Event::Suspend, Status::Frozen, 5),
            (outcome::QUARANTINED, Some(reason::STATUS_EVENT_MISMATCH), 1),
        ),
        // A version refused at apply does not use up its number.
        (incoming(6, "r", 2, Event::Suspend, Status::Suspended, 6), (outcome::INDEXED, None, 1)),
        (incoming(7, "r", 3, Event::Cancel, Status::Cancelled, 7), (outcome::INDEXED, None, 2)),
        (incoming(8, "r", 4, Event::Correct, Status::Valid, 8), (outcome::PENDING, None, 3)),
        (
            incoming(9, "r", 4, Event::Change, Status::Cancelled, 9),
            (outcome::QUARANTINED, Some(reason::STEP_NOT_ALLOWED), 3),
        ),
    ] {
        let rows = memory.apply(std::slice::from_ref(&step));
        let (word, why, head) = outcome_of(&rows, &step);
        assert_eq!((word.as_str(), why.as_deref(), head), expected, "offset {}", step.standing.offset);
        assert_eq!(rows.versions.len(), usize::from(expected.0 == outcome::INDEXED));
        assert_eq!(rows.appends.len(), 1, "every entry leaves its append");
    }
}

#[test]
fn a_confirmed_correction_of_an_ended_record_is_indexed_and_its_outcome_turns_from_pending() {
    let mut memory = Memory::default();
    memory.apply(&[
        incoming(0, "r", 1, Event::Issue, Status::Valid, 1),
        incoming(1, "r", 2, Event::Revoke, Status::Revoked, 2),
    ]);
    let waiting = incoming(2, "r", 3, Event::Correct, Status::Valid, 3);
    assert_eq!(outcome_of(&memory.apply(std::slice::from_ref(&waiting)), &waiting).0, outcome::PENDING);
    let mut again = waiting.clone();
    again.standing.offset = 3;
    assert!(memory.apply(std::slice::from_ref(&again)).outcomes.is_empty(), "unconfirmed it goes on waiting");
    again.standing.offset = 4;
    again.confirmed = true;
    assert_eq!(outcome_of(&memory.apply(std::slice::from_ref(&again)), &waiting).0, outcome::INDEXED);
    assert_eq!(memory.heads["r"].status, "valid");
}

#[test]
fn events_that_take_away_keep_the_holders() {
    let mut memory = Memory::default();
    memory.apply(&[incoming(0, "r", 1, Event::Issue, Status::Valid, 1)]);
    let mut revoked = incoming(1, "r", 2, Event::Revoke, Status::Revoked, 2);
    revoked.holders.clear();
    revoked.identifiers.clear();
    let rows = memory.apply(&[revoked]);
    assert!(rows.ended_spans.is_empty() && rows.holders.is_empty());
    // An unreadable event is judged by the status that the record claims.
    let mut unreadable = incoming(2, "s", 1, Event::Issue, Status::Valid, 3);
    memory.apply(std::slice::from_ref(&unreadable));
    unreadable = incoming(3, "s", 2, Event::Revoke, Status::Revoked, 4);
    unreadable.event = None;
    let rows = memory.apply(&[unreadable]);
    assert_eq!(rows.versions[0].event, "revoke");
}

#[test]
fn a_repeat_of_a_submission_never_changes_its_outcome() {
    let mut memory = Memory::default();
    let first = incoming(0, "r", 1, Event::Issue, Status::Valid, 1);
    memory.apply(std::slice::from_ref(&first));
    let mut again = first.clone();
    again.standing.offset = 9;
    let rows = memory.apply(&[again]);
    assert!(rows.outcomes.is_empty() && rows.versions.is_empty());
    assert_eq!(rows.appends.len(), 1);
}

fn any_incoming() -> impl Strategy<Value = (u8, u64, usize, usize, u8, bool)> {
    (0..3u8, 1..6u64, 0..Event::ALL.len(), 0..Status::ALL.len(), 0..4u8, any::<bool>())
}

proptest! {
    #[test]
    fn no_record_has_a_hole_and_batches_do_not_matter(
        entries in proptest::collection::vec(any_incoming(), 1..60),
        cuts in proptest::collection::hash_set(0..60usize, 0..10),
        repeats in proptest::collection::vec((0..60usize, 0..60usize), 0..10),
    ) {
        let mut log: Vec<IncomingRecord> = entries
            .into_iter()
            .enumerate()
            .map(|(at, (record, version, event, status, content, plausible))| {
                let (event, status) = if plausible && version == 1 {
                    (Event::Issue, Status::Valid)
                } else if plausible {
                    (Event::Change, Status::Valid)
                } else {
                    (Event::ALL[event], Status::ALL[status])
                };
                incoming(at as u64, &format!("r{record}"), version, event, status, content)
            })
            .collect();
        for (from, to) in repeats {
            if from < log.len() && to < log.len() {
                log[to].submission_id = log[from].submission_id;
            }
        }
        let mut at_once = Memory::default();
        at_once.apply(&log);
        let mut in_pieces = Memory::default();
        let mut piece = Vec::new();
        for (at, one) in log.iter().enumerate() {
            piece.push(one.clone());
            if cuts.contains(&at) {
                in_pieces.apply(&std::mem::take(&mut piece));
            }
        }
        in_pieces.apply(&piece);
        prop_assert_eq!(&at_once.heads, &in_pieces.heads);
        prop_assert_eq!(&at_once.versions, &in_pieces.versions);
        prop_assert_eq!(&at_once.outcomes, &in_pieces.outcomes);
        for head in at_once.heads.values() {
            for version in 1..=head.version {
                prop_assert!(at_once.versions.contains_key(&(head.record_id.clone(), version)));
            }
        }
        let submissions: HashSet<_> = log.iter().map(|one| one.submission_id).collect();
        prop_assert_eq!(submissions.len(), at_once.outcomes.len(), "every submission has one outcome");
    }
}

#[test]
fn an_erased_version_handed_in_again_is_a_duplicate_or_a_conflict_without_text() {
    let mut memory = Memory::default();
    let first = incoming(0, "r", 1, Event::Issue, Status::Valid, 1);
    memory.apply(std::slice::from_ref(&first));
    let known = || Known {
        heads: memory.heads.values().cloned().collect(),
        versions: memory.versions.values().cloned().collect(),
        outcomes: memory.outcomes.values().cloned().collect(),
    };
    let again = |offset: u64, content: u8| {
        let IncomingRecord { standing, submission_id, .. } =
            incoming(offset, "r", 1, Event::Issue, Status::Valid, content);
        let (record_id, content_digest) = ("r".into(), [content; 32]);
        Again { standing, submission_id, record_id, version: 1, content_digest, accepted_at: 1 }
    };
    let mut working = Working::new(known());
    let repeated = Again { submission_id: first.submission_id, ..again(3, 1) };
    for one in [again(1, 1), again(2, 2), repeated] {
        working.again(&one, &nothing_erased);
    }
    let rows = working.into_rows();
    let told: Vec<_> =
        rows.outcomes.iter().map(|row| (row.offset, row.outcome.as_str(), row.reason.as_deref())).collect();
    assert_eq!(told, [(1, outcome::DUPLICATE, None), (2, outcome::CONFLICT, Some(FIRST_DIGEST))]);
    assert_eq!((rows.alarms.len(), rows.appends.len()), (1, 3));
    assert!(rows.versions.is_empty() && rows.heads.is_empty());

    // With its text, through a door that had not heard of the erasure: the text is not kept.
    let erasure = |record_id: &str, version: u64| {
        ((record_id, version) == ("r", 1)).then(|| Erasure {
            record_id: "r".into(),
            version: 1,
            record_type: "t".into(),
            department: "d".into(),
            event: "issue".into(),
            status: "valid".into(),
            frozen: false,
            suspended: false,
            iat: 0,
            accepted_at: 1,
            kid: "k".into(),
            submission_id: hex::encode(first.submission_id),
            offset: 0,
            content_digest: FIRST_DIGEST.into(),
            substance_digest: FIRST_DIGEST.into(),
            keys: Vec::new(),
            why: String::new(),
            legal_basis: String::new(),
        })
    };
    let mut working = Working::new(known());
    let mut late = incoming(4, "r", 1, Event::Issue, Status::Valid, 1);
    late.standing.envelope = Bytes::from_static(b"text");
    working.record(&late, &erasure);
    let rows = working.into_rows();
    assert_eq!(outcome_of(&rows, &late).0, outcome::DUPLICATE);
    assert_eq!(rows.appends[0].envelope, None);
}
