//! Sources never seen before, of every kind that can be pointed at: `init --yes`, `check`, `run` by the real `weft`
//! binary without an edited line, all fields that content, comment or heading decide right, and what nothing tells
//! apart left out.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "init/book.rs"]
mod book;
#[path = "init/export.rs"]
mod export;

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use weft_tests::{
    department::confirm, folder::scratch, hub::TestHub, mariadb, office::here, postgres, skipped_by_quick,
};

use export::{AUTHORITY, DEPARTMENT, ROWS, TYPE, User, answers, cell, texts};

/// What the rows hold, by its name in `export`, and what it is to become; nothing where nothing can tell.
const HELD: [(&str, Option<&str>); 17] = [
    ("掌柜", Some("legalRep")),
    ("批准衙门", Some("issuingAuthorityName")),
    ("营业期限至", Some("termTo")),
    ("门牌所在", Some("address")),
    ("社会码十八位", Some("uscc")),
    ("注册资本（万元）", Some("capital")),
    ("甲日", None),
    ("组织样式", Some("entityType")),
    ("成立日期", Some("established")),
    ("掌柜证号", Some("legalRepId")),
    ("币种", Some("capitalCurrency")),
    ("营生项目", Some("scope")),
    ("备查号", None),
    ("发照日期", Some("issuedDate")),
    ("当前境况", Some("record.status")),
    ("牌匾全名", Some("name")),
    ("乙日", None),
];

