//! What kind of content a field has, and how well a column has it.

use std::collections::HashSet;

use serde_json::Value as Json;
use weft_record::{
    catalogue::{Catalogue, CodeTable, Field, FieldRule, RecordType},
    identifier::Rule,
};

use super::profile::Profile;
use crate::text;

/// What stands in a field, as far as its definition says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Class {
    /// A number with a rule of its own.
    Identifier(Rule),
    /// The code of the issuing authority: the same in many rows.
    AuthorityCode,
    /// A day.
    Date,
    /// One of a closed list.
    Closed(Vec<String>),
    /// Several of a closed list, or of any texts.
    List(Vec<String>),
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer,
    /// An amount or area.
    Decimal,
    /// The name of a person.
    Person,
    /// The name of the issuing or another authority.
    Authority,
    /// The name of an organisation.
    Organisation,
    /// Where something is.
    Address,
    /// A long text.
    Long,
    /// A text that nothing but its heading tells.
    Text,
}

impl Class {
    pub(super) fn of(record_type: &RecordType, name: &str, field: &Field) -> Self {
        match field.rule {
            Some(FieldRule::Identifier(_)) if name == "issuingAuthorityCode" => return Self::AuthorityCode,
            Some(FieldRule::Date) => return Self::Date,
            Some(FieldRule::Identifier(rule)) => return Self::Identifier(rule),
            None => {}
        }
        let shape = record_type.field_schema(name);
        let closed = |shape: &Json| -> Vec<String> {
            let values = shape.get("enum").and_then(Json::as_array).into_iter().flatten();
            values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let kind = shape.and_then(|shape| shape.get("type")).and_then(Json::as_str);
        match (kind, shape) {
            (Some("array"), Some(shape)) => return Self::List(shape.get("items").map(closed).unwrap_or_default()),
            (Some("boolean"), _) => return Self::Boolean,
            (Some("integer"), _) => return Self::Integer,
            (_, Some(shape)) if !closed(shape).is_empty() => return Self::Closed(closed(shape)),
            _ => {}
        }
        let pattern = shape.and_then(|shape| shape.get("pattern")).and_then(Json::as_str).unwrap_or_default();
        if pattern.starts_with("^(0|[1-9]") {
            return Self::Decimal;
        }
        let longest = shape.and_then(|shape| shape.get("maxLength")).and_then(Json::as_u64).unwrap_or(0);
        by_name(&field.name.zh, longest)
    }

    /// Whether one column of it cannot be told from another by content alone, so that two are twins.
    pub(super) fn is_common(&self) -> bool {
        !matches!(self, Self::Text)
    }

    /// Which part of a column's cells could stand in the field, from 0 to 1. `named` says that the heading speaks for
    /// it: then any text will do for a text.
    pub(super) fn fits(&self, profile: &Profile, named: bool, tables: &Catalogue) -> f64 {
        if profile.filled == 0 {
            return if named { 0.5 } else { 0.0 };
        }
        let text = |share: f64| match (named, profile.is_coded()) {
            (true, false) => share.max(0.8),
            (true, true) | (false, _) => share,
        };
        match self {
            Self::Identifier(rule) => {
                let found = profile.identifier(*rule);
                found.valid + found.shaped
            }
            Self::AuthorityCode => {
                let repeats = profile.filled < 8 || profile.variety() <= 0.3;
                if repeats { profile.identifier(Rule::Uscc).valid } else { 0.0 }
            }
            Self::Date if named => profile.dates().max(profile.serials()),
            Self::Date => profile.dates(),
            Self::Closed(values) => {
                closed_share(profile, values).max(best_table(profile, values, tables).map_or(0.0, |best| best.1))
            }
            Self::List(values) if values.is_empty() => text(0.0),
            Self::List(values) => list_share(profile, values),
            Self::Boolean => profile.booleans(),
            Self::Integer => profile.integers(),
            Self::Decimal => profile.decimals(),
            Self::Person => text(profile.person()),
            Self::Authority => text(profile.authority()),
            Self::Organisation => text(profile.organisation()),
            Self::Address => text(profile.address()),
            Self::Long => text(profile.long()),
            Self::Text if named && !profile.is_coded() => 1.0,
            Self::Text => {
                if named {
                    0.7
                } else {
                    0.0
                }
            }
        }
    }
}

fn by_name(zh: &str, longest: u64) -> Class {
    let has = |words: &[&str]| words.iter().any(|word| zh.contains(word));
    if has(&["机关", "颁发机构", "管理机构", "主管单位"]) {
        Class::Authority
    } else if has(&["法定代表人", "负责人", "姓名"]) {
        Class::Person
    } else if has(&["住所", "住址", "地址", "场所", "坐落", "位置"]) && !zh.contains("服务处所") {
        Class::Address
    } else if has(&[
        "单位名称",
        "机构名称",
        "业户名称",
        "者名称",
        "建设单位",
        "勘察单位",
        "设计单位",
        "施工单位",
        "监理单位",
    ]) || zh == "名称"
    {
        Class::Organisation
    } else if longest >= 1_000 || has(&["经营范围", "业务范围"]) {
        Class::Long
    } else {
        Class::Text
    }
}

/// The value of a closed list that a cell says: itself, with a remark in brackets, shortened, or with a word before it
/// (普通合伙企业). A word behind it makes something else of it: 有限责任公司分公司 is a branch.
pub(super) fn closed_value<'a>(cell: &str, values: &'a [String]) -> Option<&'a str> {
    let cell = text::heading(cell);
    let plain = cell.split_once('(').map_or(cell.as_str(), |(before, _)| before);
    let said = |test: &dyn Fn(&str) -> bool| {
        let mut found = values.iter().filter(|value| test(&text::heading(value)));
        // Two that fit leave open which is meant.
        found.next().filter(|_| found.next().is_none())
    };
    let long = |text: &str| text.chars().count() >= 3;
    said(&|value| value == cell)
        .or_else(|| said(&|value| value == plain))
        .or_else(|| said(&|value| long(plain) && value.starts_with(plain)))
        .or_else(|| said(&|value| long(value) && plain.ends_with(value)))
        .map(String::as_str)
}

