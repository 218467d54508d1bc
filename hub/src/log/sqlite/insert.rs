//! Storing drafts at their offsets, many in one statement.

use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::topics::{Place, TopicState};
use crate::log::Draft;

/// Rows of one statement: to hand a statement to the connection's thread costs more than a row.
const ROWS: usize = 25;

static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert_statement(1));
static INSERT_ROWS: LazyLock<String> = LazyLock::new(|| insert_statement(ROWS));

fn insert_statement(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!(
        r#"-- log_insert
INSERT INTO entries (topic, partition, "offset", key, entry_id, headers, value, compacted)
VALUES {values}
-- the key's earlier entry gives way; an offset that is taken stays an error
ON CONFLICT (topic, partition, key) WHERE compacted = 1 DO UPDATE SET
    "offset" = excluded."offset", entry_id = excluded.entry_id, headers = excluded.headers, value = excluded.value"#
    )
}

/// A draft and its place.
pub(super) type Placed<'d> = (&'d Draft, &'d Place, u64);

/// In the order given.
pub(super) async fn insert(connection: &mut SqliteConnection, placed: &[Placed<'_>]) -> Result<(), sqlx::Error> {
    let (chunks, rest) = placed.as_chunks::<ROWS>();
    for chunk in chunks {
        insert_rows(connection, &INSERT_ROWS, chunk).await?;
    }
    for one in rest.chunks(1) {
        insert_rows(connection, &INSERT_ONE, one).await?;
    }
    Ok(())
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[Placed<'_>],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(statement);
    for (draft, place, offset) in rows {
        let TopicState { id, compacted, .. } = *place.topic;
        let headers = serde_json::to_string(&draft.headers).map_err(|error| sqlx::Error::Encode(error.into()))?;
        query = query
            .bind(id)
            .bind(place.number)
            .bind(offset.cast_signed())
            .bind(draft.key.clone())
            .bind(draft.entry_id.0.to_vec())
            .bind(headers)
            .bind(draft.value.to_vec())
            .bind(compacted);
    }
    query.execute(connection).await.map(drop)
}
