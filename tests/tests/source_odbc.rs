//! Tables and views behind ODBC as sources: over the drivers of PostgreSQL and SQLite, with views that have Oracle's
//! habits.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use weft_adapter::{
    problem::Reason,
    source::{
        Ending, Item, Source,
        contract::{
            self,
            in_turn::{Hand, InTurn},
        },
    },
};
use weft_tests::{
    postgres, skipped_by_quick,
    tables::{drain, next_base, refused, source, waiting},
};

const COLUMNS: [&str; 2] = ["key", "value"];
const BY_TIME: &str = "watermark = { column = \"changed\", kind = \"timestamp\" }\nunit_rows = 250000";
const BY_NUMBER: &str = "watermark = { column = \"n\", kind = \"number\" }\nunit_rows = 250000";

/// The helper, beside the program under test.
fn helper() -> PathBuf {
    let weft = std::env::var_os("WEFT_BIN").expect("WEFT_BIN: run tests/run, which builds it");
    let helper = Path::new(&weft).with_file_name("weft-odbc");
    assert!(helper.is_file(), "no helper at {}", helper.display());
    helper
}

/// A database behind a driver, and a folder for the adapter's state.
enum Database {
    Postgres(String, TempDir),
    Sqlite(TempDir),
}

impl Database {
    async fn postgres() -> Self {
        Self::Postgres(postgres::shared().await.database().await, tempfile::tempdir().unwrap())
    }

    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Postgres(_, folder) | Self::Sqlite(folder) => folder.path(),
        }
    }

    async fn run(&self, text: &str) {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Postgres(url, _) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Sqlite(folder) => {
                let options = SqliteConnectOptions::new().filename(folder.path().join("d.db")).create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    fn kind(&self, more: &str) -> String {
        let (driver, connection) = match self {
            Self::Postgres(url, _) => {
                let (server, database) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
                let port = server.rsplit_once(':').unwrap().1;
                let at = format!("{{ server = \"127.0.0.1\", port = \"{port}\", database = \"{database}\" }}");
                ("PostgreSQL Unicode\"\nuser = \"postgres", at)
            }
            Self::Sqlite(folder) => ("SQLite3", format!("{{ database = {:?} }}", folder.path().join("d.db"))),
        };
        let helper = helper();
        format!("[source.odbc]\ndriver = \"{driver}\"\nconnection = {connection}\nhelper = {helper:?}\n{more}")
    }

    /// PostgreSQL's driver without UTF-16, whose client has the character set that the environment says, as those of
    /// other makers do.
    fn ansi(&self, charset: &str, more: &str, columns: &[&str]) -> Box<dyn Source> {
        let wrapped = self.folder().join("helper");
        let script = format!("#!/bin/sh\nPGCLIENTENCODING={charset} exec '{}'\n", helper().display());
        std::fs::write(&wrapped, script).unwrap();
        std::fs::set_permissions(&wrapped, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let kind = self.kind(more).replace("PostgreSQL Unicode", "PostgreSQL ANSI");
        let kind = kind.replace(&format!("{:?}", helper()), &format!("{wrapped:?}"));
        source(self.folder(), &kind, columns)
    }

    fn source(&self, more: &str, columns: &[&str]) -> Box<dyn Source> {
        source(self.folder(), &self.kind(more), columns)
    }
}

struct Filled(Database, &'static str);

#[async_trait]
impl Hand for Filled {
    fn source(&self) -> Box<dyn Source> {
        self.0.source(&format!("table = \"licences\"\nkey = [\"n\"]\n{}", self.1), &COLUMNS)
    }

    async fn fill(&self, rows: usize) {
        let base = next_base();
        let text = match self.0 {
            Database::Postgres(..) => format!(
                "CREATE TABLE IF NOT EXISTS licences (key varchar(40), value varchar(40), changed timestamp, n bigint); \
                 TRUNCATE licences; INSERT INTO licences SELECT 'key-' || i, 'value-' || i, now() - interval '1 hour' + i \
                 / 1000 * interval '1 second', i + {base} FROM generate_series(0, {rows} - 1) i"
            ),
            Database::Sqlite(_) => format!(
                "CREATE TABLE IF NOT EXISTS licences (key TEXT, value TEXT, changed TEXT, n INTEGER); DELETE FROM \
                 licences; WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {rows}) INSERT \
                 INTO licences SELECT 'key-' || i, 'value-' || i, strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 hour', (i / \
                 1000) || ' seconds'), i + {base} FROM c"
            ),
        };
        self.0.run(&text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_odbc_keeps_the_contract() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    for more in [BY_TIME, BY_NUMBER, ""] {
        let mut fresh = Vec::new();
        for _ in 0..4 {
            fresh.push(InTurn::new(Filled(Database::postgres().await, more)));
        }
        contract::all(|| fresh.pop().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_behind_odbc_keeps_the_contract() {
    if skipped_by_quick("unixODBC") {
        return;
    }
    for more in [BY_TIME, BY_NUMBER, ""] {
        contract::all(|| InTurn::new(Filled(Database::sqlite(), more))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracles_habits_are_met() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    database
        .run(
            "CREATE SCHEMA \"LICENSING\"; CREATE TABLE \"LICENSING\".\"T_BASE\" (id numeric, code char(20), note \
             varchar(100), amount numeric, issued timestamp(0), changed timestamp(0)); INSERT INTO \"LICENSING\".\"T_BASE\" \
             VALUES (1, '370322', '', 1200.50, '2018-12-13', '2026-01-01 08:00:00'), (2, '370321', '高青县', \
             123456789012345678901234567890, '2019-02-28', '2026-01-01 08:00:00'); CREATE VIEW \"LICENSING\".\"V_LICENCE\" \
             AS SELECT id AS \"ID\", code AS \"CODE\", nullif(note, '') AS \"NOTE\", amount AS \"AMOUNT\", issued AS \
             \"ISSUED\", changed AS \"CHANGED\" FROM \"LICENSING\".\"T_BASE\"",
        )
        .await;
    let columns = ["code", "note", "amount", "issued"];
    let more = "schema = \"LICENSING\"\ntable = \"v_licence\"\nkey = [\"id\"]\nunit_rows = 100\n\
                watermark = { column = \"changed\", kind = \"timestamp\" }";
    let mut licences = database.source(more, &columns);
    let told = drain(licences.as_mut(), &columns).await;
    let expected =
        ["370322||1200.50|2018-12-13 00:00:00", "370321|高青县|123456789012345678901234567890|2019-02-28 00:00:00"];
    assert_eq!(told, [expected], "blanks, NULL, numbers and midnight as they stand");
    database.run("UPDATE \"LICENSING\".\"T_BASE\" SET note = 'x', changed = '2026-01-01 08:00:01' WHERE id = 1").await;
    assert_eq!(drain(licences.as_mut(), &columns).await, [["370322|x|1200.50|2018-12-13 00:00:00"]]);
    let warnings = licences.warnings().await.unwrap();
    assert_eq!(warnings[0].reason, Reason::AccountCanWrite);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_behind_odbc_lose_nothing() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    database
        .run(
            "CREATE TABLE licences (key varchar(40), value varchar(40), changed timestamp); INSERT INTO licences SELECT \
             'k' || i, '1', '2020-01-01' FROM generate_series(1, 205) i; INSERT INTO licences VALUES ('null', '1', NULL)",
        )
        .await;
    let more = format!("table = \"licences\"\nkey = [\"key\"]\n{}", BY_TIME.replace("250000", "50"));
    let mut licences = database.source(&more, &COLUMNS);
    let mut all = drain(licences.as_mut(), &COLUMNS).await.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 206);
    assert!(drain(licences.as_mut(), &COLUMNS).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_in_gbk_is_read() {
    if skipped_by_quick("unixODBC") {
        return;
    }
    let database = Database::sqlite();
    database
        .run("CREATE TABLE licences (key TEXT, value TEXT); INSERT INTO licences VALUES ('1', CAST(x'B8DFC7E0' AS TEXT))")
        .await;
    let mut gbk = database.source("table = \"licences\"\nencoding = \"gbk\"", &COLUMNS);
    assert_eq!(drain(gbk.as_mut(), &COLUMNS).await, [["1|高青"]]);
    let mut utf8 = database.source("table = \"licences\"\nencoding = \"utf8\"", &COLUMNS);
    assert_eq!(items(utf8.as_mut(), &COLUMNS).await, ["1: value text_unreadable"], "never guessed");
}

/// A view whose names are Chinese, in a schema that is as well. The second byte of 乗 in GBK is a backslash; the low byte
/// of 丢 in UTF-16 is a quotation mark.
const CHINESE: &str = "CREATE SCHEMA \"卫生局\"; CREATE TABLE \"卫生局\".\"许可证底表\" (\"编号\" varchar(40), \"名称\" varchar(40), \
                       \"更新时间\" timestamp(0)); INSERT INTO \"卫生局\".\"许可证底表\" SELECT '鲁卫' || i, '高青乗' || i, \
                       '2026-01-01 08:00:00' FROM generate_series(1, 5) i; CREATE VIEW \"卫生局\".\"丢失许可证\" AS SELECT * \
                       FROM \"卫生局\".\"许可证底表\"; CREATE VIEW v_licence AS SELECT * FROM \"卫生局\".\"许可证底表\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_without_utf_16_is_spoken_to_in_bytes() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    database.run(CHINESE).await;
    let columns = ["名称", "编号"];
    let row = |number: usize| format!("高青乗{number}|鲁卫{number}");
    let all: Vec<String> = (1..=5).map(row).collect();
    for (charset, encoding) in [("GBK", "gbk"), ("GB18030", "gbk"), ("UTF8", "utf8")] {
        for table in ["schema = \"卫生局\"\ntable = \"丢失许可证\"", "table = \"丢失许可证\"", "table = \"V_LICENCE\""]
        {
            let whole = format!("{table}\nencoding = \"{encoding}\"");
            let told = drain(database.ansi(charset, &whole, &columns).as_mut(), &columns).await;
            let mut told = told.concat();
            told.sort();
            assert_eq!(told, all, "{charset}, {table}: as a snapshot");
            // All rows have one watermark, so the key, which is Chinese, is bound from page to page.
            let marked = format!(
                "{whole}\nkey = [\"编号\"]\nunit_rows = 2\nwatermark = {{ column = \"更新时间\", kind = \"timestamp\" }}"
            );
            let mut told = drain(database.ansi(charset, &marked, &columns).as_mut(), &columns).await.concat();
            told.sort();
            told.dedup();
            assert_eq!(told, all, "{charset}, {table}: by watermark");
        }
    }
    let missing = "table = \"许可证丢\"\nencoding = \"gbk\"";
    let said = refused(database.ansi("GBK", missing, &columns).as_mut()).await;
    assert!(said.contains("the catalogue shows no table"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_with_utf_16_may_give_bytes() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    database.run(CHINESE).await;
    for table in ["schema = \"卫生局\"\ntable = \"丢失许可证\"", "table = \"v_licence\""] {
        let more = format!("{table}\nencoding = \"utf8\"");
        let told = drain(database.source(&more, &["编号", "名称"]).as_mut(), &["名称"]).await.concat();
        assert_eq!((told.len(), told[0].as_str()), (5, "高青乗1"), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_no_text_is_a_problem_of_that_row() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    let raw = format!("raw_{}", next_base());
    let made = format!("CREATE DATABASE {raw} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    database.run(&made).await;
    let Database::Postgres(url, folder) = database else { unreachable!("made above") };
    let (server, _) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let database = Database::Postgres(format!("{server}/{raw}?sslmode=disable"), folder);
    database
        .run(
            "CREATE TABLE licences (key varchar(40), value varchar(40), n int); INSERT INTO licences VALUES ('1', \
             E'\\xB8\\xDF\\xC7\\xE0', 1), ('2', E'\\xB8\\xDF\\xC7', 2), ('3', 'x', 3)",
        )
        .await;
    let expected = ["1|高青", "2: value text_unreadable", "3|x"];
    for more in [String::new(), BY_NUMBER.replace("250000", "2")] {
        let more = format!("table = \"licences\"\nkey = [\"key\"]\nencoding = \"gbk\"\n{more}");
        // The server looks at nothing, as many do.
        let mut licences = database.ansi("SQL_ASCII", &more, &COLUMNS);
        assert_eq!(items(licences.as_mut(), &COLUMNS).await, expected);
    }
}

/// What is told, row by row: its cells, or what is wrong with it.
async fn items(source: &mut dyn Source, columns: &[&str]) -> Vec<String> {
    let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    let (mut told, mut line) = (Vec::new(), 0);
    while let Some(unit) = waiting(source).await {
        let mut rows = source.rows(&unit, &columns).await.unwrap();
        while let Some(item) = rows.next().await.unwrap() {
            line += 1;
            told.push(match item {
                Item::Row(row) => row.cells.join("|"),
                Item::Bad(problem) | Item::Note(problem) => format!("{line}: {} {}", problem.column, problem.reason),
            });
        }
        source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_names_and_nothing_is_written() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let database = Database::postgres().await;
    let mark = database.folder().join("ran");
    database
        .run(
            "CREATE TABLE x (key text); INSERT INTO x VALUES ('stays'); CREATE TABLE \"licences; DROP TABLE x\" (key text, \
             \"a\"\" OR 1=1\" text); INSERT INTO \"licences; DROP TABLE x\" VALUES ('k', 'v'); CREATE FUNCTION writes() \
             RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO x VALUES ('written'); RETURN 'w'; END $$; CREATE VIEW \
             evil AS SELECT writes() AS key",
        )
        .await;
    let of = |table: &str, columns: &[&str]| database.source(&format!("table = {table:?}"), columns);
    let hostile = ["a\" OR 1=1"];
    assert_eq!(drain(of("licences; DROP TABLE x", &hostile).as_mut(), &hostile).await, [["v"]]);
    let copy = format!("x; COPY (SELECT 1) TO PROGRAM 'touch {}'", mark.display());
    for table in ["x\"; DROP TABLE x; --", copy.as_str(), "%", "_", "(DELETE FROM x RETURNING key)"] {
        let said = refused(of(table, &["key"]).as_mut()).await;
        assert!(said.contains("the catalogue shows no table"), "{table}: {said}");
    }
    let said = refused(of("evil", &["key"]).as_mut()).await;
    assert!(said.contains("read-only transaction"), "{said}");
    assert!(!mark.exists());
    assert_eq!(drain(of("x", &["key"]).as_mut(), &["key"]).await, [["stays"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said() {
    if skipped_by_quick("unixODBC") {
        return;
    }
    let database = Database::sqlite();
    let kind = database.kind("table = \"x\"");
    let no_driver = kind.replace("SQLite3", "Oracle 23");
    let said = refused(source(database.folder(), &no_driver, &["key"]).as_mut()).await;
    assert!(said.contains("is the driver installed and named in odbcinst.ini?"), "{said}");
    let no_helper = kind.replace("weft-odbc", "weft-odbc-that-is-not-there");
    let said = refused(source(database.folder(), &no_helper, &["key"]).as_mut()).await;
    assert!(said.contains("install it, or name it in odbc.helper"), "{said}");
}
