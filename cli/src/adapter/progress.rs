//! What a person at a terminal sees of a run: a line per unit that is read, with rate and remaining time.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weft_adapter::{Surroundings, runner::Progress, settle::Tally, source::SourceState};

/// The machine's clock and randomness; progress is shown where standard error is a terminal.
pub(crate) fn surroundings() -> Surroundings {
    let system = Surroundings::system();
    if !std::io::stderr().is_terminal() {
        return system;
    }
    let all = MultiProgress::new();
    let hub = all.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("枢纽 hub {msg}") {
        hub.set_style(style);
    }
    Surroundings { progress: Arc::new(Bars { all, hub, sources: Mutex::default() }), ..system }
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    hub: ProgressBar,
    /// The unit in hand of each source.
    sources: Mutex<HashMap<String, (String, ProgressBar)>>,
}

impl Bars {
    fn begin(&self, source: &str, unit: &str, rows: u64) {
        let bar = self.all.add(ProgressBar::new(rows));
        let style = "{prefix} {msg} {bar:30} {pos}/{len} 行 rows {per_sec} 余 left {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(source.to_owned());
        bar.set_message(crate::report::readable(unit));
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = sources.insert(source.to_owned(), (unit.to_owned(), bar)) {
            before.finish_and_clear();
        }
    }

    fn with(&self, source: &str, show: impl FnOnce(&str, &ProgressBar)) {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((unit, bar)) = sources.get(source) {
            show(unit, bar);
        }
    }
}

impl Progress for Bars {
    fn planned(&self, source: &str, unit: &str, rows: u64) {
        self.begin(source, unit, rows);
    }

    fn read(&self, source: &str, unit: &str, rows: u64, _mapped: u64) {
        self.with(source, |known, bar| {
            if known == unit {
                bar.set_length(bar.length().unwrap_or(0).max(rows));
                bar.set_position(rows);
            }
        });
    }

    fn state(&self, source: &str, state: &SourceState) {
        match state {
            SourceState::Working | SourceState::Resting => self.with(source, |_, bar| bar.finish_and_clear()),
            SourceState::Stopped { reason, detail } => {
                self.with(source, |_, bar| bar.abandon_with_message(format!("{reason}: {detail}")));
            }
            SourceState::Unreachable { reason } => self.with(source, |_, bar| bar.set_message(reason.clone())),
        }
    }

    fn answered(&self, tally: Tally) {
        let refused = tally.rejected + tally.quarantined;
        self.hub.set_message(format!("{} receipts, {} indexed, {refused} refused", tally.published, tally.indexed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_its_line_from_its_plan_to_its_end() {
        let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let bars = Bars { hub: all.add(ProgressBar::hidden()), all, sources: Mutex::default() };
        bars.planned("s", "a.csv", 1_000);
        bars.read("s", "a.csv", 256, 250);
        bars.read("s", "other.csv", 900, 900);
        bars.with("s", |unit, bar| assert_eq!((unit, bar.position(), bar.length()), ("a.csv", 256, Some(1_000))));
        bars.state("s", &SourceState::Working);
        bars.with("s", |_, bar| assert!(bar.is_finished()));
        bars.answered(Tally { published: 5, rejected: 1, ..Tally::default() });
        assert_eq!(bars.hub.message(), "5 receipts, 0 indexed, 1 refused");
    }
}
