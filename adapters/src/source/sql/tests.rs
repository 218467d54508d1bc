//! The contract, and what a database does to a reader, on files of SQLite.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::path::PathBuf;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Surroundings,
    config::Config,
    keys::Directory,
    problem::Reason,
    source::{
        Ending, Item, Next, Source, Unit,
        contract::{
            self,
            in_turn::{Hand, InTurn},
        },
        table::{Database as _, TableSource},
    },
};

/// A database, and an adapter's configuration over it.
struct Database {
    folder: TempDir,
}

impl Database {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("department.db")
    }

    async fn run(&self, text: &str) {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn source_of(&self, table: &str, more: &str, columns: &[&str]) -> TableSource {
        self.source_by("key", table, more, columns)
    }

    fn source_by(&self, key: &str, table: &str, more: &str, columns: &[&str]) -> TableSource {
        let text = format!(
            "department = \"d\"\nname = \"main\"\nstate_dir = \"state\"\nhub = [\"https://hub.example:7443\"]\n\
             [[source]]\nname = \"licences\"\n[source.sql]\nengine = \"sqlite\"\nfile = \"department.db\"\n\
             table = {table:?}\nkey = [{key:?}]\n{more}\n[source.mapping]\nrecord_type = \"business-licence\"\n\
             [source.mapping.fields]\nuscc = {{ column = \"key\" }}\n"
        );
        let config = Config::parse(&text, self.folder.path()).unwrap();
        std::fs::create_dir_all(&config.state_dir).unwrap();
        Directory::new(&config.state_dir).ensure_spool_key(&[7; 32]).unwrap();
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let sql = config.sources[0].sql.as_ref().unwrap();
        TableSource::new(
            &config.sources[0],
            &columns,
            (sql.reading(), Box::new(sql.clone())),
            &config.state_dir,
            &Surroundings::system(),
        )
    }

    fn source(&self, more: &str) -> TableSource {
        self.source_of("licences", more, &["key", "value"])
    }
}

const MARKED: &str = "unit_rows = 250000\nwatermark = { column = \"changed\", kind = \"timestamp\" }";

async fn rows(source: &TableSource, unit: &Unit) -> (Vec<String>, usize) {
    let mut rows = source.rows(unit, &["key".to_owned(), "value".to_owned()]).await.unwrap();
    let (mut out, mut notes) = (Vec::new(), 0);
    while let Some(item) = rows.next().await.unwrap() {
        match item {
            Item::Row(row) => out.push(row.cells.join("=")),
            Item::Note(problem) => {
                assert_eq!(problem.reason, Reason::WatermarkMissing);
                notes += 1;
            }
            Item::Bad(problem) => panic!("{}", problem.reason),
        }
    }
    (out, notes)
}

/// All that waits, unit by unit.
async fn drain(source: &mut TableSource) -> Vec<Vec<String>> {
    let mut units = Vec::new();
    while let Next::Unit(unit) = source.next().await.unwrap() {
        units.push(rows(source, &unit).await.0);
        source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
        assert!(units.len() < 100, "it never ends: {units:?}");
    }
    units
}

struct Filled {
    database: Database,
    snapshot: bool,
}

#[async_trait]
impl Hand for Filled {
    fn source(&self) -> Box<dyn Source> {
        // In the order of the suite's keys, which is not that of their texts.
        let more = if self.snapshot { "" } else { MARKED };
        Box::new(self.database.source_by("n", "licences", more, &["key", "value"]))
    }

