//! What normalisation made of the cells: kept per unit and column, with a count and the first example, and shown.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::problem::{Reason, RowProblem};

/// How a cell was changed on its way into a record. Words of a dictionary are no change: they were declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum How {
    /// Blanks at its ends went.
    Blanks,
    /// Full-width characters became half-width.
    Width,
    /// Another way to write the same day.
    DateForm,
    /// The time of day went.
    Time,
    /// A time with a zone is another day in China.
    Zone,
    /// A day counted by a spreadsheet.
    Serial,
    /// Thousands separators, units, superfluous zeros.
    NumberForm,
    /// An identifier in its normal form.
    Identifier,
}

impl How {
    fn zh(self) -> &'static str {
        match self {
            Self::Blanks => "去空格",
            Self::Width => "全角转半角",
            Self::DateForm => "日期写法",
            Self::Time => "去时刻",
            Self::Zone => "按北京时间换日",
            Self::Serial => "序列号转日期",
            Self::NumberForm => "数字写法",
            Self::Identifier => "号码规范",
        }
    }

    fn en(self) -> &'static str {
        match self {
            Self::Blanks => "blanks",
            Self::Width => "widths",
            Self::DateForm => "form of date",
            Self::Time => "time of day left out",
            Self::Zone => "day in china's time",
            Self::Serial => "serial number to date",
            Self::NumberForm => "form of number",
            Self::Identifier => "form of identifier",
        }
    }
}

/// One cell that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The column's heading.
    pub column: Arc<str>,
    /// How.
    pub how: How,
    /// `before → after`; `****` where the field is not public.
    pub shown: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tally {
    line: u64,
    shown: String,
    counts: BTreeMap<How, u64>,
}

/// What was changed in a unit: bounded by its columns, not by its rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    columns: HashMap<String, Tally>,
}

impl Changes {
    /// Adds what was changed in a row.
    pub fn add(&mut self, line: u64, changed: &[Changed]) {
        for one in changed {
            let tally = self.columns.entry(one.column.to_string()).or_insert_with(|| Tally {
                line,
                shown: one.shown.clone(),
                counts: BTreeMap::new(),
            });
            *tally.counts.entry(one.how).or_default() += 1;
        }
    }

    /// A note per column: how many cells were changed in which way, and the first of them.
    #[must_use]
    pub fn notes(&self) -> Vec<RowProblem> {
        let mut notes: Vec<RowProblem> = self.columns.iter().map(|(column, tally)| note(column, tally)).collect();
        notes.sort_by(|a, b| (a.line, &a.column).cmp(&(b.line, &b.column)));
        notes
    }
}

fn note(column: &str, tally: &Tally) -> RowProblem {
    let list = |word: fn(How) -> &'static str| {
        tally.counts.iter().map(|(how, count)| format!("{} {count}", word(*how))).collect::<Vec<_>>()
    };
    let mut note = RowProblem::new(tally.line, column, Reason::Normalised).as_note();
    note.value.clone_from(&tally.shown);
    note.because(&list(How::zh).join("，"), &list(How::en).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_one_note_with_its_counts_and_its_first_example() {
        let mut changes = Changes::default();
        let one = |how, shown: &str| Changed { column: "日期".into(), how, shown: shown.into() };
        changes.add(3, &[one(How::DateForm, "2018/1/2 → 2018-01-02")]);
        changes
            .add(4, &[one(How::DateForm, "x"), Changed { column: "号".into(), how: How::Width, shown: "****".into() }]);
        changes.add(9, &[one(How::Time, "y")]);
        let notes = changes.notes();
        assert_eq!(notes.len(), 2);
        assert_eq!((notes[0].line, notes[0].value.as_str(), notes[0].note), (3, "2018/1/2 → 2018-01-02", true));
        assert!(notes[0].en.ends_with("form of date 2, time of day left out 1"), "{}", notes[0].en);
        assert_eq!((notes[1].column.as_str(), notes[1].value.as_str()), ("号", "****"));
    }
}
