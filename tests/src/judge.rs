//! The oracle: a client's history against the state that was found when all faults were over. Pure.
//!
//! What is certain binds: a receipt, a refusal, an outcome, an answer. What is unknown may have gone either way,
//! but only in the way that was asked for. Entries of the log may repeat (a sender that does not know repeats
//! itself); they are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Answer, Call, Line, Op};

/// One row of the index, current or history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    pub record_id: String,
    pub version: u64,
    pub submission_id: String,
    pub digest: String,
}

/// One look in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    pub window: String,
    pub request_id: String,
    pub entry_id: String,
}

/// One entry of the records topics. A stub counts under the submission that it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub submission_id: String,
    pub record_id: String,
    pub version: u64,
    pub entry_id: String,
}

/// Everything that was found after healing.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub index: Vec<IndexRow>,
    pub ledger: Vec<LedgerEntry>,
    pub log: Vec<LogEntry>,
    /// By submission id, the word that the hub gives when asked now: `indexed`, `duplicate`, `conflict`, `gap` or
    /// `quarantined`, without its details.
    pub outcomes: BTreeMap<String, String>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A receipt was given, no outcome says that the submission was not taken, and the index does not have it.
    Lost { submission_id: String, record_id: String, version: u64 },
    /// A receipt was given and the log does not have the submission.
    NotInLog { submission_id: String },
    /// A row of the index that nobody asked for in this form.
    Invented { submission_id: String, record_id: String, version: u64 },
    /// An entry of the log that nobody asked for in this form.
    InventedInLog { submission_id: String, entry_id: String },
    /// Every attempt was surely refused, and the index has it.
    RefusedYetIndexed { submission_id: String },
    /// A record and version stand more than once in the index.
    Duplicate { record_id: String, version: u64, times: usize },
    /// A record has a version without the one before it.
    Hole { record_id: String, missing: u64 },
    /// A later look saw a lower version than an earlier one, or the index ends below what was looked at.
    Regress { record_id: String, seen: u64, then: u64 },
    /// An outcome was told and is another now. Only one from quarantine may be outranked by one from the log.
    OutcomeChanged { submission_id: String, told: String, now: String },
    /// An answer was received and the ledger has no such entry for it.
    Untraced { window: String, request_id: String, ledger_entry: String },
    /// One entry id stands more than once in the ledger.
    LedgerRepeats { entry_id: String },
}

/// How much was judged: a clean verdict over nothing proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub submissions: usize,
    pub receipts: usize,
    pub refused: usize,
    /// Attempts to publish without a certain answer.
    pub unknown: usize,
    pub looks_answered: usize,
    pub index_rows: usize,
    pub log_entries: usize,
    /// Entries of the log beyond the first of their submission.
    pub log_repeats: usize,
}

/// What the judge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    pub tally: Tally,
}

impl Verdict {
    /// # Panics
    /// With every finding, if there is one.
    pub fn assert_clean(&self) {
        assert!(self.findings.is_empty(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} findings; {:?}", self.findings.len(), self.tally)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding:?}"))
    }
}

/// Judges. The findings are sorted.
#[must_use]
pub fn judge(history: &[Line], found: &Found) -> Verdict {
    let seen = Seen::of(history);
    let mut findings = Vec::new();
    seen.judge_submissions(found, &mut findings);
    judge_rows(&seen, found, &mut findings);
    judge_versions(&seen, found, &mut findings);
    judge_ledger(&seen, found, &mut findings);
    findings.sort();
    let tally = seen.tally(found);
    Verdict { findings, tally }
}

/// One submission, over all attempts to hand it in.
#[derive(Debug)]
struct Submission<'a> {
    record_id: &'a str,
    version: u64,
    digest: &'a str,
    attempts: usize,
    receipts: usize,
    refusals: usize,
    outcomes: Vec<&'a str>,
}

#[derive(Debug)]
struct Look<'a> {
    window: &'a str,
    request_id: &'a str,
    record_id: &'a str,
    ledger_entry: &'a str,
    version: Option<u64>,
    /// Places of the lines in the history: asked, answered.
    lines: (usize, usize),
}

/// The history by what it is about.
#[derive(Debug, Default)]
struct Seen<'a> {
    submissions: BTreeMap<&'a str, Submission<'a>>,
    looks: Vec<Look<'a>>,
}