    async fn fill(&self, rows: usize) {
        let text = format!(
            "CREATE TABLE IF NOT EXISTS licences (key TEXT, value TEXT, changed TEXT, n INTEGER); DELETE FROM licences; \
             WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {rows}) \
             INSERT INTO licences SELECT 'key-' || i, 'value-' || i, \
             strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 hour', (i / 1000) || ' seconds'), i FROM c"
        );
        self.database.run(&text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    for snapshot in [false, true] {
        contract::all(|| InTurn::new(Filled { database: Database::new(), snapshot })).await;
    }
}

const TABLE: &str = "CREATE TABLE licences (key TEXT, value TEXT, changed TEXT)";

fn insert(rows: &[(&str, &str, &str)]) -> String {
    let values: Vec<_> = rows.iter().map(|(key, value, at)| format!("('{key}', '{value}', {at})")).collect();
    format!("INSERT INTO licences VALUES {}", values.join(", "))
}

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now', '+8 hours')";

fn seconds_ago(seconds: u32) -> String {
    format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '+8 hours', '-{seconds} seconds')")
}

#[tokio::test]
async fn late_rows_ties_and_changes_are_seen_once_each() {
    let database = Database::new();
    database.run(TABLE).await;
    let old = seconds_ago(100_000);
    database.run(&insert(&[("a", "1", &old), ("b", "1", &old), ("c", "1", &old)])).await;
    let mut source = database.source(MARKED);
    assert_eq!(drain(&mut source).await, [["a=1", "b=1", "c=1"]]);
    assert!(drain(&mut source).await.is_empty(), "nothing comes twice");
    database.run(&insert(&[("d", "1", NOW)])).await;
    assert_eq!(drain(&mut source).await, [["d=1"]]);
    // Committed late, or stamped by a clock that is behind: within the overlap.
    database.run(&insert(&[("e", "1", &seconds_ago(500))])).await;
    assert_eq!(drain(&mut source).await, [["e=1"]]);
    // The same time-stamp as the newest, and a change that did not move its own.
    database.run("INSERT INTO licences SELECT 'f', '1', max(changed) FROM licences; UPDATE licences SET value = '2' WHERE key = 'd'").await;
    assert_eq!(drain(&mut source).await, [["d=2", "f=1"]]);
    let mut after = database.source(MARKED);
    assert!(drain(&mut after).await.is_empty(), "nor after a start");
    database.run(&format!("UPDATE licences SET value = '3', changed = {NOW} WHERE key = 'a'")).await;
    let told: Vec<String> = drain(&mut after).await.concat();
    assert!(told.contains(&"a=3".to_owned()) && !told.contains(&"b=1".to_owned()), "{told:?}");
    assert!(drain(&mut after).await.is_empty());
}

#[tokio::test]
async fn pages_end_within_ties_and_lose_nothing() {
    let database = Database::new();
    database.run(TABLE).await;
    let tied: String =
        (0..57).map(|i| format!("INSERT INTO licences VALUES ('k{i:02}', '1', '2020-01-01 00:00:00');")).collect();
    database.run(&tied).await;
    let small = MARKED.replace("250000", "10");
    let mut seen = Vec::new();
    // A new process for every unit.
    while let (mut source, true) = (database.source(&small), seen.len() < 20) {
        let Next::Unit(unit) = source.next().await.unwrap() else { break };
        seen.push(rows(&source, &unit).await.0);
        source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    }
    assert!(seen.len() < 20, "it ends: {seen:?}");
    let mut all = seen.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 57);
    let mut source = database.source(&small);
    assert!(drain(&mut source).await.is_empty());
}

#[tokio::test]
async fn a_row_changed_while_pages_are_read_is_not_lost() {
    let database = Database::new();
    database.run(TABLE).await;
    for i in 0..30 {
        database.run(&insert(&[(&format!("k{i:02}"), "1", &seconds_ago(100_000 - i))])).await;
    }
    let mut source = database.source(&MARKED.replace("250000", "10"));
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("rows wait") };
    let before = rows(&source, &unit).await.0;
    // One that was read, one that was not yet, one that goes and one that comes.
    database.run(&format!("UPDATE licences SET value = '2', changed = {NOW} WHERE key IN ('k01', 'k25')")).await;
    database.run(&format!("DELETE FROM licences WHERE key = 'k20'; {}", insert(&[("new", "1", NOW)]))).await;
    assert_eq!(rows(&source, &unit).await.0, before, "a second reading gives the same rows");
    source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    let later = drain(&mut source).await.concat();
    let mut latest = std::collections::BTreeMap::new();
    for row in before.iter().chain(&later) {
        let (key, value) = row.split_once('=').unwrap();
        latest.insert(key.to_owned(), value.to_owned());
    }
    assert_eq!(latest.len(), 30, "{latest:?}");
    assert!(latest["k01"] == "2" && latest["k25"] == "2" && latest["new"] == "1");
    assert!(drain(&mut source).await.is_empty());
}

