//! Follows the log into the index: per partition a lease, a loop that reads, decides ([`crate::apply`]) and commits, and a repair
//! when the log was cut off.
//!
//! - [`advance`]: one step: read, decide, commit
//! - [`repair`]: back to where index and log agree, and replay
//! - [`lost`]: what the log lost is appended again, or named
//! - [`displaced`]: what somebody wrote past the hub under our keys
//! - [`erased`]: text of an erased version that comes late is overwritten
//!
//! Nothing enters the index but from here. Which instance works a partition is a lease in its position row; the compare-and-set of
//! that row judges every commit, so a stale instance fails and nothing is written twice.

mod advance;
mod displaced;
mod erased;
mod lost;
mod repair;

pub(crate) use erased::stub_draft;
pub(crate) use repair::agrees;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use weft_proto::{Reason, Refusal};

use crate::{
    admitted::Admitted,
    clock::{Millis, SharedClock},
    index::{Error as IndexError, SharedIndex, rows::PositionRow},
    keys::Keys,
    log::{Error as LogError, Partition, SharedLog, Topic},
    metrics::Metrics,
    registry::RegistryView,
};

/// How long a lease lasts; it is renewed at a third of that.
pub const LEASE_MS: Millis = 10_000;
/// How long one read waits for an entry.
const READ_WAIT: Duration = Duration::from_millis(300);
/// Between two commits of a few looks.
const LEDGER_PAUSE: Duration = Duration::from_millis(50);
/// How often an idle partition is compared with the log.
const COMPARE_EVERY_MS: Millis = 1000;

/// Why following a partition stopped for a moment. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The log could not be appended to during a repair.
    #[error("re-append failed: {0}")]
    Append(#[from] crate::log::AppendError),
    /// Reading entries panicked: a defect of ours.
    #[error("entries could not be read: {0}")]
    Decode(String),
    /// Index and log disagree: the log was cut off behind this position.
    #[error("{0} was cut off")]
    Cut(Partition),
}

/// Works the partitions of one instance.
pub struct Follower {
    pub(crate) log: SharedLog,
    pub(crate) index: SharedIndex,
    pub(crate) registry: Arc<RegistryView>,
    pub(crate) keys: Arc<Keys>,
    admitted: Arc<Admitted>,
    pub(crate) clock: SharedClock,
    owner: String,
    metrics: Arc<Metrics>,
    /// Rises whenever this instance committed something: waiters for outcomes look again.
    committed: watch::Sender<u64>,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Follower {
    /// A follower for this instance, named `owner` in leases.
    #[allow(clippy::too_many_arguments, reason = "one place builds it, and each part is another room")]
    pub fn new(
        log: SharedLog,
        index: SharedIndex,
        registry: Arc<RegistryView>,
        keys: Arc<Keys>,
        admitted: Arc<Admitted>,
        clock: SharedClock,
        owner: String,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self { log, index, registry, keys, admitted, clock, owner, metrics, committed: watch::Sender::new(0) })
    }

