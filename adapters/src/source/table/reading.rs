//! What is read of a table, and how gently.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::mark::MarkKind;
use crate::config::{self, wrong};

/// A column whose value grows whenever a row is inserted or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The column.
    pub column: String,
    /// What it holds.
    pub kind: MarkKind,
    /// A timestamp: so many seconds before the newest one are looked at again each time, for rows that are committed
    /// late or stamped by a clock that is behind.
    #[serde(default = "default_overlap_s")]
    pub overlap_s: u64,
    /// A number: so many numbers before the greatest are looked at again, for numbers drawn early and committed late.
    #[serde(default = "default_overlap")]
    pub overlap: u64,
    /// A timestamp without a zone is UTC, not the hall's local time.
    #[serde(default)]
    pub utc: bool,
}

fn default_overlap_s() -> u64 {
    600
}

fn default_overlap() -> u64 {
    1_000
}

impl Watermark {
    pub(super) fn overlap(&self) -> u64 {
        match self.kind {
            MarkKind::Timestamp => self.overlap_s,
            MarkKind::Number => self.overlap,
        }
    }
}

/// What is read, and how gently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    /// Columns that tell rows of one watermark apart.
    pub(crate) key: Vec<String>,
    /// None: the whole table each time.
    pub(crate) watermark: Option<Watermark>,
    /// Rows of one unit, with a watermark.
    pub(crate) unit_rows: u64,
    pub(crate) statement_timeout_s: u64,
    pub(crate) rows_per_second: Option<u32>,
}

impl Reading {
    pub(crate) fn verify(&self, at: impl Fn(&str) -> String) -> Result<(), config::Error> {
        if self.table.is_empty() {
            return Err(wrong(at("table"), "name a table or view"));
        }
        if self.unit_rows < 2 {
            return Err(wrong(at("unit_rows"), "at least 2"));
        }
        if self.statement_timeout_s == 0 {
            return Err(wrong(at("statement_timeout_s"), "must not be 0"));
        }
        if self.rows_per_second == Some(0) {
            return Err(wrong(at("rows_per_second"), "must not be 0; leave it out for no bound"));
        }
        Ok(())
    }

    /// What is read, told apart from anything else: another table, watermark, key or column begins anew.
    pub(super) fn digest(&self, columns: &[String]) -> String {
        let mark = self.watermark.as_ref().map(|mark| (&mark.column, mark.kind, mark.utc));
        // Plain texts, names and flags are always JSON.
        let told = serde_json::json!([self.schema, self.table, mark, self.key, columns]).to_string();
        hex::encode(digest(&SHA256, told.as_bytes()))
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        Duration::from_secs(self.statement_timeout_s)
    }

    /// How long the server may work on one statement: its own time, and that in which it waits for the rate.
    pub(crate) fn server_timeout(&self) -> Duration {
        let rows = if self.watermark.is_some() { self.unit_rows } else { 2_000_000 };
        let waits = self.rows_per_second.map_or(0, |rate| rows / u64::from(rate) + 1);
        self.statement_timeout() + Duration::from_secs(waits)
    }
}
