//! Whether a unit is worth taking: where almost every row fails, the export or the mapping is wrong, not the rows.

use weft_record::catalogue::RecordType;

use crate::{
    mapping::Mapper,
    problem::{Reason, Refused, RowProblem},
    report::content_problems,
    source::Item,
};

/// Fewer rows say nothing about a source.
const FEWEST: u64 = 20;
/// So many problems are kept to show what is wrong.
const SHOWN: usize = 100;

/// Counts the rows of a unit that would fail: here, or at the hub's door.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    mapper: &'a Mapper,
    of: &'a RecordType,
    now_second: i64,
    max_failed_percent: u8,
    rows: u64,
    failed: u64,
    problems: Vec<RowProblem>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(mapper: &'a Mapper, of: &'a RecordType, now_second: i64, max_failed_percent: u8) -> Self {
        Self { mapper, of, now_second, max_failed_percent, rows: 0, failed: 0, problems: Vec::new() }
    }

    pub(super) fn see(&mut self, item: &Item) {
        let problems = match item {
            Item::Note(_) => return,
            Item::Bad(problem) => vec![problem.clone()],
            Item::Row(row) if !self.mapper.is_record(row) => return,
            Item::Row(row) => match self.mapper.map(row) {
                Ok(mapped) => content_problems(self.of, &mapped, self.now_second),
                Err(problems) => problems,
            },
        };
        self.rows += 1;
        let wrong = problems.into_iter().filter(|problem| !problem.note);
        let room = SHOWN.saturating_sub(self.problems.len());
        let mut wrong = wrong.peekable();
        self.failed += u64::from(wrong.peek().is_some());
        self.problems.extend(wrong.take(room));
    }

    /// What to tell instead of taking the unit; nothing where it may be taken.
    pub(super) fn verdict(self) -> Option<(Refused, Vec<RowProblem>)> {
        let most = self.rows * u64::from(self.max_failed_percent);
        if self.rows < FEWEST || self.failed * 100 <= most {
            return None;
        }
        let told = format!("{} / {}", self.failed, self.rows);
        Some((Refused::new(Reason::MostlyFailed, None, told), self.problems))
    }
}
