use super::*;

/// Every cell, written out a second time: `v s f b` valid, suspended, frozen, both flags; `R V C T` rescinded, revoked,
/// cancelled, transferred; `-` nothing yet, `!` already here, `^` not suspended, `~` not frozen, `t` was transferred,
/// `x` final, `2` needs two persons. Columns in the order of `Event::ALL`.
const EXPECTED: &[(&str, Option<State>, &str)] = &[
    ("nothing", None, "v - - - - - - - - - - - - v"),
    ("valid", Some(at(Status::Valid, false, false)), "! v v v s ^ f ~ v R V C T !"),
    ("suspended", Some(at(Status::Suspended, false, true)), "! s s s s v b ~ s R V C T !"),
    ("frozen", Some(at(Status::Frozen, true, false)), "! f f f b ^ f v f R V C T !"),
    ("both", Some(at(Status::Frozen, true, true)), "! b b b b f b s b R V C T !"),
    ("transferred", Some(at(Status::Transferred, false, false)), "t t t t t t t t t t t t t v"),
    ("transferred suspended", Some(at(Status::Transferred, false, true)), "t t t t t t t t t t t t t s"),
    ("transferred frozen", Some(at(Status::Transferred, true, false)), "t t t t t t t t t t t t t f"),
    ("transferred both", Some(at(Status::Transferred, true, true)), "t t t t t t t t t t t t t b"),
    ("rescinded", Some(at(Status::Rescinded, false, false)), "x x x x x x x x 2 x x x x x"),
    ("revoked", Some(at(Status::Revoked, false, true)), "x x x x x x x x 2 x x x x x"),
    ("cancelled", Some(at(Status::Cancelled, true, false)), "x x x x x x x x 2 x x x x x"),
];

const fn at(status: Status, frozen: bool, suspended: bool) -> State {
    State { status, frozen, suspended }
}

fn letter(from: Option<State>, result: Result<State, StepRefused>) -> char {
    match result {
        Ok(State { status: Status::Valid, frozen: false, suspended: false }) => 'v',
        Ok(State { status: Status::Suspended, frozen: false, suspended: true }) => 's',
        Ok(State { status: Status::Frozen, frozen: true, suspended: false }) => 'f',
        Ok(State { status: Status::Frozen, frozen: true, suspended: true }) => 'b',
        Ok(state) => {
            let before = from.expect("an ended record had a version");
            assert_eq!((state.frozen, state.suspended), (before.frozen, before.suspended), "flags are kept");
            match state.status {
                Status::Rescinded => 'R',
                Status::Revoked => 'V',
                Status::Cancelled => 'C',
                Status::Transferred => 'T',
                other => panic!("flags and status disagree: {other}"),
            }
        }
        Err(StepRefused::NothingYet) => '-',
        Err(StepRefused::AlreadyHere) => '!',
        Err(StepRefused::NotSuspended) => '^',
        Err(StepRefused::NotFrozen) => '~',
        Err(StepRefused::Transferred) => 't',
        Err(StepRefused::Final) => 'x',
        Err(StepRefused::NeedsConfirmation) => '2',
        Err(StepRefused::NotByCorrection) => '?',
    }
}

#[test]
fn every_cell_of_the_table_is_as_written() {
    for (name, from, row) in EXPECTED {
        let cells: Vec<&str> = row.split(' ').collect();
        assert_eq!(cells.len(), Event::ALL.len(), "{name}");
        for (event, expected) in Event::ALL.into_iter().zip(cells) {
            assert_eq!(letter(*from, step(*from, event)).to_string(), expected, "{name} + {event}");
        }
    }
}

#[test]
fn the_columns_stand_in_the_order_of_the_events() {
    for (position, event) in Event::ALL.into_iter().enumerate() {
        assert_eq!(event as usize, position);
    }
}

#[test]
fn the_doors_check_allows_exactly_what_the_table_can_reach() {
    for event in Event::ALL {
        let mut reachable: Vec<Status> =
            EXPECTED.iter().filter_map(|(_, from, _)| step(*from, event).ok()).map(|state| state.status).collect();
        if event == Event::Correct {
            let revoked = at(Status::Revoked, false, false);
            reachable.extend(Status::ALL.into_iter().filter(|claimed| step_confirmed(revoked, *claimed).is_ok()));
        }
        reachable.sort_unstable();
        reachable.dedup();
        let mut allowed = allowed_statuses(event).to_vec();
        allowed.sort_unstable();
        assert_eq!(allowed, reachable, "{event}");
    }
}

#[test]
fn a_confirmed_correction_leads_to_what_it_claims() {
    let revoked = at(Status::Revoked, true, true);
    assert_eq!(step_confirmed(revoked, Status::Valid), Ok(at(Status::Valid, false, false)));
    assert_eq!(step_confirmed(revoked, Status::Suspended), Ok(at(Status::Suspended, false, true)));
    assert_eq!(step_confirmed(revoked, Status::Frozen), Ok(at(Status::Frozen, true, true)));
    assert_eq!(step_confirmed(revoked, Status::Cancelled), Ok(at(Status::Cancelled, true, true)));
    assert_eq!(step_confirmed(revoked, Status::Transferred), Err(StepRefused::NotByCorrection));
    let transferred = at(Status::Transferred, false, false);
    assert_eq!(step_confirmed(transferred, Status::Valid), Err(StepRefused::Transferred));
    let live = at(Status::Suspended, false, true);
    assert_eq!(step_confirmed(live, Status::Valid), Ok(live), "a live record keeps its status");
}

#[test]
fn a_claim_agrees_with_a_flag_under_a_higher_one() {
    let both = State::live(true, true);
    assert!(both.agrees_with(Status::Frozen) && both.agrees_with(Status::Suspended));
    assert!(!both.agrees_with(Status::Valid));
    assert!(!State::live(true, false).agrees_with(Status::Suspended));
    assert!(!at(Status::Revoked, false, true).agrees_with(Status::Suspended));
}

#[test]
fn words_read_back_and_serialise_as_they_are_written() {
    for event in Event::ALL {
        assert_eq!(event.as_str().parse::<Event>(), Ok(event));
        assert_eq!(serde_json::to_value(event).unwrap(), event.as_str());
    }
    for status in Status::ALL {
        assert_eq!(status.as_str().parse::<Status>(), Ok(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        if let Some(event) = status.implied_event() {
            assert!(event.takes_away() && allowed_statuses(event).contains(&status));
        }
    }
    assert_eq!(Event::ALL.iter().filter(|event| event.takes_away()).count(), 5);
}
