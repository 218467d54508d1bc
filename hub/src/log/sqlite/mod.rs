//! The embedded log: one SQLite file in a directory that one process owns. For one hub on one machine.
//!
//! `directory` owns the folder, `queue` leads appends to the one `writer`, which stores them by `insert`, `checkpoint` keeps its
//! write-ahead log short, `topics` knows what was ensured, `failure` judges errors; reading is here, on connections of its own.

mod checkpoint;
mod directory;
mod failure;
mod insert;
mod queue;
mod topics;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::{sync::watch, time::Instant};

pub use self::directory::{in_use, network_file_system};
use self::{
    checkpoint::{Checkpoint, checkpoint},
    directory::Directory,
    queue::Queue,
    topics::{Place, Topics},
    writer::Writer,
};
use super::{AppendError, Draft, Entry, EntryId, Error, Log, Partition, ReadLimit, Topic};

/// How long a statement waits for a lock that another program holds, a backup for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;

/// Settings of the embedded log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Partitions of a records topic. Fixed for ever once the topic stands; the other topics have one.
    pub partitions: u32,
    /// How long an append may take before it is given up, in milliseconds.
    pub append_timeout_ms: u64,
    /// How many bytes may wait for the writer; past it callers wait for room, within their timeout.
    pub queue_bytes: u32,
    /// How many reads run at once.
    pub readers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { partitions: 1, append_timeout_ms: 10_000, queue_bytes: 64 << 20, readers: 4 }
    }
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("data directory {directory} is in use by another process", directory = directory.display())]
    InUse {
        /// The folder.
        directory: PathBuf,
    },
    /// Locks and shared memory do not hold there.
    #[error("data directory {directory} lies on a network file system ({kind}), a local one is needed", directory = directory.display())]
    NetworkFileSystem {
        /// The folder.
        directory: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// The folder cannot be used.
    #[error("data directory {directory}: {source}", directory = directory.display())]
    Io {
        /// The folder.
        directory: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error("log {file}: {source}", file = file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The database was made by another version.
    #[error("log {file} has form {found}, this program knows {SCHEMA_VERSION}", file = file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// Its form.
        found: i64,
    },
}

/// The log in a file. `Ok` from an append means: committed and synced to the disk.
#[derive(Debug)]
pub struct SqliteLog {
    topics: Arc<Topics>,
    queue: Queue,
    readers: SqlitePool,
    poisoned: watch::Receiver<bool>,
    partitions: u32,
}

impl SqliteLog {
    /// Opens the log in the directory, making both where they are missing. The directory is this process's own from now
    /// on; close the log before opening it again in the same process. Has to be called on a tokio runtime.
    pub async fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let owned = Directory::open(directory)?;
        let io_failed = |source| OpenError::Io { directory: directory.into(), source };
        owned.settle().map_err(io_failed)?;
        let file = owned.database();
        let failed = |source| OpenError::Database { file: file.clone(), source };

        let connect = connect_options(&file);
        let mut connection = SqliteConnection::connect_with(&connect).await.map_err(failed)?;
        let found = prepare(&mut connection).await.map_err(failed)?;
        if found != SCHEMA_VERSION {
            return Err(OpenError::Form { file, found });
        }
        checkpoint(&mut connection, Checkpoint::Empty).await.map_err(failed)?;
        owned.sync().map_err(io_failed)?;
        let page_bytes = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut connection).await.map_err(failed)?;

        // A row of a megabyte is nothing unusual: few are read ahead.
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(connect.read_only(true).create_if_missing(false).row_buffer_size(16));
        let (queue, jobs) = Queue::new(options.queue_bytes, Duration::from_millis(options.append_timeout_ms));
        let topics = Arc::new(Topics::default());
        let (poison, poisoned) = watch::channel(false);
        let poison = Arc::new(poison);
        let writer = Writer {
            connection,
            jobs,
            topics: topics.clone(),
            poisoned: poison.clone(),
            page_bytes,
            directory: owned,
            broken: None,
            uncopied: 0,
            empty_at: None,
        };
        tokio::spawn(watch_over(writer, poison));
        Ok(Self { topics, queue, readers, poisoned, partitions: options.partitions.max(1) })
    }

    /// Turns true when the disk failed in a way after which nothing more may be appended: the process has to exit, not 0,
    /// and start again.
    pub fn poisoned(&self) -> watch::Receiver<bool> {
        self.poisoned.clone()
    }

    /// Stores what was queued, then closes the file and gives up the directory. Every later call fails.
    pub async fn close(&self) -> Result<(), Error> {
        self.readers.close().await;
        self.queue.close().await
    }

    fn place(&self, partition: &Partition) -> Result<Place, Error> {
        self.topics.place(partition).map_err(Error::Unavailable)
    }

    /// The end as stored.
    async fn stored_end(&self, place: &Place) -> Result<u64, Error> {
        sqlx::query_scalar::<_, i64>("-- log_end\nSELECT next_offset FROM partitions WHERE topic = ?1 AND number = ?2")
            .bind(place.topic.id)
            .bind(place.number)
            .fetch_one(&self.readers)
            .await
            .map(i64::cast_unsigned)
            .map_err(unavailable)
    }

    async fn fetch(&self, place: &Place, from: u64, limit: ReadLimit) -> Result<Vec<Entry>, Error> {
        let mut rows = sqlx::query(READ)
            .bind(place.topic.id)
            .bind(place.number)
            .bind(i64::try_from(from).unwrap_or(i64::MAX))
            .bind(i64::try_from(limit.entries.max(1)).unwrap_or(i64::MAX))
            .fetch(&self.readers);
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(unavailable)? {
            let entry = entry(&row).map_err(unavailable)?;
            bytes += entry.value.as_ref().map_or(0, Bytes::len);
            if bytes > limit.bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[async_trait]
impl Log for SqliteLog {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.topics.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), Error> {
        if self.topics.get(topic).is_some() {
            return Ok(());
        }
        let partitions = if matches!(topic, Topic::Records(_)) { self.partitions } else { 1 };
        self.queue.ensure(topic.clone(), partitions).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        self.queue.append(drafts).await
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        let place = self.place(partition)?;
        let deadline = Instant::now() + wait;
        let mut end = place.end().subscribe();
        loop {
            let seen = *end.borrow_and_update();
            let entries = self.fetch(&place, from, limit).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            let stored = self.stored_end(&place).await?;
            if from > stored {
                return Err(Error::PastEnd { from, end: stored });
            }
            // What was stored before this look and is not there was cut off: only what comes now is worth another.
            match tokio::time::timeout_at(deadline, end.wait_for(|end| *end > from.max(seen))).await {
                Ok(Ok(_)) => {}
                // Closed meanwhile, or nothing came.
                Ok(Err(_)) | Err(_) => return Ok(entries),
            }
        }
    }

    async fn end(&self, partition: &Partition) -> Result<u64, Error> {
        self.stored_end(&self.place(partition)?).await
    }
}

const READ: &str = r#"-- log_read
SELECT "offset", key, entry_id, headers, value FROM entries
WHERE topic = ?1 AND partition = ?2 AND "offset" >= ?3 ORDER BY "offset" LIMIT ?4"#;

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    let malformed = |error: serde_json::Error| sqlx::Error::Decode(error.into());
    Ok(Entry {
        offset: row.try_get::<i64, _>(0)?.cast_unsigned(),
        key: Some(row.try_get(1)?),
        entry_id: <[u8; 16]>::try_from(row.try_get::<&[u8], _>(2)?).ok().map(EntryId),
        headers: serde_json::from_str(row.try_get(3)?).map_err(malformed)?,
        value: Some(Bytes::from(row.try_get::<Vec<u8>, _>(4)?)),
    })
}

fn unavailable(error: sqlx::Error) -> Error {
    Error::Unavailable(error.to_string())
}

/// The file's settings. The thread's name lets a fault injector single it out.
fn connect_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON")
        .pragma("wal_autocheckpoint", "0")
        .thread_name(|id| format!("weft-log-{id}"))
}

/// Makes the tables in an empty file; answers the form of what is there.
async fn prepare(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let form = "PRAGMA user_version";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query_scalar(form).fetch_one(&mut *transaction).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *transaction).await?;
    if found == 0 && tables == 0 {
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    sqlx::query_scalar(form).fetch_one(connection).await
}

/// A writer that panicked is a broken log too.
async fn watch_over(writer: Writer, poison: Arc<watch::Sender<bool>>) {
    if let Err(error) = tokio::spawn(writer.run()).await
        && error.is_panic()
    {
        tracing::error!("the log's writer panicked");
        poison.send_replace(true);
    }
}
