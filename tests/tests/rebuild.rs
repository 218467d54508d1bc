//! An index that was deleted is rebuilt from the log, to the same digest; a digest misses nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::Instant;
use weft_proto::v1::StatusResponse;
use weft_tests::{
    hub::{TestHub, reopen},
    kafka, postgres, skipped_by_quick,
    story::{Story, settled},
};

const RECORDS: u32 = 2000;

async fn run(hub: &TestHub, records: u32) -> (Story, StatusResponse) {
    let mut story = Story::begin(hub).await;
    for from in (0..records).step_by(500) {
        story.publish(hub, from..(from + 500).min(records)).await;
    }
    story.look_at(hub, 0..20).await;
    assert!(story.refused > 0);
    let before = settled(hub).await;
    (story, before)
}

/// Starts the hub anew, and says how fast it came to where it was.
async fn rebuilt(mut hub: TestHub, before: &StatusResponse, wipe: impl AsyncFnOnce()) -> TestHub {
    hub.stop().await;
    let (config, folder) = (hub.config.clone(), hub.folder.clone());
    drop(hub);
    wipe().await;
    let stores = reopen(&config).await;
    assert_eq!(stores.index.counts().await.unwrap().versions, 0, "the index was wiped");
    let begun = Instant::now();
    let hub = TestHub::run(config, stores, folder).await;
    let after = settled(&hub).await;
    let entries: u64 = after.partitions.iter().map(|one| one.end).sum();
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = entries as f64 / seconds;
    println!("rebuilt {entries} entries, {} versions in {seconds:.2} s: {rate:.0} entries/s", after.indexed);
    let ends = |status: &StatusResponse| status.partitions.iter().map(|one| one.end).collect::<Vec<_>>();
    assert_eq!(ends(&after), ends(before), "a rebuild writes nothing to the log");
    assert_eq!(after.indexed, before.indexed);
    assert_eq!(after.ledger_entries, before.ledger_entries);
    assert_eq!(after.content_digest, before.content_digest);
    assert_eq!(after.index_digest, before.index_digest);
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_index_is_rebuilt_twice_to_the_same_digest() {
    let hub = TestHub::start().await;
    let (story, before) = run(&hub, RECORDS).await;
    let data_dir = hub.data_dir();
    let wipe = async || {
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            match std::fs::remove_file(data_dir.join(file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{file}: {error}"),
                _ => {}
            }
        }
    };
    let hub = rebuilt(hub, &before, wipe).await;
    let mut hub = rebuilt(hub, &before, wipe).await;
    story.assert_outcomes(&hub).await;

    // One byte in any table, and the digest is another.
    let mut database = open(&data_dir.join("index.db")).await;
    for change in [
        "UPDATE versions SET kid = substr(kid, 1, 42) || '!' WHERE rowid = 7",
        "UPDATE heads SET status = 'Valid' WHERE record_id = (SELECT min(record_id) FROM heads)",
        "UPDATE outcomes SET at_ms = at_ms + 1 WHERE submission_id = (SELECT min(submission_id) FROM outcomes)",
        "UPDATE ledger SET envelope = CAST(envelope || x'00' AS BLOB) WHERE entry_offset = 3",
        "UPDATE positions SET next_offset = next_offset + 1 WHERE topic = 'weft.ledger'",
        "DELETE FROM holders WHERE record_id = (SELECT min(record_id) FROM holders)",
        "UPDATE quarantine SET problems = problems || ' ' WHERE id = (SELECT min(id) FROM quarantine)",
        "UPDATE appends SET entry_id = zeroblob(16) WHERE entry_offset = 4 AND topic = 'weft.registry'",
    ] {
        let index = &hub.stores.index;
        let digest = || index.digest(weft_hub::index::DigestScope::Everything);
        let was = digest().await.unwrap();
        let mut change_it = database.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let changed = sqlx::query(change).execute(&mut *change_it).await.unwrap();
        assert!(changed.rows_affected() >= 1, "{change}");
        change_it.commit().await.unwrap();
        assert_ne!(digest().await.unwrap(), was, "{change}");
    }
    hub.stop().await;
}

async fn open(file: &std::path::Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.expect("the database opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_index_is_rebuilt_twice_to_the_same_digest() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let (broker, server) = (kafka::shared().await, postgres::shared().await);
    let hub = TestHub::start_served("rebuild", broker, server).await;
    let (story, before) = run(&hub, RECORDS).await;
    let url = hub.postgres_url();
    let wipe = async || {
        let mut database = sqlx::PgConnection::connect(&url).await.expect("the database opens");
        sqlx::query("DROP SCHEMA weft CASCADE").execute(&mut database).await.expect("the schema is dropped");
    };
    let hub = rebuilt(hub, &before, wipe).await;
    let mut hub = rebuilt(hub, &before, wipe).await;
    story.assert_outcomes(&hub).await;

    let mut database = sqlx::PgConnection::connect(&url).await.expect("the database opens");
    let change = "UPDATE weft.versions SET envelope = set_byte(envelope, 40, 255 - get_byte(envelope, 40))
                  WHERE record_id = (SELECT min(record_id) FROM weft.versions) AND version = 1";
    let changed = sqlx::query(change).execute(&mut database).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let after = settled(&hub).await;
    assert_ne!(after.index_digest, before.index_digest);
    assert_eq!(after.content_digest, before.content_digest, "the envelope is no part of the content");
    hub.stop().await;
}
