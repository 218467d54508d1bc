use std::{fmt::Write as _, fs};

use tempfile::TempDir;

use super::*;
use crate::{
    problem::Refused,
    source::{
        Item, Row,
        contract::{self, Fixture},
    },
};

struct Folder {
    folder: TempDir,
    added: u64,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), added: 0 }
    }

    fn drop_file(&mut self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        self.added += 1;
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.added);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    fn with(&self, change: impl FnOnce(&mut FileConfig)) -> FileSource {
        let mut config = FileConfig { settle_ms: 0, ..FileConfig::new(self.folder.path()) };
        change(&mut config);
        FileSource::new("test", config, &Surroundings::system())
    }

    fn names(&self, below: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join(below)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    async fn items(&self, columns: &[&str]) -> Result<Vec<Item>, Refused> {
        let mut source = self.source();
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let unit = match source.next().await.unwrap() {
            Next::Unit(unit) => unit,
            Next::Unreadable(_, refused) => return Err(refused),
            other => panic!("{other:?}"),
        };
        let mut rows = source.rows(&unit, &columns).await.unwrap();
        let mut items = Vec::new();
        loop {
            match rows.next().await {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(items),
                Err(RowsError::Refused(refused)) => return Err(refused),
                Err(RowsError::Failed(error)) => panic!("{error}"),
            }
        }
    }
}

#[async_trait]
impl Fixture for Folder {
    type Source = FileSource;

    fn source(&self) -> FileSource {
        self.with(|_| {})
    }

    fn add(&mut self, name: &str, rows: usize) {
        let mut text = String::from("a title\nkey,other,value\n");
        for row in 0..rows {
            writeln!(text, "key-{row},\"x,{row}\",value-{row}").unwrap();
        }
        self.drop_file(&format!("{name}.csv"), text);
    }
}

#[tokio::test]
async fn the_contract_of_sources() {
    contract::all(Folder::new).await;
}

#[tokio::test]
async fn what_is_not_complete_is_left_alone() {
    let mut folder = Folder::new();
    for name in ["a.csv.tmp", ".b.csv", "~$c.csv", "d.csv.part", "e.md"] {
        folder.drop_file(name, "key,value\n1,2\n");
    }
    std::os::unix::fs::symlink("/etc/hostname", folder.folder.path().join("link.csv")).unwrap();
    assert!(matches!(folder.source().next().await.unwrap(), Next::Nothing));
}

#[tokio::test]
async fn a_file_that_grows_is_left_until_it_rests() {
    let mut folder = Folder::new();
    let mut source = folder.with(|config| config.settle_ms = 2_000);
    folder.drop_file("a.csv", "key,value\n1,");
    assert!(matches!(source.next().await.unwrap(), Next::Later(_)));
    let begin = Instant::now() + Duration::from_secs(1);
    let mut rests = |after: u64, folder: &Folder| {
        let files = keep::waiting(&FileConfig::new(folder.folder.path())).unwrap();
        source.settled(files, begin + Duration::from_millis(after)).map(drop).map_err(Option::unwrap)
    };
    folder.drop_file("a.csv", "key,value\n1,2\n");
    assert_eq!(rests(0, &folder), Err(Duration::from_secs(2)));
    assert_eq!(rests(1_500, &folder), Err(Duration::from_millis(500)));
    folder.drop_file("a.csv", "key,value\n1,2\n3,4\n");
    assert_eq!(rests(1_900, &folder), Err(Duration::from_secs(2)));
    assert_eq!(rests(3_900, &folder), Ok(()));
}

