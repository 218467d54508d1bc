//! Looking records up, many at once.

use std::collections::HashSet;

use super::{
    Engine, Error, Session, cells,
    statement::{Args, Cells, Statement, Value},
    statements as sql,
};
use crate::index::{By, Found, KeyedHash, LookUp, Looked};

/// [`crate::index::Index::look`]. Records by their identifier alone take one statement. Where holders or look-up identifiers
/// are asked for, a snapshot spans the statements that turn them into record identifiers (by the hash, their shard key) and the
/// one that reads the records (by `record_id`, theirs).
pub(super) async fn look(engine: &dyn Engine, look_ups: &[LookUp]) -> Result<Looked, Error> {
    let alone = look_ups.iter().all(|look_up| matches!(look_up.by, By::Record(_)));
    let mut session = if alone { engine.once().await? } else { engine.snapshot().await? };
    let wanted = wanted(session.as_mut(), look_ups).await?;
    let mut looked = Looked { registry_floor: 0, repairing: false, found: vec![Vec::new(); look_ups.len()] };
    if wanted.is_empty() {
        let nothing = session.rows(&sql::LOOK_NOTHING, Args::default(), floor_and_repairing).await?.pop();
        (looked.registry_floor, looked.repairing) = nothing.unwrap_or_default();
    }
    for (slot, around, found) in session.rows(&sql::LOOK_RECORDS, Args::batch(wanted), found).await? {
        (looked.registry_floor, looked.repairing) = around;
        if let (Some(found), Some(place)) = (found, looked.found.get_mut(slot)) {
            place.push(found);
        }
    }
    session.commit().await?;
    Ok(looked)
}

/// (slot, record, holder, as of, version) for every record to be read.
async fn wanted(session: &mut dyn Session, look_ups: &[LookUp]) -> Result<Vec<Vec<Value>>, Error> {
    let mut wanted = Vec::with_capacity(look_ups.len());
    let mut finds: [(&Statement, Vec<Vec<Value>>); 4] = [
        (&sql::FIND_BY_HOLDER, Vec::new()),
        (&sql::FIND_BY_HOLDER_AS_OF, Vec::new()),
        (&sql::FIND_BY_IDENTIFIER, Vec::new()),
        (&sql::FIND_BY_IDENTIFIER_AS_OF, Vec::new()),
    ];
    for (slot, look_up) in look_ups.iter().enumerate() {
        let history = usize::from(look_up.as_of.is_some());
        match &look_up.by {
            By::Record(record_id) => wanted.push(want(slot, record_id, look_up)),
            By::Holder { record_type, hash, after, limit } => {
                let after = after.as_deref().unwrap_or_default();
                finds[history].1.push(find(slot, record_type, hash, after, i64::from(*limit), look_up));
            }
            By::Identifier { record_type, hash } => {
                finds[2 + history].1.push(find(slot, record_type, hash, "", i64::MAX, look_up));
            }
        }
    }
    for (statement, batch) in finds {
        let mut seen = HashSet::new();
        for (slot, record_id) in session.rows(statement, Args::batch(batch), slot_and_record).await? {
            let look_up = look_ups.get(slot).ok_or_else(|| Error::Unavailable("a slot is out of range".into()))?;
            if seen.insert((slot, record_id.clone())) {
                wanted.push(want(slot, &record_id, look_up));
            }
        }
    }
    Ok(wanted)
}

fn want(slot: usize, record_id: &String, look_up: &LookUp) -> Vec<Value> {
    let version = match look_up.by {
        By::Record(_) => look_up.version,
        By::Identifier { .. } | By::Holder { .. } => None,
    };
    vec![number(slot), record_id.into(), look_up.holder.as_ref().into(), look_up.as_of.into(), version.into()]
}

fn find(slot: usize, record_type: &String, hash: &KeyedHash, after: &str, most: i64, look_up: &LookUp) -> Vec<Value> {
    let mut row = vec![number(slot), record_type.into(), hash.into(), after.into(), most.into()];
    row.extend(look_up.as_of.map(Value::from));
    row
}

fn number(slot: usize) -> Value {
    Value::Int(i64::try_from(slot).unwrap_or(i64::MAX))
}

fn slot(cells: &mut Cells) -> Result<usize, Error> {
    usize::try_from(cells.int()?).map_err(|_| Error::Unavailable("a slot is out of range".into()))
}

fn slot_and_record(cells: &mut Cells) -> Result<(usize, String), Error> {
    Ok((slot(cells)?, cells.text()?))
}

fn floor_and_repairing(cells: &mut Cells) -> Result<Around, Error> {
    Ok((cells.count()?, cells.flag()?))
}

/// `registry_floor`, and whether a partition of records is under repair.
type Around = (u64, bool);

fn found(cells: &mut Cells) -> Result<(usize, Around, Option<Found>), Error> {
    let slot = slot(cells)?;
    let around = floor_and_repairing(cells)?;
    let is_head = cells.opt_int()?.is_some_and(|flag| flag != 0);
    let holder_matches = cells.flag()?;
    let waiting_behind_gap = cells.opt_count()?;
    let higher_in_quarantine = cells.flag()?;
    let partition_current = cells.flag()?;
    let Some(record_id) = cells.opt_text()? else { return Ok((slot, around, None)) };
    let row = cells::version_of(record_id, cells)?;
    let found = Found { row, is_head, holder_matches, waiting_behind_gap, higher_in_quarantine, partition_current };
    Ok((slot, around, Some(found)))
}
