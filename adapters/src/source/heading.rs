//! Which row is the heading, and which character separates the cells: decided together, by the one pair under which
//! a row among the first thirty holds every column that the mapping names. Reports have title lines above.

use std::io::BufRead;

use super::delimited::{ReadError, Records};
use crate::{
    problem::{Reason, Refused},
    text,
};

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
const ROWS: usize = 30;

/// Where the heading stands and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) separator: u8,
    /// The line where the heading's record begins.
    pub(crate) line: u64,
    /// All headings, folded.
    pub(crate) names: Vec<String>,
    /// For each column asked for, where it stands.
    pub(crate) positions: Vec<usize>,
}

/// The row that came nearest, to name what it lacks.
#[derive(Debug)]
pub(crate) struct Nearest {
    pub(crate) found: usize,
    pub(crate) refused: Refused,
}

/// Finds the heading; `open` gives the text from its beginning.
pub(crate) fn find<R: BufRead>(
    mut open: impl FnMut() -> Result<R, ReadError>,
    columns: &[String],
) -> Result<Heading, ReadError> {
    let wanted: Vec<String> = columns.iter().map(|column| text::heading(column)).collect();
    let mut nearest: Option<Nearest> = None;
    for separator in SEPARATORS {
        let mut records = Records::new(open()?, separator);
        for _ in 0..ROWS {
            let record = match records.next() {
                Ok(Some(record)) => record,
                // A title line may be no record under this separator; what is broken is found when reading the rows.
                Ok(None) | Err(ReadError::Refused(_)) => break,
                Err(error) => return Err(error),
            };
            let names: Vec<String> = record.cells.iter().map(|cell| text::heading(cell)).collect();
            match place(&wanted, columns, &names, record.line) {
                Ok(positions) => return Ok(Heading { separator, line: record.line, names, positions }),
                Err(near) if near.found > nearest.as_ref().map_or(0, |best| best.found) => nearest = Some(near),
                Err(_) => {}
            }
        }
    }
    Err(nearest.map_or_else(|| Refused::new(Reason::HeadingMissing, None, ""), |near| near.refused).into())
}

/// Where each of the `wanted` (folded) columns stands among `names`.
pub(crate) fn place(wanted: &[String], columns: &[String], names: &[String], line: u64) -> Result<Vec<usize>, Nearest> {
    let mut positions = Vec::with_capacity(wanted.len());
    let (mut missing, mut twice) = (Vec::new(), None);
    for (name, column) in wanted.iter().zip(columns) {
        let mut at = names.iter().enumerate().filter(|(_, heading)| *heading == name).map(|(index, _)| index);
        match (at.next(), at.next()) {
            (Some(index), None) => positions.push(index),
            (Some(index), Some(_)) => {
                positions.push(index);
                twice = Some(column.clone());
            }
            (None, _) => missing.push(column.clone()),
        }
    }
    let refuse = |reason, column: Option<String>, detail: String| {
        Err(Nearest { found: positions.len(), refused: Refused { reason, line: Some(line), column, detail } })
    };
    match (missing.is_empty(), twice) {
        (false, _) => refuse(Reason::ColumnMissing, missing.first().cloned(), missing.join("、")),
        (true, Some(column)) => refuse(Reason::HeadingTwice, Some(column.clone()), column),
        (true, None) => Ok(positions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(text: &str, columns: &[&str]) -> Result<Heading, Refused> {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        find(|| Ok(text.as_bytes()), &columns).map_err(|error| match error {
            ReadError::Refused(refused) => refused,
            ReadError::Io(error) => panic!("{error}"),
        })
    }

    #[test]
    fn the_heading_is_found_below_titles_with_any_separator() {
        let text = "高青县市场主体登记信息表\n\n导出时间：2026-11-01;制表：演示\n许可证编号;经营者名称 ;有效期至（含）\nJY1;甲;2028-01-01\n";
        let heading = find_in(text, &["有效期至(含)", "许可证编号"]).unwrap();
        assert_eq!((heading.separator, heading.line, heading.positions), (b';', 4, vec![2, 0]));
        assert_eq!(find_in("a\tb\n", &["b"]).unwrap().separator, b'\t');
        assert_eq!(find_in("单列\n1\n", &["单列"]).unwrap().separator, b',');
    }

    #[test]
    fn what_is_missing_or_twice_is_named_with_its_line() {
        let refused = find_in("标题\n甲,乙,丙\n1,2,3\n", &["甲", "乙", "丁", "戊"]).unwrap_err();
        assert_eq!((refused.reason, refused.line), (Reason::ColumnMissing, Some(2)));
        assert_eq!(refused.detail, "丁、戊");
        let refused = find_in("甲,乙,甲\n", &["甲", "乙"]).unwrap_err();
        assert_eq!((refused.reason, refused.column.as_deref()), (Reason::HeadingTwice, Some("甲")));
        let refused = find_in("x,y\n1,2\n", &["甲"]).unwrap_err();
        assert_eq!((refused.reason, refused.line), (Reason::HeadingMissing, None));
    }

    #[test]
    fn a_heading_after_thirty_rows_is_no_heading() {
        let text = format!("{}甲,乙\n", "标题\n".repeat(30));
        assert_eq!(find_in(&text, &["甲", "乙"]).unwrap_err().reason, Reason::HeadingMissing);
    }
}
