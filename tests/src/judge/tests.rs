//! Each promise is broken once, in a story that is clean without it, and just that is found.

use super::*;

/// A story told line by line.
#[derive(Default)]
struct Story {
    lines: Vec<Line>,
    found: Found,
}

impl Story {
    fn publish(&mut self, submission: &str, record: &str, version: u64) -> Op {
        let call = Call::Publish {
            submission_id: submission.to_owned(),
            record_id: record.to_owned(),
            version,
            digest: format!("content of {record} {version}"),
        };
        self.invoke(call)
    }

    fn look(&mut self, request: &str, record: &str) -> Op {
        let (window, request_id, record_id) = ("w".to_owned(), request.to_owned(), record.to_owned());
        self.invoke(Call::Look { window, request_id, record_id })
    }

    fn invoke(&mut self, call: Call) -> Op {
        let op = self.lines.len() as Op;
        self.lines.push(Line::Invoke { op, at_us: 0, call });
        op
    }

    fn ok(&mut self, op: Op, answer: Answer) {
        self.lines.push(Line::Ok { op, at_us: 0, answer });
    }

    fn answer(&mut self, op: Op, entry: &str, version: u64) {
        self.ok(op, Answer::Look { ledger_entry: entry.to_owned(), version: Some(version) });
    }

    fn fail(&mut self, op: Op) {
        self.lines.push(Line::Fail { op, at_us: 0, reason: "refused".to_owned() });
    }

    fn told(&mut self, submission: &str, outcome: &str) {
        let (submission_id, outcome) = (submission.to_owned(), outcome.to_owned());
        self.lines.push(Line::Outcome { submission_id, at_us: 0, outcome });
    }

    fn logged(&mut self, submission: &str, record: &str, version: u64) {
        self.found.log.push(LogEntry {
            submission_id: submission.to_owned(),
            record_id: record.to_owned(),
            version,
            entry_id: format!("entry {}", self.found.log.len()),
        });
    }

    fn indexed(&mut self, submission: &str, record: &str, version: u64) {
        self.found.index.push(IndexRow {
            record_id: record.to_owned(),
            version,
            submission_id: submission.to_owned(),
            digest: format!("content of {record} {version}"),
        });
    }

    fn traced(&mut self, request: &str, entry: &str) {
        self.found.ledger.push(LedgerEntry {
            window: "w".to_owned(),
            request_id: request.to_owned(),
            entry_id: entry.to_owned(),
        });
    }

    fn findings(&self) -> Vec<Finding> {
        judge(&self.lines, &self.found).findings
    }
}

/// Two versions published and acknowledged, one look answered.
fn clean() -> Story {
    let mut story = Story::default();
    for version in 1..=2 {
        let submission = format!("s{version}");
        let op = story.publish(&submission, "r", version);
        story.ok(op, Answer::Receipt);
        story.logged(&submission, "r", version);
        story.indexed(&submission, "r", version);
    }
    let op = story.look("q1", "r");
    story.answer(op, "e1", 2);
    story.traced("q1", "e1");
    story
}

