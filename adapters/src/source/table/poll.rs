//! One look at a table: what of it is new goes into the staging file.

use std::io;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::{Timestamp, civil::DateTime, tz::Offset};

use super::{
    Reading, Session,
    answer::Answer,
    mark::{self, Mark, MarkKind},
    place::{Place, Seen, Sum, Sweep},
    staging::{Staged, Staging, unreadable},
    statement::{At, Select, Statement},
};

/// Rows without a watermark that are read with every sweep.
const UNMARKED: u64 = 10_000;
/// Rows at the seam of two pages that are known one by one.
const SEAM: usize = 64;

/// What a look found.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing to tell; how far it was read is another place now, perhaps.
    Nothing(Box<Place>, Option<Seen>),
    /// Rows to be worked off, and where reading stands once they are.
    Page(Box<Page>),
}

/// Rows to be worked off.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) staged: Staged,
    pub(super) digest: [u8; 32],
    pub(super) place: Place,
    /// What was seen of the next sweep's part, when this page ends its sweep.
    pub(super) seen: Option<Seen>,
}

/// A look under way.
pub(super) struct Poll<'a> {
    pub(super) source: &'a str,
    pub(super) reading: &'a Reading,
    pub(super) select: &'a Select,
    pub(super) session: &'a mut dyn Session,
    /// What the sweeps before saw, row by row.
    pub(super) remembered: &'a Seen,
    /// What this sweep saw so far of the next one's part.
    pub(super) seen: &'a mut Seen,
    pub(super) now: Timestamp,
}

/// What went through while rows were read.
struct Tally {
    staging: Staging,
    rows: u64,
    sum: Sum,
    last: Option<At>,
}

impl Tally {
    fn new(staging: Staging) -> Self {
        Self { staging, rows: 0, sum: Sum::default(), last: None }
    }

    fn add(&mut self, row: Sum) {
        self.rows += 1;
        self.sum.add(row);
    }
}

