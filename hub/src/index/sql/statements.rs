//! The statements, each beside what it takes. A test counts placeholders: SQLite binds a missing one as NULL, silently.

use super::statement::{
    Columns,
    Kind::{Bool, Envelope, Hash, Int, Text},
    Statement,
};

macro_rules! statements {
    ($($name:ident = $text:expr, $singles:literal, $batch:expr;)+) => {
        $(pub(super) static $name: Statement = Statement { text: $text, singles: $singles, batch: $batch };)+

        /// All of them, for the test that counts.
        #[cfg(test)]
        pub(super) static ALL: &[&Statement] = &[$(&$name),+];
    };
}

const NONE: Columns = &[];

const RECORDS: Columns = &[("record_id", Text)];

const SUBMISSIONS: Columns = &[("submission_id", Hash)];

const REQUESTS: Columns = &[("window_name", Text), ("request_id", Text)];

const PAIRS: Columns = &[("record_id", Text), ("version", Int)];

const SPANS_ENDED: Columns = &[("record_id", Text), ("ends", Int)];

const VERSIONS: Columns = &[
    ("record_id", Text),
    ("version", Int),
    ("record_type", Text),
    ("department", Text),
    ("event", Text),
    ("status", Text),
    ("frozen", Bool),
    ("suspended", Bool),
    ("valid_from", Text),
    ("valid_until", Text),
    ("iat", Int),
    ("accepted_at", Int),
    ("kid", Text),
    ("submission_id", Hash),
    ("content_digest", Hash),
    ("substance_digest", Hash),
    ("erased", Bool),
    ("topic", Text),
    ("partition_no", Int),
    ("entry_offset", Int),
    ("entry_key", Text),
    ("entry_id", Hash),
    ("envelope", Envelope),
];

/// Without `gap_version`, which follows from the outcomes.
const HEADS: Columns = &[
    ("record_id", Text),
    ("record_type", Text),
    ("department", Text),
    ("version", Int),
    ("status", Text),
    ("frozen", Bool),
    ("suspended", Bool),
];

const HOLDERS: Columns =
    &[("record_id", Text), ("record_type", Text), ("holder", Hash), ("from_version", Int), ("until_version", Int)];

const IDENTIFIERS: Columns =
    &[("record_id", Text), ("record_type", Text), ("identifier", Hash), ("from_version", Int), ("until_version", Int)];

const OUTCOMES: Columns = &[
    ("submission_id", Hash),
    ("outcome", Text),
    ("reason", Text),
    ("record_id", Text),
    ("version", Int),
    ("head", Int),
    ("topic", Text),
    ("partition_no", Int),
    ("entry_offset", Int),
    ("at_ms", Int),
];

const APPENDS: Columns = &[
    ("topic", Text),
    ("partition_no", Int),
    ("entry_offset", Int),
    ("entry_key", Text),
    ("entry_id", Hash),
    ("submission_id", Hash),
    ("record_id", Text),
    ("version", Int),
    ("envelope", Envelope),
];

const QUARANTINE: Columns = &[
    ("id", Text),
    ("department", Text),
    ("sender", Text),
    ("record_type", Text),
    ("record_id", Text),
    ("version", Int),
    ("at_ms", Int),
    ("stage", Text),
    ("problems", Text),
    ("closed", Bool),
    ("topic", Text),
    ("partition_no", Int),
    ("entry_offset", Int),
];

const QUARANTINE_IDS: Columns = &[("id", Text)];

const CLOSED: Columns = &[("department", Text), ("record_id", Text), ("version", Int)];

const LEDGER: Columns = &[
    ("entry_id", Hash),
    ("entry_offset", Int),
    ("kind", Text),
    ("window_name", Text),
    ("request_id", Text),
    ("holder", Hash),
    ("records", Text),
    ("department", Text),
    ("at_ms", Int),
    ("envelope", Envelope),
];

const ALARMS: Columns = &[
    ("id", Text),
    ("alarm", Text),
    ("at_ms", Int),
    ("topic", Text),
    ("partition_no", Int),
    ("entry_offset", Int),
    ("detail", Text),
];

const LOOKS: Columns = &[("slot", Int), ("record_id", Text), ("holder", Hash), ("as_of", Int), ("version", Int)];

