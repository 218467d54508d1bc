//! Which records a source's whole snapshots hold, so that a row that vanished is found: a generation number per
//! record, not a set in memory.

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{Digest, Error, Spool, Writes};

/// The last snapshot that was believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its unit's name.
    pub name: String,
    /// How many records had a row in it.
    pub rows: u64,
}

/// A record whose row was not in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The record.
    pub record_id: String,
    /// Where its row stood in the last snapshot that had it.
    pub line: u64,
}

impl Spool {
    /// Begins a reading of a source's snapshot: a number above that of every earlier one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_generation(&self, source: &str) -> Result<i64, Error> {
        let name = format!("generation:{source}");
        let last = self.fact(&name).await?.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        self.set_fact(&name, &(last + 1).to_string()).await?;
        Ok(last + 1)
    }

    /// Notes that a record has a row in the snapshot. Tells whether it had vanished before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn seen(
        &self,
        writes: &mut Writes,
        (source, generation): (&str, i64),
        record_id: &str,
        line: u64,
    ) -> Result<bool, Error> {
        let sql = "-- seen_before\nSELECT vanished_ms FROM presence WHERE source = ? AND record_id = ?";
        let before = sqlx::query(sql).bind(source).bind(record_id).fetch_optional(&mut **writes).await?;
        let vanished = before.map(|row| row.try_get::<Option<i64>, _>("vanished_ms")).transpose()?.flatten();
        let sql = "-- seen
            INSERT INTO presence (source, record_id, generation, line) VALUES (?, ?, ?, ?)
            ON CONFLICT (source, record_id) DO UPDATE
            SET generation = excluded.generation, line = excluded.line, vanished_ms = NULL";
        sqlx::query(sql)
            .bind(source)
            .bind(record_id)
            .bind(generation)
            .bind(line.cast_signed())
            .execute(&mut **writes)
            .await?;
        Ok(vanished.is_some())
    }

    /// How many records have a row in this reading, and how many have none that had one before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn present(&self, source: &str, generation: i64) -> Result<(u64, u64), Error> {
        let sql = "-- present
            SELECT COUNT(*) FILTER (WHERE generation = ?2) AS here, COUNT(*) FILTER (WHERE generation < ?2) AS gone
            FROM presence WHERE source = ?1 AND vanished_ms IS NULL";
        let row = sqlx::query(sql).bind(source).bind(generation).fetch_one(&self.pool).await?;
        let count = |name: &str| row.try_get::<i64, _>(name).map(i64::cast_unsigned);
        Ok((count("here")?, count("gone")?))
    }

    /// Some of the records that have no row in this reading and had one before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn gone(&self, source: &str, generation: i64, most: u32) -> Result<Vec<Vanished>, Error> {
        let sql = "-- gone
            SELECT record_id, line FROM presence
            WHERE source = ? AND vanished_ms IS NULL AND generation < ? ORDER BY generation, record_id LIMIT ?";
        let rows = sqlx::query(sql).bind(source).bind(generation).bind(most).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let line = row.try_get::<i64, _>("line")?.cast_unsigned();
                Ok(Vanished { record_id: row.try_get("record_id")?, line })
            })
            .collect()
    }

    /// Notes that a record's row is gone, so that it is told once.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_vanished(&self, writes: &mut Writes, source: &str, id: &str, now_ms: i64) -> Result<(), Error> {
        let sql = "-- set_vanished\nUPDATE presence SET vanished_ms = ? WHERE source = ? AND record_id = ?";
        sqlx::query(sql).bind(now_ms).bind(source).bind(id).execute(&mut **writes).await?;
        Ok(())
    }

    /// Closes what was told of a record's row being gone: it is back.
    ///
    /// # Errors
    /// The database failed.
    pub async fn close_vanished(&self, writes: &mut Writes, source: &str, id: &str, now_ms: i64) -> Result<(), Error> {
        let sql = "-- close_vanished
            UPDATE problems SET closed_ms = ?
            WHERE source = ? AND record_id = ? AND reason = 'row_vanished' AND closed_ms IS NULL";
        sqlx::query(sql).bind(now_ms).bind(source).bind(id).execute(&mut **writes).await?;
        Ok(())
    }

    /// The last snapshot of a source that was believed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn believed(&self, source: &str) -> Result<Option<Snapshot>, Error> {
        let text = self.fact(&format!("snapshot:{source}")).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Notes the last snapshot of a source that was believed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_believed(&self, source: &str, snapshot: &Snapshot) -> Result<(), Error> {
        self.set_fact(&format!("snapshot:{source}"), &serde_json::to_string(snapshot)?).await
    }

    /// Whether the snapshot worked off last is this one: an earlier one that comes again says something new.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_last_snapshot(&self, source: &str, unit: &Digest) -> Result<bool, Error> {
        Ok(self.fact(&format!("last_snapshot:{source}")).await? == Some(hex::encode(unit)))
    }

    /// Notes the snapshot worked off last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_last_snapshot(&self, source: &str, unit: &Digest) -> Result<(), Error> {
        self.set_fact(&format!("last_snapshot:{source}"), &hex::encode(unit)).await
    }
}
