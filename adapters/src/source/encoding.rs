//! In which encoding a file is: decided over all of its bytes, never guessed from a part.

use std::io::{self, Read};

use aws_lc_rs::digest;
use encoding_rs::{Decoder, DecoderResult};
use serde::{Deserialize, Serialize};

use crate::problem::{Reason, Refused};

const CHUNK: usize = 64 * 1024;

/// The encoding that a configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// By byte order mark or the zero bytes of UTF-16, else strict UTF-8, else strict GB18030, else refused.
    #[default]
    Auto,
    /// UTF-8, with or without byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// GB18030 (and so GBK and GB2312).
    Gb18030,
}

/// The encoding that a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf8WithMark,
    Gb18030,
    Utf16Le,
    Utf16Be,
}

/// What one reading of all bytes tells.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) encoding: Result<Encoding, Refused>,
    pub(crate) digest: [u8; 32],
    pub(crate) bytes: u64,
}

/// A decoder that runs over the whole file and keeps where it first failed.
struct Trial {
    decoder: Decoder,
    scratch: Vec<u8>,
    read: u64,
    failed_at: Option<u64>,
}

impl Trial {
    fn new(encoding: &'static encoding_rs::Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { decoder, scratch: vec![0; CHUNK * 4], read: 0, failed_at: None }
    }

    fn feed(&mut self, mut bytes: &[u8], last: bool) {
        while self.failed_at.is_none() {
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.scratch, last);
            if self.scratch[..written].contains(&0) {
                self.failed_at = Some(self.read);
                return;
            }
            self.read += read as u64;
            bytes = &bytes[read..];
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(length, after) => {
                    self.failed_at = Some(self.read.saturating_sub(u64::from(length) + u64::from(after)));
                }
            }
        }
    }
}

/// What a first look at the bytes tells.
#[derive(Debug, Default)]
struct Seen {
    start: Vec<u8>,
    /// The first zero byte behind the first chunk.
    nul: Option<u64>,
    /// UTF-16 by its mark or its zero bytes.
    utf16: Option<Encoding>,
}

/// Reads everything once: digest, length and encoding.
pub(crate) fn survey(input: impl Read, wanted: Wanted) -> io::Result<Survey> {
    let mut utf8 = Trial::new(encoding_rs::UTF_8);
    let mut gb18030 = Trial::new(encoding_rs::GB18030);
    let mut utf16: Option<Trial> = None;
    let mut seen = Seen::default();
    let mut survey = each_chunk(input, |chunk, at, last| {
        if at == 0 && !last {
            seen.start = chunk.iter().take(3).copied().collect();
            seen.utf16 = utf_16(chunk);
            let encoding = seen.utf16.map(|encoding| match encoding {
                Encoding::Utf16Be => encoding_rs::UTF_16BE,
                _ => encoding_rs::UTF_16LE,
            });
            utf16 = encoding.map(Trial::new);
        }
        if seen.nul.is_none() {
            seen.nul = memchr::memchr(0, chunk).map(|zero| at + zero as u64);
        }
        if let Some(utf16) = &mut utf16 {
            utf16.feed(chunk, last);
            return;
        }
        utf8.feed(chunk, last);
        gb18030.feed(chunk, last);
    })?;
    survey.encoding = match (seen.utf16, utf16) {
        (Some(encoding), Some(trial)) => match (wanted, trial.failed_at) {
            (Wanted::Auto, None) => Ok(encoding),
            (Wanted::Auto, Some(at)) => Err(refused(format!("utf-16, but not at byte {at}"))),
            _ => Err(refused("utf-16 at byte 0")),
        },
        _ => decide(wanted, &seen, utf8.failed_at, gb18030.failed_at),
    };
    Ok(survey)
}

/// Reads everything once for its digest and length: a file that is no text.
pub(crate) fn of_bytes(input: impl Read) -> io::Result<Survey> {
    each_chunk(input, |_, _, _| {})
}