#[tokio::test]
async fn rows_that_are_no_rows_are_told_with_their_line_and_the_others_go_on() {
    let mut folder = Folder::new();
    folder.drop_file("a.csv", "标题\nkey,value\n1,a\n2,b,c\n3\n4,d,,\nkey,value\n\"5\"x,e\n\n6,f\n");
    let items = folder.items(&["key", "value"]).await.unwrap();
    let told: Vec<(u64, Option<Reason>)> = items
        .iter()
        .map(|item| match item {
            Item::Row(row) => (row.line, None),
            Item::Bad(problem) | Item::Note(problem) => (problem.line, Some(problem.reason)),
        })
        .collect();
    let expected = [
        (3, None),
        (4, Some(Reason::ColumnsShifted)),
        (5, Some(Reason::ColumnsShifted)),
        (6, None),
        (7, Some(Reason::HeadingRepeated)),
        (8, Some(Reason::QuoteMisplaced)),
        (10, None),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_open_quote_refuses_the_file_naming_its_line() {
    let mut folder = Folder::new();
    folder.drop_file("a.csv", format!("key,value\n1,a\n2,\"b\n{}", "3,c\n".repeat(10)));
    let refused = folder.items(&["key", "value"]).await.unwrap_err();
    assert_eq!((refused.reason, refused.line), (Reason::QuoteOpen, Some(3)));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_not_taken() {
    let mut folder = Folder::new();
    folder.drop_file("a.csv", "key,value\n1,a\n");
    let mut source = folder.source();
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("a unit waits") };
    folder.drop_file("a.csv", "key,value\n1,a\n2,b\n");
    let mut rows = source.rows(&unit, &["key".to_owned()]).await.unwrap();
    let Err(RowsError::Refused(refused)) = rows.next().await else { panic!("it changed") };
    assert_eq!(refused.reason, Reason::ChangedWhileRead);
}

#[tokio::test]
async fn finished_files_are_kept_with_their_report_and_overwrite_nothing() {
    let mut folder = Folder::new();
    for (round, ending) in [
        Ending::Done { report: String::new() },
        Ending::Done { report: "r".into() },
        Ending::Failed { report: "r".into() },
    ]
    .into_iter()
    .enumerate()
    {
        folder.drop_file("a.csv", format!("key,value\n{round},a\n"));
        let mut source = folder.source();
        let Next::Unit(unit) = source.next().await.unwrap() else { panic!("a unit waits") };
        source.finish(&unit, ending).await.unwrap();
    }
    let done = folder.names("done");
    assert_eq!(done.len(), 3, "{done:?}");
    assert!(done.contains(&"a.csv".to_owned()));
    assert_eq!(folder.names("failed"), ["a.csv", "a.csv.problems.csv"]);
    assert_eq!(folder.names(""), ["done", "failed"]);
}

/// The contract's fixture as a list of JSON, as JSON lines and as UTF-16 between tabs.
struct As(Folder, fn(usize) -> Vec<u8>, &'static str);

#[async_trait]
impl Fixture for As {
    type Source = FileSource;

    fn source(&self) -> FileSource {
        self.0.source()
    }

    fn add(&mut self, name: &str, rows: usize) {
        self.0.drop_file(&format!("{name}.{}", self.2), (self.1)(rows));
    }
}

fn json_lines(rows: usize) -> Vec<u8> {
    (0..rows)
        .fold(String::new(), |text, row| {
            text + &format!("{{\"key\":\"key-{row}\",\"x\":{{\"y\":[1,2]}},\"value\":\"value-{row}\"}}\n")
        })
        .into_bytes()
}

fn json_list(rows: usize) -> Vec<u8> {
    let lines = String::from_utf8(json_lines(rows)).unwrap();
    format!("[{}]", lines.trim_end().replace('\n', ",")).into_bytes()
}

fn utf_16(rows: usize) -> Vec<u8> {
    let rows =
        (0..rows).fold(String::from("标题\nkey\tvalue\n"), |text, row| text + &format!("key-{row}\tvalue-{row}\n"));
    rows.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn the_contract_of_sources_over_json() {
    contract::all(|| As(Folder::new(), json_lines, "jsonl")).await;
    contract::all(|| As(Folder::new(), json_list, "json")).await;
}

#[tokio::test]
async fn the_contract_of_sources_over_utf_16_and_tabs() {
    contract::all(|| As(Folder::new(), utf_16, "tsv")).await;
}

#[tokio::test]
async fn json_is_refused_naming_the_line_and_tells_what_no_record_has() {
    let mut folder = Folder::new();
    folder.drop_file("a.jsonl", "{\"key\": 1.50}\n\n{\"key\": [\"a\", {}]}\n");
    let items = folder.items(&["key", "value"]).await.unwrap();
    assert_eq!(items[0], Item::Row(Row { line: 1, cells: vec!["1.50".into(), String::new()] }));
    let Item::Bad(problem) = &items[1] else { panic!("{items:?}") };
    assert_eq!((problem.line, problem.reason), (3, Reason::ValueNotPlain));
    let Item::Note(note) = &items[2] else { panic!("{items:?}") };
    assert_eq!((note.column.as_str(), note.reason), ("value", Reason::ColumnUnseen));
    folder.drop_file("a.jsonl", "{\"key\": 1}\n{\"key\": 1, \"key\": 2}\n");
    let refused = folder.items(&["key"]).await.unwrap_err();
    assert_eq!((refused.reason, refused.line), (Reason::JsonUnreadable, Some(2)));
}

#[tokio::test]
async fn a_file_that_is_open_or_locked_elsewhere_is_left_alone() {
    let mut folder = Folder::new();
    folder.drop_file("台账数据.csv", "key,value\n1,2\n");
    for lock in ["~$台账数据.csv", "~$数据.csv", ".~lock.台账数据.csv#"] {
        folder.drop_file(lock, "");
        assert!(matches!(folder.source().next().await.unwrap(), Next::Nothing), "{lock}");
        fs::remove_file(folder.folder.path().join(lock)).unwrap();
    }
    let writer = File::options().append(true).open(folder.folder.path().join("台账数据.csv")).unwrap();
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(matches!(folder.source().next().await.unwrap(), Next::Later(_)));
    folder.drop_file("b.csv", "key,value\n1,2\n");
    let Next::Unit(unit) = folder.source().next().await.unwrap() else { panic!("the other one waits") };
    assert_eq!(unit.name, "b.csv");
    drop(writer);
    let Next::Unit(unit) = folder.source().next().await.unwrap() else { panic!("it is free") };
    assert_eq!(unit.name, "台账数据.csv");
}

#[tokio::test]
async fn what_is_no_table_or_not_what_its_name_says_is_refused() {
    let mut folder = Folder::new();
    for (name, text) in [("a.xlsm", &b"PK"[..]), ("a.csv", b"PK\x03\x04 key,value"), ("a.txt", b"%PDF-1.7 key,value")] {
        folder.drop_file(name, text);
        assert_eq!(folder.items(&["key"]).await.unwrap_err().reason, Reason::FormatMismatch, "{name}");
        fs::remove_file(folder.folder.path().join(name)).unwrap();
    }
    folder.drop_file("readme.md", "key,value\n");
    assert!(matches!(folder.source().next().await.unwrap(), Next::Nothing));
}

#[tokio::test]
async fn what_was_done_long_ago_is_removed_and_what_failed_stays() {
    let mut folder = Folder::new();
    for ending in [Ending::Done { report: "r".into() }, Ending::Failed { report: "r".into() }] {
        folder.drop_file("a.csv", "key,value\n1,a\n");
        let mut source = folder.source();
        let Next::Unit(unit) = source.next().await.unwrap() else { panic!("a unit waits") };
        source.finish(&unit, ending).await.unwrap();
    }
    let now = crate::clock::SystemClock.now();
    for (days, left) in [(6, 2), (8, 0)] {
        let clock = Arc::new(crate::clock::SetClock::at(now));
        clock.advance(Duration::from_secs(days * 24 * 3_600));
        let surroundings = Surroundings { clock, ..Surroundings::system() };
        let config = FileConfig { settle_ms: 0, ..FileConfig::new(folder.folder.path()) };
        let mut source = FileSource::new("test", config, &surroundings);
        assert!(matches!(source.next().await.unwrap(), Next::Nothing));
        assert_eq!(folder.names("done").len(), left, "after {days} days");
    }
    assert_eq!(folder.names("failed").len(), 2);
}
