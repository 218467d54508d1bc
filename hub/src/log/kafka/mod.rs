//! The served log: Apache Kafka, for several hub instances.
//!
//! `config` says how clients are set, `topics` how topics have to be, `producer` appends, `reader` reads.
//!
//! Why it can be relied on: an append is answered when every copy in sync has it (`acks=all`, of three at least two), or,
//! with a single broker, when it is on the disk (`flush.messages=1`). The producer is idempotent, so that its own retries
//! store nothing twice. No Kafka transactions, no consumer group, no commits: positions are the index's.

mod config;
mod producer;
mod reader;
mod topics;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{admin::AdminClient, config::FromClientConfigAndContext};

pub use self::config::{Config, ConnectError, Security};
use self::{
    config::Context,
    producer::Producer,
    reader::Readers,
    topics::{Ensured, full_name},
};
use super::{AppendError, Draft, Entry, Error, Log, Partition, ReadLimit, Topic};

/// The log on Kafka.
pub struct KafkaLog {
    config: Config,
    ensured: Ensured,
    admin: Arc<AdminClient<Context>>,
    producer: Producer,
    readers: Readers,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Checks the settings and makes the clients, which connect by themselves; that no broker answers shows at
    /// [`Log::ensure`]. Has to be called on a tokio runtime.
    pub fn connect(config: Config) -> Result<Self, ConnectError> {
        config.check()?;
        Ok(Self {
            ensured: Ensured::default(),
            admin: Arc::new(AdminClient::from_config_and_context(&config.admin()?, Context)?),
            producer: Producer::new(&config)?,
            readers: Readers::new(&config)?,
            config,
        })
    }

    /// What about a topic breaks a promise; `None` where it does not stand. Makes and changes nothing.
    pub async fn look_at(&self, topic: &Topic) -> Result<Option<Vec<String>>, Error> {
        topics::look_at(&self.admin, &self.config, topic).await
    }

    fn check(&self, partition: &Partition) -> Result<(), Error> {
        self.ensured.check(partition).map_err(Error::Unavailable)
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.ensured.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        if self.ensured.partitions(topic) == 0 {
            let partitions = topics::ensure(&self.admin, &self.config, topic).await?;
            self.ensured.add(topic.clone(), partitions);
        }
        Ok(())
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        self.producer.append(&self.config, &self.ensured, drafts).await
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        self.check(partition)?;
        self.readers.read(&self.config, partition, from, limit, wait).await
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        self.check(partition)?;
        let (_, end) = self.readers.ends(&full_name(&self.config, &partition.topic), partition).await?;
        Ok(end)
    }
}
