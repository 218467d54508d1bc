//! What is told of something that was posted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{problem::RowProblem, spool::Worked};

/// What became of it.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    id: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<u64>,
    /// Versions made of it, by stage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<RowProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// On disk, not worked off yet.
    Waiting,
    /// Versions of it are on their way to the hub.
    Sending,
    /// All of it was answered by the hub, or says nothing new.
    Done,
    /// Something of it was not taken: see the problems.
    Refused,
}

impl Status {
    pub(super) fn waiting(id: String) -> Self {
        Self { id, state: State::Waiting, records: None, mapped: None, versions: BTreeMap::new(), problems: Vec::new() }
    }

    pub(super) fn of(id: String, told: Worked) -> Self {
        let on_its_way = ["ready", "sent", "receipted", "held"].iter().any(|stage| told.versions.contains_key(*stage));
        let refused = told.problems.iter().any(|problem| !problem.note);
        let state = match (on_its_way, refused) {
            (true, _) => State::Sending,
            (false, true) => State::Refused,
            (false, false) => State::Done,
        };
        let (records, mapped) = (Some(told.rows), Some(told.mapped));
        Self { id, state, records, mapped, versions: told.versions, problems: told.problems }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Reason;

    #[test]
    fn the_state_follows_versions_and_problems() {
        let told = |stages: &[&str], problems| Worked {
            versions: stages.iter().map(|stage| ((*stage).to_owned(), 1)).collect(),
            problems,
            ..Worked::default()
        };
        let wrong = || vec![RowProblem::new(1, "", Reason::KeyMissing)];
        let note = || vec![RowProblem::new(1, "", Reason::DuplicateRow).as_note()];
        for (told, state) in [
            (told(&["ready"], wrong()), State::Sending),
            (told(&["held", "released"], vec![]), State::Sending),
            (told(&["released"], note()), State::Done),
            (told(&[], vec![]), State::Done),
            (told(&["refused"], wrong()), State::Refused),
        ] {
            assert_eq!(Status::of("a".into(), told).state, state);
        }
    }
}
