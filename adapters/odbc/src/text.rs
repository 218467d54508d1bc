//! Text in the bytes of one encoding, for drivers that have no UTF-16.
//!
//! Values, and names of the catalogue, go through buffers of bytes. A statement goes to unixODBC as UTF-16, which hands
//! it to a driver that has UTF-16, and otherwise makes bytes of it: in the encoding of the process's locale, and where
//! that does not have a character, the low byte of every unit. This process never sets a locale, so that its encoding
//! is ASCII when a connection begins; and a text whose units are the bytes of another encoding reaches such a driver
//! byte for byte. [`Session`](crate::session::Session) does not take that for granted: it speaks so once the driver's
//! catalogue has understood a name spoken so.

use crate::{
    protocol::{Text, UNREADABLE},
    session::Failure,
};

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Narrow {
    Utf8,
    /// And so GBK and GB2312.
    Gb18030,
}

impl Narrow {
    /// None where text goes as UTF-16.
    pub(crate) fn of(text: Text) -> Option<Self> {
        match text {
            Text::Wide => None,
            Text::Utf8 => Some(Self::Utf8),
            Text::Gbk => Some(Self::Gb18030),
        }
    }

    /// Bytes as text, unless they are none.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Gb18030 => {
                let decoded = encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes);
                decoded.map(std::borrow::Cow::into_owned)
            }
        }
    }

    /// Text as bytes.
    pub(crate) fn encode(self, text: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Gb18030 => match encoding_rs::GB18030.encode(text) {
                (bytes, _, false) => Ok(bytes.into_owned()),
                (_, _, true) => Err(Failure::told("a character of a name or value is not in GB18030")),
            },
        }
    }

    /// Text whose characters are the bytes of `text`.
    pub(crate) fn bytewise(self, text: &str) -> Result<String, Failure> {
        Ok(self.encode(text)?.into_iter().map(char::from).collect())
    }

    /// A driver's message: one of bytes comes with a byte a character.
    pub(crate) fn message(self, said: String) -> String {
        let bytes: Option<Vec<u8>> = said.chars().map(|character| u8::try_from(character).ok()).collect();
        bytes.filter(|bytes| !bytes.is_ascii()).and_then(|bytes| self.decode(&bytes)).unwrap_or(said)
    }
}

/// What the adapter is told of a cell that cannot be decoded: that, and which one it is.
pub(crate) fn unreadable<Unit: std::fmt::LowerHex>(units: &[Unit]) -> String {
    let mut told = String::from(UNREADABLE);
    told.extend(units.iter().map(|unit| format!("{unit:02x}")));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_they_are_not() {
        let (gbk, utf8) = (Narrow::Gb18030, Narrow::Utf8);
        assert_eq!(gbk.decode(&[0xb8, 0xdf, 0xc7, 0xe0]).unwrap(), "高青");
        assert_eq!((gbk.decode(&[0xb8, 0xff]), utf8.decode(&[0xb8])), (None, None));
        assert_eq!(unreadable(&[0xb8_u8, 0x0f]), "\u{ffff}b80f");
        // A character outside the first plane, and one of the private use area.
        for text in ["高青𠮷", "\u{e7c7}", "plain"] {
            assert_eq!(gbk.decode(&gbk.encode(text).unwrap()).unwrap(), text);
        }
        assert!(gbk.encode("\u{e5e5}").is_err());
    }

    #[test]
    fn text_goes_and_comes_byte_by_byte() {
        let gbk = Narrow::Gb18030;
        assert_eq!(gbk.bytewise("\"高\"").unwrap(), "\"\u{b8}\u{df}\"");
        assert_eq!(gbk.message("no table \u{b8}\u{df}".into()), "no table 高");
        for said in ["no table", "没有表", "caf\u{e9}"] {
            assert_eq!(gbk.message(said.into()), said);
        }
    }
}
