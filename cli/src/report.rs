//! What a command prints, and the code it exits with.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: the same, whole
    Json,
}

/// The exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Done.
    Done = 0,
    /// Problems were found, or the hub refused.
    Problems = 1,
    /// The command line, a configuration or a file named there cannot be used.
    Usage = 2,
    /// The hub or a server behind it cannot be reached, or cannot serve now.
    Unreachable = 3,
}

/// What a command found.
#[derive(Debug)]
pub(crate) struct Report {
    table: String,
    json: Value,
    code: Code,
}

impl Report {
    /// A text for people; as JSON, a string.
    pub(crate) fn text(text: String) -> Self {
        Self { json: Value::String(text.clone()), table: text, code: Code::Done }
    }

    /// Nothing to print.
    pub(crate) fn nothing() -> Self {
        Self { table: String::new(), json: Value::Null, code: Code::Done }
    }

    /// One object: a line per member.
    pub(crate) fn sheet(json: Value) -> Self {
        Self { table: sheet(&json), json, code: Code::Done }
    }

    /// A table of these columns of objects that may have more members.
    pub(crate) fn listing(columns: &[&str], rows: Vec<Value>) -> Self {
        Self { table: listing(columns, &rows), json: Value::Array(rows), code: Code::Done }
    }

    /// Text for people and JSON for programs, made apart.
    pub(crate) fn both(table: String, json: Value) -> Self {
        Self { table, json, code: Code::Done }
    }

    /// The same with a code.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// What stands on standard output.
    pub(crate) fn shown(&self, format: Format) -> String {
        match format {
            Format::Json if self.json.is_null() => String::new(),
            Format::Json => format!("{:#}", self.json),
            Format::Table => self.table.clone(),
        }
    }

    /// Prints, and gives the exit code. A reader that went away early (`| head`) is no failure.
    pub(crate) fn print(&self, format: Format) -> Code {
        let text = self.shown(format);
        if text.is_empty() {
            return self.code;
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let mut out = std::io::stdout().lock();
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Code::Usage,
            _ => self.code,
        }
    }

    /// The exit code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// As JSON.
    #[cfg(test)]
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }
}

/// A value as one cell. Control characters never reach a terminal: a record's text is a stranger's.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(elements) => elements.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    readable(&text)
}

/// The text without control characters and marks that turn the writing direction.
pub(crate) fn readable(text: &str) -> String {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|character| if hidden(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// The same lines, each readable.
#[cfg(feature = "hub")]
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(readable).collect::<Vec<_>>().join("\n")
}

/// A table with aligned columns; a wide (Chinese) character counts as two.
pub(crate) fn listing(columns: &[&str], rows: &[Value]) -> String {
    let heading = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect::<Vec<_>>();
    let cells = rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>());
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(cells).collect();
    let width = |index: usize| lines.iter().map(|line| line[index].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(cell);
            row.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// An object as lines of name and value, nested names joined by dots.
pub(crate) fn sheet(value: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    let width = lines.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let pad = |name: &str| " ".repeat(width.saturating_sub(name.width()) + 2);
    lines.iter().map(|(name, text)| format!("{name}{}{text}\n", pad(name))).collect()
}

fn flatten(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let under = |name: &str| if prefix.is_empty() { readable(name) } else { format!("{prefix}.{}", readable(name)) };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&under(name), value, lines)),
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(&under(&(index + 1).to_string()), value, lines));
        }
        Value::Null => {}
        value => lines.push((prefix.to_owned(), cell(value))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_align_wide_characters_and_keep_json_whole() {
        let rows = vec![
            json!({"name": "市场监督管理局", "types": ["a", "b"], "more": 1}),
            json!({"name": "x", "types": [], "revoked": true}),
        ];
        let report = Report::listing(&["name", "types"], rows.clone());
        let expected = "NAME            TYPES\n市场监督管理局  a, b\nx\n";
        assert_eq!(report.shown(Format::Table), expected);
        assert_eq!(serde_json::from_str::<Value>(&report.shown(Format::Json)).unwrap(), json!(rows));
    }

    #[test]
    fn sheets_flatten_and_never_print_control_characters() {
        let shown = Report::sheet(json!({"a": {"b": "x\u{1b}[31m\u{202e}", "none": null}, "list": [{"c": true}]}));
        assert_eq!(shown.shown(Format::Table), "a.b       x\u{fffd}[31m\u{fffd}\nlist.1.c  yes\n");
    }

    #[test]
    fn nothing_prints_nothing() {
        assert_eq!(Report::nothing().shown(Format::Json), "");
        assert_eq!(Report::nothing().shown(Format::Table), "");
    }
}