#[tokio::test]
async fn rows_without_a_watermark_are_read_and_told() {
    let database = Database::new();
    database.run(TABLE).await;
    database.run(&insert(&[("a", "1", "NULL"), ("b", "1", NOW)])).await;
    let mut source = database.source(MARKED);
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("rows wait") };
    assert!(!unit.whole);
    assert_eq!(rows(&source, &unit).await, (vec!["a=1".to_owned(), "b=1".to_owned()], 1));
    source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    assert!(drain(&mut source).await.is_empty());
    database.run("UPDATE licences SET value = '2' WHERE key = 'a'").await;
    assert_eq!(drain(&mut source).await, [["a=2"]], "a change is seen though nothing tells of it");
}

#[tokio::test]
async fn a_row_of_the_future_stops_nothing() {
    let database = Database::new();
    database.run(TABLE).await;
    database.run(&insert(&[("a", "1", "'2099-12-31 00:00:00'")])).await;
    let mut source = database.source(MARKED);
    assert_eq!(drain(&mut source).await, [["a=1"]]);
    database.run(&insert(&[("b", "1", NOW)])).await;
    assert_eq!(drain(&mut source).await, [["b=1"]]);
    assert!(drain(&mut source).await.is_empty());
    database.run(&insert(&[("c", "1", "'n/a'")])).await;
    let error = source.next().await.unwrap_err();
    assert!(error.cause.to_string().contains("changed is no timestamp"), "{error:?}");
}

#[tokio::test]
async fn a_snapshot_is_whole_and_told_when_it_differs() {
    let database = Database::new();
    database.run(TABLE).await;
    let mut source = database.source("");
    assert!(drain(&mut source).await.is_empty(), "an empty table is no news");
    database.run(&insert(&[("a", "1", NOW), ("b", "1", NOW)])).await;
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("rows wait") };
    assert!(unit.whole);
    assert_eq!(drain(&mut source).await, [["a=1", "b=1"]]);
    assert!(drain(&mut database.source("")).await.is_empty(), "nor after a start");
    database.run("DELETE FROM licences WHERE key = 'a'").await;
    assert_eq!(drain(&mut source).await, [["b=1"]], "what is deleted is missing");
    database.run(&insert(&[("a", "1", NOW)])).await;
    assert_eq!(drain(&mut source).await.concat().len(), 2, "content that comes back is no old unit");
}

#[tokio::test]
async fn another_column_or_table_is_read_from_the_beginning() {
    let database = Database::new();
    database.run(TABLE).await;
    database.run("CREATE VIEW other AS SELECT * FROM licences").await;
    database.run(&insert(&[("a", "1", &seconds_ago(100_000)), ("b", "1", NOW)])).await;
    assert_eq!(drain(&mut database.source(MARKED)).await.concat().len(), 2);
    for (table, columns) in [("other", ["key", "value", "key"]), ("licences", ["key", "value", "changed"])] {
        let mut source = database.source_of(table, MARKED, &columns);
        assert_eq!(drain(&mut source).await.concat().len(), 2, "{table}");
        assert!(drain(&mut source).await.is_empty());
    }
}

#[tokio::test]
async fn a_source_that_is_rewound_offers_all_again() {
    let database = Database::new();
    database.run(TABLE).await;
    database.run(&insert(&[("a", "1", &seconds_ago(100_000)), ("b", "1", NOW)])).await;
    for more in [MARKED, ""] {
        let mut source = database.source(more);
        let first = source.next().await.unwrap();
        assert_eq!(drain(&mut source).await.concat().len(), 2);
        assert!(source.rewind(0).await.unwrap());
        let (Next::Unit(first), Next::Unit(again)) = (first, source.next().await.unwrap()) else { panic!("rows wait") };
        assert_ne!(first.digest, again.digest, "it is not taken for done");
        assert_eq!(drain(&mut source).await.concat().len(), 2);
        assert!(drain(&mut source).await.is_empty());
    }
}

