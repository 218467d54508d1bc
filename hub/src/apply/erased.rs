//! Versions that were erased and compacted away: the registry's erasure event carries all that replay needs, so that no record
//! ever has a hole.

use bytes::Bytes;
use weft_record::status::Event;

use super::{Working, outcome};
use crate::{
    index::rows::{HeadRow, OutcomeRow, VersionRow},
    log::{EntryId, Partition},
    registry::event::Erasure,
};

impl Working {
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
