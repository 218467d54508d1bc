//! `weft adapter init`: a configuration from samples.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use weft_adapter::{
    clock::{Clock, SystemClock},
    init::{Proposal, Settings, SourceText, Table, Twins, Wish, propose, read, write},
};
use weft_record::catalogue::Catalogue;

use crate::{
    failure::{Failure, chain},
    report::{Code, Report, listing},
};

/// What `init` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Samples: exports as the department's system writes them, each in the folder that is to be watched
    #[arg(required = true, value_name = "SAMPLE")]
    samples: Vec<PathBuf>,
    /// The configuration to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE", default_value = "adapter.toml")]
    to: PathBuf,
    /// The record type of all samples; found by itself without it
    #[arg(long, value_name = "TYPE")]
    record_type: Option<String>,
    /// The department's code at the hub; that of the record type's usual department without it
    #[arg(long, value_name = "CODE")]
    department: Option<String>,
    /// The adapter's name within the department
    #[arg(long, default_value = "main")]
    name: String,
    /// The hub's API endpoints
    #[arg(long, value_name = "URL", default_value = "https://localhost:7443")]
    hub: Vec<String>,
    /// Where identity, keys and spool are kept
    #[arg(long, value_name = "DIR", default_value = "state")]
    state_dir: String,
    /// The issuing authority's name, where no column has it
    #[arg(long, value_name = "NAME")]
    authority: Option<String>,
    /// The issuing authority's unified social credit code, where no column has it
    #[arg(long, value_name = "CODE")]
    authority_code: Option<String>,
    /// Take what is proposed, ask nothing
    #[arg(long)]
    yes: bool,
}

/// Columns offered where somebody is asked.
struct Questions<R, W> {
    input: R,
    output: W,
}

impl InitArgs {
    pub(super) fn run(self) -> Result<Report, Failure> {
        if self.to.exists() {
            let failure =
                Failure::usage("配置文件已存在，未覆盖", "the configuration exists already and is not overwritten");
            return Err(failure.because(self.to.display()));
        }
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "没有终端可提问；请加 --yes 直接采用建议",
                "there is no terminal to ask on; take what is proposed with --yes",
            ));
        }
        let catalogue = Catalogue::builtin()
            .map_err(|error| Failure::usage("目录无法使用", "the catalogue cannot be used").caused_by(&error))?;
        let mut sources: Vec<SourceText> = Vec::new();
        for sample in &self.samples {
            let table = read(sample).map_err(|error| unreadable(sample, &error))?;
            let proposal = self.decide(&table, &catalogue)?;
            let twice = sources.iter().filter(|source| source.proposal.record_type == proposal.record_type).count();
            let name = if twice == 0 {
                proposal.record_type.clone()
            } else {
                format!("{}-{}", proposal.record_type, twice + 1)
            };
            sources.push(SourceText { name, kind: self.kind(sample)?, proposal });
        }
        let department =
            self.department.clone().or_else(|| sources.first().map(|source| source.proposal.department.clone()));
        let settings = Settings {
            department: department.unwrap_or_default(),
            name: self.name.clone(),
            state_dir: self.state_dir.clone(),
            hub: self.hub.clone(),
        };
        save(&self.to, &write(&settings, &sources))?;
        Ok(told(&self.to, &settings, &sources))
    }

    fn decide(&self, table: &Table, catalogue: &Catalogue) -> Result<Proposal, Failure> {
        let mut wish = Wish {
            record_type: self.record_type.clone(),
            authority: self.authority.clone(),
            authority_code: self.authority_code.clone(),
            now_second: SystemClock.now().as_second(),
            ..Wish::default()
        };
        let best = |wish: &Wish| {
            propose(table, catalogue, wish).into_iter().next().ok_or_else(|| {
                Failure::problems(
                    "样例不像任何一种证照；可用 --record-type 指定",
                    "the sample looks like no record type; name one with --record-type",
                )
                .because(&table.name)
            })
        };
        let proposal = best(&wish)?;
        if self.yes {
            return Ok(proposal);
        }
        let mut questions = Questions { input: std::io::stdin().lock(), output: std::io::stderr() };
        questions
            .ask_all(table, &proposal, &mut wish)
            .map_err(|error| Failure::usage("无法提问", "nobody can be asked").caused_by(&error))?;
        best(&wish)
    }

    /// Where the source is: the sample's own folder, and files of names like its.
    fn kind(&self, sample: &Path) -> Result<String, Failure> {
        let whole = std::path::absolute(sample).map_err(|error| unreadable(sample, &error))?;
        let base = std::path::absolute(&self.to).map_err(|error| unreadable(&self.to, &error))?;
        let folder = whole.parent().unwrap_or(Path::new("."));
        let beside = base.parent().and_then(|base| folder.strip_prefix(base).ok());
        let folder = match beside {
            Some(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
            Some(inside) => inside.to_string_lossy().into_owned(),
            None => folder.to_string_lossy().into_owned(),
        };
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = |text: String| toml::Value::String(text).to_string();
        Ok(format!("[source.file]\nfolder = {}\npattern = {}", text(folder), text(pattern(&name))))
    }
}

/// Names like this one: runs of digits differ from export to export.
fn pattern(name: &str) -> String {
    let (stem, end) = name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut out = String::new();
    for c in stem.chars() {
        match c {
            c if c.is_ascii_digit() && out.ends_with('*') => {}
            c if c.is_ascii_digit() => out.push('*'),
            c => out.push(c),
        }
    }
    if !out.contains('*') {
        out.push('*');
    }
    out + &end
}

