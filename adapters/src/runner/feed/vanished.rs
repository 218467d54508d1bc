//! What is not in a whole snapshot any more: told, and an event where a rule says so.
//!
//! A snapshot that is much smaller than the last one, or in which almost nothing could be read, is not believed: an
//! export that broke off must not end a thousand licences.

use weft_record::status::Event;

use super::{Feed, Left, Work};
use crate::{
    intake::Taken,
    mapping::{Intent, Mapped},
    problem::{Reason, RowProblem},
    source::Unit,
    spool::{Digest, Origin, Snapshot, Vanished, Writes},
};

/// Rows that are looked at together.
const TOGETHER: u32 = 256;
/// Rows that are told one by one; beyond them there is a count.
const TOLD: u64 = 1_000;

/// A row that is back from having vanished says again what the record is; a word such as 变更 beside it would leave the
/// record where the rule had put it.
pub(super) fn back(work: &Work, record_id: &str, row: &mut Mapped) {
    let plain = [Event::Issue, Event::Change, Event::Renew, Event::Reissue, Event::Correct];
    if let Intent::Happened(event) = row.draft.intent
        && plain.contains(&event)
        && work.returned.contains(record_id)
    {
        row.draft.intent = Intent::Is(weft_record::status::Status::Valid);
    }
}

impl Feed {
    /// Whether a unit is read again on request. A snapshot of old content that comes by itself is no old snapshot.
    pub(super) async fn is_again(&self, unit: &Unit, digest: &Digest) -> Result<bool, Left> {
        let spool = &self.intake.spool;
        let known = spool.known_unit(digest).await?;
        Ok(known && (!unit.whole || !spool.unit_done(digest).await?))
    }

    /// Whether a unit needs no work. A snapshot that was worked off says something new when another came in between.
    pub(super) async fn is_done(&self, unit: &Unit, digest: &Digest, again: bool) -> Result<bool, Left> {
        let spool = &self.intake.spool;
        let done = if unit.whole && !again {
            spool.is_last_snapshot(self.source.name(), digest).await?
        } else {
            spool.unit_done(digest).await?
        };
        Ok(done)
    }

    /// Notes that a record has a row in the snapshot, mapped or not.
    pub(super) async fn seen(&self, writes: &mut Writes, work: &mut Work, id: &str, line: u64) -> Result<(), Left> {
        let Some(generation) = work.generation else { return Ok(()) };
        let (name, spool) = (self.source.name(), &self.intake.spool);
        if spool.seen(writes, (name, generation), id, line).await? {
            let now_ms = self.intake.clock.now().as_millisecond();
            spool.close_vanished(writes, name, id, now_ms).await?;
            if self.mapper.vanished().event.is_some() {
                work.returned.insert(id.to_owned());
            }
        }
        Ok(())
    }

    /// Finds what vanished, and does with it what the mapping says.
    pub(super) async fn vanished(&self, work: &Work) -> Result<(), Left> {
        let Some(generation) = work.generation else { return Ok(()) };
        let (name, spool) = (self.source.name(), &self.intake.spool);
        let (here, gone) = spool.present(name, generation).await?;
        let last = spool.believed(name).await?.unwrap_or_default();
        if gone > 0 && self.is_doubtful(work, here, gone, &last) {
            let zh = format!("上次 {} 行，本次 {here} 行，缺 {gone} 行", last.rows);
            let en = format!("{} rows last time, {here} now, {gone} are missing", last.rows);
            return self.tell_whole(work, Reason::TooManyVanished, (&zh, &en), false).await;
        }
        let event = self.mapper.vanished().event;
        if gone > 0 && event.is_some() && work.nameless > 0 {
            let zh = format!("{} 行无法识别，{gone} 行消失", work.nameless);
            let en = format!("{} rows could not be read, {gone} vanished", work.nameless);
            return self.tell_whole(work, Reason::VanishedDoubtful, (&zh, &en), false).await;
        }
        let mut count = 0;
        loop {
            let rows = spool.gone(name, generation, TOGETHER).await?;
            if rows.is_empty() {
                break;
            }
            let mut writes = spool.begin().await?;
            for row in rows {
                count += 1;
                self.one_vanished(&mut writes, work, (&row, &last.name), event, count <= TOLD).await?;
            }
            spool.commit(writes).await?;
        }
        if let Some(event) = event.filter(|_| count > 0) {
            let (zh, en) = (format!("{count} 行转为 {event}"), format!("{count} rows became {event}"));
            self.tell_whole(work, Reason::RowVanished, (&zh, &en), true).await?;
        } else if count > TOLD {
            let (zh, en) = (format!("共 {count} 行"), format!("{count} rows in all"));
            self.tell_whole(work, Reason::RowVanished, (&zh, &en), false).await?;
        }
        Ok(spool.set_believed(name, &Snapshot { name: work.unit.name.clone(), rows: here }).await?)
    }

    fn is_doubtful(&self, work: &Work, here: u64, gone: u64, last: &Snapshot) -> bool {
        let limit = u64::from(self.mapper.vanished().limit_percent);
        let records = work.rows - work.skipped;
        let failed = records - work.mapped;
        here == 0 || failed * 2 > records || (gone > 1 && gone * 100 > limit * last.rows.max(gone))
    }

    async fn one_vanished(
        &self,
        writes: &mut Writes,
        work: &Work,
        (row, file): (&Vanished, &str),
        event: Option<Event>,
        is_told: bool,
    ) -> Result<(), Left> {
        let (name, spool) = (self.source.name(), &self.intake.spool);
        let now_ms = self.intake.clock.now().as_millisecond();
        let mut told = RowProblem::new(row.line, row.record_id.as_str(), Reason::RowVanished).in_file(file);
        let mut is_told = is_told && event.is_none();
        if let Some(event) = event {
            let origin = Origin { source: name.to_owned(), unit: work.digest, file: file.to_owned(), line: row.line };
            if let Taken::Not(reason) = self.intake.vanish(writes, &row.record_id, event, &origin).await? {
                told = told.because(reason.zh(), reason.en());
                is_told = true;
            }
        }
        if is_told {
            let id = Some(row.record_id.as_str());
            spool.add_problem(writes, (name, &work.digest), id, &told, now_ms).await?;
        }
        Ok(spool.set_vanished(writes, name, &row.record_id, now_ms).await?)
    }

    /// A word about the snapshot as a whole.
    async fn tell_whole(&self, work: &Work, reason: Reason, (zh, en): (&str, &str), note: bool) -> Result<(), Left> {
        let mut told = RowProblem::new(0, "", reason).because(zh, en);
        told.note = note;
        let mut writes = self.intake.spool.begin().await?;
        self.tell(&mut writes, work, None, told).await?;
        self.intake.spool.commit(writes).await?;
        Ok(())
    }
}
