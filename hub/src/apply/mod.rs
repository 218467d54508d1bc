//! The decision "rows in, entry in → rows out": for each record one small state machine over the log. Pure; the same now and in
//! every rebuild.
//!
//! A version is indexed when it is head + 1 with an allowed step. Anything else changes nothing and gets its outcome. The first
//! indexed append of a (record, version) in log order wins.
//!
//! - [`incoming`]: a sealed record as it is read from the log
//! - [`erased`]: versions that only the registry still knows

pub mod erased;
pub mod incoming;
#[cfg(test)]
mod tests;

pub use erased::Again;
pub use incoming::{IncomingRecord, Standing};

use std::collections::{HashMap, hash_map::Entry};

use weft_record::{
    problem::Problem,
    status::{Event, State, StepRefused, step, step_confirmed},
};

use crate::{
    clock::Millis,
    index::{
        Known,
        rows::{
            AlarmRow, AppendRow, HeadRow, HolderRow, IdentifierRow, OutcomeRow, QuarantineRow, Rows, SubmissionId,
            VersionRow,
        },
    },
    log::Partition,
    registry::event::Erasure,
};

/// Outcomes, as the index holds them.
pub mod outcome {
    /// It waits for a second person.
    pub const PENDING: &str = "pending";
    /// It is a version.
    pub const INDEXED: &str = "indexed";
    /// The same content already stands there.
    pub const DUPLICATE: &str = "duplicate";
    /// Other content already stands there.
    pub const CONFLICT: &str = "conflict";
    /// A lower version is missing.
    pub const GAP: &str = "gap";
    /// Refused.
    pub const QUARANTINED: &str = "quarantined";
}

/// Reasons of `quarantined` outcomes that are found at apply, not at the door. Stable; each has a page under `docs/errors/`.
pub mod reason {
    /// The status table does not allow this event after that status.
    pub const STEP_NOT_ALLOWED: &str = "step_not_allowed";
    /// The step is allowed, but leads to another status than the record claims.
    pub const STATUS_EVENT_MISMATCH: &str = "status_event_mismatch";
    /// The log lost it, and other content took its place.
    pub const LOG_LOST: &str = "log_lost";
    /// Every reason here.
    pub const ALL: [&str; 3] = [STEP_NOT_ALLOWED, STATUS_EVENT_MISMATCH, LOG_LOST];
}

/// What is known while a batch is applied: what the index held, and what the batch has decided so far.
#[derive(Debug, Default)]
pub struct Working {
    heads: HashMap<String, HeadRow>,
    digests: HashMap<(String, u64), [u8; 32]>,
    outcomes: HashMap<SubmissionId, OutcomeRow>,
    /// What the batch turns into.
    pub rows: Rows,
}

impl Working {
    /// From what the index holds.
    pub fn new(known: Known) -> Self {
        Self {
            heads: known.heads.into_iter().map(|head| (head.record_id.clone(), head)).collect(),
            digests: known.versions.into_iter().map(|row| ((row.record_id, row.version), row.content_digest)).collect(),
            outcomes: known.outcomes.into_iter().map(|row| (row.submission_id, row)).collect(),
            rows: Rows::default(),
        }
    }

    /// Whether the submission has an outcome that stays.
    pub fn settled(&self, submission: &SubmissionId) -> bool {
        self.outcomes.get(submission).is_some_and(|row| row.outcome != outcome::PENDING)
    }

    /// The rows, with only the last head of each record.
    pub fn into_rows(mut self) -> Rows {
        let mut last: HashMap<String, HeadRow> = HashMap::new();
        for head in self.rows.heads.drain(..) {
            last.insert(head.record_id.clone(), head);
        }
        self.rows.heads = last.into_values().collect();
        self.rows.heads.sort_by(|a, b| a.record_id.cmp(&b.record_id));
        self.rows
    }

    /// Applies one sealed record. `erased` finds a version that the registry says was erased.
    pub fn record(&mut self, incoming: &IncomingRecord, erased: &dyn Fn(&str, u64) -> Option<Erasure>) {
        self.judge(incoming, erased);
        if erased(&incoming.record_id, incoming.version).is_some()
            && let Some(append) = self.rows.appends.last_mut()
        {
            // It came through a door that had not heard of the erasure: a stub is on its way to its place.
            append.envelope = None;
        }
    }

