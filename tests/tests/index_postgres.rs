//! The index on PostgreSQL keeps the contract, and agrees with the one on SQLite.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use weft_hub::{
    clock::{Clock, SystemClock},
    index::{
        DigestScope, Error, Index, SharedIndex,
        contract::{self, Factory, Subject, fixtures},
        postgres::{PgIndex, PgOptions},
        sqlite::SqliteIndex,
    },
};
use weft_tests::{eventually, postgres, skipped_by_quick};

fn options(schema: &str) -> PgOptions {
    PgOptions { schema: schema.into(), connections: 4, ..PgOptions::default() }
}

/// A schema of its own in one database.
struct Schema {
    url: String,
    name: String,
}

#[async_trait]
impl Subject for Schema {
    async fn open(&self) -> SharedIndex {
        Arc::new(PgIndex::connect(&self.url, &options(&self.name)).await.unwrap())
    }

    async fn sql(&self, statement: String) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let place = format!("SET search_path TO {}", self.name);
        sqlx::query(AssertSqlSafe(place)).execute(&mut connection).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
        connection.close().await.unwrap();
    }

    fn bytes(&self, hex: &str) -> String {
        format!("'\\x{hex}'::bytea")
    }
}

struct Schemas {
    url: String,
    next: AtomicU32,
}

#[async_trait]
impl Factory for Schemas {
    async fn fresh(&self) -> Box<dyn Subject> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Box::new(Schema { url: self.url.clone(), name: format!("contract_{number}") })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    if skipped_by_quick("postgres") {
        return;
    }
    let url = postgres::shared().await.database().await;
    contract::run(&Schemas { url, next: AtomicU32::new(0) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rows_have_the_same_digests_on_both_engines() {
    if skipped_by_quick("postgres") {
        return;
    }
    let url = postgres::shared().await.database().await;
    let folder = tempfile::tempdir().unwrap();
    let indices: [SharedIndex; 2] = [
        Arc::new(PgIndex::connect(&url, &options("weft")).await.unwrap()),
        Arc::new(SqliteIndex::open(folder.path()).await.unwrap()),
    ];
    for index in &indices {
        let mut writer = fixtures::Writer::new(index, fixtures::records(0)).await;
        // Names whose order depends on the collation, were it not by bytes.
        for name in ["a", "B", "_", "ä", "Z", "é", "汉", "字", "-", "a-b", "aB", "ab"] {
            for version in 1..=3 {
                writer.index(name, version, Some(&[1, version]), &[version]).await;
            }
        }
    }
    for scope in [DigestScope::Everything, DigestScope::Content] {
        assert_eq!(indices[0].digest(scope).await.unwrap(), indices[1].digest(scope).await.unwrap(), "{scope:?}");
    }
    let heads = |index: &SharedIndex| {
        let index = index.clone();
        async move { index.heads(fixtures::DEPARTMENT, fixtures::TYPE, Some("B"), 5).await.unwrap() }
    };
    assert_eq!(heads(&indices[0]).await, heads(&indices[1]).await, "pages in one order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_can_start_at_once() {
    if skipped_by_quick("postgres") {
        return;
    }
    let url = postgres::shared().await.database().await;
    let options = options("weft");
    let started = join_all((0..6).map(|_| PgIndex::connect(&url, &options))).await;
    for index in started {
        let index = index.unwrap();
        index.probe().await.unwrap();
        let server = index.clock().await.unwrap().expect("a server has a clock");
        let off = server - SystemClock.now();
        assert!(off.abs() < 60_000, "{off} ms: in milliseconds since 1970, and the same machine's");
    }
}

#[tokio::test]
async fn a_schema_with_a_strange_name_is_refused() {
    for name in ["", "a b", "x\"y", "Ü", "a;b"] {
        let refused = PgIndex::connect("postgres://nobody@127.0.0.1:1/none", &options(name)).await;
        assert!(refused.unwrap_err().to_string().contains("schema"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_unavailable_and_heals() {
    if skipped_by_quick("postgres") {
        return;
    }
    let mut server = postgres::Server::start().await;
    let url = server.database().await;
    let options = PgOptions { statement_timeout: Duration::from_secs(2), ..options("weft") };
    let index: SharedIndex = Arc::new(PgIndex::connect(&url, &options).await.unwrap());
    let mut writer = fixtures::Writer::new(&index, fixtures::records(0)).await;
    let row = writer.index("r1", 1, Some(&[1]), &[]).await;
    server.kill9();
    assert!(matches!(index.version("r1", 1).await, Err(Error::Unavailable(_))));
    let next = fixtures::indexed(&fixtures::version(&writer.partition, "r1", 2, 1), None, None, &[]);
    assert!(matches!(writer.try_commit(1, &next).await, Err(Error::Unavailable(_))));
    server.restart().await;
    eventually(Duration::from_secs(60), || index.probe()).await;
    assert_eq!(index.version("r1", 1).await.unwrap(), Some(row), "a commit that returned is kept");
    writer.commit(1, &next).await;
}