fn closed_share(profile: &Profile, values: &[String]) -> f64 {
    if !profile.repeats() {
        return 0.0;
    }
    profile.share(&|cell| closed_value(cell, values).is_some())
}

fn list_share(profile: &Profile, values: &[String]) -> f64 {
    let values: HashSet<String> = values.iter().map(|value| text::heading(value)).collect();
    profile.share(&|cell| {
        let mut members = crate::mapping::split(cell, "、，,；;").peekable();
        members.peek().is_some() && members.all(|member| values.contains(&text::heading(member)))
    })
}

/// The code table whose words lead into a closed list for most cells: its name, and for which part.
pub(super) fn best_table(profile: &Profile, values: &[String], catalogue: &Catalogue) -> Option<(String, f64)> {
    if !profile.repeats() {
        return None;
    }
    let share = |table: &CodeTable| {
        let words = crate::mapping::table_words(table).into_iter().filter(|(_, to)| values.contains(to));
        let words: HashSet<String> = words.map(|(word, _)| text::heading(&word)).collect();
        if words.is_empty() { 0.0 } else { profile.share(&|cell| words.contains(&text::heading(cell))) }
    };
    // A table of bare numbers would fit any small number.
    let wordy = |table: &CodeTable| {
        profile.has(&|cell| cell.parse::<u64>().is_err()) || table.codes.iter().all(|code| values.contains(&code.code))
    };
    catalogue
        .code_tables()
        .filter(|table| wordy(table))
        .map(|table| (table.table.clone(), share(table)))
        .filter(|(_, share)| *share > 0.0)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