impl<'a> Seen<'a> {
    fn of(history: &'a [Line]) -> Self {
        let mut seen = Self::default();
        let mut calls: BTreeMap<Op, (usize, &Call)> = BTreeMap::new();
        for (place, line) in history.iter().enumerate() {
            match line {
                Line::Invoke { op, call, .. } => {
                    assert!(calls.insert(*op, (place, call)).is_none(), "operation {op} was invoked twice");
                    seen.invoked(call);
                }
                Line::Ok { op, answer, .. } => {
                    let asked = calls.get(op).unwrap_or_else(|| panic!("operation {op} was never invoked"));
                    seen.answered(*asked, place, answer);
                }
                Line::Fail { op, .. } => {
                    if let Some((_, Call::Publish { submission_id, .. })) = calls.get(op) {
                        seen.submission(submission_id).refusals += 1;
                    }
                }
                Line::Unknown { .. } => {}
                Line::Outcome { submission_id, outcome, .. } => seen.submission(submission_id).outcomes.push(outcome),
            }
        }
        seen
    }

    fn submission(&mut self, id: &str) -> &mut Submission<'a> {
        self.submissions.get_mut(id).unwrap_or_else(|| panic!("submission {id} was never invoked"))
    }

    fn invoked(&mut self, call: &'a Call) {
        let Call::Publish { submission_id, record_id, version, digest } = call else { return };
        let (version, receipts, refusals, outcomes) = (*version, 0, 0, Vec::new());
        let new = Submission { record_id, version, digest, attempts: 0, receipts, refusals, outcomes };
        let submission = self.submissions.entry(submission_id).or_insert(new);
        let same = submission.is(record_id, version, digest);
        assert!(same, "submission {submission_id} was invoked in two forms: the id is the digest of its bytes");
        submission.attempts += 1;
    }

    fn answered(&mut self, (asked, call): (usize, &'a Call), place: usize, answer: &'a Answer) {
        match (call, answer) {
            (Call::Publish { submission_id, .. }, Answer::Receipt) => self.submission(submission_id).receipts += 1,
            (Call::Look { window, request_id, record_id }, Answer::Look { ledger_entry, version }) => {
                let (version, lines) = (*version, (asked, place));
                self.looks.push(Look { window, request_id, record_id, ledger_entry, version, lines });
            }
            _ => panic!("the answer {answer:?} does not belong to {call:?}"),
        }
    }

    fn judge_submissions(&self, found: &Found, findings: &mut Vec<Finding>) {
        let rows = rows_by_version(found);
        let logged: BTreeSet<&str> = found.log.iter().map(|entry| entry.submission_id.as_str()).collect();
        for (id, submission) in &self.submissions {
            let now = found.outcomes.get(*id).map(String::as_str);
            for told in submission.outcomes.iter().filter(|told| **told != "quarantined") {
                if let Some(now) = now.filter(|now| now != told) {
                    let (told, now) = ((*told).to_owned(), now.to_owned());
                    findings.push(Finding::OutcomeChanged { submission_id: (*id).to_owned(), told, now });
                }
            }
            if submission.receipts == 0 && !submission.outcomes.contains(&"indexed") {
                continue;
            }
            if !logged.contains(id) {
                findings.push(Finding::NotInLog { submission_id: (*id).to_owned() });
            }
            let standing = rows.get(&(submission.record_id, submission.version)).map_or(&[][..], Vec::as_slice);
            if !submission.is_kept(id, now.or(submission.outcomes.last().copied()), standing) {
                let (record_id, version) = (submission.record_id.to_owned(), submission.version);
                findings.push(Finding::Lost { submission_id: (*id).to_owned(), record_id, version });
            }
        }
    }

    fn tally(&self, found: &Found) -> Tally {
        let sum = |count: fn(&Submission<'_>) -> usize| self.submissions.values().map(count).sum();
        let distinct: BTreeSet<_> = found.log.iter().map(|entry| &entry.submission_id).collect();
        Tally {
            submissions: self.submissions.len(),
            receipts: sum(|submission| submission.receipts),
            refused: sum(|submission| submission.refusals),
            unknown: sum(|submission| submission.unknown()),
            looks_answered: self.looks.len(),
            index_rows: found.index.len(),
            log_entries: found.log.len(),
            log_repeats: found.log.len() - distinct.len(),
        }
    }
}

impl Submission<'_> {
    fn is(&self, record_id: &str, version: u64, digest: &str) -> bool {
        (self.record_id, self.version, self.digest) == (record_id, version, digest)
    }

    fn unknown(&self) -> usize {
        self.attempts - self.receipts - self.refusals
    }

    /// Whether an acknowledged submission is where its outcome says: in the index itself; as a duplicate, its
    /// content is; or it was said not to have been taken.
    fn is_kept(&self, id: &str, outcome: Option<&str>, standing: &[&IndexRow]) -> bool {
        match outcome {
            None | Some("indexed") => standing.iter().any(|row| row.submission_id == id),
            Some("duplicate") => standing.iter().any(|row| row.digest == self.digest),
            Some("conflict") => standing.iter().any(|row| row.digest != self.digest),
            Some("gap" | "quarantined") => true,
            Some(other) => panic!("no outcome is called {other}"),
        }
    }
}

