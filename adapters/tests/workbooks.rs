//! Workbooks: the contract of sources over XLSX and XLS, and row 52 of the hostile inputs: what a spreadsheet does to
//! dates, long numbers, formulas, errors, merged and hidden cells.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod workbook;

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use tempfile::TempDir;
use weft_adapter::{
    problem::Reason,
    source::{
        Item,
        contract::{self, Fixture},
        file::FileSource,
    },
};
use workbook::{Book, Old, book, old_book, read, row, sheet, source};

/// Fills a folder with workbooks, oldest first.
struct Filled(TempDir, u64, fn(&Path, usize), &'static str);

#[async_trait]
impl Fixture for Filled {
    type Source = FileSource;

    fn source(&self) -> FileSource {
        source(self.0.path(), |_| {})
    }

    fn add(&mut self, name: &str, rows: usize) {
        let path = self.0.path().join(format!("{name}.{}", self.3));
        (self.2)(&path, rows);
        self.1 += 1;
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.1);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
}

/// `rows` rows under a title and a heading, their texts shared.
fn xlsx(path: &Path, rows: usize) {
    let mut book = Book::begin(path, &["一览"], false);
    let strings = book.stream("xl/sharedStrings.xml");
    write!(strings, r#"<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#).unwrap();
    for row in 0..rows {
        write!(strings, "<si><t>key-{row}</t></si><si><t>value-{row}</t></si>").unwrap();
    }
    write!(strings, "</sst>").unwrap();
    let out = book.stream("xl/worksheets/sheet1.xml");
    let (before, behind) = (
        "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>",
        "</sheetData></worksheet>",
    );
    write!(out, "{before}{}{}", row(1, &["标题"]), row(2, &["key", "other", "value"])).unwrap();
    for index in 0..rows {
        let (line, key, value) = (index + 3, index * 2, index * 2 + 1);
        write!(
            out,
            r#"<row r="{line}"><c r="A{line}" t="s"><v>{key}</v></c><c r="C{line}" t="s"><v>{value}</v></c></row>"#
        )
        .unwrap();
    }
    write!(out, "{behind}").unwrap();
    book.end();
}

#[tokio::test]
async fn the_contract_of_sources_over_xlsx() {
    contract::all(|| Filled(tempfile::tempdir().unwrap(), 0, xlsx, "xlsx")).await;
}

/// The same as an XLS.
fn xls(path: &Path, rows: usize) {
    let texts: Vec<[String; 2]> = (0..rows).map(|row| [format!("key-{row}"), format!("value-{row}")]).collect();
    let head = [vec![Old::Text("标题")], vec![Old::Text("key"), Old::Text("other"), Old::Text("value")]];
    let rows = texts.iter().map(|[key, value]| vec![Old::Text(key), Old::Text(""), Old::Text(value)]);
    old_book(path, &head.into_iter().chain(rows).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_contract_of_sources_over_xls() {
    // An XLS has 65,536 rows at most, and its reader, under its own limits, holds it whole.
    contract::all_within(60_000, || Filled(tempfile::tempdir().unwrap(), 0, xls, "xls")).await;
}

#[tokio::test]
async fn a_workbook_that_takes_more_than_it_may_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    xlsx(&folder.path().join("a.xlsx"), 150_000);
    let refused = read(&mut source(folder.path(), |config| config.sheet.cpu_seconds = 1), &["key"]).await;
    assert_eq!(refused.map(|items| items.len()).unwrap_err().reason, Reason::WorkbookTooHeavy);
    std::fs::remove_file(folder.path().join("a.xlsx")).unwrap();
    // A cell in the far corner: the library takes memory for all the empty ones before it.
    let mut rows: Vec<Vec<Old<'_>>> = (0..60_000).map(|_| vec![Old::Text("key")]).collect();
    rows.push((0..256).map(|_| Old::Text("x")).collect());
    old_book(&folder.path().join("a.xls"), &rows);
    let refused = read(&mut source(folder.path(), |config| config.sheet.memory_mib = 128), &["key"]).await;
    assert_eq!(refused.map(|items| items.len()).unwrap_err().reason, Reason::WorkbookTooHeavy);
}

#[tokio::test]
async fn hidden_rows_and_columns_of_an_old_workbook_are_read_and_told() {
    // Written by xlwt 1.3.0: two sheets, of the second the rows 4 and 5 and the column B hidden.
    let make = |path: &Path| std::fs::write(path, include_bytes!("workbook/hidden.xls")).unwrap();
    let items = items("a.xls", make, &["编号", "名称"]).await.unwrap();
    let expected = lines(&[
        (4, "note hidden_cells: rows 4–5"),
        (2, "note hidden_cells: column B"),
        (3, "00001|示例一"),
        (4, "00002|示例二"),
        (5, "00003|示例三"),
        (6, "00004|示例四"),
    ]);
    assert_eq!(told(&items), expected);
}

/// The one file of a fresh folder, read.
async fn items(name: &str, make: impl FnOnce(&Path), columns: &[&str]) -> Result<Vec<Item>, (Reason, Option<u64>)> {
    let folder = tempfile::tempdir().unwrap();
    make(&folder.path().join(name));
    let items = read(&mut source(folder.path(), |_| {}), columns).await;
    items.map_err(|refused| (refused.reason, refused.line))
}

/// Rows as their cells, problems as reason and address.
fn told(items: &[Item]) -> Vec<(u64, String)> {
    let one = |item: &Item| match item {
        Item::Row(row) => (row.line, row.cells.join("|")),
        Item::Bad(problem) => {
            (problem.line, format!("{}: {}", problem.reason, problem.en.rsplit(": ").next().unwrap()))
        }
        Item::Note(note) => (note.line, format!("note {}: {}", note.reason, note.en.rsplit(": ").next().unwrap())),
    };
    items.iter().map(one).collect()
}

fn lines(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|&(line, text)| (line, text.to_owned())).collect()
}

#[tokio::test]
async fn cells_are_what_people_see_and_what_a_spreadsheet_spoilt_is_told_with_its_address() {
    let rows = [
        row(1, &["编号", "日期", "金额"]),
        r#"<row r="2"><c r="A2" t="str"><v>370399198506150021</v></c><c r="B2" s="1"><v>43447</v></c><c r="C2"><v>37.199999999999996</v></c></row>"#.into(),
        r#"<row r="3"><c r="A3"><v>3.7039919850615E+17</v></c><c r="C3"><v>1</v></c></row>"#.into(),
        r#"<row r="4"><c r="A4"><v>1E+15</v></c></row>"#.into(),
        r#"<row r="5"><c r="A5" t="str"><f>B5&amp;"x"</f><v>旧</v></c></row>"#.into(),
        r#"<row r="6"><c r="A6" t="inlineStr"><is><t>a</t></is></c><c r="B6" t="e"><v>#N/A</v></c><c r="C6" t="e"><v>#REF!</v></c></row>"#.into(),
        r#"<row r="7"><c r="A7" t="inlineStr"><is><t>b</t></is></c><c r="B7" s="1"><v>60</v></c></row>"#.into(),
        r#"<row r="8"><c r="A8" t="inlineStr"><is><t>00123</t></is></c><c r="B8" t="d"><v>2018-12-13T00:00:00</v></c></row>"#.into(),
        row(9, &["编号", "日期", "金额"]),
        r#"<row r="10"><c r="D10" s="1"/></row>"#.into(),
    ];
    let make = |path: &Path| book(path, &sheet("", &rows.concat(), ""));
    let items = items("a.xlsx", make, &["编号", "日期", "金额"]).await.unwrap();
    let expected = lines(&[
        (2, "370399198506150021|2018-12-13|37.2"),
        (3, "number_too_long: A3"),
        (4, "number_too_long: A4"),
        (5, "formula_refused: A5"),
        (6, "cell_error: B6 #N/A、C6 #REF!"),
        (7, "date_impossible: B7"),
        (8, "00123|2018-12-13|"),
        (9, "heading_repeated: the heading row stands again among the data; remove the row"),
    ]);
    assert_eq!(told(&items), expected);
}

#[tokio::test]
async fn formulas_are_taken_where_the_configuration_allows_them() {
    let folder = tempfile::tempdir().unwrap();
    let rows = row(1, &["a", "b"])
        + r#"<row r="2"><c r="A2"><f>1+1</f><v>2</v></c></row><row r="3"><c r="A3"><f>1+1</f></c></row>"#;
    book(&folder.path().join("a.xlsx"), &sheet("", &rows, ""));
    let items = read(&mut source(folder.path(), |config| config.sheet.formulas = true), &["a", "b"]).await.unwrap();
    assert_eq!(told(&items), lines(&[(2, "2|"), (3, "formula_refused: A3 no value")]));
}

#[tokio::test]
async fn the_date_system_of_1904_is_seen() {
    let make = |path: &Path| {
        let mut book = Book::begin(path, &["Sheet1"], true);
        let rows = row(1, &["日期"]) + r#"<row r="2"><c r="A2" s="1"><v>41985</v></c></row>"#;
        book.part("xl/worksheets/sheet1.xml", &sheet("", &rows, ""));
        book.end();
    };
    assert_eq!(told(&items("a.xlsx", make, &["日期"]).await.unwrap()), lines(&[(2, "2018-12-13")]));
}

#[tokio::test]
async fn hidden_rows_and_columns_are_read_and_told_and_merged_rows_are_not_guessed() {
    let hidden = |number: usize, text: &str| row(number, &[text, "v"]).replace("<row ", r#"<row hidden="1" "#);
    let rows = [
        row(1, &["标题"]),
        row(2, &["key", "value"]),
        row(3, &["", "分项"]),
        hidden(4, "a"),
        hidden(5, "b"),
        row(6, &["c", "v"]),
        row(7, &["", "w"]),
        row(8, &["d", "v"]),
    ];
    let before = r#"<cols><col min="2" max="2" hidden="1"/></cols>"#;
    let behind = r#"<mergeCells count="3"><mergeCell ref="A1:B1"/><mergeCell ref="A2:A3"/><mergeCell ref="A6:A7"/></mergeCells>"#;
    let make = |path: &Path| book(path, &sheet(before, &rows.concat(), behind));
    let items = items("a.xlsx", make, &["key", "value"]).await.unwrap();
    let expected = lines(&[
        (4, "note hidden_cells: rows 4–5"),
        (2, "note hidden_cells: column B"),
        (4, "a|v"),
        (5, "b|v"),
        (6, "merged_cells: A6:A7"),
        (7, "merged_cells: A6:A7"),
        (8, "d|v"),
    ]);
    assert_eq!(told(&items), expected);
}

#[tokio::test]
async fn the_sheet_with_the_heading_is_read_and_two_of_them_are_not_chosen_between() {
    let make = |second: &'static str| {
        move |path: &Path| {
            let mut book = Book::begin(path, &["说明", "数据", "旧"], false);
            book.part("xl/worksheets/sheet1.xml", &sheet("", &row(1, &["说明"]), ""));
            book.part("xl/worksheets/sheet2.xml", &sheet("", &(row(1, &["key"]) + &row(2, &["a"])), ""));
            book.part("xl/worksheets/sheet3.xml", &sheet("", &(row(1, &[second]) + &row(2, &["b"])), ""));
            book.end();
        }
    };
    assert_eq!(told(&items("a.xlsx", make("other"), &["key"]).await.unwrap()), lines(&[(2, "a")]));
    assert_eq!(items("a.xlsx", make("key"), &["key"]).await.unwrap_err().0, Reason::SheetUnclear);
    let folder = tempfile::tempdir().unwrap();
    make("key")(&folder.path().join("a.xlsx"));
    let mut named = source(folder.path(), |config| config.sheet.name = Some("旧".into()));
    assert_eq!(told(&read(&mut named, &["key"]).await.unwrap()), lines(&[(2, "b")]));
    assert_eq!(items("a.xlsx", make("other"), &["nowhere"]).await.unwrap_err().0, Reason::HeadingMissing);
    assert_eq!(items("a.xlsx", make("other"), &["key", "more"]).await.unwrap_err(), (Reason::ColumnMissing, Some(1)));
}

#[tokio::test]
async fn an_old_workbook_is_read_and_one_renamed_is_not() {
    let make = |path: &Path| {
        let text = |texts: [&'static str; 2]| texts.map(Old::Text).into_iter().collect::<Vec<_>>();
        let rows = [
            text(["编号", "日期"]),
            vec![Old::Text("91370322MAYY000184"), Old::Day(43_447.0)],
            vec![Old::Number(370_399_198_506_150_021.0), Old::Text("x")],
            vec![Old::Number(12.5)],
        ];
        old_book(path, &rows);
    };
    let expected = lines(&[(2, "91370322MAYY000184|2018-12-13"), (3, "number_too_long: A3"), (4, "12.5|")]);
    assert_eq!(told(&items("a.xls", make, &["编号", "日期"]).await.unwrap()), expected);
    assert_eq!(items("a.xlsx", make, &["编号"]).await.unwrap_err().0, Reason::FormatMismatch);
    let html = |path: &Path| std::fs::write(path, "<html><table><tr><td>编号</td></tr></table></html>").unwrap();
    assert_eq!(items("a.xls", html, &["编号"]).await.unwrap_err().0, Reason::FormatMismatch);
    assert_eq!(items("b.xls", |path| xlsx(path, 1), &["key"]).await.unwrap_err().0, Reason::FormatMismatch);
}

#[tokio::test]
async fn rows_beyond_the_bound_and_a_reader_that_is_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    xlsx(&folder.path().join("a.xlsx"), 30);
    let refused = read(&mut source(folder.path(), |config| config.sheet.max_rows = 20), &["key"]).await.unwrap_err();
    assert_eq!((refused.reason, refused.line), (Reason::TooManyRows, Some(23)));
    let refused = read(&mut source(folder.path(), |config| config.sheet.max_strings = 50), &["key"]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::WorkbookUnsafe);
    let refused = read(&mut source(folder.path(), |config| config.sheet.max_mib = 0), &["key"]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::FileTooLarge);
}
