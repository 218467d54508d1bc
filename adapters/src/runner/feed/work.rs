//! A unit on its way, and why it is left.

use std::collections::HashSet;

use crate::{
    mapping::{Changes, Mapped},
    order::{Plan, Sequence},
    problem::{Refused, RowProblem},
    runner::{Error, FailedSource},
    source::{RowsError, Unit},
    spool::Digest,
};

/// What was taken in.
#[derive(Debug, Default)]
pub(in crate::runner) struct Fed {
    pub(in crate::runner) rows: u64,
    pub(in crate::runner) skipped: u64,
    pub(in crate::runner) mapped: u64,
    pub(in crate::runner) units: Vec<Digest>,
    pub(in crate::runner) failed: Vec<FailedSource>,
}

impl Fed {
    pub(in crate::runner) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.skipped += other.skipped;
        self.mapped += other.mapped;
        self.units.extend(other.units);
        self.failed.extend(other.failed);
    }
}

/// What a look at the source found.
pub(super) enum Look {
    Unit(Unit),
    /// It cannot be read at all.
    Unreadable(Unit, Refused),
    Again,
    Nothing,
}

/// One unit being worked off.
pub(super) struct Work {
    pub(super) unit: Unit,
    pub(super) digest: Digest,
    pub(super) plan: Plan,
    pub(super) sequence: Sequence<Mapped>,
    pub(super) changes: Changes,
    /// Items of the source that were taken: where its reading goes on.
    pub(super) items: u64,
    /// The line of the last row among them.
    pub(super) line: u64,
    pub(super) rows: u64,
    pub(super) skipped: u64,
    pub(super) mapped: u64,
    /// It was worked off before, and is read again.
    pub(super) again: bool,
    /// Of a whole snapshot: which reading of the source's snapshots this is.
    pub(super) generation: Option<i64>,
    /// Rows whose record cannot be told.
    pub(super) nameless: u64,
    /// Records whose row had vanished and is back, where a rule made an event of it.
    pub(super) returned: HashSet<String>,
}

impl Work {
    pub(super) fn begin(unit: &Unit, digest: Digest, again: bool) -> Self {
        Self {
            unit: unit.clone(),
            digest,
            plan: Plan::default(),
            sequence: Sequence::default(),
            changes: Changes::default(),
            items: 0,
            line: 0,
            rows: 0,
            skipped: 0,
            mapped: 0,
            again,
            generation: None,
            nameless: 0,
            returned: HashSet::new(),
        }
    }
}

/// Why a unit is left.
#[derive(Debug)]
pub(super) enum Left {
    /// Almost every row fails.
    Judged(Refused, Vec<RowProblem>),
    Refused(Refused),
    Source(crate::source::Error),
    Ours(Error),
    Stopped,
    Halted,
    /// Its hours are over.
    Over,
}

impl From<RowsError> for Left {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Refused(refused) => Self::Refused(refused),
            RowsError::Failed(error) => Self::Source(error),
        }
    }
}

impl<E: Into<Error>> From<E> for Left {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}
