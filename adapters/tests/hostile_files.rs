//! Rows 49 to 51 of the hostile inputs: files that are broken, or built to harm whoever opens them. One test after the
//! other, since each measures the memory of this process and its children.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod workbook;

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use weft_adapter::{
    problem::{Reason, Refused, RowProblem, report_csv},
    source::{Item, Row},
};
use workbook::{Book, TYPES, book, compound, old_book, read, row, sheet, source};

/// The bounds that hold for every hostile workbook.
const MEMORY: u64 = 64 << 20;
const TIME: Duration = Duration::from_secs(1);

/// Resident bytes of a process and all below it.
fn resident(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    let own: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0) * 1_024;
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    own + children.flat_map(|all| all.split_whitespace().map(resident).collect::<Vec<_>>()).sum::<u64>()
}

/// Watches the memory of this process and its children, above what it was at the beginning.
struct Watch {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    before: u64,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn begin() -> Self {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let before = resident("self");
        let (seen, ended) = (Arc::clone(&most), Arc::clone(&stop));
        let own = std::process::id().to_string();
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                seen.fetch_max(resident(&own), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { most, stop, before, thread }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.most.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

async fn refused(folder: &Path) -> Refused {
    match read(&mut source(folder, |_| {}), &["key"]).await {
        Err(refused) => refused,
        Ok(items) => panic!("{} items", items.len()),
    }
}

/// Refused for this reason within the bounds; the time is the best of three, since other programs run beside.
async fn hostile(name: &str, file: &str, reason: Reason, make: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    make(&folder.path().join(file));
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let (watch, began) = (Watch::begin(), Instant::now());
        let refused = refused(folder.path()).await;
        fastest = fastest.min(began.elapsed());
        let taken = watch.end();
        assert_eq!(refused.reason, reason, "{name}: {refused}");
        assert!(taken < MEMORY, "{name}: {} MiB", taken >> 20);
    }
    println!("{name}: {} ms", fastest.as_millis());
    assert!(fastest <= TIME, "{name}: {fastest:?}");
}

/// A workbook with an honest sheet, and what else `change` puts into it.
fn with(change: impl FnOnce(&mut Book)) -> impl FnOnce(&Path) {
    |path| {
        let mut book = Book::begin(path, &["Sheet1"], false);
        book.part("xl/worksheets/sheet1.xml", &honest());
        change(&mut book);
        book.end();
    }
}

fn honest() -> String {
    sheet("", &(row(1, &["key"]) + &row(2, &["a"])), "")
}

/// 512 MB of blanks in a sheet, about 511 KB packed.
fn bomb(path: &Path) {
    let mut book = Book::begin(path, &["Sheet1"], false);
    let out = book.stream("xl/worksheets/sheet1.xml");
    let blanks = vec![b' '; 1 << 20];
    out.write_all(b"<worksheet><sheetData>").unwrap();
    for _ in 0..512 {
        out.write_all(&blanks).unwrap();
    }
    out.write_all(b"</sheetData></worksheet>").unwrap();
    book.end();
    assert!(fs::metadata(path).unwrap().len() < 600_000);
}

/// The same, with a directory that says 1,000 bytes.
fn lying_bomb(path: &Path) {
    bomb(path);
    let mut bytes = fs::read(path).unwrap();
    for (signature, size_at, name_at) in [(&b"PK\x03\x04"[..], 22, 30), (b"PK\x01\x02", 24, 46)] {
        let is_sheet = |at: &usize| {
            bytes[*at..].starts_with(signature) && bytes[at + name_at..].starts_with(b"xl/worksheets/sheet1.xml")
        };
        let at = (0..bytes.len() - 80).find(is_sheet).unwrap();
        bytes[at + size_at..at + size_at + 4].copy_from_slice(&1_000_u32.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

fn strings(announced: u64, written: u32) -> impl FnOnce(&Path) {
    with(move |book| {
        let out = book.stream("xl/sharedStrings.xml");
        write!(out, r#"<sst uniqueCount="{announced}">"#).unwrap();
        for string in 0..written {
            write!(out, "<si><t>{:08x}</t></si>", string.wrapping_mul(2_654_435_761)).unwrap();
        }
        write!(out, "</sst>").unwrap();
    })
}

#[tokio::test]
async fn hostile_workbooks_are_refused_at_once_in_little_memory_and_call_nobody() {
    use Reason::{FormatMismatch, RecordTooLong, WorkbookUnreadable, WorkbookUnsafe};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());

    hostile("zip bomb", "a.xlsx", WorkbookUnsafe, bomb).await;
    hostile("lying zip bomb", "a.xlsx", WorkbookUnreadable, lying_bomb).await;
    let far = row(1, &["key"]) + r#"<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>x</t></is></c></row>"#;
    hostile("far cell", "a.xlsx", RecordTooLong, |path| book(path, &sheet("", &far, ""))).await;
    hostile("2^20 strings", "a.xlsx", WorkbookUnsafe, strings(1 << 20, 1 << 20)).await;
    hostile("2^20 strings, unannounced", "a.xlsx", WorkbookUnsafe, strings(1, 1 << 20)).await;
    hostile("2^60 strings announced", "a.xlsx", WorkbookUnsafe, strings(1 << 60, 1)).await;
    for name in ["../../etc/cron.d/x", "/etc/cron.d/x", "xl\\..\\..\\x", "xl/./../../x"] {
        hostile(name, "a.xlsx", WorkbookUnsafe, with(|book| book.part(name, "x"))).await;
    }
    hostile("link", "a.xlsx", WorkbookUnsafe, with(|book| book.link("xl/media/image1.png", "/etc/passwd"))).await;
    for external in [format!(r#"<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>"#), format!(r#"<!DOCTYPE x SYSTEM "{url}">"#)]
    {
        let text = honest().replace("<worksheet", &format!("{external}<worksheet"));
        let text = text.replace("<t>a</t>", "<t>&e;</t>");
        hostile("document type", "a.xlsx", WorkbookUnsafe, |path| book(path, &text)).await;
        let text = format!("{external}<sst><si><t>&e;</t></si></sst>");
        hostile(
            "document type of strings",
            "a.xlsx",
            WorkbookUnsafe,
            with(|book| book.part("xl/sharedStrings.xml", &text)),
        )
        .await;
    }
    let link = format!(r#"<externalLink><externalBook id="{url}"/></externalLink>"#);
    hostile(
        "external link",
        "a.xlsx",
        WorkbookUnsafe,
        with(|book| book.part("xl/externalLinks/externalLink1.xml", &link)),
    )
    .await;
    hostile("connection", "a.xlsx", WorkbookUnsafe, with(|book| book.part("xl/connections.xml", &link))).await;
    hostile("macros", "a.xlsx", WorkbookUnsafe, with(|book| book.part("xl/vbaProject.bin", "x"))).await;
    hostile("macros by its types", "a.xlsx", WorkbookUnsafe, macro_types).await;
    hostile("macros by its name", "a.xlsm", FormatMismatch, |path| book(path, &honest())).await;
    let package = [("EncryptionInfo", vec![4; 4_096]), ("EncryptedPackage", vec![7; 8_192])];
    hostile("encrypted", "a.xlsx", WorkbookUnsafe, |path| compound(path, &package)).await;
    hostile("an xls renamed", "a.xlsx", FormatMismatch, |path| old_book(path, &[])).await;
    hostile("an xlsx renamed", "a.xls", FormatMismatch, |path| book(path, &honest())).await;
    hostile("no workbook", "a.xlsx", FormatMismatch, |path| fs::write(path, "key\na\n").unwrap()).await;

    assert!(listener.accept().is_err(), "nobody was called");
    what_is_honest_is_taken().await;
    a_mark_that_is_open_over_a_gigabyte().await;
}

fn macro_types(path: &Path) {
    let types = TYPES.replace("sheet.main+xml", "sheet.macroEnabled.main+xml");
    let mut book = Book::begin_as(path, &types, &["Sheet1"], false);
    book.part("xl/worksheets/sheet1.xml", &honest());
    book.end();
}

async fn what_is_honest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    book(&folder.path().join("a.xlsx"), &honest());
    let items = read(&mut source(folder.path(), |_| {}), &["key"]).await.unwrap();
    assert_eq!(items, [Item::Row(Row { line: 2, cells: vec!["a".into()] })]);
}

/// Row 50: streamed, and refused naming its line.
async fn a_mark_that_is_open_over_a_gigabyte() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = BufWriter::new(File::create(folder.path().join("a.csv")).unwrap());
    out.write_all(b"key,value\n1,a\n2,\"b").unwrap();
    let long = "x,1;2 ".repeat(1 << 14);
    for _ in 0..(1 << 30) / long.len() + 1 {
        out.write_all(long.as_bytes()).unwrap();
    }
    out.flush().unwrap();
    let watch = Watch::begin();
    let refused = refused(folder.path()).await;
    let taken = watch.end();
    assert_eq!((refused.reason, refused.line), (Reason::RecordTooLong, Some(3)));
    assert!(taken < MEMORY, "{} MiB", taken >> 20);
}

/// The one file of a fresh folder.
async fn delimited(bytes: &[u8]) -> Result<Vec<Item>, (Reason, Option<u64>)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), bytes).unwrap();
    let items = read(&mut source(folder.path(), |_| {}), &["key", "value"]).await;
    items.map_err(|refused| (refused.reason, refused.line))
}

#[tokio::test]
async fn formulas_in_cells_are_kept_as_they_are_and_escaped_in_what_is_given_out() {
    for cell in ["=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "\t=1"] {
        let items = delimited(format!("key,value\n1,{cell}\n").as_bytes()).await.unwrap();
        assert_eq!(items, [Item::Row(Row { line: 2, cells: vec!["1".into(), cell.into()] })]);
        let report = report_csv(&[RowProblem::new(2, cell, Reason::DateImpossible)]);
        let line = report.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("2,'{cell}")), "{line}");
    }
    let report = report_csv(&[RowProblem::new(2, "\r=1", Reason::DateImpossible)]);
    assert!(report.contains("2,\"'\r=1\","), "{report:?}");
}

#[tokio::test]
async fn what_is_broken_is_never_guessed() {
    let refused = |text: String| async move { delimited(text.as_bytes()).await.unwrap_err() };
    let wide = format!("key,value\n1,{}", ",".repeat(10_000));
    assert_eq!(refused(wide).await, (Reason::RecordTooLong, Some(2)));
    assert_eq!(refused("key,value\n1,\"a\n2,b\n".into()).await, (Reason::QuoteOpen, Some(2)));
    assert_eq!(refused("key,value,key\n1,2,3\n".into()).await, (Reason::HeadingTwice, Some(1)));
    assert_eq!(refused("标题\nkey,valeu\n1,2\n".into()).await, (Reason::ColumnMissing, Some(2)));
    assert_eq!(delimited(b"key,value\n1,\xff\n").await.unwrap_err().0, Reason::EncodingUnknown);
    let items = delimited("key;value\r\n1;甲\r2;乙\n3;丙;丁\n4\n".as_bytes()).await.unwrap();
    let reasons: Vec<Option<Reason>> = items
        .iter()
        .map(|item| match item {
            Item::Bad(problem) => Some(problem.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [None, None, Some(Reason::ColumnsShifted), Some(Reason::ColumnsShifted)]);
}
