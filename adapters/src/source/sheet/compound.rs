//! One stream of a compound file (MS-CFB), sector by sector: the library for XLS keeps its own reader to itself. A chain that leads
//! out of the file or into itself is an error; nothing is taken on trust for the size of a table.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
};

/// Numbers from here on are no sectors (2.1).
const NO_SECTOR: u32 = 0xffff_fffa;
/// Places of sectors of the allocation table in the header itself (2.2).
const IN_HEADER: usize = 109;
/// Length of a directory entry (2.6), and of a sector of the small kind.
const ENTRY: usize = 128;
const SMALL: usize = 64;

fn wrong() -> io::Error {
    ErrorKind::InvalidData.into()
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let bytes = bytes.get(at..at + 4).ok_or_else(wrong)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn numbers(bytes: &[u8]) -> io::Result<Vec<u32>> {
    (0..bytes.len() / 4).map(|index| number(bytes, index * 4)).collect()
}

/// A compound file whose allocation table is at hand.
struct Compound<'a> {
    file: &'a File,
    /// Length of a sector, as a power of two.
    shift: u32,
    /// Sectors that fit into the file: no chain is longer.
    most: usize,
    next: Vec<u32>,
}

impl Compound<'_> {
    fn sector(&self, number: u32) -> io::Result<Vec<u8>> {
        let (mut bytes, mut filled) = (vec![0; 1 << self.shift], 0);
        let from = (u64::from(number) + 1) << self.shift;
        // Some writers leave the end of the last sector out.
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], from + filled as u64)? {
                0 if filled == 0 => return Err(wrong()),
                0 => break,
                read => filled += read,
            }
        }
        Ok(bytes)
    }

    /// The sectors from `first` on, in their order.
    fn chain(&self, first: u32) -> io::Result<Vec<u8>> {
        let (mut at, mut bytes) = (first, Vec::new());
        while at < NO_SECTOR {
            if bytes.len() >> self.shift >= self.most {
                return Err(wrong());
            }
            bytes.extend(self.sector(at)?);
            at = *self.next.get(at as usize).ok_or_else(wrong)?;
        }
        Ok(bytes)
    }
}

/// The first stream of one of these names.
///
/// # Errors
/// There is none, or the file is damaged.
pub(super) fn stream(file: &File, names: &[&str]) -> io::Result<Vec<u8>> {
    let mut header = [0; 512];
    file.read_exact_at(&mut header, 0)?;
    let shift = u32::from(header[30]);
    if !matches!(shift, 9 | 12) {
        return Err(wrong());
    }
    let most = usize::try_from(file.metadata()?.len() >> shift).map_err(|_| wrong())?;
    let mut compound = Compound { file, shift, most, next: Vec::new() };
    let mut places = numbers(&header[76..76 + 4 * IN_HEADER])?;
    let mut more = number(&header, 68)?;
    while more < NO_SECTOR {
        places.extend(numbers(&compound.sector(more)?)?);
        more = places.pop().filter(|_| places.len() <= most + IN_HEADER).ok_or_else(wrong)?;
    }
    for place in places.into_iter().filter(|place| *place < NO_SECTOR) {
        let table = numbers(&compound.sector(place)?)?;
        compound.next.extend(table);
    }
    let directory = compound.chain(number(&header, 48)?)?;
    let entries: Vec<&[u8]> = directory.chunks_exact(ENTRY).collect();
    let named = |entry: &&&[u8]| entry[66] == 2 && names.iter().any(|name| is_named(entry, name));
    let entry = entries.iter().find(named).ok_or_else(wrong)?;
    let (first, length) = (number(entry, 116)?, number(entry, 120)? as usize);
    let mut bytes = if length >= number(&header, 56)? as usize {
        compound.chain(first)?
    } else {
        // A small stream lies in sectors of the small kind, which lie in the root's stream.
        let container = compound.chain(number(entries.first().ok_or_else(wrong)?, 116)?)?;
        let next = numbers(&compound.chain(number(&header, 60)?)?)?;
        small(&container, &next, first)?
    };
    bytes.truncate(length);
    Ok(bytes)
}

fn small(container: &[u8], next: &[u32], first: u32) -> io::Result<Vec<u8>> {
    let (mut at, mut bytes) = (first, Vec::new());
    while at < NO_SECTOR {
        let from = at as usize * SMALL;
        bytes.extend(container.get(from..from + SMALL).filter(|_| bytes.len() < container.len()).ok_or_else(wrong)?);
        at = *next.get(at as usize).ok_or_else(wrong)?;
    }
    Ok(bytes)
}

fn is_named(entry: &[u8], name: &str) -> bool {
    let mut units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    units.extend([0, 0]);
    entry.starts_with(&units)
}
