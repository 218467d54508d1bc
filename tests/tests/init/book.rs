//! A workbook, written by hand.

use std::{fs::File, io::Write as _, path::Path};

/// Writes sheets of a name and rows; all cells are text.
pub(super) fn write(path: &Path, sheets: &[(&str, Vec<Vec<String>>)]) {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
    let (mut names, mut relations) = (String::new(), String::new());
    let mut parts = vec![(
        "[Content_Types].xml".to_owned(),
        format!(
            "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"xml\" \
             ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/></Types>"
        ),
    )];
    for (at, (name, rows)) in sheets.iter().enumerate() {
        let id = at + 1;
        names += &format!("<sheet name=\"{name}\" sheetId=\"{id}\" r:id=\"r{id}\"/>");
        relations +=
            &format!("<Relationship Id=\"r{id}\" Type=\"{OFFICE}/worksheet\" Target=\"worksheets/sheet{id}.xml\"/>");
        let cell = |text: &String| match text.as_str() {
            "" => "<c/>".to_owned(),
            text => format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>"),
        };
        let rows = rows.iter().map(|row| format!("<row>{}</row>", row.iter().map(cell).collect::<String>()));
        let text =
            format!("<worksheet xmlns=\"{MAIN}\"><sheetData>{}</sheetData></worksheet>", rows.collect::<String>());
        parts.push((format!("xl/worksheets/sheet{id}.xml"), text));
    }
    parts.push((
        "_rels/.rels".to_owned(),
        format!(
            "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"r1\" Type=\"{OFFICE}/officeDocument\" \
             Target=\"xl/workbook.xml\"/></Relationships>"
        ),
    ));
    parts.push((
        "xl/workbook.xml".to_owned(),
        format!("<workbook xmlns=\"{MAIN}\" xmlns:r=\"{OFFICE}\"><sheets>{names}</sheets></workbook>"),
    ));
    parts.push((
        "xl/_rels/workbook.xml.rels".to_owned(),
        format!("<Relationships xmlns=\"{PACKAGE}/relationships\">{relations}</Relationships>"),
    ));
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, text) in parts {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}
