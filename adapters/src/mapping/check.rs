//! A declaration against its record type, before a single row is read.

use weft_record::{
    catalogue::{Catalogue, Definition, RecordType, ValidityRule},
    identifier::{self, Scheme},
    status::{self, Event, Status},
};

use super::{Condition, Holders, Kind, Mapping, Value, named, shape};

/// What is wrong with a mapping: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mapping of {record_type}: {at}: {what}")]
pub struct Fault {
    /// The record type.
    pub record_type: String,
    /// The key of the declaration, such as `fields.name`.
    pub at: String,
    /// What is wrong with it.
    pub what: String,
}

struct Faults<'a> {
    record_type: &'a str,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, at: impl Into<String>, what: impl Into<String>) {
        let record_type = self.record_type.to_owned();
        self.found.push(Fault { record_type, at: at.into(), what: what.into() });
    }
}

/// A mapping with its dialects and tables in place of their names, and what is wrong with the names.
pub(super) fn resolved(mapping: &Mapping, catalogue: &Catalogue) -> (Mapping, Vec<Fault>) {
    let (resolved, found) = named::resolve(mapping, catalogue);
    let mut faults = Faults { record_type: &mapping.record_type, found: Vec::new() };
    if catalogue.record_type(&mapping.record_type).is_none() {
        let known: Vec<&str> = catalogue.record_types().map(|of| of.definition.name.as_str()).collect();
        faults.add("record_type", format!("there is no such record type; there are {}", known.join(", ")));
    }
    for (at, what) in found {
        faults.add(at, what);
    }
    (resolved, faults.found)
}

/// All that is wrong with `mapping`; empty when it can be used.
pub(super) fn check(mapping: &Mapping, record_type: &RecordType) -> Vec<Fault> {
    let definition = &record_type.definition;
    let mut faults = Faults { record_type: &mapping.record_type, found: Vec::new() };
    for (name, value) in &mapping.fields {
        let at = format!("fields.{name}");
        origin(&mut faults, &at, value);
        match definition.fields.get(name) {
            None => faults.add(at, "the record type has no such field"),
            Some(field) => {
                for what in shape::faults(field, record_type.field_schema(name), value) {
                    faults.add(at.clone(), what);
                }
            }
        }
    }
    for name in record_type.required_fields().filter(|name| !mapping.fields.contains_key(*name)) {
        faults.add("fields", format!("{name} is required and not mapped"));
    }
    for name in definition.natural_key.iter().filter(|name| !mapping.fields.contains_key(*name)) {
        faults.add("fields", format!("{name} makes the record's identifier and is not mapped"));
    }
    if mapping.order.as_ref().is_some_and(|order| order.column.trim().is_empty()) {
        faults.add("order.column", "is empty");
    }
    if let Some(when) = &mapping.when {
        condition(&mut faults, "when", when);
    }
    if let Some(vanished) = &mapping.vanished {
        if vanished.event.is_some_and(|event| !event.takes_away() || !definition.events.contains(&event)) {
            faults.add("vanished.event", "an event of this record type that takes away, such as cancel or suspend");
        }
        if vanished.limit_percent > 100 {
            faults.add("vanished.limit_percent", "0 to 100");
        }
    }
    validity(&mut faults, mapping, definition);
    status_column(&mut faults, mapping, definition);
    holders(&mut faults, mapping, definition);
    faults.found
}

fn condition(faults: &mut Faults<'_>, at: &str, when: &Condition) {
    if when.column.trim().is_empty() {
        faults.add(at, "the condition names no column");
    }
    if when.is.is_empty() == when.is_not.is_empty() {
        faults.add(at, "give exactly one of is, is_not");
    }
}

fn origin(faults: &mut Faults<'_>, at: &str, value: &Value) {
    let columns = !value.columns.is_empty();
    let origins = usize::from(value.column.is_some()) + usize::from(columns) + usize::from(value.constant.is_some());
    if origins != 1 {
        faults.add(at, "give exactly one of column, columns, constant");
    }
    if value.column.iter().chain(&value.columns).any(|heading| heading.trim().is_empty()) {
        faults.add(at, "a heading is empty");
    }
    if value.otherwise.is_some() && value.dictionary.is_empty() {
        faults.add(at, "otherwise needs a dictionary");
    }
    if let Some(when) = &value.when {
        condition(faults, at, when);
    }
    if value.money.is_some() && (value.shift != 0 || !value.units.is_empty()) {
        faults.add(at, "money reads the units itself: leave out shift and units");
    }
    if value.bare.is_some() && value.money.is_none() {
        faults.add(at, "bare goes with money");
    }
    if value.identifier.as_ref().is_some_and(|rule| rule.parse::<identifier::Rule>().is_err()) {
        faults.add(at, "identifier: there is no such rule");
    }
    if value.shift > 12 {
        faults.add(at, "shift is at most 12");
    }
    for (given, name, kind) in [
        (!value.open_end.is_empty(), "open_end", Kind::Date),
        (value.serial.is_some(), "serial", Kind::Date),
        (value.money.is_some(), "money", Kind::Decimal),
        (!value.units.is_empty(), "units", Kind::Decimal),
        (value.shift != 0, "shift", Kind::Decimal),
        (value.separators.is_some(), "separators", Kind::List),
        (!value.yes.is_empty(), "yes", Kind::Boolean),
        (!value.no.is_empty(), "no", Kind::Boolean),
    ] {
        if given && value.kind != kind {
            faults.add(at, format!("{name} is for another kind of value"));
        }
    }
}

