//! Workbooks made by hand, honest and hostile: XLSX part by part, XLS record by record (MS-XLS), compound files
//! (MS-CFB).

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use weft_adapter::{
    Surroundings,
    problem::Refused,
    source::{
        Item, Next, RowsError, Source,
        file::{FileConfig, FileSource},
    },
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#;
const RELS: &str = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const STYLES: &str = r#"<?xml version="1.0"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#;

/// An XLSX under construction.
pub(crate) struct Book {
    zip: ZipWriter<BufWriter<File>>,
}

impl Book {
    /// A workbook whose sheets have these names; their parts are `sheet1.xml` and so on, still to be written.
    pub(crate) fn begin(path: &Path, sheets: &[&str], date_1904: bool) -> Self {
        Self::begin_as(path, TYPES, sheets, date_1904)
    }

    /// The same, with a list of content types.
    pub(crate) fn begin_as(path: &Path, types: &str, sheets: &[&str], date_1904: bool) -> Self {
        let mut book = Self { zip: ZipWriter::new(BufWriter::new(File::create(path).unwrap())) };
        book.part("[Content_Types].xml", types);
        book.part("_rels/.rels", RELS);
        book.part("xl/styles.xml", STYLES);
        let (mut list, mut rels) = (String::new(), String::new());
        for (number, name) in (1..).zip(sheets) {
            list += &format!(r#"<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>"#);
            rels += &format!(
                r#"<Relationship Id="r{number}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{number}.xml"/>"#
            );
        }
        book.part("xl/_rels/workbook.xml.rels", &format!(r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rels}</Relationships>"#));
        let date = if date_1904 { r#"<workbookPr date1904="1"/>"# } else { "" };
        book.part("xl/workbook.xml", &format!(r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">{date}<sheets>{list}</sheets></workbook>"#));
        book
    }

    /// Writes a part.
    pub(crate) fn part(&mut self, name: &str, text: &str) {
        self.stream(name).write_all(text.as_bytes()).unwrap();
    }

    /// Begins a part that is written piece by piece.
    pub(crate) fn stream(&mut self, name: &str) -> &mut impl Write {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file(name, options).unwrap();
        &mut self.zip
    }

    /// A part that is a symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) {
        self.zip.add_symlink(name, target, SimpleFileOptions::default()).unwrap();
    }

    pub(crate) fn end(self) {
        self.zip.finish().unwrap().into_inner().unwrap().sync_all().unwrap();
    }
}

/// The XML of a sheet with these rows, and what stands before and behind them.
pub(crate) fn sheet(before: &str, rows: &str, behind: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{before}<sheetData>{rows}</sheetData>{behind}</worksheet>"#
    )
}

/// A row of texts; the row is counted from 1.
pub(crate) fn row(number: usize, texts: &[&str]) -> String {
    let cells = (b'A'..).zip(texts).map(|(letter, text)| {
        format!(r#"<c r="{}{number}" t="inlineStr"><is><t>{text}</t></is></c>"#, char::from(letter))
    });
    format!(r#"<row r="{number}">{}</row>"#, cells.collect::<String>())
}

/// A workbook with one sheet.
pub(crate) fn book(path: &Path, sheet_xml: &str) {
    let mut book = Book::begin(path, &["Sheet1"], false);
    book.part("xl/worksheets/sheet1.xml", sheet_xml);
    book.end();
}

/// A compound file with streams of at least 4,096 bytes each, which so need no sectors of the small kind.
pub(crate) fn compound(path: &Path, streams: &[(&str, Vec<u8>)]) {
    const END: u32 = 0xffff_fffe;
    const FREE: u32 = 0xffff_ffff;
    let sectors: usize = streams.iter().map(|(_, bytes)| bytes.len().max(4_096).div_ceil(512)).sum();
    // So many that the table has a place for itself, for the directory and for all that is in the streams.
    let tables = (sectors + 1).div_ceil(127);
    let number = |place: usize| u32::try_from(place).unwrap();
    let (mut fat, mut data) = (vec![0xffff_fffd_u32; tables], Vec::new());
    fat.push(END);
    let mut directory = entry("Root Entry", 5, END, 0);
    for (name, bytes) in streams {
        let mut bytes = bytes.clone();
        bytes.resize(bytes.len().max(4_096).next_multiple_of(512), 0);
        let (start, count) = (number(fat.len()), bytes.len() / 512);
        fat.extend((1..count).map(|sector| start + number(sector)));
        fat.push(END);
        directory.extend(entry(name, 2, start, bytes.len()));
        data.extend(bytes);
    }
    assert!(tables <= 109 && directory.len() <= 512, "more is not made here");
    fat.resize(tables * 128, FREE);
    directory.resize(512, 0);
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
    for (at, value) in [(24, 0x3e_u16), (26, 3), (28, 0xfffe), (30, 9), (32, 6)] {
        header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    header[76..].fill(0xff);
    let own = [(44, number(tables)), (48, number(tables)), (56, 4_096), (60, END), (64, 0), (68, END), (72, 0)];
    let places = (0..tables).map(|table| (76 + 4 * table, number(table)));
    for (at, value) in own.into_iter().chain(places) {
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let fat: Vec<u8> = fat.into_iter().flat_map(u32::to_le_bytes).collect();
    std::fs::write(path, [header, fat, directory, data].concat()).unwrap();
}

fn entry(name: &str, kind: u8, start: u32, length: usize) -> Vec<u8> {
    let mut entry = vec![0; 128];
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    entry[..name.len()].copy_from_slice(&name);
    entry[64..66].copy_from_slice(&u16::try_from(name.len() + 2).unwrap().to_le_bytes());
    entry[66] = kind;
    entry[67] = 1;
    entry[68..80].fill(0xff);
    entry[116..120].copy_from_slice(&start.to_le_bytes());
    entry[120..124].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    entry
}

/// A cell of an XLS.
pub(crate) enum Old<'a> {
    Text(&'a str),
    Number(f64),
    /// A number in the format of a date.
    Day(f64),
}

/// An XLS with one sheet.
pub(crate) fn old_book(path: &Path, rows: &[Vec<Old<'_>>]) {
    let mut sheet = record(0x0809, &[0x00, 0x06, 0x10, 0x00, 0, 0, 0, 0]);
    for (row, cells) in (0_u16..).zip(rows) {
        for (column, cell) in (0_u16..).zip(cells) {
            let place = |format: u16| [row, column, format].into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
            sheet.extend(match cell {
                Old::Text(text) => {
                    let units: Vec<u16> = text.encode_utf16().collect();
                    let length = u16::try_from(units.len()).unwrap().to_le_bytes();
                    let text = units.into_iter().flat_map(u16::to_le_bytes).collect();
                    record(0x0204, &[place(0), length.to_vec(), vec![1], text].concat())
                }
                Old::Number(number) => record(0x0203, &[place(0), number.to_le_bytes().to_vec()].concat()),
                Old::Day(number) => record(0x0203, &[place(1), number.to_le_bytes().to_vec()].concat()),
            });
        }
    }
    sheet.extend(record(0x000a, &[]));
    let globals = |at: usize| {
        let mut globals = record(0x0809, &[0x00, 0x06, 0x05, 0x00, 0, 0, 0, 0]);
        for format in [0_u16, 14] {
            globals.extend(record(0x00e0, &[&[0, 0][..], &format.to_le_bytes(), &[0; 16]].concat()));
        }
        let at = u32::try_from(at).unwrap().to_le_bytes();
        globals.extend(record(0x0085, &[&at[..], &[0, 0, 2, 0], b"S1"].concat()));
        globals.extend(record(0x000a, &[]));
        globals
    };
    let stream = [globals(globals(0).len()), sheet].concat();
    compound(path, &[("Workbook", stream)]);
}

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &u16::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

/// A source over `folder`, whose workbooks are read by this package's own program.
pub(crate) fn source(folder: &Path, change: impl FnOnce(&mut FileConfig)) -> FileSource {
    let mut config = FileConfig { settle_ms: 0, ..FileConfig::new(folder) };
    change(&mut config);
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_weft-sheet"));
    FileSource::new("test", config, &Surroundings { helper, ..Surroundings::system() })
}

/// What the first file of a source has in these columns.
pub(crate) async fn read(source: &mut FileSource, columns: &[&str]) -> Result<Vec<Item>, Refused> {
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
            Err(RowsError::Failed(error)) => panic!("{error}: {:?}", error.cause),
        }
    }
}
