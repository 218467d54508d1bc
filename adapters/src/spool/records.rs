//! Where each record stands: the hub's head as far as it is known, the tip that is under way, and the row taken last.

use sqlx::{Row as _, sqlite::SqliteRow};
use weft_record::status::State;

use super::{Digest, Error, Spool, Writes, digest};

/// A version that a record has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The number; 0 for none.
    pub version: u64,
    /// Status and flags; nothing for none.
    pub state: Option<State>,
    /// The keyed digest of what it says.
    pub substance: Option<Digest>,
}

/// One record, as the adapter knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its identifier for ever.
    pub record_id: String,
    /// Its type.
    pub record_type: String,
    /// The highest version known to be indexed.
    pub head: Standing,
    /// The highest version sealed here and not refused.
    pub tip: Standing,
    /// What the hub refused last.
    pub refused: Option<Digest>,
    /// The unit, and the rank in it, of the row that was taken last.
    pub taken: Option<(Digest, i64)>,
    /// The greatest value of the ordering column that was taken.
    pub row_order: Option<i64>,
}

impl Record {
    /// A record that nothing is known of.
    pub fn new(record_id: impl Into<String>, record_type: impl Into<String>) -> Self {
        Self {
            record_id: record_id.into(),
            record_type: record_type.into(),
            head: Standing::default(),
            tip: Standing::default(),
            refused: None,
            taken: None,
            row_order: None,
        }
    }
}

fn state_text(state: Option<State>) -> Result<Option<String>, Error> {
    Ok(state.map(|state| serde_json::to_string(&state)).transpose()?)
}

fn standing(row: &SqliteRow, of: [&str; 3]) -> Result<Standing, Error> {
    let state: Option<String> = row.try_get(of[1])?;
    let substance: Option<Vec<u8>> = row.try_get(of[2])?;
    Ok(Standing {
        version: row.try_get::<i64, _>(of[0])?.cast_unsigned(),
        state: state.map(|text| serde_json::from_str(&text)).transpose()?,
        substance: substance.map(digest).transpose()?,
    })
}

fn record(row: &SqliteRow) -> Result<Record, Error> {
    let unit: Option<Vec<u8>> = row.try_get("unit")?;
    let rank: Option<i64> = row.try_get("unit_rank")?;
    let refused: Option<Vec<u8>> = row.try_get("refused_substance")?;
    Ok(Record {
        record_id: row.try_get("record_id")?,
        record_type: row.try_get("record_type")?,
        head: standing(row, ["head_version", "head_state", "head_substance"])?,
        tip: standing(row, ["tip_version", "tip_state", "tip_substance"])?,
        refused: refused.map(digest).transpose()?,
        taken: unit.map(digest).transpose()?.zip(rank),
        row_order: row.try_get("row_order")?,
    })
}

impl Spool {
    /// What is known of a record.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record(&self, writes: &mut Writes, record_id: &str) -> Result<Option<Record>, Error> {
        let sql = "-- record\nSELECT * FROM records WHERE record_id = ?";
        let row = sqlx::query(sql).bind(record_id).fetch_optional(&mut **writes).await?;
        row.as_ref().map(record).transpose()
    }

    /// Writes what is known of a record.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_record(&self, writes: &mut Writes, record: &Record) -> Result<(), Error> {
        let sql = "-- put_record
            INSERT OR REPLACE INTO records (record_id, record_type, head_version, head_state, head_substance,
                tip_version, tip_state, tip_substance, refused_substance, unit, unit_rank, row_order)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&record.record_id)
            .bind(&record.record_type)
            .bind(record.head.version.cast_signed())
            .bind(state_text(record.head.state)?)
            .bind(record.head.substance.as_ref().map(|digest| &digest[..]))
            .bind(record.tip.version.cast_signed())
            .bind(state_text(record.tip.state)?)
            .bind(record.tip.substance.as_ref().map(|digest| &digest[..]))
            .bind(record.refused.as_ref().map(|digest| &digest[..]))
            .bind(record.taken.as_ref().map(|(unit, _)| &unit[..]))
            .bind(record.taken.map(|(_, rank)| rank))
            .bind(record.row_order)
            .execute(&mut **writes)
            .await?;
        Ok(())
    }

    /// Takes over the hub's word on a head: it becomes the head here, and the tip where nothing is under way.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_head(&self, writes: &mut Writes, id: &str, of: &str, head: Standing) -> Result<(), Error> {
        let known = self.record(writes, id).await?;
        let mut record = known.unwrap_or_else(|| Record::new(id, of));
        // A state with flags says more than a head's bare status: it is kept where both speak of the same version.
        if record.head.version == head.version && record.head.state.is_some() {
            return Ok(());
        }
        let nothing_under_way = record.tip.version <= record.head.version;
        record.head = head;
        if nothing_under_way || record.tip.version <= record.head.version {
            record.tip = record.head.clone();
        }
        self.put_record(writes, &record).await
    }
}
