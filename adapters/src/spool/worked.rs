//! Units that were worked off, and what became of one, for whoever handed it in.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{Digest, Error, Spool, digest};
use crate::problem::RowProblem;

/// A unit that was worked off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Rows read.
    pub rows: u64,
    /// Rows mapped to a record.
    pub mapped: u64,
    /// Versions by the stage they are in: `ready`, `sent`, `receipted`, `held`, `released`, `refused`, `abandoned`.
    /// Seven days after their end they are no longer counted.
    pub versions: BTreeMap<String, u64>,
    /// What was wrong, closed problems too.
    pub problems: Vec<RowProblem>,
}

impl Spool {
    /// Notes that a unit was worked off: all of its rows are durable here, or stand among the problems. What was wrong
    /// with rows whose record could not be told is closed where those rows were replaced: by the next whole snapshot,
    /// or by a unit of the same name. Nothing else of a source says anything of such a row. A note asks for nothing, and is
    /// open only until the next unit.
    ///
    /// # Errors
    /// The database failed.
    pub async fn finish_unit(
        &self,
        source: &str,
        (name, digest): (&str, &Digest),
        (rows, mapped): (u64, u64),
        whole: bool,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut writes = self.begin().await?;
        let sql =
            "-- finish_unit\nINSERT OR IGNORE INTO units (unit, name, rows, mapped, done_ms) VALUES (?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&digest[..])
            .bind(name)
            .bind(rows.cast_signed())
            .bind(mapped.cast_signed())
            .bind(now_ms)
            .execute(&mut *writes)
            .await?;
        let sql = "-- finish_unit_again\nDELETE FROM meta WHERE name = 'again:' || lower(hex(?))";
        sqlx::query(sql).bind(&digest[..]).execute(&mut *writes).await?;
        let sql = "-- finish_unit_reading\nDELETE FROM readings WHERE unit = ?";
        sqlx::query(sql).bind(&digest[..]).execute(&mut *writes).await?;
        let sql = "-- finish_unit_close
            UPDATE problems SET closed_ms = ?
            WHERE source = ? AND unit <> ? AND record_id IS NULL AND closed_ms IS NULL AND (? OR note = 1 OR file = ?)";
        sqlx::query(sql)
            .bind(now_ms)
            .bind(source)
            .bind(&digest[..])
            .bind(whole)
            .bind(name)
            .execute(&mut *writes)
            .await?;
        self.commit(writes).await
    }

    /// What became of the unit called `name`; `None` when none of this name was worked off.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn worked(&self, name: &str) -> Result<Option<Worked>, Error> {
        let sql = "-- worked\nSELECT unit, rows, mapped FROM units WHERE name = ? ORDER BY done_ms DESC LIMIT 1";
        let Some(row) = sqlx::query(sql).bind(name).fetch_optional(&self.pool).await? else { return Ok(None) };
        let unit: Digest = digest(row.try_get("unit")?)?;
        let sql = "-- worked_versions\nSELECT stage, count(*) FROM submissions WHERE unit = ? GROUP BY stage";
        let versions: Vec<(String, i64)> = sqlx::query_as(sql).bind(&unit[..]).fetch_all(&self.pool).await?;
        Ok(Some(Worked {
            rows: row.try_get::<i64, _>("rows")?.cast_unsigned(),
            mapped: row.try_get::<i64, _>("mapped")?.cast_unsigned(),
            versions: versions.into_iter().map(|(stage, count)| (stage, count.cast_unsigned())).collect(),
            problems: self.problems(Some(&unit)).await?.into_iter().map(|row| row.problem).collect(),
        }))
    }
}
