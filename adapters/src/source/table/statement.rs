//! Every SQL text there is. Names come from the database's own catalogue and are quoted; values are bound, or are
//! nothing but a number or a time.

use std::io;

use super::mark;

/// How a database writes SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MySql,
    Sqlite,
    /// What a driver told of itself.
    Odbc {
        /// Puts names in quotation marks; none where the database has no such thing.
        quote: Option<char>,
        /// How it is told to end after so many rows.
        limit: Limit,
    },
}

/// How a database is told to end after so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Not at all: reading just ends.
    None,
    /// `SELECT TOP (n)`
    Top,
    /// `LIMIT n`, at the end of the statement
    Last,
}

/// A column as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// What values of it are compared as: a type's name; for ODBC `number`, `time` or `text`.
    pub(crate) of_type: String,
}

/// A table or view as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A text to be run, and what is bound to its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) binds: Vec<String>,
    /// Reading ends after so many rows.
    pub(crate) limit: Option<u64>,
}

/// Where a page ended: watermark and key of its last row.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct At {
    pub(crate) mark: String,
    pub(crate) keys: Vec<Option<String>>,
}

/// What is read of a table. Rows come as: columns, watermark (if any), key.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) dialect: Dialect,
    pub(crate) table: Table,
    pub(crate) columns: Vec<Column>,
    pub(crate) mark: Option<Column>,
    pub(crate) keys: Vec<Column>,
}

struct Writer<'a> {
    dialect: &'a Dialect,
    binds: Vec<String>,
}

impl Dialect {
    /// # Errors
    /// The name cannot be written in this database without being taken for something else.
    pub(crate) fn name(&self, name: &str) -> io::Result<String> {
        let quote = match self {
            Self::Postgres | Self::Sqlite => Some('"'),
            Self::MySql => Some('`'),
            Self::Odbc { quote, .. } => *quote,
        };
        let plain = |name: &str| {
            let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            letters && name.starts_with(|c: char| c.is_ascii_alphabetic())
        };
        match quote {
            _ if name.contains('\0') => Err(io::Error::other("a name holds a NUL")),
            // SQL Server and Access name their opening mark.
            Some('[') => Ok(format!("[{}]", name.replace(']', "]]"))),
            Some(quote) => Ok(format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))),
            None if plain(name) => Ok(name.to_owned()),
            None => Err(io::Error::other("the driver quotes no names, and a name is not plain: use a view")),
        }
    }

    /// A column as text.
    fn text(&self, column: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({column} AS text)"),
            Self::MySql => format!("CAST({column} AS CHAR CHARACTER SET utf8mb4)"),
            Self::Sqlite => format!("CAST({column} AS TEXT)"),
            Self::Odbc { .. } => column.to_owned(),
        }
    }

    /// A column as text that can be compared again: SQLite's values carry their type.
    fn place(&self, column: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "typeof({column}) || ':' || CASE typeof({column}) WHEN 'real' THEN printf('%!.17g', {column}) ELSE \
                 CAST({column} AS TEXT) END"
            ),
            _ => self.text(column),
        }
    }

    /// The text of a place without the type that it carries.
    pub(crate) fn plain<'a>(&self, place: &'a str) -> &'a str {
        match self {
            Self::Sqlite => place.split_once(':').map_or(place, |(_, text)| text),
            _ => place,
        }
    }

    /// The place with another text.
    pub(crate) fn with_text(&self, place: &str, text: &str) -> String {
        match self {
            Self::Sqlite => format!("{}:{text}", place.split_once(':').map_or("text", |(of_type, _)| of_type)),
            _ => text.to_owned(),
        }
    }
}

