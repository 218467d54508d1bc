//! What waits, told by record type and by source.

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{Digest, Error, Spool, Writes, digest};

/// What waits of one record type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The type.
    pub record_type: String,
    /// Without a receipt.
    pub unsent: u64,
    /// Of those, what was handed in and is not read yet: units, each of one record or many.
    #[serde(default)]
    pub unread: u64,
    /// Of those, waiting for their key or sender to be accepted.
    pub held: u64,
    /// With a receipt and without an outcome.
    pub awaiting: u64,
    /// When the oldest without a receipt was sealed, or came in, milliseconds since 1970; 0 when there is none.
    pub oldest_ms: i64,
}

impl Backlog {
    /// Adds what waits before the spool to what waits in it.
    pub(crate) fn add_unread(all: &mut Vec<Self>, record_type: &str, units: u64, oldest_ms: Option<i64>) {
        if units == 0 {
            return;
        }
        let at = all.iter().position(|one| one.record_type == record_type).unwrap_or_else(|| {
            all.push(Self { record_type: record_type.to_owned(), ..Self::default() });
            all.len() - 1
        });
        let one = &mut all[at];
        let known = Some(one.oldest_ms).filter(|_| one.unsent > 0);
        one.oldest_ms = known.into_iter().chain(oldest_ms).min().unwrap_or(0);
        one.unsent += units;
        one.unread += units;
    }
}

impl Spool {
    /// What waits, one for each record type of which something does.
    ///
    /// # Errors
    /// The database failed.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, Error> {
        let sql = "-- backlog
            SELECT record_type, stage, count(*) AS count, min(created_ms) AS oldest FROM submissions
            WHERE stage IN ('ready', 'sent', 'receipted', 'held') AND draft IS NOT NULL
            GROUP BY record_type, stage ORDER BY record_type";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        let mut found: Vec<Backlog> = Vec::new();
        for row in rows {
            let record_type: String = row.try_get("record_type")?;
            let count = row.try_get::<i64, _>("count")?.cast_unsigned();
            let (stage, oldest): (String, i64) = (row.try_get("stage")?, row.try_get("oldest")?);
            if found.last().is_none_or(|last| last.record_type != record_type) {
                found.push(Backlog { record_type, ..Backlog::default() });
            }
            let Some(backlog) = found.last_mut() else { continue };
            if stage == "receipted" {
                backlog.awaiting += count;
                continue;
            }
            backlog.unsent += count;
            backlog.held += if stage == "held" { count } else { 0 };
            backlog.oldest_ms = if backlog.oldest_ms == 0 { oldest } else { backlog.oldest_ms.min(oldest) };
        }
        Ok(found)
    }

    /// How many problems are open; notes are none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_problems(&self) -> Result<u64, Error> {
        let sql = "-- open_problems\nSELECT count(*) FROM problems WHERE closed_ms IS NULL AND note = 0";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    /// Records of which something waits and nothing is at the hub already: what can be sealed anew without a second copy.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unsent_records(&self) -> Result<Vec<String>, Error> {
        let sql = "-- unsent_records
            SELECT DISTINCT record_id FROM submissions AS one
            WHERE stage IN ('ready', 'held') AND draft IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM submissions AS other
                WHERE other.record_id = one.record_id AND other.stage IN ('sent', 'receipted'))";
        Ok(sqlx::query_scalar(sql).fetch_all(&self.pool).await?)
    }

    /// Units that were worked off since are read again when they are offered again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read_again(&self, since_ms: i64) -> Result<(), Error> {
        let sql = "-- read_again
            INSERT OR REPLACE INTO meta (name, value)
            SELECT 'again:' || lower(hex(unit)), 'resync' FROM units WHERE done_ms >= ?";
        sqlx::query(sql).bind(since_ms).execute(&self.pool).await?;
        self.forget_readings().await
    }

    /// Whether a record was taken from a unit that was worked off after this one: read again, the older one says nothing new.
    ///
    /// # Errors
    /// The database failed.
    pub async fn taken_later(&self, writes: &mut Writes, record_id: &str, unit: &Digest) -> Result<bool, Error> {
        let sql = "-- taken_later
            SELECT 1 FROM records
            JOIN units AS later ON later.unit = records.unit
            JOIN units AS this ON this.unit = ?
            WHERE records.record_id = ? AND later.done_ms > this.done_ms";
        let found: Option<i64> =
            sqlx::query_scalar(sql).bind(&unit[..]).bind(record_id).fetch_optional(&mut **writes).await?;
        Ok(found.is_some())
    }

    /// The next records of a type in rising order of their identifier, after `after`, at most `count`: (identifier, version and
    /// substance of the head, whether something is under way).
    ///
    /// # Errors
    /// The database failed.
    pub async fn heads_after(&self, record_type: &str, after: &str, count: u32) -> Result<Vec<Known>, Error> {
        let sql = "-- heads_after
            SELECT record_id, head_version, head_substance, EXISTS (
                SELECT 1 FROM submissions WHERE submissions.record_id = records.record_id
                    AND stage IN ('ready', 'sent', 'receipted', 'held')) AS moving
            FROM records WHERE record_id > ? AND record_type = ? AND record_id < ? ORDER BY record_id LIMIT ?";
        // A type's records share the beginning of their identifier: the range ends where that does.
        let (begin, end) = (format!("{record_type}."), format!("{record_type}/"));
        let from = if after.is_empty() { begin.as_str() } else { after };
        let rows = sqlx::query(sql).bind(from).bind(record_type).bind(end).bind(i64::from(count));
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let substance: Option<Vec<u8>> = row.try_get("head_substance")?;
                Ok(Known {
                    record_id: row.try_get("record_id")?,
                    version: row.try_get::<i64, _>("head_version")?.cast_unsigned(),
                    substance: substance.map(digest).transpose()?,
                    moving: row.try_get::<i64, _>("moving")? != 0,
                })
            })
            .collect()
    }

    /// Takes the hub's word for a record whatever was believed here: the next row that says something else makes a version.
    ///
    /// # Errors
    /// The database failed.
    pub async fn believe(&self, writes: &mut Writes, id: &str, of: &str, head: super::Standing) -> Result<(), Error> {
        let known = self.record(writes, id).await?;
        let mut record = known.unwrap_or_else(|| super::Record::new(id, of));
        record.tip = head.clone();
        record.head = head;
        record.refused = None;
        // The row that was taken last is taken again when it is offered again.
        record.taken = record.taken.map(|(unit, _)| (unit, -1));
        record.row_order = None;
        self.put_record(writes, &record).await
    }
}

/// A record as this state believes it to stand at the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record.
    pub record_id: String,
    /// Its highest indexed version; 0 for none.
    pub version: u64,
    /// What that says.
    pub substance: Option<Digest>,
    /// Whether a version is under way: then it cannot be compared now.
    pub moving: bool,
}
