//! One step of following a partition: entries are read and opened, decided on ([`crate::apply`]), committed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Error, Follower, erased};
use crate::{
    apply::Working,
    decode::{self, Incoming},
    index::{
        Advance, Known,
        rows::{AppendRow, PositionRow, RecentEntry, Rows, Stub},
    },
    log::{Entry, Partition, ReadLimit, Topic},
    registry::{Registry, event::Erasure},
};

/// How many of the last entries a position remembers.
const RECENT: usize = 64;
/// Where so many entries came at once there are more behind them.
pub(super) const MUCH: usize = 100;

/// Entries that were read and opened, and wait for their turn to be applied.
#[derive(Debug)]
pub(crate) struct Batch {
    from: u64,
    to: u64,
    entries: Arc<Vec<Entry>>,
    incoming: Vec<Incoming>,
}

impl Follower {
    /// Takes the next entries, applies and commits them. Returns how many there were. Meanwhile the ones behind them are read into
    /// `ahead`, which the next step takes up if it begins there.
    pub(crate) async fn advance(
        &self,
        position: &mut PositionRow,
        wait: Duration,
        ahead: &mut Option<Batch>,
    ) -> Result<usize, Error> {
        let partition = position.partition.clone();
        let batch = match ahead.take().filter(|batch| batch.from == position.next) {
            Some(batch) => batch,
            None => match self.read(&partition, position.next, wait).await? {
                Some(batch) => batch,
                None => return Ok(0),
            },
        };
        let (count, to) = (batch.entries.len(), batch.to);
        let behind = async {
            if count < MUCH {
                return None;
            }
            // Why it failed is said when the next step tries again.
            self.read(&partition, to, Duration::ZERO).await.ok().flatten()
        };
        let (committed, behind) = tokio::join!(self.commit(position, batch), behind);
        committed?;
        *ahead = behind;
        Ok(count)
    }

    /// Reads and opens what stands from an offset on; `None` where nothing came in time.
    async fn read(&self, partition: &Partition, from: u64, wait: Duration) -> Result<Option<Batch>, Error> {
        let entries = self.log.read(partition, from, ReadLimit::default(), wait).await?;
        let Some(last) = entries.last() else {
            return Ok(None);
        };
        let to = last.offset + 1;
        if partition.topic.compacted() && to - from > entries.len() as u64 {
            // Compaction emptied offsets since: the erasures that allowed it are in the log before now.
            self.registry.confirm().await;
        }
        self.await_registry(partition, &entries).await?;
        let entries = Arc::new(entries);
        let incoming = self.decode(partition, &entries, &self.registry.snapshot()).await?;
        Ok(Some(Batch { from, to, entries, incoming }))
    }