fn rows_by_version(found: &Found) -> BTreeMap<(&str, u64), Vec<&IndexRow>> {
    let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &found.index {
        rows.entry((row.record_id.as_str(), row.version)).or_default().push(row);
    }
    rows
}

fn judge_rows(seen: &Seen<'_>, found: &Found, findings: &mut Vec<Finding>) {
    for row in &found.index {
        let submission_id = row.submission_id.clone();
        let asked = seen.submissions.get(row.submission_id.as_str());
        match asked.filter(|asked| asked.is(&row.record_id, row.version, &row.digest)) {
            None => {
                let (record_id, version) = (row.record_id.clone(), row.version);
                findings.push(Finding::Invented { submission_id, record_id, version });
            }
            Some(asked) if asked.refusals == asked.attempts => {
                findings.push(Finding::RefusedYetIndexed { submission_id });
            }
            Some(_) => {}
        }
    }
    for entry in &found.log {
        let asked = seen.submissions.get(entry.submission_id.as_str());
        if asked.is_none_or(|asked| (asked.record_id, asked.version) != (&entry.record_id, entry.version)) {
            let (submission_id, entry_id) = (entry.submission_id.clone(), entry.entry_id.clone());
            findings.push(Finding::InventedInLog { submission_id, entry_id });
        }
    }
}

fn judge_versions(seen: &Seen<'_>, found: &Found, findings: &mut Vec<Finding>) {
    let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
    for ((record_id, version), rows) in rows_by_version(found) {
        if rows.len() > 1 {
            findings.push(Finding::Duplicate { record_id: record_id.to_owned(), version, times: rows.len() });
        }
        let head = heads.entry(record_id).or_default();
        for missing in *head + 1..version {
            findings.push(Finding::Hole { record_id: record_id.to_owned(), missing });
        }
        *head = version;
    }
    let mut regress = |record_id: &str, seen: u64, then: u64| {
        findings.push(Finding::Regress { record_id: record_id.to_owned(), seen, then });
    };
    let mut by_record: BTreeMap<&str, Vec<(&Look<'_>, u64)>> = BTreeMap::new();
    for look in &seen.looks {
        if let Some(version) = look.version {
            by_record.entry(look.record_id).or_default().push((look, version));
        }
    }
    for (record_id, mut looks) in by_record {
        let highest = looks.iter().map(|(_, version)| *version).max().unwrap_or(0);
        let head = heads.get(record_id).copied().unwrap_or(0);
        if head < highest {
            regress(record_id, highest, head);
        }
        // What had been answered before a look was asked is the least that it may show.
        let mut answers: Vec<_> = looks.iter().map(|(look, version)| (look.lines.1, *version)).collect();
        answers.sort_unstable();
        looks.sort_unstable_by_key(|(look, _)| look.lines.0);
        let (mut answers, mut least) = (answers.into_iter().peekable(), 0);
        for (look, version) in looks {
            while let Some((_, answered)) = answers.next_if(|(place, _)| *place < look.lines.0) {
                least = least.max(answered);
            }
            if version < least {
                regress(record_id, least, version);
            }
        }
    }
}

fn judge_ledger(seen: &Seen<'_>, found: &Found, findings: &mut Vec<Finding>) {
    let mut entries = BTreeMap::new();
    for entry in &found.ledger {
        let whose = (entry.window.as_str(), entry.request_id.as_str());
        if entries.insert(entry.entry_id.as_str(), whose).is_some() {
            findings.push(Finding::LedgerRepeats { entry_id: entry.entry_id.clone() });
        }
    }
    for look in &seen.looks {
        if entries.get(look.ledger_entry) != Some(&(look.window, look.request_id)) {
            let (window, request_id) = (look.window.to_owned(), look.request_id.to_owned());
            findings.push(Finding::Untraced { window, request_id, ledger_entry: look.ledger_entry.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests;
