use AdapterState::*;
use weft_proto::v1::{self, Backlog, SourceState as At, Trouble};

use super::*;

const NOW: Millis = 1_790_000_000_000;
const MINUTE: Millis = 60_000;
const DAY: Millis = 86_400_000;

/// All is well.
fn well() -> Seen {
    let source = |name: &str| SourceReport {
        name: name.into(),
        state: At::Idle.into(),
        reachable: true,
        last_read_ago_ms: Some(1_000),
        ..SourceReport::default()
    };
    Seen {
        heard_at: NOW - 5_000,
        instance: "a".into(),
        hello: v1::Hello::default(),
        heartbeat: Heartbeat {
            sources: vec![source("one"), source("two")],
            clock_offset_ms: Some(40),
            certificate_expires: Some(crate::query::timestamp(NOW + 60 * DAY)),
            ..Heartbeat::default()
        },
    }
}

type Change = fn(&mut Seen);

fn at(seen: &mut Seen, number: usize, state: At) {
    seen.heartbeat.sources[number].state = state.into();
}

fn unsent(seen: &mut Seen, unsent: u64, held: u64, ago: Millis) {
    let oldest_ago_ms = ago.cast_unsigned();
    seen.heartbeat.backlog = vec![Backlog { record_type: "t".into(), unsent, held, oldest_ago_ms }];
}

fn trouble(seen: &mut Seen, name: &str) {
    let trouble = Trouble { trouble: name.into(), zh: "磁盘已满".into(), en: "the disk is full".into() };
    seen.heartbeat.troubles.push(trouble);
}

/// What changed, the state that it leads to, and a word of its sentence.
const TABLE: &[(&str, Change, AdapterState, &str)] = &[
    ("all is well", |_| {}, Healthy, "well"),
    ("a heartbeat was missed", |seen| seen.heard_at = NOW - SILENT_AFTER_MS, Healthy, "well"),
    ("all were missed", |seen| seen.heard_at = NOW - SILENT_AFTER_MS - 1, Silent, "1 min"),
    ("for days", |seen| seen.heard_at = NOW - 3 * DAY, Silent, "3 d"),
    ("unsent for a moment", |seen| unsent(seen, 5, 0, LATE_AFTER_MS), Healthy, "well"),
    ("unsent for long", |seen| unsent(seen, 5, 0, LATE_AFTER_MS + 1), Late, "5 versions"),
    ("an old time without anything that waits", |seen| unsent(seen, 0, 0, DAY), Healthy, "well"),
    ("a key not accepted", |seen| unsent(seen, 3, 3, 1_000), Failing, "3 versions wait for their key"),
    ("a full disk", |seen| trouble(seen, "disk_full"), Failing, "the disk is full"),
    ("a state that was lost", |seen| trouble(seen, "state_recovered"), Failing, "full"),
    ("a difference", |seen| trouble(seen, "reconcile_differs"), Failing, "full"),
    ("a source that stopped", |seen| at(seen, 1, At::Stopped), Failing, "source two has stopped"),
    ("a source away for a moment", |seen| at(seen, 0, At::Unreachable), Healthy, "well"),
    (
        "a source away",
        |seen| {
            at(seen, 0, At::Unreachable);
            seen.heartbeat.sources[0].last_read_ago_ms = Some(AWAY_MS.cast_unsigned() + 1);
        },
        Failing,
        "source one cannot be read",
    ),
    (
        "a source that was never there",
        |seen| {
            at(seen, 0, At::Unreachable);
            seen.heartbeat.sources[0].last_read_ago_ms = None;
        },
        Failing,
        "cannot be read",
    ),
    ("a clock off", |seen| seen.heartbeat.clock_offset_ms = Some(-CLOCK_OFF_MS - 1), Failing, "clock is off by 2 min"),
    ("a clock never measured", |seen| seen.heartbeat.clock_offset_ms = None, Healthy, "well"),
    (
        "a certificate that ends",
        |seen| seen.heartbeat.certificate_expires = Some(crate::query::timestamp(NOW + 10 * DAY)),
        Expiring,
        "in 10 d",
    ),
    (
        "a certificate that ended",
        |seen| seen.heartbeat.certificate_expires = Some(crate::query::timestamp(NOW - DAY)),
        Expiring,
        "in 0 s",
    ),
    ("one source paused", |seen| at(seen, 1, At::Paused), Paused, "source two is paused"),
    ("back-filling", |seen| at(seen, 0, At::BackFilling), BackFilling, "back-filling"),
    ("one resting", |seen| at(seen, 0, At::Resting), Healthy, "well"),
    (
        "all resting",
        |seen| {
            at(seen, 0, At::Resting);
            at(seen, 1, At::Resting);
        },
        Resting,
        "service hours",
    ),
    ("the spool is full", |seen| at(seen, 0, At::Waiting), Healthy, "well"),
    (
        "a back-fill whose first versions wait",
        |seen| {
            at(seen, 0, At::BackFilling);
            unsent(seen, 9, 0, 20 * MINUTE);
        },
        BackFilling,
        "back-filling",
    ),
    (
        "a back-fill that does not move",
        |seen| {
            at(seen, 0, At::BackFilling);
            unsent(seen, 9, 0, 2 * DAY);
        },
        Late,
        "2 d",
    ),
];

