//! A source read anew, apart from its work: nothing of it is moved, finished or remembered.

use weft_record::status;

use super::{
    Basis, Compared, Error,
    sides::{Claim, Sides},
};
use crate::{
    change,
    clock::Surroundings,
    config::SourceConfig,
    hours::Hours,
    intake::Intake,
    mapping::{Draft, Intent, Mapped, Mapper},
    problem::RowProblem,
    source::{self, Anew, Ending, Item, Next, Row, Rows, Source, Unit},
    spool::{Digest, Standing},
};

/// Rows that are looked up together.
const TOGETHER: usize = 256;

/// A source, and what its rows become.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) config: SourceConfig,
    pub(crate) mapper: Mapper,
    pub(crate) hours: Hours,
}

/// A source that was read anew and can be read once more.
pub(super) struct Reread {
    pub(super) at: usize,
    pub(super) source: Box<dyn Source>,
    pub(super) units: Vec<Unit>,
}

/// Why a source was not read to its end: what was published stands for it.
enum Left {
    Why(String, String),
    Ours(Error),
}

impl<E: Into<Error>> From<E> for Left {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

fn unreadable(error: &source::Error) -> Left {
    let told = format!("{}: {}", error.what, error.cause);
    Left::Why(format!("无法读取：{told}"), format!("it cannot be read: {told}"))
}

/// Reads sources anew.
pub(super) struct Reader<'a> {
    pub(super) intake: &'a Intake,
    pub(super) surroundings: &'a Surroundings,
    pub(super) state_dir: &'a std::path::Path,
}

impl Reader<'_> {
    /// Reads a source as far as it can be read now, and notes what its rows say.
    pub(super) async fn read(
        &self,
        (at, origin): (usize, &Origin),
        sides: &mut Sides,
    ) -> Result<(Compared, Option<Reread>), Error> {
        let mut compared = Compared::published(&origin.config.name);
        match self.all(at, origin, sides, &mut compared).await {
            Ok(reread) => Ok((compared, reread)),
            Err(Left::Ours(error)) => Err(error),
            Err(Left::Why(zh, en)) => {
                // A part of what it says would pass for the whole.
                sides.unclaim(at).await?;
                Ok((Compared { zh, en, ..Compared::published(&origin.config.name) }, None))
            }
        }
    }

    async fn all(
        &self,
        at: usize,
        origin: &Origin,
        sides: &mut Sides,
        compared: &mut Compared,
    ) -> Result<Option<Reread>, Left> {
        self.admitted(origin)?;
        let columns = origin.mapper.columns();
        let anew = source::anew(&origin.config, columns, self.state_dir, self.surroundings);
        let anew = anew.map_err(|error| Left::Why(error.to_string(), error.to_string()))?;
        let Some(Anew { source, whole, several }) = anew else {
            let en = "what was posted is not kept by the adapter once it is published";
            return Err(Left::Why("推送的内容发布后不在本地留存".into(), en.into()));
        };
        let mut reread = Reread { at, source, units: Vec::new() };
        let mut found = Vec::new();
        loop {
            let next = tokio::select! {
                next = reread.source.next() => next.map_err(|error| unreadable(&error))?,
                () = origin.hours.over(self.surroundings.clock.as_ref()) => return Err(over()),
            };
            let unit = match next {
                Next::Unit(unit) => unit,
                Next::Nothing => break,
                Next::Later(_) | Next::Unreadable(..) => continue,
                Next::Missing(refused) => {
                    let told = |words: &str| format!("{words}（{}）", refused.detail);
                    return Err(Left::Why(told(refused.reason.zh()), told(refused.reason.en())));
                }
            };
            found.push(self.unit((reread.at, reread.units.len()), origin, (&*reread.source, &unit), sides).await?);
            reread.units.push(unit);
            if !several {
                break;
            }
        }
        if several && reread.units.is_empty() {
            let en = "no file is kept in done/";
            return Err(Left::Why("done/ 中没有留存的文件".into(), en.into()));
        }
        compared.basis = if whole { Basis::Source } else { Basis::Kept };
        for (rows, nameless) in found {
            compared.rows += rows;
            compared.nameless += nameless;
        }
        Ok(Some(reread))
    }

    /// Whether the source may be asked now.
    fn admitted(&self, origin: &Origin) -> Result<(), Left> {
        if self.intake.life.halt(&origin.config.name).is_some() {
            return Err(Left::Why("该数据源已暂停或停止".into(), "the source is paused or has stopped".into()));
        }
        if origin.hours.include(self.surroundings.clock.now()) { Ok(()) } else { Err(over()) }
    }

    async fn unit(
        &self,
        at: (usize, usize),
        origin: &Origin,
        (source, unit): (&dyn Source, &Unit),
        sides: &mut Sides,
    ) -> Result<(u64, u64), Left> {
        let mapper = &origin.mapper;
        let rows = source.rows(unit, mapper.columns()).await;
        let mut rows = rows.map_err(rows_left)?;
        let (mut count, mut nameless, mut seen) = (0, 0, 0_i64);
        loop {
            let mut chunk = Vec::with_capacity(TOGETHER);
            while chunk.len() < TOGETHER {
                match rows.next().await.map_err(rows_left)? {
                    Some(Item::Row(row)) if mapper.is_record(&row) => chunk.push(row),
                    Some(Item::Bad(_)) => nameless += 1,
                    Some(_) => {}
                    None => break,
                }
            }
            if chunk.is_empty() {
                return Ok((count, nameless));
            }
            self.admitted(origin)?;
            count += chunk.len() as u64;
            nameless += self.claims(at, mapper, chunk, &mut seen, sides).await?;
        }
    }

    /// Notes what a handful of rows says; tells how many have no key.
    async fn claims(
        &self,
        (source, unit): (usize, usize),
        mapper: &Mapper,
        chunk: Vec<Row>,
        seen: &mut i64,
        sides: &mut Sides,
    ) -> Result<u64, Left> {
        let mut placed = Vec::with_capacity(chunk.len());
        let mut nameless = 0;
        for row in chunk {
            *seen += 1;
            let Some((natural_key, order)) = mapper.place(&row) else {
                nameless += 1;
                continue;
            };
            let record_id = self.intake.sealer.record_id(mapper.record_type(), &natural_key).map_err(sealing)?;
            // Files of one source follow each other; within them the order of the rows decides.
            let place = order.unwrap_or((i64::try_from(unit).unwrap_or(0) << 40) + *seen);
            placed.push((record_id, place, row));
        }
        let ids: Vec<String> = placed.iter().map(|(id, ..)| id.clone()).collect();
        let mut heads = sides.heads(&ids).await?;
        let mut claims = Vec::with_capacity(placed.len());
        for (record_id, place, row) in placed {
            let substance = match mapper.map(&row) {
                Ok(mapped) => Some(self.says(&record_id, heads.get_mut(&record_id), &mapped.draft).await?),
                Err(_) => None,
            };
            claims.push(Claim { record_id, at: (source, unit, row.line), place, substance });
        }
        sides.claim(&claims).await?;
        Ok(nameless)
    }

    /// What a row says, as a keyed digest: that of the head where it says nothing new beside it.
    async fn says(&self, record_id: &str, head: Option<&mut Standing>, draft: &Draft) -> Result<Digest, Error> {
        let none = Standing::default();
        let head = match head {
            None => &none,
            Some(head) => {
                if !self.nothing_new(head, draft) {
                    // A head tells its status alone; which flags lie under it is known here.
                    self.with_flags(record_id, head).await?;
                }
                head
            }
        };
        if let Some(substance) = head.substance.filter(|_| self.nothing_new(head, draft)) {
            return Ok(substance);
        }
        let status = match draft.intent {
            Intent::Is(status) => status,
            Intent::Happened(event) => match (status::step(head.state, event), head.state) {
                (Ok(after), _) | (Err(_), Some(after)) => after.status,
                (Err(_), None) => status::Status::Valid,
            },
        };
        Ok(self.intake.sealer.substance(draft, status))
    }

    fn nothing_new(&self, head: &Standing, draft: &Draft) -> bool {
        let differs = |status| head.substance != Some(self.intake.sealer.substance(draft, status));
        head.version > 0 && change::steps(head.state, draft.intent, differs).is_ok_and(|steps| steps.is_empty())
    }

    async fn with_flags(&self, record_id: &str, head: &mut Standing) -> Result<(), Error> {
        let spool = &self.intake.spool;
        let mut writes = spool.begin().await?;
        let known = spool.record(&mut writes, record_id).await?;
        spool.commit(writes).await?;
        if let Some(known) = known.filter(|known| known.head.version == head.version && known.head.state.is_some()) {
            head.state = known.head.state;
        }
        Ok(())
    }
}