impl Poll<'_> {
    /// Looks until something is found, or all was seen. `staging` makes an empty file.
    pub(super) async fn look(mut self, place: &Place, staging: impl Fn() -> io::Result<Staging>) -> io::Result<Found> {
        let Some(kind) = self.reading.watermark.as_ref().map(|watermark| watermark.kind) else {
            return self.whole(place, staging()?).await;
        };
        let mut place = place.clone();
        loop {
            if let Some(found) = self.page(kind, &mut place, staging()?).await? {
                return Ok(found);
            }
        }
    }

    /// The whole table, compared with the one before as a whole.
    async fn whole(&mut self, place: &Place, staging: Staging) -> io::Result<Found> {
        let mut tally = Tally::new(staging);
        let columns = self.select.columns.len();
        let mut answer = Answer::to(self.session, self.select.whole()?, self.reading);
        while let Some(chunk) = answer.next().await? {
            for cells in chunk {
                tally.add(Sum::of(&cells));
                tally.staging.push(false, &cells[..columns]).await?;
            }
        }
        drop(answer);
        let first_and_empty = place.generation == 0 && tally.rows == 0;
        if first_and_empty || place.known.contains(&tally.sum) {
            return Ok(Found::Nothing(Box::new(place.clone()), None));
        }
        let next = Place {
            generation: place.generation + 1,
            known: vec![tally.sum],
            of: place.of.clone(),
            ..Place::default()
        };
        let digest = self.digest(place.generation, tally.rows, tally.sum);
        Ok(Found::Page(Box::new(Page { staged: tally.staging.finish().await?, digest, place: next, seen: None })))
    }

    /// One page of a sweep; `None` when there was nothing new in it and more pages follow.
    async fn page(&mut self, kind: MarkKind, place: &mut Place, staging: Staging) -> io::Result<Option<Found>> {
        let mut tally = Tally::new(staging);
        let mut sweep = match place.sweep.take() {
            Some(sweep) => sweep,
            None => {
                let sweep = self.begin(kind).await?;
                *self.seen = Seen::default();
                self.unmarked(&mut tally, sweep).await?
            }
        };
        let next = sweep.next.as_deref().and_then(|next| Mark::parse(kind, self.select.dialect.plain(next)));
        let unmarked = tally.rows;
        let limit = self.reading.unit_rows;
        let mut complete = true;
        if let Some(until) = sweep.until.clone() {
            let page = self.select.page(place.from.as_deref(), &until, sweep.at.as_ref(), limit)?;
            self.marked(page, (kind, next), &mut sweep, &mut tally).await?;
            complete = tally.rows - unmarked < limit;
        }
        sweep.page(tally.sum);
        let nothing_new = tally.staging.is_empty() || place.known.contains(&tally.sum);
        if !complete {
            if tally.last == sweep.at {
                let said = format!(
                    "more than {limit} rows have one watermark and key: name key columns that tell rows apart, or raise \
                     unit_rows"
                );
                return Err(io::Error::other(said));
            }
            sweep.at = tally.last.take();
            readable(sweep.at.as_ref())?;
        }
        let digest = self.digest(place.generation, tally.rows, tally.sum);
        place.sweep = Some(sweep);
        let seen = complete.then(|| {
            place.complete();
            std::mem::take(self.seen)
        });
        Ok(match (nothing_new, complete) {
            (true, false) => None,
            (true, true) => Some(Found::Nothing(Box::new(place.clone()), seen)),
            (false, _) => {
                place.generation += 1;
                let staged = tally.staging.finish().await?;
                Some(Found::Page(Box::new(Page { staged, digest, place: place.clone(), seen })))
            }
        })
    }

    /// Where a sweep ends and the next one begins, from what stands there now.
    async fn begin(&mut self, kind: MarkKind) -> io::Result<Sweep> {
        let newest = Answer::to(self.session, self.select.newest()?, self.reading).one().await?;
        let dialect = &self.select.dialect;
        let Some(newest) = newest.filter(|newest| !dialect.plain(newest).is_empty()) else {
            return Ok(Sweep::default());
        };
        let watermark = self.reading.watermark.as_ref().ok_or_else(|| io::Error::other("there is no watermark"))?;
        let local = |utc: bool| clock(self.now, utc || watermark.utc);
        let lower = mark::lower(kind, dialect.plain(&newest), watermark.overlap(), local).ok_or_else(|| {
            let said = format!("the greatest value of the watermark {} is no {}", watermark.column, name(kind));
            io::Error::new(io::ErrorKind::InvalidData, said)
        })?;
        let next = Some(dialect.with_text(&newest, &lower));
        Ok(Sweep { until: Some(newest), next, ..Sweep::default() })
    }

    /// Rows without a watermark: they are looked at with every sweep, as nothing tells when they change.
    async fn unmarked(&mut self, tally: &mut Tally, mut sweep: Sweep) -> io::Result<Sweep> {
        let statement = self.select.unmarked(UNMARKED + 1)?;
        let columns = self.select.columns.len();
        let mut answer = Answer::to(self.session, statement, self.reading);
        while let Some(chunk) = answer.next().await? {
            for cells in chunk {
                let row = Sum::of(&cells);
                tally.add(row);
                sweep.window.add(row);
                self.seen.add(row);
                if !self.remembered.has(&row) {
                    tally.staging.push(true, &cells[..columns]).await?;
                }
            }
        }
        if tally.rows > UNMARKED {
            let said =
                format!("more than {UNMARKED} rows have no watermark: fill it, or read the whole table (no watermark)");
            return Err(io::Error::other(said));
        }
        Ok(sweep)
    }

    async fn marked(
        &mut self,
        statement: Statement,
        (kind, next): (MarkKind, Option<Mark>),
        sweep: &mut Sweep,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let (columns, dialect) = (self.select.columns.len(), &self.select.dialect);
        let before = sweep.at.as_ref();
        // What stood at the end of the page before comes again.
        let mut seam = Vec::new();
        let mut answer = Answer::to(self.session, statement, self.reading);
        while let Some(chunk) = answer.next().await? {
            for mut cells in chunk {
                let row = Sum::of(&cells);
                tally.add(row);
                let mut place = cells.split_off(columns).into_iter();
                let Some(mark) = place.next().flatten() else { continue };
                let at = At { mark, keys: place.collect() };
                let again = before == Some(&at) && sweep.seam.contains(&row);
                let parsed = Mark::parse(kind, dialect.plain(&at.mark));
                if !again && (parsed.is_none() || next.is_none() || parsed >= next) {
                    sweep.window.add(row);
                    self.seen.add(row);
                }
                if tally.last.as_ref() != Some(&at) {
                    seam.clear();
                }
                if seam.len() < SEAM {
                    seam.push(row);
                }
                tally.last = Some(at);
                if !again && !self.remembered.has(&row) {
                    tally.staging.push(false, &cells).await?;
                }
            }
        }
        sweep.seam = seam;
        Ok(())
    }

    fn digest(&self, generation: u64, rows: u64, sum: Sum) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for part in [self.source.as_bytes(), &generation.to_le_bytes(), &rows.to_le_bytes(), &sum.bytes()] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// Where a page ends is asked for with the next one, so it has to be text.
fn readable(at: Option<&At>) -> io::Result<()> {
    let Some(At { mark, keys }) = at else { return Ok(()) };
    if keys.iter().flatten().chain([mark]).any(|cell| unreadable(cell)) {
        let said = "the watermark or key of the row where a page ends is no text in the encoding configured: correct \
                    the row, or name other key columns";
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    Ok(())
}

/// What clocks show now, in UTC or in the hall.
fn clock(now: Timestamp, utc: bool) -> DateTime {
    Offset::constant(if utc { 0 } else { 8 }).to_datetime(now)
}

fn name(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Timestamp => "timestamp",
        MarkKind::Number => "plain number",
    }
}