    fn judge(&mut self, incoming: &IncomingRecord, erased: &dyn Fn(&str, u64) -> Option<Erasure>) {
        let place = (&incoming.standing.partition, incoming.standing.offset);
        self.fill_erased(&incoming.record_id, place, erased);
        // An outcome from quarantine does not stand in the way: this entry came through the door.
        let repeated = self.outcomes.get(&incoming.submission_id).is_some_and(|row| {
            row.partition.topic == incoming.standing.partition.topic
                && (row.outcome != outcome::PENDING || !incoming.confirmed)
        });
        if repeated {
            self.rows.appends.push(incoming.append_row(false));
            return;
        }
        let head = self.heads.get(&incoming.record_id).map_or(0, |head| head.version);
        if let Some(standing) = self.digests.get(&(incoming.record_id.clone(), incoming.version)).copied() {
            if standing == incoming.content_digest {
                self.refuse(incoming, head, outcome::DUPLICATE, None);
            } else {
                self.refuse(incoming, head, outcome::CONFLICT, Some(&hex::encode(standing)));
                self.alarm(incoming, "conflict", "other content stands under this number");
            }
        } else if incoming.version <= head {
            self.refuse(incoming, head, outcome::CONFLICT, None);
            self.alarm(incoming, "conflict", "this number is taken");
        } else if incoming.version > head + 1 {
            self.gap(incoming, head);
        } else {
            self.next_version(incoming, head);
        }
    }

    fn next_version(&mut self, incoming: &IncomingRecord, head: u64) {
        let from = self.heads.get(&incoming.record_id).filter(|head| head.version > 0).and_then(state_of);
        let event = incoming.event.or_else(|| incoming.status.implied_event());
        let Some(event) = event else {
            return self.quarantine(incoming, head, reason::STEP_NOT_ALLOWED, "no event, and the status implies none");
        };
        let stepped = match step(from, event) {
            Err(StepRefused::NeedsConfirmation) if incoming.confirmed => match from {
                Some(from) => step_confirmed(from, incoming.status),
                None => Err(StepRefused::NeedsConfirmation),
            },
            Err(StepRefused::NeedsConfirmation) => return self.refuse(incoming, head, outcome::PENDING, None),
            other => other,
        };
        match stepped {
            Err(refused) => self.quarantine(incoming, head, reason::STEP_NOT_ALLOWED, &refused.to_string()),
            Ok(state) if !state.agrees_with(incoming.status) => {
                let detail =
                    format!("{event} leads to {}, the record says {}", state.status.as_str(), incoming.status.as_str());
                self.quarantine(incoming, head, reason::STATUS_EVENT_MISMATCH, &detail);
            }
            Ok(state) => self.index(incoming, event, state),
        }
    }

    fn index(&mut self, incoming: &IncomingRecord, event: Event, state: State) {
        let place = &incoming.standing;
        self.digests.insert((incoming.record_id.clone(), incoming.version), incoming.content_digest);
        self.rows.versions.push(VersionRow {
            record_id: incoming.record_id.clone(),
            version: incoming.version,
            record_type: incoming.record_type.clone(),
            department: incoming.department.clone(),
            event: event.as_str().into(),
            status: state.status.as_str().into(),
            frozen: state.frozen,
            suspended: state.suspended,
            valid_from: incoming.valid_from.clone(),
            valid_until: incoming.valid_until.clone(),
            iat: incoming.iat,
            accepted_at: incoming.accepted_at,
            kid: incoming.kid.clone(),
            submission_id: incoming.submission_id,
            content_digest: incoming.content_digest,
            substance_digest: incoming.substance_digest,
            erased: false,
            partition: place.partition.clone(),
            offset: place.offset,
            key: place.key.clone(),
            entry_id: place.entry_id,
            envelope: place.envelope.clone(),
        });
        self.rows.appends.push(incoming.append_row(true));
        let gap = self.heads.get(&incoming.record_id).and_then(|head| head.gap_version);
        self.set_head(HeadRow {
            record_id: incoming.record_id.clone(),
            record_type: incoming.record_type.clone(),
            department: incoming.department.clone(),
            version: incoming.version,
            status: state.status.as_str().into(),
            frozen: state.frozen,
            suspended: state.suspended,
            gap_version: gap.filter(|gap| *gap > incoming.version),
        });
        self.holders(incoming, event);
        let closed = (incoming.department.clone(), incoming.record_id.clone(), incoming.version);
        self.rows.closed_quarantine.push(closed);
        self.outcome(incoming, incoming.version - 1, outcome::INDEXED, None);
    }

    /// An event that takes away keeps the holders and identifiers of the last version that had any.
    fn holders(&mut self, incoming: &IncomingRecord, event: Event) {
        if event.takes_away() {
            return;
        }
        self.rows.ended_spans.push((incoming.record_id.clone(), incoming.version));
        let mut holders = incoming.holders.clone();
        holders.sort_unstable();
        holders.dedup();
        self.rows.holders.extend(holders.into_iter().map(|holder| HolderRow {
            record_id: incoming.record_id.clone(),
            record_type: incoming.record_type.clone(),
            holder,
            from_version: incoming.version,
        }));
        let mut identifiers = incoming.identifiers.clone();
        identifiers.sort_unstable();
        identifiers.dedup();
        self.rows.identifiers.extend(identifiers.into_iter().map(|identifier| IdentifierRow {
            record_id: incoming.record_id.clone(),
            record_type: incoming.record_type.clone(),
            identifier,
            from_version: incoming.version,
        }));
    }