fn unreadable(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    let failure = Failure::usage("样例无法读取", "the sample cannot be read");
    failure.because(format!("{}: {}", path.display(), chain(error)))
}

/// Written whole or not at all, and never over another.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage("配置无法写入", "the configuration cannot be written")
            .because(format!("{}: {error}", path.display()))
    };
    let mut file = std::fs::File::options().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

impl<R: BufRead, W: Write> Questions<R, W> {
    fn line(&mut self, question: &str) -> std::io::Result<String> {
        write!(self.output, "{question} ")?;
        self.output.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// The record type first; then what could not be told apart, what is doubtful, and what nothing was found for.
    fn ask_all(&mut self, table: &Table, proposal: &Proposal, wish: &mut Wish) -> std::io::Result<()> {
        let question = format!(
            "{}: {} ({}), {:.0} %. 回车确认，或输入记录类型 · Enter to take it, or a record type:",
            proposal.sample,
            proposal.title,
            proposal.record_type,
            proposal.confidence * 100.0
        );
        let answer = self.line(&question)?;
        if !answer.is_empty() && answer != proposal.record_type {
            wish.record_type = Some(answer);
            return Ok(());
        }
        wish.record_type = Some(proposal.record_type.clone());
        for twins in &proposal.twins {
            self.twins(twins, wish)?;
        }
        let of_field = |field: &str| !field.contains('.');
        for choice in proposal.choices.iter().filter(|choice| of_field(&choice.field) && choice.confidence < 0.9) {
            let Some(column) = &choice.column else { continue };
            let question = format!(
                "{} ({}) ← {column}, {:.0} %. 回车确认，n 不用 · Enter to take it, n to leave it out:",
                choice.title,
                choice.field,
                choice.confidence * 100.0
            );
            if self.line(&question)?.eq_ignore_ascii_case("n") {
                wish.fields.insert(choice.field.clone(), None);
            }
        }
        for field in &proposal.missing {
            match field.as_str() {
                "issuingAuthorityName" => {
                    wish.authority = given(self.line("发证机关名称 · name of the issuing authority:")?)
                }
                "issuingAuthorityCode" => {
                    wish.authority_code = given(self.line("发证机关统一社会信用代码 · its credit code:")?)
                }
                field => {
                    let headings: Vec<String> = table.columns.iter().map(|column| column.heading.clone()).collect();
                    self.pick(field, &headings, wish)?;
                }
            }
        }
        Ok(())
    }

    fn twins(&mut self, twins: &Twins, wish: &mut Wish) -> std::io::Result<()> {
        for field in &twins.fields {
            self.pick(field, &twins.columns, wish)?;
        }
        Ok(())
    }

    fn pick(&mut self, field: &str, columns: &[String], wish: &mut Wish) -> std::io::Result<()> {
        let list = columns.iter().enumerate().map(|(index, column)| format!("{} {column}", index + 1));
        let list = list.collect::<Vec<_>>().join("，");
        let answer = self.line(&format!("{field} ← ? [{list}] 编号，回车不用 · a number, Enter to leave it out:"))?;
        if let Some(column) = answer.parse::<usize>().ok().and_then(|number| columns.get(number.checked_sub(1)?)) {
            wish.fields.insert(field.to_owned(), Some(column.clone()));
        }
        Ok(())
    }
}

fn given(answer: String) -> Option<String> {
    Some(answer).filter(|answer| !answer.is_empty())
}

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

fn told(path: &Path, settings: &Settings, sources: &[SourceText]) -> Report {
    let mut table = String::new();
    let mut list = Vec::new();
    for source in sources {
        let proposal = &source.proposal;
        table.push_str(&format!(
            "{} → {} ({}), {:.0} %\n",
            proposal.sample,
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
        table.push_str(&format!(
            "{} 行中 {} 行可直接归集 · {} of {} rows are ready\n\n",
            proposal.rows, proposal.valid, proposal.valid, proposal.rows
        ));
        let twins: Vec<Value> =
            proposal.twins.iter().map(|twins| json!({"fields": twins.fields, "columns": twins.columns})).collect();
        list.push(json!({
            "source": source.name, "sample": proposal.sample, "record_type": proposal.record_type,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_holds_the_next_export_too() {
        for (name, expected) in [
            ("营业执照-20261030.csv", "营业执照-*.csv"),
            ("export.csv", "export*.csv"),
            ("2026年10月.xlsx", "*年*月.xlsx"),
            ("dump", "dump*"),
        ] {
            assert_eq!(pattern(name), expected);
        }
    }

    #[test]
    fn answers_settle_what_is_open() {
        let twins = Twins { fields: vec!["legalRep".into()], columns: vec!["甲".into(), "乙".into()] };
        let mut shown = Vec::new();
        let mut wish = Wish::default();
        Questions { input: "2\n".as_bytes(), output: &mut shown }.twins(&twins, &mut wish).unwrap();
        assert_eq!(wish.fields["legalRep"], Some("乙".into()));
        assert!(String::from_utf8(shown).unwrap().contains("1 甲，2 乙"));
        let mut wish = Wish::default();
        Questions { input: "9\n".as_bytes(), output: std::io::sink() }.twins(&twins, &mut wish).unwrap();
        assert!(wish.fields.is_empty());
    }
}