fn sealing(error: crate::sealing::Error) -> Error {
    Error::Intake(error.into())
}

fn over() -> Left {
    Left::Why("不在服务时段内".into(), "it is outside its service hours".into())
}

fn rows_left(error: source::RowsError) -> Left {
    match error {
        source::RowsError::Failed(error) => unreadable(&error),
        source::RowsError::Refused(refused) => {
            let problem = RowProblem::of_file("", &refused);
            Left::Why(problem.zh, problem.en)
        }
    }
}

/// The rows of a source on their way once more.
pub(super) struct Again<'a> {
    of: &'a Reread,
    mapper: &'a Mapper,
    unit: usize,
    rows: Option<Rows>,
}

impl Again<'_> {
    /// The next rows that are records and can be mapped, and the unit that they stand in.
    pub(super) async fn next(&mut self) -> Result<Option<(usize, Vec<Mapped>)>, Error> {
        while let Some(unit) = self.of.units.get(self.unit) {
            let rows = match &mut self.rows {
                Some(rows) => rows,
                None => self.rows.insert(self.of.source.rows(unit, self.mapper.columns()).await?),
            };
            let mut chunk = Vec::with_capacity(TOGETHER);
            while chunk.len() < TOGETHER {
                let Some(item) = rows.next().await? else { break };
                if let Item::Row(row) = item
                    && self.mapper.is_record(&row)
                    && let Ok(mapped) = self.mapper.map(&row)
                {
                    chunk.push(mapped);
                }
            }
            if !chunk.is_empty() {
                return Ok(Some((self.unit, chunk)));
            }
            (self.unit, self.rows) = (self.unit + 1, None);
        }
        Ok(None)
    }
}

impl Reread {
    /// Reads the rows once more.
    pub(super) fn again<'a>(&'a self, mapper: &'a Mapper) -> Again<'a> {
        Again { of: self, mapper, unit: 0, rows: None }
    }

    /// Takes away what was staged for the comparison.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        for unit in std::mem::take(&mut self.units) {
            self.source.finish(&unit, Ending::Done { report: String::new() }).await?;
        }
        Ok(())
    }
}
