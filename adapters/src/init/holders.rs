//! Whom a record is about: the columns whose cells are numbers of people, of organisations, or of either, told by their
//! check digits.

use std::collections::{BTreeMap, BTreeSet};

use weft_record::{
    catalogue::{HolderRule, RecordType},
    identifier::{Rule, Scheme, Verdict, check},
};

use super::assign::{Looked, Match, Twins, Why};
use super::words;
use crate::{
    mapping::{self, Holders, Value},
    text,
};

/// Between the numbers of several holders in one cell.
const SEPARATORS: &str = "、，,；;";
/// Of the filled cells so many must be numbers that keep their rule.
const MOST: f64 = 0.9;

/// What the numbers of a column are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Numbers {
    /// Which part of the filled cells are citizens' numbers.
    pub(super) people: f64,
    /// Which part are unified social credit codes.
    pub(super) organisations: f64,
    /// Cells with more than one.
    pub(super) several: bool,
    /// Which part of the rows has one.
    pub(super) filled: f64,
}

/// The kind of number that a cell holds, of one or several holders.
fn kind(cell: &str) -> Option<Scheme> {
    let folded = text::fold_width(cell);
    let mut kinds = mapping::split(&folded, SEPARATORS).map(|number| {
        let right = |rule| matches!(check(rule, number).verdict, Verdict::Valid | Verdict::ValidWithWarning(_));
        if right(Rule::CitizenId) { Some(Scheme::CitizenId) } else { right(Rule::Uscc).then_some(Scheme::Uscc) }
    });
    let first = kinds.next()??;
    kinds.all(|kind| kind == Some(first)).then_some(first)
}

impl Numbers {
    pub(super) fn of<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        let (mut rows, mut filled, mut people, mut organisations, mut several) = (0_u32, 0_u32, 0_u32, 0_u32, false);
        for cell in cells {
            rows += 1;
            if text::trim(cell).is_empty() {
                continue;
            }
            filled += 1;
            let kind = kind(cell);
            people += u32::from(kind == Some(Scheme::CitizenId));
            organisations += u32::from(kind == Some(Scheme::Uscc));
            several |= kind.is_some() && mapping::split(&text::fold_width(cell), SEPARATORS).nth(1).is_some();
        }
        let part = |count: u32, of: u32| if of == 0 { 0.0 } else { f64::from(count) / f64::from(of) };
        Self {
            people: part(people, filled),
            organisations: part(organisations, filled),
            several,
            filled: part(filled, rows),
        }
    }

    /// Whether the cells are numbers of holders that `rule` admits.
    fn admitted(self, rule: &HolderRule) -> bool {
        let part = |scheme, part: f64| if rule.schemes.contains(&scheme) { part } else { 0.0 };
        part(Scheme::CitizenId, self.people) + part(Scheme::Uscc, self.organisations) >= MOST
    }
}

/// A holder that was found, and what is left to decide.
#[derive(Debug)]
pub(super) enum Found {
    Holder(Box<Holders>, Match),
    /// More than one column may be it, or people and organisations stand in it and nothing says which.
    Open(Twins),
    Nothing,
}

/// The holder of a rule by what stands in the columns that are not `used`, or in the one that was `chosen`.
pub(super) fn of(
    looked: &Looked<'_>,
    of: &RecordType,
    rule: &HolderRule,
    chosen: Option<usize>,
    used: &BTreeSet<usize>,
) -> Found {
    let numbers = |column: usize| Numbers::of(looked.cells(column));
    if let Some(column) = chosen {
        let found = Match { column, confidence: 1.0, why: Why::Chosen };
        return holder(looked, of, rule, (column, numbers(column)), found, used);
    }
    let columns = (0..looked.table.columns.len()).filter(|column| !used.contains(column));
    let admitted: Vec<(usize, Numbers)> =
        columns.map(|column| (column, numbers(column))).filter(|(_, numbers)| numbers.admitted(rule)).collect();
    // The authority's own number stands in every row.
    let several = looked.table.rows.len() >= 8;
    let admitted: Vec<(usize, Numbers)> =
        admitted.into_iter().filter(|(column, _)| !several || looked.profiles[*column].cells.len() > 2).collect();
    let names = names(looked, of, rule, "value");
    let named = |column: usize| looked.said(&names, column);
    let best = admitted.iter().map(|(column, _)| named(*column).0).fold(0.0, f64::max);
    let likely: Vec<&(usize, Numbers)> =
        admitted.iter().filter(|(column, _)| best < 0.7 || named(*column).0 >= best).collect();
    let place = format!("holders.{}", rule.role);
    match likely[..] {
        [] => Found::Nothing,
        // Another role may have the same kind of number: then the heading must say whose it is.
        [(column, numbers)] if best >= 0.7 || alone(of, rule) => {
            let (said, by) = named(*column);
            let confidence = (0.9 * (numbers.people + numbers.organisations).min(1.0) + 0.09 * said).min(0.99);
            let why = if said >= 0.7 && by == Why::Comment {
                Why::Comment
            } else if said >= 0.7 {
                Why::Both
            } else {
                Why::Content
            };
            holder(looked, of, rule, (*column, *numbers), Match { column: *column, confidence, why }, used)
        }
        _ => {
            let columns = likely.iter().map(|(column, _)| looked.table.columns[*column].heading.clone()).collect();
            Found::Open(Twins { fields: vec![place], columns })
        }
    }
}

/// Whether no other role of the type admits the same kinds of number.
fn alone(of: &RecordType, rule: &HolderRule) -> bool {
    let numbered = |scheme: &Scheme| matches!(scheme, Scheme::CitizenId | Scheme::Uscc);
    let others = of.definition.holders.iter().filter(|other| other.role != rule.role);
    !others.flat_map(|other| &other.schemes).any(|scheme| numbered(scheme) && rule.schemes.contains(scheme))
}