fn validity(faults: &mut Faults<'_>, mapping: &Mapping, definition: &Definition) {
    for (at, value) in [("valid_from", &mapping.valid_from), ("valid_until", &mapping.valid_until)] {
        let Some(value) = value else { continue };
        origin(faults, at, value);
        if value.kind != Kind::Date {
            faults.add(at, "validity is a date: kind = \"date\"");
        }
    }
    match definition.validity.rule {
        ValidityRule::Dated if mapping.valid_from.is_none() || mapping.valid_until.is_none() => {
            faults.add("valid_until", "this record type needs both ends of validity");
        }
        ValidityRule::None if mapping.valid_until.is_some() => {
            faults.add("valid_until", "this record type has no end of validity");
        }
        _ => {}
    }
}

fn status_column(faults: &mut Faults<'_>, mapping: &Mapping, definition: &Definition) {
    let mut used: Vec<Event> = vec![Event::Issue];
    if let Some(column) = &mapping.status {
        if column.column.trim().is_empty() {
            faults.add("status.column", "is empty");
        }
        if column.statuses.is_empty() == column.events.is_empty() {
            faults.add("status", "give exactly one of statuses, events");
        }
        let known = |word: &String| column.statuses.contains_key(word) || column.events.contains_key(word);
        if column.empty.as_ref().is_some_and(|word| !known(word)) {
            faults.add("status.empty", "is not in the dictionary");
        }
        // A shared table may know more than the type has: a row that has it is told.
        if column.code_table.is_none() && column.dialect.is_none() {
            used.extend(column.events.values());
            used.extend(column.statuses.values().filter_map(|&status| leading_to(status)));
        }
    }
    if let Some(column) = &mapping.event {
        if column.column.trim().is_empty() {
            faults.add("event.column", "is empty");
        }
        if column.events.is_empty() {
            faults.add("event", "give events, or a code_table of them");
        }
        used.extend(column.events.values().filter(|_| column.code_table.is_none()));
    }
    for event in used.iter().filter(|event| !definition.events.contains(event)) {
        faults.add("status", format!("this record type has no event {event}"));
    }
}

/// The event that leads to a status, not one that a record of that status may also have.
fn leading_to(status: Status) -> Option<Event> {
    let leads = |event: &Event| event.takes_away() || *event == Event::TransferOut;
    let to = |event: &Event| status::allowed_statuses(*event).first() == Some(&status);
    Event::ALL.into_iter().find(|event| status != Status::Valid && leads(event) && to(event))
}

fn holders(faults: &mut Faults<'_>, mapping: &Mapping, definition: &Definition) {
    for (index, holder) in mapping.holders.iter().enumerate() {
        let at = format!("holders[{index}]");
        let optional = [&holder.name, &holder.share, &holder.scheme_from];
        for value in std::iter::once(&holder.value).chain(optional.into_iter().flatten()) {
            origin(faults, &at, value);
        }
        let Some(rule) = definition.holders.iter().find(|rule| rule.role == holder.role) else {
            faults.add(at, format!("the record type has no holder {}", holder.role));
            continue;
        };
        for scheme in schemes(holder) {
            match scheme.parse::<Scheme>() {
                Ok(known) if rule.schemes.contains(&known) => {}
                _ => faults.add(&at, format!("a holder {} is not named by {scheme}", holder.role)),
            }
        }
        if holder.scheme.is_some() == holder.scheme_from.is_some() {
            faults.add(&at, "give exactly one of scheme, scheme_from");
        }
        if holder.separators.is_none() && rule.max == Some(0) {
            faults.add(&at, "no such holder is admitted");
        }
    }
    for rule in definition.holders.iter().filter(|rule| rule.min > 0) {
        if !mapping.holders.iter().any(|holder| holder.role == rule.role) {
            faults.add("holders", format!("the record type needs a holder {}", rule.role));
        }
    }
}

fn schemes(holder: &Holders) -> Vec<&str> {
    let fixed = holder.scheme.iter().map(String::as_str);
    // A shared table may know more kinds than the type admits: a row that has one is told by the hub's door.
    let own = holder.scheme_from.iter().filter(|value| value.dialect.is_none() && value.code_table.is_none());
    let from = own.flat_map(|value| value.dictionary.values().map(String::as_str));
    fixed.chain(from).collect()
}
