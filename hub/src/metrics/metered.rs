//! A log that counts and times its appends.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::Metrics;
use crate::{
    clock::SharedClock,
    log::{AppendError, Draft, Entry, Error, Log, Partition, ReadLimit, SharedLog, Topic},
};

/// Wraps a log; all it does is the wrapped one's.
#[derive(Debug)]
pub struct Metered {
    log: SharedLog,
    metrics: Arc<Metrics>,
    clock: SharedClock,
}

impl Metered {
    /// A log whose appends are counted.
    pub fn wrap(log: SharedLog, metrics: Arc<Metrics>, clock: SharedClock) -> SharedLog {
        Arc::new(Self { log, metrics, clock })
    }
}

#[async_trait]
impl Log for Metered {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.log.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        self.log.ensure(topic).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        let topics: Vec<Topic> = drafts.iter().map(|draft| draft.partition.topic.clone()).collect();
        let began = Instant::now();
        let appended = self.log.append(drafts).await;
        let took = began.elapsed();
        let boot = self.clock.boot();
        for (topic, result) in topics.iter().zip(&appended) {
            self.metrics.observe_append(topic, took, result.is_ok(), boot);
        }
        appended
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        self.log.read(partition, from, limit, wait).await
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        self.log.end(partition).await
    }
}
