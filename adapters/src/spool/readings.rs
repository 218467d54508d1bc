//! How far the unit in hand was read: after a restart its reading goes on where its rows are durable.

use sqlx::Row as _;

use super::{Digest, Error, Spool, Writes};

/// A unit that was begun and not worked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What its first reading found.
    pub planned: Vec<u8>,
    /// How far its rows were taken; nothing before the first.
    pub reached: Option<Vec<u8>>,
}

fn place(column: &str, unit: &Digest) -> Vec<u8> {
    [b"readings.", column.as_bytes(), b":", &unit[..]].concat()
}

impl Spool {
    /// The reading of a unit that was begun.
    ///
    /// # Errors
    /// The database failed, or a text does not decrypt.
    pub async fn reading(&self, source: &str, unit: &Digest) -> Result<Option<Reading>, Error> {
        let sql = "-- reading\nSELECT planned, reached FROM readings WHERE source = ? AND unit = ?";
        let row = sqlx::query(sql).bind(source).bind(&unit[..]).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let planned = self.vault.unlock(&place("planned", unit), row.try_get("planned")?)?;
        let reached: Option<Vec<u8>> = row.try_get("reached")?;
        let reached = reached.map(|locked| self.vault.unlock(&place("reached", unit), &locked)).transpose()?;
        Ok(Some(Reading { planned, reached }))
    }

    /// Begins the reading of a unit. What the source had in hand before is read from its beginning when it comes again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_reading(&self, source: &str, unit: &Digest, planned: &[u8]) -> Result<(), Error> {
        let sql = "-- begin_reading\nINSERT OR REPLACE INTO readings (source, unit, planned) VALUES (?, ?, ?)";
        let planned = self.vault.lock(&place("planned", unit), planned)?;
        sqlx::query(sql).bind(source).bind(&unit[..]).bind(planned).execute(&self.pool).await?;
        Ok(())
    }

    /// Notes how far a unit's rows are taken with these writes. Nothing where its reading was forgotten meanwhile.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reached(&self, writes: &mut Writes, unit: &Digest, reached: &[u8]) -> Result<(), Error> {
        let sql = "-- reached\nUPDATE readings SET reached = ? WHERE unit = ?";
        let reached = self.vault.lock(&place("reached", unit), reached)?;
        sqlx::query(sql).bind(reached).bind(&unit[..]).execute(&mut **writes).await?;
        Ok(())
    }

    /// Forgets how far units were read: they are read from their beginning.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_readings(&self) -> Result<(), Error> {
        sqlx::query("-- forget_readings\nDELETE FROM readings").execute(&self.pool).await?;
        Ok(())
    }
}
