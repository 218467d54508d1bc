//! The topics that were ensured, and where each of their partitions ends.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use sqlx::{Row, SqliteConnection};
use tokio::sync::watch;

use super::failure::{Failure, Stage};
use crate::log::{Partition, Topic};

/// One topic, as stored.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) id: i64,
    pub(super) compacted: bool,
    /// Per partition, the next offset as of the last commit. Only the writer sends.
    ends: Vec<watch::Sender<u64>>,
}

/// One partition, as stored.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) topic: Arc<TopicState>,
    pub(super) number: u32,
}

impl Place {
    pub(super) fn end(&self) -> &watch::Sender<u64> {
        // Indexing is safe: `Topics::place` is the only maker and checks the number.
        &self.topic.ends[self.number as usize]
    }

    pub(super) fn committed_end(&self) -> u64 {
        *self.end().borrow()
    }
}

/// All of them. The lock is held for a look-up only.
#[derive(Debug, Default)]
pub(super) struct Topics(RwLock<HashMap<Topic, Arc<TopicState>>>);

impl Topics {
    pub(super) fn get(&self, topic: &Topic) -> Option<Arc<TopicState>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    pub(super) fn partitions(&self, topic: &Topic) -> u32 {
        self.get(topic).map_or(0, |state| u32::try_from(state.ends.len()).unwrap_or(u32::MAX))
    }

    /// The partition, or why there is none.
    pub(super) fn place(&self, partition: &Partition) -> Result<Place, String> {
        match self.get(&partition.topic) {
            None => Err(format!("topic {} was not ensured", partition.topic)),
            Some(topic) if (partition.number as usize) < topic.ends.len() => {
                Ok(Place { topic, number: partition.number })
            }
            Some(topic) => Err(format!("topic {} has {} partitions", partition.topic, topic.ends.len())),
        }
    }

    /// The first state given stays, so that readers never wait on one that nobody sends to.
    pub(super) fn add(&self, topic: Topic, state: TopicState) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(topic).or_insert_with(|| Arc::new(state));
    }
}

/// Why a topic could not be ensured.
#[derive(Debug)]
pub(super) enum EnsureError {
    /// It stands with other settings.
    Differs(String),
    /// The database failed.
    Database(Failure),
}

impl From<sqlx::Error> for EnsureError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Failure::of(error, Stage::BeforeCommit))
    }
}

/// Reads the topic, making it first where it does not stand. After an error the transaction may still be open.
pub(super) async fn ensure(
    connection: &mut SqliteConnection,
    topic: &Topic,
    partitions: u32,
) -> Result<TopicState, EnsureError> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let state = ensure_within(connection, topic, partitions).await?;
    match sqlx::query("COMMIT").execute(connection).await {
        Ok(_) => Ok(state),
        Err(error) => Err(EnsureError::Database(Failure::of(error, Stage::Commit))),
    }
}

async fn ensure_within(
    connection: &mut SqliteConnection,
    topic: &Topic,
    partitions: u32,
) -> Result<TopicState, EnsureError> {
    sqlx::query(MAKE_TOPIC)
        .bind(topic.name())
        .bind(partitions)
        .bind(topic.compacted())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("-- log_topic\nSELECT id, partitions, compacted FROM topics WHERE name = ?1")
        .bind(topic.name())
        .fetch_one(&mut *connection)
        .await?;
    let (id, stored, compacted) = (row.try_get::<i64, _>(0)?, row.try_get::<u32, _>(1)?, row.try_get::<bool, _>(2)?);
    if stored != partitions {
        return Err(EnsureError::Differs(format!(
            "topic {topic} has {stored} partitions, configured are {partitions}"
        )));
    }
    if compacted != topic.compacted() {
        return Err(EnsureError::Differs(format!("topic {topic} was made with compaction {compacted}")));
    }
    for number in 0..partitions {
        sqlx::query(MAKE_PARTITION).bind(id).bind(number).execute(&mut *connection).await?;
    }
    let ends = sqlx::query_scalar::<_, i64>(ENDS).bind(id).fetch_all(connection).await?;
    Ok(TopicState {
        id,
        compacted,
        ends: ends.into_iter().map(|end| watch::Sender::new(end.cast_unsigned())).collect(),
    })
}

const MAKE_TOPIC: &str = "-- log_make_topic
INSERT INTO topics (name, partitions, compacted) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const MAKE_PARTITION: &str = "-- log_make_partition
INSERT INTO partitions (topic, number, next_offset) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING";
const ENDS: &str = "-- log_ends
SELECT next_offset FROM partitions WHERE topic = ?1 ORDER BY number";
