//! Which column is which field. Content and headings vote; what neither decides is left open and said.

use std::collections::{BTreeMap, BTreeSet};

use weft_record::catalogue::{Catalogue, Definition, RecordType};

use super::{class::Class, profile::Profile, sample::Table, words};

/// Below this confidence nothing is proposed.
const ENOUGH: f64 = 0.6;

/// Fields and columns that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twins {
    /// The fields, by name.
    pub fields: Vec<String>,
    /// The columns, by heading.
    pub columns: Vec<String>,
}

/// Why a column is taken for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What stands in its cells.
    Content,
    /// Its heading; the cells agree.
    Heading,
    /// What the database says of it; the cells agree.
    Comment,
    /// Both.
    Both,
    /// It is a constant of the type, or was given.
    Constant,
    /// Another field or the type's rules imply it.
    Implied,
    /// Somebody chose it.
    Chosen,
}

/// One column for one field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) column: usize,
    pub(super) confidence: f64,
    pub(super) why: Why,
}

/// What was found for a record type.
#[derive(Clone, Debug, Default)]
pub(super) struct Assigned {
    pub(super) fields: BTreeMap<String, Match>,
    pub(super) twins: Vec<Twins>,
    /// Columns that look like an identifier and have wrong check characters: heading, rule, which part is wrong.
    pub(super) lookalikes: Vec<(String, String, f64)>,
}

struct Candidate {
    field: usize,
    column: usize,
    confidence: f64,
    named: f64,
    by: Why,
    fits: f64,
}

/// A sample, looked at once for all record types.
pub(super) struct Looked<'a> {
    pub(super) table: &'a Table,
    pub(super) profiles: Vec<Profile>,
    pub(super) catalogue: &'a Catalogue,
}

impl<'a> Looked<'a> {
    pub(super) fn at(table: &'a Table, catalogue: &'a Catalogue) -> Self {
        let mut looked = Self { table, profiles: Vec::new(), catalogue };
        looked.profiles = (0..table.columns.len()).map(|index| Profile::of(looked.cells(index))).collect();
        looked
    }

    /// The cells of a column, as they stand.
    pub(super) fn cells(&self, column: usize) -> impl Iterator<Item = &'a str> {
        self.table.rows.iter().map(move |row| row.get(column).map_or("", String::as_str))
    }

    /// How well heading or comment of a column say one of these names.
    pub(super) fn named(&self, names: &[String], column: usize) -> f64 {
        self.said(names, column).0
    }

    /// The same, and whether it is the comment that says it.
    pub(super) fn said(&self, names: &[String], column: usize) -> (f64, Why) {
        let (named, by_comment) = words::of_column(names, &self.table.columns[column]);
        (named, if by_comment { Why::Comment } else { Why::Heading })
    }
}

/// The columns of a sample as fields of a record type.
pub(super) fn assign(looked: &Looked<'_>, record_type: &RecordType, taken: &BTreeSet<usize>) -> Assigned {
    let definition = &record_type.definition;
    // What a type gives by itself is no column's.
    let fields: Vec<(&String, Class)> = definition
        .fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "certificateName" | "certificateTypeCode"))
        .filter(|(name, _)| !repeats_the_key(definition, name))
        .map(|(name, field)| (name, Class::of(record_type, name, field)))
        .collect();
    let mut candidates = Vec::new();
    for (field, (name, class)) in fields.iter().enumerate() {
        let names = words::names(looked.catalogue, definition, name);
        for (column, profile) in looked.profiles.iter().enumerate().filter(|(column, _)| !taken.contains(column)) {
            let (named, by) = looked.said(&names, column);
            let fits = class.fits(profile, named >= 0.7, looked.catalogue) * prior(name, class, profile, definition);
            let confidence = confidence(class, profile, named, fits);
            if confidence > 0.0 {
                candidates.push(Candidate { field, column, confidence, named, by, fits });
            }
        }
    }
    let mut work = Work { fields: &fields, candidates, by_field: BTreeMap::new(), by_column: BTreeMap::new() };
    work.named();
    let mut twins = work.by_content(looked);
    twins.retain(|twins| !twins.fields.is_empty() && !twins.columns.is_empty());
    let fields_found = work.by_field.into_iter().map(|(field, found)| (fields[field].0.clone(), found)).collect();
    Assigned { fields: fields_found, twins, lookalikes: lookalikes(looked, &fields) }
}

/// A certificate number that is the number of its holder: one column serves both.
fn repeats_the_key(definition: &Definition, name: &str) -> bool {
    let rule = |name: &str| definition.fields.get(name).and_then(|field| field.rule);
    let key = &definition.natural_key;
    name == "certificateNumber"
        && rule(name).is_some()
        && !key.iter().any(|key| key == name)
        && key.iter().any(|key| rule(key) == rule(name))
}

/// How likely a column is, apart from the look of one cell: authorities repeat, and what names a record does not.
fn prior(name: &str, class: &Class, profile: &Profile, definition: &Definition) -> f64 {
    let few = profile.filled >= 8 && profile.variety() <= 0.3;
    match class {
        Class::Identifier(_)
            if definition.natural_key.iter().any(|key| key == name) && definition.natural_key.len() == 1 =>
        {
            f64::from(u8::from(profile.filled < 8 || profile.variety() > 0.3))
        }
        Class::Identifier(_) => f64::from(u8::from(!few || profile.cells.len() > 2)),
        _ => 1.0,
    }
}

