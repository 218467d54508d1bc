//! Strict JSON: what two readers could understand differently is refused before anything looks at it.
//!
//! RFC 8259 leaves repeated names, large and fractional numbers, unpaired surrogates and byte order marks to the reader.
//! A seal over bytes that two programs read differently proves nothing, so here each of them is refused, as are NUL in
//! text, nesting beyond a limit and input beyond a size. Amounts are strings, so no number needs a fraction.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The largest integer that every JSON reader keeps exactly: 2^53 − 1 (RFC 8259 section 6, RFC 7493 section 2.2).
pub const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// How large and how deep a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole text.
    pub max_bytes: usize,
    /// Nested arrays and objects; a text of one flat object has depth 1.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024, max_depth: 16 }
    }
}

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is not JSON.
    Syntax,
    /// An object has the same name twice.
    DuplicateName,
    /// A number with fraction or exponent, a negative zero, or an integer beyond ±(2^53 − 1).
    Number,
    /// Not UTF-8, a byte order mark, an unpaired surrogate, NUL or a bare control character in a text.
    Text,
    /// Nested deeper than [`Limits::max_depth`].
    TooDeep,
    /// Longer than [`Limits::max_bytes`].
    TooLarge,
}

/// A refusal and where it was met. Carries names of members, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("json refused: {fault:?} at byte {position}, pointer \"{pointer}\"")]
pub struct Error {
    /// What is wrong.
    pub fault: Fault,
    /// RFC 6901 pointer to the value that was being read.
    pub pointer: String,
    /// Byte position, from 0; up to one value behind the fault itself.
    pub position: usize,
}

/// Reads one JSON text strictly.
///
/// # Errors
/// The first fault met, with its place.
pub fn parse(input: &[u8], limits: Limits) -> Result<Value, Error> {
    let at = |fault, position| Error { fault, pointer: String::new(), position };
    if input.len() > limits.max_bytes {
        return Err(at(Fault::TooLarge, limits.max_bytes));
    }
    let text = std::str::from_utf8(input).map_err(|error| at(Fault::Text, error.valid_up_to()))?;
    if text.starts_with('\u{feff}') {
        return Err(at(Fault::Text, 0));
    }
    let reader = Reader { path: RefCell::default(), fault: Cell::new(None), max_depth: limits.max_depth };
    let mut source = serde_json::Deserializer::from_str(text);
    Seed { reader: &reader, depth: 0 }.deserialize(&mut source).and_then(|value| source.end().map(|()| value)).map_err(
        |error| Error {
            fault: reader.fault.get().unwrap_or_else(|| fault_of(&error)),
            pointer: pointer(&reader.path.borrow()),
            position: position_of(text, &error),
        },
    )
}

/// What serde_json itself refuses, sorted by its message: the kinds are not public. Held by tests.
fn fault_of(error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["surrogate", "hex escape", "control character", "unicode code point"]) {
        Fault::Text
    } else if says(&["number out of range"]) {
        Fault::Number
    } else if says(&["recursion limit"]) {
        Fault::TooDeep
    } else {
        Fault::Syntax
    }
}

/// serde_json counts lines from 1 and bytes within the line; here it becomes one count from the start.
fn position_of(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

/// A step on the way to a value. A way is kept as steps and written as a pointer only where it is told: to write it at
/// every value would cost as much as a hostile name is long, times the values below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<'n> {
    Name(std::borrow::Cow<'n, str>),
    Index(usize),
}

/// The RFC 6901 pointer of a way.
pub(crate) fn pointer(path: &[Step<'_>]) -> String {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Name(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    pointer
}

/// What all levels of one reading share.
struct Reader {
    /// Left as it is when a fault stops the reading, so it then points at the fault.
    path: RefCell<Vec<Step<'static>>>,
    fault: Cell<Option<Fault>>,
    max_depth: usize,
}

impl Reader {
    fn refuse<E: de::Error>(&self, fault: Fault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn text<E: de::Error>(&self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(self.refuse(Fault::Text)) } else { Ok(()) }
    }
}

/// Reads one value at a depth.
#[derive(Clone, Copy)]
struct Seed<'r> {
    reader: &'r Reader,
    depth: usize,
}

impl Seed<'_> {
    /// The seed of the values inside the array or object that begins here.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.reader.max_depth {
            return Err(self.reader.refuse(Fault::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value < -MAX_INTEGER {
            return Err(self.reader.refuse(Fault::Number));
        }
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_INTEGER.unsigned_abs() {
            return Err(self.reader.refuse(Fault::Number));
        }
        Ok(Value::Number(Number::from(value)))
    }

    /// Everything with a fraction or exponent, `-0`, and integers beyond 64 bits come here.
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(self.reader.refuse(Fault::Number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.reader.text(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut elements = Vec::new();
        self.reader.path.borrow_mut().push(Step::Index(0));
        while let Some(element) = source.next_element_seed(inside)? {
            elements.push(element);
            if let Some(Step::Index(index)) = self.reader.path.borrow_mut().last_mut() {
                *index = elements.len();
            }
        }
        self.reader.path.borrow_mut().pop();
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = source.next_key::<String>()? {
            self.reader.path.borrow_mut().push(Step::Name(name.clone().into()));
            self.reader.text(&name)?;
            if members.contains_key(&name) {
                return Err(self.reader.refuse(Fault::DuplicateName));
            }
            let value = source.next_value_seed(inside)?;
            members.insert(name, value);
            self.reader.path.borrow_mut().pop();
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;