/// Hands over every chunk with its place; the last one is empty.
fn each_chunk(mut input: impl Read, mut each: impl FnMut(&[u8], u64, bool)) -> io::Result<Survey> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0_u64;
    loop {
        let read = input.read(&mut buffer)?;
        let chunk = &buffer[..read];
        hash.update(chunk);
        each(chunk, bytes, read == 0);
        bytes += read as u64;
        if read == 0 {
            let mut digest = [0; 32];
            digest.copy_from_slice(hash.finish().as_ref());
            return Ok(Survey { encoding: Ok(Encoding::default()), digest, bytes });
        }
    }
}

/// UTF-16 by its mark, or by the zero bytes that its digits, commas and line ends have on one side: far more than
/// characters such as 一 (U+4E00) have on the other.
fn utf_16(chunk: &[u8]) -> Option<Encoding> {
    if chunk.starts_with(&[0xff, 0xfe]) {
        return Some(Encoding::Utf16Le);
    }
    if chunk.starts_with(&[0xfe, 0xff]) {
        return Some(Encoding::Utf16Be);
    }
    let zeros = |odd: usize| chunk.iter().skip(odd).step_by(2).filter(|&&byte| byte == 0).count();
    match (zeros(0), zeros(1)) {
        (even, odd) if odd > 4 * even => Some(Encoding::Utf16Le),
        (even, odd) if even > 4 * odd => Some(Encoding::Utf16Be),
        _ => None,
    }
}

fn refused(detail: impl Into<String>) -> Refused {
    Refused::new(Reason::EncodingUnknown, None, detail)
}

fn decide(wanted: Wanted, seen: &Seen, utf8: Option<u64>, gb18030: Option<u64>) -> Result<Encoding, Refused> {
    let refuse = |detail: String| Err(refused(detail));
    if let Some(at) = seen.nul {
        return refuse(format!("a zero byte at byte {at}"));
    }
    let marked = seen.start == [0xef, 0xbb, 0xbf];
    let as_utf8 = if marked { Encoding::Utf8WithMark } else { Encoding::Utf8 };
    match (wanted, utf8, gb18030) {
        (Wanted::Auto | Wanted::Utf8, None, _) => Ok(as_utf8),
        (Wanted::Auto, Some(at), _) if marked => refuse(format!("utf-8 mark, but not utf-8 at byte {at}")),
        (Wanted::Auto | Wanted::Gb18030, _, None) => Ok(Encoding::Gb18030),
        (Wanted::Auto, Some(first), Some(second)) => {
            refuse(format!("not utf-8 at byte {first}, not gb18030 at byte {second}"))
        }
        (Wanted::Utf8, Some(at), _) => refuse(format!("not utf-8 at byte {at}")),
        (Wanted::Gb18030, _, Some(at)) => refuse(format!("not gb18030 at byte {at}")),
    }
}

/// Reads bytes of `encoding` as UTF-8 without mark. The survey found every byte in order; a byte that is not is an
/// error here, never replaced.
pub(crate) struct Utf8Reader<R> {
    input: R,
    decoder: Decoder,
    raw: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
}