fn confidence(class: &Class, profile: &Profile, named: f64, fits: f64) -> f64 {
    match class {
        Class::Identifier(rule) => {
            let found = profile.identifier(*rule);
            // What has the grammar and a wrong check character only looks like one, whatever its heading says.
            if found.wrong_check > 0.4 {
                return 0.2 + 0.2 * named;
            }
            // A few digits may count anything: without a check character only a heading tells.
            let few = |cell: &str| cell.len() <= 11 && cell.bytes().all(|byte| byte.is_ascii_digit());
            if found.valid <= found.shaped && named < 0.5 && profile.share(&few) > 0.5 {
                return 0.0;
            }
            let strength = if found.valid > found.shaped { 0.97 } else { 0.8 };
            if fits < 0.5 { 0.4 * fits } else { (strength * fits + 0.15 * named).min(0.99) }
        }
        Class::Closed(_) | Class::List(_) if fits >= 0.8 => (0.75 * fits + 0.22 * named).min(0.97),
        Class::Boolean | Class::Integer | Class::Decimal if named < 0.5 && profile.with_unit() < 0.5 => 0.0,
        _ if fits < 0.5 => 0.0,
        _ if named >= 0.5 => fits * (0.35 + 0.6 * named),
        Class::Text => 0.0,
        _ => 0.55 * fits,
    }
}

struct Work<'a> {
    fields: &'a [(&'a String, Class)],
    candidates: Vec<Candidate>,
    by_field: BTreeMap<usize, Match>,
    by_column: BTreeMap<usize, usize>,
}

impl Work<'_> {
    fn free(&self, candidate: &Candidate) -> bool {
        !self.by_field.contains_key(&candidate.field) && !self.by_column.contains_key(&candidate.column)
    }

    fn take(&mut self, field: usize, found: Match) {
        self.by_field.insert(field, found);
        self.by_column.insert(found.column, field);
    }

    /// What a heading says and the cells do not deny, best first.
    fn named(&mut self) {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.candidates[a], &self.candidates[b]);
            (b.named, b.confidence).partial_cmp(&(a.named, a.confidence)).unwrap_or(std::cmp::Ordering::Equal)
        });
        for index in order {
            let candidate = &self.candidates[index];
            if candidate.named < 0.7 || candidate.confidence < ENOUGH || !self.free(candidate) {
                continue;
            }
            let telling = !matches!(self.fields[candidate.field].1, Class::Text) && candidate.fits >= 0.9;
            let why = if telling && candidate.by == Why::Heading { Why::Both } else { candidate.by };
            let found = Match { column: candidate.column, confidence: candidate.confidence, why };
            self.take(candidate.field, found);
        }
    }

    /// What the cells say: of each kind of content the one field and the one column that are left. More than one of
    /// either are twins.
    fn by_content(&mut self, looked: &Looked<'_>) -> Vec<Twins> {
        let mut twins = Vec::new();
        let mut seen: Vec<&Class> = Vec::new();
        for (_, class) in self.fields.iter().filter(|(_, class)| class.is_common()) {
            if seen.contains(&class) {
                continue;
            }
            seen.push(class);
            let (fields, columns) = self.left(class);
            // One that is left over where its kin was named is a guess: another of that kind may be meant.
            let alone = self.fields.iter().filter(|(_, other)| other == class).count() == 1;
            match (&fields[..], &columns[..]) {
                ([], _) | (_, []) => {}
                (&[field], &[column]) if alone => {
                    let all = self.candidates.iter();
                    let best = all
                        .filter(|one| (one.field, one.column) == (field, column))
                        .map(|one| one.confidence)
                        .fold(0.0, f64::max);
                    // Nothing else it could be: the one of its kind on both sides.
                    let confidence = if best >= ENOUGH { best } else { best + 0.15 };
                    if confidence >= ENOUGH {
                        self.take(field, Match { column, confidence, why: Why::Content });
                    }
                }
                _ => twins.push(Twins {
                    fields: fields.iter().map(|&field| self.fields[field].0.clone()).collect(),
                    columns: columns.iter().map(|&column| looked.table.columns[column].heading.clone()).collect(),
                }),
            }
        }
        twins
    }

    /// The fields of a class and the columns that have it, as far as they are free. A column belongs to the class that
    /// it fits best.
    fn left(&self, class: &Class) -> (Vec<usize>, Vec<usize>) {
        let fits = |one: &&Candidate| self.free(one) && one.fits >= 0.6 && one.confidence >= 0.3;
        let best = |column: usize| {
            let of_column = self.candidates.iter().filter(fits).filter(|one| one.column == column);
            of_column.map(|one| one.confidence).fold(0.0, f64::max)
        };
        let (mut fields, mut columns) = (BTreeSet::new(), BTreeSet::new());
        for one in self.candidates.iter().filter(fits).filter(|one| self.fields[one.field].1 == *class) {
            if one.confidence + 0.01 >= best(one.column) {
                fields.insert(one.field);
                columns.insert(one.column);
            }
        }
        (fields.into_iter().collect(), columns.into_iter().collect())
    }
}

fn lookalikes(looked: &Looked<'_>, fields: &[(&String, Class)]) -> Vec<(String, String, f64)> {
    let mut found = Vec::new();
    for (column, profile) in looked.table.columns.iter().zip(&looked.profiles) {
        let rules =
            fields.iter().filter_map(|(_, class)| if let Class::Identifier(rule) = class { Some(*rule) } else { None });
        for rule in rules.collect::<BTreeSet<_>>() {
            let share = profile.identifier(rule).wrong_check;
            // What is another identifier, and right, only happens to have the grammar of this one.
            if share > 0.4 && !profile.is_identifier() {
                found.push((column.heading.clone(), rule.as_str().to_owned(), share));
            }
        }
    }
    found
}
