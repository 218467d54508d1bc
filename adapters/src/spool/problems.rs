//! What is wrong with which line, until it is mended.

use serde::Serialize;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Digest, Error, Spool, Writes, digest};
use crate::problem::RowProblem;

/// One problem, as `weft adapter problems` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemRow {
    /// The source's name.
    pub source: String,
    /// What is wrong, where, and what to do.
    #[serde(flatten)]
    pub problem: RowProblem,
    /// The record that the row is about, where its key could be read.
    pub record_id: Option<String>,
    /// When it was found, milliseconds since 1970.
    pub found_ms: i64,
}

fn place(unit: &[u8], line: u64) -> Vec<u8> {
    [b"problems.text:", unit, &line.to_be_bytes()[..]].concat()
}

impl Spool {
    /// Keeps a problem; the same one of the same unit is kept once. Tells whether it is new.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_problem(
        &self,
        writes: &mut Writes,
        (source, unit): (&str, &Digest),
        record_id: Option<&str>,
        problem: &RowProblem,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let text = self.vault.lock(&place(unit, problem.line), &serde_json::to_vec(problem)?)?;
        let sql = "-- add_problem
            INSERT OR IGNORE INTO problems (source, unit, file, line, place, reason, record_id, note, text, found_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let added = sqlx::query(sql)
            .bind(source)
            .bind(&unit[..])
            .bind(&problem.file)
            .bind(problem.line.cast_signed())
            .bind(&problem.column)
            .bind(problem.reason.as_str())
            .bind(record_id)
            .bind(i64::from(problem.note))
            .bind(text)
            .bind(now_ms)
            .execute(&mut **writes)
            .await?;
        Ok(added.rows_affected() > 0)
    }

    /// Closes what is open about a record: it was indexed after all. What was found in the row that is now indexed
    /// stays (a note about it, for instance).
    ///
    /// # Errors
    /// The database failed.
    pub async fn close_problems(&self, writes: &mut Writes, id: &str, unit: &Digest, now_ms: i64) -> Result<(), Error> {
        let sql = "-- close_problems
            UPDATE problems SET closed_ms = ? WHERE record_id = ? AND closed_ms IS NULL AND (unit <> ? OR reason = 'key_not_accepted')";
        sqlx::query(sql).bind(now_ms).bind(id).bind(&unit[..]).execute(&mut **writes).await?;
        Ok(())
    }

    /// Closes what is open of a source about rows and units whose record cannot be told, of one unit or all: a person
    /// says that it is settled, since nothing that comes later can. Tells how many those were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn close_nameless(&self, source: &str, file: Option<&str>, now_ms: i64) -> Result<u64, Error> {
        let sql = "-- close_nameless
            UPDATE problems SET closed_ms = ?1
            WHERE source = ?2 AND record_id IS NULL AND closed_ms IS NULL AND (?3 IS NULL OR file = ?3)";
        let closed = sqlx::query(sql).bind(now_ms).bind(source).bind(file).execute(&self.pool).await?;
        Ok(closed.rows_affected())
    }

    /// The open problems, oldest first; with a unit, its own, closed ones too.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn problems(&self, unit: Option<&Digest>) -> Result<Vec<ProblemRow>, Error> {
        let sql = "-- problems
            SELECT source, unit, line, record_id, text, found_ms FROM problems
            WHERE (?1 IS NULL AND closed_ms IS NULL) OR unit = ?1 ORDER BY found_ms, line, seq";
        self.rows(sqlx::query(sql).bind(unit.map(|unit| &unit[..])).fetch_all(&self.pool).await?)
    }

    /// Whether something is open about a record.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_told(&self, writes: &mut Writes, record_id: &str) -> Result<bool, Error> {
        let sql = "-- is_told\nSELECT 1 FROM problems WHERE record_id = ? AND closed_ms IS NULL AND note = 0 LIMIT 1";
        let found: Option<i64> = sqlx::query_scalar(sql).bind(record_id).fetch_optional(&mut **writes).await?;
        Ok(found.is_some())
    }

    /// The newest open problems, notes aside.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn newest_problems(&self, count: u32) -> Result<Vec<ProblemRow>, Error> {
        let sql = "-- newest_problems
            SELECT source, unit, line, record_id, text, found_ms FROM problems
            WHERE closed_ms IS NULL AND note = 0 ORDER BY seq DESC LIMIT ?";
        self.rows(sqlx::query(sql).bind(i64::from(count)).fetch_all(&self.pool).await?)
    }

    fn rows(&self, rows: Vec<SqliteRow>) -> Result<Vec<ProblemRow>, Error> {
        let mut problems = Vec::with_capacity(rows.len());
        for row in rows {
            let unit = digest(row.try_get("unit")?)?;
            let line = row.try_get::<i64, _>("line")?.cast_unsigned();
            let text: Vec<u8> = row.try_get("text")?;
            problems.push(ProblemRow {
                source: row.try_get("source")?,
                problem: serde_json::from_slice(&self.vault.unlock(&place(&unit, line), &text)?)?,
                record_id: row.try_get("record_id")?,
                found_ms: row.try_get("found_ms")?,
            });
        }
        Ok(problems)
    }
}