/// What a holder's number, name or kind of number is called.
fn names(looked: &Looked<'_>, of: &RecordType, rule: &HolderRule, what: &str) -> Vec<String> {
    let (roles, parts): (&[&str], &[&str]) = (
        match rule.role.as_str() {
            "owner" | "right-holder" => &["权利人", "产权人", "抵押权人"],
            "obligor" => &["义务人", "抵押人"],
            "taxpayer" => &["纳税人", "承受方", "受让方"],
            "insured" => &["参保人", "参保单位", "参保对象"],
            "builder" => &["建设单位", "建设单位(个人)"],
            "operator" | "licensee" => &["业户", "经营者", "持证人", "持证主体", "主体"],
            "husband" => &["男方", "丈夫"],
            "wife" => &["女方", "妻子"],
            "mother" => &["母亲"],
            "father" => &["父亲"],
            "child" => &["新生儿", "子女"],
            _ => &["持证主体"],
        },
        match what {
            "value" => {
                &["证件号", "证件号码", "代码", "身份证号", "公民身份号码", "识别号", "证号", "统一社会信用代码"]
            }
            "name" => &["", "姓名", "名称", "姓名或名称"],
            _ => &["证件类型", "证件种类", "证类", "类型", "类别"],
        },
    );
    let mut names: Vec<String> =
        roles.iter().flat_map(|role| parts.iter().map(move |part| format!("{role}{part}"))).collect();
    names.extend(words::names(looked.catalogue, &of.definition, &format!("holders.{what}")));
    names
}

fn holder(
    looked: &Looked<'_>,
    of: &RecordType,
    rule: &HolderRule,
    (column, numbers): (usize, Numbers),
    found: Match,
    used: &BTreeSet<usize>,
) -> Found {
    let plain =
        |column: usize| Value { column: Some(looked.table.columns[column].heading.clone()), ..Value::default() };
    let (scheme, scheme_from) = match (numbers.people > 0.0, numbers.organisations > 0.0) {
        (true, false) => (Some(Scheme::CitizenId), None),
        (false, _) => (Some(Scheme::Uscc), None),
        (true, true) => {
            let Some((told, words)) = teller(looked, column) else {
                let heading = |column: usize| looked.table.columns[column].heading.clone();
                return Found::Open(Twins {
                    fields: vec![format!("holders.{}", rule.role)],
                    columns: vec![heading(column)],
                });
            };
            (None, Some(Value { dictionary: words, ..plain(told) }))
        }
    };
    Found::Holder(
        Box::new(Holders {
            role: rule.role.clone(),
            scheme: scheme.map(|scheme| scheme.as_str().to_owned()),
            scheme_from,
            value: plain(column),
            name: name(looked, of, rule, numbers, column, used).map(plain),
            share: None,
            separators: Some(SEPARATORS.to_owned()).filter(|_| numbers.several),
        }),
        found,
    )
}

/// The column whose few words say without exception whether a number is a person's or an organisation's, and what each
/// of them says.
fn teller(looked: &Looked<'_>, column: usize) -> Option<(usize, BTreeMap<String, String>)> {
    let rows: Vec<(&Vec<String>, Scheme)> =
        looked.table.rows.iter().filter_map(|row| Some((row, kind(&row[column])?))).collect();
    let told = |at: usize| {
        let profile = &looked.profiles[at];
        // Names are no words for a kind, and nobody's business in a configuration.
        let few = at != column && (2..=8).contains(&profile.cells.len()) && profile.person() < 0.5;
        let mut words: BTreeMap<String, String> = BTreeMap::new();
        for (row, scheme) in rows.iter().filter(|_| few) {
            let word = text::trim(&text::fold_width(&row[at])).to_owned();
            let before = words.insert(word.clone(), scheme.as_str().to_owned());
            if word.is_empty() || before.is_some_and(|before| before != scheme.as_str()) {
                return None;
            }
        }
        (words.len() >= 2).then_some((at, words))
    };
    let found: Vec<_> = (0..looked.table.columns.len()).filter_map(told).collect();
    // The one with the fewest words: it says this and nothing else.
    found.into_iter().min_by_key(|(_, words)| words.len())
}

/// The column with the names of the holders: the one that is called so, or the only one with such names.
fn name(
    looked: &Looked<'_>,
    of: &RecordType,
    rule: &HolderRule,
    numbers: Numbers,
    number: usize,
    used: &BTreeSet<usize>,
) -> Option<usize> {
    let names = names(looked, of, rule, "name");
    let split = |cell: &str, test: &dyn Fn(&str) -> bool| mapping::split(cell, SEPARATORS).all(test);
    let part = |column: usize| {
        let profile = &looked.profiles[column];
        let holds = |cell: &str| {
            let person = split(cell, &super::profile::is_person);
            let organisation = split(cell, &super::profile::is_organisation);
            (numbers.people > 0.0 && person) || (numbers.organisations > 0.0 && organisation)
        };
        if profile.filled == 0 { 0.0 } else { profile.share(&holds) }
    };
    let fit: Vec<usize> =
        (0..looked.table.columns.len()).filter(|&column| column != number && part(column) >= 0.6).collect();
    let called = fit.iter().map(|&column| (column, looked.named(&names, column))).filter(|(_, named)| *named >= 0.7);
    if let Some((column, _)) = called.max_by(|a, b| a.1.total_cmp(&b.1)) {
        return Some(column);
    }
    match fit.iter().filter(|column| !used.contains(column)).collect::<Vec<_>>()[..] {
        [&only] => Some(only),
        _ => None,
    }
}
