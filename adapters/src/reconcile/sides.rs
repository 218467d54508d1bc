//! Both sides of a comparison, in a file without a name: identifiers and keyed digests alone, so that memory does not
//! grow with the records.

use std::{collections::HashMap, path::Path};

use serde_json::json;
use sqlx::{
    Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use weft_proto::v1::Head;

use super::Difference;
use crate::spool::{Digest, Error, Standing};

const SCHEMA: &str = "
    CREATE TABLE sides (
        record_id     TEXT PRIMARY KEY,
        hub_version   INTEGER NOT NULL DEFAULT 0,  -- 0: the hub does not have it
        hub_status    TEXT NOT NULL DEFAULT '',
        hub_substance TEXT NOT NULL DEFAULT '',    -- hex
        source        INTEGER,                     -- which source's row speaks for it; NULL for none
        unit          INTEGER,                     -- which unit of that source
        line          INTEGER,
        place         INTEGER,                     -- the row with the greatest one speaks
        substance     TEXT,                        -- what the row says, hex; NULL where it cannot be read
        here_version  INTEGER NOT NULL DEFAULT 0,
        differs       TEXT
    ) WITHOUT ROWID;
    CREATE INDEX differing ON sides (record_id) WHERE differs IS NOT NULL;";

/// What a row says of its record.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) record_id: String,
    /// Source, unit and line of the row.
    pub(super) at: (usize, usize, u64),
    pub(super) place: i64,
    /// None: the row cannot be read.
    pub(super) substance: Option<Digest>,
}

/// A record, as both sides have it.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) record_id: String,
    pub(super) head: Head,
    /// Source, unit and line of the row that speaks for it, and what that says.
    pub(super) row: Option<((usize, usize, u64), Option<Digest>)>,
    pub(super) here_version: u64,
    pub(super) differs: Option<Difference>,
}

#[derive(Debug)]
pub(super) struct Sides {
    db: SqliteConnection,
}

fn digest(text: &str) -> Option<Digest> {
    hex::decode(text).ok()?.try_into().ok()
}

fn side(row: &SqliteRow) -> Result<Side, Error> {
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::cast_unsigned);
    let record_id: String = row.try_get("record_id")?;
    let head = Head {
        record_id: record_id.clone(),
        version: number("hub_version")?,
        status: row.try_get("hub_status")?,
        substance_digest: hex::decode(row.try_get::<&str, _>("hub_substance")?).unwrap_or_default(),
        iat: 0,
    };
    let claimed = if row.try_get::<Option<i64>, _>("source")?.is_some() {
        let index = |name| number(name).map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let substance: Option<String> = row.try_get("substance")?;
        Some(((index("source")?, index("unit")?, number("line")?), substance.as_deref().and_then(digest)))
    } else {
        None
    };
    let differs: Option<String> = row.try_get("differs")?;
    Ok(Side {
        record_id,
        head,
        row: claimed,
        here_version: number("here_version")?,
        differs: differs.as_deref().and_then(Difference::parse),
    })
}

impl Sides {
    /// An empty file in `folder`; nobody else can open it, and it goes with this process.
    pub(super) async fn new(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(".reconcile.db");
        // One that is there was left by a process that ended in the moment between making and unlinking it.
        let _ = std::fs::remove_file(&path);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("temp_store", "memory");
        let mut db = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(SCHEMA).execute(&mut db).await?;
        std::fs::remove_file(&path).map_err(sqlx::Error::Io)?;
        Ok(Self { db })
    }

