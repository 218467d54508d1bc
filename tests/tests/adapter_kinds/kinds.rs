//! Sources of every kind that say the same: food business licences, changed batch by batch.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::SocketAddr,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::OnceCell,
    task::JoinHandle,
};
use weft_tests::{
    eventually,
    office::{cells, headings},
    postgres,
};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::desk::PATIENCE;

/// A department's system, as far as a source sees it.
#[async_trait(?Send)]
pub(crate) trait Kind {
    /// Makes what the source reads; gives the keys of the kind (`[sql]` and what stands under it), for an adapter in `folder`.
    async fn configure(&self, folder: &Path) -> String;

    /// From now on these licences say what `number` makes of them. Returns when the department is done with it.
    async fn say(&self, licences: Range<u32>, number: u32);
}

/// Licences handed over at a time: the department does not do it all at once.
const TOGETHER: usize = 60;

fn parts(licences: Range<u32>) -> impl Iterator<Item = Vec<u32>> {
    let all: Vec<u32> = licences.collect();
    all.chunks(TOGETHER).map(<[u32]>::to_vec).collect::<Vec<_>>().into_iter()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// How a table is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Sqlite,
    Postgres,
    /// PostgreSQL, behind its driver.
    Odbc,
}

/// A table with a column for each heading, `changed` and `n`.
pub(crate) struct Table {
    by: By,
    /// How the source sees changes.
    watermark: &'static str,
    url: OnceCell<String>,
    next: AtomicU64,
}

impl Table {
    pub(crate) fn new(by: By, watermark: &'static str) -> Self {
        Self { by, watermark, url: OnceCell::new(), next: AtomicU64::new(1) }
    }

