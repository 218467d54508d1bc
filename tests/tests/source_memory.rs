//! A table of a million rows is read in bounded memory. Alone in its program, as it looks at the whole of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use sqlx::{Connection as _, PgConnection};
use weft_adapter::source::{Ending, Item};
use weft_tests::{
    postgres, skipped_by_quick,
    tables::{source, waiting},
};

const ROWS: u64 = 1_000_000;

/// The most memory that this process ever had, KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_take_no_more_memory_than_a_few() {
    if skipped_by_quick("postgres") {
        return;
    }
    let server = postgres::shared().await;
    let url = server.database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let text = format!(
        "CREATE VIEW licences AS SELECT i AS n, 'key-' || i AS key, repeat('值', 40) || i AS value FROM \
         generate_series(1, {ROWS}) i"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = url.split_once('?').unwrap().0.rsplit_once('/').unwrap().1;
    let kind = format!(
        "[source.sql]\nengine = \"postgres\"\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"{database}\"\nuser = \
         \"postgres\"\ntls = \"off\"\ntable = \"licences\"",
        server.port()
    );
    let mut licences = source(folder.path(), &kind, &["key", "value"]);
    let before = peak();
    let unit = waiting(licences.as_mut()).await.unwrap();
    let mut rows = licences.rows(&unit, &["key".to_owned()]).await.unwrap();
    let mut count = 0;
    while let Some(item) = rows.next().await.unwrap() {
        count += u64::from(matches!(item, Item::Row(_)));
    }
    assert_eq!(count, ROWS);
    licences.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    let grown = (peak() - before) / 1024;
    eprintln!("{ROWS} rows: {grown} MiB more than before");
    assert!(grown < 64, "{grown} MiB");
}
