use std::fmt::Write as _;

use tempfile::TempDir;

use super::*;
use crate::source::contract::{self, Fixture};

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
        FileSource::new("test", FileConfig { settle_ms: 0, ..FileConfig::new(self.folder.path()) })
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
    for name in ["a.csv.tmp", ".b.csv", "~$c.csv", "d.csv.part", "e.txt"] {
        folder.drop_file(name, "key,value\n1,2\n");
    }
    std::os::unix::fs::symlink("/etc/hostname", folder.folder.path().join("link.csv")).unwrap();
    assert!(matches!(folder.source().next().await.unwrap(), Next::Nothing));
}

#[tokio::test]
async fn a_file_that_grows_is_left_until_it_rests() {
    let mut folder = Folder::new();
    let mut source = FileSource::new("test", FileConfig::new(folder.folder.path()));
    folder.drop_file("a.csv", "key,value\n1,");
    assert!(matches!(source.next().await.unwrap(), Next::Later(_)));
    let begin = Instant::now() + Duration::from_secs(1);
    let mut rests = |after: u64, folder: &Folder| {
        let files = waiting(folder.folder.path(), "*.csv").unwrap();
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
