//! The index on SQLite keeps the contract.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]
#![cfg(feature = "test-util")]

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use weft_hub::index::{
    Index, SharedIndex,
    contract::{self, Factory, Subject},
    sqlite::{FILE, SqliteIndex},
};

struct Folder(TempDir);

#[async_trait]
impl Subject for Folder {
    async fn open(&self) -> SharedIndex {
        Arc::new(SqliteIndex::open(self.0.path()).await.unwrap())
    }

    async fn sql(&self, statement: String) {
        let options = SqliteConnectOptions::new().filename(self.0.path().join(FILE));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
        connection.close().await.unwrap();
    }

    fn bytes(&self, hex: &str) -> String {
        format!("x'{hex}'")
    }
}

struct Folders;

#[async_trait]
impl Factory for Folders {
    async fn fresh(&self) -> Box<dyn Subject> {
        Box::new(Folder(tempfile::tempdir().unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    contract::run(&Folders).await;
}

#[tokio::test]
async fn a_damaged_file_poisons_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let index = SqliteIndex::open(dir.path()).await.unwrap();
    let poisoned = index.poisoned();
    assert!(!*poisoned.borrow());
    index.raise_registry_floor(1).await.unwrap();
    index.close().await;

    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = 0xa5;
    }
    std::fs::write(&path, bytes).unwrap();
    match SqliteIndex::open(dir.path()).await {
        Err(error) => assert!(error.to_string().contains("malformed"), "{error}"),
        Ok(index) => {
            index.counts().await.unwrap_err();
            assert!(*index.poisoned().borrow());
        }
    }
}

#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    use bytes::Bytes;
    use weft_hub::index::{
        contract::fixtures,
        rows::{Rows, Stub},
    };

    let dir = tempfile::tempdir().unwrap();
    let index: SharedIndex = Arc::new(SqliteIndex::open(dir.path()).await.unwrap());
    let mut writer = fixtures::Writer::new(&index, fixtures::records(0)).await;
    let row = writer.index("r1", 1, Some(&[1]), &[]).await;
    let needle = row.envelope.clone();
    let found = || {
        std::fs::read_dir(dir.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(needle.len()).any(|window| window == &needle[..])
        })
    };
    assert!(found(), "the search works");
    let append = weft_hub::index::rows::AppendRow {
        offset: 1,
        entry_id: fixtures::entry_id("stub", 1),
        envelope: Some(Bytes::from_static(b"stub")),
        ..fixtures::append(&row)
    };
    let stubs = vec![Stub { record_id: "r1".into(), version: 1, append }];
    writer.commit(1, &Rows { stubs, ..Rows::default() }).await;
    assert!(!found());
}
