//! What a row says of its record's life, from a column of statuses, of events, or both.

use weft_record::status::{self, Event, Status};

use super::{EventColumn, Intent, StatusColumn};
use crate::{
    problem::{Reason, RowProblem},
    source::Row,
    text,
};

/// The declared columns, bound to their cells.
#[derive(Clone, Debug, Default)]
pub(super) struct IntentReader {
    status: Option<(usize, StatusColumn)>,
    event: Option<(usize, EventColumn)>,
}

impl IntentReader {
    pub(super) fn bind(
        status: Option<&StatusColumn>,
        event: Option<&EventColumn>,
        mut index: impl FnMut(&str) -> usize,
    ) -> Self {
        Self {
            status: status.map(|spec| (index(&spec.column), spec.clone())),
            event: event.map(|spec| (index(&spec.column), spec.clone())),
        }
    }

    /// What the row says. An event that does not lead to the row's status is not believed: the status is.
    pub(super) fn read(&self, row: &Row) -> Result<Intent, Box<RowProblem>> {
        let by_status = self.by_status(row)?;
        let event = match &self.event {
            Some((at, spec)) => happened(row, *at, spec)?,
            None => None,
        };
        Ok(match (event, by_status) {
            (Some(event), None) => Intent::Happened(event),
            (Some(event), Some(Intent::Is(status))) if status::allowed_statuses(event).contains(&status) => {
                Intent::Happened(event)
            }
            (_, Some(intent)) => intent,
            (None, None) => Intent::Is(Status::Valid),
        })
    }

    fn by_status(&self, row: &Row) -> Result<Option<Intent>, Box<RowProblem>> {
        let Some((at, spec)) = &self.status else { return Ok(None) };
        let cell = text::heading(&row.cells[*at]);
        let word = if cell.is_empty() { text::heading(spec.empty.as_deref().unwrap_or_default()) } else { cell };
        if let Some((_, status)) = spec.statuses.iter().find(|(key, _)| text::heading(key) == word) {
            return Ok(Some(Intent::Is(*status)));
        }
        if let Some((_, event)) = spec.events.iter().find(|(key, _)| text::heading(key) == word) {
            return Ok(Some(Intent::Happened(*event)));
        }
        Err(unknown(row, &spec.column, &word))
    }
}

fn happened(row: &Row, at: usize, spec: &EventColumn) -> Result<Option<Event>, Box<RowProblem>> {
    let word = text::heading(&row.cells[at]);
    if word.is_empty() || spec.by_status.iter().any(|known| text::heading(known) == word) {
        return Ok(None);
    }
    match spec.events.iter().find(|(key, _)| text::heading(key) == word) {
        Some((_, event)) => Ok(Some(*event)),
        None => Err(unknown(row, &spec.column, &word)),
    }
}

fn unknown(row: &Row, column: &str, word: &str) -> Box<RowProblem> {
    Box::new(RowProblem::new(row.line, column, Reason::NotInDictionary).value(word, false))
}
