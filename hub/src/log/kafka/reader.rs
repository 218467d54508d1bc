//! Reading: consumers that are told where to stand, kept where they came to, so that reading on costs no new start.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::{ClientConfig, FromClientConfigAndContext},
    consumer::{BaseConsumer, Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::RDKafkaErrorCode,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    config::{Config, ConnectError, Context},
    producer::ENTRY_ID,
    topics::full_name,
};
use crate::log::{Entry, EntryId, Error, Partition, ReadLimit};

/// For one question about an end.
const ASK: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long what surely stands may take to arrive.
const ARRIVE: Duration = Duration::from_secs(10);
/// Cursors kept per partition, and for how long unused: one for each that follows it, and one that is led to where something is to
/// be looked up.
const KEPT: usize = 3;
const KEPT_FOR: Duration = Duration::from_secs(60);

pub(super) struct Readers {
    /// Asks for ends. The lock is held for taking or replacing it only.
    asker: Mutex<Arc<BaseConsumer<Context>>>,
    asking: ClientConfig,
    settings: ClientConfig,
    /// Cursors that nobody uses at the moment. The lock is held for a look-up only.
    idle: Mutex<HashMap<Partition, Vec<Cursor>>>,
}

impl Readers {
    pub(super) fn new(config: &Config) -> Result<Self, ConnectError> {
        let asking = config.asker()?;
        let asker = Mutex::new(Arc::new(BaseConsumer::from_config_and_context(&asking, Context)?));
        Ok(Self { asker, asking, settings: config.consumer()?, idle: Mutex::default() })
    }

    pub(super) async fn read(
        &self,
        config: &Config,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        let name = full_name(config, &partition.topic);
        let Ok(position) = i64::try_from(from) else {
            return Err(self.past_end(&name, partition, from).await?);
        };
        let mut cursor = match self.take(partition, from) {
            Some(cursor) if cursor.position == from => cursor,
            Some(mut cursor) => {
                cursor.stand_at(&name, partition, position)?;
                cursor
            }
            None => Cursor::open(&self.settings, &name, partition, position)?,
        };
        let Some(first) = self.first(&name, partition, &mut cursor, wait).await? else {
            self.put_back(partition, cursor);
            return Ok(Vec::new());
        };
        let entries = cursor.fill(first, limit);
        self.put_back(partition, cursor);
        Ok(entries)
    }

    /// The first entry at or behind the cursor's position. That there is none is said only after the brokers were asked.
    async fn first(
        &self,
        name: &str,
        partition: &Partition,
        cursor: &mut Cursor,
        wait: Duration,
    ) -> Result<Option<Entry>, Error> {
        let from = cursor.position;
        if let Ok(next) = timeout_at(Instant::now() + wait, cursor.next()).await {
            return self.entry_or_reason(name, partition, from, next).await;
        }
        let (_, end) = self.ends(name, partition).await?;
        if from > end {
            return Err(Error::PastEnd { from, end });
        }
        if from == end {
            return Ok(None);
        }
        match timeout_at(Instant::now() + ARRIVE, cursor.next()).await {
            Ok(next) => self.entry_or_reason(name, partition, from, next).await,
            Err(_) => Err(Error::Unavailable(format!("entries of {partition} up to {end} do not arrive"))),
        }
    }

    async fn entry_or_reason(
        &self,
        name: &str,
        partition: &Partition,
        from: u64,
        next: Result<Entry, KafkaError>,
    ) -> Result<Option<Entry>, Error> {
        let error = match next {
            Ok(entry) => return Ok(Some(entry)),
            Err(error) => error,
        };
        match self.ends(name, partition).await? {
            (_, end) if from > end => Err(Error::PastEnd { from, end }),
            (start, _) if from < start => Err(Error::BeforeStart { from, start }),
            _ => Err(Error::Unavailable(error.to_string())),
        }
    }

    async fn past_end(&self, name: &str, partition: &Partition, from: u64) -> Result<Error, Error> {
        let (_, end) = self.ends(name, partition).await?;
        Ok(Error::PastEnd { from, end })
    }

