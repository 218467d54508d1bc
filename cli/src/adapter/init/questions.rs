//! What a person at a terminal is asked: which table, which record type, what could not be told apart, what is
//! doubtful, what is missing, and whether it is to be written.

use std::io::{self, BufRead, Write};

use weft_adapter::init::{Proposal, Table, Twins, Wish, propose};
use weft_record::catalogue::Catalogue;

use super::Likely;

/// Record types that are offered.
const OFFERED: usize = 3;
/// A field or type that is less sure is asked for.
const SURE: f64 = 0.9;

/// Asks, line by line.
pub(super) struct Questions<R, W> {
    input: R,
    output: W,
}

fn percent(confidence: f64) -> String {
    format!("{:.0} %", confidence * 100.0)
}

impl<R: BufRead, W: Write> Questions<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    /// An answer; the end of input is an error, never an answer.
    fn line(&mut self, question: &str) -> io::Result<String> {
        write!(self.output, "{question} ")?;
        self.output.flush()?;
        let mut answer = String::new();
        if self.input.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input ended before all was answered"));
        }
        Ok(answer.trim().to_owned())
    }

    /// One of so many, by its number; Enter is the first.
    fn number(&mut self, question: &str, count: usize) -> io::Result<usize> {
        loop {
            let answer = self.line(question)?;
            let number = if answer.is_empty() { Some(1) } else { answer.parse::<usize>().ok() };
            if let Some(number) = number.filter(|number| (1..=count).contains(number)) {
                return Ok(number - 1);
            }
            writeln!(self.output, "请输入 1 至 {count} · a number from 1 to {count}")?;
        }
    }

    /// Which sheet, table or view: its place among `all`, the likeliest first.
    pub(super) fn table(&mut self, all: &[Likely]) -> io::Result<usize> {
        for (index, likely) in all.iter().enumerate() {
            let best = &likely.proposals[0];
            writeln!(
                self.output,
                "{} {} → {} ({})，{} 行中 {} 行可直接归集 · {} of {} rows are ready",
                index + 1,
                likely.part(),
                best.title,
                best.record_type,
                best.rows,
                best.valid,
                best.valid,
                best.rows
            )?;
        }
        self.number("采用哪一个？编号，回车取第一个 · which one? a number, Enter for the first:", all.len())
    }

    /// The proposal as it is after all is answered.
    pub(super) fn settle(
        &mut self,
        table: &Table,
        mut proposals: Vec<Proposal>,
        wish: &Wish,
        catalogue: &Catalogue,
    ) -> io::Result<Proposal> {
        let mut wish = wish.clone();
        let again = |wish: &Wish| propose(table, catalogue, wish).into_iter().next();
        let known = |name: &str| catalogue.record_type(name).is_some();
        let chosen = self.record_type(&proposals, &known)?;
        let mut proposal = proposals.swap_remove(0);
        if wish.record_type.is_none() && chosen != proposal.record_type {
            wish.record_type = Some(chosen.clone());
            proposal = again(&wish).unwrap_or(proposal);
        }
        wish.record_type = Some(chosen);
        self.open(table, &proposal, &mut wish)?;
        let proposal = again(&wish).unwrap_or(proposal);
        self.confirm(&proposal)?;
        Ok(proposal)
    }

    /// The record type: confirmed where it is sure, chosen among the likeliest where it is not.
    fn record_type(&mut self, proposals: &[Proposal], known: &dyn Fn(&str) -> bool) -> io::Result<String> {
        let best = &proposals[0];
        let offered = if best.confidence >= SURE { 1 } else { OFFERED.min(proposals.len()) };
        writeln!(self.output, "{}:", best.sample)?;
        for (index, proposal) in proposals.iter().take(offered).enumerate() {
            let sure = if index == 0 { format!("，{}", percent(proposal.confidence)) } else { String::new() };
            writeln!(self.output, "{} {} ({}){sure}", index + 1, proposal.title, proposal.record_type)?;
        }
        loop {
            let answer =
                self.line("回车取第一个，或输入编号或记录类型 · Enter for the first, or a number, or a record type:")?;
            let numbered = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match numbered.filter(|number| *number < offered) {
                _ if answer.is_empty() => return Ok(best.record_type.clone()),
                Some(number) => return Ok(proposals[number].record_type.clone()),
                None if known(&answer) => return Ok(answer),
                None => writeln!(self.output, "没有这种记录类型 · there is no such record type")?,
            }
        }
    }

    /// What could not be told apart, what is doubtful, and what nothing was found for.
    fn open(&mut self, table: &Table, proposal: &Proposal, wish: &mut Wish) -> io::Result<()> {
        for twins in &proposal.twins {
            self.twins(twins, proposal, wish)?;
        }
        let doubtful = |field: &str, confidence: f64| !field.contains('.') && confidence < SURE;
        for choice in proposal.choices.iter().filter(|choice| doubtful(&choice.field, choice.confidence)) {
            let Some(column) = &choice.column else { continue };
            let question = format!(
                "{} ({}) ← {column}, {}. 回车确认，n 不用 · Enter to take it, n to leave it out:",
                choice.title,
                choice.field,
                percent(choice.confidence)
            );
            if self.line(&question)?.eq_ignore_ascii_case("n") {
                wish.fields.insert(choice.field.clone(), None);
            }
        }
        let told = |field: &&String| !proposal.twins.iter().any(|twins| twins.fields.contains(field));
        for field in proposal.missing.iter().filter(told) {
            match field.as_str() {
                "issuingAuthorityName" => {
                    wish.authority = given(self.line("发证机关名称 · name of the issuing authority:")?);
                }
                "issuingAuthorityCode" => {
                    wish.authority_code = given(self.line("发证机关统一社会信用代码 · its credit code:")?);
                }
                field => {
                    let headings: Vec<String> = table.columns.iter().map(|column| column.heading.clone()).collect();
                    self.pick(field, &headings, wish)?;
                }
            }
        }
        Ok(())
    }

    fn twins(&mut self, twins: &Twins, proposal: &Proposal, wish: &mut Wish) -> io::Result<()> {
        let mut left = twins.columns.clone();
        for field in &twins.fields {
            if left.is_empty() {
                break;
            }
            let needed = if proposal.missing.contains(field) { "（必填 required）" } else { "" };
            let taken = self.pick(&format!("{field}{needed}"), &left, &mut Wish::default())?;
            if let Some(column) = taken {
                left.retain(|other| *other != column);
                wish.fields.insert(field.clone(), Some(column));
            }
        }
        Ok(())
    }

    /// One of the columns for a field, or none.
    fn pick(&mut self, field: &str, columns: &[String], wish: &mut Wish) -> io::Result<Option<String>> {
        let list = columns.iter().enumerate().map(|(index, column)| format!("{} {column}", index + 1));
        let list = list.collect::<Vec<_>>().join("，");
        loop {
            let answer =
                self.line(&format!("{field} ← ? [{list}] 编号，回车不用 · a number, Enter to leave it out:"))?;
            if answer.is_empty() {
                return Ok(None);
            }
            let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            if let Some(column) = number.and_then(|number| columns.get(number)) {
                wish.fields.insert(field.to_owned(), Some(column.clone()));
                return Ok(Some(column.clone()));
            }
            writeln!(self.output, "请输入 1 至 {count} · a number from 1 to {count}", count = columns.len())?;
        }
    }

    fn confirm(&mut self, proposal: &Proposal) -> io::Result<()> {
        let open = if proposal.missing.is_empty() {
            String::new()
        } else {
            format!("；仍缺 · still missing: {}", proposal.missing.join(", "))
        };
        let question = format!(
            "{} 行中 {} 行可直接归集{open}。回车写入，n 放弃 · {} of {} rows are ready. Enter to write it, n to give up:",
            proposal.rows, proposal.valid, proposal.valid, proposal.rows
        );
        if self.line(&question)?.eq_ignore_ascii_case("n") {
            return Err(io::Error::other("given up"));
        }
        Ok(())
    }
}

