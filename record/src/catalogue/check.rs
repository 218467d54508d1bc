//! The content of a payload: schema, identifiers and real dates, the type's own rules – always all three.

use super::{FieldRule, RecordType, ValidityRule};
use crate::identifier::{Checked, Scheme, Verdict, check_holder, check_with, normalise_holder};
use crate::problem::{Problem, Reason, pointer_to};
use crate::rules::{self, Kind, real_day, within_years};
use crate::status::{Event, Status, allowed_statuses};
use serde_json::Value;
use std::collections::HashSet;

/// As many problems are told of one record; more would not be read.
const MAX_PROBLEMS: usize = 100;

impl RecordType {
    /// Everything that is wrong with, or worth saying about, the content of a processed payload. `event` is the one it
    /// is judged by (see [`super::effective_event`]): of one that takes away, only the record's own claims can refuse
    /// it, all else becomes a warning.
    #[must_use]
    pub fn check_content(&self, payload: &Value, event: Event) -> Vec<Problem> {
        let mut problems = self.schema_problems(payload);
        problems.extend(self.event_problems(payload));
        problems.extend(self.validity_problems(payload));
        problems.extend(self.holder_problems(payload));
        problems.extend(self.identifier_problems(payload));
        problems.extend(self.rule_problems(payload));
        if event.takes_away() {
            for problem in problems.iter_mut().filter(|problem| !is_claim_of_record(&problem.pointer)) {
                problem.warning = true;
            }
        }
        let mut told = HashSet::new();
        problems.retain(|problem| {
            let rule = problem.rule.clone().filter(|_| problem.reason == Reason::RuleBroken || problem.warning);
            told.insert((problem.pointer.clone(), problem.reason, rule))
        });
        // Refusals first, so that no flood of warnings pushes one out.
        problems.sort_by_key(|problem| problem.warning);
        problems.truncate(MAX_PROBLEMS);
        problems
    }

    /// What the JSON Schema alone finds.
    #[must_use]
    pub fn schema_problems(&self, payload: &Value) -> Vec<Problem> {
        // To say yes costs a fraction of looking for every error.
        if self.validator.is_valid(payload) {
            return Vec::new();
        }
        self.validator.iter_errors(payload).flat_map(|error| self.worded(&error)).take(MAX_PROBLEMS).collect()
    }

    fn event_problems(&self, payload: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        let event: Option<Event> = text(payload, "/event").and_then(|event| event.parse().ok());
        let status: Option<Status> = text(payload, "/record/status").and_then(|status| status.parse().ok());
        let Some(event) = event else { return problems };
        if !self.definition.events.contains(&event) {
            problems.push(Problem::new("/event", Reason::EventNotAllowed));
        }
        if let Some(status) = status.filter(|status| !allowed_statuses(event).contains(status)) {
            problems.push(Problem::detailed(
                "/record/status",
                Reason::StatusEventMismatch,
                &format!("事件 {event} 不会得到状态 {status}"),
                &format!("the event {event} never results in the status {status}"),
            ));
        }
        problems
    }

    fn validity_problems(&self, payload: &Value) -> Vec<Problem> {
        const FROM: &str = "/record/valid_from";
        const UNTIL: &str = "/record/valid_until";
        let validity = &self.definition.validity;
        let mut problems = Vec::new();
        for (pointer, required) in
            [(FROM, validity.rule != ValidityRule::None), (UNTIL, validity.rule == ValidityRule::Dated)]
        {
            match payload.pointer(pointer) {
                None if required => problems.push(self.missing(pointer)),
                Some(Value::String(day)) => problems.extend(self.date_problem(pointer, day)),
                _ => {}
            }
        }
        let day = |pointer| text(payload, pointer).and_then(real_day);
        if let (Some(from), Some(until)) = (day(FROM), day(UNTIL)) {
            if from > until && !self.has_own_order_of_validity() {
                let (zh, en) =
                    ("有效期截止日早于起始日；请核对有效期", "the validity ends before it begins; check its two days");
                problems.push(Problem::worded(FROM, Reason::RuleBroken, zh, en).under_rule("validity-in-order"));
            }
            if let Some(years) = validity.max_years.filter(|years| !within_years(from, until, *years)) {
                problems.push(Problem::detailed(
                    UNTIL,
                    Reason::ValidityTooLong,
                    &format!("有效期超过 {years} 年"),
                    &format!("the validity is longer than {years} years"),
                ));
            }
        }
        problems
    }

    /// Whether one of the type's own rules already asks that the validity is in order.
    fn has_own_order_of_validity(&self) -> bool {
        self.definition.rules.iter().any(|rule| {
            matches!(&rule.kind, Kind::DateOrder { first, last }
                if first == "/record/valid_from" && last == "/record/valid_until")
        })
    }

