//! What differs is sent again: as it was sealed, where that is kept; or from the row that was read anew. The hub's word
//! on where a record stands is always taken, so that a number is never given twice.

use std::collections::{HashMap, HashSet};

use weft_record::catalogue::Sensitivity;

use super::{
    Comparison, Difference, Error, Reconciled,
    anew::Reread,
    sides::{Side, Sides},
};
use crate::{
    heads,
    intake::{Intake, Taken},
    mapping::{Mapped, Mapper},
    problem::{Reason, RowProblem},
    sealing,
    spool::{Origin as RowOrigin, Record, Standing, Writes},
};

/// A row of a record, in a unit of the same source, is behind every other of that unit.
const LAST_RANK: i64 = i64::MAX;

impl Comparison<'_> {
    /// Repairs a record without its row: sends again what the hub lost, or takes its word where it is ahead. Where
    /// neither can be, and no row speaks for the record, that becomes a problem, and the record is taken anew when the
    /// department gives it again.
    pub(super) async fn send_again(
        &self,
        writes: &mut Writes,
        record_type: &str,
        side: &Side,
        difference: Difference,
    ) -> Result<bool, Error> {
        let (spool, id) = (&self.intake.spool, side.record_id.as_str());
        let lost = side.here_version.saturating_sub(side.head.version);
        if difference == Difference::Extra {
            return Ok(false);
        }
        if difference == Difference::Missing
            && lost > 0
            && spool.resend_above(writes, id, side.head.version, lost, self.now_ms()).await?
        {
            return Ok(true);
        }
        if side.row.is_some() {
            return Ok(false);
        }
        spool.believe(writes, id, record_type, heads::standing(&side.head)).await?;
        if side.head.version > side.here_version {
            return Ok(true);
        }
        let sources = self.origins.iter().filter(|origin| origin.mapper.record_type() == record_type);
        let source = sources.map(|origin| origin.config.name.as_str()).next().unwrap_or_default();
        let problem = RowProblem::new(0, id, Reason::LostAtHub);
        spool.add_problem(writes, (source, &[0; 32]), Some(id), &problem, self.now_ms()).await?;
        Ok(false)
    }

    /// Reads the rows of a source once more for those that speak for a record that differs: they tell its key and its
    /// place, and are taken anew.
    pub(super) async fn take_rows(
        &self,
        reread: &Reread,
        sides: &mut Sides,
        found: &mut Reconciled,
    ) -> Result<(), Error> {
        let origin = &self.origins[reread.at];
        let mapper = &origin.mapper;
        let hidden = hidden(self.intake, mapper)?;
        let index = found.named.iter().enumerate().map(|(at, named)| (named.record_id.clone(), at));
        let index: HashMap<String, usize> = index.collect();
        let mut again = reread.again(mapper);
        while let Some((unit, rows)) = again.next().await? {
            let rows = self.differing((reread.at, unit), mapper, rows, sides).await?;
            let mut writes = self.intake.spool.begin().await?;
            for (side, row) in rows {
                let file = &reread.units[unit].name;
                let named = index.get(&side.record_id).copied();
                if let Some(named) = named {
                    let named = &mut found.named[named];
                    named.key = shown(&row.natural_key, &hidden);
                    named.from = format!("{} / {file}:{}", origin.config.name, row.line);
                }
                if !self.repair {
                    continue;
                }
                let unit = Intake::unit(&reread.units[unit].digest, &mapper.digest());
                let source = origin.config.name.clone();
                let origin = RowOrigin { source, unit, file: file.clone(), line: row.line };
                let told = self.intake.spool.is_told(&mut writes, &side.record_id).await?;
                let mended = self.mend(&mut writes, mapper.record_type(), (&side, &row), &origin).await?;
                found.repaired += u64::from(mended);
                found.told -= u64::from(mended && told);
                if let Some(named) = named.filter(|_| mended) {
                    found.named[named].told = false;
                }
            }
            self.intake.spool.commit(writes).await?;
        }
        Ok(())
    }

    /// The rows that speak for a record that differs.
    async fn differing(
        &self,
        (source, unit): (usize, usize),
        mapper: &Mapper,
        rows: Vec<Mapped>,
        sides: &mut Sides,
    ) -> Result<Vec<(Side, Mapped)>, Error> {
        let id = |row: &Mapped| self.intake.sealer.record_id(mapper.record_type(), &row.natural_key);
        let ids = rows.iter().map(id).collect::<Result<Vec<_>, _>>().map_err(sealing_error)?;
        let sides = sides.of(&ids).await?.into_iter().filter(|side| side.differs.is_some());
        let mut sides: HashMap<String, Side> = sides.map(|side| (side.record_id.clone(), side)).collect();
        let mut speaking = Vec::new();
        for (id, row) in ids.into_iter().zip(rows) {
            let speaks = |side: &Side| side.row.is_some_and(|(at, _)| at == (source, unit, row.line));
            if sides.get(&id).is_some_and(speaks)
                && let Some(side) = sides.remove(&id)
            {
                speaking.push((side, row));
            }
        }
        Ok(speaking)
    }

    /// Takes a row anew, behind what the hub has. Whether that made a version.
    async fn mend(
        &self,
        writes: &mut Writes,
        record_type: &str,
        (side, row): (&Side, &Mapped),
        origin: &RowOrigin,
    ) -> Result<bool, Error> {
        let (spool, id) = (&self.intake.spool, side.record_id.as_str());
        let (moving, _) = spool.how_it_is(writes, id).await?;
        let known = spool.record(writes, id).await?.unwrap_or_else(|| Record::new(id, record_type));
        if moving || known.head.version > side.here_version.max(side.head.version) {
            // It went on its way while it was looked at.
            return Ok(false);
        }
        let head = heads::standing(&side.head);
        // A state with flags says more than a head's bare status, of the same version.
        let flags = known.head.state.filter(|state| {
            known.head.version == head.version && head.state.is_some_and(|head| head.status == state.status)
        });
        let head = Standing { state: flags.or(head.state), ..head };
        let record = Record { tip: head.clone(), head, taken: None, row_order: None, ..known };
        spool.put_record(writes, &record).await?;
        match self.intake.take(writes, (record_type, id), row, LAST_RANK, origin).await? {
            Taken::Versions(_) => Ok(true),
            Taken::Unchanged => Ok(false),
            Taken::Not(reason) => {
                let problem = RowProblem::new(row.line, "", reason).in_file(&origin.file);
                let unit = (origin.source.as_str(), &origin.unit);
                spool.add_problem(writes, unit, Some(id), &problem, self.now_ms()).await?;
                Ok(false)
            }
        }
    }
}

fn sealing_error(error: sealing::Error) -> Error {
    Error::Intake(error.into())
}

/// Which parts of the natural key are not public.
fn hidden(intake: &Intake, mapper: &Mapper) -> Result<HashSet<usize>, Error> {
    let of = intake.sealer.record_type(mapper.record_type()).map_err(sealing_error)?;
    let definition = &of.definition;
    let is_hidden =
        |name: &String| definition.fields.get(name).is_none_or(|field| field.sensitivity != Sensitivity::Public);
    let parts = definition.natural_key.iter().enumerate();
    Ok(parts.filter(|(_, name)| is_hidden(name)).map(|(at, _)| at).collect())
}

fn shown(natural_key: &[String], hidden: &HashSet<usize>) -> String {
    let part = |(at, part): (usize, &String)| if hidden.contains(&at) { "****".to_owned() } else { part.clone() };
    natural_key.iter().enumerate().map(part).collect::<Vec<_>>().join("、")
}