#[tokio::test]
async fn a_refused_unit_waits_for_another_content() {
    let database = Database::new();
    database.run(TABLE).await;
    database.run(&insert(&[("a", "1", NOW)])).await;
    let mut source = database.source(MARKED);
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("rows wait") };
    source.finish(&unit, Ending::Failed { report: String::new() }).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), Next::Nothing), "it is not offered for ever");
    database.run(&insert(&[("b", "1", NOW)])).await;
    assert_eq!(drain(&mut source).await, [["a=1", "b=1"]], "and nothing of it is lost");
}

#[tokio::test]
async fn hostile_names_are_names() {
    let database = Database::new();
    let table = "licences; DROP TABLE x";
    database
        .run(
            "CREATE TABLE x (y); CREATE TABLE \"licences; DROP TABLE x\" (key TEXT, \"a\"\" OR 1=1\" TEXT); \
             INSERT INTO \"licences; DROP TABLE x\" VALUES ('k', 'v')",
        )
        .await;
    let column = "a\" OR 1=1";
    let mut source = database.source_of(table, "", &["key", column]);
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("rows wait") };
    let mut rows = source.rows(&unit, &[column.to_owned()]).await.unwrap();
    assert!(matches!(rows.next().await.unwrap(), Some(Item::Row(row)) if row.cells == ["v"]));
    for (table, column) in [("x; DROP TABLE x", "key"), ("(SELECT 1)", "key"), (table, "1"), (table, "key, key")] {
        let error = database.source_of(table, "", &["key", column]).next().await.unwrap_err();
        let said = error.cause.to_string();
        assert!(said.contains("catalogue") || said.contains("has no column"), "{said}");
    }
    database.run("SELECT y FROM x").await;
}

#[tokio::test]
async fn nothing_is_written_and_what_is_asked_can_be_shown() {
    let database = Database::new();
    database.run(TABLE).await;
    let sql = database.source(MARKED).access();
    assert!(
        sql.iter().any(|access| access.statement.contains("FROM \"licences\" r WHERE \"changed\" >= CAST(? AS TEXT)")),
        "{sql:#?}"
    );
    assert!(sql.iter().all(|access| !access.rights.is_empty() && access.rate.contains("given up after 120 s")));
    let config = SqlConfig { engine: Engine::Sqlite, file: Some(database.file()), ..plain() };
    let mut session = config.connect(&config.reading()).await.unwrap();
    session.begin().await.unwrap();
    for text in ["INSERT INTO licences VALUES ('x', 'x', 'x')", "CREATE TABLE z (a)", "DROP TABLE licences"] {
        let (sender, _receiver) = tokio::sync::mpsc::channel(1);
        let statement =
            crate::source::table::statement::Statement { text: text.into(), binds: Vec::new(), limit: None };
        let error = session.rows(statement, sender).await.unwrap_err().to_string();
        assert!(error.contains("readonly"), "{error}");
    }
}

#[tokio::test]
async fn text_in_gbk_is_read() {
    let database = Database::new();
    database.run("CREATE TABLE licences (key TEXT, value TEXT, changed TEXT); INSERT INTO licences VALUES ('a', CAST(x'B8DFC7E0' AS TEXT), NULL)").await;
    assert_eq!(drain(&mut database.source("")).await, [["a=高青"]]);
}

#[tokio::test]
async fn the_rate_is_kept() {
    let database = Database::new();
    database.run(TABLE).await;
    let rows: String = (0..600).map(|i| format!("INSERT INTO licences VALUES ('k{i}', '1', NULL);")).collect();
    database.run(&format!("BEGIN; {rows} COMMIT")).await;
    let began = tokio::time::Instant::now();
    assert_eq!(drain(&mut database.source("rows_per_second = 1000")).await.concat().len(), 600);
    assert!(began.elapsed() >= std::time::Duration::from_millis(500), "600 rows take longer than half a second");
}

fn plain() -> SqlConfig {
    toml::from_str("engine = \"sqlite\"\nfile = \"x\"\ntable = \"licences\"").unwrap()
}
