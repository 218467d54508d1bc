//! A log that takes its time with appends, or takes none at all. What is read goes through.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use weft_hub::{
    hub::Stores,
    log::{AppendError, Draft, Entry, Error, Log, Partition, ReadLimit, SharedLog, Topic},
};

/// How the log takes appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Healthy,
    /// Each after so long.
    Slow(Duration),
    /// Not at all: after so long, as its timeout, it says that it does not know.
    Dead(Duration),
}

/// A log whose appends stall.
#[derive(Debug)]
pub struct Stalled {
    inner: SharedLog,
    pace: watch::Sender<Pace>,
}

impl Stalled {
    /// Over another log; healthy.
    #[must_use]
    pub fn new(inner: SharedLog) -> Arc<Self> {
        Arc::new(Self { inner, pace: watch::Sender::new(Pace::Healthy) })
    }

    /// The same stores with this log in front.
    #[must_use]
    pub fn before(self: &Arc<Self>, stores: &Stores) -> Stores {
        Stores { log: Arc::<Self>::clone(self), ..stores.clone() }
    }

    /// From now on appends go like this.
    pub fn set(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }
}

#[async_trait::async_trait]
impl Log for Stalled {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        self.inner.ensure(topic).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        let pace = *self.pace.borrow();
        match pace {
            Pace::Healthy => {}
            Pace::Slow(wait) => tokio::time::sleep(wait).await,
            Pace::Dead(timeout) => {
                tokio::time::sleep(timeout).await;
                return drafts.iter().map(|_| Err(AppendError::Unknown("no answer in time".into()))).collect();
            }
        }
        self.inner.append(drafts).await
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        self.inner.read(partition, from, limit, wait).await
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        self.inner.end(partition).await
    }
}
