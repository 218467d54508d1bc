//! What a person or the hub asked for, until it is carried out, and for a day what came of it.

use serde::{Deserialize, Serialize};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Error, Spool};

/// So long what came of an order is told, milliseconds.
pub const TOLD_MS: i64 = 86_400_000;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Read no further.
    Pause,
    /// Read again.
    Resume,
    /// Read again what the source has since a time.
    Resync,
    /// Compare source and hub.
    Reconcile,
    /// Renew the certificate now.
    Renew,
    /// The next sealing key.
    RotateKey,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Pause, Self::Resume, Self::Resync, Self::Reconcile, Self::Renew, Self::RotateKey];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Resync => "resync",
            Self::Reconcile => "reconcile",
            Self::Renew => "renew",
            Self::RotateKey => "rotate_key",
        }
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The same one twice is carried out once.
    pub id: String,
    /// What.
    pub kind: Kind,
    /// Of this source alone; empty means all.
    pub source: String,
    /// Of a resync: milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Of a reconcile: send again what differs.
    pub repair: bool,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether it was carried out.
    pub done: bool,
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

fn order(row: &SqliteRow) -> Result<Order, Error> {
    let kind: String = row.try_get("kind")?;
    Ok(Order {
        id: row.try_get("id")?,
        kind: Kind::ALL.into_iter().find(|one| one.as_str() == kind).ok_or(Error::Damaged)?,
        source: row.try_get("source")?,
        since_ms: row.try_get("since_ms")?,
        repair: row.try_get::<i64, _>("repair")? != 0,
    })
}

fn told(row: &SqliteRow) -> Result<Told, Error> {
    Ok(Told { done: row.try_get::<i64, _>("done")? != 0, zh: row.try_get("zh")?, en: row.try_get("en")? })
}

impl Spool {
    /// Keeps an order; one that is known already stays as it is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn order(&self, order: &Order, now_ms: i64) -> Result<(), Error> {
        let sql = "-- order
            INSERT OR IGNORE INTO orders (id, kind, source, since_ms, repair, asked_ms, done, zh, en)
            VALUES (?, ?, ?, ?, ?, ?, 0, '', '')";
        sqlx::query(sql)
            .bind(&order.id)
            .bind(order.kind.as_str())
            .bind(&order.source)
            .bind(order.since_ms)
            .bind(i64::from(order.repair))
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The oldest order that is to be carried out; comparisons, which take long, have a turn of their own.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_order(&self, comparisons: bool) -> Result<Option<Order>, Error> {
        let sql = "-- next_order
            SELECT * FROM orders WHERE ended_ms IS NULL AND (kind = 'reconcile') = ? ORDER BY asked_ms, id LIMIT 1";
        let row = sqlx::query(sql).bind(comparisons).fetch_optional(&self.pool).await?;
        row.as_ref().map(order).transpose()
    }

    /// Notes what came of an order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_order(&self, id: &str, told: &Told, now_ms: i64) -> Result<(), Error> {
        let sql = "-- end_order\nUPDATE orders SET ended_ms = ?, done = ?, zh = ?, en = ? WHERE id = ?";
        let ended = sqlx::query(sql).bind(now_ms).bind(i64::from(told.done)).bind(&told.zh).bind(&told.en).bind(id);
        ended.execute(&self.pool).await?;
        let sql = "-- end_order_forget\nDELETE FROM orders WHERE ended_ms < ?";
        sqlx::query(sql).bind(now_ms - 2 * TOLD_MS).execute(&self.pool).await?;
        Ok(())
    }

    /// What came of an order; nothing while it is to be carried out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn ended_order(&self, id: &str) -> Result<Option<Told>, Error> {
        let sql = "-- ended_order\nSELECT done, zh, en FROM orders WHERE id = ? AND ended_ms IS NOT NULL";
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(told).transpose()
    }

    /// What came of the orders that ended since.
    ///
    /// # Errors
    /// The database failed.
    pub async fn ended_orders(&self, since_ms: i64) -> Result<Vec<(String, Told)>, Error> {
        let sql =
            "-- ended_orders\nSELECT id, done, zh, en FROM orders WHERE ended_ms >= ? ORDER BY ended_ms LIMIT 100";
        let rows = sqlx::query(sql).bind(since_ms).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("id")?, told(row)?))).collect()
    }
}