const FINDS: Columns = &[("slot", Int), ("record_type", Text), ("hash", Hash), ("after", Text), ("most", Int)];

const FINDS_AS_OF: Columns =
    &[("slot", Int), ("record_type", Text), ("hash", Hash), ("after", Text), ("most", Int), ("as_of", Int)];

statements! {
    ADVANCE = include_str!("advance.sql"), 6, NONE;
    INSERT_VERSIONS = include_str!("insert_versions.sql"), 0, VERSIONS;
    UPSERT_HEADS = include_str!("upsert_heads.sql"), 0, HEADS;
    RENEW_GAPS = include_str!("renew_gaps.sql"), 0, RECORDS;
    END_HOLDERS = include_str!("end_holders.sql"), 0, SPANS_ENDED;
    END_IDENTIFIERS = include_str!("end_identifiers.sql"), 0, SPANS_ENDED;
    INSERT_HOLDERS = include_str!("insert_holders.sql"), 0, HOLDERS;
    INSERT_IDENTIFIERS = include_str!("insert_identifiers.sql"), 0, IDENTIFIERS;
    KEEP_REPLACED_OUTCOMES = include_str!("keep_replaced_outcomes.sql"), 0, OUTCOMES;
    UPSERT_OUTCOMES = include_str!("upsert_outcomes.sql"), 0, OUTCOMES;
    INSERT_APPENDS = include_str!("insert_appends.sql"), 0, APPENDS;
    ERASE_VERSIONS = include_str!("erase_versions.sql"), 0, APPENDS;
    ERASE_HOLDERS = include_str!("erase_holders.sql"), 0, APPENDS;
    ERASE_IDENTIFIERS = include_str!("erase_identifiers.sql"), 0, APPENDS;
    FORGET_OUTCOMES = include_str!("forget_outcomes.sql"), 0, APPENDS;
    FORGET_QUARANTINE = include_str!("forget_quarantine.sql"), 0, APPENDS;
    FORGET_ALARMS = include_str!("forget_alarms.sql"), 0, APPENDS;
    REPLACE_APPENDS = include_str!("replace_appends.sql"), 0, APPENDS;
    INSERT_STUBS = include_str!("insert_stubs.sql"), 0, APPENDS;
    UPSERT_QUARANTINE = include_str!("upsert_quarantine.sql"), 0, QUARANTINE;
    CLOSE_QUARANTINE = include_str!("close_quarantine.sql"), 0, CLOSED;
    INSERT_LEDGER = include_str!("insert_ledger.sql"), 0, LEDGER;
    INSERT_ALARMS = include_str!("insert_alarms.sql"), 0, ALARMS;

    TAKE_LEASE = include_str!("take_lease.sql"), 5, NONE;
    RELEASE_LEASES = "-- release_leases
UPDATE positions SET lease_owner = NULL, lease_until = 0 WHERE lease_owner = $1", 1, NONE;
    SET_CURRENT = "-- set_current
UPDATE positions SET is_current = $4 WHERE topic = $1 AND partition_no = $2 AND lease_owner = $3", 4, NONE;
    POSITIONS = "-- positions
SELECT topic, partition_no, next_offset, recent, is_current, lease_owner, lease_until
FROM positions ORDER BY topic, partition_no", 0, NONE;
    POSITION = "-- position
SELECT topic, partition_no, next_offset, recent, is_current, lease_owner, lease_until
FROM positions WHERE topic = $1 AND partition_no = $2", 2, NONE;
    RAISE_FLOOR = "-- raise_floor
UPDATE registry_floor SET floor = $1 WHERE floor < $1", 1, NONE;
    FLOOR = "-- floor
SELECT floor FROM registry_floor", 0, NONE;
    LOOK_NOTHING = "-- look_nothing
SELECT floor, EXISTS (SELECT 1 FROM positions p WHERE NOT p.is_current AND p.topic LIKE 'weft.records.%')
FROM registry_floor", 0, NONE;
    PROBE_WRITE = "-- probe_write
INSERT INTO probes (at_probe) VALUES (1)", 0, NONE;
    PROBE_CLEAR = "-- probe_clear
DELETE FROM probes", 0, NONE;

    LOOK_RECORDS = include_str!("look_records.sql"), 0, LOOKS;
    FIND_BY_HOLDER = include_str!("find_by_holder.sql"), 0, FINDS;
    FIND_BY_HOLDER_AS_OF = include_str!("find_by_holder_as_of.sql"), 0, FINDS_AS_OF;
    FIND_BY_IDENTIFIER = include_str!("find_by_identifier.sql"), 0, FINDS;
    FIND_BY_IDENTIFIER_AS_OF = include_str!("find_by_identifier_as_of.sql"), 0, FINDS_AS_OF;

    KNOWN_HEADS = "-- known_heads
WITH batch AS ({batch})
SELECT h.record_id, h.record_type, h.department, h.version, h.status, h.frozen, h.suspended, h.gap_version
FROM batch b CROSS JOIN heads h WHERE h.record_id = b.record_id", 0, RECORDS;
    KNOWN_VERSIONS = "-- known_versions
WITH batch AS ({batch})
SELECT {version}
FROM batch b CROSS JOIN versions v WHERE v.record_id = b.record_id AND v.version = b.version", 0, PAIRS;
    OUTCOMES_OF = "-- outcomes_of
WITH batch AS ({batch})
SELECT o.submission_id, o.outcome, o.reason, o.record_id, o.version, o.head, o.topic, o.partition_no, o.entry_offset, o.at_ms
FROM batch b CROSS JOIN outcomes o WHERE o.submission_id = b.submission_id", 0, SUBMISSIONS;
    VERSION = "-- version
SELECT {version} FROM versions v WHERE v.record_id = $1 AND v.version = $2", 2, NONE;
    HEADS_OF = "-- heads_of
SELECT h.record_id, h.version, h.status, v.substance_digest, v.iat
FROM heads h JOIN versions v ON v.record_id = h.record_id AND v.version = h.version
WHERE h.department = $1 AND h.record_type = $2 AND h.record_id > $3
ORDER BY h.record_id LIMIT $4", 4, NONE;
    APPENDS_OF = include_str!("appends_of.sql"), 2, NONE;
    APPENDS_IN_QUARANTINE = include_str!("appends_in_quarantine.sql"), 1, NONE;
    LEDGER_OF_REQUESTS = "-- ledger_of_requests
WITH batch AS ({batch})
SELECT l.entry_id, l.entry_offset, l.kind, l.window_name, l.request_id, l.holder, l.records, l.department, l.at_ms, l.envelope
FROM batch b CROSS JOIN ledger l
WHERE l.window_name = b.window_name AND l.request_id = b.request_id
  AND l.entry_offset = ( -- the first of the request
    SELECT min(f.entry_offset) FROM ledger f WHERE f.window_name = b.window_name AND f.request_id = b.request_id
  )", 0, REQUESTS;
    LEDGER_FROM = "-- ledger_from
SELECT entry_id, entry_offset, kind, window_name, request_id, holder, records, department, at_ms, envelope
FROM ledger WHERE entry_offset >= $1
ORDER BY entry_offset LIMIT $2", 2, NONE;
    QUARANTINE_PAGE = include_str!("quarantine_page.sql"), 3, NONE;
    QUARANTINE_OPEN_OF = "-- quarantine_open_of
SELECT count(*) FROM quarantine WHERE sender = $1 AND NOT closed", 1, NONE;
    REFUSED_SENDERS = "-- refused_senders
WITH batch AS ({batch})
SELECT q.id, q.department FROM batch b CROSS JOIN quarantine q WHERE q.id = b.id", 0, QUARANTINE_IDS;
    ALARMS_NEWEST = "-- alarms_newest
SELECT id, alarm, at_ms, topic, partition_no, entry_offset, detail
FROM alarms ORDER BY at_ms DESC, id DESC LIMIT $1", 1, NONE;
    PUT_FLEET = "-- put_fleet
INSERT INTO fleet (sender, heard_ms, instance, report) VALUES ($1, $2, $3, $4)
ON CONFLICT (sender) DO UPDATE SET heard_ms = excluded.heard_ms, instance = excluded.instance, report = excluded.report
WHERE fleet.heard_ms <= excluded.heard_ms", 4, NONE;
    FLEET = "-- fleet
SELECT sender, heard_ms, instance, report FROM fleet ORDER BY sender", 0, NONE;
    COUNTS = "-- counts
SELECT
    (SELECT count(*) FROM versions),
    (SELECT count(*) FROM heads),
    (SELECT count(*) FROM ledger),
    (SELECT count(*) FROM quarantine WHERE NOT closed)", 0, NONE;

    REWIND_POSITION = include_str!("rewind_position.sql"), 5, NONE;
    TAKE_OUT_LOST = include_str!("take_out_lost.sql"), 3, NONE;
    REWIND_VERSIONS = include_str!("rewind_versions.sql"), 3, NONE;
    REWIND_OUTCOMES = include_str!("rewind_outcomes.sql"), 3, NONE;
    REWIND_OUTCOMES_OF = include_str!("rewind_outcomes_of.sql"), 0, SUBMISSIONS;
    REWIND_REPLACED_OUTCOMES = include_str!("rewind_replaced_outcomes.sql"), 3, NONE;
    RESTORE_OUTCOMES = include_str!("restore_outcomes.sql"), 0, SUBMISSIONS;
    FORGET_RESTORED_OUTCOMES = include_str!("forget_restored_outcomes.sql"), 0, SUBMISSIONS;
    REWIND_HOLDERS = include_str!("rewind_holders.sql"), 0, RECORDS;
    REOPEN_HOLDERS = include_str!("reopen_holders.sql"), 0, RECORDS;
    REWIND_IDENTIFIERS = include_str!("rewind_identifiers.sql"), 0, RECORDS;
    REOPEN_IDENTIFIERS = include_str!("reopen_identifiers.sql"), 0, RECORDS;
    RESTORE_HEADS = include_str!("restore_heads.sql"), 0, RECORDS;
    DROP_EMPTY_HEADS = include_str!("drop_empty_heads.sql"), 0, RECORDS;
    REOPEN_QUARANTINE = include_str!("reopen_quarantine.sql"), 0, RECORDS;
    REWIND_APPENDS = "-- rewind_appends
DELETE FROM appends WHERE topic = $1 AND partition_no = $2 AND entry_offset >= $3", 3, NONE;
    REWIND_QUARANTINE = "-- rewind_quarantine
DELETE FROM quarantine WHERE topic = $1 AND partition_no = $2 AND entry_offset >= $3", 3, NONE;
    REWIND_ALARMS = "-- rewind_alarms
DELETE FROM alarms WHERE topic = $1 AND partition_no = $2 AND entry_offset >= $3", 3, NONE;
    REWIND_LEDGER = "-- rewind_ledger
DELETE FROM ledger WHERE entry_offset >= $1", 1, NONE;
    COUNT_LOST = "-- count_lost
SELECT count(*) FROM lost WHERE topic = $1 AND partition_no = $2", 2, NONE;
    LOST_OF = "-- lost_of
SELECT topic, partition_no, entry_offset, entry_key, entry_id, submission_id, record_id, version, envelope
FROM lost WHERE topic = $1 AND partition_no = $2
ORDER BY entry_offset, entry_id LIMIT $3", 3, NONE;
    SETTLE_LOST = "-- settle_lost
DELETE FROM lost WHERE topic = $1 AND partition_no = $2 AND entry_offset = $3 AND entry_id = $4", 4, NONE;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::statement::Statement, ALL};

    /// The numbers after `$` in the text.
    fn placeholders(statement: &Statement) -> BTreeSet<usize> {
        let numbers = statement.text.split('$').skip(1);
        numbers.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()).collect()
    }

    #[test]
    fn every_statement_takes_what_it_is_given() {
        for statement in ALL {
            let name = statement.name();
            assert_eq!(placeholders(statement), (1..=statement.singles).collect(), "{name}");
            assert_eq!(statement.text.matches("{batch}").count(), usize::from(!statement.batch.is_empty()), "{name}");
        }
    }

    #[test]
    fn every_statement_says_its_name_first() {
        let mut names = BTreeSet::new();
        for statement in ALL {
            assert_ne!(statement.name(), "unnamed", "{}", statement.text);
            assert!(names.insert(statement.name()), "two statements are named {}", statement.name());
        }
    }
}