    async fn run(&self, text: String) {
        let url = self.url.get().unwrap();
        let text = AssertSqlSafe(text);
        if self.by == By::Sqlite {
            let options = SqliteConnectOptions::new().filename(url).create_if_missing(true);
            let options = options.busy_timeout(PATIENCE);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// The helper, beside the program under test.
    fn helper() -> PathBuf {
        let weft = std::env::var_os("WEFT_BIN").expect("WEFT_BIN: run tests/run, which builds it");
        Path::new(&weft).with_file_name("weft-odbc")
    }
}

#[async_trait(?Send)]
impl Kind for Table {
    async fn configure(&self, folder: &Path) -> String {
        let url = match self.by {
            By::Sqlite => folder.join("licences.db").display().to_string(),
            By::Postgres | By::Odbc => postgres::shared().await.database().await,
        };
        self.url.set(url.clone()).unwrap();
        let columns: Vec<String> = headings().iter().map(|heading| format!("\"{heading}\" varchar(200)")).collect();
        let changed = if self.by == By::Sqlite { "text" } else { "timestamptz" };
        let (first, columns) = (headings()[0], columns.join(", "));
        self.run(format!(
            "CREATE TABLE licences ({columns}, changed {changed} NOT NULL, n bigint NOT NULL, UNIQUE (\"{first}\"))"
        ))
        .await;
        let what = format!("table = \"licences\"\nkey = [\"n\"]\nunit_rows = 100\n{}", self.watermark);
        if self.by == By::Sqlite {
            return format!("[sql]\nengine = \"sqlite\"\nfile = {url:?}\n{what}");
        }
        let (server, database) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
        let port = server.rsplit_once(':').unwrap().1;
        if self.by == By::Postgres {
            return format!(
                "[sql]\nengine = \"postgres\"\nhost = \"127.0.0.1\"\nport = {port}\ndatabase = \"{database}\"\nuser = \
                 \"postgres\"\ntls = \"off\"\n{what}"
            );
        }
        let helper = Self::helper();
        format!(
            "[odbc]\ndriver = \"PostgreSQL Unicode\"\nuser = \"postgres\"\nhelper = {helper:?}\nconnection = {{ server = \
             \"127.0.0.1\", port = \"{port}\", database = \"{database}\" }}\n{what}"
        )
    }

    async fn say(&self, licences: Range<u32>, number: u32) {
        let columns: Vec<String> = headings().iter().map(|heading| format!("\"{heading}\"")).collect();
        let set: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let now = if self.by == By::Sqlite { "datetime('now')" } else { "clock_timestamp()" };
        for part in parts(licences) {
            let rows = part.into_iter().map(|licence| {
                let n = self.next.fetch_add(1, Ordering::Relaxed);
                format!("('{}', {now}, {n})", cells(licence, number).join("', '"))
            });
            let rows: Vec<String> = rows.collect();
            self.run(format!(
                "INSERT INTO licences ({}, changed, n) VALUES {} ON CONFLICT ({}) DO UPDATE SET {}, changed = {now}, n = \
                 excluded.n",
                columns.join(", "),
                rows.join(", "),
                columns[0],
                set.join(", ")
            ))
            .await;
        }
    }
}

fn record(licence: u32, number: u32) -> Map<String, Value> {
    headings().into_iter().map(str::to_owned).zip(cells(licence, number).map(Value::from)).collect()
}

type Served = Arc<Mutex<BTreeMap<u64, Map<String, Value>>>>;

/// A system that serves its records page by page, and what changed since a number.
#[derive(Default)]
pub(crate) struct Rest {
    /// By the number that grows with every change.
    rows: Served,
    /// Numbers by licence.
    known: Mutex<BTreeMap<u32, u64>>,
    serving: OnceCell<JoinHandle<()>>,
}

async fn page(State(rows): State<Served>, Query(asked): Query<BTreeMap<String, String>>) -> Json<Value> {
    let number = |name: &str, or: u64| asked.get(name).map_or(or, |text| text.parse().unwrap());
    let (since, page, size) = (number("since", 0), number("page", 1), number("size", 50));
    let (skip, take) = (usize::try_from((page - 1) * size).unwrap(), usize::try_from(size).unwrap());
    let rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let found: Vec<_> = rows.range(since..).skip(skip).take(take).map(|(_, row)| row.clone()).collect();
    Json(json!({ "data": { "rows": found } }))
}

#[async_trait(?Send)]
impl Kind for Rest {
    async fn configure(&self, _: &Path) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/licences", get(page)).with_state(Arc::clone(&self.rows));
        self.serving.set(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })).unwrap();
        format!(
            "[rest]\nurl = \"http://{address}/licences\"\nallow = [\"127.0.0.1\"]\nplain_http = true\nrecords = \
             \"data/rows\"\npage = {{ parameter = \"page\", size_parameter = \"size\", size = 50 }}\nsince = {{ parameter = \
             \"since\", column = \"n\", kind = \"number\", overlap = 20 }}"
        )
    }

    async fn say(&self, licences: Range<u32>, number: u32) {
        // All at once: pages that shift while they are read are the system's own matter.
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for licence in licences {
            let n = rows.last_key_value().map_or(1, |(last, _)| last + 1);
            if let Some(before) = known.insert(licence, n) {
                rows.remove(&before);
            }
            let mut row = record(licence, number);
            row.insert("n".into(), n.into());
            rows.insert(n, row);
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.get() {
            serving.abort();
        }
    }
}

const TOKEN: &str = "a-token-of-this-test";

/// A system that posts its records, and posts again what was not accepted. What was accepted it never posts again.
#[derive(Default)]
pub(crate) struct Push {
    folder: OnceCell<PathBuf>,
}

/// One request over HTTP/1.0: status and body.
async fn ask(server: SocketAddr, head: &str, body: &str) -> Result<(u16, String), String> {
    let asked = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = body.len();
        let text = format!(
            "{head} HTTP/1.0\r\nhost: {server}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: \
             application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = asked.await.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole answer")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
    Ok((code, body.to_owned()))
}

