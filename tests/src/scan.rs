//! The search for values that must not lie anywhere in the clear.
//!
//! A value is found as it is, as JSON escapes it, percent-encoded, in hexadecimal, and in whatever stands in a run
//! of base64, base64url or hexadecimal characters, again and again: a disclosure of an SD-JWT in a dump of a
//! database is hexadecimal of base64url of JSON. Runs are read at every alignment and across line ends, so it does
//! not matter where one begins or what stands before it.
//!
//! It does not look into compressed or encrypted data, and knows text in UTF-8 only (another encoding of a value is
//! another needle); so every search also carries *controls*, values that must be
//! found, and a search that does not find them proves nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Shorter values stand in random bytes by chance.
const SHORTEST: usize = 6;
/// Encodings inside encodings; each makes what it holds a quarter smaller at the least.
const DEEPEST: usize = 8;
/// Files are read in pieces that overlap, so that nothing is cut apart.
const PIECE: usize = 8 << 20;
const OVERLAP: usize = 128 << 10;

/// One reader for both alphabets, after `-_` were turned into `+/`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Looks for a fixed set of values.
#[derive(Debug)]
pub struct Scanner {
    needles: Vec<Vec<u8>>,
    controls: usize,
    patterns: AhoCorasick,
    /// Which needle a pattern stands for.
    needle_of: Vec<usize>,
    /// A run with fewer characters cannot hold a needle.
    shortest_base64: usize,
    shortest_hex: usize,
}

/// A value was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    pub needle: String,
    /// The file, or what the caller called the bytes.
    pub place: PathBuf,
    /// Where in the place the value, or the outermost run that holds it, begins.
    pub offset: u64,
    /// How it was written, from the outside in: `hex > base64 > plain`.
    pub form: String,
}

/// What a search found, over one place or several.
#[derive(Debug, Default)]
pub struct Scan {
    /// The first hit of each needle in each place and form.
    pub hits: BTreeSet<Hit>,
    /// The same for controls.
    pub controls: BTreeSet<Hit>,
    pub files: usize,
    pub bytes: u64,
    controls_wanted: BTreeSet<String>,
}

impl Scanner {
    /// A search for `needles`, none of which may be found, and `controls`, each of which must be.
    ///
    /// # Panics
    /// When a value is shorter than 6 bytes: it would stand in random bytes by chance.
    #[must_use]
    pub fn new<N: AsRef<[u8]>, C: AsRef<[u8]>>(
        needles: impl IntoIterator<Item = N>,
        controls: impl IntoIterator<Item = C>,
    ) -> Self {
        let mut all: Vec<Vec<u8>> = controls.into_iter().map(|value| value.as_ref().to_vec()).collect();
        let controls = all.len();
        all.extend(needles.into_iter().map(|value| value.as_ref().to_vec()));
        let mut forms = Vec::new();
        for (number, needle) in all.iter().enumerate() {
            let name = String::from_utf8_lossy(needle);
            assert!(needle.len() >= SHORTEST, "{name:?} is too short to be searched for");
            forms.extend(patterns_of(needle).into_iter().map(|pattern| (pattern, number)));
        }
        let shortest = all.iter().map(Vec::len).min().unwrap_or(SHORTEST);
        let patterns = AhoCorasick::new(forms.iter().map(|(pattern, _)| pattern)).expect("patterns fit in memory");
        let needle_of = forms.into_iter().map(|(_, number)| number).collect();
        // Within a longer run the first and last characters may share bits with what stands beside the needle.
        let (shortest_base64, shortest_hex) = ((shortest * 8).div_ceil(6), shortest * 2);
        Self { needles: all, controls, patterns, needle_of, shortest_base64, shortest_hex }
    }

    /// Searches bytes that the caller calls `place`.
    #[must_use]
    pub fn scan_bytes(&self, place: impl AsRef<Path>, bytes: &[u8]) -> Scan {
        let mut scan = self.empty();
        self.search(&mut scan, place.as_ref(), bytes, 0);
        scan.bytes += bytes.len() as u64;
        scan
    }