#[test]
fn every_state_has_its_reason_and_what_to_do() {
    for (name, change, expected, word) in TABLE {
        let mut seen = well();
        change(&mut seen);
        let standing = state(Some(&seen), NOW);
        assert_eq!(standing.state, *expected, "{name}: {}", standing.en);
        assert!(standing.en.contains(word), "{name}: {}", standing.en);
        assert!(!standing.zh.is_empty() && !standing.todo.0.is_empty() && !standing.todo.1.is_empty(), "{name}");
        let calm = matches!(expected, Healthy | Resting | BackFilling);
        assert_eq!(standing.needs_person, !calm, "{name}");
    }
    let mut bare = well();
    bare.heartbeat.sources.clear();
    assert_eq!(state(Some(&bare), NOW).state, Healthy, "without a source it does not rest");
    let never = state(None, NOW);
    assert_eq!((never.state, never.needs_person), (Silent, true));
    let all: std::collections::BTreeSet<i32> = TABLE.iter().map(|(_, _, state, _)| (*state).into()).collect();
    assert_eq!(all.len(), 8, "every state stands in the table");
}

/// From each state a better word leads back to healthy, and a worse finding outranks what was there.
#[test]
fn of_two_findings_the_worse_is_told_and_what_is_mended_is_forgotten() {
    for (name, first, state_of_first, _) in TABLE {
        for (other, second, state_of_second, _) in TABLE {
            let mut seen = well();
            first(&mut seen);
            second(&mut seen);
            // The changes may overwrite one another: only those of different parts can be judged together.
            let (mut back, mut forth) = (well(), well());
            first(&mut back);
            second(&mut back);
            second(&mut forth);
            first(&mut forth);
            if back != forth || back == well() || state_of_first == state_of_second {
                continue;
            }
            let told = state(Some(&seen), NOW).state;
            let joint = name.contains("resting")
                || other.contains("resting")
                || name.contains("back-fill")
                || other.contains("back-fill");
            let worst = (*state_of_first).max(*state_of_second);
            assert!(told == worst || joint, "{name} and {other}: {told:?}");
        }
        assert_eq!(state(Some(&well()), NOW).state, Healthy, "after {name}");
    }
}

#[test]
fn the_order_of_the_words_is_the_order_of_the_table_that_operators_see() {
    let order = [Healthy, Resting, BackFilling, Paused, Expiring, Late, Failing, Silent];
    assert!(order.is_sorted_by_key(|state| i32::from(*state)));
}
