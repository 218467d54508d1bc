//! The column that grows with every change, if one is seen; without one the whole table is read each time. A wrong one
//! would lose changes, so what only might be one is none.

use super::{propose::Proposal, sample::Column, sample::Table, words};
use crate::{mapping, source::table::MarkKind, text};

/// What columns are called in which a system writes when a row was changed.
const CHANGED: [&str; 26] = [
    "更新时间",
    "修改时间",
    "最后更新时间",
    "最后修改时间",
    "最近更新时间",
    "变更时间",
    "更新日期",
    "修改日期",
    "数据更新时间",
    "gxsj",
    "xgsj",
    "zhgxsj",
    "zhxgsj",
    "bgsj",
    "update_time",
    "updated_at",
    "last_update",
    "last_updated",
    "last_modified",
    "modified_at",
    "modify_time",
    "gmt_modified",
    "changed_at",
    "change_time",
    "last_change",
    "last_upd_time",
];
/// What columns are called in which a number is drawn at every change.
const VERSION: [&str; 10] = [
    "row_version",
    "rowversion",
    "version_no",
    "change_seq",
    "change_no",
    "ora_rowscn",
    "变更序号",
    "更新序号",
    "行版本",
    "版本号",
];
/// What columns are called that are written once.
const CREATED: [&str; 14] = [
    "创建", "录入", "入库", "登记", "新增", "受理", "发证", "create", "insert", "cjsj", "lrsj", "rksj", "issue",
    "birth",
];

/// A column that grows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grows {
    pub(super) column: String,
    pub(super) kind: MarkKind,
    pub(super) confidence: f64,
    /// What speaks for it, in Chinese and English.
    pub(super) why: (&'static str, &'static str),
}

pub(super) fn of(table: &Table, proposal: &Proposal) -> Option<Grows> {
    let grows = table.columns.iter().enumerate().filter_map(|(at, column)| one(table, proposal, at, column));
    grows.max_by(|a, b| a.confidence.total_cmp(&b.confidence))
}

/// The columns that tell rows of one moment apart: the primary key, else the number that makes a record what it is.
pub(super) fn key(table: &Table, proposal: &Proposal) -> Vec<String> {
    let primary: Vec<String> =
        table.columns.iter().filter(|column| column.key).map(|column| column.heading.clone()).collect();
    if !primary.is_empty() {
        return primary;
    }
    let column = |field: &String| proposal.mapping.fields.get(field)?.column.clone();
    let mut natural: Vec<String> = proposal.natural_key.iter().filter_map(column).collect();
    natural.dedup();
    natural
}

fn one(table: &Table, proposal: &Proposal, at: usize, column: &Column) -> Option<Grows> {
    let kind = column.mark?;
    let cells: Vec<&str> = table
        .rows
        .iter()
        .filter_map(|row| row.get(at))
        .map(|cell| text::trim(cell))
        .filter(|cell| !cell.is_empty())
        .collect();
    let form: fn(&str) -> bool = match kind {
        MarkKind::Timestamp => |cell| is_iso(cell) && mapping::parse_day(cell, None).is_ok(),
        MarkKind::Number => |cell| cell.parse::<f64>().is_ok(),
    };
    // Rows without it would be read again at every look.
    if cells.len() < table.rows.len() || cells.is_empty() || !cells.iter().all(|cell| form(cell)) {
        return None;
    }
    let names: &[&str] = if kind == MarkKind::Timestamp { &CHANGED } else { &VERSION };
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let named = words::of_column(&names, column).0;
    let grows = |confidence, why| Some(Grows { column: column.heading.clone(), kind, confidence, why });
    match (named >= 0.7, column.indexed) {
        (true, true) => grows(0.97 * named, ("有索引，名称或注释即修改时间", "indexed, and called so")),
        (true, false) => grows(
            0.9 * named,
            ("名称或注释即修改时间，但无索引，请管理员加索引", "called so, but without an index: ask for one"),
        ),
        (false, true) if kind == MarkKind::Timestamp && looks_changed(table, proposal, at, column) => grows(
            0.65,
            (
                "有索引且晚于其他日期，请确认每次修改都会更新它",
                "indexed and after all other dates: make sure that every change sets it",
            ),
        ),
        _ => None,
    }
}

fn is_iso(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-'
}

/// Whether a time looks like that of a change though nothing calls it so: to the second, used for nothing else, not
/// said to be written once, and never before another day of its row.
fn looks_changed(table: &Table, proposal: &Proposal, at: usize, column: &Column) -> bool {
    let said = format!("{} {}", column.heading, column.comment.as_deref().unwrap_or_default()).to_lowercase();
    let used = proposal.choices.iter().any(|choice| choice.column.as_ref() == Some(&column.heading));
    if used || CREATED.iter().any(|word| said.contains(word)) {
        return false;
    }
    let to_the_second = |cell: &str| cell.get(11..19).is_some_and(|time| time != "00:00:00");
    let dates: Vec<usize> = proposal
        .choices
        .iter()
        .filter_map(|choice| {
            let dated = matches!(choice.field.as_str(), "issuedDate" | "record.valid_from" | "established");
            table.columns.iter().position(|one| dated && Some(&one.heading) == choice.column.as_ref())
        })
        .collect();
    let day = |cell: &str| mapping::parse_day(cell, None).ok();
    let after = |row: &Vec<String>| {
        dates
            .iter()
            .all(|&other| day(&row[other]).is_none_or(|other| day(&row[at]).is_some_and(|changed| changed >= other)))
    };
    let timed = table.rows.iter().filter(|row| to_the_second(text::trim(&row[at]))).count();
    !dates.is_empty() && timed * 2 > table.rows.len() && table.rows.iter().all(after)
}
