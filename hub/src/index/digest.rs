//! One hash over the index: what a rebuild is compared by.
//!
//! The rows of each table go in, in the order of its key (text and bytes compared byte by byte, nulls first), as canonical
//! bytes: each cell a tag, its length and its bytes, so that no two different states have the same bytes. Rows are streamed:
//! memory does not grow with the index.

use aws_lc_rs::digest::{Context, SHA256};

use super::{
    DigestScope, Error,
    sql::{
        Engine,
        statement::{Args, Cells, Value},
    },
};

/// A column, and whether it only says where an entry stands: such columns are left out of [`DigestScope::Content`].
struct Column(&'static str, bool);

const fn says(name: &'static str) -> Column {
    Column(name, false)
}

const fn place(name: &'static str) -> Column {
    Column(name, true)
}

struct Table {
    name: &'static str,
    columns: &'static [Column],
    key: &'static str,
    /// The order where places are left out; `None` leaves the whole table out: it is about the log, not about records.
    content_key: Option<&'static str>,
}

/// `positions` without leases and without the remembered entries, of which compaction takes some away; `versions` without the
/// offset that a rewind goes by. Not here: what only undoes (`lost`, `replaced_outcomes`), `registry_floor`, which does not come
/// from the log.
const TABLES: &[Table] = &[
    Table {
        name: "versions",
        columns: &[
            says("record_id"),
            says("version"),
            says("record_type"),
            says("department"),
            says("event"),
            says("status"),
            says("frozen"),
            says("suspended"),
            says("valid_from"),
            says("valid_until"),
            says("iat"),
            says("accepted_at"),
            says("kid"),
            says("submission_id"),
            says("content_digest"),
            says("substance_digest"),
            says("erased"),
            place("topic"),
            place("partition_no"),
            place("entry_offset"),
            place("entry_key"),
            place("entry_id"),
            place("envelope"),
        ],
        key: "record_id, version",
        content_key: Some("record_id, version"),
    },
    Table {
        name: "heads",
        columns: &[
            says("record_id"),
            says("record_type"),
            says("department"),
            says("version"),
            says("status"),
            says("frozen"),
            says("suspended"),
            says("gap_version"),
        ],
        key: "record_id",
        content_key: Some("record_id"),
    },
    Table {
        name: "holders",
        columns: &[says("record_id"), says("record_type"), says("holder"), says("from_version"), says("until_version")],
        key: "record_id, holder, from_version",
        content_key: Some("record_id, holder, from_version"),
    },
    Table {
        name: "identifiers",
        columns: &[
            says("record_id"),
            says("record_type"),
            says("identifier"),
            says("from_version"),
            says("until_version"),
        ],
        key: "record_id, identifier, from_version",
        content_key: Some("record_id, identifier, from_version"),
    },
    Table {
        name: "outcomes",
        columns: &[
            says("submission_id"),
            says("outcome"),
            says("reason"),
            says("record_id"),
            says("version"),
            says("head"),
            place("topic"),
            place("partition_no"),
            place("entry_offset"),
            says("at_ms"),
        ],
        key: "submission_id",
        content_key: Some("submission_id"),
    },
    Table {
        name: "appends",
        columns: &[
            place("topic"),
            place("partition_no"),
            place("entry_offset"),
            place("entry_key"),
            place("entry_id"),
            place("submission_id"),
            place("record_id"),
            place("version"),
            place("envelope"),
        ],
        key: "topic, partition_no, entry_offset",
        content_key: None,
    },
    Table {
        name: "quarantine",
        columns: &[
            says("CASE WHEN stage = 'foreign' THEN '' ELSE id END AS own_id"),
            place("id"),
            says("department"),
            says("sender"),
            says("record_type"),
            says("record_id"),
            says("version"),
            says("at_ms"),
            says("stage"),
            says("problems"),
            says("closed"),
            says("closed_version"),
            place("topic"),
            place("partition_no"),
            place("entry_offset"),
        ],
        // Qualified: PostgreSQL calls the first column `id` too.
        key: "quarantine.id",
        // The id of what was written past the hub is its place.
        content_key: Some(
            "CASE WHEN stage = 'foreign' THEN '' ELSE id END, at_ms, record_id, version, stage, problems",
        ),
    },
    Table {
        name: "ledger",
        columns: &[
            place("entry_id"),
            place("entry_offset"),
            says("kind"),
            says("window_name"),
            says("request_id"),
            says("holder"),
            says("records"),
            says("department"),
            says("at_ms"),
            place("envelope"),
        ],
        key: "entry_id",
        content_key: Some("at_ms, window_name, request_id, kind, department, records, holder NULLS FIRST"),
    },
    Table {
        name: "alarms",
        columns: &[
            place("id"),
            place("alarm"),
            place("at_ms"),
            place("topic"),
            place("partition_no"),
            place("entry_offset"),
            place("detail"),
        ],
        key: "id",
        content_key: None,
    },
    Table {
        name: "positions",
        columns: &[place("topic"), place("partition_no"), place("next_offset"), place("is_current")],
        key: "topic, partition_no",
        content_key: None,
    },
];

impl Table {
    /// The statement that reads its rows for a digest, and how many columns they have; `None` where the scope leaves it out.
    fn statement(&self, scope: DigestScope) -> Option<(String, usize)> {
        let key = match scope {
            DigestScope::Everything => self.key,
            DigestScope::Content => self.content_key?,
        };
        let columns: Vec<_> = self
            .columns
            .iter()
            .filter(|Column(_, place)| scope == DigestScope::Everything || !place)
            .map(|Column(name, _)| *name)
            .collect();
        let (name, of) = (self.name, self.condition());
        let text = format!("-- digest_{name}\nSELECT {} FROM {name}{of} ORDER BY {key}", columns.join(", "));
        Some((text, columns.len()))
    }

    /// Which rows count: what follows from no entry of the log, a rebuild cannot find again.
    fn condition(&self) -> &'static str {
        if self.name == "alarms" { " WHERE id NOT LIKE 'hub/%'" } else { "" }
    }
}

/// [`super::Index::digest`], over one snapshot.
pub(super) async fn digest(engine: &dyn Engine, scope: DigestScope) -> Result<[u8; 32], Error> {
    let mut session = engine.snapshot().await?;
    let mut context = Context::new(&SHA256);
    for table in TABLES {
        let Some((text, width)) = table.statement(scope) else { continue };
        feed(&mut context, b't', table.name.as_bytes());
        let mut on_row = |mut cells: Cells| {
            context.update(b"r");
            for _ in 0..width {
                match cells.value()? {
                    Value::Null => feed(&mut context, b'n', &[]),
                    Value::Int(number) => feed(&mut context, b'i', &number.to_be_bytes()),
                    Value::Bool(flag) => feed(&mut context, b'i', &i64::from(flag).to_be_bytes()),
                    Value::Text(text) => feed(&mut context, b's', text.as_bytes()),
                    Value::Blob(bytes) => feed(&mut context, b'b', &bytes),
                }
            }
            Ok(())
        };
        session.each(text, &[], Args::default(), &mut on_row).await?;
    }
    session.commit().await?;
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

fn feed(context: &mut Context, tag: u8, bytes: &[u8]) {
    context.update(&[tag]);
    context.update(&(bytes.len() as u64).to_be_bytes());
    context.update(bytes);
}
