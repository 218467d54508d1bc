//! What a row means beside what was published before: nothing, or the versions that lead there. Pure.

use weft_record::status::{self, Event, State, Status};

use crate::{mapping::Intent, problem::Reason};

/// One version to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What causes it.
    pub event: Event,
    /// Where the record stands after it.
    pub state: State,
}

/// The versions that lead from `before` (nothing: the record has none) to what the row says.
///
/// `differs(status)` says whether the row's content, with that status, is other than that of the last version: only a
/// real change makes a new one. A record that is first seen revoked is issued first: every history begins with how it
/// began.
///
/// # Errors
/// The row says what cannot follow: a final status is left, or the event does not fit.
pub fn steps(before: Option<State>, intent: Intent, differs: impl Fn(Status) -> bool) -> Result<Vec<Step>, Reason> {
    match intent {
        Intent::Is(target) => until(before, target, differs),
        Intent::Happened(event) => happened(before, event, differs),
    }
}

fn until(before: Option<State>, target: Status, differs: impl Fn(Status) -> bool) -> Result<Vec<Step>, Reason> {
    let mut steps = Vec::new();
    let mut state = match before {
        Some(state) if state.agrees_with(target) => {
            return if differs(target) { changed(state).map(|step| vec![step]) } else { Ok(steps) };
        }
        Some(state) => state,
        None => push(&mut steps, None, Event::Issue)?,
    };
    // Three steps lead from anywhere to anywhere: back from transfer, unfreeze, resume.
    for _ in 0..3 {
        if state.agrees_with(target) {
            break;
        }
        state = push(&mut steps, Some(state), towards(state, target))?;
    }
    if state.agrees_with(target) { Ok(steps) } else { Err(Reason::StepNotAllowed) }
}

fn changed(state: State) -> Result<Step, Reason> {
    let mut steps = Vec::new();
    let state = push(&mut steps, Some(state), Event::Change)?;
    Ok(Step { event: Event::Change, state })
}

/// The next event on the way from `state` to `target`.
fn towards(state: State, target: Status) -> Event {
    match (target, state.status) {
        (Status::Rescinded, _) => Event::Rescind,
        (Status::Revoked, _) => Event::Revoke,
        (Status::Cancelled, _) => Event::Cancel,
        (Status::Transferred, _) => Event::TransferOut,
        (_, Status::Transferred) => Event::TransferIn,
        (Status::Frozen, _) => Event::Freeze,
        (Status::Suspended, Status::Frozen) if state.suspended => Event::Unfreeze,
        (Status::Suspended, _) => Event::Suspend,
        (Status::Valid, Status::Frozen) => Event::Unfreeze,
        (Status::Valid, _) => Event::Resume,
    }
}

fn happened(before: Option<State>, event: Event, differs: impl Fn(Status) -> bool) -> Result<Vec<Step>, Reason> {
    let mut steps = Vec::new();
    let Some(state) = before else {
        if matches!(event, Event::Issue | Event::TransferIn) {
            push(&mut steps, None, event)?;
            return Ok(steps);
        }
        let state = push(&mut steps, None, Event::Issue)?;
        if event.takes_away() || event == Event::TransferOut {
            push(&mut steps, Some(state), event)?;
        }
        return Ok(steps);
    };
    let after = status::step(Some(state), event).map_or(state.status, |after| after.status);
    if !differs(after) {
        return Ok(steps);
    }
    if event == Event::Issue && !is_final(state.status) && state.status != Status::Transferred {
        return changed(state).map(|step| vec![step]);
    }
    push(&mut steps, Some(state), event)?;
    Ok(steps)
}

fn is_final(status: Status) -> bool {
    matches!(status, Status::Rescinded | Status::Revoked | Status::Cancelled)
}

fn push(steps: &mut Vec<Step>, from: Option<State>, event: Event) -> Result<State, Reason> {
    let state = status::step(from, event).map_err(|_| {
        if from.is_some_and(|state| is_final(state.status)) { Reason::StatusFinal } else { Reason::StepNotAllowed }
    })?;
    steps.push(Step { event, state });
    Ok(state)
}

