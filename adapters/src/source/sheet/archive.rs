//! The directory of a workbook's archive, looked at before anything in it is unpacked: a workbook is a ZIP archive
//! of XML parts, and a hostile one may unpack to a thousand times its size.

use std::{
    collections::HashSet,
    io::{self, Read, Seek, SeekFrom},
};

use quick_xml::{Reader, events::Event};
use zip::ZipArchive;

use crate::problem::{Reason, Refused};

/// More parts than any workbook has.
const MAX_ENTRIES: u16 = 10_000;
/// Deflate reaches 1,032; sheets of real exports stay below 50.
const MAX_RATIO: u64 = 200;
/// Below this size no ratio does harm.
const SMALL: u64 = 1 << 20;
/// The longest part.
const MAX_PART: u64 = 2 << 30;
/// The end record of an archive: 22 bytes and a comment of at most 64 KiB (APPNOTE.TXT 4.3.16).
const END_RECORD: usize = 22;

/// What makes a workbook more than a table: parts by the beginning of their name, and what people call them.
const FORBIDDEN: [(&str, &str); 9] = [
    ("xl/vbaproject", "macros"),
    ("xl/macrosheets/", "macros"),
    ("xl/dialogsheets/", "macros"),
    ("xl/activex/", "controls"),
    ("xl/ctrlprops/", "controls"),
    ("xl/embeddings/", "embedded objects"),
    ("xl/externallinks/", "links to other files"),
    ("xl/connections", "connections to other systems"),
    ("xl/querytables/", "connections to other systems"),
];

/// Why a workbook is not read.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refused),
    Io(io::Error),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn unsafe_workbook(detail: impl Into<String>) -> Stop {
    Refused::new(Reason::WorkbookUnsafe, None, detail).into()
}

pub(super) fn unreadable(detail: impl Into<String>) -> Stop {
    Refused::new(Reason::WorkbookUnreadable, None, detail).into()
}

/// Opens the archive of a workbook in which every part may be unpacked.
pub(super) fn open<R: Read + Seek>(mut file: R) -> Result<ZipArchive<R>, Stop> {
    count_entries(&mut file)?;
    let mut archive = ZipArchive::new(file).map_err(|_| unreadable("no directory of parts"))?;
    let mut names = HashSet::new();
    for index in 0..archive.len() {
        let part = archive.by_index_raw(index).map_err(|_| unreadable("a damaged directory of parts"))?;
        let name = std::str::from_utf8(part.name_raw()).map_err(|_| unsafe_workbook("a part with an unusual name"))?;
        if is_escaping(name) {
            return Err(unsafe_workbook("a part whose name leads out of the archive"));
        }
        if part.is_symlink() {
            return Err(unsafe_workbook("a part that is a link"));
        }
        if part.encrypted() {
            return Err(unsafe_workbook("a part that is encrypted"));
        }
        let size = part.size();
        if size > MAX_PART || (size > SMALL && size / part.compressed_size().max(1) > MAX_RATIO) {
            return Err(unsafe_workbook("a part that unpacks to far more than its size"));
        }
        let folded = name.to_lowercase();
        if let Some((_, what)) = FORBIDDEN.iter().find(|(begin, _)| folded.starts_with(begin)) {
            return Err(unsafe_workbook(*what));
        }
        if !names.insert(folded) {
            return Err(unsafe_workbook("two parts of one name"));
        }
    }
    no_macros(&mut archive)?;
    Ok(archive)
}

/// A macro workbook says so in its list of content types, whatever its own name.
fn no_macros<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<(), Stop> {
    let mut types = String::new();
    let part = part(archive, "[Content_Types].xml")?;
    part.take(SMALL).read_to_string(&mut types).map_err(|_| unreadable("no list of content types"))?;
    let types = types.to_lowercase();
    if types.contains("macroenabled") || types.contains("vbaproject") {
        return Err(unsafe_workbook("macros"));
    }
    Ok(())
}

/// How many parts the archive says it has, before memory is taken for them.
fn count_entries(file: &mut (impl Read + Seek)) -> Result<(), Stop> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min((END_RECORD + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    let end = bytes.windows(END_RECORD).rposition(|window| window.starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(|| unreadable("no directory of parts"))?;
    let entries = u16::from_le_bytes([bytes[end + 10], bytes[end + 11]]);
    file.seek(SeekFrom::Start(0))?;
    if entries > MAX_ENTRIES { Err(unsafe_workbook("too many parts")) } else { Ok(()) }
}

fn is_escaping(name: &str) -> bool {
    name.starts_with('/') || name.contains(['\\', '\0', ':']) || name.split('/').any(|step| step == ".." || step == ".")
}

/// A part. Reading it ends with an error where it is longer than the directory says.
pub(super) fn part<'a, R: Read + Seek>(
    archive: &'a mut ZipArchive<R>,
    name: &str,
) -> Result<impl Read + use<'a, R>, Stop> {
    archive.by_name(name).map_err(|_| unreadable(format!("no part {name}")))
}

/// Reads a part event by event; a document type is refused wherever it stands.
pub(super) fn each_event(
    part: impl Read,
    name: &str,
    mut each: impl FnMut(&Event<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut reader = Reader::from_reader(io::BufReader::with_capacity(1 << 16, part));
    let mut buffer = Vec::with_capacity(1 << 12);
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => return Ok(()),
            Ok(Event::DocType(_)) => return Err(unsafe_workbook(format!("a document type in {name}"))),
            Ok(event) => each(&event)?,
            Err(_) => return Err(unreadable(format!("the part {name}"))),
        }
    }
}
