use std::path::Path;

use super::*;
use crate::{clock::SetClock, problem::Reason, runner::Silent};

fn life() -> (Arc<Life>, Arc<SetClock>) {
    let text = r#"
department = "market-regulation"
name = "main"
state_dir = "state"
hub = ["https://hub.example:7443"]
[[source]]
name = "s"
[source.file]
folder = "drop"
[source.mapping]
record_type = "business-licence"
[source.mapping.fields]
uscc = { column = "统一社会信用代码" }
"#;
    let config = Config::parse(text, Path::new("/")).unwrap();
    let clock = Arc::new(SetClock::at("2026-10-30T08:00:00Z".parse().unwrap()));
    (Life::new(&config, clock.clone(), Arc::new(Silent)), clock)
}

fn state(life: &Life) -> At {
    life.sources()[0].state
}

#[test]
fn a_source_moves_through_its_states() {
    let (life, clock) = life();
    assert_eq!((state(&life), life.sources()[0].last_read_ms), (At::Idle, None));
    life.read("s", "a.csv", 256, 250);
    assert_eq!(state(&life), At::Reading);
    life.read("s", "a.csv", 5_000, 4_900);
    assert_eq!(state(&life), At::BackFilling);
    life.row_refused("s");
    life.state("s", &SourceState::Working);
    let source = life.sources().remove(0);
    assert_eq!((source.state, source.rows_read, source.rows_refused), (At::Idle, 5_000, 1));
    assert_eq!(source.last_read_ms, Some(clock.now().as_millisecond()));
    life.read("s", "a.csv", 10, 10);
    assert_eq!(life.sources()[0].rows_read, 5_010, "another unit of the same name");
    life.state("s", &SourceState::Unreachable { reason: "no share".into() });
    assert_eq!((state(&life), life.sources()[0].en.as_str()), (At::Unreachable, "no share"));
    life.state("s", &SourceState::Resting);
    assert_eq!((state(&life), life.sources()[0].en.as_str()), (At::Resting, ""));
    life.state("s", &SourceState::Stopped { reason: Reason::HeadingMissing, detail: "x".into() });
    assert_eq!(state(&life), At::Stopped);
    life.waiting("s");
    assert_eq!(state(&life), At::Waiting);
    life.set_halt("s", Some(Halt::Paused));
    life.state("s", &SourceState::Working);
    life.read("s", "b.csv", 1, 1);
    assert_eq!(state(&life), At::Paused, "what is paused stays so whatever else is told");
    life.set_halt("s", None);
    assert_eq!((state(&life), life.halt("s")), (At::Idle, None));
}

#[test]
fn a_source_stops_when_almost_everything_of_it_is_refused() {
    let (life, _) = life();
    let least = life.limits.stop_after;
    for _ in 0..least - 1 {
        assert_eq!(life.answered_one("s", true), None, "too few to judge");
    }
    assert!(matches!(life.answered_one("s", true), Some(Halt::Stopped { .. })));
    life.set_halt("s", None);
    for number in 0..10 * least {
        assert_eq!(life.answered_one("s", number % 3 != 0), None, "two thirds are many, and not almost all");
    }
}

#[test]
fn a_ledger_that_stays_shorter_is_told() {
    let (life, clock) = life();
    assert_eq!((life.ledger(10), life.ledger(0), life.ledger(10), life.ledger(9)), (Some(10), None, None, None));
    assert!(!life.hub().3, "another instance may be a moment behind");
    clock.advance(std::time::Duration::from_secs(121));
    assert_eq!((life.hub().2, life.hub().3), (10, true));
    life.ledger(11);
    assert!(!life.hub().3);
}

#[test]
fn what_is_to_be_read_again_is_asked_once_and_from_the_earliest_time() {
    let (life, _) = life();
    life.set_resync("s", 20);
    life.set_resync("s", 10);
    assert_eq!((life.take_resync("s"), life.take_resync("s")), (Some(10), None));
}
