//! Small sources: what each whole configuration of the document reads, with the same three records in it.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_tests::process::Launch;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::Place;

/// The headings of the export.
const HEADINGS: [&str; 10] = [
    "卫生许可证号",
    "单位名称",
    "统一社会信用代码",
    "法定代表人",
    "经营地址",
    "许可项目",
    "发证机关",
    "发证日期",
    "有效期至",
    "证件状态",
];

/// What stands under them.
const ROWS: [[&str; 10]; 3] = [
    [
        "鲁卫公证字[2024]第370322-990111号",
        "高青示例理发店",
        "92370322MAYY01117T",
        "示例乙",
        "高青县田镇街道示例路11号",
        "理发店",
        "高青示例县卫生健康局",
        "2024-05-20",
        "2028-05-19",
        "有效",
    ],
    [
        "鲁卫公证字[2023]第370322-990112号",
        "高青示例酒店有限公司",
        "91370322MAYY01125Q",
        "示例丙",
        "高青县芦湖街道示例大街6号",
        "宾馆、游泳场（馆）",
        "高青示例县卫生健康局",
        "2023-09-01",
        "2027-08-31",
        "有效",
    ],
    [
        "鲁卫公证字[2025]第370322-990113号",
        "高青示例茶座",
        "91370322MAYY000184",
        "示例丁",
        "高青县田镇街道示例路13号",
        "茶座",
        "高青示例县卫生健康局",
        "2025-02-28",
        "2029-02-27",
        "有效",
    ],
];

/// Configurations whose sources are not in the inner loop.
pub(super) const NEED_SERVERS: [&str; 2] = ["postgres", "oracle"];

/// A source that is there to be read.
pub(super) struct Opened {
    /// The configuration, with its addresses as they are here.
    pub(super) text: String,
}

