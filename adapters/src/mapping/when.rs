//! Conditions on a row.

use super::Condition;
use crate::{source::Row, text};

/// A declared condition, bound to its cell.
#[derive(Clone, Debug)]
pub(super) struct When {
    at: usize,
    words: Vec<String>,
    /// Whether the words are those for which it holds.
    listed: bool,
}

impl When {
    pub(super) fn bind(spec: &Condition, mut index: impl FnMut(&str) -> usize) -> Self {
        let listed = !spec.is.is_empty();
        let words = if listed { &spec.is } else { &spec.is_not };
        Self { at: index(&spec.column), words: words.iter().map(|word| text::heading(word)).collect(), listed }
    }

    pub(super) fn holds(&self, row: &Row) -> bool {
        let cell = text::heading(&row.cells[self.at]);
        self.words.contains(&cell) == self.listed
    }
}