    /// Rises whenever this instance committed something.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Works every partition of the fixed topics and of the registry's record types until `shutdown`; new types are taken up as
    /// they are registered. Gives its leases back at the end.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tasks = tokio::task::JoinSet::new();
        let mut worked = HashSet::new();
        let mut check = tokio::time::interval(Duration::from_millis(500));
        let mut standing = self.registry.standing();
        loop {
            for partition in self.partitions().await {
                if worked.insert(partition.clone()) {
                    tasks.spawn(Arc::clone(&self).work(partition, shutdown.clone()));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = check.tick() => {}
                // The registry is read: its record types are known now.
                Ok(()) = standing.changed() => {}
            }
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a follower task ended badly");
            }
        }
        if let Err(error) = self.index.release(&self.owner).await {
            tracing::warn!(%error, "leases were not given back");
        }
    }

    /// Waits until the index has followed a record type's topic to the end that the log confirms now.
    pub async fn catch_up(&self, record_type: &str) -> Result<(), Refusal> {
        let topic = Topic::Records(record_type.to_owned());
        for number in 0..self.log.partitions(&topic) {
            let partition = Partition { topic: topic.clone(), number };
            let end = self.log.end(&partition).await?;
            self.reach(&partition, end).await?;
        }
        Ok(())
    }

    async fn reach(&self, partition: &Partition, end: u64) -> Result<(), Refusal> {
        let mut committed = self.committed.subscribe();
        for _ in 0..300 {
            let row = self.index.position(partition).await?;
            if end == 0 || row.is_some_and(|row| row.current && row.next >= end) {
                return Ok(());
            }
            // Another instance may work this partition: then only the clock brings the next try.
            tokio::select! {
                _ = committed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        Err(Refusal::new(Reason::IndexUnavailable).detail("the index has not followed the log to its end"))
    }

    async fn partitions(&self) -> Vec<Partition> {
        let mut topics = crate::index::FIXED_TOPICS.to_vec();
        topics.extend(self.registry.snapshot().record_types().into_iter().map(Topic::Records));
        let mut partitions = Vec::new();
        for topic in topics {
            if self.log.partitions(&topic) == 0
                && let Err(error) = self.log.ensure(&topic).await
            {
                tracing::error!(%error, %topic, "topic cannot be used");
                continue;
            }
            let count = self.log.partitions(&topic);
            partitions.extend((0..count).map(|number| Partition { topic: topic.clone(), number }));
        }
        partitions
    }

    async fn work(self: Arc<Self>, partition: Partition, shutdown: CancellationToken) {
        loop {
            let result = tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.hold(&partition) => result,
            };
            match result {
                Ok(()) | Err(Error::Index(IndexError::Stale(_))) => {}
                Err(error) => tracing::warn!(%error, %partition, "partition cannot be followed, trying again"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }

    /// Takes the lease if it is free and works under it until it is lost.
    async fn hold(&self, partition: &Partition) -> Result<(), Error> {
        if partition.topic.compacted() {
            // What compaction emptied stands in the registry: the view must not be behind it.
            self.registry.confirm().await;
        }
        if !self.may_follow(partition) {
            return Ok(());
        }
        let Some(mut position) = self.lease(partition).await? else {
            return Ok(());
        };
        let mut ahead = None;
        let mut compared_at = Millis::MIN;
        let mut renewed_at = self.clock.boot();
        loop {
            if !self.may_follow(partition) {
                return Ok(());
            }
            let now = self.clock.boot();
            if now - renewed_at > LEASE_MS / 3 {
                match self.lease(partition).await? {
                    Some(row) => position = row,
                    None => return Ok(()),
                }
                renewed_at = now;
            }
            if now.saturating_sub(compared_at) > COMPARE_EVERY_MS {
                // What was read before the comparison is not vouched for by it.
                ahead = None;
                if !position.current || !repair::agrees(self.log.as_ref(), &position).await? {
                    self.repair(&mut position).await?;
                }
                compared_at = now;
            }
            match self.advance(&mut position, READ_WAIT, &mut ahead).await {
                // Looks come one by one, and nobody waits for their place in the index: a commit takes those of a while.
                Ok(1..advance::MUCH) if partition.topic == Topic::Ledger => tokio::time::sleep(LEDGER_PAUSE).await,
                Ok(_) => {}
                Err(Error::Log(LogError::PastEnd { .. })) => compared_at = Millis::MIN,
                // What was to be read next is gone: even where nothing is remembered to compare by.
                Err(Error::Log(LogError::BeforeStart { .. })) => (position.current, compared_at) = (false, Millis::MIN),
                Err(error) => return Err(error),
            }
        }
    }

    /// Entries are opened with keys that the registry brings: under a registry that lacks events they would pass for foreign. The
    /// registry's own topic is followed always, since it is made whole from here.
    fn may_follow(&self, partition: &Partition) -> bool {
        partition.topic == Topic::Registry || self.registry.is_whole()
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<PositionRow>, Error> {
        let now = self.clock.now();
        Ok(self.index.lease(partition, &self.owner, now, now + LEASE_MS).await?)
    }
}
