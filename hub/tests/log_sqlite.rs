//! The embedded log against the contract of the seam, and what is its own: its folder, its file, its writer.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Mutex;
use weft_hub::{
    log::{
        AppendError, Draft, EntryId, Error, Log, Partition, ReadLimit, SharedLog, Topic,
        contract::Factory,
        sqlite::{OpenError, Options, SqliteLog},
    },
    log_contract,
};

struct Embedded {
    folder: TempDir,
    open: Mutex<Option<Arc<SqliteLog>>>,
    partitions: u32,
}

impl Embedded {
    fn new(partitions: u32) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), open: Mutex::default(), partitions }
    }
}

#[async_trait]
impl Factory for Embedded {
    async fn open(&self) -> SharedLog {
        let options = Options { partitions: self.partitions, ..Options::default() };
        let log = Arc::new(SqliteLog::open(self.folder.path(), options).await.unwrap());
        *self.open.lock().await = Some(log.clone());
        log
    }

    async fn second(&self, first: &SharedLog) -> SharedLog {
        first.clone()
    }

    async fn reopen(&self, log: SharedLog) -> SharedLog {
        drop(log);
        self.open.lock().await.take().unwrap().close().await.unwrap();
        self.open().await
    }
}

mod one_partition {
    use super::*;
    log_contract!(Embedded::new(1));
}

mod three_partitions {
    use super::*;
    log_contract!(Embedded::new(3));
}

fn place(topic: Topic) -> Partition {
    Partition { topic, number: 0 }
}

fn draft(partition: &Partition, key: &str, value: impl Into<Bytes>) -> Draft {
    Draft {
        partition: partition.clone(),
        key: key.into(),
        entry_id: EntryId::new(),
        headers: Vec::new(),
        value: value.into(),
    }
}

async fn open(folder: &Path) -> SqliteLog {
    let log = SqliteLog::open(folder, Options::default()).await.unwrap();
    for topic in [Topic::Records("t".into()), Topic::Ledger] {
        log.ensure(&topic).await.unwrap();
    }
    log
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn the_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let error = SqliteLog::open(folder.path(), Options::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    log.close().await.unwrap();
    open(folder.path()).await.close().await.unwrap();
}

#[tokio::test]
async fn partitions_are_fixed_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await.unwrap();
    let more = Options { partitions: 2, ..Options::default() };
    let log = SqliteLog::open(folder.path(), more).await.unwrap();
    let error = log.ensure(&Topic::Records("t".into())).await.unwrap_err();
    assert!(error.to_string().contains("1 partitions, configured are 2"), "{error}");
    log.ensure(&Topic::Records("another".into())).await.unwrap();
    assert_eq!(log.partitions(&Topic::Records("another".into())), 2);
    log.ensure(&Topic::Ledger).await.unwrap();
    assert_eq!(log.partitions(&Topic::Ledger), 1);
}

#[tokio::test]
async fn a_foreign_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.db"), "not a database, and long enough to be read as one".repeat(20))
        .unwrap();
    let error = SqliteLog::open(folder.path(), Options::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
    assert!(error.to_string().contains("log.db"), "{error}");
}

#[tokio::test]
async fn compaction_is_immediate_and_leaves_nothing_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let partition = place(Topic::Records("t".into()));
    let secret = "what was wrongly published ".repeat(400);
    for (key, value) in [("k", secret.as_str()), ("other", "o"), ("k", "stub")] {
        log.append(vec![draft(&partition, key, value.to_owned())]).await[0].as_ref().unwrap();
    }
    let entries = log.read(&partition, 0, ReadLimit::default(), Duration::ZERO).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.offset).collect::<Vec<_>>(), [1, 2]);
    assert!(holds(folder.path(), b"stub"));
    log.close().await.unwrap();
    assert!(!holds(folder.path(), b"wrongly published"));
    assert!(holds(folder.path(), b"stub"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let partition = place(Topic::Ledger);
    let mut largest = 0;
    for number in 0..100 {
        log.append(vec![draft(&partition, &number.to_string(), vec![1; 1 << 20])]).await[0].as_ref().unwrap();
        largest = largest.max(std::fs::metadata(folder.path().join("log.db-wal")).map_or(0, |file| file.len()));
    }
    assert!(largest < 32 << 20, "{largest} bytes");
    assert_eq!(log.end(&partition).await.unwrap(), 100);
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let partition = place(Topic::Ledger);
    log.append(vec![draft(&partition, "k", "v")]).await[0].as_ref().unwrap();
    log.close().await.unwrap();
    let answers = log.append(vec![draft(&partition, "k", "v"), draft(&partition, "k", "v")]).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(AppendError::NotAppended(_)))), "{answers:?}");
    assert!(matches!(log.end(&partition).await, Err(Error::Unavailable(_))));
    assert!(matches!(log.close().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn a_cut_log_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let partition = place(Topic::Ledger);
    for _ in 0..3 {
        log.append(vec![draft(&partition, "k", "v")]).await[0].as_ref().unwrap();
    }
    log.close().await.unwrap();
    std::fs::remove_file(folder.path().join("log.db")).unwrap();
    let log = open(folder.path()).await;
    let read = log.read(&partition, 3, ReadLimit::default(), Duration::ZERO).await;
    assert!(matches!(read, Err(Error::PastEnd { from: 3, end: 0 })), "{read:?}");
}