impl Writer<'_> {
    fn bind(&mut self, value: &str) -> String {
        self.binds.push(value.to_owned());
        if *self.dialect == Dialect::Postgres { format!("${}", self.binds.len()) } else { "?".to_owned() }
    }

    /// A value to compare `column` with.
    fn value(&mut self, column: &Column, value: &str) -> io::Result<String> {
        let of_type = column.of_type.as_str();
        Ok(match self.dialect {
            Dialect::Postgres => format!("CAST({} AS {of_type})", self.bind(value)),
            Dialect::MySql => match mysql_cast(of_type) {
                Some(cast) => format!("CAST({} AS {cast})", self.bind(value)),
                None => self.bind(value),
            },
            Dialect::Sqlite => {
                let (of_type, text) = value.split_once(':').unwrap_or(("text", value));
                let cast = match of_type {
                    "integer" => "INTEGER",
                    "real" => "REAL",
                    "text" => "TEXT",
                    _ => return Err(io::Error::other("watermark and key must not be blobs")),
                };
                format!("CAST({} AS {cast})", self.bind(text))
            }
            Dialect::Odbc { .. } => match of_type {
                "number" if mark::is_number(value) => value.trim().to_owned(),
                "time" => match mark::odbc_time(value) {
                    Some(time) => format!("{{ts '{time}'}}"),
                    None => self.bind(value),
                },
                _ => self.bind(value),
            },
        })
    }
}

/// What a value is cast to before MySQL compares it with a column, lest it compares both as floating point.
fn mysql_cast(of_type: &str) -> Option<&'static str> {
    let of_type = of_type.to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| of_type.starts_with(name));
    if is(&["datetime", "timestamp"]) {
        Some("DATETIME(6)")
    } else if of_type.starts_with("date") {
        Some("DATE")
    } else if is(&["tinyint", "smallint", "mediumint", "int", "bigint", "year"]) {
        Some(if of_type.contains("unsigned") { "UNSIGNED" } else { "SIGNED" })
    } else if is(&["decimal", "numeric"]) {
        Some("DECIMAL(65,30)")
    } else if is(&["double", "float", "real"]) {
        Some("DOUBLE")
    } else {
        None
    }
}