    /// Adds what the hub has.
    pub(super) async fn add_heads(&mut self, heads: &[Head]) -> Result<(), Error> {
        let of = |head: &Head| json!([head.record_id, head.version, head.status, hex::encode(&head.substance_digest)]);
        let all: Vec<_> = heads.iter().map(of).collect();
        let sql = "-- add_heads
            INSERT OR REPLACE INTO sides (record_id, hub_version, hub_status, hub_substance)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)";
        sqlx::query(sql).bind(serde_json::to_string(&all)?).execute(&mut self.db).await?;
        Ok(())
    }

    /// What the hub has of these records.
    pub(super) async fn heads(&mut self, ids: &[String]) -> Result<HashMap<String, Standing>, Error> {
        let sides = self.of(ids).await?.into_iter().filter(|side| side.head.version > 0);
        Ok(sides.map(|side| (side.record_id, crate::heads::standing(&side.head))).collect())
    }

    /// Both sides of these records.
    pub(super) async fn of(&mut self, ids: &[String]) -> Result<Vec<Side>, Error> {
        let sql = "-- sides_of\nSELECT * FROM sides WHERE record_id IN (SELECT value FROM json_each(?))";
        let rows = sqlx::query(sql).bind(serde_json::to_string(ids)?).fetch_all(&mut self.db).await?;
        rows.iter().map(side).collect()
    }

    /// Adds what rows say; of several of one record the one with the greatest place speaks, the later of two equal ones.
    pub(super) async fn claim(&mut self, claims: &[Claim]) -> Result<(), Error> {
        let of = |claim: &Claim| {
            let (source, unit, line) = claim.at;
            json!([claim.record_id, source, unit, line, claim.place, claim.substance.map(hex::encode)])
        };
        let all: Vec<_> = claims.iter().map(of).collect();
        let sql = "-- claim
            INSERT INTO sides (record_id, source, unit, line, place, substance)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?) WHERE true
            ON CONFLICT (record_id) DO UPDATE SET source = excluded.source, unit = excluded.unit, line = excluded.line,
                place = excluded.place, substance = excluded.substance
            WHERE sides.place IS NULL OR excluded.place >= sides.place";
        sqlx::query(sql).bind(serde_json::to_string(&all)?).execute(&mut self.db).await?;
        Ok(())
    }

    /// Forgets what the rows of a source said.
    pub(super) async fn unclaim(&mut self, source: usize) -> Result<(), Error> {
        let sql = "-- unclaim
            UPDATE sides SET source = NULL, unit = NULL, line = NULL, place = NULL, substance = NULL WHERE source = ?";
        sqlx::query(sql).bind(i64::try_from(source).unwrap_or(i64::MAX)).execute(&mut self.db).await?;
        Ok(())
    }

    /// The next records in rising order of their identifier.
    pub(super) async fn after(&mut self, after: &str, count: u32, differing: bool) -> Result<Vec<Side>, Error> {
        let sql = if differing {
            "-- differing_after
            SELECT * FROM sides WHERE record_id > ? AND differs IS NOT NULL ORDER BY record_id LIMIT ?"
        } else {
            "-- sides_after\nSELECT * FROM sides WHERE record_id > ? ORDER BY record_id LIMIT ?"
        };
        let rows = sqlx::query(sql).bind(after).bind(i64::from(count)).fetch_all(&mut self.db).await?;
        rows.iter().map(side).collect()
    }

    /// Notes how records differ.
    pub(super) async fn note(&mut self, found: &[(String, Difference, u64)]) -> Result<(), Error> {
        let all: Vec<_> = found.iter().map(|(id, difference, here)| json!([id, difference, here])).collect();
        let sql = "-- note_differences
            INSERT INTO sides (record_id, differs, here_version)
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
            ON CONFLICT (record_id) DO UPDATE SET differs = excluded.differs, here_version = excluded.here_version";
        sqlx::query(sql).bind(serde_json::to_string(&all)?).execute(&mut self.db).await?;
        Ok(())
    }

    /// Takes records off the differing ones: they moved while they were looked at.
    pub(super) async fn forget(&mut self, ids: &[String]) -> Result<(), Error> {
        let sql = "-- forget_difference
            UPDATE sides SET differs = NULL WHERE record_id IN (SELECT value FROM json_each(?))";
        sqlx::query(sql).bind(serde_json::to_string(ids)?).execute(&mut self.db).await?;
        Ok(())
    }
}