fn given(answer: String) -> Option<String> {
    Some(answer).filter(|answer| !answer.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A committed sample, its proposals, and what answering comes to.
    fn settled(answers: &str) -> (io::Result<Proposal>, String) {
        let catalogue = Catalogue::builtin().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/samples/食品经营许可证台账.csv");
        let table = weft_adapter::init::read(&root, Path::new("no-helper")).unwrap().remove(0).table;
        let wish = Wish { now_second: 1_793_500_000, ..Wish::default() };
        let proposals = propose(&table, &catalogue, &wish);
        let mut shown = Vec::new();
        let settled = Questions::new(answers.as_bytes(), &mut shown).settle(&table, proposals, &wish, &catalogue);
        (settled, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn enter_takes_what_is_proposed_and_shows_no_value() {
        let (settled, shown) = settled(&"\n".repeat(60));
        let proposal = settled.unwrap();
        assert_eq!(proposal.record_type, "food-business-licence");
        assert!(shown.contains("Enter to write it"), "{shown}");
        assert!(!shown.contains("370399"), "{shown}");
    }

    #[test]
    fn another_type_is_taken_by_name_and_an_unknown_one_is_asked_again() {
        let (settled, shown) = settled(&format!("no-such-type\nbusiness-licence\n{}", "\n".repeat(60)));
        assert_eq!(settled.unwrap().record_type, "business-licence");
        assert!(shown.contains("there is no such record type"), "{shown}");
    }

    #[test]
    fn the_end_of_input_and_giving_up_write_nothing() {
        let (ended, _) = settled("\n");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (_, shown) = settled(&"\n".repeat(60));
        let asked = shown.matches(": ").count();
        assert!(asked >= 2, "{shown}");
        let mut told = (0..60).filter_map(|enters| settled(&format!("{}n\n", "\n".repeat(enters))).0.err());
        assert!(told.any(|error| error.to_string() == "given up"));
    }

    #[test]
    fn answers_settle_what_is_open() {
        let twins = |columns: &[&str]| Twins {
            fields: vec!["legalRep".into(), "operator".into()],
            columns: columns.iter().map(|&column| column.into()).collect(),
        };
        let proposal = settled(&"\n".repeat(60)).0.unwrap();
        let (mut shown, mut wish) = (Vec::new(), Wish::default());
        let mut questions = Questions::new("9\n2\n\n".as_bytes(), &mut shown);
        questions.twins(&twins(&["甲", "乙"]), &proposal, &mut wish).unwrap();
        assert_eq!(wish.fields.into_iter().collect::<Vec<_>>(), [("legalRep".to_owned(), Some("乙".to_owned()))]);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("1 甲，2 乙") && shown.contains("a number from 1 to 2"), "{shown}");
        assert!(shown.ends_with("operator ← ? [1 甲] 编号，回车不用 · a number, Enter to leave it out: "), "{shown}");
        let error = Questions::new(&b""[..], io::sink()).number("?", 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Questions::new(&b"3\n2\n"[..], io::sink()).number("?", 2).unwrap(), 1);
    }
}
