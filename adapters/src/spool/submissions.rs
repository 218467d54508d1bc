//! Sealed versions on their way: `ready` → `sent` → `receipted` → `released`. What the hub refuses is `refused`; what
//! was sealed anew under another number is `abandoned`; what waits for its key to be accepted is `held`.

use sqlx::{Row as _, sqlite::SqliteRow};
use weft_record::status::State;

use super::{Digest, Error, Spool, Standing, Writes, digest};
use crate::mapping::Draft;

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source's name.
    pub source: String,
    /// The unit's digest.
    pub unit: Digest,
    /// The unit's name.
    pub file: String,
    /// The row's line.
    pub line: u64,
}

/// A version, sealed, about to be made durable.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// SHA-256 of the sealed bytes.
    pub id: Digest,
    /// The record.
    pub record_id: String,
    /// Its type.
    pub record_type: String,
    /// The number it was sealed under.
    pub version: u64,
    /// Where the record stands after it.
    pub state: State,
    /// The keyed digest of what it says.
    pub substance: Digest,
    /// What it was sealed from.
    pub draft: Draft,
    /// The sealed record.
    pub sealed: Vec<u8>,
    /// The row it came from.
    pub origin: Origin,
}

/// A submission to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its id.
    pub id: Digest,
    /// The sealed record.
    pub sealed: Vec<u8>,
}

/// What was sealed and has not ended.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its id.
    pub id: Digest,
    /// Where the record stands once it is indexed.
    pub standing: Standing,
    /// What it was sealed from.
    pub draft: Draft,
    /// The row it came from.
    pub origin: Origin,
}

/// A submission as it stood when its answer came.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The record.
    pub record_id: String,
    /// Its type.
    pub record_type: String,
    /// The number it was sealed under.
    pub version: u64,
    /// Where the record stands after it.
    pub state: State,
    /// What it says.
    pub substance: Digest,
    /// The row it came from.
    pub origin: Origin,
    /// Whether it was on its way, and not ended before.
    pub under_way: bool,
    /// Whether its receipt came.
    pub receipted: bool,
    /// Whether it was released before, and is sent again because the hub asked.
    pub again: bool,
}

/// How many submissions are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not sent yet.
    pub ready: u64,
    /// Sent, no answer yet.
    pub sent: u64,
    /// Durable at the hub, no outcome yet.
    pub receipted: u64,
    /// Waiting for their key or sender to be accepted.
    pub held: u64,
    /// Not sent, because their source has stopped.
    pub stopped: u64,
}

impl Counts {
    /// All that the hub still has to answer.
    pub fn under_way(self) -> u64 {
        self.ready + self.sent + self.receipted
    }
}

fn place(column: &str, id: &[u8]) -> Vec<u8> {
    [b"submissions.", column.as_bytes(), b":", id].concat()
}

fn origin(row: &SqliteRow) -> Result<Origin, Error> {
    Ok(Origin {
        source: row.try_get("source")?,
        unit: digest(row.try_get("unit")?)?,
        file: row.try_get("file")?,
        line: row.try_get::<i64, _>("line")?.cast_unsigned(),
    })
}

