//! Tables and views of PostgreSQL and MariaDB as sources: the contract, and what a database does to its reader.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};
use tempfile::TempDir;
use weft_adapter::{
    problem::Reason,
    source::{
        Source,
        contract::{
            self,
            in_turn::{Hand, InTurn},
        },
    },
};
use weft_tests::{
    mariadb, postgres, skipped_by_quick,
    tables::{drain, next_base, refused, rows, source, waiting},
};

const COLUMNS: [&str; 2] = ["key", "value"];
const BY_TIME: &str = "watermark = { column = \"changed\", kind = \"timestamp\" }\nunit_rows = 250000";
const BY_NUMBER: &str = "watermark = { column = \"n\", kind = \"number\" }\nunit_rows = 250000";

/// A database, and a folder for the adapter's state.
struct Pg {
    url: String,
    folder: TempDir,
}

impl Pg {
    async fn new() -> Self {
        let url = postgres::shared().await.database().await;
        Self { url, folder: tempfile::tempdir().unwrap() }
    }

    async fn run(&self, text: &str) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The keys of a source, as the account `user`.
    fn kind(&self, user: &str, more: &str) -> String {
        let (server, database) = self.url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
        let port = server.rsplit_once(':').unwrap().1;
        format!(
            "[source.sql]\nengine = \"postgres\"\nhost = \"127.0.0.1\"\nport = {port}\ndatabase = \"{database}\"\nuser = \
             \"{user}\"\ntls = \"off\"\n{more}"
        )
    }

    fn source(&self, more: &str) -> Box<dyn Source> {
        let more = format!("table = \"licences\"\nkey = [\"n\"]\n{more}");
        source(self.folder.path(), &self.kind("postgres", &more), &COLUMNS)
    }
}