    /// Searches every file under a folder (or one file), and their names. Links are not followed; a file that
    /// vanishes meanwhile is left out.
    ///
    /// # Errors
    /// When something there cannot be read.
    pub fn scan_dir(&self, folder: &Path) -> io::Result<Scan> {
        let mut scan = self.empty();
        let mut left = vec![folder.to_owned()];
        while let Some(path) = left.pop() {
            match self.scan_path(&mut scan, &path, &mut left) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && path != folder => {}
                Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
                Ok(()) => {}
            }
        }
        Ok(scan)
    }

    fn scan_path(&self, scan: &mut Scan, path: &Path, left: &mut Vec<PathBuf>) -> io::Result<()> {
        let kind = std::fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(path)? {
                left.push(entry?.path());
            }
        } else if kind.is_file() {
            self.scan_file(scan, path)?;
            scan.files += 1;
        }
        let name = path.file_name().unwrap_or_default();
        self.search(scan, path, name.as_encoded_bytes(), 0);
        Ok(())
    }

    fn scan_file(&self, scan: &mut Scan, path: &Path) -> io::Result<()> {
        let mut file = std::fs::File::open(path)?;
        let (mut piece, mut offset) = (Vec::new(), 0);
        loop {
            let kept = piece.len();
            let read = file.by_ref().take((PIECE - kept) as u64).read_to_end(&mut piece)?;
            scan.bytes += read as u64;
            if read > 0 {
                self.search(scan, path, &piece, offset);
            }
            if piece.len() < PIECE {
                return Ok(());
            }
            piece.drain(..PIECE - OVERLAP);
            offset += (PIECE - OVERLAP) as u64;
        }
    }

    fn empty(&self) -> Scan {
        let controls = self.needles[..self.controls].iter();
        let controls_wanted = controls.map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        Scan { controls_wanted, ..Scan::default() }
    }

    fn search(&self, scan: &mut Scan, place: &Path, bytes: &[u8], offset: u64) {
        self.plain(bytes, |needle, at| self.note(scan, needle, place, offset + at as u64, "plain"));
        self.runs(bytes, &mut |form, at, decoded| {
            self.deeper(scan, place, offset + at as u64, form, decoded, 1);
        });
    }

    fn deeper(&self, scan: &mut Scan, place: &Path, offset: u64, form: &str, bytes: &[u8], depth: usize) {
        self.plain(bytes, |needle, _| self.note(scan, needle, place, offset, &format!("{form} > plain")));
        if depth < DEEPEST {
            self.runs(bytes, &mut |inner, _, decoded| {
                self.deeper(scan, place, offset, &format!("{form} > {inner}"), decoded, depth + 1);
            });
        }
    }

    fn plain(&self, bytes: &[u8], mut found: impl FnMut(usize, usize)) {
        for hit in self.patterns.find_overlapping_iter(bytes) {
            found(self.needle_of[hit.pattern().as_usize()], hit.start());
        }
    }

    fn note(&self, scan: &mut Scan, needle: usize, place: &Path, offset: u64, form: &str) {
        let hits = if needle < self.controls { &mut scan.controls } else { &mut scan.hits };
        let needle = String::from_utf8_lossy(&self.needles[needle]).into_owned();
        let first = hits.iter().all(|hit| (&hit.needle, &*hit.place, &*hit.form) != (&needle, place, form));
        if first {
            hits.insert(Hit { needle, place: place.to_owned(), offset, form: form.to_owned() });
        }
    }

    /// Hands over every run of encoded characters, decoded at every alignment: (form, where it begins, bytes).
    fn runs(&self, bytes: &[u8], found: &mut impl FnMut(&'static str, usize, &[u8])) {
        for_each_run(bytes, &BASE64_CLASS, self.shortest_base64, |at, mut run| {
            for byte in &mut run {
                *byte = BASE64_CLASS[*byte as usize];
            }
            for skip in 0..4 {
                let Some(run) = run.get(skip..) else { break };
                // One character beyond a group of four holds no byte.
                let whole = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
                let decoded = BASE64.decode(whole).expect("only characters of the alphabet, without padding");
                found("base64", at, &decoded);
            }
        });
        for_each_run(bytes, &HEX_CLASS, self.shortest_hex, |at, run| {
            for skip in 0..2 {
                let Some(run) = run.get(skip..) else { break };
                let decoded = hex::decode(&run[..run.len() & !1]).expect("only hexadecimal characters, in pairs");
                found("hex", at, &decoded);
            }
        });
    }
}

