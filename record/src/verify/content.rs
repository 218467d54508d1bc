//! Stage 5: what the record says.

use serde_json::Value;

use super::{MAX_AHEAD_SECONDS, MAX_PROBLEMS, bounded, refusal};
use crate::catalogue::{RecordType, effective_event};
use crate::json::{Step, pointer};
use crate::problem::{Problem, Reason, Rejection, Stage};
use crate::status::Event;

/// The event by which the version is judged, and the warnings that travel with it.
pub(super) fn check(
    payload: &Value,
    record_type: &RecordType,
    now_ms: i64,
) -> Result<(Event, Vec<Problem>), Rejection> {
    let event = effective_event(payload);
    // Without any event to judge by, nothing is taken away: everything is asked for, the event first of all.
    let mut problems = record_type.check_content(payload, event.unwrap_or(Event::Issue));
    let takes_away = event.is_some_and(Event::takes_away);
    if event.is_none() && problems.iter().all(|problem| problem.pointer != "/event") {
        problems.push(Problem::new("/event", Reason::MissingField));
    }
    problems.extend(ahead(payload, now_ms));
    problems.extend(unreadable(payload).into_iter().map(|pointer| {
        let of_record = ["/record", "/iss", "/vct"].iter().any(|claim| pointer.starts_with(claim));
        let problem = Problem::new(pointer, Reason::BadText);
        if takes_away && !of_record { problem.as_warning() } else { problem }
    }));
    // Refusals first, so that no flood of warnings pushes one out.
    problems.sort_by_key(|problem| problem.warning);
    match event {
        Some(event) if problems.iter().all(|problem| problem.warning) => Ok((event, bounded(problems))),
        _ => Err(refusal(Stage::Content, problems)),
    }
}

/// Whether the seal claims a time that has not come yet. The past has no limit: a back-fill is old by nature.
fn ahead(payload: &Value, now_ms: i64) -> Option<Problem> {
    let iat = payload.get("iat").and_then(Value::as_i64)?;
    let ahead = iat.saturating_sub(now_ms.div_euclid(1000));
    (ahead > MAX_AHEAD_SECONDS).then(|| {
        let zh = format!("签章时间 iat 比本节点时钟快 {ahead} 秒，上限为 {MAX_AHEAD_SECONDS} 秒");
        let en = format!("iat is {ahead} seconds ahead of this node's clock; {MAX_AHEAD_SECONDS} are allowed");
        Problem::detailed("/iat", Reason::IssuedInFuture, &zh, &en)
    })
}

/// Where texts do not look like what they are: bidirectional overrides and isolates, control characters (but line ends
/// and tabs), a byte order mark.
pub(super) fn unreadable(payload: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_unreadable(payload, &mut Vec::new(), &mut found);
    found
}

fn find_unreadable<'v>(value: &'v Value, path: &mut Vec<Step<'v>>, found: &mut Vec<String>) {
    if found.len() == MAX_PROBLEMS {
        return;
    }
    match value {
        Value::String(text) if text.contains(is_unreadable) => found.push(pointer(path)),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                path.push(Step::Index(index));
                find_unreadable(element, path, found);
                path.pop();
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Name(name.into()));
                if name.contains(is_unreadable) {
                    found.push(pointer(path));
                } else {
                    find_unreadable(value, path, found);
                }
                path.pop();
            }
        }
        _ => {}
    }
}

pub(super) fn is_unreadable(character: char) -> bool {
    let direction = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let control = character.is_control() && !matches!(character, '\t' | '\n' | '\r');
    direction || control || character == '\u{feff}'
}