#[cfg(test)]
mod tests {
    use Event::*;
    use Intent::{Happened, Is};

    use super::*;

    const VALID: State = State { status: Status::Valid, frozen: false, suspended: false };
    const SUSPENDED: State = State { status: Status::Suspended, frozen: false, suspended: true };
    const FROZEN: State = State { status: Status::Frozen, frozen: true, suspended: false };
    const BOTH: State = State { status: Status::Frozen, frozen: true, suspended: true };
    const CANCELLED: State = State { status: Status::Cancelled, frozen: false, suspended: false };
    const OUT: State = State { status: Status::Transferred, frozen: false, suspended: false };

    fn events(before: Option<State>, intent: Intent, differs: bool) -> Result<Vec<Event>, Reason> {
        steps(before, intent, |_| differs).map(|steps| steps.into_iter().map(|step| step.event).collect())
    }

    #[test]
    fn a_status_column_leads_through_the_events_that_are_needed() {
        for (before, target, expected) in [
            (None, Status::Valid, vec![Issue]),
            (None, Status::Revoked, vec![Issue, Revoke]),
            (None, Status::Frozen, vec![Issue, Freeze]),
            (Some(VALID), Status::Valid, vec![Change]),
            (Some(VALID), Status::Cancelled, vec![Cancel]),
            (Some(SUSPENDED), Status::Valid, vec![Resume]),
            (Some(FROZEN), Status::Valid, vec![Unfreeze]),
            (Some(BOTH), Status::Valid, vec![Unfreeze, Resume]),
            (Some(FROZEN), Status::Suspended, vec![Suspend]),
            (Some(BOTH), Status::Suspended, vec![Change]),
            (Some(SUSPENDED), Status::Frozen, vec![Freeze]),
            (Some(OUT), Status::Valid, vec![TransferIn]),
            (Some(OUT), Status::Frozen, vec![TransferIn, Freeze]),
            (Some(VALID), Status::Transferred, vec![TransferOut]),
        ] {
            assert_eq!(events(before, Is(target), true), Ok(expected), "{before:?} → {target}");
        }
    }

    #[test]
    fn what_is_the_same_makes_no_version() {
        for (before, intent) in [
            (VALID, Is(Status::Valid)),
            (CANCELLED, Is(Status::Cancelled)),
            (CANCELLED, Happened(Cancel)),
            (VALID, Happened(Issue)),
            (VALID, Happened(Change)),
            (SUSPENDED, Happened(Suspend)),
        ] {
            assert_eq!(events(Some(before), intent, false), Ok(vec![]), "{before:?} {intent:?}");
        }
    }

    #[test]
    fn events_of_a_log_that_begins_in_the_middle() {
        for (before, event, expected) in [
            (None, Issue, vec![Issue]),
            (None, TransferIn, vec![TransferIn]),
            (None, Change, vec![Issue]),
            (None, Revoke, vec![Issue, Revoke]),
            (Some(VALID), Issue, vec![Change]),
            (Some(VALID), Renew, vec![Renew]),
            (Some(VALID), Freeze, vec![Freeze]),
        ] {
            assert_eq!(events(before, Happened(event), true), Ok(expected), "{before:?} {event}");
        }
    }

    #[test]
    fn what_cannot_follow_is_told() {
        assert_eq!(events(Some(CANCELLED), Is(Status::Valid), true), Err(Reason::StatusFinal));
        assert_eq!(events(Some(CANCELLED), Is(Status::Cancelled), true), Err(Reason::StatusFinal));
        assert_eq!(events(Some(CANCELLED), Happened(Correct), true), Err(Reason::StatusFinal));
        assert_eq!(events(Some(VALID), Happened(Resume), true), Err(Reason::StepNotAllowed));
        assert_eq!(events(Some(OUT), Is(Status::Transferred), true), Err(Reason::StepNotAllowed));
    }
}