/// What each is called in a source, in the order of [`HELD`].
type Names = [&'static str; 17];

/// In the workbook: but for four, headings that say nothing to anybody else.
const BOOK: Names = [
    "当家人",
    "点头部门",
    "营业期限至",
    "铺面所在",
    "十八位码",
    "注册资本(万元)",
    "某日一",
    "铺子样式",
    "成立时间",
    "当家人证号",
    "币种",
    "买卖范围说明",
    "备查串",
    "核发日期",
    "眼下境况",
    "招牌",
    "某日二",
];
/// In the lines of JSON, as paths.
const LINES: Names = [
    "boss/zhangguiren",
    "piwenchu",
    "spanEnd/营业期限至",
    "menpaichu",
    "shibama",
    "purse/注册资本（万元）",
    "misc/0/d",
    "puxing",
    "成立日期",
    "boss/renhao18",
    "purse/币种",
    "maimaixiang",
    "misc/0/s",
    "发照日期",
    "yanxia",
    "zhaopaiming",
    "misc/1/d",
];

fn numbered(at: usize) -> String {
    format!("c{}", at + 1)
}

/// Where nothing but a comment can say what a column is.
fn comment(held: &str) -> Option<&str> {
    match held {
        "营业期限至" => Some("营业期限至，含当日"),
        "注册资本（万元）" => Some("注册资本（万元）"),
        "成立日期" => Some("成立日期：八位数字"),
        "发照日期" => Some("发照日期"),
        "币种" => Some("币种"),
        _ => None,
    }
}

/// A hub, a department that is about to join it, and its folder.
struct Place {
    hub: TestHub,
    folder: TempDir,
    user: User,
}

impl Place {
    async fn new(kind: &str) -> Self {
        let hub = TestHub::start().await;
        let folder = scratch(kind);
        fs::create_dir(folder.path().join("adapter")).unwrap();
        hub.register(DEPARTMENT, &[TYPE], true).await;
        let token = hub.join_token(&format!("department/{DEPARTMENT}/adapter/main")).await;
        fs::write(folder.path().join("token"), here(&token, hub.enrolment)).unwrap();
        let user = User { folder: folder.path().join("adapter"), commands: 0 };
        Self { hub, folder, user }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("adapter")
    }

    /// From the source to answers at a window; what `init` told, and the file that it wrote.
    async fn goes(mut self, sample: &str, more: &[&str], named: &[(&str, String)]) -> (Value, String) {
        let api = format!("https://localhost:{}", self.hub.api.port());
        let mut line = vec!["init", sample, "--yes", "--hub", &api, "--authority-code", AUTHORITY];
        line.extend(more);
        let (status, told) = self.user.weft(&line).await;
        let text = fs::read_to_string(self.home().join("adapter.toml")).unwrap_or_default();
        assert!(status.success(), "{told:#}\n{text}");
        let source = told["sources"][0].clone();
        proposed(&source, &text, named);

        let (status, joined) = self.user.weft(&["join", "--config", "adapter.toml", "--token-file", "../token"]).await;
        assert!(status.success(), "{joined:#}");
        confirm(&self.hub, DEPARTMENT, joined["fingerprint"].as_str().unwrap()).await.unwrap();
        let (status, checked) = self.user.weft(&["check", "--config", "adapter.toml"]).await;
        assert!(status.success(), "{checked:#}\n{text}");
        // Beside the unit something may be said of the account.
        let unit = checked.as_array().unwrap().iter().find(|unit| unit["file"] != "").unwrap();
        assert_eq!((&unit["rows"], &unit["valid"]), (&json!(ROWS), &json!(ROWS)), "{checked:#}\n{text}");
        let (status, run) = self.user.weft(&["run", "--config", "adapter.toml", "--once"]).await;
        assert!(status.success(), "{run:#}\n{text}");
        // One of them is issued and cancelled.
        assert_eq!((&run["published"], &run["indexed"]), (&json!(ROWS + 1), &json!(ROWS + 1)), "{run:#}\n{text}");
        answers(&self.hub, &self.home()).await;
        self.hub.stop().await;
        (source, text)
    }
}

/// Every field has its column, and what nothing tells apart has none.
fn proposed(source: &Value, text: &str, named: &[(&str, String)]) {
    assert_eq!(source["record_type"], TYPE, "{source:#}");
    let choices = source["fields"].as_array().unwrap();
    let found: BTreeMap<&str, &str> =
        choices.iter().filter_map(|choice| Some((choice["field"].as_str()?, choice["column"].as_str()?))).collect();
    for (held, name) in named {
        let Some((_, wanted)) = HELD.iter().find(|(other, _)| other == held) else { continue };
        match wanted {
            Some(field) => assert_eq!(found.get(field), Some(&name.as_str()), "{held}: {source:#}\n{text}"),
            None => assert!(!found.values().any(|column| column == name), "{held}: {source:#}\n{text}"),
        }
    }
    let name = |held: &str| &named.iter().find(|(other, _)| *other == held).unwrap().1;
    assert!(text.contains(&format!("# 列 {} 像 citizen-id", name("备查号"))), "{text}");
    assert!(text.contains("left out; choose among: ") && text.contains("# termFrom = "), "{text}");
    assert!(text.contains(name("甲日").as_str()), "{text}");
    assert!(!text.contains("370399") && !source.to_string().contains("370399"), "nobody's number is shown");
}

fn names_of(names: &Names) -> Vec<(&'static str, String)> {
    HELD.iter().zip(names).map(|((held, _), name)| (*held, (*name).to_owned())).collect()
}

fn rows() -> impl Iterator<Item = Vec<String>> {
    (0..ROWS).map(|number| HELD.iter().map(|(held, _)| cell(number, held)).collect())
}

#[test]
fn a_third_of_the_headings_is_nowhere_in_the_project() {
    let texts = texts();
    for names in [&BOOK, &LINES] {
        let last = |name: &&&str| !texts.contains(name.rsplit('/').next().unwrap());
        let unseen = names.iter().filter(last).count();
        assert!(unseen * 3 >= names.len(), "{unseen} of {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_never_seen_before_is_published() {
    let place = Place::new("init-book").await;
    let mut sheet = vec![vec!["某单位台账".to_owned()], BOOK.map(str::to_owned).to_vec()];
    sheet.extend(rows());
    let notes =
        [["说明", "值"], ["制表", "示例"], ["复核", "示例"]].map(|row| row.map(str::to_owned).to_vec()).to_vec();
    fs::create_dir(place.folder.path().join("share")).unwrap();
    book::write(&place.folder.path().join("share/铺子20261101.xlsx"), &[("封面", notes), ("明细", sheet)]);
    let (source, text) = place.goes("../share/铺子20261101.xlsx", &[], &names_of(&BOOK)).await;
    assert_eq!(source["part"], "明细");
    assert!(text.contains("pattern = \"铺子*.xlsx\"") && text.contains("sheet = { name = \"明细\" }"), "{text}");
}

/// Puts a value at a path.
fn put(into: &mut Value, path: &str, value: String) {
    match path.split_once('/') {
        None if into.is_null() => *into = json!({ path: value }),
        None => into[path] = value.into(),
        Some((step, rest)) => match step.parse::<usize>() {
            Ok(at) => {
                if into.is_null() {
                    *into = json!([]);
                }
                let list = into.as_array_mut().unwrap();
                while list.len() <= at {
                    list.push(Value::Null);
                }
                put(&mut list[at], rest, value);
            }
            Err(_) => {
                if into.is_null() {
                    *into = Value::Object(Map::new());
                }
                put(&mut into[step], rest, value);
            }
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_never_seen_before_are_published() {
    let place = Place::new("init-lines").await;
    let mut text = String::new();
    for row in rows() {
        let mut record = Value::Null;
        for (path, cell) in LINES.iter().zip(row) {
            put(&mut record, path, cell);
        }
        text += &format!("{record}\n");
    }
    fs::create_dir(place.folder.path().join("share")).unwrap();
    fs::write(place.folder.path().join("share/feed-20261101.jsonl"), text).unwrap();
    let (_, text) = place.goes("../share/feed-20261101.jsonl", &[], &names_of(&LINES)).await;
    assert!(text.contains("pattern = \"feed-*.jsonl\""), "{text}");
}

/// `c1` to `c17` with a time of the last change, as statements.
fn script(create: &str, column: impl Fn(usize) -> String) -> String {
    let columns: Vec<String> = (0..HELD.len()).map(column).collect();
    let mut script = format!("{create} ({}, c18 TIMESTAMP NOT NULL);\n", columns.join(", "));
    for (number, row) in rows().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| format!("'{cell}'")).collect();
        script += &format!(
            "INSERT INTO t_base VALUES ({}, '2026-10-{:02} 08:{:02}:17');\n",
            cells.join(", "),
            number % 28 + 1,
            number % 60
        );
    }
    script
}

fn named_by_number() -> Vec<(&'static str, String)> {
    HELD.iter().enumerate().map(|(at, (held, _))| (*held, numbered(at))).collect()
}

async fn run_postgres(url: &str, text: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Port and name of a database from its address.
fn at(url: &str) -> (String, String) {
    let (server, database) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    (server.rsplit_once(':').unwrap().1.to_owned(), database.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_postgresql_with_comments_is_published() {
    if skipped_by_quick("postgres") {
        return;
    }
    let url = postgres::shared().await.database().await;
    let mut text = script("CREATE TABLE t_base", |at| format!("c{} varchar(300)", at + 1));
    text += "CREATE SCHEMA office; CREATE VIEW office.v_77 AS SELECT * FROM t_base; CREATE TABLE t_notes (a text, b text); \
             INSERT INTO t_notes VALUES ('x', 'y'); COMMENT ON COLUMN office.v_77.c18 IS '更新时间'; ALTER TABLE t_base \
             RENAME TO t_old; REVOKE ALL ON t_old FROM PUBLIC;";
    for (at, (held, _)) in HELD.iter().enumerate() {
        if let Some(comment) = comment(held) {
            text += &format!("COMMENT ON COLUMN office.v_77.c{} IS '{comment}';", at + 1);
        }
    }
    let reader = format!("looker_{}", std::process::id());
    text += &format!(
        "CREATE ROLE {reader} LOGIN; GRANT USAGE ON SCHEMA office TO {reader}; GRANT SELECT ON office.v_77, t_notes TO {reader}"
    );
    run_postgres(&url, &text).await;
    let (port, database) = at(&url);
    let place = Place::new("init-postgres").await;
    let address = format!("postgres://{reader}@127.0.0.1:{port}/{database}");
    let (source, text) = place.goes(&address, &["--tls", "off"], &named_by_number()).await;
    assert_eq!(source["part"], "v_77", "the account does not see the table below it");
    let why: BTreeMap<&str, &str> = source["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|choice| Some((choice["field"].as_str()?, choice["why"].as_str()?)))
        .collect();
    assert_eq!((why["issuedDate"], why["uscc"]), ("comment", "content"), "{why:?}");
    assert!(text.contains("schema = \"office\"\ntable = \"v_77\"\nkey = [\"c5\"]"), "{text}");
    assert!(text.contains("watermark = { column = \"c18\", kind = \"timestamp\" }"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_mariadb_with_comments_is_published() {
    if skipped_by_quick("mariadb") {
        return;
    }
    let server = mariadb::shared().await;
    let database = server.database().await;
    let column = |at: usize| {
        let comment = comment(HELD[at].0).map(|comment| format!(" COMMENT '{comment}'")).unwrap_or_default();
        format!("c{} varchar(300){comment}", at + 1)
    };
    let text =
        script("CREATE TABLE t_base", column).replace("c18 TIMESTAMP NOT NULL", "c18 DATETIME NOT NULL, KEY (c18)");
    let url = server.url(&database);
    let runtime = tokio::runtime::Handle::current();
    // On a thread of its own: the future of this driver's statements is not `Send` for every lifetime.
    let run = move || {
        runtime.block_on(async move {
            let mut connection = sqlx::MySqlConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    };
    tokio::task::spawn_blocking(run).await.unwrap();
    let place = Place::new("init-mariadb").await;
    let address = format!("mysql://root@127.0.0.1:{}/{database}", server.port());
    let (source, text) = place.goes(&address, &["--tls", "off"], &named_by_number()).await;
    assert_eq!(source["part"], "t_base");
    // Nothing calls it a time of change; it is indexed, and never before another day of its row.
    assert!(text.contains("watermark = { column = \"c18\", kind = \"timestamp\" }  # 65 %"), "{text}");
}

/// The names of a table of SQLite, which has no comments.
const TABLE: Names = [
    "laoban",
    "yamen",
    "营业期限至",
    "weizhi",
    "sym18",
    "注册资本（万元）",
    "tian1",
    "yangzi",
    "成立日期",
    "laoban_hao",
    "币种",
    "maimai",
    "beicha",
    "发照日期",
    "jingkuang",
    "paizi",
    "tian2",
];

async fn sqlite(place: &Place, names: impl Fn(usize) -> String, changed: &str) -> PathBuf {
    let path = place.folder.path().join("office.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let text = script("CREATE TABLE t_base", |at| format!("\"{}\" TEXT", names(at)))
        .replace("c18 TIMESTAMP NOT NULL", changed);
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_sqlite_is_published() {
    let place = Place::new("init-sqlite").await;
    sqlite(&place, |at| TABLE[at].to_owned(), "rksj TEXT NOT NULL").await;
    let (_, text) = place.goes("../office.db", &[], &names_of(&TABLE)).await;
    // When a row was written first says nothing of changes.
    assert!(text.contains("table = \"t_base\"\n# 未见随每次修改增长的列"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_behind_odbc_is_published() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let url = postgres::shared().await.database().await;
    let mut text = script("CREATE TABLE t_base", |at| {
        let of_type = if HELD[at].0 == "社会码十八位" { "char(30)" } else { "varchar(300)" };
        format!("c{} {of_type}", at + 1)
    });
    text += "CREATE SCHEMA \"LICENSING\"; CREATE VIEW \"LICENSING\".\"V_77\" AS SELECT * FROM t_base;";
    for (at, (held, _)) in HELD.iter().enumerate() {
        if let Some(comment) = comment(held) {
            text += &format!("COMMENT ON COLUMN \"LICENSING\".\"V_77\".c{} IS '{comment}';", at + 1);
        }
    }
    run_postgres(&url, &text).await;
    let (port, database) = at(&url);
    let place = Place::new("init-odbc").await;
    let weft = std::env::var_os("WEFT_BIN").expect("WEFT_BIN: run tests/run, which builds it");
    let helper = PathBuf::from(weft).with_file_name("weft-odbc");
    let address = format!("odbc:PostgreSQL Unicode;server=127.0.0.1;port={port};database={database};user=postgres");
    let more = ["--table", "v_77", "--schema", "LICENSING", "--helper", helper.to_str().unwrap()];
    let (source, text) = place.goes(&address, &more, &named_by_number()).await;
    assert_eq!(source["part"], "V_77");
    assert!(text.contains("driver = \"PostgreSQL Unicode\"") && text.contains("table = \"V_77\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_nothing_is_written() {
    let mut place = Place::new("init-wrong").await;
    let home = place.home();
    fs::write(home.join("empty.json"), "[]").unwrap();
    fs::write(home.join("words.csv"), "甲,乙\n").unwrap();
    let name = |at: usize| TABLE[at].to_owned();
    let database = sqlite(&place, name, "rksj TEXT NOT NULL").await;
    let database = database.to_str().unwrap();
    for (line, zh, en) in [
        (vec!["empty.json"], "没有找到记录列表", "no list of records"),
        (vec!["words.csv"], "没有表头", "no heading row"),
        (vec!["postgres://u:s3cret@127.0.0.1/d"], "按提示改正", "--password-file"),
        (vec![database, "--table", "nothing"], "看不到所指的表", "does not see the table"),
        (vec!["http://127.0.0.1:9/x"], "按提示改正", "rest.allow"),
        (vec!["there-is-none.csv"], "无法读取", "cannot be read"),
    ] {
        let said = place.user.refused(&[&["init"], &line[..], &["--yes"]].concat()).await;
        assert!(said.contains(zh) && said.contains(en) && !said.contains("s3cret"), "{line:?}: {said}");
        assert!(!home.join("adapter.toml").exists(), "{line:?}");
    }
    // Without anybody to ask, nothing is taken for an answer.
    let said = place.user.refused(&["init", database]).await;
    assert!(said.contains("--yes"), "{said}");
    place.hub.stop().await;
}