fn owned(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_clean_story_has_no_findings_and_is_counted() {
    let mut story = clean();
    story.publish("s3", "r", 3);
    story.logged("s1", "r", 1);
    let verdict = judge(&story.lines, &story.found);
    verdict.assert_clean();
    let expected = Tally {
        submissions: 3,
        receipts: 2,
        refused: 0,
        unknown: 1,
        looks_answered: 1,
        index_rows: 2,
        log_entries: 3,
        log_repeats: 1,
    };
    assert_eq!(verdict.tally, expected);
}

#[test]
fn an_acknowledged_submission_missing_from_the_index_is_lost() {
    let mut story = clean();
    story.found.index.pop();
    let (submission_id, record_id) = (owned("s2"), owned("r"));
    let lost = Finding::Lost { submission_id, record_id, version: 2 };
    assert_eq!(story.findings(), [lost, Finding::Regress { record_id: owned("r"), seen: 2, then: 1 }]);
}

#[test]
fn an_acknowledged_submission_replaced_by_another_is_lost() {
    let mut story = clean();
    story.publish("other", "r", 2);
    story.found.index.pop();
    story.indexed("other", "r", 2);
    let (submission_id, record_id) = (owned("s2"), owned("r"));
    assert_eq!(story.findings(), [Finding::Lost { submission_id, record_id, version: 2 }]);
}

#[test]
fn an_indexed_outcome_binds_even_without_a_receipt() {
    let mut story = clean();
    story.publish("s3", "r", 3);
    story.told("s3", "indexed");
    story.logged("s3", "r", 3);
    let (submission_id, record_id) = (owned("s3"), owned("r"));
    assert_eq!(story.findings(), [Finding::Lost { submission_id, record_id, version: 3 }]);
}

#[test]
fn an_acknowledged_submission_missing_from_the_log_is_found() {
    let mut story = clean();
    story.found.log.pop();
    assert_eq!(story.findings(), [Finding::NotInLog { submission_id: owned("s2") }]);
}

#[test]
fn an_unknown_submission_may_be_there_or_not() {
    let mut story = clean();
    story.publish("s3", "r", 3);
    assert_eq!(story.findings(), []);
    story.logged("s3", "r", 3);
    story.indexed("s3", "r", 3);
    assert_eq!(story.findings(), []);
}

#[test]
fn an_outcome_that_was_not_taken_explains_the_absence() {
    for outcome in ["duplicate", "gap", "quarantined"] {
        let mut story = clean();
        let op = story.publish("again", "r", 2);
        story.ok(op, Answer::Receipt);
        story.logged("again", "r", 2);
        story.found.outcomes.insert(owned("again"), owned(outcome));
        assert_eq!(story.findings(), [], "{outcome}");
    }
}

#[test]
fn a_duplicate_of_nothing_and_a_conflict_with_itself_are_lost() {
    for (outcome, version) in [("duplicate", 3), ("conflict", 2)] {
        let mut story = clean();
        let op = story.publish("again", "r", version);
        story.ok(op, Answer::Receipt);
        story.logged("again", "r", version);
        story.told("again", outcome);
        let (submission_id, record_id) = (owned("again"), owned("r"));
        assert_eq!(story.findings(), [Finding::Lost { submission_id, record_id, version }], "{outcome}");
    }
}

#[test]
fn a_row_that_nobody_asked_for_is_invented() {
    let mut story = clean();
    story.indexed("x", "r", 3);
    let (submission_id, record_id) = (owned("x"), owned("r"));
    assert_eq!(story.findings(), [Finding::Invented { submission_id, record_id, version: 3 }]);
}

#[test]
fn a_row_with_another_content_is_invented() {
    let mut story = clean();
    story.found.index[1].digest = owned("changed");
    let (submission_id, record_id) = (owned("s2"), owned("r"));
    assert_eq!(story.findings(), [Finding::Invented { submission_id, record_id, version: 2 }]);
}

#[test]
fn an_entry_of_the_log_that_nobody_asked_for_is_found() {
    let mut story = clean();
    story.logged("x", "r", 1);
    story.logged("s2", "other", 2);
    let invented = |submission: &str, entry: &str| Finding::InventedInLog {
        submission_id: owned(submission),
        entry_id: owned(entry),
    };
    assert_eq!(story.findings(), [invented("s2", "entry 3"), invented("x", "entry 2")]);
}

#[test]
fn a_refused_submission_in_the_index_is_found_unless_one_attempt_is_unknown() {
    let mut story = clean();
    let op = story.publish("s3", "r", 3);
    story.fail(op);
    story.indexed("s3", "r", 3);
    assert_eq!(story.findings(), [Finding::RefusedYetIndexed { submission_id: owned("s3") }]);
    story.publish("s3", "r", 3);
    assert_eq!(story.findings(), []);
}

#[test]
fn a_version_that_stands_twice_is_found() {
    let mut story = clean();
    story.indexed("s2", "r", 2);
    let duplicate = Finding::Duplicate { record_id: owned("r"), version: 2, times: 2 };
    assert_eq!(story.findings(), [duplicate]);
}

#[test]
fn a_hole_is_found() {
    let mut story = clean();
    story.publish("s4", "r", 4);
    story.indexed("s4", "r", 4);
    assert_eq!(story.findings(), [Finding::Hole { record_id: owned("r"), missing: 3 }]);
}

#[test]
fn a_later_look_that_sees_less_is_found_and_a_concurrent_one_is_not() {
    let mut story = clean();
    let (first, second) = (story.look("q2", "r"), story.look("q3", "r"));
    story.answer(first, "e2", 2);
    story.answer(second, "e3", 2);
    story.traced("q2", "e2");
    story.traced("q3", "e3");
    assert_eq!(story.findings(), []);

    let later = story.look("q4", "r");
    story.answer(later, "e4", 1);
    story.traced("q4", "e4");
    assert_eq!(story.findings(), [Finding::Regress { record_id: owned("r"), seen: 2, then: 1 }]);

    let mut story = Story::default();
    for version in 1..=2 {
        story.publish(&format!("s{version}"), "r", version);
        story.indexed(&format!("s{version}"), "r", version);
    }
    let (slow, quick) = (story.look("q1", "r"), story.look("q2", "r"));
    story.answer(quick, "e2", 2);
    story.answer(slow, "e1", 1);
    story.traced("q1", "e1");
    story.traced("q2", "e2");
    assert_eq!(story.findings(), []);
}

#[test]
fn an_outcome_that_changes_is_found() {
    let mut story = clean();
    story.told("s2", "indexed");
    story.found.outcomes.insert(owned("s2"), owned("duplicate"));
    let (told, now) = (owned("indexed"), owned("duplicate"));
    assert_eq!(story.findings(), [Finding::OutcomeChanged { submission_id: owned("s2"), told, now }]);
}

#[test]
fn an_answer_without_its_ledger_entry_is_found() {
    let untraced = Finding::Untraced { window: owned("w"), request_id: owned("q1"), ledger_entry: owned("e1") };
    let mut story = clean();
    story.found.ledger.clear();
    assert_eq!(story.findings(), std::slice::from_ref(&untraced));
    // Nor does somebody else's entry do.
    story.traced("other", "e1");
    assert_eq!(story.findings(), [untraced]);
}

#[test]
fn a_ledger_entry_that_stands_twice_is_found() {
    let mut story = clean();
    story.traced("q1", "e1");
    assert_eq!(story.findings(), [Finding::LedgerRepeats { entry_id: owned("e1") }]);
}

#[test]
#[should_panic(expected = "Lost")]
fn an_assertion_names_what_was_found() {
    let mut story = clean();
    story.found.index.pop();
    judge(&story.lines, &story.found).assert_clean();
}
