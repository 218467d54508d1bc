//! Somebody wrote past the hub under keys of ours: compaction would take our entries away, so they are appended again.

use std::collections::{HashMap, HashSet};

use super::{Error, Follower};
use crate::{
    index::rows::AppendRow,
    log::{Draft, Entry, Partition},
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
        let first = displaced.values().copied().min().unwrap_or(0);
        let mut held = HashSet::new();
        self.each_of_ours(partition, first, |row| {
            if displaced.get(&row.key).is_some_and(|offset| row.offset > *offset) {
                held.insert(row.key);
            }
        })
        .await?;
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
        let (Some(record_id), Some(Ok(version))) = (parts.next(), parts.next().map(str::parse)) else {
            return Ok(None);
        };
        let appends = self.index.appends_of(record_id, version).await?;
        Ok(appends.into_iter().rev().find(|row| row.key == key && row.partition == *partition))
    }
}
