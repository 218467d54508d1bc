//! What a client saw, written by the client itself, one JSON object a line, outside the zone of faults.
//!
//! A line is durable before the call that writes it returns: the line of an invocation before the request is sent,
//! the line of an answer before anything else is done with it. So after any end of the client the file still says
//! what had been asked and what had been promised. An operation without a completing line counts as unknown.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The number of an operation within one history.
pub type Op = u64;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// One submission handed to the hub.
    Publish {
        submission_id: String,
        record_id: String,
        version: u64,
        /// The client's digest of the content, comparable with [`crate::judge::IndexRow::digest`].
        digest: String,
    },
    /// One look by a window.
    Look { window: String, request_id: String, record_id: String },
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The receipt for a submission: it is durable from here on.
    Receipt,
    /// The answer to a look, with the ledger entry that it names. `version` is that of the record shown, if any.
    Look { ledger_entry: String, version: Option<u64> },
}

/// One line. `at_us` is the time since the history was opened, in microseconds; only the order of lines counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    Invoke {
        op: Op,
        at_us: u64,
        call: Call,
    },
    Ok {
        op: Op,
        at_us: u64,
        answer: Answer,
    },
    /// Surely without effect: the hub refused.
    Fail {
        op: Op,
        at_us: u64,
        reason: String,
    },
    /// With or without effect: no answer, a broken connection, a deadline.
    Unknown {
        op: Op,
        at_us: u64,
        reason: String,
    },
    /// The outcome of a submission, as told to the client.
    Outcome {
        submission_id: String,
        at_us: u64,
        outcome: String,
    },
}

/// A history being written. Several tasks may share it.
#[derive(Debug)]
pub struct History {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    next: Op,
    open: BTreeSet<Op>,
}

impl History {
    /// A new history in a new file.
    ///
    /// # Errors
    /// When the file is there already or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create_new(true).open(path)?;
        Ok(Self { begun: Instant::now(), state: Mutex::new(State { file, next: 0, open: BTreeSet::new() }) })
    }

    /// Notes that `call` is about to be made.
    ///
    /// # Panics
    /// When the line cannot be made durable; so do the other writers.
    pub fn invoke(&self, call: Call) -> Op {
        self.invoke_all([call])[0]
    }

    /// As [`History::invoke`] for a batch, made durable at once.
    ///
    /// # Panics
    /// As [`History::invoke`].
    pub fn invoke_all(&self, calls: impl IntoIterator<Item = Call>) -> Vec<Op> {
        let at_us = self.now();
        let mut state = self.state();
        let lines = calls.into_iter().zip(state.next..).map(|(call, op)| Line::Invoke { op, at_us, call });
        let lines: Vec<_> = lines.collect();
        let ops: Vec<_> = (state.next..).take(lines.len()).collect();
        state.next += lines.len() as u64;
        state.open.extend(&ops);
        state.write(&lines);
        ops
    }

    /// Notes what came back.
    pub fn ok(&self, op: Op, answer: Answer) {
        let at_us = self.now();
        self.complete([(op, Line::Ok { op, at_us, answer })]);
    }

    /// As [`History::ok`] for a batch, made durable at once.
    pub fn ok_all(&self, answers: impl IntoIterator<Item = (Op, Answer)>) {
        let at_us = self.now();
        self.complete(answers.into_iter().map(|(op, answer)| (op, Line::Ok { op, at_us, answer })));
    }

    /// Notes a refusal: the operation surely had no effect.
    pub fn fail(&self, op: Op, reason: &str) {
        let at_us = self.now();
        self.complete([(op, Line::Fail { op, at_us, reason: reason.to_owned() })]);
    }

    /// Notes that nobody knows.
    pub fn unknown(&self, op: Op, reason: &str) {
        let at_us = self.now();
        self.complete([(op, Line::Unknown { op, at_us, reason: reason.to_owned() })]);
    }

    /// As [`History::unknown`] for many, made durable at once.
    pub fn unknown_all(&self, ops: impl IntoIterator<Item = Op>, reason: &str) {
        let at_us = self.now();
        self.complete(ops.into_iter().map(|op| (op, Line::Unknown { op, at_us, reason: reason.to_owned() })));
    }

    /// Notes the outcome of a submission, which may come long after its receipt.
    pub fn outcome(&self, submission_id: &str, outcome: &str) {
        self.outcome_all([(submission_id.to_owned(), outcome)]);
    }

    /// As [`History::outcome`] for many, made durable at once.
    pub fn outcome_all<'a>(&self, outcomes: impl IntoIterator<Item = (String, &'a str)>) {
        let at_us = self.now();
        let line = |(submission_id, outcome): (String, &str)| Line::Outcome {
            submission_id,
            at_us,
            outcome: outcome.to_owned(),
        };
        let lines: Vec<_> = outcomes.into_iter().map(line).collect();
        self.state().write(&lines);
    }

    /// How many operations have been invoked and have no answer yet: a kill counts only when this is not zero.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state().open.len()
    }

    fn complete(&self, lines: impl IntoIterator<Item = (Op, Line)>) {
        let mut state = self.state();
        let mut written = Vec::new();
        for (op, line) in lines {
            assert!(state.open.remove(&op), "operation {op} is not open");
            written.push(line);
        }
        state.write(&written);
    }

    fn now(&self) -> u64 {
        // Half a million years fit into 64 bits of microseconds.
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).expect("a line is plain data");
            text.push(b'\n');
        }
        self.file.write_all(&text).expect("append to the history");
        self.file.sync_data().expect("make the history durable");
    }
}

