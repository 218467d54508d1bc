//! Somebody wrote past the hub under keys of ours: compaction would take our entries away, so they are appended again. That is so in the
//! topics of records and in quarantine; ledger and registry are not compacted, and what stands there stays beside the foreign entry.

use std::collections::{HashMap, HashSet};

use super::{Error, Follower};
use crate::{
    index::rows::AppendRow,
    log::{Draft, Entry, Partition, Topic},
};

impl Follower {
    /// `displaced`: under which key the foreign entry stands, and at which offset. What was appended again already is not once
    /// more: then this is a rebuild.
    pub(super) async fn append_displaced(
        &self,
        partition: &Partition,
        batch: &[Entry],
        displaced: &HashMap<String, u64>,
    ) -> Result<(), Error> {
        let held = self.held_since(partition, displaced).await?;
        let mut drafts: Vec<Draft> = Vec::new();
        for (key, offset) in displaced.iter().filter(|(key, _)| !held.contains(*key)) {
            let Some(ours) = self.ours_before(partition, batch, key, *offset).await? else {
                continue;
            };
            match self.draft_again(&ours) {
                Ok(draft) => drafts.extend(draft),
                Err(error) => {
                    tracing::error!(error, %partition, offset = ours.offset, "a displaced entry is not appended again");
                }
            }
        }
        self.append_all(drafts).await
    }

    /// Those of these keys under which an entry of ours stands behind the offset named.
    pub(super) async fn held_since(
        &self,
        partition: &Partition,
        places: &HashMap<String, u64>,
    ) -> Result<HashSet<String>, Error> {
        let first = places.values().copied().min().unwrap_or(0);
        let mut held = HashSet::new();
        self.each_of_ours(partition, first, |row| {
            if places.get(&row.key).is_some_and(|offset| row.offset > *offset) {
                held.insert(row.key);
            }
        })
        .await?;
        Ok(held)
    }

    /// Our newest entry under a key before an offset: from this batch, else from the index.
    async fn ours_before(
        &self,
        partition: &Partition,
        batch: &[Entry],
        key: &str,
        offset: u64,
    ) -> Result<Option<AppendRow>, Error> {
        let in_batch = batch.iter().rev().filter(|entry| entry.offset < offset && entry.key.as_deref() == Some(key));
        if let Some(row) = in_batch.filter_map(|entry| self.ours(partition, entry)).next() {
            return Ok(Some(row));
        }
        let mut parts = key.split('@');
        let appends = match (&partition.topic, parts.next(), parts.next().map(str::parse)) {
            (Topic::Quarantine, ..) => self.index.appends_in_quarantine(key).await?,
            (Topic::Records(_), Some(record_id), Some(Ok(version))) => {
                self.index.appends_of(record_id, version).await?
            }
            _ => return Ok(None),
        };
        Ok(appends.into_iter().rev().find(|row| row.key == key && row.partition == *partition))
    }
}
