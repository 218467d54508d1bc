//! The suite that every source passes, as generic functions over something that can fill it.

pub mod in_turn;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Ending, Item, Next, Row, Source, Unit};

/// A source under test, and the hand that fills it.
#[async_trait]
pub trait Fixture: Send {
    /// The kind of source.
    type Source: Source;
    /// A source as it is after a start of the process, over what is there.
    fn source(&self) -> Self::Source;
    /// Adds a unit with columns `key` and `value`: `rows` rows, `key-0`, `value-0` and so on. Units are added in
    /// order of age.
    fn add(&mut self, name: &str, rows: usize);
}

const COLUMNS: [&str; 2] = ["value", "key"];

async fn unit(source: &mut impl Source) -> Option<Unit> {
    loop {
        match source.next().await.expect("the source is there") {
            Next::Unit(unit) => return Some(unit),
            Next::Unreadable(unit, refused) => panic!("{} was refused: {refused}", unit.name),
            Next::Missing(refused) => panic!("the source is not there: {refused}"),
            Next::Later(wait) => tokio::time::sleep(wait).await,
            Next::Nothing => return None,
        }
    }
}

async fn read(source: &impl Source, unit: &Unit, limit: usize) -> Vec<Row> {
    let columns = COLUMNS.map(str::to_owned);
    let mut rows = source.rows(unit, &columns).await.expect("the columns are there");
    let mut out = Vec::new();
    while out.len() < limit {
        match rows.next().await.expect("the rows can be read") {
            Some(Item::Row(row)) => out.push(row),
            Some(Item::Note(_)) => {}
            Some(Item::Bad(problem)) => panic!("line {}: {}", problem.line, problem.reason),
            None => break,
        }
    }
    out
}

/// Runs every test of the suite; `fixture` makes an empty one each time.
pub async fn all<F: Fixture>(fixture: impl FnMut() -> F) {
    all_within(200_000, fixture).await;
}

/// The same over units of at most so many rows.
pub async fn all_within<F: Fixture>(most: usize, mut fixture: impl FnMut() -> F) {
    order(fixture()).await;
    resume(fixture()).await;
    bounded_memory(fixture(), most).await;
    clean_stop(fixture(), most / 2).await;
}

/// Units oldest first, rows in their order, the cells in the order asked for, the same at every reading.
pub async fn order<F: Fixture>(mut fixture: F) {
    fixture.add("b-first", 1_000);
    fixture.add("a-second", 3);
    let mut source = fixture.source();
    let first = unit(&mut source).await.expect("two units wait");
    let rows = read(&source, &first, usize::MAX).await;
    assert_eq!(rows.len(), 1_000);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.cells, [format!("value-{index}"), format!("key-{index}")]);
    }
    assert!(rows.windows(2).all(|pair| pair[0].line < pair[1].line), "lines ascend");
    assert_eq!(read(&source, &first, usize::MAX).await, rows, "a second reading gives the same");
    source.finish(&first, Ending::Done { report: String::new() }).await.expect("it can be finished");
    let second = unit(&mut source).await.expect("one unit waits");
    assert_eq!(read(&source, &second, usize::MAX).await.len(), 3);
}

/// A unit is offered until it is finished, also by a new source; then never again. Finishing twice does no harm.
pub async fn resume<F: Fixture>(mut fixture: F) {
    fixture.add("one", 500);
    let mut source = fixture.source();
    let first = unit(&mut source).await.expect("a unit waits");
    read(&source, &first, 100).await;
    drop(source);
    let mut source = fixture.source();
    let again = unit(&mut source).await.expect("it still waits");
    assert_eq!((&again.name, again.digest), (&first.name, first.digest));
    assert_eq!(read(&source, &again, usize::MAX).await.len(), 500);
    source.finish(&again, Ending::Done { report: String::new() }).await.expect("it can be finished");
    source.finish(&again, Ending::Done { report: String::new() }).await.expect("twice does no harm");
    assert!(unit(&mut source).await.is_none());
    assert!(unit(&mut fixture.source()).await.is_none());
}

/// A reader that does not go on stops the reading: many units are begun, none is held whole.
pub async fn bounded_memory<F: Fixture>(mut fixture: F, long_rows: usize) {
    fixture.add("long", long_rows);
    let mut source = fixture.source();
    let long = unit(&mut source).await.expect("a unit waits");
    let columns = COLUMNS.map(str::to_owned);
    let mut rows = source.rows(&long, &columns).await.expect("the columns are there");
    let mut most = 0;
    let mut seen = BTreeMap::new();
    let mut count = 0_usize;
    while let Some(item) = rows.next().await.expect("the rows can be read") {
        let row = match item {
            Item::Row(row) => row,
            Item::Note(_) => continue,
            Item::Bad(problem) => panic!("line {}: {}", problem.line, problem.reason),
        };
        count += 1;
        most = most.max(rows.receiver.len());
        if count.is_multiple_of(long_rows / 4) {
            seen.insert(count, row.line);
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(count, long_rows);
    assert!(most <= rows.receiver.max_capacity() && rows.receiver.max_capacity() <= 8, "at most a few chunks wait");
    assert_eq!(seen.len(), 4);
}

/// Dropping the rows in the middle leaves the unit as it was.
pub async fn clean_stop<F: Fixture>(mut fixture: F, all_rows: usize) {
    fixture.add("stopped", all_rows);
    let mut source = fixture.source();
    let stopped = unit(&mut source).await.expect("a unit waits");
    for _ in 0..20 {
        assert_eq!(read(&source, &stopped, 10).await.len(), 10);
    }
    let again = unit(&mut source).await.expect("it still waits");
    assert_eq!(again, stopped);
    assert_eq!(read(&source, &again, usize::MAX).await.len(), all_rows);
}