/// Reads a history, complete or cut off by a kill of its client: a last line without its end is left out, for
/// what it tells had not yet been done.
///
/// # Errors
/// When the file cannot be read, or another line is not of this form (with its number).
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let what = format!("{}, line {}: {e}", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    };
    whole.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scratch;

    fn look(request: &str) -> Call {
        Call::Look { window: "w".to_owned(), request_id: request.to_owned(), record_id: "r".to_owned() }
    }

    #[tokio::test]
    async fn what_is_written_is_read_back_in_order() {
        let folder = scratch("history");
        let path = folder.path().join("history.jsonl");
        let history = History::create(&path).unwrap();
        let ops = history.invoke_all([look("1"), look("2"), look("3"), look("4")]);
        assert_eq!((ops.as_slice(), history.in_flight()), ([0, 1, 2, 3].as_slice(), 4));
        let answer = Answer::Look { ledger_entry: "e".to_owned(), version: Some(2) };
        history.ok(1, answer.clone());
        history.ok_all([(3, Answer::Receipt)]);
        history.fail(0, "denied");
        history.unknown(2, "deadline");
        history.outcome("s", "indexed");
        assert_eq!(history.in_flight(), 0);

        let lines = read(&path).unwrap();
        assert_eq!(lines.len(), 9);
        assert!(matches!(&lines[2], Line::Invoke { op: 2, call, .. } if *call == look("3")));
        assert!(matches!(&lines[4], Line::Ok { op: 1, answer: read, .. } if *read == answer));
        assert!(matches!(&lines[6], Line::Fail { op: 0, reason, .. } if reason == "denied"));
        assert!(matches!(&lines[7], Line::Unknown { op: 2, .. }));
        assert!(matches!(&lines[8], Line::Outcome { outcome, .. } if outcome == "indexed"));
    }

    #[tokio::test]
    async fn a_torn_last_line_is_left_out_and_any_other_is_an_error() {
        let folder = scratch("history");
        let path = folder.path().join("history.jsonl");
        History::create(&path).unwrap().invoke(look("1"));
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{}", &whole[..10])).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        std::fs::write(&path, format!("{}\n{whole}", &whole[..10])).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[tokio::test]
    #[should_panic(expected = "operation 0 is not open")]
    async fn an_operation_is_completed_once() {
        let folder = scratch("history");
        let history = History::create(&folder.path().join("history.jsonl")).unwrap();
        let op = history.invoke(look("1"));
        history.unknown(op, "gone");
        history.fail(op, "late");
    }
}
