//! What an adapter must not lose: one SQLite file in the state directory, values encrypted, every call durable when it
//! returns.
//!
//! - this module: opening, facts, units
//! - `records`: where each record stands, here and at the hub
//! - `submissions`: sealed versions from `ready` to `released`
//! - `readings`: how far the unit in hand was read
//! - `presence`: which records a whole snapshot held
//! - `problems`: what is wrong with which line
//! - `orders`: what was asked of the adapter
//! - `backlog`: what waits, in numbers
//! - `life`: what of the sources' life outlives a restart
//! - `worked`: what became of one unit
//! - `vault`: the encryption

mod backlog;
mod life;
mod orders;
mod presence;
mod problems;
mod readings;
mod records;
mod submissions;
mod vault;
mod worked;

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous, SqliteTransactionManager},
};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::Notify;

pub use backlog::{Backlog, Known};
pub use orders::{Kind as OrderKind, Order, TOLD_MS, Told};
pub use presence::{Snapshot, Vanished};
pub use problems::ProblemRow;
pub use readings::Reading;
pub use records::{Record, Standing};
pub use submissions::{Counts, Ended, NewSubmission, Origin, Outgoing, Pending};
pub(crate) use vault::Vault;
pub use worked::Worked;

use crate::clock::Chance;

/// How long sealed bytes are kept after their outcome: so long a restored hub can ask for them.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A digest: of a unit, a submission, a substance.
pub type Digest = [u8; 32];

/// The spool cannot be worked. Nothing that it acknowledged is lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed (disk full, file damaged, in use).
    #[error("the spool's database failed")]
    Database(#[from] sqlx::Error),
    /// A text does not decrypt under this key, or is not what was written at its place.
    #[error("the spool is damaged or belongs to another key")]
    Damaged,
    /// The key is unusable, or no random bytes could be had.
    #[error("the spool cannot encrypt")]
    Key,
}

const BEGIN: &str = "BEGIN IMMEDIATE";

/// SQLite's result codes: <https://www.sqlite.org/rescode.html>.
const SQLITE_FULL: u32 = 13;
/// No room to enlarge the WAL index: a full disk too.
const SQLITE_IOERR_SHMSIZE: u32 = 4874;

impl Error {
    /// Whether the disk is full: nothing is lost, and it goes on when there is room again. Every other failure of the database (a
    /// sync that failed above all) means that what it says of the file cannot be trusted: the process must end and start anew.
    pub fn is_full(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| code & 0xff == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE)
    }
}

impl From<serde_json::Error> for Error {
    fn from(_: serde_json::Error) -> Self {
        Self::Damaged
    }
}

/// The spool. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Spool {
    pool: SqlitePool,
    vault: Vault,
    /// Told when there is something to send.
    ready: Arc<Notify>,
    /// Told when answers were settled.
    settled: Arc<Notify>,
}

/// Writes that become durable together.
pub type Writes = Transaction<'static, Sqlite>;

impl Spool {
    /// Opens or makes the spool at `path`. What was on its way when the process ended is `ready` again.
    ///
    /// # Errors
    /// The file cannot be opened, or was written under another key.
    pub async fn open(path: &Path, key: &[u8; 32], chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("secure_delete", "on");
        // One connection: writers take turns, and none ever finds the database locked.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(120))
            .connect_with(options)
            .await?;
        sqlx::raw_sql(include_str!("spool/schema.sql")).execute(&pool).await?;
        let spool =
            Self { pool, vault: Vault::new(key, chance)?, ready: Arc::new(Notify::new()), settled: Arc::default() };
        spool.prove_key().await?;
        spool.back_to_ready().await?;
        Ok(spool)
    }

    /// Opens a spool to look at while an adapter may be working on it: nothing is changed.
    ///
    /// # Errors
    /// There is no such file, or it was written under another key.
    pub async fn look(path: &Path, key: &[u8; 32], chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        let options = options.busy_timeout(Duration::from_secs(10)).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let spool = Self { pool, vault: Vault::new(key, chance)?, ready: Arc::default(), settled: Arc::default() };
        spool.try_key().await?;
        Ok(spool)
    }

    /// Opens a spool beside a working adapter, to leave an order or a fact: what is on its way is not touched.
    ///
    /// # Errors
    /// There is no such file, or it was written under another key.
    pub async fn beside(path: &Path, key: &[u8; 32], chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        let options = options.synchronous(SqliteSynchronous::Full).busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(include_str!("spool/schema.sql")).execute(&pool).await?;
        let spool = Self { pool, vault: Vault::new(key, chance)?, ready: Arc::default(), settled: Arc::default() };
        spool.prove_key().await?;
        Ok(spool)
    }

