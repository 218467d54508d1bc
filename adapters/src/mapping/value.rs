//! One value of a row: its cells, taken and read as the mapping declares.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    Changed, How, Kind, Value, date,
    number::{decimal, integer, money},
    when::When,
};
use crate::{
    problem::{Reason, RowProblem},
    source::Row,
    text,
};

const YES: [&str; 8] = ["是", "有", "y", "yes", "1", "true", "√", "t"];
const NO: [&str; 9] = ["否", "无", "n", "no", "0", "false", "×", "f", "未"];
pub(crate) const OPEN_END: [&str; 6] = ["长期", "永久", "永续", "长期有效", "无固定期限", "/"];
const LIST: &str = "、，,；;";

/// A declared value, bound to its cells.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    spec: Value,
    /// Where its columns stand among the cells of a row.
    at: Vec<usize>,
    when: Option<When>,
    /// The heading to name in problems.
    pub(super) column: Arc<str>,
    fold: bool,
    /// Whether its cells may be shown in problems.
    pub(super) hidden: bool,
}

impl Reader {
    /// Binds `spec`; `index` gives a heading's place among the cells, adding it when it is new.
    pub(super) fn bind(spec: &Value, identifier: bool, hidden: bool, mut index: impl FnMut(&str) -> usize) -> Self {
        let headings: Vec<&String> = spec.column.iter().chain(&spec.columns).collect();
        Self {
            at: headings.iter().map(|heading| index(heading)).collect(),
            column: headings.first().map(|&heading| heading.as_str()).unwrap_or_default().into(),
            when: spec.when.as_ref().map(|when| When::bind(when, &mut index)),
            fold: spec.fold.unwrap_or(identifier || !matches!(spec.kind, Kind::Text | Kind::List)),
            hidden,
            spec: spec.clone(),
        }
    }

    /// A problem with this value.
    pub(super) fn problem(&self, row: &Row, reason: Reason) -> Box<RowProblem> {
        let cell = self.at.first().map_or("", |&at| row.cells[at].as_str());
        Box::new(RowProblem::new(row.line, &*self.column, reason).value(text::trim(cell), self.hidden))
    }

    /// The text before it is read as its kind; nothing where the cell is empty.
    pub(super) fn text(&self, row: &Row) -> Option<String> {
        let spec = &self.spec;
        if self.when.as_ref().is_some_and(|when| !when.holds(row)) {
            return None;
        }
        if let Some(constant) = &spec.constant {
            return Some(constant.clone());
        }
        let cells: Vec<String> = self
            .at
            .iter()
            .map(|&at| {
                let cell = &row.cells[at];
                let cell = if self.fold { text::fold_width(cell) } else { cell.clone() };
                text::trim(&cell).to_owned()
            })
            .filter(|cell| !cell.is_empty())
            .collect();
        let text = cells.join(&spec.join);
        if text.is_empty() || spec.nothing.contains(&text) { spec.default.clone() } else { Some(text) }
    }

