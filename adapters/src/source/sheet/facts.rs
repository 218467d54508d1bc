//! What a workbook's XML says beside the values: where the sheets are, which rows and columns are hidden, which cells
//! are merged, how many cells there are. Every part that is read for its values is read here first, to its end.

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
};
use zip::ZipArchive;

use super::archive::{Stop, each_event, part, unreadable, unsafe_workbook};

/// More merged regions or hidden spans than this are not kept.
const MAX_SPANS: usize = 10_000;
/// So many shared strings are admitted whatever the sheet.
const SOME_STRINGS: u64 = 100_000;
/// Parts that are read for their formats.
const STYLES: [&str; 2] = ["xl/styles.xml", "xl/theme/theme1.xml"];
const STRINGS: &str = "xl/sharedStrings.xml";

/// A rectangle of cells, from 0, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) rows: (u32, u32),
    pub(super) columns: (u32, u32),
}

/// What is to know about one sheet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Spans of rows, from 0, both ends included, ascending.
    pub(super) hidden_rows: Vec<(u32, u32)>,
    pub(super) hidden_columns: Vec<(u32, u32)>,
    pub(super) merged: Vec<Region>,
    /// Whether what is hidden could not be found out.
    pub(super) hidden_unknown: bool,
    /// Cells, empty ones too.
    pub(super) cells: u64,
}

/// The parts of the sheets by the sheets' names.
pub(super) fn sheets<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<HashMap<String, String>, Stop> {
    let mut main = None;
    let each = |event: &Event<'_>| {
        if let Some(found) = element(event, "Relationship")
            && attribute(found, "Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
        {
            main = attribute(found, "Target");
        }
        Ok(())
    };
    each_event(part(archive, "_rels/.rels")?, "_rels/.rels", each)?;
    if main.as_deref().map(|main| main.trim_start_matches('/')) != Some("xl/workbook.xml") {
        return Err(unreadable("no part xl/workbook.xml"));
    }
    let mut targets = HashMap::new();
    let rels = "xl/_rels/workbook.xml.rels";
    each_event(part(archive, rels)?, rels, |event| {
        if let Some(found) = element(event, "Relationship")
            && let (Some(id), Some(target)) = (attribute(found, "Id"), attribute(found, "Target"))
        {
            targets.insert(id, target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned));
        }
        Ok(())
    })?;
    let mut sheets = HashMap::new();
    each_event(part(archive, "xl/workbook.xml")?, "xl/workbook.xml", |event| {
        if let Some(found) = element(event, "sheet")
            && let (Some(name), Some(id)) = (attribute(found, "name"), attribute(found, "id"))
            && let Some(target) = targets.get(&id)
        {
            sheets.insert(name, target.clone());
        }
        Ok(())
    })?;
    Ok(sheets)
}

/// Reads the part of a sheet to its end.
pub(super) fn of_sheet<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> Result<Facts, Stop> {
    let mut facts = Facts::default();
    let mut row = 0;
    each_event(part(archive, name)?, name, |event| {
        let (Event::Start(found) | Event::Empty(found)) = event else { return Ok(()) };
        match found.local_name().as_ref() {
            "c" => facts.cells += 1,
            "row" => {
                row = number(found, "r").map_or(row + 1, |row: u32| row);
                if is_set(found, "hidden") {
                    facts.hide_rows((row.saturating_sub(1), row.saturating_sub(1)));
                }
            }
            "col" if is_set(found, "hidden") => {
                let (from, to): (u32, u32) =
                    (number(found, "min").unwrap_or(1), number(found, "max").unwrap_or(u32::MAX));
                facts.hide_columns((from.saturating_sub(1), to.saturating_sub(1)));
            }
            "mergeCell" if facts.merged.len() < MAX_SPANS => {
                let region = attribute(found, "ref").and_then(|text| region(&text));
                facts.merged.push(region.ok_or_else(|| unreadable("a merged region"))?);
            }
            "mergeCell" => return Err(unsafe_workbook("too many merged regions")),
            _ => {}
        }
        Ok(())
    })?;
    Ok(facts)
}

