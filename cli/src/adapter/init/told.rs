//! What was proposed, for people and for programs.

use std::path::Path;

use serde_json::{Value, json};
use weft_adapter::init::{Proposal, Settings};

use super::Taken;
use crate::report::{Code, Report, listing};

fn rows(proposal: &Proposal) -> Vec<Value> {
    proposal
        .choices
        .iter()
        .map(|choice| {
            json!({
                "field": choice.field, "title": choice.title, "column": choice.column,
                "confidence": format!("{:.0} %", choice.confidence * 100.0),
                "why": format!("{:?}", choice.why).to_lowercase(),
            })
        })
        .collect()
}

pub(super) fn told(path: &Path, settings: &Settings, sources: &[Taken]) -> Report {
    let mut table = String::new();
    let mut list = Vec::new();
    for source in sources {
        let proposal = &source.proposal;
        let part = source.part.as_deref().filter(|part| *part != proposal.sample);
        let sample = part.map_or_else(|| proposal.sample.clone(), |part| format!("{} [{part}]", proposal.sample));
        table.push_str(&format!(
            "{sample} → {} ({}), {:.0} %\n",
            proposal.title,
            proposal.record_type,
            proposal.confidence * 100.0
        ));
        table.push_str(&listing(&["field", "title", "column", "confidence", "why"], &rows(proposal)));
        for twins in &proposal.twins {
            let (fields, columns) = (twins.fields.join(", "), twins.columns.join("、"));
            table.push_str(&format!("未采用，无法区分 · left out, not told apart: {fields} ← {columns}\n"));
        }
        for (heading, rule, share) in &proposal.lookalikes {
            let share = share * 100.0;
            table.push_str(&format!(
                "未采用，校验位不符 · left out, wrong check characters: {heading} ({rule}, {share:.0} %)\n"
            ));
        }
        for field in &proposal.missing {
            table.push_str(&format!("必填，请补上 · required, add it: {field}\n"));
        }
        if !source.others.is_empty() {
            let others = source.others.iter().take(8).map(|(name, title)| format!("{name} → {title}"));
            let others = others.collect::<Vec<_>>().join("，");
            table.push_str(&format!("同处另有，未采用 · also there, not taken: {others}\n"));
        }
        table.push_str(&format!(
            "{} 行中 {} 行可直接归集 · {} of {} rows are ready\n\n",
            proposal.rows, proposal.valid, proposal.valid, proposal.rows
        ));
        let others: Vec<&String> = source.others.iter().map(|(name, _)| name).collect();
        let twins: Vec<Value> =
            proposal.twins.iter().map(|twins| json!({"fields": twins.fields, "columns": twins.columns})).collect();
        list.push(json!({
            "source": source.name, "sample": proposal.sample, "part": source.part, "others": others, "record_type": proposal.record_type,
            "confidence": proposal.confidence, "fields": rows(proposal), "twins": twins, "missing": proposal.missing,
            "unused": proposal.unused, "rows": proposal.rows, "valid": proposal.valid,
        }));
    }
    let path = path.display().to_string();
    table.push_str(&format!(
        "已写入 · written: {path}\n下一步 · next: weft adapter join --config {path} --token-file FILE; weft adapter check --config {path}; weft adapter run --config {path}\n"
    ));
    let json = json!({"configuration": path, "department": settings.department, "sources": list});
    let complete = sources.iter().all(|source| source.proposal.missing.is_empty());
    Report::both(table, json).with_code(if complete { Code::Done } else { Code::Problems })
}