    /// One text looked up in the dictionary.
    pub(super) fn look_up(&self, text: String) -> Result<String, Reason> {
        if self.spec.dictionary.is_empty() {
            return Ok(text);
        }
        let found = self.spec.dictionary.get(&text).or_else(|| {
            let folded = text::heading(&text);
            self.spec.dictionary.iter().find(|(key, _)| text::heading(key) == folded).map(|(_, value)| value)
        });
        match (found, self.spec.otherwise.as_deref()) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some("=")) => Ok(text),
            (None, Some(otherwise)) => Ok(otherwise.to_owned()),
            (None, None) => Err(Reason::NotInDictionary),
        }
    }

    /// The value as it stands in a record; nothing where the cell is empty or the end is open.
    pub(super) fn read(&self, row: &Row) -> Result<Option<Json>, Box<RowProblem>> {
        let Some(text) = self.text(row) else { return Ok(None) };
        self.read_text(text).map_err(|reason| self.problem(row, reason))
    }

    fn read_text(&self, text: String) -> Result<Option<Json>, Reason> {
        let spec = &self.spec;
        if spec.kind == Kind::List {
            let separators = spec.separators.as_deref().unwrap_or(LIST);
            let members = split(&text, separators).map(|member| self.look_up(member.to_owned()).map(Json::String));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            return Ok((!members.is_empty()).then_some(Json::Array(members)));
        }
        if spec.kind == Kind::Date && self.is_open_end(&text) {
            return Ok(None);
        }
        let text = self.look_up(text)?;
        Ok(Some(match spec.kind {
            Kind::Text | Kind::List => Json::String(text),
            Kind::Date => Json::String(date::parse(&text, spec.serial)?.to_string()),
            Kind::Decimal => Json::String(self.decimal(&text).ok_or(Reason::NumberUnreadable)?),
            Kind::Integer => Json::from(integer(&text).ok_or(Reason::NumberUnreadable)?),
            Kind::Boolean => Json::Bool(self.boolean(&text).ok_or(Reason::NotInDictionary)?),
        }))
    }

    fn decimal(&self, text: &str) -> Option<String> {
        match self.spec.money {
            Some(unit) => money(text, unit, self.spec.bare.unwrap_or(unit)),
            None => decimal(text, &self.spec.units, i32::from(self.spec.shift)),
        }
    }

    /// What became of the cell on its way to `value`; nothing where it is as it was, or was translated as declared.
    pub(super) fn changed(&self, row: &Row, value: &Json) -> Option<Changed> {
        let [at] = self.at[..] else { return None };
        let (before, after) = (row.cells[at].as_str(), value.as_str()?);
        if before == after || !self.spec.dictionary.is_empty() {
            return None;
        }
        let trimmed = text::trim(before);
        let how = if trimmed.is_empty() {
            return None;
        } else if trimmed == after {
            How::Blanks
        } else if text::trim(&text::fold_width(before)) == after {
            How::Width
        } else {
            match self.spec.kind {
                Kind::Date => self.how_dated(trimmed),
                Kind::Decimal => How::NumberForm,
                _ => How::Identifier,
            }
        };
        let cut = |text: &str| text.chars().take(60).collect::<String>();
        let shown = if self.hidden { "****".to_owned() } else { format!("{} → {}", cut(before), cut(after)) };
        Some(Changed { column: self.column.clone(), how, shown })
    }

    fn how_dated(&self, cell: &str) -> How {
        match date::moment(cell) {
            Ok(moment) if moment.in_china().is_ok_and(|(day, _)| day != moment.day) => How::Zone,
            Ok(moment) if moment.second.is_some_and(|second| second > 0) => How::Time,
            Ok(_) => How::DateForm,
            Err(_) => How::Serial,
        }
    }

    /// Whether a text is declared, or known, to mean an open end: as it is written, or as the day that it is.
    fn is_open_end(&self, text: &str) -> bool {
        let day = || date::parse(text, self.spec.serial).ok();
        OPEN_END.contains(&text)
            || self
                .spec
                .open_end
                .iter()
                .any(|open| open == text || date::parse(open, None).is_ok_and(|open| day() == Some(open)))
    }

    fn boolean(&self, text: &str) -> Option<bool> {
        let lower = text.to_lowercase();
        let among = |given: &[String], usual: &[&str]| {
            if given.is_empty() { usual.contains(&lower.as_str()) } else { given.iter().any(|word| word == text) }
        };
        match (among(&self.spec.yes, &YES), among(&self.spec.no, &NO)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
}

/// Whether a text is usually read as yes or no.
pub(crate) fn is_boolean_word(text: &str) -> bool {
    let lower = text.to_lowercase();
    YES.contains(&lower.as_str()) || NO.contains(&lower.as_str())
}

/// The members of a cell, without blanks around them; empty ones are left out.
pub(crate) fn split<'a>(text: &'a str, separators: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(move |c| separators.contains(c)).map(text::trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: Value, cells: &[&str]) -> Result<Option<Json>, Reason> {
        let row = Row { line: 1, cells: cells.iter().map(|&cell| cell.to_owned()).collect() };
        let reader = Reader::bind(&spec, false, false, |heading| heading.parse().unwrap());
        reader.read(&row).map_err(|problem| problem.reason)
    }

    fn column(kind: Kind) -> Value {
        Value { column: Some("0".into()), kind, ..Value::default() }
    }

    #[test]
    fn texts() {
        let text = |spec, cell| read(spec, &[cell]).map(|value| value.map(|json| json.as_str().unwrap().to_owned()));
        assert_eq!(text(column(Kind::Text), "　高青（示例） "), Ok(Some("高青（示例）".into())));
        let folded = Value { fold: Some(true), ..column(Kind::Text) };
        assert_eq!(text(folded, "９１（Ａ）"), Ok(Some("91(A)".into())));
        assert_eq!(text(column(Kind::Text), " \u{3000}"), Ok(None));
        let spec = Value { nothing: vec!["无".into()], default: Some("未填".into()), ..column(Kind::Text) };
        assert_eq!(text(spec.clone(), "无"), Ok(Some("未填".into())));
        assert_eq!(text(spec, "x"), Ok(Some("x".into())));
        let several = Value { columns: vec!["0".into(), "1".into(), "2".into()], join: "-".into(), ..Value::default() };
        assert_eq!(read(several, &["a", " ", "c "]), Ok(Some(Json::from("a-c"))));
        let constant = Value { constant: Some("营业执照".into()), ..Value::default() };
        assert_eq!(read(constant, &[]), Ok(Some(Json::from("营业执照"))));
    }

    #[test]
    fn dictionaries() {
        let spec = Value {
            dictionary: [("有限责任公司(自然人独资)".to_owned(), "有限责任公司".to_owned())].into(),
            ..column(Kind::Text)
        };
        assert_eq!(read(spec.clone(), &["有限责任公司（自然人独资）"]), Ok(Some(Json::from("有限责任公司"))));
        assert_eq!(read(spec.clone(), &["其他"]), Err(Reason::NotInDictionary));
        assert_eq!(
            read(Value { otherwise: Some("=".into()), ..spec.clone() }, &["其他"]),
            Ok(Some(Json::from("其他")))
        );
        assert_eq!(read(Value { otherwise: Some("x".into()), ..spec }, &["其他"]), Ok(Some(Json::from("x"))));
    }

    #[test]
    fn dates_decimals_and_the_rest() {
        for open in ["长期", "永久", "", " 长期 "] {
            assert_eq!(read(column(Kind::Date), &[open]), Ok(None), "{open}");
        }
        assert_eq!(read(column(Kind::Date), &["２０２１年３月４日"]), Ok(Some(Json::from("2021-03-04"))));
        assert_eq!(read(column(Kind::Date), &["2021-02-29"]), Err(Reason::DateImpossible));
        let amount = |shift| Value { units: vec!["万元".into(), "㎡".into()], shift, ..column(Kind::Decimal) };
        for (cell, shift, expected) in [
            ("1,200.50万元", 0, "1200.5"),
            ("１２００", 4, "12000000"),
            ("0.00125", 4, "12.5"),
            ("98.7200 ㎡", 0, "98.72"),
            ("007", 0, "7"),
            ("-0.0", 0, "0"),
            ("-3.10", 0, "-3.1"),
        ] {
            assert_eq!(read(amount(shift), &[cell]), Ok(Some(Json::from(expected))), "{cell}");
        }
        for cell in ["1e5", "一百", "1.2.3", ".5", "--1", "1 2"] {
            assert_eq!(read(amount(0), &[cell]), Err(Reason::NumberUnreadable), "{cell}");
        }
        assert_eq!(read(column(Kind::Integer), &["1,234"]), Ok(Some(Json::from(1234))));
        assert_eq!(read(column(Kind::Integer), &["9007199254740992"]), Err(Reason::NumberUnreadable));
        assert_eq!(read(column(Kind::Boolean), &["是"]), Ok(Some(Json::from(true))));
        assert_eq!(read(column(Kind::Boolean), &["无"]), Ok(Some(Json::from(false))));
        assert_eq!(read(column(Kind::Boolean), &["也许"]), Err(Reason::NotInDictionary));
        let open = Value { open_end: vec!["9999-12-31".into()], ..column(Kind::Date) };
        assert_eq!(read(open.clone(), &["9999/12/31"]), Ok(None));
        assert_eq!(read(open, &["2030/12/31"]), Ok(Some(Json::from("2030-12-31"))));
        assert_eq!(read(column(Kind::Date), &["9999/12/31"]), Ok(Some(Json::from("9999-12-31"))), "not by itself");
        let flag = Value { yes: vec!["已抵押".into()], no: vec!["未抵押".into()], ..column(Kind::Boolean) };
        assert_eq!(read(flag.clone(), &["未抵押"]), Ok(Some(Json::from(false))));
        assert_eq!(read(flag, &["是"]), Err(Reason::NotInDictionary));
        assert_eq!(
            read(column(Kind::List), &["预包装食品销售、 散装食品销售；"]).unwrap().unwrap().as_array().unwrap().len(),
            2
        );
        assert_eq!(read(column(Kind::List), &["、"]), Ok(None));
    }
}