/// Reads the parts that belong to every sheet; refuses strings that no cell can need.
pub(super) fn of_workbook<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    cells: u64,
    max_strings: u64,
) -> Result<(), Stop> {
    for name in STYLES {
        if archive.index_for_name(name).is_some() {
            each_event(part(archive, name)?, name, |_| Ok(()))?;
        }
    }
    if archive.index_for_name(STRINGS).is_none() {
        return Ok(());
    }
    let (admitted, mut strings) = (max_strings.min(cells.saturating_mul(2).max(SOME_STRINGS)), 0_u64);
    each_event(part(archive, STRINGS)?, STRINGS, |event| {
        // The announced number is taken for the size of a table.
        let announced = element(event, "sst").and_then(|found| number::<u64>(found, "uniqueCount")).unwrap_or(0);
        strings += u64::from(element(event, "si").is_some());
        if strings.max(announced) > admitted { Err(unsafe_workbook("more strings than cells")) } else { Ok(()) }
    })
}

impl Facts {
    /// Notes hidden rows, from 0, both ends included; spans ascend.
    pub(super) fn hide_rows(&mut self, rows: (u32, u32)) {
        span(&mut self.hidden_rows, rows);
    }

    /// Notes hidden columns in the same way.
    pub(super) fn hide_columns(&mut self, columns: (u32, u32)) {
        span(&mut self.hidden_columns, columns);
    }

    /// The merged region that a cell is in. Regions are in order of their first row, and asked for in order of rows.
    pub(super) fn merged_at(&mut self, (row, column): (u32, u32)) -> Option<Region> {
        let behind = self.merged.iter().take_while(|region| region.rows.1 < row).count();
        self.merged.drain(..behind);
        let begun = self.merged.iter().take_while(|region| region.rows.0 <= row);
        let within = |region: &&Region| region.rows.1 >= row && (region.columns.0..=region.columns.1).contains(&column);
        begun.into_iter().find(within).copied()
    }
}

fn span(spans: &mut Vec<(u32, u32)>, next: (u32, u32)) {
    let room = spans.len() < MAX_SPANS;
    match spans.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(next.0) => last.1 = next.1,
        _ if room => spans.push(next),
        _ => {}
    }
}

fn element<'a, 'b>(event: &'a Event<'b>, name: &str) -> Option<&'a BytesStart<'b>> {
    match event {
        Event::Start(found) | Event::Empty(found) if found.local_name().as_ref() == name => Some(found),
        _ => None,
    }
}

/// An attribute by its name without prefix.
fn attribute(found: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = found.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
    attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(std::borrow::Cow::into_owned)
}

fn number<N: std::str::FromStr>(found: &BytesStart<'_>, name: &str) -> Option<N> {
    attribute(found, name)?.parse().ok()
}

fn is_set(found: &BytesStart<'_>, name: &str) -> bool {
    matches!(attribute(found, name).as_deref(), Some("1" | "true"))
}

/// `B3:D7` as a region.
fn region(text: &str) -> Option<Region> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (position(from)?, position(to)?);
    Some(Region { rows: (from.0, to.0), columns: (from.1, to.1) })
}

/// Row and column of an address, from 0.
fn position(text: &str) -> Option<(u32, u32)> {
    let text = text.trim_start_matches('$');
    let split = text.find(|letter: char| !letter.is_ascii_alphabetic())?;
    let (letters, digits) = text.split_at(split);
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let value = |letter: u8| u32::from(letter.to_ascii_uppercase() - b'A') + 1;
    let column = letters.bytes().fold(0, |column, letter| column * 26 + value(letter));
    let row: u32 = digits.trim_start_matches('$').parse().ok()?;
    Some((row.checked_sub(1)?, column - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read() {
        assert_eq!(region("B3:D7"), Some(Region { rows: (2, 6), columns: (1, 3) }));
        assert_eq!(region("$A$1"), Some(Region { rows: (0, 0), columns: (0, 0) }));
        for text in ["", "3", "A", "A0", "ABCD1", "A1:"] {
            assert_eq!(region(text), None, "{text}");
        }
    }
}
