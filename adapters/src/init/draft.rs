//! The mapping for one record type, put together from what was assigned.

use std::collections::BTreeSet;

use weft_record::{
    catalogue::{FieldRule, HolderRule, RecordType, ValidityRule},
    identifier::Scheme,
    rules::Kind as Rule,
};

use super::{
    assign::{Assigned, Looked, Match, Twins, Why, assign},
    class::Class,
    holders::{self, Found, Numbers},
    propose::{Choice, Proposal, ROWS, Wish},
    status::{Life, life},
    value, words,
};
use crate::mapping::{Holders, Kind, Mapping, Value};

/// A proposal in the making.
pub(super) struct Draft<'a> {
    pub(super) looked: &'a Looked<'a>,
    pub(super) of: &'a RecordType,
    pub(super) wish: &'a Wish,
    pub(super) life: Life,
    pub(super) assigned: Assigned,
    pub(super) mapping: Mapping,
    pub(super) choices: Vec<Choice>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(looked: &'a Looked<'a>, of: &'a RecordType, wish: &'a Wish) -> Self {
        let life = life(looked, of);
        let taken: BTreeSet<usize> = life.columns().collect();
        let mut assigned = assign(looked, of, &taken);
        let known = |field: &String| of.definition.fields.contains_key(field);
        for (field, heading) in wish.fields.iter().filter(|(field, _)| known(field)) {
            let column = heading
                .as_ref()
                .and_then(|heading| looked.table.columns.iter().position(|one| one.heading == *heading));
            assigned.fields.remove(field);
            if let Some(column) = column {
                assigned.fields.insert(field.clone(), Match { column, confidence: 1.0, why: Why::Chosen });
            }
            for twins in &mut assigned.twins {
                twins.fields.retain(|twin| twin != field);
                twins.columns.retain(|twin| Some(twin) != heading.as_ref());
            }
        }
        // What orders versions is used already.
        let order = life.order.as_ref().map(|(_, order, _)| order.column.as_str());
        assigned.twins.iter_mut().for_each(|twins| twins.columns.retain(|column| Some(column.as_str()) != order));
        assigned.twins.retain(|twins| !twins.fields.is_empty() && !twins.columns.is_empty());
        let mapping = Mapping { record_type: of.definition.name.clone(), ..Mapping::default() };
        Self { looked, of, wish, life, assigned, mapping, choices: Vec::new() }
    }

    fn title(&self, field: &str) -> String {
        self.of.definition.fields.get(field).map_or_else(|| field.to_owned(), |known| known.name.zh.clone())
    }

    fn heading(&self, column: usize) -> String {
        self.looked.table.columns[column].heading.clone()
    }

    fn choose(&mut self, field: &str, found: Match, remarks: Vec<(String, String)>) {
        let (title, column) = (self.title(field), Some(self.heading(found.column)));
        let choice =
            Choice { field: field.to_owned(), title, column, confidence: found.confidence, why: found.why, remarks };
        self.choices.push(choice);
    }

    fn constant(&mut self, field: &str, text: String) {
        let title = self.title(field);
        self.mapping.fields.insert(field.to_owned(), Value { constant: Some(text), ..Value::default() });
        let (column, remarks) = (None, Vec::new());
        self.choices.push(Choice {
            field: field.to_owned(),
            title,
            column,
            confidence: 1.0,
            why: Why::Constant,
            remarks,
        });
    }

    pub(super) fn finish(mut self) -> (f64, Proposal) {
        self.fields();
        self.given();
        self.validity();
        self.holders();
        self.life_columns();
        // What a heading says of the validity is said, and no date pair without a heading.
        let said = |column: &String| {
            let validity = self.choices.iter().filter(|choice| choice.field.starts_with("record.valid_"));
            validity.filter(|choice| choice.why != Why::Implied).any(|choice| choice.column.as_ref() == Some(column))
        };
        self.assigned.twins.iter_mut().for_each(|twins| twins.columns.retain(|column| !said(column)));
        self.assigned.twins.retain(|twins| !twins.columns.is_empty());
        let rows = self.looked.table.rows.len().min(ROWS);
        let required = self.of.required_fields();
        let mut missing: Vec<String> =
            required.filter(|name| !self.mapping.fields.contains_key(*name)).map(str::to_owned).collect();
        let rule = self.of.definition.validity.rule;
        if rule == ValidityRule::Dated && self.mapping.valid_until.is_none() {
            missing.push("record.valid_until".to_owned());
        }
        if rule != ValidityRule::None && self.mapping.valid_from.is_none() {
            missing.push("record.valid_from".to_owned());
        }
        let has = |role: &str| self.mapping.holders.iter().any(|holder| holder.role == role);
        let without = self.of.definition.holders.iter().filter(|rule| rule.min > 0 && !has(&rule.role));
        missing.extend(without.map(|rule| format!("holders.{}", rule.role)));
        let score = self.score(missing.len());
        let used: BTreeSet<&String> = self.choices.iter().filter_map(|choice| choice.column.as_ref()).collect();
        let headings = self.looked.table.columns.iter().map(|column| &column.heading);
        let unused = headings.filter(|heading| !used.contains(heading)).cloned().collect();
        let definition = &self.of.definition;
        let proposal = Proposal {
            sample: self.looked.table.name.clone(),
            record_type: definition.name.clone(),
            title: definition.title.zh.clone(),
            department: definition.departments.first().cloned().unwrap_or_default(),
            confidence: 0.0,
            score: 0.0,
            natural_key: definition.natural_key.clone(),
            mapping: self.mapping,
            choices: self.choices,
            twins: self.assigned.twins,
            lookalikes: self.assigned.lookalikes,
            missing,
            unused,
            valid: 0,
            rows,
        };
        (score, proposal)
    }

    /// The fields that have a column.
    fn fields(&mut self) {
        for (name, found) in self.assigned.fields.clone() {
            let field = &self.of.definition.fields[&name];
            let class = Class::of(self.of, &name, field);
            let heading = self.heading(found.column);
            let profile = &self.looked.profiles[found.column];
            let read = value::read(&class, &field.name.zh, &heading, profile, self.looked.catalogue);
            if read.unit_unknown && found.why != Why::Chosen {
                // An amount without a unit is not read: it would be wrong by a factor of ten thousand.
                self.assigned.twins.push(Twins { fields: vec![name], columns: vec![heading] });
                continue;
            }
            self.mapping.fields.insert(name.clone(), read.value);
            self.choose(&name, found, read.remarks);
        }
    }

    /// What the type says itself, what was given, and the number that is the holder's.
    fn given(&mut self) {
        let definition = &self.of.definition;
        let shape = |field: &str| self.of.field_schema(field);
        let only = shape("certificateName").and_then(|shape| shape.get("enum")?.as_array()?.first()?.as_str());
        let name = only.unwrap_or(&definition.title.zh).to_owned();
        let code = definition.type_code.value.clone();
        self.constant("certificateName", name);
        self.constant("certificateTypeCode", code);
        for (field, text) in
            [("issuingAuthorityName", &self.wish.authority), ("issuingAuthorityCode", &self.wish.authority_code)]
        {
            if let Some(text) = text.clone().filter(|_| !self.mapping.fields.contains_key(field)) {
                self.constant(field, text);
            }
        }
        let key = self.of.definition.natural_key.first().cloned().unwrap_or_default();
        let number = "certificateNumber";
        let absent = self.of.definition.fields.contains_key(number) && !self.mapping.fields.contains_key(number);
        if let (true, Some(found)) = (absent, self.assigned.fields.get(&key).copied()) {
            let rule = match self.of.definition.fields[&key].rule {
                Some(FieldRule::Identifier(rule)) => Some(rule.as_str().to_owned()),
                _ => None,
            };
            let value = Value { identifier: rule, ..self.mapping.fields.get(&key).cloned().unwrap_or_default() };
            self.mapping.fields.insert(number.to_owned(), value);
            let remark = ("与主体代码相同".to_owned(), "the same as the number that names the record".to_owned());
            self.choose(number, Match { why: Why::Implied, ..found }, vec![remark]);
        }
    }

    fn validity(&mut self) {
        if self.of.definition.validity.rule == ValidityRule::None {
            return;
        }
        let named = |path: &str| {
            let names = words::names(self.looked.catalogue, &self.of.definition, path);
            let dated = self
                .looked
                .profiles
                .iter()
                .enumerate()
                .filter(|(_, profile)| profile.dates().max(profile.serials()) > 0.8);
            let found = dated.map(|(column, _)| (column, self.looked.named(&names, column)));
            found.filter(|(_, named)| *named >= 0.7).max_by(|a, b| a.1.total_cmp(&b.1))
        };
        let chosen = |path: &str| Some(Match { column: self.chosen(path)?, confidence: 1.0, why: Why::Chosen });
        let said = |path: &str| {
            let found = named(path)?;
            Some(Match { column: found.0, confidence: 0.95 * found.1, why: Why::Heading })
        };
        let implied = |field: &str| self.assigned.fields.get(field).map(|&found| Match { why: Why::Implied, ..found });
        // The term of a business is the validity of its licence; without a first day a certificate holds from its issue.
        let from = chosen("record.valid_from").or_else(|| said("record.valid_from"));
        let from = from.or_else(|| implied("termFrom")).or_else(|| implied("issuedDate"));
        let until = chosen("record.valid_until").or_else(|| said("record.valid_until")).or_else(|| implied("termTo"));
        for (path, found) in [("valid_from", from), ("valid_until", until)] {
            let Some(found) = found else { continue };
            let (heading, profile) = (self.heading(found.column), &self.looked.profiles[found.column]);
            let read = value::read(&Class::Date, "", &heading, profile, self.looked.catalogue);
            let place = if path == "valid_from" { &mut self.mapping.valid_from } else { &mut self.mapping.valid_until };
            *place = Some(read.value);
            self.choose(&format!("record.{path}"), found, read.remarks);
        }
    }

    /// Holders: the numbers that a rule of the type says are theirs, the one field with their kind of number, or the
    /// column whose content is such numbers.
    fn holders(&mut self) {
        for rule in self.of.definition.holders.clone() {
            let by_field = rule.schemes.iter().find_map(|&scheme| Some((self.numbered(&rule.role, scheme)?, scheme)));
            let whole = |field: &String| {
                let column = self.assigned.fields.get(field).map(|found| found.column);
                column.is_some_and(|column| Numbers::of(self.looked.cells(column)).filled >= 0.95)
            };
            // A field that has a number in some rows alone leaves the others without a holder.
            let chosen = self.chosen(&format!("holders.{}", rule.role));
            let by_content = match (&chosen, &by_field) {
                (None, Some((field, _))) if whole(field) => Found::Nothing,
                _ => holders::of(self.looked, self.of, &rule, chosen, &self.used()),
            };
            match (by_content, by_field) {
                (Found::Holder(holder, found), _) => {
                    self.mapping.holders.push(*holder);
                    self.choose(&format!("holders.{}", rule.role), found, Vec::new());
                }
                (_, Some((field, scheme))) => self.holder(&rule, &field, scheme),
                (Found::Open(twins), None) if rule.min > 0 => self.assigned.twins.push(twins),
                _ => {}
            }
        }
    }

    /// The column that somebody chose for something that is no field.
    fn chosen(&self, path: &str) -> Option<usize> {
        let heading = self.wish.fields.get(path)?.as_ref()?;
        self.looked.table.columns.iter().position(|column| column.heading == *heading)
    }

    /// The columns that are fields or say what became of a record.
    pub(super) fn used(&self) -> BTreeSet<usize> {
        self.assigned.fields.values().map(|found| found.column).chain(self.life.columns()).collect()
    }

    /// The holder whose number is that of `field`.
    fn holder(&mut self, rule: &HolderRule, field: &str, scheme: Scheme) {
        let Some(found) = self.assigned.fields.get(field).copied() else { return };
        let value = Value { kind: Kind::Text, ..self.mapping.fields.get(field).cloned().unwrap_or_default() };
        let named = self.of.definition.fields.iter().find(|(_, field)| field.code.as_deref() == Some("CZZT"));
        let single =
            self.of.definition.holders.iter().filter(|other| other.min > 0).count() == 1 || rule.schemes.len() > 1;
        let own = self.mapping.fields.get(&format!("{}Name", rule.role));
        let shared = named.filter(|_| single).and_then(|(name, _)| self.mapping.fields.get(name));
        let name = own.or(shared).cloned();
        self.mapping.holders.push(Holders {
            role: rule.role.clone(),
            scheme: Some(scheme.as_str().to_owned()),
            scheme_from: None,
            value,
            name,
            share: None,
            separators: None,
        });
        self.choose(&format!("holders.{}", rule.role), Match { why: Why::Implied, ..found }, Vec::new());
    }

    /// The mapped field that holds a holder's number of a scheme.
    fn numbered(&self, holder: &str, scheme: Scheme) -> Option<String> {
        let mapped =
            |field: &String| self.assigned.fields.contains_key(field) && self.mapping.fields.contains_key(field);
        let by_rule = self.of.definition.rules.iter().find_map(|rule| match &rule.kind {
            Rule::EqualsHolder { field, scheme: of, role }
                if *of == scheme && role.as_ref().is_none_or(|role| role == holder) =>
            {
                Some(field.clone())
            }
            _ => None,
        });
        if let Some(field) = by_rule {
            return Some(field).filter(mapped);
        }
        let wanted = FieldRule::Identifier(scheme.rule()?);
        let key = self
            .of
            .definition
            .natural_key
            .iter()
            .find(|name| self.of.definition.fields.get(*name).is_some_and(|field| field.rule == Some(wanted)));
        let mut kin = self
            .of
            .definition
            .fields
            .iter()
            .filter(|(name, field)| field.rule == Some(wanted) && *name != "issuingAuthorityCode");
        let alone = match (kin.next(), kin.next()) {
            (Some((name, _)), None) => Some(name),
            _ => None,
        };
        key.or(alone).cloned().filter(mapped)
    }

    fn life_columns(&mut self) {
        let mut chosen = Vec::new();
        if let Some((column, spec, confidence)) = self.life.status.clone() {
            let unread = self.looked.profiles[column].share(&|cell| super::status::word(cell).is_none());
            let mut remarks = Vec::new();
            if unread > 0.0 && spec.code_table.is_none() {
                remarks.push((
                    "有状态用语未收录，请补入对照表".to_owned(),
                    "some words are not in the dictionary: add them".to_owned(),
                ));
            }
            self.mapping.status = Some(spec);
            chosen.push(("record.status", column, confidence, remarks));
        }
        if let Some((column, spec, confidence)) = self.life.event.clone() {
            self.mapping.event = Some(spec);
            chosen.push(("record.event", column, confidence, Vec::new()));
        }
        if let Some((column, spec, confidence)) = self.life.order.clone() {
            self.mapping.order = Some(spec);
            chosen.push(("record.order", column, confidence, Vec::new()));
        }
        for (path, column, confidence, remarks) in chosen {
            self.choose(path, Match { column, confidence, why: Why::Content }, remarks);
        }
    }
}
