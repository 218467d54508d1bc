//! Bringing the pages of the write-ahead log into the database.

use sqlx::{Row, SqliteConnection};

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// Copy what no reader is in the way of.
    Copy,
    /// Copy everything and cut the file to nothing.
    Empty,
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// A reader was in the way.
    pub(super) busy: bool,
    /// Frames in the write-ahead log.
    pub(super) frames: i64,
}

pub(super) async fn checkpoint(connection: &mut SqliteConnection, kind: Checkpoint) -> Result<Progress, sqlx::Error> {
    let statement = match kind {
        Checkpoint::Copy => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Empty => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok(Progress { busy: row.try_get::<i64, _>(0)? != 0, frames: row.try_get(1)? })
}
