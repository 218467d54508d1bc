//! The records of a text: the items of a list, or objects one after the other.

use std::io::BufRead;

use super::{Bounds, Error, Reader, Value};

enum Shape {
    Unknown,
    List {
        first: bool,
    },
    /// The line on which the last one began.
    Sequence(u64),
    Ended,
}

/// Reads record after record, with one in memory.
pub(crate) struct Records<R> {
    reader: Reader<R>,
    /// The names that lead to the list.
    path: Vec<String>,
    shape: Shape,
    number: u64,
}

impl<R: BufRead> Records<R> {
    /// The records of a text: of the list at `path`, or of the text itself where the path is empty.
    pub(crate) fn new(input: R, bounds: Bounds, path: Vec<String>) -> Self {
        Self { reader: Reader::new(input, bounds), path, shape: Shape::Unknown, number: 0 }
    }

    /// The next record with its number: of objects one after the other the line where it begins, of a list its place
    /// from 1. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value)>, Error> {
        loop {
            match self.shape {
                Shape::Unknown => self.begin()?,
                Shape::List { first } => return self.item(first),
                Shape::Sequence(line) => return self.following(line),
                Shape::Ended => return Ok(None),
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        for step in self.path.clone() {
            self.reader.expect(b'{', "an object belongs here, on the way to the records")?;
            while self.reader.name()? != step {
                self.reader.record()?;
                if !self.reader.eat(b',')? {
                    return Err(self.reader.fault("the member with the records is not there"));
                }
            }
        }
        self.shape = match self.reader.peek()? {
            Some(b'[') => {
                self.reader.eat(b'[')?;
                Shape::List { first: true }
            }
            Some(b'{') | None if self.path.is_empty() => Shape::Sequence(0),
            _ => return Err(self.reader.fault("a list of records belongs here")),
        };
        Ok(())
    }

    fn item(&mut self, first: bool) -> Result<Option<(u64, Value)>, Error> {
        self.shape = Shape::List { first: false };
        let ended = self.reader.eat(b']')?;
        if ended {
            self.close()?;
            self.shape = Shape::Ended;
            return Ok(None);
        }
        if !first {
            self.reader.expect(b',', "a comma or closing bracket belongs here")?;
        }
        self.number += 1;
        Ok(Some((self.number, self.object()?)))
    }

    /// What stands behind the list.
    fn close(&mut self) -> Result<(), Error> {
        for step in std::mem::take(&mut self.path).iter().rev() {
            while self.reader.eat(b',')? {
                if self.reader.name()? == *step {
                    return Err(self.reader.fault("a name stands twice in an object"));
                }
                self.reader.record()?;
            }
            self.reader.expect(b'}', "a comma or closing brace belongs here")?;
        }
        match self.reader.peek()? {
            None => Ok(()),
            Some(_) => Err(self.reader.fault("text after the records")),
        }
    }

    fn following(&mut self, before: u64) -> Result<Option<(u64, Value)>, Error> {
        if self.reader.peek()?.is_none() {
            self.shape = Shape::Ended;
            return Ok(None);
        }
        let line = self.reader.line();
        if line == before {
            return Err(self.reader.fault("two records begin on one line"));
        }
        self.shape = Shape::Sequence(line);
        Ok(Some((line, self.object()?)))
    }

    fn object(&mut self) -> Result<Value, Error> {
        match self.reader.record()? {
            value @ Value::Object(_) => Ok(value),
            _ => Err(self.reader.fault("a record is an object")),
        }
    }
}
