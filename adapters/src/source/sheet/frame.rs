//! What the child says to the adapter, frame after frame: a kind, a length, a body.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    problem::{Reason, Refused, RowProblem},
    source::Row,
};

/// A frame longer than this is no frame of ours.
const LONGEST: usize = 4 << 20;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Row(Row),
    Bad(RowProblem),
    Note(RowProblem),
    Refused(Refused),
    /// Of a sample: the rows before it were of this sheet.
    Sheet(Ended),
    /// All was said. A stream that ends without it was cut off.
    End,
}

/// A sheet of which a sample was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) name: String,
    /// The places of columns, from 0, in which a formula stands.
    pub(super) formulas: BTreeSet<u32>,
}

/// A refusal as it travels.
#[derive(Serialize, Deserialize)]
struct Told {
    reason: Reason,
    line: Option<u64>,
    column: Option<String>,
    detail: String,
}

impl Frame {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (kind, body) = match self {
            Self::Row(row) => (b'r', row_body(row)),
            Self::Bad(problem) => (b'b', serde_json::to_vec(problem)?),
            Self::Note(problem) => (b'n', serde_json::to_vec(problem)?),
            Self::Refused(refused) => {
                let Refused { reason, line, column, detail } = refused.clone();
                (b'x', serde_json::to_vec(&Told { reason, line, column, detail })?)
            }
            Self::Sheet(sheet) => (b's', serde_json::to_vec(sheet)?),
            Self::End => (b'e', Vec::new()),
        };
        let length = u32::try_from(body.len()).map_err(|_| damaged())?;
        out.write_all(&[kind])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&body)
    }

    /// The next frame; `None` where the stream ends.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 5];
        if input.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        input.read_exact(&mut head[1..])?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > LONGEST {
            return Err(damaged());
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        Ok(Some(match head[0] {
            b'r' => Self::Row(row(&body).ok_or_else(damaged)?),
            b'b' => Self::Bad(json(&body)?),
            b'n' => Self::Note(json(&body)?),
            b'x' => {
                let Told { reason, line, column, detail } = json(&body)?;
                Self::Refused(Refused { reason, line, column, detail })
            }
            b's' => Self::Sheet(json(&body)?),
            b'e' => Self::End,
            _ => return Err(damaged()),
        }))
    }
}

fn damaged() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn json<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|_| damaged())
}

/// The line, then each cell with its length before it.
fn row_body(row: &Row) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + row.cells.iter().map(|cell| cell.len() + 4).sum::<usize>());
    body.extend_from_slice(&row.line.to_le_bytes());
    for cell in &row.cells {
        // A cell of a workbook has at most 32,767 characters.
        body.extend_from_slice(&u32::try_from(cell.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(cell.as_bytes());
    }
    body
}

fn row(body: &[u8]) -> Option<Row> {
    let (line, mut rest) = body.split_first_chunk::<8>()?;
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (cell, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        cells.push(String::from_utf8(cell.to_vec()).ok()?);
        rest = behind;
    }
    Some(Row { line: u64::from_le_bytes(*line), cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_is_an_error() {
        let problem = RowProblem::new(3, "名称", Reason::KeyMissing);
        let frames = [
            Frame::Row(Row { line: 7, cells: vec!["高青".into(), String::new(), "x".into()] }),
            Frame::Row(Row { line: 8, cells: Vec::new() }),
            Frame::Bad(problem.clone()),
            Frame::Note(problem.as_note()),
            Frame::Refused(Refused::new(Reason::HeadingMissing, Some(2), "d")),
            Frame::Sheet(Ended { name: "台账".into(), formulas: [3].into() }),
            Frame::End,
        ];
        let mut stream = Vec::new();
        for frame in &frames {
            frame.write(&mut stream).unwrap();
        }
        let mut input = &stream[..];
        for frame in frames {
            assert_eq!(Frame::read(&mut input).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut input).unwrap(), None);
        assert!(Frame::read(&mut &stream[..9]).is_err());
        assert!(Frame::read(&mut &[b'r', 255, 255, 255, 255][..]).is_err());
        assert!(Frame::read(&mut &[b'r', 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5][..]).is_err());
    }
}