    fn date_problem(&self, pointer: &str, day: &str) -> Option<Problem> {
        if real_day(day).is_some() {
            return None;
        }
        let (zh, en) = self.label(pointer);
        let in_shape = day.len() == 10
            && day.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
        Some(if in_shape {
            Problem::detailed(
                pointer,
                Reason::ImpossibleDate,
                &format!("{zh}不是存在的日期"),
                &format!("{en} is no date that exists"),
            )
        } else {
            let (zh, en) = (format!("{zh}应写成 YYYY-MM-DD"), format!("{en} is to be written YYYY-MM-DD"));
            Problem::detailed(pointer, Reason::WrongPattern, &zh, &en)
        })
    }

    fn holder_problems(&self, payload: &Value) -> Vec<Problem> {
        let Some(holders) = payload.get("holders").and_then(Value::as_array) else { return Vec::new() };
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        for (place, holder) in holders.iter().enumerate() {
            let pointer = format!("/holders/{place}");
            let text = |key: &str| holder.get(key).and_then(Value::as_str);
            let (Some(role), Some(Ok(scheme))) = (text("role"), text("scheme").map(str::parse::<Scheme>)) else {
                continue;
            };
            let rule = self.definition.holders.iter().find(|rule| rule.role == role);
            if !rule.is_some_and(|rule| rule.schemes.contains(&scheme)) {
                problems.push(Problem::new(pointer.clone(), Reason::HolderNotAllowed));
            }
            let Some(value) = text("value") else { continue };
            if !seen.insert((role, scheme, normalise_holder(scheme, value))) {
                let (zh, en) = ("同一持证主体重复出现", "a holder stands twice");
                problems.push(Problem::detailed(pointer.clone(), Reason::HolderNotAllowed, zh, en));
            }
            problems.extend(of_checked(&pointer_to(&pointer, "value"), &check_holder(scheme, value, self.tolerance)));
        }
        problems.extend(self.holder_count_problems(holders));
        problems
    }

    fn holder_count_problems(&self, holders: &[Value]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for rule in &self.definition.holders {
            let role = rule.role.as_str();
            let count =
                holders.iter().filter(|holder| holder.get("role").and_then(Value::as_str) == Some(role)).count();
            if count < rule.min {
                let (zh, en) =
                    (format!("缺少角色为 {role} 的持证主体"), format!("a holder in the role {role} is missing"));
                problems.push(Problem::detailed("/holders", Reason::HolderMissing, &zh, &en));
            } else if let Some(max) = rule.max.filter(|max| count > *max) {
                let zh = format!("角色 {role} 的持证主体超过 {max} 个");
                let en = format!("there are more than {max} holders in the role {role}");
                problems.push(Problem::detailed("/holders", Reason::HolderNotAllowed, &zh, &en));
            }
        }
        problems
    }

    /// Identifiers and dates in `fields`; of a list, every text in it.
    fn identifier_problems(&self, payload: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, field) in &self.definition.fields {
            let Some(rule) = field.rule else { continue };
            let pointer = pointer_to("/fields", name);
            let one = |pointer: &str, text: &str| match rule {
                FieldRule::Date => self.date_problem(pointer, text),
                FieldRule::Identifier(rule) => of_checked(pointer, &check_with(rule, text, self.tolerance)),
            };
            match payload.pointer(&pointer) {
                Some(Value::String(text)) => problems.extend(one(&pointer, text)),
                Some(Value::Array(items)) => {
                    for (place, item) in items.iter().enumerate() {
                        problems.extend(item.as_str().and_then(|text| one(&format!("{pointer}/{place}"), text)));
                    }
                }
                _ => {}
            }
        }
        problems
    }

    fn rule_problems(&self, payload: &Value) -> Vec<Problem> {
        let context = rules::Context { payload, definition: &self.definition };
        let broken = |rule| rules::broken(rule, &context).map(|pointer| (rule, pointer));
        self.definition
            .rules
            .iter()
            .filter_map(broken)
            .map(|(rule, pointer)| {
                Problem::worded(pointer, Reason::RuleBroken, &rule.message.zh, &rule.message.en).under_rule(&rule.id)
            })
            .collect()
    }
}

fn text<'a>(payload: &'a Value, pointer: &str) -> Option<&'a str> {
    payload.pointer(pointer).and_then(Value::as_str)
}

fn of_checked(pointer: &str, checked: &Checked) -> Option<Problem> {
    let finding = checked.verdict.finding()?;
    let problem = Problem::worded(pointer, Reason::IdentifierWrong, finding.zh, finding.en).under_rule(finding.rule);
    Some(if matches!(checked.verdict, Verdict::Wrong(_)) { problem } else { problem.as_warning() })
}

/// The claims without which a version cannot stand, whatever its event.
fn is_claim_of_record(pointer: &str) -> bool {
    matches!(pointer, "" | "/iss" | "/iat" | "/vct" | "/record" | "/record/id" | "/record/version" | "/record/status")
}
