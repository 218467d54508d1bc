//! Who is told how far the work is.

use std::fmt::Debug;

use crate::{settle::Tally, source::SourceState};

/// Who is told how far the work is. Called from the middle of the work: it must return at once.
pub trait Progress: Send + Sync + Debug {
    /// A unit is to be read that has so many rows.
    fn planned(&self, source: &str, unit: &str, rows: u64) {
        let _ = (source, unit, rows);
    }
    /// So many rows of a unit were read and mapped.
    fn read(&self, source: &str, unit: &str, rows: u64, mapped: u64);
    /// A source is in this state; told at every look at it.
    fn state(&self, source: &str, state: &SourceState);
    /// So much was answered by the hub.
    fn answered(&self, tally: Tally);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn read(&self, _: &str, _: &str, _: u64, _: u64) {}
    fn state(&self, _: &str, _: &SourceState) {}
    fn answered(&self, _: Tally) {}
}
