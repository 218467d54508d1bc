//! One value of a row: its cells, taken and read as the mapping declares.

use serde_json::Value as Json;

use super::{Kind, Value, date};
use crate::{
    problem::{Reason, RowProblem},
    source::Row,
    text,
};

const YES: [&str; 8] = ["是", "有", "y", "yes", "1", "true", "√", "t"];
const NO: [&str; 9] = ["否", "无", "n", "no", "0", "false", "×", "f", "未"];
const OPEN_END: [&str; 6] = ["长期", "永久", "永续", "长期有效", "无固定期限", "/"];
const LIST: &str = "、，,；;";

/// A declared value, bound to its cells.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    spec: Value,
    /// Where its columns stand among the cells of a row.
    at: Vec<usize>,
    /// The heading to name in problems.
    pub(super) column: String,
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
            column: headings.first().map(|&heading| heading.clone()).unwrap_or_default(),
            fold: spec.fold.unwrap_or(identifier || !matches!(spec.kind, Kind::Text | Kind::List)),
            hidden,
            spec: spec.clone(),
        }
    }

    /// A problem with this value.
    pub(super) fn problem(&self, row: &Row, reason: Reason) -> Box<RowProblem> {
        let cell = self.at.first().map_or("", |&at| row.cells[at].as_str());
        Box::new(RowProblem::new(row.line, self.column.clone(), reason).value(text::trim(cell), self.hidden))
    }

    /// The text before it is read as its kind; nothing where the cell is empty.
    pub(super) fn text(&self, row: &Row) -> Option<String> {
        let spec = &self.spec;
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
            Kind::Date => Json::String(date::parse(&text)?.to_string()),
            Kind::Decimal => Json::String(decimal(&text, &spec.units, spec.shift).ok_or(Reason::NumberUnreadable)?),
            Kind::Integer => Json::from(integer(&text).ok_or(Reason::NumberUnreadable)?),
            Kind::Boolean => Json::Bool(self.boolean(&text).ok_or(Reason::NotInDictionary)?),
        }))
    }

    fn is_open_end(&self, text: &str) -> bool {
        OPEN_END.contains(&text) || self.spec.open_end.iter().any(|open| open == text)
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

/// The members of a cell, without blanks around them; empty ones are left out.
pub(super) fn split<'a>(text: &'a str, separators: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(move |c| separators.contains(c)).map(text::trim).filter(|member| !member.is_empty())
}

/// `1,234.50 万元` → `1234.5`, moved `shift` places to the right.
fn decimal(text: &str, units: &[String], shift: u8) -> Option<String> {
    let mut number = text;
    for unit in units {
        number = number.strip_suffix(&text::fold_width(unit)).unwrap_or(number);
    }
    let number: String = text::trim(number).chars().filter(|&c| c != ',').collect();
    let (negative, number) = number.strip_prefix('-').map_or((false, number.as_str()), |rest| (true, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 30 || fraction.len() > 30 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let shift = usize::from(shift);
    let mut fraction = fraction.to_owned();
    while fraction.len() < shift {
        fraction.push('0');
    }
    let (moved, rest) = fraction.split_at(shift);
    let whole = format!("{whole}{moved}");
    let whole = whole.trim_start_matches('0');
    let rest = rest.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if negative && (whole != "0" || !rest.is_empty()) { "-" } else { "" };
    Some(format!("{sign}{whole}{point}{rest}"))
}

fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.replace(',', "").parse().ok()?;
    (number.unsigned_abs() < 1 << 53).then_some(number)
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