struct PgHand(Pg, &'static str);

#[async_trait]
impl Hand for PgHand {
    fn source(&self) -> Box<dyn Source> {
        self.0.source(self.1)
    }

    async fn fill(&self, rows: usize) {
        let base = next_base();
        let text = format!(
            "CREATE TABLE IF NOT EXISTS licences (key text, value text, changed timestamptz, n bigint); TRUNCATE \
             licences; INSERT INTO licences SELECT 'key-' || i, 'value-' || i, now() - interval '1 hour' + i / 1000 * \
             interval '1 second', i + {base} FROM generate_series(0, {rows} - 1) i"
        );
        self.0.run(&text).await;
    }
}

struct Maria {
    url: String,
    database: String,
    folder: TempDir,
}

impl Maria {
    async fn new() -> Self {
        let server = mariadb::shared().await;
        let database = server.database().await;
        Self { url: server.url(&database), database, folder: tempfile::tempdir().unwrap() }
    }

    async fn run(&self, text: &str) {
        let (url, text) = (self.url.clone(), text.to_owned());
        let runtime = tokio::runtime::Handle::current();
        // On a thread of its own: the future of this driver's statements is not `Send` for every lifetime.
        let run = move || {
            runtime.block_on(async move {
                let mut connection = MySqlConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            });
        };
        tokio::task::spawn_blocking(run).await.unwrap();
    }

    async fn kind(&self, user: &str, more: &str) -> String {
        let (port, database) = (mariadb::shared().await.port(), &self.database);
        format!(
            "[source.sql]\nengine = \"mariadb\"\nhost = \"127.0.0.1\"\nport = {port}\ndatabase = \"{database}\"\nuser = \
             \"{user}\"\ntls = \"off\"\n{more}"
        )
    }
}

struct MariaHand(Maria, String);

#[async_trait]
impl Hand for MariaHand {
    fn source(&self) -> Box<dyn Source> {
        source(self.0.folder.path(), &self.1, &COLUMNS)
    }

    async fn fill(&self, rows: usize) {
        let base = next_base();
        let text = format!(
            "CREATE TABLE IF NOT EXISTS licences (`key` varchar(40), value varchar(40), changed datetime(6), n bigint, \
             INDEX (changed, n)); DELETE FROM licences; INSERT INTO licences SELECT CONCAT('key-', seq), \
             CONCAT('value-', seq), NOW(6) - INTERVAL 1 HOUR + INTERVAL (seq DIV 1000) SECOND, seq + {base} FROM seq_0_to_{}",
            rows - 1
        );
        self.0.run(&text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    if skipped_by_quick("postgres") {
        return;
    }
    for more in [BY_TIME, BY_NUMBER, ""] {
        let mut fresh = Vec::new();
        for _ in 0..4 {
            fresh.push(InTurn::new(PgHand(Pg::new().await, more)));
        }
        contract::all(|| fresh.pop().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_the_contract() {
    if skipped_by_quick("mariadb") {
        return;
    }
    for more in [BY_TIME, BY_NUMBER, ""] {
        let mut fresh = Vec::new();
        for _ in 0..4 {
            let maria = Maria::new().await;
            let kind = maria.kind("root", &format!("table = \"licences\"\nkey = [\"n\"]\n{more}")).await;
            fresh.push(InTurn::new(MariaHand(maria, kind)));
        }
        contract::all(|| fresh.pop().unwrap()).await;
    }
}

const TABLE: &str = "CREATE TABLE licences (key text, value text, changed timestamptz DEFAULT now(), n serial)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_committed_late_is_seen() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    pg.run(TABLE).await;
    let mut late = PgConnection::connect(&pg.url).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO licences VALUES ('late', '1')").execute(&mut late).await.unwrap();
    pg.run("INSERT INTO licences VALUES ('early', '1')").await;
    let (mut by_time, mut by_number) = (pg.source(BY_TIME), source_by_number(&pg));
    assert_eq!(drain(by_time.as_mut(), &COLUMNS).await, [["early|1"]]);
    assert_eq!(drain(by_number.as_mut(), &COLUMNS).await, [["early|1"]]);
    // It has an older time-stamp and a smaller number than what was read.
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    assert_eq!(drain(by_time.as_mut(), &COLUMNS).await, [["late|1"]]);
    assert_eq!(drain(by_number.as_mut(), &COLUMNS).await, [["late|1"]]);
    assert!(drain(by_time.as_mut(), &COLUMNS).await.is_empty());
}

fn source_by_number(pg: &Pg) -> Box<dyn Source> {
    let folder = pg.folder.path().join("other");
    let kind = pg.kind("postgres", &format!("table = \"licences\"\nkey = [\"n\"]\n{BY_NUMBER}"));
    source(&folder, &kind, &COLUMNS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_of_one_time_come_in_pages_and_all() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    pg.run(&format!(
        "{TABLE}; INSERT INTO licences SELECT 'k' || i, '1', '2020-01-01' FROM generate_series(1, 5050) i"
    ))
    .await;
    pg.run("INSERT INTO licences VALUES ('null', '1', NULL), ('future', '1', '2099-01-01')").await;
    let mut licences = pg.source(&BY_TIME.replace("250000", "1000"));
    let mut all = drain(licences.as_mut(), &COLUMNS).await;
    assert!(all.len() >= 5, "{}", all.len());
    let mut all: Vec<String> = all.drain(..).flatten().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5_052);
    assert!(drain(licences.as_mut(), &COLUMNS).await.is_empty());
    pg.run("UPDATE licences SET value = '2', changed = now() WHERE key = 'k7'").await;
    let again: Vec<String> = drain(licences.as_mut(), &COLUMNS).await.concat();
    assert!(again.contains(&"k7|2".to_owned()), "{} rows", again.len());
    pg.run("DELETE FROM licences WHERE key = 'k8'").await;
    let folder = pg.folder.path().join("whole");
    let mut whole = source(&folder, &pg.kind("postgres", "table = \"licences\""), &COLUMNS);
    let unit = waiting(whole.as_mut()).await.unwrap();
    assert!(unit.whole, "what is not in it has vanished");
    assert_eq!(rows(whole.as_ref(), &unit, &COLUMNS).await.len(), 5_051);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_text_as_a_hall_reads_them() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    pg.run(
        "CREATE TABLE licences (key text, n int, d date, t timestamptz, m numeric, b boolean, c char(6), e text); INSERT \
         INTO licences VALUES ('高青', 1, '2018-12-13', '2018-12-12 16:00:00Z', 12345678901234567890.10, true, 'ab', NULL)",
    )
    .await;
    let columns = ["d", "t", "m", "b", "c", "e", "KEY"];
    let kind = pg.kind("postgres", "table = \"LICENCES\"");
    let mut licences = source(pg.folder.path(), &kind, &columns);
    let told = drain(licences.as_mut(), &columns).await;
    assert_eq!(told, [["2018-12-13|2018-12-13 00:00:00+08|12345678901234567890.10|true|ab||高青"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_names_and_nothing_is_written() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    let mark = pg.folder.path().join("ran");
    pg.run(
        "CREATE TABLE x (key text); INSERT INTO x VALUES ('stays'); CREATE TABLE \"licences; DROP TABLE x\" (key text, \
         \"a\"\" OR 1=1\" text); INSERT INTO \"licences; DROP TABLE x\" VALUES ('k', 'v'); CREATE FUNCTION writes() RETURNS \
         text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO x VALUES ('written'); RETURN 'w'; END $$; CREATE VIEW evil AS \
         SELECT writes() AS key",
    )
    .await;
    let of = |table: &str, columns: &[&str]| {
        source(pg.folder.path(), &pg.kind("postgres", &format!("table = {table:?}")), columns)
    };
    let hostile = ["a\" OR 1=1"];
    assert_eq!(drain(of("licences; DROP TABLE x", &hostile).as_mut(), &hostile).await, [["v"]]);
    let copy = format!("x; COPY (SELECT 1) TO PROGRAM 'touch {}'", mark.display());
    for table in ["x\"; DROP TABLE x; --", copy.as_str(), "(DELETE FROM x RETURNING key)", "x WHERE true", "pg_authid"]
    {
        let said = refused(of(table, &["key"]).as_mut()).await;
        assert!(said.contains("the catalogue shows no table"), "{table}: {said}");
    }
    for column in ["key; DROP TABLE x", "writes()", "*", "1"] {
        let said = refused(of("x", &[column]).as_mut()).await;
        assert!(said.contains("has no column"), "{column}: {said}");
    }
    let said = refused(of("evil", &["key"]).as_mut()).await;
    assert!(said.contains("read-only transaction"), "{said}");
    assert!(!mark.exists());
    assert_eq!(drain(of("x", &["key"]).as_mut(), &["key"]).await, [["stays"]]);
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_can_write_is_told() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    let reader = format!("reader_{}", std::process::id());
    pg.run(&format!(
        "{TABLE}; CREATE ROLE {reader} LOGIN PASSWORD 's3cret'; GRANT SELECT (key, value, changed, n) ON licences TO \
         {reader}"
    ))
    .await;
    private(&pg.folder.path().join("password"), "s3cret\n");
    let more = format!("password_file = \"password\"\ntable = \"licences\"\nkey = [\"n\"]\n{BY_TIME}");
    let mut reading = source(pg.folder.path(), &pg.kind(&reader, &more), &COLUMNS);
    assert_eq!(reading.warnings().await.unwrap(), []);
    assert!(drain(reading.as_mut(), &COLUMNS).await.is_empty());
    let shown = reading.access();
    let select = shown.iter().find(|access| access.purpose.starts_with("rows changed")).unwrap();
    assert!(select.rights == "SELECT on licences (key, value, changed, n)", "{select:?}");
    assert!(!format!("{shown:?} {reading:?}").contains("s3cret"));
    let warnings = pg.source(BY_TIME).warnings().await.unwrap();
    assert!(warnings[0].reason == Reason::AccountCanWrite && warnings[0].en.contains("superuser"), "{warnings:?}");
    std::fs::set_permissions(pg.folder.path().join("password"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(source(pg.folder.path(), &pg.kind(&reader, &more), &COLUMNS).as_mut()).await;
    assert!(said.contains("chmod 600"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_given_up() {
    if skipped_by_quick("postgres") {
        return;
    }
    let pg = Pg::new().await;
    pg.run("CREATE VIEW slow AS SELECT 'k' AS key FROM pg_sleep(600)").await;
    let kind = pg.kind("postgres", "table = \"slow\"\nstatement_timeout_s = 1");
    let mut slow = source(pg.folder.path(), &kind, &["key"]);
    let said = tokio::time::timeout(Duration::from_secs(120), refused(slow.as_mut())).await.unwrap();
    assert!(said.contains("statement timeout"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_gives_text_refuses_writing_and_tells_rights() {
    if skipped_by_quick("mariadb") {
        return;
    }
    let maria = Maria::new().await;
    let reader = format!("reader_{}", std::process::id());
    maria
        .run(&format!(
            "CREATE TABLE `licences; DROP TABLE x` (`a`` OR 1=1` varchar(20), d date, t timestamp, m decimal(30,2), c \
             char(6), g varchar(10) CHARACTER SET gbk); INSERT INTO `licences; DROP TABLE x` VALUES ('v', '2018-12-13', \
             '2018-12-13 00:00:00', 12345678901234567890.10, 'ab', '高青'); CREATE TABLE x (k int); CREATE FUNCTION \
             writes() RETURNS int BEGIN INSERT INTO x VALUES (1); RETURN 1; END; CREATE VIEW evil AS SELECT writes() AS k; \
             CREATE USER {reader} IDENTIFIED BY ''; GRANT SELECT ON `{}`.* TO {reader}; GRANT EXECUTE ON `{}`.* TO {reader}",
            maria.database, maria.database
        ))
        .await;
    let columns = ["a` OR 1=1", "d", "m", "c", "g"];
    let kind = maria.kind("root", "table = \"licences; DROP TABLE x\"").await;
    let mut hostile = source(maria.folder.path(), &kind, &columns);
    assert_eq!(drain(hostile.as_mut(), &columns).await, [["v|2018-12-13|12345678901234567890.10|ab|高青"]]);
    let warnings = hostile.warnings().await.unwrap();
    assert_eq!(warnings[0].reason, Reason::AccountCanWrite);
    let mut evil = source(maria.folder.path(), &maria.kind("root", "table = \"evil\"").await, &["k"]);
    let said = refused(evil.as_mut()).await;
    // MariaDB does not even show the columns of a view that would write.
    assert!(said.contains("READ ONLY") || said.contains("the catalogue shows no table"), "{said}");
    let mut plain = source(maria.folder.path(), &maria.kind(&reader, "table = \"x\"").await, &["k"]);
    assert!(drain(plain.as_mut(), &["k"]).await.concat().is_empty(), "nothing was written");
    let warnings = plain.warnings().await.unwrap();
    assert!(warnings.len() == 1 && warnings[0].en.ends_with(": EXECUTE"), "{warnings:?}");
}
