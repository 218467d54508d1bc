//! Versions that were erased. One that was compacted away stands up from the registry's erasure event, which carries all that replay
//! needs, so that no record ever has a hole; one that is handed in again brings nothing of its text back.

use bytes::Bytes;
use weft_record::status::Event;

use super::{Standing, Working, alarm_row, outcome};
use crate::{
    clock::Millis,
    index::rows::{AppendRow, HeadRow, OutcomeRow, SubmissionId, VersionRow},
    log::{EntryId, Partition},
    registry::event::Erasure,
};

/// An erased version that was handed in again, as it is read from the log.
#[derive(Clone, Debug)]
pub struct Again {
    /// Where it stands. Its envelope holds nothing of the text.
    pub standing: Standing,
    /// SHA-256 of the sealed bytes that were handed in.
    pub submission_id: SubmissionId,
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// Of what was handed in.
    pub content_digest: [u8; 32],
    /// Time of acceptance.
    pub accepted_at: Millis,
}

impl Working {
    /// Applies an erased version that was handed in again: a duplicate, or a conflict.
    pub fn again(&mut self, again: &Again, erased: &dyn Fn(&str, u64) -> Option<Erasure>) {
        let Again { standing, submission_id, record_id, version, .. } = again;
        let (partition, offset) = (&standing.partition, standing.offset);
        self.fill_erased(record_id, (partition, offset), erased);
        self.rows.appends.push(AppendRow {
            partition: partition.clone(),
            offset,
            key: standing.key.clone(),
            entry_id: standing.entry_id,
            submission_id: Some(*submission_id),
            record_id: Some(record_id.clone()),
            version: Some(*version),
            envelope: Some(standing.envelope.clone()),
        });
        if self.outcomes.get(submission_id).is_some_and(|row| row.partition.topic == partition.topic) {
            return;
        }
        let digest = self.digests.get(&(record_id.clone(), *version));
        let same = digest == Some(&again.content_digest);
        let row = OutcomeRow {
            submission_id: *submission_id,
            outcome: if same { outcome::DUPLICATE } else { outcome::CONFLICT }.into(),
            reason: digest.filter(|_| !same).map(hex::encode),
            record_id: record_id.clone(),
            version: *version,
            head: self.heads.get(record_id).map_or(0, |head| head.version),
            partition: partition.clone(),
            offset,
            at: again.accepted_at,
        };
        if !same {
            let detail = "other content was handed in under the number of an erased version";
            self.rows.alarms.push(alarm_row("conflict", partition, offset, again.accepted_at, detail));
        }
        self.outcomes.insert(*submission_id, row.clone());
        self.rows.outcomes.push(row);
    }

    /// Versions that stood before `offset`, were erased and then compacted away, stand up from the registry's word: so what follows is
    /// judged against the same head as when they were still there.
    pub fn fill_erased(
        &mut self,
        record_id: &str,
        (partition, offset): (&Partition, u64),
        erased: &dyn Fn(&str, u64) -> Option<Erasure>,
    ) {
        loop {
            let head = self.heads.get(record_id).map_or(0, |head| head.version);
            match erased(record_id, head + 1) {
                Some(erasure) if erasure.offset < offset && self.stand_up(&erasure, partition) => {}
                _ => return,
            }
        }
    }

    /// Whether the version was not there and is now. Its stub brings its place when it comes.
    fn stand_up(&mut self, erasure: &Erasure, partition: &Partition) -> bool {
        let Some((content_digest, substance_digest, submission_id)) = erasure.digests() else {
            return false;
        };
        if self.digests.contains_key(&(erasure.record_id.clone(), erasure.version)) {
            return false;
        }
        self.digests.insert((erasure.record_id.clone(), erasure.version), content_digest);
        self.rows.versions.push(VersionRow {
            record_id: erasure.record_id.clone(),
            version: erasure.version,
            record_type: erasure.record_type.clone(),
            department: erasure.department.clone(),
            event: erasure.event.clone(),
            status: erasure.status.clone(),
            frozen: erasure.frozen,
            suspended: erasure.suspended,
            valid_from: None,
            valid_until: None,
            iat: erasure.iat,
            accepted_at: erasure.accepted_at,
            kid: erasure.kid.clone(),
            submission_id,
            content_digest,
            substance_digest,
            erased: true,
            partition: partition.clone(),
            offset: erasure.offset,
            key: erasure.keys.first().cloned().unwrap_or_default(),
            entry_id: EntryId([0; 16]),
            envelope: Bytes::new(),
        });
        self.head_of_erased(erasure);
        // It had holders, if it did not take away: nobody knows them any more, but those before it ended with it.
        if !erasure.event.parse::<Event>().is_ok_and(Event::takes_away) {
            self.rows.ended_spans.push((erasure.record_id.clone(), erasure.version));
        }
        let closed = (erasure.department.clone(), erasure.record_id.clone(), erasure.version);
        self.rows.closed_quarantine.push(closed);
        let row = OutcomeRow {
            submission_id,
            outcome: outcome::INDEXED.into(),
            reason: None,
            record_id: erasure.record_id.clone(),
            version: erasure.version,
            head: erasure.version - 1,
            partition: partition.clone(),
            offset: erasure.offset,
            at: erasure.accepted_at,
        };
        self.outcomes.insert(submission_id, row.clone());
        self.rows.outcomes.push(row);
        true
    }

    fn head_of_erased(&mut self, erasure: &Erasure) {
        let gap = self.heads.get(&erasure.record_id).and_then(|head| head.gap_version);
        self.set_head(HeadRow {
            record_id: erasure.record_id.clone(),
            record_type: erasure.record_type.clone(),
            department: erasure.department.clone(),
            version: erasure.version,
            status: erasure.status.clone(),
            frozen: erasure.frozen,
            suspended: erasure.suspended,
            gap_version: gap.filter(|gap| *gap > erasure.version),
        });
    }
}