impl Push {
    /// Where the endpoint listens, as the adapter noted it last.
    fn endpoint(&self) -> Result<SocketAddr, String> {
        let inbox = self.folder.get().unwrap().join("state/inbox");
        let entries = fs::read_dir(&inbox).map_err(|error| error.to_string())?;
        let address = entries.filter_map(Result::ok).map(|entry| entry.path());
        let file = address.into_iter().find(|path| path.extension().is_some_and(|end| end == "address"));
        let text = fs::read_to_string(file.ok_or("no endpoint yet")?).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("{text:?} is no address"))
    }

    /// Posts once.
    pub(crate) async fn post(&self, licences: &[u32], number: u32) -> Result<(u16, String), String> {
        let records: Vec<_> = licences.iter().map(|&licence| record(licence, number)).collect();
        ask(self.endpoint()?, "POST /v1/records", &serde_json::to_string(&records).unwrap()).await
    }

    /// Waits until what was accepted under this id is done.
    pub(crate) async fn done(&self, id: &str) {
        eventually(PATIENCE, || async {
            let (_, body) = ask(self.endpoint()?, &format!("GET /v1/records/{id}"), "").await?;
            if body.contains("\"state\":\"done\"") { Ok(()) } else { Err(body) }
        })
        .await;
    }
}

#[async_trait(?Send)]
impl Kind for Push {
    async fn configure(&self, folder: &Path) -> String {
        self.folder.set(folder.to_owned()).unwrap();
        private(&folder.join("token"), TOKEN);
        "[push]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"".to_owned()
    }

    async fn say(&self, licences: Range<u32>, number: u32) {
        for part in parts(licences) {
            eventually(PATIENCE, || async {
                match self.post(&part, number).await? {
                    (202, body) => Ok(body),
                    (code, body) => Err(format!("{code} {body}")),
                }
            })
            .await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Workbooks dropped into a folder.
#[derive(Default)]
pub(crate) struct Workbooks {
    folder: OnceCell<PathBuf>,
}

const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#;
const RELS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const BOOK: &str = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="台账" sheetId="1" r:id="r1"/></sheets></workbook>"#;
const BOOK_RELS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

fn sheet(rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows = rows.zip(1..).map(|(cells, number): (Vec<String>, u32)| {
        let cells = (b'A'..).zip(cells).map(|(letter, text)| {
            format!(r#"<c r="{}{number}" t="inlineStr"><is><t>{text}</t></is></c>"#, char::from(letter))
        });
        format!(r#"<row r="{number}">{}</row>"#, cells.collect::<String>())
    });
    let rows: String = rows.collect();
    format!(
        r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#
    )
}

#[async_trait(?Send)]
impl Kind for Workbooks {
    async fn configure(&self, folder: &Path) -> String {
        self.folder.set(folder.join("drop")).unwrap();
        "[file]\nfolder = \"drop\"\npattern = \"*.xlsx\"\nsettle_ms = 50".to_owned()
    }

    async fn say(&self, licences: Range<u32>, number: u32) {
        for (part, licences) in parts(licences).enumerate() {
            self.drop_book(&format!("{number:03}-{part}.xlsx"), licences, number);
        }
    }
}

impl Workbooks {
    /// Whole or not at all: its name ends otherwise until it is.
    fn drop_book(&self, name: &str, licences: Vec<u32>, number: u32) {
        let folder = self.folder.get().unwrap();
        let draft = folder.join("draft.tmp");
        let heading = headings().into_iter().map(str::to_owned).collect();
        let rows = std::iter::once(heading).chain(licences.into_iter().map(|licence| cells(licence, number).to_vec()));
        let mut book = ZipWriter::new(fs::File::create(&draft).unwrap());
        for (part, text) in [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", RELS),
            ("xl/workbook.xml", BOOK),
            ("xl/_rels/workbook.xml.rels", BOOK_RELS),
            ("xl/worksheets/sheet1.xml", &sheet(rows)),
        ] {
            book.start_file(part, SimpleFileOptions::default()).unwrap();
            book.write_all(text.as_bytes()).unwrap();
        }
        book.finish().unwrap();
        fs::rename(draft, folder.join(name)).unwrap();
    }
}