    /// The first kept offset and the next to be written, asked of the partition's leader.
    pub(super) async fn ends(&self, name: &str, partition: &Partition) -> Result<(u64, u64), Error> {
        let deadline = Instant::now() + ASK;
        let mut asker = self.asker();
        let mut renewed = false;
        loop {
            match ask_ends(&asker, name, number_of(partition)?).await {
                // The leader has just changed, or has not yet heard that it is one.
                Err(error) if heals(&error) && Instant::now() + ASK_AGAIN < deadline => sleep(ASK_AGAIN).await,
                // A broker that was in trouble can leave a client with a wrong belief about the partition, which it keeps for
                // long after the broker has recovered. A new client has none.
                Err(error) => {
                    tracing::debug!(%error, %partition, "asking with a new client");
                    let fresh = self.renew(&asker)?;
                    close_aside(std::mem::replace(&mut asker, fresh));
                    if renewed || heals(&error) {
                        return Err(unavailable(error));
                    }
                    renewed = true;
                }
                Ok((start, end)) => {
                    return match (u64::try_from(start), u64::try_from(end)) {
                        (Ok(start), Ok(end)) => Ok((start, end)),
                        _ => Err(Error::Unavailable(format!("the broker named no end of {partition}"))),
                    };
                }
            }
        }
    }

    fn asker(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.asker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The asker in place of `failed`: another caller may have replaced it already.
    fn renew(&self, failed: &Arc<BaseConsumer<Context>>) -> Result<Arc<BaseConsumer<Context>>, Error> {
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&asker, failed) {
            let fresh = BaseConsumer::from_config_and_context(&self.asking, Context).map_err(unavailable)?;
            *asker = Arc::new(fresh);
        }
        Ok(Arc::clone(&asker))
    }

    /// A cursor that stands there; or, where another one is left for whoever reads on, the one that was not used for longest: to
    /// start a consumer costs more than to lead one elsewhere.
    fn take(&self, partition: &Partition, from: u64) -> Option<Cursor> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let cursors = idle.get_mut(partition)?;
        let standing = cursors.iter().position(|cursor| cursor.position == from);
        let unused = || (0..cursors.len()).min_by_key(|at| cursors[*at].used).filter(|_| cursors.len() > 1);
        let at = standing.or_else(unused)?;
        Some(cursors.swap_remove(at))
    }

    fn put_back(&self, partition: &Partition, mut cursor: Cursor) {
        let now = Instant::now();
        cursor.used = now;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for cursors in idle.values_mut() {
            cursors.retain(|cursor| now < cursor.used + KEPT_FOR);
        }
        let cursors = idle.entry(partition.clone()).or_default();
        cursors.push(cursor);
        if cursors.len() > KEPT
            && let Some(oldest) = (0..cursors.len()).min_by_key(|at| cursors[*at].used)
        {
            cursors.swap_remove(oldest);
        }
    }
}

/// One consumer that stands in one partition.
struct Cursor {
    /// `None` only while it is dropped.
    consumer: Option<StreamConsumer<Context>>,
    /// The offset behind the last entry given out.
    position: u64,
    /// Taken from the consumer, but not given out for lack of room.
    pending: Option<Entry>,
    used: Instant,
}

impl Cursor {
    fn open(settings: &ClientConfig, name: &str, partition: &Partition, position: i64) -> Result<Self, Error> {
        let consumer = StreamConsumer::from_config_and_context(settings, Context).map_err(unavailable)?;
        let mut cursor = Self { consumer: Some(consumer), position: 0, pending: None, used: Instant::now() };
        cursor.stand_at(name, partition, position)?;
        Ok(cursor)
    }

    /// Leads the consumer there. What it had fetched elsewhere is never given out: librdkafka drops what an earlier assignment
    /// brought.
    fn stand_at(&mut self, name: &str, partition: &Partition, position: i64) -> Result<(), Error> {
        let consumer = self.consumer.as_ref().ok_or_else(|| unavailable(KafkaError::Canceled))?;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(name, number_of(partition)?, Offset::Offset(position))
            .and_then(|()| consumer.assign(&assignment))
            .map_err(unavailable)?;
        (self.position, self.pending) = (position.cast_unsigned(), None);
        Ok(())
    }