    /// Writes a whole copy of the file, as of now, to `path`, which must not exist.
    ///
    /// # Errors
    /// The database failed.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let sql = "-- copy_to\nVACUUM INTO ?";
        sqlx::query(sql).bind(path.to_string_lossy().into_owned()).execute(&self.pool).await?;
        Ok(())
    }

    /// A text written at the first opening must decrypt: another key would otherwise show only later.
    async fn prove_key(&self) -> Result<(), Error> {
        if self.fact("key").await?.is_none() {
            let locked = self.vault.lock(b"meta.key", b"weft")?;
            self.set_fact("key", &hex::encode(locked)).await?;
        }
        self.try_key().await
    }

    /// The same without a write: a spool that is being made proves nothing yet.
    async fn try_key(&self) -> Result<(), Error> {
        let Some(locked) = self.fact("key").await? else { return Ok(()) };
        let locked = hex::decode(locked).map_err(|_| Error::Damaged)?;
        self.vault.unlock(b"meta.key", &locked).map(drop)
    }

    /// Begins writes that become durable together at `commit`. They have the file from the first moment: a command beside a working
    /// adapter waits for its turn, where a transaction that only read so far would fail when it begins to write.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin(&self) -> Result<Writes, Error> {
        match self.pool.begin_with(BEGIN).await {
            Err(sqlx::Error::InvalidSavePointStatement) => self.forget_ended().await?,
            begun => return Ok(begun?),
        }
        Ok(self.pool.begin_with(BEGIN).await?)
    }

    /// SQLite ends a transaction by itself when the disk fills up in the middle of it, and the driver, whose own rollback then
    /// fails, goes on counting it: it is given one to end.
    async fn forget_ended(&self) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
        Ok(SqliteTransactionManager::rollback(&mut connection).await?)
    }

    /// Makes writes durable and wakes the sender.
    ///
    /// # Errors
    /// The database failed: none of the writes happened, or all did and the answer was lost; repeating them is safe.
    pub async fn commit(&self, writes: Writes) -> Result<(), Error> {
        writes.commit().await?;
        self.ready.notify_one();
        Ok(())
    }

    /// Returns when there may be something new to send.
    pub async fn woken(&self) {
        self.ready.notified().await;
    }

    /// Says that answers of the hub were settled.
    pub fn tell_settled(&self) {
        self.settled.notify_one();
    }

    /// Returns when answers of the hub were settled since the last call. For one waiter.
    pub async fn settled(&self) {
        self.settled.notified().await;
    }

    /// A fact about the state as a whole.
    ///
    /// # Errors
    /// The database failed.
    pub async fn fact(&self, name: &str) -> Result<Option<String>, Error> {
        let sql = "-- fact\nSELECT value FROM meta WHERE name = ?";
        Ok(sqlx::query_scalar(sql).bind(name).fetch_optional(&self.pool).await?)
    }

    /// Notes a fact.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_fact(&self, name: &str, value: &str) -> Result<(), Error> {
        let sql = "-- set_fact\nINSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        sqlx::query(sql).bind(name).bind(value).execute(&self.pool).await?;
        Ok(())
    }

    /// A fact that may tell of a record.
    ///
    /// # Errors
    /// The database failed, or the text does not decrypt.
    pub async fn locked_fact(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(locked) = self.fact(name).await? else { return Ok(None) };
        let locked = hex::decode(locked).map_err(|_| Error::Damaged)?;
        let text = self.vault.unlock(format!("meta.{name}").as_bytes(), &locked)?;
        String::from_utf8(text).map(Some).map_err(|_| Error::Damaged)
    }

    /// Notes a fact that may tell of a record: encrypted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_locked_fact(&self, name: &str, value: &str) -> Result<(), Error> {
        let locked = self.vault.lock(format!("meta.{name}").as_bytes(), value.as_bytes())?;
        self.set_fact(name, &hex::encode(locked)).await
    }

    /// Forgets a fact.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_fact(&self, name: &str) -> Result<(), Error> {
        let sql = "-- forget_fact\nDELETE FROM meta WHERE name = ?";
        sqlx::query(sql).bind(name).execute(&self.pool).await?;
        Ok(())
    }

    /// The facts whose names begin so: what follows, and the value.
    ///
    /// # Errors
    /// The database failed.
    pub async fn facts(&self, beginning: &str) -> Result<Vec<(String, String)>, Error> {
        let sql = "-- facts\nSELECT substr(name, ?1), value FROM meta WHERE substr(name, 1, ?2) = ?3 ORDER BY name";
        let length = i64::try_from(beginning.chars().count()).unwrap_or(i64::MAX);
        Ok(sqlx::query_as(sql)
            .bind(length.saturating_add(1))
            .bind(length)
            .bind(beginning)
            .fetch_all(&self.pool)
            .await?)
    }

    /// Whether a unit was ever worked off under this mapping.
    ///
    /// # Errors
    /// The database failed.
    pub async fn known_unit(&self, unit: &Digest) -> Result<bool, Error> {
        let sql = "-- known_unit\nSELECT 1 FROM units WHERE unit = ?";
        let found: Option<i64> = sqlx::query_scalar(sql).bind(&unit[..]).fetch_optional(&self.pool).await?;
        Ok(found.is_some())
    }

    /// Whether a unit was worked off under this mapping, and is not to be read again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unit_done(&self, unit: &Digest) -> Result<bool, Error> {
        let sql = "-- unit_done\nSELECT 1 FROM units WHERE unit = ?
            AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'again:' || lower(hex(unit)))";
        let found: Option<i64> = sqlx::query_scalar(sql).bind(&unit[..]).fetch_optional(&self.pool).await?;
        Ok(found.is_some())
    }

    /// Removes what is kept no longer: sealed bytes seven days after they ended, problems 90 days after they closed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn purge(&self, now_ms: i64) -> Result<(), Error> {
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let sql = "-- purge_submissions
            DELETE FROM submissions WHERE stage IN ('released', 'refused', 'abandoned') AND touched_ms < ?";
        sqlx::query(sql).bind(now_ms - kept).execute(&self.pool).await?;
        let sql = "-- purge_problems\nDELETE FROM problems WHERE closed_ms < ?";
        sqlx::query(sql).bind(now_ms - 90 * 24 * 3_600_000).execute(&self.pool).await?;
        Ok(())
    }

    /// Closes the file after the last write.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn digest(bytes: Vec<u8>) -> Result<Digest, Error> {
    bytes.try_into().map_err(|_| Error::Damaged)
}

#[cfg(test)]
mod tests;
