//! The suite over a table, which has no units that wait beside each other: the next one's rows come when the one before
//! is finished.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::{Ending, Fixture, Next, Source, Unit};
use crate::source::{Error, Rows, RowsError};

/// The hand that fills a table with columns `key`, `value`, `changed` (a timestamp) and `n` (a number).
#[async_trait]
pub trait Hand: Send + Sync {
    /// A source over the table, as after a start of the process.
    fn source(&self) -> Box<dyn Source>;
    /// What stands in the table from now on: `key-<i>`, `value-<i>`, a time that grows, `i`, for `i` below `rows`.
    async fn fill(&self, rows: usize);
}

/// A table as a fixture. Needs a runtime of more than one thread.
pub struct InTurn {
    hand: Arc<dyn Hand>,
    waiting: Arc<Mutex<VecDeque<(String, usize)>>>,
}

/// A table as a source of the suite's units.
pub struct Renamed {
    source: Box<dyn Source>,
    hand: Arc<dyn Hand>,
    waiting: Arc<Mutex<VecDeque<(String, usize)>>>,
    offered: Option<Unit>,
}

impl InTurn {
    /// An empty table.
    pub fn new(hand: impl Hand + 'static) -> Self {
        Self { hand: Arc::new(hand), waiting: Arc::default() }
    }
}

impl fmt::Debug for InTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InTurn")
    }
}

impl fmt::Debug for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

fn first(waiting: &Mutex<VecDeque<(String, usize)>>) -> Option<(String, usize)> {
    waiting.lock().expect("no test has failed").front().cloned()
}

impl Fixture for InTurn {
    type Source = Renamed;

    fn source(&self) -> Renamed {
        let (hand, waiting) = (self.hand.clone(), self.waiting.clone());
        Renamed { source: hand.source(), hand, waiting, offered: None }
    }

    fn add(&mut self, name: &str, rows: usize) {
        let mut waiting = self.waiting.lock().expect("no test has failed");
        waiting.push_back((name.to_owned(), rows));
        if waiting.len() == 1 {
            let hand = self.hand.clone();
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(hand.fill(rows)));
        }
    }
}

#[async_trait]
impl Source for Renamed {
    fn name(&self) -> &str {
        self.source.name()
    }

    async fn next(&mut self) -> Result<Next, Error> {
        Ok(match self.source.next().await? {
            Next::Unit(unit) => {
                self.offered = Some(unit.clone());
                let (name, _) = first(&self.waiting).expect("a unit was added");
                Next::Unit(Unit { name, ..unit })
            }
            other => other,
        })
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        self.source.rows(self.offered.as_ref().unwrap_or(unit), columns).await
    }

    async fn finish(&mut self, unit: &Unit, ending: Ending) -> Result<(), Error> {
        let Some(offered) = self.offered.take() else { return self.source.finish(unit, ending).await };
        self.source.finish(&offered, ending).await?;
        self.waiting.lock().expect("no test has failed").pop_front();
        if let Some((_, rows)) = first(&self.waiting) {
            self.hand.fill(rows).await;
        }
        Ok(())
    }
}
