//! A column read as a field: kind, dictionary, unit, open ends.

use std::collections::BTreeMap;

use super::{
    class::{Class, best_table, closed_value},
    profile::Profile,
};
use crate::mapping::{Kind, Money, Serial, Value};
use weft_record::catalogue::Catalogue;

/// How the column is to be read, and what is to be said of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) value: Value,
    /// Remarks, in Chinese and English.
    pub(super) remarks: Vec<(String, String)>,
    /// Whether what the amounts count in stands nowhere: then they are not to be read.
    pub(super) unit_unknown: bool,
}

pub(super) fn read(class: &Class, title: &str, heading: &str, profile: &Profile, catalogue: &Catalogue) -> Read {
    let mut read = Read { value: Value { column: Some(heading.to_owned()), ..Value::default() }, ..Read::default() };
    match class {
        Class::Date => date(&mut read, profile),
        Class::Closed(values) => closed(&mut read, values, profile, catalogue),
        Class::List(_) => read.value.kind = Kind::List,
        Class::Boolean => read.value.kind = Kind::Boolean,
        Class::Integer => read.value.kind = Kind::Integer,
        Class::Decimal => decimal(&mut read, title, heading, profile),
        _ => {}
    }
    read
}

fn date(read: &mut Read, profile: &Profile) {
    read.value.kind = Kind::Date;
    if profile.serials() > profile.dates() {
        read.value.serial = Some(Serial::From1900);
        read.remarks.push((
            "数字按自 1900 年起的天数读取，请核对".to_owned(),
            "numbers are read as days counted from 1900: compare some".to_owned(),
        ));
    }
    let far: Vec<String> = profile.cells.keys().filter(|cell| cell.starts_with("9999")).cloned().collect();
    if !far.is_empty() {
        read.value.open_end = vec!["9999-12-31".to_owned()];
        read.remarks
            .push(("9999-12-31 作为长期（无截止日）".to_owned(), "9999-12-31 is taken as an open end".to_owned()));
    }
}

fn closed(read: &mut Read, values: &[String], profile: &Profile, catalogue: &Catalogue) {
    let exact = profile.share(&|cell| values.iter().any(|value| value == cell));
    if exact == 1.0 {
        return;
    }
    let dictionary: BTreeMap<String, String> =
        profile.cells.keys().filter_map(|cell| Some((cell.clone(), closed_value(cell, values)?.to_owned()))).collect();
    let own = profile.share(&|cell| dictionary.contains_key(cell));
    let table = best_table(profile, values, catalogue).filter(|(_, share)| *share > own);
    let missing: Vec<&String> = match &table {
        Some((name, _)) => {
            let words = catalogue.code_table(name).map(|table| crate::mapping::table_words(table)).unwrap_or_default();
            let known =
                |cell: &str| words.iter().any(|(word, _)| crate::text::heading(word) == crate::text::heading(cell));
            profile.cells.keys().filter(|cell| !known(cell)).collect()
        }
        None => profile.cells.keys().filter(|cell| !dictionary.contains_key(*cell)).collect(),
    };
    if !missing.is_empty() {
        let list = missing.iter().take(8).map(|cell| shown(cell)).collect::<Vec<_>>().join("、");
        read.remarks.push((format!("对照表尚缺：{list}"), format!("the dictionary lacks: {list}")));
    }
    match table {
        Some((name, _)) => read.value.code_table = Some(name),
        None => read.value.dictionary = dictionary,
    }
}

/// A word as people may be shown it: what is long, or holds a number of somebody, is no word.
fn shown(cell: &str) -> &str {
    let digits = cell.chars().filter(char::is_ascii_digit).count();
    if cell.chars().count() > 16 || digits >= 6 { "****" } else { cell }
}

fn decimal(read: &mut Read, title: &str, heading: &str, profile: &Profile) {
    read.value.kind = Kind::Decimal;
    let unit = |text: &str| {
        let text = crate::text::heading(text);
        if text.contains("亿元") {
            Some(Money::HundredMillion)
        } else if text.contains("万元") {
            Some(Money::TenThousand)
        } else if text.contains("(元") || text.ends_with("元)") || text.contains("元/") {
            Some(Money::Yuan)
        } else {
            None
        }
    };
    // Areas and tonnages have their unit in the field's name, and no conversion.
    let Some(of_field) = unit(title) else {
        read.value.units = ["平方米", "㎡", "m²", "吨", "%"].map(str::to_owned).to_vec();
        return;
    };
    read.value.money = Some(of_field);
    match unit(heading) {
        Some(bare) => read.value.bare = Some(bare).filter(|bare| *bare != of_field),
        None => read.unit_unknown = profile.with_unit() < 0.95,
    }
}
