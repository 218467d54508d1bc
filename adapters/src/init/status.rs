//! The columns that say status and event, and that order versions.

use std::collections::{BTreeMap, HashMap};

use weft_record::{
    catalogue::RecordType,
    status::{Event, Status},
};

use super::{assign::Looked, profile::Profile, words};
use crate::{
    mapping::{EventColumn, Order, OrderKind, StatusColumn, table_words},
    text,
};

/// What words for a status begin with or hold, the telling ones first: 吊销，未注销 is revoked.
const WORDS: [(&str, Status); 26] = [
    ("吊销", Status::Revoked),
    ("撤销", Status::Rescinded),
    ("迁出", Status::Transferred),
    ("转出", Status::Transferred),
    ("注销", Status::Cancelled),
    ("作废", Status::Cancelled),
    ("终止", Status::Cancelled),
    ("历史", Status::Cancelled),
    ("查封", Status::Frozen),
    ("冻结", Status::Frozen),
    ("暂扣", Status::Suspended),
    ("暂停", Status::Suspended),
    ("中止", Status::Suspended),
    ("停业整顿", Status::Suspended),
    ("存续", Status::Valid),
    ("在业", Status::Valid),
    ("在营", Status::Valid),
    ("开业", Status::Valid),
    ("在册", Status::Valid),
    ("正常", Status::Valid),
    ("有效", Status::Valid),
    ("现势", Status::Valid),
    ("有照", Status::Valid),
    ("迁入", Status::Valid),
    ("过期", Status::Valid),
    ("失效", Status::Valid),
];

/// The status that a word says.
pub(super) fn word(cell: &str) -> Option<Status> {
    let cell = text::heading(cell);
    let short = cell.chars().count() <= 16;
    // 无效 and 非正常 hold words that they deny.
    if !short || cell.starts_with(['无', '非', '不']) {
        return None;
    }
    WORDS.iter().find(|(word, _)| cell.contains(word)).map(|(_, status)| *status)
}

/// What was found, each with its column.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) status: Option<(usize, StatusColumn, f64)>,
    pub(super) event: Option<(usize, EventColumn, f64)>,
    pub(super) order: Option<(usize, Order, f64)>,
}

impl Life {
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        let status = self.status.iter().map(|found| found.0);
        status.chain(self.event.iter().map(|found| found.0))
    }
}

pub(super) fn life(looked: &Looked<'_>, record_type: &RecordType) -> Life {
    let mut life = Life { status: status(looked, record_type), ..Life::default() };
    let taken = life.status.as_ref().map(|found| found.0);
    life.event = event(looked, record_type, taken);
    life.order = order(looked, record_type);
    life
}

fn best<T>(found: impl Iterator<Item = (usize, T, f64)>) -> Option<(usize, T, f64)> {
    found.max_by(|a, b| a.2.total_cmp(&b.2))
}

fn status(looked: &Looked<'_>, record_type: &RecordType) -> Option<(usize, StatusColumn, f64)> {
    let names = words::names(looked.catalogue, &record_type.definition, "record.status");
    let found = looked.profiles.iter().enumerate().filter_map(|(at, profile)| {
        let named = looked.named(&names, at);
        // A status repeats: a column of many different texts that hold such words is none.
        let few = profile.cells.len() <= 30 && (profile.filled < 8 || profile.variety() <= 0.5);
        let said = if few { profile.share(&|cell| word(cell).is_some()) } else { 0.0 };
        let column = looked.table.columns[at].heading.clone();
        if said >= 0.8 {
            let statuses: BTreeMap<String, Status> =
                profile.cells.keys().filter_map(|cell| Some((cell.clone(), word(cell)?))).collect();
            let spec = StatusColumn { column, statuses, ..StatusColumn::default() };
            return Some((at, spec, (0.75 * said + 0.22 * named).min(0.97)));
        }
        // Codes say nothing by themselves: the heading must.
        let table = if named >= 0.7 { table(looked, profile) } else { None }?;
        let spec = StatusColumn { column, code_table: Some(table.0), ..StatusColumn::default() };
        Some((at, spec, 0.9 * table.1 * named))
    });
    best(found.filter(|(_, _, confidence)| *confidence >= 0.6))
}

/// The code table of statuses that has the codes of a column.
fn table(looked: &Looked<'_>, profile: &Profile) -> Option<(String, f64)> {
    let tables = looked.catalogue.code_tables().filter(|table| table.table.starts_with("status-"));
    let share = |words: &[(String, String)]| profile.share(&|cell| words.iter().any(|(word, _)| word == cell));
    let found = tables.map(|table| (table.table.clone(), share(&table_words(table))));
    found.filter(|(_, share)| *share >= 0.9).max_by(|a, b| a.1.total_cmp(&b.1))
}

fn event(looked: &Looked<'_>, record_type: &RecordType, taken: Option<usize>) -> Option<(usize, EventColumn, f64)> {
    let names = words::names(looked.catalogue, &record_type.definition, "record.event");
    let table = looked.catalogue.code_table("events-words")?;
    let known: HashMap<String, Event> = table_words(table)
        .into_iter()
        .filter_map(|(word, event)| Some((text::heading(&word), event.parse().ok()?)))
        .collect();
    let event_of = |cell: &str| known.get(&text::heading(cell)).copied();
    let found =
        looked.profiles.iter().enumerate().filter(|(at, profile)| Some(*at) != taken && profile.repeats()).filter_map(
            |(at, profile)| {
                let said = profile.share(&|cell| event_of(cell).is_some());
                let named = looked.named(&names, at);
                let column = looked.table.columns[at].heading.clone();
                let events: BTreeMap<String, Event> =
                    profile.cells.keys().filter_map(|cell| Some((cell.clone(), event_of(cell)?))).collect();
                let admitted = events.values().all(|event| record_type.definition.events.contains(event));
                let spec = EventColumn { column, events, ..EventColumn::default() };
                (said >= 0.9 && admitted).then_some((at, spec, 0.7 * said + 0.25 * named))
            },
        );
    best(found)
}

/// A column of dates under a heading that says when a row was written.
fn order(looked: &Looked<'_>, record_type: &RecordType) -> Option<(usize, Order, f64)> {
    let names = words::names(looked.catalogue, &record_type.definition, "record.order");
    let found = looked.profiles.iter().enumerate().filter_map(|(at, profile)| {
        let named = looked.named(&names, at);
        let all = profile.dates() > 0.9 && profile.filled * 10 >= looked.table.rows.len() * 9;
        let order = Order { column: looked.table.columns[at].heading.clone(), kind: OrderKind::Date };
        (named >= 0.7 && all).then_some((at, order, 0.9 * named))
    });
    best(found)
}
