//! The grammar of RFC 8259, byte by byte.

use std::io::BufRead;

use super::{Bounds, Error, Value};

/// The most members of one object: the check for names that stand twice compares them all.
const MEMBERS: usize = 1_000;

/// Reads values from a stream of UTF-8.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    bounds: Bounds,
    line: u64,
    /// What the record under way took so far.
    bytes: usize,
    values: usize,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(input: R, bounds: Bounds) -> Self {
        Self { input, bounds, line: 1, bytes: 0, values: 0 }
    }

    /// The line that is read now, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn fault(&self, what: &'static str) -> Error {
        Error::Fault { line: self.line, what }
    }

    /// The next byte that is no white space, left where it is; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Error> {
        loop {
            match self.input.fill_buf()?.first().copied() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => drop(self.take()?),
                byte => return Ok(byte),
            }
        }
    }

    /// Takes the byte that `peek` showed, if it is `wanted`.
    pub(crate) fn eat(&mut self, wanted: u8) -> Result<bool, Error> {
        let there = self.peek()? == Some(wanted);
        if there {
            self.take()?;
        }
        Ok(there)
    }

    pub(crate) fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), Error> {
        if self.eat(wanted)? { Ok(()) } else { Err(self.fault(what)) }
    }

    /// Reads a value whose size counts from here.
    pub(crate) fn record(&mut self) -> Result<Value, Error> {
        (self.bytes, self.values) = (0, 0);
        self.value(1)
    }

    /// Reads a name and the colon behind it.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        self.expect(b'"', "a name belongs here")?;
        let name = self.text()?;
        self.expect(b':', "a colon belongs behind a name")?;
        Ok(name)
    }

    fn take(&mut self) -> Result<Option<u8>, Error> {
        let byte = self.input.fill_buf()?.first().copied();
        if let Some(byte) = byte {
            self.input.consume(1);
            self.count(1)?;
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes > self.bounds.bytes { Err(self.fault("a record is too long")) } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.values += 1;
        if self.values > self.bounds.values {
            return Err(self.fault("a record has too many values"));
        }
        match self.peek()? {
            None => Err(self.fault("the text ends within a value")),
            Some(b'"') => {
                self.take()?;
                self.text().map(Value::Text)
            }
            Some(b'{' | b'[') if depth > self.bounds.depth => Err(self.fault("nested too deep")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        self.take()?;
        let mut members: Vec<(String, Value)> = Vec::new();
        if self.eat(b'}')? {
            return Ok(Value::Object(members));
        }
        loop {
            let name = self.name()?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(self.fault("a name stands twice in an object"));
            }
            if members.len() == MEMBERS {
                return Err(self.fault("an object has too many members"));
            }
            members.push((name, self.value(depth + 1)?));
            if self.eat(b'}')? {
                return Ok(Value::Object(members));
            }
            self.expect(b',', "a comma or closing brace belongs here")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        self.take()?;
        let mut items = Vec::new();
        if self.eat(b']')? {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b']')? {
                return Ok(Value::List(items));
            }
            self.expect(b',', "a comma or closing bracket belongs here")?;
        }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let word = self.run(|byte| byte.is_ascii_alphabetic())?;
        match word.as_str() {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(self.fault("no value begins like this")),
        }
    }

    fn number(&mut self) -> Result<Value, Error> {
        let text = self.run(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))?;
        if is_number(&text) { Ok(Value::Number(text)) } else { Err(self.fault("not a number")) }
    }

    /// The ASCII bytes from here that belong together.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> Result<String, Error> {
        let mut text = String::new();
        while let Some(byte) = self.input.fill_buf()?.first().copied().filter(|&byte| belongs(byte)) {
            self.take()?;
            text.push(char::from(byte));
        }
        Ok(text)
    }

    /// The rest of a text whose opening mark was taken.
    fn text(&mut self) -> Result<String, Error> {
        let mut bytes = Vec::new();
        loop {
            let ready = self.input.fill_buf()?;
            let plain = ready.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
            bytes.extend_from_slice(&ready[..plain]);
            self.input.consume(plain);
            self.count(plain)?;
            if plain > 0 {
                continue;
            }
            match self.take()? {
                None => return Err(self.fault("the text ends within quotation marks")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape()?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.fault("a control character within quotation marks")),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.fault("text that is not utf-8"))
    }

    fn escape(&mut self) -> Result<char, Error> {
        Ok(match self.take()? {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fault("an unknown escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                let paired = self.take()? == Some(b'\\') && self.take()? == Some(b'u');
                let second = if paired { self.hex()? } else { 0 };
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.fault("an unpaired surrogate"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            0 => return Err(self.fault("a zero character")),
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.fault("an unpaired surrogate"))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.take()?.and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.fault("an escape of four hexadecimal digits belongs here"))?;
        }
        Ok(code)
    }
}

/// The grammar of RFC 8259 section 6.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}
