//! Tables of databases as an adapter's sources.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use weft_adapter::{
    Config, Surroundings,
    source::{self, Ending, Item, Next, Source, Unit},
};

/// A source over the keys of a kind (`[source.sql]` and what stands under it), its state under `folder`.
///
/// # Panics
/// When the configuration is refused.
pub fn source(folder: &Path, kind: &str, columns: &[&str]) -> Box<dyn Source> {
    let text = format!(
        "department = \"d\"\nname = \"main\"\nstate_dir = \"state\"\nhub = [\"https://hub.example:7443\"]\n[[source]]\n\
         name = \"licences\"\n{kind}\n[source.mapping]\nrecord_type = \"business-licence\"\n[source.mapping.fields]\n\
         uscc = {{ column = \"key\" }}\n"
    );
    let config = Config::parse(&text, folder).expect("the configuration is taken");
    std::fs::create_dir_all(&config.state_dir).expect("make the state directory");
    let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    source::open(&config.sources[0], &columns, &config.state_dir, &Surroundings::system()).expect("one kind")
}

/// A number far above all that it gave before: the numbers of a table that is filled anew go on from it.
pub fn next_base() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1_000_000, Ordering::Relaxed)
}

/// The unit that waits.
///
/// # Panics
/// When the source cannot be read.
pub async fn waiting(source: &mut dyn Source) -> Option<Unit> {
    match source.next().await.unwrap_or_else(|error| panic!("{error}: {}", error.cause)) {
        Next::Unit(unit) => Some(unit),
        _ => None,
    }
}

/// The rows of a unit, their cells joined by `|`.
///
/// # Panics
/// When they cannot be read.
pub async fn rows(source: &dyn Source, unit: &Unit, columns: &[&str]) -> Vec<String> {
    let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    let mut rows = source.rows(unit, &columns).await.expect("the columns are there");
    let mut all = Vec::new();
    while let Some(item) = rows.next().await.expect("the rows can be read") {
        if let Item::Row(row) = item {
            all.push(row.cells.join("|"));
        }
    }
    all
}

/// Works off all that waits and returns its rows, unit by unit.
///
/// # Panics
/// When the source cannot be read, or never comes to an end.
pub async fn drain(source: &mut dyn Source, columns: &[&str]) -> Vec<Vec<String>> {
    let mut units = Vec::new();
    while let Some(unit) = waiting(source).await {
        units.push(rows(source, &unit, columns).await);
        source.finish(&unit, Ending::Done { report: String::new() }).await.expect("it can be finished");
        assert!(units.len() < 1_000, "it never ends");
    }
    units
}

/// Why the source cannot be read.
///
/// # Panics
/// When it can.
pub async fn refused(source: &mut dyn Source) -> String {
    source.next().await.expect_err("the source cannot be read").cause.to_string()
}