impl Select {
    fn writer(&self) -> Writer<'_> {
        Writer { dialect: &self.dialect, binds: Vec::new() }
    }

    fn named(&self, column: &Column) -> io::Result<String> {
        self.dialect.name(&column.name)
    }

    fn from(&self) -> io::Result<String> {
        let name = self.dialect.name(&self.table.name)?;
        Ok(match &self.table.schema {
            Some(schema) => format!("{}.{name} r", self.dialect.name(schema)?),
            None => format!("{name} r"),
        })
    }

    fn marked(&self) -> io::Result<(&Column, String)> {
        let mark = self.mark.as_ref().ok_or_else(|| io::Error::other("there is no watermark"))?;
        Ok((mark, self.named(mark)?))
    }

    fn write(&self, writer: Writer<'_>, condition: &str, order: &str, limit: Option<u64>) -> io::Result<Statement> {
        let mut list = Vec::new();
        for column in &self.columns {
            list.push(self.dialect.text(&self.named(column)?));
        }
        for column in self.mark.iter().chain(&self.keys) {
            list.push(self.dialect.place(&self.named(column)?));
        }
        let how = match (&self.dialect, limit) {
            (_, None) => Limit::None,
            (Dialect::Odbc { limit, .. }, _) => *limit,
            _ => Limit::Last,
        };
        let rows = limit.unwrap_or(0);
        let mut text = String::from("SELECT ");
        if how == Limit::Top {
            text.push_str(&format!("TOP ({rows}) "));
        }
        text.push_str(&format!("{} FROM {}", list.join(", "), self.from()?));
        for (word, part) in [("WHERE", condition), ("ORDER BY", order)] {
            if !part.is_empty() {
                text.push_str(&format!(" {word} {part}"));
            }
        }
        if how == Limit::Last {
            text.push_str(&format!(" LIMIT {rows}"));
        }
        Ok(Statement { text, binds: writer.binds, limit })
    }

    fn order(&self, with_mark: bool) -> io::Result<String> {
        let columns = self.mark.iter().filter(|_| with_mark).chain(&self.keys);
        // Of the table, not of the list: PostgreSQL takes a bare name for the text that was selected under it.
        let of_table = |column| self.named(column).map(|name| format!("r.{name}"));
        Ok(columns.map(of_table).collect::<io::Result<Vec<_>>>()?.join(", "))
    }

    /// So many rows, whichever the database gives first.
    pub(crate) fn first(&self, rows: u64) -> io::Result<Statement> {
        self.write(self.writer(), "", "", Some(rows))
    }

    /// The greatest watermark: one row of one place.
    pub(crate) fn newest(&self) -> io::Result<Statement> {
        let (_, mark) = self.marked()?;
        let text = format!("SELECT {} FROM {}", self.dialect.place(&format!("MAX({mark})")), self.from()?);
        Ok(Statement { text, binds: Vec::new(), limit: None })
    }

    /// Rows without a watermark.
    pub(crate) fn unmarked(&self, limit: u64) -> io::Result<Statement> {
        let (_, mark) = self.marked()?;
        self.write(self.writer(), &format!("{mark} IS NULL"), &self.order(false)?, Some(limit))
    }

    /// Rows from `from` on, or from `at` on where a page ended before, up to `until`, in order. Both ends are part of
    /// it: what stood at the end of a page comes again, so that equal watermarks lose nothing.
    pub(crate) fn page(&self, from: Option<&str>, until: &str, at: Option<&At>, limit: u64) -> io::Result<Statement> {
        let (mark, name) = self.marked()?;
        let mut writer = self.writer();
        let mut conditions = Vec::new();
        match (at, from) {
            (Some(at), _) => conditions.push(self.behind(&mut writer, mark, at)?),
            (None, Some(from)) => conditions.push(format!("{name} >= {}", writer.value(mark, from)?)),
            (None, None) => {}
        }
        conditions.push(format!("{name} <= {}", writer.value(mark, until)?));
        self.write(writer, &conditions.join(" AND "), &self.order(true)?, Some(limit))
    }

    /// `mark >= m AND (mark > m OR (k1 > a OR k1 IS NULL OR (k1 = a AND (k2 >= b OR k2 IS NULL))))`. A key that is NULL
    /// has no place of its own, so whatever shares the rest with it comes again.
    fn behind(&self, writer: &mut Writer<'_>, mark: &Column, at: &At) -> io::Result<String> {
        let name = self.named(mark)?;
        let mut condition = format!("{name} >= {}", writer.value(mark, &at.mark)?);
        let keys: Vec<_> =
            self.keys.iter().zip(&at.keys).map_while(|(key, value)| Some((key, value.as_ref()?))).collect();
        if keys.is_empty() {
            return Ok(condition);
        }
        condition.push_str(&format!(" AND ({name} > {} OR ", writer.value(mark, &at.mark)?));
        for (number, (key, value)) in keys.iter().enumerate() {
            let name = self.named(key)?;
            let last = number + 1 == keys.len();
            let compare = if last { ">=" } else { ">" };
            condition.push_str(&format!("({name} {compare} {} OR {name} IS NULL", writer.value(key, value)?));
            if !last {
                condition.push_str(&format!(" OR ({name} = {} AND ", writer.value(key, value)?));
            }
        }
        condition.push_str(&")".repeat(keys.len() + keys.len() - 1 + 1));
        Ok(condition)
    }

    /// All rows.
    pub(crate) fn whole(&self) -> io::Result<Statement> {
        self.write(self.writer(), "", &self.order(false)?, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, of_type: &str) -> Column {
        Column { name: name.into(), of_type: of_type.into() }
    }

    fn select(dialect: Dialect) -> Select {
        let (mark, key) = (column("changed at", "timestamp"), column("a\" OR 1=1", "text"));
        let columns = vec![column("名称", "text")];
        let table = Table { schema: Some("s".into()), name: "licences; DROP TABLE x".into(), columns: columns.clone() };
        Select { dialect, table, columns, mark: Some(mark), keys: vec![key, column("n`2", "int unsigned")] }
    }

    #[test]
    fn names_are_quoted_and_values_bound() {
        let at = At { mark: "2026-01-01".into(), keys: vec![Some("k'".into()), Some("7".into())] };
        let page = select(Dialect::Postgres).page(None, "2026-02-01", Some(&at), 10).unwrap();
        assert_eq!(
            page.text,
            "SELECT CAST(\"名称\" AS text), CAST(\"changed at\" AS text), CAST(\"a\"\" OR 1=1\" AS text), \
             CAST(\"n`2\" AS text) FROM \"s\".\"licences; DROP TABLE x\" r WHERE \"changed at\" >= CAST($1 AS timestamp) \
             AND (\"changed at\" > CAST($2 AS timestamp) OR (\"a\"\" OR 1=1\" > CAST($3 AS text) OR \"a\"\" OR 1=1\" IS \
             NULL OR (\"a\"\" OR 1=1\" = CAST($4 AS text) AND (\"n`2\" >= CAST($5 AS int unsigned) OR \"n`2\" IS \
             NULL)))) AND \"changed at\" <= CAST($6 AS timestamp) ORDER BY r.\"changed at\", \
             r.\"a\"\" OR 1=1\", r.\"n`2\" LIMIT 10"
        );
        assert_eq!(page.binds, ["2026-01-01", "2026-01-01", "k'", "k'", "7", "2026-02-01"]);
        let mysql = select(Dialect::MySql).page(Some("2026-01-01"), "2026-02-01", None, 10).unwrap();
        assert!(mysql.text.contains("`n``2`") && mysql.text.contains("`changed at` >= CAST(? AS DATETIME(6))"));
    }

    #[test]
    fn every_placeholder_has_its_value() {
        let at = At { mark: "integer:5".into(), keys: vec![Some("text:a".into()), Some("real:0.5".into())] };
        let sqlite = select(Dialect::Sqlite).page(Some("integer:1"), "integer:9", Some(&at), 3).unwrap();
        assert_eq!(sqlite.text.matches("CAST(?").count(), sqlite.binds.len());
        assert_eq!(sqlite.binds, ["5", "5", "a", "a", "0.5", "9"]);
        assert_eq!(sqlite.text.matches('(').count(), sqlite.text.matches(')').count());
        let nulls = At { mark: "2026-01-01".into(), keys: vec![None, Some("7".into())] };
        let page = select(Dialect::Postgres).page(None, "2026-02-01", Some(&nulls), 10).unwrap();
        assert_eq!(page.binds, ["2026-01-01", "2026-02-01"], "all that shares the watermark comes again");
    }

    #[test]
    fn odbc_binds_whatever_is_no_number_or_time() {
        let mut select = select(Dialect::Odbc { quote: Some('"'), limit: Limit::Top });
        select.mark = Some(column("M", "number"));
        let page = select.page(Some("5"), "1 OR 1=1", None, 7).unwrap();
        assert!(page.text.starts_with("SELECT TOP (7) \"名称\""), "{}", page.text);
        assert!(page.text.contains("\"M\" >= 5 AND \"M\" <= ?"), "{}", page.text);
        assert_eq!(page.binds, ["1 OR 1=1"]);
        select.mark = Some(column("M", "time"));
        let page = select.page(None, "2026-02-01 10:00:00", None, 7).unwrap();
        assert!(page.text.contains("\"M\" <= {ts '2026-02-01 10:00:00'}"), "{}", page.text);
        select.dialect = Dialect::Odbc { quote: None, limit: Limit::None };
        assert!(select.page(None, "x", None, 7).unwrap_err().to_string().contains("not plain"));
    }
}