    fn gap(&mut self, incoming: &IncomingRecord, head: u64) {
        if let Some(mut row) = self.heads.get(&incoming.record_id).cloned() {
            row.gap_version = row.gap_version.max(Some(incoming.version));
            self.set_head(row);
        }
        self.refuse(incoming, head, outcome::GAP, None);
    }

    fn set_head(&mut self, head: HeadRow) {
        self.heads.insert(head.record_id.clone(), head.clone());
        self.rows.heads.push(head);
    }

    fn refuse(&mut self, incoming: &IncomingRecord, head: u64, outcome: &str, reason: Option<&str>) {
        self.rows.appends.push(incoming.append_row(false));
        self.outcome(incoming, head, outcome, reason);
    }

    fn quarantine(&mut self, incoming: &IncomingRecord, head: u64, reason: &str, detail: &str) {
        let problem = serde_json::json!([{"pointer": "/event", "reason": reason, "en": detail}]);
        self.rows.quarantine.push(QuarantineRow {
            id: hex::encode(incoming.submission_id),
            department: incoming.department.clone(),
            sender: incoming.sender.clone(),
            record_type: incoming.record_type.clone(),
            record_id: incoming.record_id.clone(),
            version: incoming.version,
            at: incoming.accepted_at,
            stage: "apply".into(),
            problems: problem.to_string(),
            closed: false,
            partition: incoming.standing.partition.clone(),
            offset: incoming.standing.offset,
        });
        self.refuse(incoming, head, outcome::QUARANTINED, Some(reason));
    }

    fn outcome(&mut self, incoming: &IncomingRecord, head: u64, outcome: &str, reason: Option<&str>) {
        let row = OutcomeRow {
            submission_id: incoming.submission_id,
            outcome: outcome.into(),
            reason: reason.map(Into::into),
            record_id: incoming.record_id.clone(),
            version: incoming.version,
            head,
            partition: incoming.standing.partition.clone(),
            offset: incoming.standing.offset,
            at: incoming.accepted_at,
        };
        self.outcomes.insert(incoming.submission_id, row.clone());
        self.rows.outcomes.push(row);
    }

    fn alarm(&mut self, incoming: &IncomingRecord, alarm: &str, detail: &str) {
        self.rows.alarms.push(alarm_row(
            alarm,
            &incoming.standing.partition,
            incoming.standing.offset,
            incoming.accepted_at,
            detail,
        ));
    }

    /// An entry of the quarantine topic: a submission that was refused at the door.
    pub fn refused(&mut self, row: QuarantineRow, submission: SubmissionId, first_reason: &str, append: AppendRow) {
        if let Entry::Vacant(place) = self.outcomes.entry(submission) {
            let outcome = OutcomeRow {
                submission_id: submission,
                outcome: outcome::QUARANTINED.into(),
                reason: Some(first_reason.into()),
                record_id: row.record_id.clone(),
                version: row.version,
                head: 0,
                partition: row.partition.clone(),
                offset: row.offset,
                at: row.at,
            };
            place.insert(outcome.clone());
            self.rows.outcomes.push(outcome);
        }
        self.rows.quarantine.push(row);
        self.rows.appends.push(append);
    }

    /// An entry that did not come through the door: quarantined, alarmed, and otherwise without effect.
    pub fn foreign(&mut self, partition: &Partition, offset: u64, alarm: &str, why: &str) {
        let id = format!("{}/{}/{offset}", partition.topic, partition.number);
        let problem = serde_json::json!([{"pointer": "", "reason": alarm, "en": why}]);
        self.rows.quarantine.push(QuarantineRow {
            id,
            department: String::new(),
            sender: String::new(),
            record_type: String::new(),
            record_id: String::new(),
            version: 0,
            at: 0,
            stage: "foreign".into(),
            problems: problem.to_string(),
            closed: false,
            partition: partition.clone(),
            offset,
        });
        self.rows.alarms.push(alarm_row(alarm, partition, offset, 0, why));
    }
}

/// An alarm about an entry.
pub fn alarm_row(alarm: &str, partition: &Partition, offset: u64, at: Millis, detail: &str) -> AlarmRow {
    AlarmRow {
        id: format!("{alarm}/{}/{}/{offset}", partition.topic, partition.number),
        alarm: alarm.into(),
        at,
        partition: partition.clone(),
        offset,
        detail: detail.into(),
    }
}

/// The problems of a rejection as the index keeps them: pointer, reason, rule and the sentences; no value of the record.
pub fn problems_json(problems: &[Problem]) -> String {
    serde_json::to_string(problems).unwrap_or_else(|_| "[]".into())
}

fn state_of(head: &HeadRow) -> Option<State> {
    let status = head.status.parse().ok()?;
    Some(State { status, frozen: head.frozen, suspended: head.suspended })
}