impl Opened {
    /// Runs the adapter once: what it tells.
    pub(super) async fn publish(&self, place: &Place) -> Value {
        if self.text.contains("[source.push]") {
            return pushed(place).await;
        }
        let output = place.typed("weft adapter run --config adapter.toml --once -o json");
        let told = serde_json::from_slice(&output.stdout);
        told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Makes the source of the whole configuration `name` in an adapter's folder.
pub(super) async fn open(name: &str, text: &str, folder: &Path) -> Opened {
    let drop = folder.join("drop");
    match name {
        "csv" => fs::write(drop.join("台账.csv"), delimited(",")).unwrap(),
        "tsv" => {
            let text = delimited("\t");
            let (bytes, _, unmappable) = encoding_rs::GB18030.encode(&text);
            assert!(!unmappable);
            fs::write(drop.join("hygiene_1.tsv"), bytes).unwrap();
        }
        "xlsx" => workbook(&drop.join("台账.xlsx")),
        "json" => fs::write(drop.join("台账.json"), json!({ "data": { "rows": objects() } }).to_string()).unwrap(),
        "sqlite" => sqlite(&folder.join("office.db"), str::to_owned).await,
        "postgres" => return Opened { text: postgres(text, folder).await },
        "oracle" => return Opened { text: oracle(text, folder).await },
        "rest" => return Opened { text: rest(text, folder).await },
        "push" => {
            secret(&folder.join("push.token"), TOKEN);
            return Opened { text: change(text, &[("127.0.0.1:7790", "127.0.0.1:0".to_owned())]) };
        }
        other => panic!("nobody makes a source for {other}"),
    }
    Opened { text: text.to_owned() }
}

fn delimited(separator: &str) -> String {
    let rows = ROWS.iter().map(|row| row.join(separator));
    let lines: Vec<String> = [HEADINGS.join(separator)].into_iter().chain(rows).collect();
    format!("公共场所卫生许可证台账\n{}\n", lines.join("\n"))
}

/// The office's table and its view, as one script; `name` gives the spelling of its names.
fn script(name: fn(&str) -> String) -> String {
    const COLUMNS: [&str; 10] = [
        "licence_no",
        "unit_name",
        "uscc",
        "legal_rep",
        "address",
        "projects",
        "office",
        "issued_on",
        "valid_until",
        "state",
    ];
    let quoted = |column: &str| format!("\"{}\"", name(column));
    let columns = COLUMNS.map(quoted).join(", ");
    let types: Vec<String> = COLUMNS.iter().map(|column| format!("{} VARCHAR(200)", quoted(column))).collect();
    let (table, view, changed) = (quoted("licence"), quoted("v_licence"), quoted("changed_at"));
    let mut script = format!("CREATE TABLE {table} ({}, {changed} TIMESTAMP);\n", types.join(", "));
    for row in &ROWS {
        let cells: Vec<String> = row[..9].iter().map(|cell| format!("'{cell}'")).collect();
        script += &format!("INSERT INTO {table} VALUES ({}, '1', '2026-11-01 08:00:00');\n", cells.join(", "));
    }
    script + &format!("CREATE VIEW {view} AS SELECT {columns}, {changed} FROM {table};\n")
}

pub(super) async fn sqlite(path: &Path, name: fn(&str) -> String) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(script(name))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A database of the tests' server; the configuration, with its address.
async fn postgres(text: &str, folder: &Path) -> String {
    let server = weft_tests::postgres::shared().await;
    let url = server.database().await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(script(str::to_owned))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    secret(&folder.join("db.password"), "whatever");
    let database = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    change(
        text,
        &[
            ("hours = [\"18:00-08:00\"]            # not while the office works\n", String::new()),
            ("host = \"db.example\"", format!("host = \"127.0.0.1\"\nport = {}", server.port())),
            ("database = \"hygiene\"", format!("database = \"{database}\"")),
            ("user = \"weft_reader\"", "user = \"postgres\"".to_owned()),
            ("ca_file = \"db-ca.pem\"              # who vouches for the server", "tls = \"off\"".to_owned()),
        ],
    )
}

/// SQLite behind its ODBC driver, with upper-case names as Oracle has them; the configuration, with its driver.
async fn oracle(text: &str, folder: &Path) -> String {
    let file = folder.join("office.db");
    sqlite(&file, str::to_uppercase).await;
    secret(&folder.join("db.password"), "whatever");
    change(
        text,
        &[
            ("hours = [\"20:00-06:00\"]\n", String::new()),
            ("driver = \"Oracle 21 ODBC driver\"", "driver = \"SQLite3\"\nencoding = \"utf8\"".to_owned()),
            ("dbq = \"//db.example:1521/HYGIENE\"", format!("database = \"{}\"", file.display())),
        ],
    )
}

/// Puts what is here in the place of what the document names; each stands there once.
fn change(text: &str, pairs: &[(&str, String)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (told, real)| {
        assert_eq!(text.matches(told).count(), 1, "{told}");
        text.replace(told, real)
    })
}

/// A file for its owner alone.
fn secret(path: &Path, text: &str) {
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What the office's systems and the adapter know each other by.
const TOKEN: &str = "a token of some length";
const PATIENCE: Duration = Duration::from_secs(120);

/// Serves the records in pages of two; the configuration, with the address.
async fn rest(text: &str, folder: &Path) -> String {
    secret(&folder.join("licences.secret"), TOKEN);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.contains(&format!("Bearer {TOKEN}")), "{request}");
            let number = |name: &str| {
                let value = request.split_once(name).unwrap().1.split(['&', ' ']).next().unwrap();
                value.parse::<usize>().unwrap()
            };
            let (page, size) = (number("page="), number("size="));
            let rows: Vec<Value> = objects().into_iter().skip((page - 1) * size).take(size).collect();
            stream.write_all(&answer(&json!({ "data": { "rows": rows } }).to_string())).await.unwrap();
        }
    });
    change(
        text,
        &[
            ("url = \"https://licences.example/", format!("plain_http = true\nurl = \"http://{address}/")),
            ("\"10.20.30.40\"", "\"127.0.0.1\"".to_owned()),
            ("ca_file = \"licences-ca.pem\"        # who vouches for the server\n", String::new()),
            ("size = 200", "size = 2".to_owned()),
        ],
    )
}

fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// One request to the adapter's endpoint: status and body.
async fn asked(address: &str, line: &str, body: &str) -> (u16, Value) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close");
    let request = format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

/// Posts the records to a running adapter and follows what becomes of them.
async fn pushed(place: &Place) -> Value {
    let config = place.path().join("adapter.toml");
    let launch = Launch::weft("adapter", place.path()).args(["adapter", "run", "--config"]).arg(config);
    let process = launch.start();
    let inbox = place.path().join("state/inbox");
    let address = process
        .wait_until(PATIENCE, async || {
            let entries = fs::read_dir(&inbox).map_err(|error| error.to_string())?;
            let mut paths = entries.map(|entry| entry.unwrap().path());
            let file =
                paths.find(|path| path.extension().is_some_and(|end| end == "address")).ok_or("no address yet")?;
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            if text.is_empty() { Err("no address yet".to_owned()) } else { Ok(text) }
        })
        .await;
    let (status, taken) = asked(&address, "POST /v1/records", &Value::from(objects()).to_string()).await;
    assert_eq!((status, &taken["records"]), (202, &3.into()), "{taken}");
    let line = format!("GET /v1/records/{}", taken["id"].as_str().unwrap());
    let told = process
        .wait_until(PATIENCE, async || {
            let (_, told) = asked(&address, &line, "").await;
            if told["state"] == "done" { Ok(told) } else { Err(told.to_string()) }
        })
        .await;
    process.terminate();
    assert!(process.wait(PATIENCE).await.success(), "{}", process.stderr());
    json!({ "rows": told["records"], "indexed": told["mapped"] })
}

/// The records as the office's system has them in JSON.
fn objects() -> Vec<Value> {
    let object = |row: &[&str; 10]| {
        json!({
            "no": row[0], "unit": { "name": row[1], "code": row[2], "head": row[3] }, "address": row[4],
            "projects": row[5].split('、').collect::<Vec<_>>(), "issued": row[7], "until": row[8], "state": 1,
            "changed": "2026-11-01T08:00:00+08:00",
        })
    };
    ROWS.iter().map(object).collect()
}

/// An XLSX with one sheet, 台账; the dates are days from 1900.
pub(super) fn workbook(path: &Path) {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
    let text = |text: &str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let line = |row: &[&str; 10]| {
        let cells = row.iter().enumerate().map(|(at, cell)| match at {
            7 | 8 => format!("<c><v>{}</v></c>", serial(cell)),
            _ => text(cell),
        });
        format!("<row>{}</row>", cells.collect::<String>())
    };
    let heading: String = HEADINGS.iter().map(|heading| text(heading)).collect();
    let rows: String = ROWS.iter().map(line).collect();
    let parts = [
        (
            "[Content_Types].xml",
            format!(
                "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"xml\" \
                 ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/></Types>"
            ),
        ),
        (
            "_rels/.rels",
            format!(
                "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"r1\" \
                 Type=\"{OFFICE}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{OFFICE}\"><sheets><sheet name=\"台账\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"r1\" Type=\"{OFFICE}/worksheet\" \
                 Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!("<worksheet xmlns=\"{MAIN}\"><sheetData><row>{heading}</row>{rows}</sheetData></worksheet>"),
        ),
    ];
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, part) in parts {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(part.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

/// A day as a spreadsheet counts it.
fn serial(day: &str) -> i64 {
    let day: jiff::civil::Date = day.parse().unwrap();
    // 25569 is 1970-01-01.
    day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() / 86_400 + 25_569
}