    /// The next entry, waiting for it; what heals by itself is waited out. May be dropped while it waits.
    async fn next(&mut self) -> Result<Entry, KafkaError> {
        if let Some(entry) = self.pending.take() {
            return Ok(entry);
        }
        let consumer = self.consumer.as_ref().ok_or(KafkaError::Canceled)?;
        loop {
            match consumer.recv().await {
                Ok(message) => {
                    let entry = entry(&message);
                    if entry.offset >= self.position {
                        return Ok(entry);
                    }
                }
                Err(error) if heals(&error) => tracing::debug!(%error, "kafka consumer"),
                Err(error) => return Err(error),
            }
        }
    }

    /// The first and what lies ready behind it, within the limit. An error met there shows at the next read.
    fn fill(&mut self, first: Entry, limit: ReadLimit) -> Vec<Entry> {
        let size = |entry: &Entry| entry.value.as_ref().map_or(0, Bytes::len);
        let mut bytes = size(&first);
        self.position = first.offset + 1;
        let mut entries = vec![first];
        while entries.len() < limit.entries && bytes < limit.bytes {
            let Some(Ok(entry)) = self.next().now_or_never() else { break };
            bytes += size(&entry);
            if bytes > limit.bytes {
                self.pending = Some(entry);
                break;
            }
            self.position = entry.offset + 1;
            entries.push(entry);
        }
        entries
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        close_aside(self.consumer.take());
    }
}

/// Closing a client waits for its threads: not on a thread that serves others.
fn close_aside(client: impl Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(move || drop(client));
    }
}

async fn ask_ends(asker: &Arc<BaseConsumer<Context>>, name: &str, number: i32) -> Result<(i64, i64), KafkaError> {
    let (asker, name) = (Arc::clone(asker), name.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let answer = asker.fetch_watermarks(&name, number, ASK);
        // Serves the client's own events, which would pile up otherwise; it is assigned nothing, so brings nothing.
        while asker.poll(Duration::ZERO).is_some() {}
        answer
    });
    asked.await.unwrap_or(Err(KafkaError::Canceled))
}

fn entry(message: &BorrowedMessage<'_>) -> Entry {
    let mut entry_id = None;
    let mut headers = Vec::new();
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let Some(value) = header.value.and_then(|value| std::str::from_utf8(value).ok()) else { continue };
        if header.key == ENTRY_ID {
            entry_id = entry_id.or_else(|| EntryId::parse(value));
        } else {
            headers.push((header.key.to_owned(), value.to_owned()));
        }
    }
    Entry {
        offset: message.offset().cast_unsigned(),
        key: message.key().and_then(|key| std::str::from_utf8(key).ok()).map(Into::into),
        entry_id,
        headers,
        value: message.payload().map(Bytes::copy_from_slice),
    }
}

/// Whether the consumer goes on by itself after this error.
fn heals(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress, CoordinatorNotAvailable,
        GroupAuthorizationFailed, LeaderNotAvailable, NotCoordinator, NotLeaderForPartition, OperationTimedOut,
        ReplicaNotAvailable, RequestTimedOut, Resolve,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AllBrokersDown
                | BrokerNotAvailable
                | BrokerTransportFailure
                | LeaderNotAvailable
                | NotLeaderForPartition
                | OperationTimedOut
                | ReplicaNotAvailable
                | RequestTimedOut
                | Resolve
                // Of the group that nobody joins.
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | GroupAuthorizationFailed
                | NotCoordinator
        )
    )
}

fn number_of(partition: &Partition) -> Result<i32, Error> {
    i32::try_from(partition.number).map_err(|_| Error::Unavailable(format!("there is no partition {partition}")))
}

fn unavailable(error: KafkaError) -> Error {
    Error::Unavailable(error.to_string())
}
