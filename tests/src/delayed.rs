//! A log that lags: reads and ends of one topic come late at this instance. What is appended goes through at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use weft_hub::{
    hub::Stores,
    log::{AppendError, Draft, Entry, Error, Log, Partition, ReadLimit, SharedLog, Topic},
};

/// A log whose reads of one topic are held back.
#[derive(Debug)]
pub struct Delayed {
    inner: SharedLog,
    topic: Topic,
    delay_ms: AtomicU64,
    changed: Notify,
}

impl Delayed {
    /// Over another log; not late yet.
    #[must_use]
    pub fn new(inner: SharedLog, topic: Topic) -> Arc<Self> {
        Arc::new(Self { inner, topic, delay_ms: AtomicU64::new(0), changed: Notify::new() })
    }

    /// The same stores with this log in front.
    #[must_use]
    pub fn before(self: &Arc<Self>, stores: &Stores) -> Stores {
        Stores { log: Arc::<Self>::clone(self), ..stores.clone() }
    }

    /// From now on every read and end comes so late; what is held back already, too. Zero lets everything through.
    pub fn set(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).expect("a delay of milliseconds"), Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    async fn hold(&self, partition: &Partition) {
        if partition.topic != self.topic {
            return;
        }
        let since = tokio::time::Instant::now();
        loop {
            let changed = self.changed.notified();
            let delay = Duration::from_millis(self.delay_ms.load(Ordering::SeqCst));
            if tokio::time::timeout_at(since + delay, changed).await.is_err() {
                return;
            }
        }
    }
}

#[async_trait::async_trait]
impl Log for Delayed {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        self.inner.ensure(topic).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        self.inner.append(drafts).await
    }

    /// What the log said when it was asked, told late.
    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        let entries = self.inner.read(partition, from, limit, wait).await;
        self.hold(partition).await;
        entries
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        let end = self.inner.end(partition).await;
        self.hold(partition).await;
        end
    }
}