impl Scan {
    /// Adds what another search of the same scanner found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.hits.extend(other.hits);
        self.controls.extend(other.controls);
        self.controls_wanted.extend(other.controls_wanted);
        self.files += other.files;
        self.bytes += other.bytes;
        self
    }

    /// The search was able to find, and found nothing that it should not.
    ///
    /// # Panics
    /// When a control is missing, or there was none, or a needle was found.
    pub fn assert_clean(&self) {
        let proven: BTreeSet<_> = self.controls.iter().map(|hit| hit.needle.clone()).collect();
        let blind: Vec<_> = self.controls_wanted.difference(&proven).collect();
        assert!(!self.controls_wanted.is_empty(), "a search without a control proves nothing");
        assert!(blind.is_empty(), "the search proves nothing: it did not find {blind:?} in {} bytes", self.bytes);
        assert!(self.hits.is_empty(), "found in the clear: {:#?}", self.hits);
    }
}

/// The ways in which a value may be written without an encoding of whole runs.
fn patterns_of(needle: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut patterns = BTreeSet::from([needle.to_vec()]);
    let hex = hex::encode(needle);
    patterns.insert(hex.to_uppercase().into_bytes());
    patterns.insert(hex.into_bytes());
    for upper in [false, true] {
        let digits = |value: u32, width: usize| {
            if upper { format!("{value:0width$X}") } else { format!("{value:0width$x}") }
        };
        let percent = |out: &mut String, byte: u8| out.push_str(&format!("%{}", digits(byte.into(), 2)));
        let mut escaped = String::new();
        for &byte in needle {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                escaped.push(byte.into());
            } else {
                percent(&mut escaped, byte);
            }
        }
        patterns.insert(escaped.into_bytes());
        let Ok(text) = str::from_utf8(needle) else { continue };
        let mut json = String::new();
        let mut units = [0; 2];
        for character in text.chars() {
            if character.is_ascii() {
                json.push(character);
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(json, "\\u{}", digits((*unit).into(), 4)).expect("a string takes text");
                }
            }
        }
        patterns.insert(json.into_bytes());
    }
    patterns
}

/// For each byte the character that it is read as, or zero if it does not belong to a run.
type Class = [u8; 256];

const BASE64_CLASS: Class = {
    let mut class = only(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    class[b'-' as usize] = b'+';
    class[b'_' as usize] = b'/';
    class
};

const HEX_CLASS: Class = only(b"0123456789abcdefABCDEF");

const fn only(characters: &[u8]) -> Class {
    let mut class = [0; 256];
    let mut i = 0;
    while i < characters.len() {
        class[characters[i] as usize] = characters[i];
        i += 1;
    }
    class
}

/// Calls `found` with every run of at least `shortest` characters of the class, line ends within it left out.
fn for_each_run(bytes: &[u8], class: &Class, shortest: usize, mut found: impl FnMut(usize, Vec<u8>)) {
    let belongs = |at: usize| class[bytes[at] as usize] != 0;
    let mut at = 0;
    while at + shortest <= bytes.len() {
        // If the last byte of a window does not belong, no run of this length begins before it.
        let window = at + shortest - 1;
        if !belongs(window) && bytes[window] != b'\n' && bytes[window] != b'\r' {
            at = window + 1;
            continue;
        }
        if !belongs(at) {
            at += 1;
            continue;
        }
        let (begin, mut run) = (at, Vec::new());
        loop {
            let piece = bytes[at..].iter().position(|byte| class[*byte as usize] == 0);
            let end = piece.map_or(bytes.len(), |length| at + length);
            run.extend_from_slice(&bytes[at..end]);
            at = end;
            let line_end = if bytes[at..].starts_with(b"\r\n") { 2 } else { 1 };
            let goes_on = matches!(bytes.get(at), Some(b'\n' | b'\r')) && at + line_end < bytes.len();
            if !goes_on || !belongs(at + line_end) {
                break;
            }
            at += line_end;
        }
        if run.len() >= shortest {
            found(begin, run);
        }
    }
}

#[cfg(test)]
mod tests;
