//! A whole mapping for a sample, with what speaks for each part of it, and what was left out: for the likeliest record
//! type first.

use std::collections::BTreeMap;

use weft_record::catalogue::{Catalogue, RecordType};

use super::{
    assign::{Looked, Twins, Why},
    draft::Draft,
    sample::Table,
};
use crate::{
    mapping::{Mapper, Mapping},
    report::content_problems,
    source::Row,
};

/// What a person has decided before anything is proposed.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The record type.
    pub record_type: Option<String>,
    /// The issuing authority's name, where no column has it.
    pub authority: Option<String>,
    /// Its unified social credit code.
    pub authority_code: Option<String>,
    /// Field → heading, or nothing to leave it out.
    pub fields: BTreeMap<String, Option<String>>,
    /// Seconds since 1970: what is in the future.
    pub now_second: i64,
}

/// One field and where it comes from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The field, or `record.valid_from`, `record.status`, `holders.licensee` and the like.
    pub field: String,
    /// What people call it.
    pub title: String,
    /// The heading of its column; nothing for a constant.
    pub column: Option<String>,
    /// From 0 to 1.
    pub confidence: f64,
    /// What speaks for it.
    pub why: Why,
    /// What is to be known of it, in Chinese and English.
    pub remarks: Vec<(String, String)>,
}

/// A proposed mapping.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The sample's name.
    pub sample: String,
    /// The record type, and what people call it.
    pub record_type: String,
    /// Its Chinese name.
    pub title: String,
    /// The kind of department that has it.
    pub department: String,
    /// How sure the record type is, from 0 to 1.
    pub confidence: f64,
    /// What speaks for it, to be compared with that of another type or table alone.
    pub score: f64,
    /// The fields that make a record what it is.
    pub natural_key: Vec<String>,
    /// The mapping as far as it is decided.
    pub mapping: Mapping,
    /// What speaks for each part.
    pub choices: Vec<Choice>,
    /// What cannot be told apart, and was left out.
    pub twins: Vec<Twins>,
    /// Columns that look like an identifier and are none: heading, rule, which part of the cells is wrong.
    pub lookalikes: Vec<(String, String, f64)>,
    /// Fields that a record must have and that nothing was found for.
    pub missing: Vec<String>,
    /// Columns that were not used.
    pub unused: Vec<String>,
    /// Of the rows looked at, how many become records that the hub's door would take.
    pub valid: usize,
    /// The rows looked at.
    pub rows: usize,
}

/// Record types that are tried out on the sample.
const TRIED: usize = 3;
/// Rows that are tried out.
pub(super) const ROWS: usize = 200;

/// Proposes a mapping for each record type that the sample may hold, the likeliest first.
#[must_use]
pub fn propose(table: &Table, catalogue: &Catalogue, wish: &Wish) -> Vec<Proposal> {
    let looked = Looked::at(table, catalogue);
    let wanted =
        |of: &&std::sync::Arc<RecordType>| wish.record_type.as_ref().is_none_or(|name| *name == of.definition.name);
    let types = catalogue.record_types().filter(wanted);
    let mut proposals: Vec<(f64, Proposal)> = types.map(|of| Draft::new(&looked, of, wish).finish()).collect();
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    // The likeliest are tried out: rows that become records say more than anything else.
    for (score, proposal) in proposals.iter_mut().take(TRIED).filter(|(score, _)| *score > 0.0) {
        proposal.valid = try_out(&looked, proposal, wish.now_second);
        *score += 3.0 * proposal.valid as f64 / proposal.rows.max(1) as f64;
    }
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    let next = proposals.get(1).map_or(0.0, |next| next.0);
    let mut proposals: Vec<Proposal> = proposals
        .into_iter()
        .filter(|(score, _)| *score > 0.0 || wish.record_type.is_some())
        .map(|(score, mut proposal)| {
            let ahead = if score > 0.0 { ((score - next) / score).clamp(0.0, 1.0) } else { 0.0 };
            proposal.score = score;
            proposal.confidence = if wish.record_type.is_some() { 1.0 } else { 0.5 + 0.5 * (ahead * 3.0).min(1.0) };
            proposal
        })
        .collect();
    for other in proposals.iter_mut().skip(1) {
        other.confidence = 0.0;
    }
    proposals
}

/// The mapping at work on the sample: how many rows the hub's door would take.
fn try_out(looked: &Looked<'_>, proposal: &Proposal, now_second: i64) -> usize {
    let of = looked.catalogue.record_type(&proposal.record_type);
    let (Some(of), Ok(mapper)) = (of, Mapper::new(&proposal.mapping, looked.catalogue)) else { return 0 };
    let place = |wanted: &String| looked.table.columns.iter().position(|column| column.heading == *wanted);
    let at: Vec<Option<usize>> = mapper.columns().iter().map(place).collect();
    let taken = |(index, row): (usize, &Vec<String>)| {
        let cells = at.iter().map(|&at| at.and_then(|at| row.get(at)).cloned().unwrap_or_default()).collect();
        let row = Row { line: index as u64 + 1, cells };
        mapper
            .map(&row)
            .is_ok_and(|mapped| content_problems(of, &mapped, now_second).iter().all(|problem| problem.note))
    };
    looked.table.rows.iter().take(proposal.rows).enumerate().filter(|row| taken(*row)).count()
}