impl Spool {
    /// Adds a version to send.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add(&self, writes: &mut Writes, new: &NewSubmission, now_ms: i64) -> Result<(), Error> {
        let draft = self.vault.lock(&place("draft", &new.id), &serde_json::to_vec(&new.draft)?)?;
        let sealed = self.vault.lock(&place("sealed", &new.id), &new.sealed)?;
        let sql = "-- add
            INSERT OR IGNORE INTO submissions (submission_id, record_id, record_type, version, state_after, substance,
                draft, sealed, bytes, stage, source, unit, file, line, created_ms, touched_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&new.id[..])
            .bind(&new.record_id)
            .bind(&new.record_type)
            .bind(new.version.cast_signed())
            .bind(serde_json::to_string(&new.state)?)
            .bind(&new.substance[..])
            .bind(draft)
            .bind(sealed)
            .bind(i64::try_from(new.sealed.len()).unwrap_or(i64::MAX))
            .bind(&new.origin.source)
            .bind(&new.origin.unit[..])
            .bind(&new.origin.file)
            .bind(new.origin.line.cast_signed())
            .bind(now_ms)
            .bind(now_ms)
            .execute(&mut **writes)
            .await?;
        Ok(())
    }

    /// What was sent without an answer, or waited for its key, is sent again: at every opening and every new stream.
    ///
    /// # Errors
    /// The database failed.
    pub async fn back_to_ready(&self) -> Result<(), Error> {
        let sql = "-- back_to_ready\nUPDATE submissions SET stage = 'ready' WHERE stage IN ('sent', 'held')";
        sqlx::query(sql).execute(&self.pool).await?;
        Ok(())
    }

    /// Takes the next submissions in order, at most `count` and `bytes` together (one at least), and marks them sent. What a source
    /// gave that has stopped, because almost everything fails, stays: it would only fill the quarantine. A
    /// record of which a version is unanswered waits: the hub works batches side by side, and would see a gap.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn next_batch(&self, count: u32, bytes: u64, now_ms: i64) -> Result<Vec<Outgoing>, Error> {
        let mut writes = self.begin().await?;
        let sql = "-- next_batch
            SELECT seq, submission_id, sealed, bytes FROM submissions AS next
            WHERE stage = 'ready' AND NOT EXISTS (
                SELECT 1 FROM submissions AS earlier WHERE earlier.record_id = next.record_id AND earlier.stage = 'sent')
            AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'stopped:' || next.source)
            ORDER BY seq LIMIT ?";
        let rows = sqlx::query(sql).bind(i64::from(count)).fetch_all(&mut *writes).await?;
        let (mut batch, mut total, mut taken) = (Vec::with_capacity(rows.len()), 0, Vec::new());
        for row in rows {
            total += row.try_get::<i64, _>("bytes")?.cast_unsigned();
            if !batch.is_empty() && total > bytes {
                break;
            }
            let id = digest(row.try_get("submission_id")?)?;
            let sealed: Vec<u8> = row.try_get("sealed")?;
            batch.push(Outgoing { id, sealed: self.vault.unlock(&place("sealed", &id), &sealed)? });
            taken.push(row.try_get::<i64, _>("seq")?);
        }
        if !taken.is_empty() {
            let sql = "-- next_batch_sent
                UPDATE submissions SET stage = 'sent', touched_ms = ? WHERE seq IN (SELECT value FROM json_each(?))";
            sqlx::query(sql).bind(now_ms).bind(serde_json::to_string(&taken)?).execute(&mut *writes).await?;
        }
        writes.commit().await?;
        Ok(batch)
    }

    /// Moves a submission on, if it stands at one of `from`. Tells whether it did.
    async fn move_on(
        &self,
        writes: &mut Writes,
        id: &Digest,
        from: &str,
        to: &str,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let sql = "-- move_on
            UPDATE submissions SET stage = ?, touched_ms = ?
            WHERE submission_id = ? AND instr(?, '|' || stage || '|') > 0";
        let done = sqlx::query(sql).bind(to).bind(now_ms).bind(&id[..]).bind(from).execute(&mut **writes).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The hub's word that a submission is durable there. Tells whether it is news.
    ///
    /// # Errors
    /// The database failed.
    pub async fn receipted(&self, writes: &mut Writes, id: &Digest, now_ms: i64) -> Result<bool, Error> {
        self.move_on(writes, id, "|ready|sent|held|", "receipted", now_ms).await
    }

    /// The hub could not take it now: it is sent again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retry(&self, writes: &mut Writes, id: &Digest, now_ms: i64) -> Result<bool, Error> {
        self.move_on(writes, id, "|sent|", "ready", now_ms).await
    }

    /// The hub does not accept the key or the sender yet: it waits.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold(&self, writes: &mut Writes, id: &Digest, now_ms: i64) -> Result<bool, Error> {
        self.move_on(writes, id, "|ready|sent|", "held", now_ms).await
    }

    /// What was held before `before_ms` is sent again, and so is what has no outcome since then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn send_again(&self, before_ms: i64, now_ms: i64) -> Result<u64, Error> {
        let sql = "-- send_again
            UPDATE submissions SET stage = 'ready', touched_ms = ? WHERE stage IN ('held', 'receipted') AND touched_ms < ?";
        Ok(sqlx::query(sql).bind(now_ms).bind(before_ms).execute(&self.pool).await?.rows_affected())
    }

    /// A restored hub asks for what it may have lost: what was released since is sent again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resend(&self, record_types: &[String], since_ms: i64, now_ms: i64) -> Result<u64, Error> {
        let sql = "-- resend
            UPDATE submissions SET stage = 'ready', touched_ms = ?
            WHERE stage = 'released' AND touched_ms >= ? AND record_type IN (SELECT value FROM json_each(?))";
        let types = serde_json::to_string(record_types)?;
        let sent = sqlx::query(sql).bind(now_ms).bind(since_ms).bind(types).execute(&self.pool).await?;
        self.ready.notify_one();
        Ok(sent.rows_affected())
    }

    /// The hub lost what it had indexed of a record: what was released above `version` is sent again, where all `lost`
    /// versions are still kept. Tells whether they are.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resend_above(
        &self,
        writes: &mut Writes,
        record_id: &str,
        version: u64,
        lost: u64,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let sql = "-- resend_above
            UPDATE submissions SET stage = 'ready', touched_ms = ?1
            WHERE record_id = ?2 AND stage = 'released' AND version > ?3 AND ?4 = (
                SELECT count(*) FROM submissions WHERE record_id = ?2 AND stage = 'released' AND version > ?3)";
        let sent = sqlx::query(sql).bind(now_ms).bind(record_id).bind(version.cast_signed()).bind(lost.cast_signed());
        Ok(sent.execute(&mut **writes).await?.rows_affected() > 0)
    }

    /// Whether a version of a record is under way, and whether its row is known to have vanished from a snapshot.
    ///
    /// # Errors
    /// The database failed.
    pub async fn how_it_is(&self, writes: &mut Writes, record_id: &str) -> Result<(bool, bool), Error> {
        let sql = "-- how_it_is
            SELECT EXISTS (SELECT 1 FROM submissions
                WHERE record_id = ?1 AND stage IN ('ready', 'sent', 'receipted', 'held')) AS moving,
            EXISTS (SELECT 1 FROM presence WHERE record_id = ?1 AND vanished_ms IS NOT NULL) AS vanished";
        let row = sqlx::query(sql).bind(record_id).fetch_one(&mut **writes).await?;
        Ok((row.try_get::<i64, _>("moving")? != 0, row.try_get::<i64, _>("vanished")? != 0))
    }

    /// Those whose outcome is awaited, in order; at most `count` after `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn awaited(&self, after: i64, count: u32) -> Result<Vec<(i64, Digest)>, Error> {
        let sql = "-- awaited
            SELECT seq, submission_id FROM submissions WHERE stage = 'receipted' AND seq > ? ORDER BY seq LIMIT ?";
        let rows = sqlx::query(sql).bind(after).bind(i64::from(count)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("seq")?, digest(row.try_get("submission_id")?)?))).collect()
    }

    /// A submission whose answer came.
    ///
    /// # Errors
    /// The database failed.
    pub async fn submission(&self, writes: &mut Writes, id: &Digest) -> Result<Option<Ended>, Error> {
        let sql = "-- submission
            SELECT record_id, record_type, version, state_after, substance, stage, source, unit, file, line, draft IS NULL AS again
            FROM submissions WHERE submission_id = ?";
        let Some(row) = sqlx::query(sql).bind(&id[..]).fetch_optional(&mut **writes).await? else { return Ok(None) };
        let stage: String = row.try_get("stage")?;
        Ok(Some(Ended {
            record_id: row.try_get("record_id")?,
            record_type: row.try_get("record_type")?,
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            state: serde_json::from_str(row.try_get::<&str, _>("state_after")?)?,
            substance: digest(row.try_get("substance")?)?,
            origin: origin(&row)?,
            under_way: matches!(stage.as_str(), "ready" | "sent" | "receipted" | "held"),
            receipted: stage == "receipted",
            again: row.try_get::<i64, _>("again")? != 0,
        }))
    }

    /// Ends a submission: `released` on its outcome, `refused`, or `abandoned` for one sealed anew. What it was sealed
    /// from is forgotten; the sealed bytes stay for seven days.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end(&self, writes: &mut Writes, id: &Digest, stage: &'static str, now_ms: i64) -> Result<(), Error> {
        let sql = "-- end
            UPDATE submissions SET stage = ?, draft = NULL, touched_ms = ? WHERE submission_id = ?";
        sqlx::query(sql).bind(stage).bind(now_ms).bind(&id[..]).execute(&mut **writes).await?;
        Ok(())
    }

    /// What of a record is under way, in order.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn pending(&self, writes: &mut Writes, record_id: &str) -> Result<Vec<Pending>, Error> {
        let sql = "-- pending
            SELECT submission_id, version, state_after, substance, draft, source, unit, file, line FROM submissions
            WHERE record_id = ? AND stage IN ('ready', 'sent', 'receipted', 'held') AND draft IS NOT NULL ORDER BY seq";
        let rows = sqlx::query(sql).bind(record_id).fetch_all(&mut **writes).await?;
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            let id = digest(row.try_get("submission_id")?)?;
            let locked: Vec<u8> = row.try_get("draft")?;
            let draft = serde_json::from_slice(&self.vault.unlock(&place("draft", &id), &locked)?)?;
            let standing = Standing {
                version: row.try_get::<i64, _>("version")?.cast_unsigned(),
                state: Some(serde_json::from_str(row.try_get::<&str, _>("state_after")?)?),
                substance: Some(digest(row.try_get("substance")?)?),
            };
            pending.push(Pending { id, standing, draft, origin: origin(&row)? });
        }
        Ok(pending)
    }

    /// How many submissions are where.
    ///
    /// # Errors
    /// The database failed.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let sql = "-- counts
            SELECT CASE WHEN stage = 'ready' AND EXISTS (SELECT 1 FROM meta WHERE name = 'stopped:' || source)
                THEN 'stopped' ELSE stage END AS place, count(*)
            FROM submissions WHERE stage IN ('ready', 'sent', 'receipted', 'held') GROUP BY place";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        let mut counts = Counts::default();
        for (stage, count) in rows {
            let count = count.cast_unsigned();
            match stage.as_str() {
                "ready" => counts.ready = count,
                "sent" => counts.sent = count,
                "receipted" => counts.receipted = count,
                "stopped" => counts.stopped = count,
                _ => counts.held = count,
            }
        }
        Ok(counts)
    }
}