    async fn commit(&self, position: &mut PositionRow, batch: Batch) -> Result<(), Error> {
        let Batch { from, to, entries, incoming } = batch;
        let rows = self.apply(&position.partition, &entries, incoming).await?;
        let recent = remember(&position.recent, &entries);
        let advance = Advance { partition: position.partition.clone(), owner: self.owner.clone(), from, to, recent };
        self.index.commit(&advance, &rows).await?;
        for row in &rows.outcomes {
            self.metrics.count_outcomes(&row.outcome, 1);
        }
        position.next = to;
        position.recent = advance.recent;
        self.committed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Apply waits until its registry view has reached the positions marked in the envelopes.
    async fn await_registry(&self, partition: &Partition, entries: &[Entry]) -> Result<(), Error> {
        if partition.topic == Topic::Registry {
            self.registry.reach_unless_lacking(entries.last().map_or(0, |last| last.offset + 1)).await;
            return Ok(());
        }
        let marked = entries.iter().filter_map(decode::marked_position).max().unwrap_or(0);
        if marked > self.registry.snapshot().position {
            // A mark beyond the registry's end was not made by a hub; its envelope will not open.
            let end = self.log.end(&Partition { topic: Topic::Registry, number: 0 }).await?;
            self.registry.reach(marked.min(end)).await;
        }
        Ok(())
    }

    async fn apply(&self, partition: &Partition, entries: &[Entry], incoming: Vec<Incoming>) -> Result<Rows, Error> {
        let registry = self.registry.snapshot();
        if let Some(newest) = incoming.iter().filter_map(Incoming::accepted_at).max() {
            self.metrics.observe_accepted(newest);
        }
        let queries: Vec<_> = incoming.iter().filter_map(Incoming::query).collect();
        let known = if queries.is_empty() { Known::default() } else { self.index.known(&queries).await? };
        let late = entries.iter().zip(&incoming);
        let late: Vec<_> = late.filter_map(|(entry, one)| erased::late(&registry, entry, one, &known)).collect();
        let mut working = Working::new(known);
        let erased = |record_id: &str, version: u64| registry.erasures.get(&(record_id.to_owned(), version)).cloned();
        let mut displaced = HashMap::new();
        for (entry, incoming) in entries.iter().zip(incoming) {
            if let Incoming::Foreign { .. } = &incoming
                && let Some(key) = entry.key.as_deref().filter(|_| partition.topic.compacted())
            {
                displaced.insert(key.to_owned(), entry.offset);
            }
            if let Incoming::Registry { event, .. } = &incoming
                && let Some(first) = registry.brought_by(&event.entity, event.revision)
                && first != entry.offset
                && self.holds_event(partition, first, event).await?
            {
                let why = "a registry event whose revision was there already: copied, or the second of two at once";
                working.foreign(partition, entry.offset, "foreign_entry", why);
            }
            take(&mut working, partition, entry, incoming, &erased);
        }
        if !displaced.is_empty() {
            self.append_displaced(partition, entries, &displaced).await?;
        }
        if !late.is_empty() {
            self.overwrite_erased(partition, &registry, late).await?;
        }
        Ok(working.into_rows())
    }

    /// Envelopes and seals cost processor time: they are opened beside the tasks that serve connections.
    async fn decode(
        &self,
        partition: &Partition,
        entries: &Arc<Vec<Entry>>,
        registry: &Arc<Registry>,
    ) -> Result<Vec<Incoming>, Error> {
        let (partition, entries) = (partition.clone(), Arc::clone(entries));
        let (registry, keys, admitted) = (Arc::clone(registry), Arc::clone(&self.keys), Arc::clone(&self.admitted));
        let decode_one = move |entry: &Entry| decode::decode(&partition, entry, &registry, &keys, &admitted);
        let decode_all = move || entries.iter().map(decode_one).collect::<Vec<_>>();
        tokio::task::spawn_blocking(decode_all).await.map_err(|error| Error::Decode(error.to_string()))
    }
}

fn take(
    working: &mut Working,
    partition: &Partition,
    entry: &Entry,
    incoming: Incoming,
    erased: &dyn Fn(&str, u64) -> Option<Erasure>,
) {
    match incoming {
        Incoming::Record(record) => working.record(&record, erased),
        Incoming::Again(again) => working.again(&again, erased),
        Incoming::Stub { stub, append } => {
            if matches!(partition.topic, Topic::Records(_)) {
                working.fill_erased(&stub.record_id, (partition, entry.offset), erased);
            }
            working.rows.stubs.push(Stub { record_id: stub.record_id, version: stub.version, append });
        }
        Incoming::Refused { row, submission, first_reason, append, .. } => {
            working.refused(row, submission, &first_reason, append)
        }
        Incoming::Ledger { row, append } => {
            working.rows.ledger.push(row);
            working.rows.appends.push(AppendRow { envelope: append.envelope, ..append });
        }
        Incoming::Registry { append, .. } => working.rows.appends.push(append),
        Incoming::Foreign { alarm, why } => working.foreign(partition, entry.offset, alarm, &why),
    }
}

/// The last 64 entries after these were read.
fn remember(recent: &[RecentEntry], entries: &[Entry]) -> Vec<RecentEntry> {
    let mut all = recent.to_vec();
    let newest = &entries[entries.len().saturating_sub(RECENT)..];
    all.extend(newest.iter().map(|entry| RecentEntry { offset: entry.offset, entry_id: entry.entry_id }));
    all.split_off(all.len().saturating_sub(RECENT))
}
