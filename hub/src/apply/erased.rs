//! Versions that were erased and compacted away: the registry's erasure event carries all that replay needs, so that no record
//! ever has a hole.

use bytes::Bytes;

use super::{IncomingRecord, Working, outcome};
use crate::{
    index::rows::{HeadRow, OutcomeRow, VersionRow},
    log::{EntryId, Partition},
    registry::event::Erasure,
};

impl Working {
    /// Versions before this one that were erased and compacted away stand in the registry with all that replay needs.
    pub(super) fn fill_erased(&mut self, incoming: &IncomingRecord, erased: &dyn Fn(&str, u64) -> Option<Erasure>) {
        loop {
            let head = self.heads.get(&incoming.record_id).map_or(0, |head| head.version);
            if head + 1 >= incoming.version {
                return;
            }
            match erased(&incoming.record_id, head + 1) {
                Some(erasure) => self.erased_version(&erasure, &incoming.standing.partition),
                None => return,
            }
        }
    }

    /// Stands an erased version up from the registry's word. Its stub brings its place when it comes.
    pub fn erased_version(&mut self, erasure: &Erasure, partition: &Partition) {
        let Some((content_digest, substance_digest, submission_id)) = erasure.digests() else {
            return;
        };
        if self.digests.contains_key(&(erasure.record_id.clone(), erasure.version)) {
            return;
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
        self.set_head(HeadRow {
            record_id: erasure.record_id.clone(),
            record_type: erasure.record_type.clone(),
            department: erasure.department.clone(),
            version: erasure.version,
            status: erasure.status.clone(),
            frozen: erasure.frozen,
            suspended: erasure.suspended,
            gap_version: None,
        });
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
    }
}