impl<R: Read> Utf8Reader<R> {
    pub(crate) fn new(input: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Utf8 => encoding_rs::UTF_8.new_decoder_without_bom_handling(),
            Encoding::Utf8WithMark => encoding_rs::UTF_8.new_decoder_with_bom_removal(),
            Encoding::Gb18030 => encoding_rs::GB18030.new_decoder_without_bom_handling(),
            Encoding::Utf16Le => encoding_rs::UTF_16LE.new_decoder_with_bom_removal(),
            Encoding::Utf16Be => encoding_rs::UTF_16BE.new_decoder_with_bom_removal(),
        };
        Self { input, decoder, raw: vec![0; CHUNK], from: 0, to: 0, ended: false }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // The decoder needs room for one character; every caller here reads through a large buffer.
        if out.len() < 16 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "buffer too small to decode into"));
        }
        loop {
            if self.from == self.to && !self.ended {
                self.from = 0;
                self.to = self.input.read(&mut self.raw)?;
                self.ended = self.to == 0;
            }
            let input = &self.raw[self.from..self.to];
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(input, out, self.ended);
            self.from += read;
            match result {
                DecoderResult::Malformed(..) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
                DecoderResult::InputEmpty | DecoderResult::OutputFull if written > 0 => return Ok(written),
                DecoderResult::InputEmpty if self.ended => return Ok(0),
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::CoderResult;

    use super::*;

    fn read_all(bytes: &[u8], wanted: Wanted) -> Result<String, Refused> {
        let encoding = survey(bytes, wanted).unwrap().encoding?;
        let reader = io::BufReader::with_capacity(16, Utf8Reader::new(bytes, encoding));
        Ok(String::from_utf8(reader.bytes().collect::<io::Result<_>>().unwrap()).unwrap())
    }

    fn gb(text: &str) -> Vec<u8> {
        let mut out = vec![0; text.len() * 4 + 8];
        let (result, _, written, lost) = encoding_rs::GB18030.new_encoder().encode_from_utf8(text, &mut out, true);
        assert!(!lost && matches!(result, CoderResult::InputEmpty));
        out.truncate(written);
        out
    }

    #[test]
    fn each_encoding_is_read_as_what_it_is() {
        let text = "统一社会信用代码,名称\n高青示例商贸有限公司,𠮷";
        assert_eq!(read_all(text.as_bytes(), Wanted::Auto).unwrap(), text);
        assert_eq!(read_all(format!("\u{feff}{text}").as_bytes(), Wanted::Auto).unwrap(), text);
        assert_eq!(read_all(&gb(text), Wanted::Auto).unwrap(), text);
        assert_eq!(read_all(&gb(text), Wanted::Gb18030).unwrap(), text);
        assert_eq!(read_all(b"", Wanted::Auto).unwrap(), "");
    }

    #[test]
    fn a_bad_byte_far_behind_refuses_the_file_and_is_named() {
        let mut bytes = "证".repeat(60_000).into_bytes();
        let at = bytes.len();
        bytes.push(0xff);
        bytes.extend(b"abc");
        let refused = read_all(&bytes, Wanted::Auto).unwrap_err();
        assert!(refused.detail.starts_with(&format!("not utf-8 at byte {at}, not gb18030 at byte ")), "{refused}");
        assert_eq!(refused.reason, Reason::EncodingUnknown);
        let refused = read_all(&bytes, Wanted::Utf8).unwrap_err();
        assert_eq!(refused.detail, format!("not utf-8 at byte {at}"));
    }

    #[test]
    fn utf_16_is_read_by_its_mark_or_its_zero_bytes() {
        let text = "统一社会信用代码,名称\r\n91370322MAYY000184,高青示例𠮷\r\n";
        let le = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let be = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let marked = format!("\u{feff}{text}");
        for bytes in [le(text), be(text), le(&marked), be(&marked)] {
            assert_eq!(read_all(&bytes, Wanted::Auto).unwrap(), text);
            assert!(read_all(&bytes, Wanted::Utf8).unwrap_err().detail.contains("utf-16 at byte 0"));
        }
        let mut lone = le(&marked);
        lone.extend([0x00, 0xd8, b'a', 0]);
        assert!(read_all(&lone, Wanted::Auto).unwrap_err().detail.contains("utf-16, but not at byte "));
    }

    #[test]
    fn binary_files_are_refused() {
        assert!(read_all(b"a\0b\0\0c", Wanted::Auto).unwrap_err().detail.contains("zero byte at byte 1"));
        assert!(read_all(&[0xff, 0xfe, 0, 0, b'a', 0, 0, 0], Wanted::Auto).unwrap_err().detail.contains("utf-16"));
        let mut far = vec![b'a'; 200_000];
        far[150_000] = 0;
        assert!(read_all(&far, Wanted::Auto).unwrap_err().detail.contains("zero byte at byte 150000"));
        let mut marked = vec![0xef, 0xbb, 0xbf];
        marked.extend(gb("名称"));
        assert!(read_all(&marked, Wanted::Auto).unwrap_err().detail.contains("utf-8 mark"));
    }
}
