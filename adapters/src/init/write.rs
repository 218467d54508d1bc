//! A proposal as a commented `adapter.toml`.

use std::fmt::Write as _;

use super::assign::Why;
use super::propose::Proposal;
use crate::mapping::{Holders, Kind, Mapping, Value};

/// What the file says beside its sources.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The department's code.
    pub department: String,
    /// The adapter's name.
    pub name: String,
    /// The state directory.
    pub state_dir: String,
    /// The hub's endpoints.
    pub hub: Vec<String>,
}

/// One source: its name, the lines that say where it is, and what was proposed for it.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// Its name.
    pub name: String,
    /// Its kind's table, such as `[source.file]` with its keys.
    pub kind: String,
    /// The proposal.
    pub proposal: Proposal,
}

/// The whole file.
#[must_use]
pub fn write(settings: &Settings, sources: &[SourceText]) -> String {
    let hub: Vec<String> = settings.hub.iter().map(|endpoint| quoted(endpoint)).collect();
    let mut out = format!(
        "# 由 weft adapter init 根据样例生成；每个字段后注明置信度。请核对，再运行 weft adapter check。\n\
         # Made from samples by weft adapter init, with a confidence per field. Look it over, then run weft adapter check.\n\n\
         department = {}\nname = {}\nstate_dir = {}\nhub = [{}]\n",
        quoted(&settings.department),
        quoted(&settings.name),
        quoted(&settings.state_dir),
        hub.join(", ")
    );
    for source in sources {
        one(&mut out, source);
    }
    out
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn one(out: &mut String, source: &SourceText) {
    let (proposal, mapping) = (&source.proposal, &source.proposal.mapping);
    let _ = write!(
        out,
        "\n# ---------------------------------------------------------------- {}\n\
         # 样例 sample: {}；记录类型置信度 confidence of the record type: {}；样例 {} 行中 {} 行可直接归集 of {} rows {} are ready\n\
         [[source]]\nname = {}\n{}\n\n[source.mapping]\nrecord_type = {}\n",
        proposal.title,
        comment(&proposal.sample),
        percent(proposal.confidence),
        proposal.rows,
        proposal.valid,
        proposal.rows,
        proposal.valid,
        quoted(&source.name),
        source.kind,
        quoted(&proposal.record_type),
    );
    let line = |out: &mut String, key: &str, value: String, path: &str| {
        let _ = writeln!(out, "{key} = {value}{}", why(proposal, path));
    };
    if let Some(order) = &mapping.order {
        line(out, "order", format!("{{ column = {} }}", quoted(&order.column)), "record.order");
    }
    for (key, value) in [("valid_from", &mapping.valid_from), ("valid_until", &mapping.valid_until)] {
        if let Some(value) = value {
            line(out, key, inline(value, true), &format!("record.{key}"));
        }
    }
    life(out, proposal, mapping);
    for holder in &mapping.holders {
        holders(out, proposal, holder);
    }
    out.push_str("\n[source.mapping.fields]\n");
    let long = |value: &Value| value.dictionary.len() > 3;
    for (name, value) in mapping.fields.iter().filter(|(_, value)| !long(value)) {
        let _ = writeln!(out, "{name} = {}{}", inline(value, true), why(proposal, name));
    }
    left_out(out, proposal);
    for (name, value) in mapping.fields.iter().filter(|(_, value)| long(value)) {
        let _ = writeln!(out, "\n[source.mapping.fields.{name}]{}", why(proposal, name));
        out.push_str(&members(value).iter().map(|member| format!("{member}\n")).collect::<String>());
        let _ = writeln!(out, "[source.mapping.fields.{name}.dictionary]");
        for (word, meaning) in &value.dictionary {
            let _ = writeln!(out, "{} = {}", quoted_key(word), quoted(meaning));
        }
    }
}

fn life(out: &mut String, proposal: &Proposal, mapping: &Mapping) {
    if let Some(status) = &mapping.status {
        let _ = writeln!(
            out,
            "\n[source.mapping.status]{}\ncolumn = {}",
            why(proposal, "record.status"),
            quoted(&status.column)
        );
        if let Some(table) = &status.code_table {
            let _ = writeln!(out, "code_table = {}", quoted(table));
        }
        if !status.statuses.is_empty() {
            out.push_str("[source.mapping.status.statuses]\n");
            for (word, status) in &status.statuses {
                let _ = writeln!(out, "{} = {}", quoted_key(word), quoted(status.as_str()));
            }
        }
    }
    if let Some(event) = &mapping.event {
        let _ = writeln!(
            out,
            "\n[source.mapping.event]{}\ncolumn = {}",
            why(proposal, "record.event"),
            quoted(&event.column)
        );
        out.push_str("[source.mapping.event.events]\n");
        for (word, event) in &event.events {
            let _ = writeln!(out, "{} = {}", quoted_key(word), quoted(event.as_str()));
        }
    }
}

fn holders(out: &mut String, proposal: &Proposal, holder: &Holders) {
    let path = format!("holders.{}", holder.role);
    let _ = writeln!(out, "\n[[source.mapping.holders]]{}\nrole = {}", why(proposal, &path), quoted(&holder.role));
    if let Some(scheme) = &holder.scheme {
        let _ = writeln!(out, "scheme = {}", quoted(scheme));
    }
    if let Some(from) = &holder.scheme_from {
        let _ = writeln!(out, "scheme_from = {}", inline(from, true));
    }
    let _ = writeln!(out, "value = {}", inline(&holder.value, true));
    if let Some(name) = &holder.name {
        let _ = writeln!(out, "name = {}", inline(name, true));
    }
    if let Some(separators) = &holder.separators {
        let _ = writeln!(out, "separators = {}", quoted(separators));
    }
}

/// What was left out, and why: a person decides it by one line.
fn left_out(out: &mut String, proposal: &Proposal) {
    for (heading, rule, share) in &proposal.lookalikes {
        let _ = writeln!(
            out,
            "# 列 {} 像 {rule}，但 {} 的校验位不符，未采用 · looks like {rule}, but the check character is wrong in so many: left out",
            comment(heading),
            percent(*share)
        );
    }
    for twins in &proposal.twins {
        let columns = twins.columns.iter().map(|column| comment(column)).collect::<Vec<_>>().join("、");
        let _ = writeln!(
            out,
            "# 仅凭内容与列名无法区分，未采用；请在下面选定一列 · content and headings do not tell these apart, so they are left out; choose among: {columns}"
        );
        for field in &twins.fields {
            let _ = writeln!(out, "# {field} = {{ column = \"…\" }}");
        }
    }
    let told = |field: &&String| !proposal.twins.iter().any(|twins| twins.fields.contains(field));
    for field in proposal.missing.iter().filter(told) {
        let line = match (field.strip_prefix("record."), field.strip_prefix("holders.")) {
            (Some(key), _) => format!("[source.mapping] {key} = {{ column = \"…\", kind = \"date\" }}"),
            (_, Some(role)) => format!(
                "[[source.mapping.holders]] role = {}, scheme = \"…\", value = {{ column = \"…\" }}, name = {{ column = \"…\" }}",
                quoted(role)
            ),
            _ => format!("{field} = {{ constant = \"…\" }}"),
        };
        let _ = writeln!(out, "# 必填，样例中未找到，请补上 · required, and nothing was found for it:\n# {line}");
    }
    if !proposal.unused.is_empty() {
        let unused = proposal.unused.iter().map(|column| comment(column)).collect::<Vec<_>>().join("、");
        let _ = writeln!(out, "# 未使用的列 columns that are not used: {unused}");
    }
}

/// A heading in a comment stays on its line.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// What people call it, how sure it is, and by what.
fn why(proposal: &Proposal, path: &str) -> String {
    let Some(choice) = proposal.choices.iter().find(|choice| choice.field == path) else { return String::new() };
    let word = match choice.why {
        Why::Content => "内容 content",
        Why::Heading => "列名 heading",
        Why::Comment => "数据库注释 comment",
        Why::Both => "内容与列名 content and heading",
        Why::Constant => "常量 constant",
        Why::Implied => "推定 implied",
        Why::Chosen => "选定 chosen",
    };
    let title = if choice.title == path { String::new() } else { format!("{} · ", comment(&choice.title)) };
    let remarks = choice.remarks.iter().map(|(zh, en)| format!("；{} · {}", comment(zh), comment(en)));
    format!("  # {title}{} {word}{}", percent(choice.confidence), remarks.collect::<String>())
}

/// A key is always a basic string on one line.
fn quoted_key(word: &str) -> String {
    let escaped: String = word
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if c.is_control() => format!("\\u{:04X}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn inline(value: &Value, with_dictionary: bool) -> String {
    let mut members = members(value);
    if with_dictionary && !value.dictionary.is_empty() {
        let words =
            value.dictionary.iter().map(|(word, meaning)| format!("{} = {}", quoted_key(word), quoted(meaning)));
        members.push(format!("dictionary = {{ {} }}", words.collect::<Vec<_>>().join(", ")));
    }
    format!("{{ {} }}", members.join(", "))
}

/// The members that a proposal can have, without the dictionary.
fn members(value: &Value) -> Vec<String> {
    let list = |texts: &[String]| format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "));
    let mut members = Vec::new();
    let mut add = |key: &str, text: Option<String>| members.extend(text.map(|text| format!("{key} = {text}")));
    add("column", value.column.as_deref().map(quoted));
    add("constant", value.constant.as_deref().map(quoted));
    add("kind", Some(&value.kind).filter(|kind| **kind != Kind::Text).and_then(word));
    add("fold", value.fold.map(|fold| fold.to_string()));
    add("identifier", value.identifier.as_deref().map(quoted));
    add("code_table", value.code_table.as_deref().map(quoted));
    add("open_end", Some(&value.open_end).filter(|texts| !texts.is_empty()).map(|texts| list(texts)));
    add("serial", value.serial.as_ref().and_then(word));
    add("money", value.money.as_ref().and_then(word));
    add("bare", value.bare.as_ref().and_then(word));
    add("units", Some(&value.units).filter(|texts| !texts.is_empty()).map(|texts| list(texts)));
    members
}

/// A word of one of the declaration's enums, as serde writes it: a JSON string is a TOML string too.
pub(super) fn word<T: serde::Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}
