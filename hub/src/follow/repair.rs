//! When index and log disagree the log was cut off: back to the last point where both agree, replay, and append again from the index
//! what the log lost. What another content overtook meanwhile stands; the lost submission is then named (`log_lost`).

use std::time::Duration;

use super::{Error, Follower};
use crate::{
    apply::{alarm_row, outcome, reason},
    envelope::{self, Place},
    index::{
        Advance, KnownQuery,
        rows::{AppendRow, OutcomeRow, PositionRow, RecentEntry, Rows},
    },
    log::{Draft, EntryId, Error as LogError, Log, ReadLimit, Topic},
};

/// Whether the log still holds the last entry that the position remembers. An offset that compaction emptied is no difference.
pub(super) async fn agrees(log: &dyn Log, position: &PositionRow) -> Result<bool, Error> {
    if log.end(&position.partition).await? < position.next {
        return Ok(false);
    }
    match position.recent.last() {
        Some(last) => Ok(compare(log, position, last).await? != Some(false)),
        None => Ok(true),
    }
}

/// `Some(true)`: the same entry stands there. `Some(false)`: another one, or the log ends before. `None`: emptied by compaction.
async fn compare(log: &dyn Log, position: &PositionRow, recent: &RecentEntry) -> Result<Option<bool>, Error> {
    let limit = ReadLimit { entries: 1, bytes: 1 };
    let entries = match log.read(&position.partition, recent.offset, limit, Duration::ZERO).await {
        Ok(entries) => entries,
        Err(crate::log::Error::PastEnd { .. } | crate::log::Error::BeforeStart { .. }) => return Ok(Some(false)),
        Err(error) => return Err(error.into()),
    };
    let end = log.end(&position.partition).await?;
    Ok(match entries.first() {
        Some(entry) if entry.offset == recent.offset => Some(entry.entry_id == recent.entry_id),
        _ if end <= recent.offset => Some(false),
        _ => None,
    })
}

impl Follower {
    /// Makes the partition current again. Interrupted anywhere, it is begun anew by the next leaseholder.
    pub(super) async fn repair(&self, position: &mut PositionRow) -> Result<(), Error> {
        let partition = position.partition.clone();
        if !agrees(self.log.as_ref(), position).await? {
            let kept = self.last_agreed(position).await?;
            let to = kept.last().map_or(0, |last| last.offset + 1);
            tracing::error!(%partition, to, next = position.next, "the log was cut off: going back and replaying");
            self.index.rewind(&partition, &self.owner, to, &kept).await?;
            position.next = to;
            position.recent = kept;
            position.current = false;
            self.raise_cut_alarm(position).await?;
        }
        self.replay(position).await?;
        self.settle_lost(position).await?;
        self.replay(position).await?;
        self.index.set_current(&partition, &self.owner, true).await?;
        position.current = true;
        Ok(())
    }

    async fn replay(&self, position: &mut PositionRow) -> Result<(), Error> {
        loop {
            match self.advance(position, Duration::ZERO).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(Error::Log(LogError::BeforeStart { start, .. })) => self.skip_to(position, start).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The log begins only at `start`: what stood before it was deleted. What the index still has of it is appended again.
    async fn skip_to(&self, position: &mut PositionRow, start: u64) -> Result<(), Error> {
        tracing::error!(partition = %position.partition, from = position.next, start, "the log was deleted up to here");
        let detail =
            format!("offsets {} to {start} are gone; what the index has of them is appended again", position.next);
        let alarm = alarm_row("cut_log", &position.partition, position.next, self.clock.now(), &detail);
        let rows = Rows { alarms: vec![alarm], ..Rows::default() };
        let advance = Advance { to: start, recent: Vec::new(), ..self.stand_still(position) };
        self.index.commit(&advance, &rows).await?;
        position.next = start;
        position.recent = Vec::new();
        Ok(())
    }

    /// The remembered entries up to the newest that the log still holds.
    async fn last_agreed(&self, position: &PositionRow) -> Result<Vec<RecentEntry>, Error> {
        for (at, recent) in position.recent.iter().enumerate().rev() {
            if compare(self.log.as_ref(), position, recent).await? == Some(true) {
                return Ok(position.recent[..=at].to_vec());
            }
        }
        Ok(Vec::new())
    }

    async fn raise_cut_alarm(&self, position: &PositionRow) -> Result<(), Error> {
        let detail = "the log was cut off behind this offset; what it lost is appended again";
        let alarm = alarm_row("cut_log", &position.partition, position.next, self.clock.now(), detail);
        let rows = Rows { alarms: vec![alarm], ..Rows::default() };
        self.index.commit(&self.stand_still(position), &rows).await?;
        Ok(())
    }

    fn stand_still(&self, position: &PositionRow) -> Advance {
        Advance {
            partition: position.partition.clone(),
            owner: self.owner.clone(),
            from: position.next,
            to: position.next,
            recent: position.recent.clone(),
        }
    }

    async fn settle_lost(&self, position: &PositionRow) -> Result<(), Error> {
        loop {
            let lost = self.index.lost(&position.partition, 500).await?;
            if lost.is_empty() {
                return Ok(());
            }
            for row in &lost {
                if !self.stands(position, row).await? {
                    self.append_lost(row).await?;
                }
                self.index.settle_lost(row).await?;
            }
        }
    }

    /// Whether the log has what was lost under another place, or other content in its stead (then that is said).
    async fn stands(&self, position: &PositionRow, lost: &AppendRow) -> Result<bool, Error> {
        let (Some(record_id), Some(version), Some(submission_id)) = (&lost.record_id, lost.version, lost.submission_id)
        else {
            return Ok(false);
        };
        if !matches!(lost.partition.topic, Topic::Records(_)) {
            // What was refused at the door only claims to be that version.
            return Ok(false);
        }
        let query = KnownQuery { record_id: record_id.clone(), version, submission_id };
        let known = self.index.known(&[query]).await?;
        if known.outcomes.iter().any(|row| row.submission_id == submission_id && row.outcome != outcome::PENDING) {
            return Ok(true);
        }
        let Some(winner) = known.versions.first() else {
            return Ok(false);
        };
        let row = OutcomeRow {
            submission_id,
            outcome: outcome::QUARANTINED.into(),
            reason: Some(reason::LOG_LOST.into()),
            record_id: record_id.clone(),
            version,
            head: known.heads.first().map_or(0, |head| head.version),
            partition: lost.partition.clone(),
            offset: lost.offset,
            at: self.clock.now(),
        };
        let detail = format!(
            "submission {} was lost; submission {} took its place",
            hex::encode(submission_id),
            hex::encode(winner.submission_id)
        );
        let alarm = alarm_row("log_lost", &lost.partition, lost.offset, row.at, &detail);
        let rows = Rows { outcomes: vec![row], alarms: vec![alarm], ..Rows::default() };
        self.index.commit(&self.stand_still(position), &rows).await?;
        Ok(true)
    }

    /// Appends an entry again under its key, with an entry id of its own.
    pub(super) async fn append_lost(&self, row: &AppendRow) -> Result<(), Error> {
        let registry = self.registry.snapshot();
        let Some(value) = &row.envelope else {
            return Ok(());
        };
        let topic: &Topic = &row.partition.topic;
        let place = Place { topic, key: &row.key, entry_id: row.entry_id };
        let (header, text) = match envelope::open(place, registry.as_ref(), value) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, partition = %row.partition, offset = row.offset, "a kept entry does not open");
                return Ok(());
            }
        };
        let Some(data_key) = envelope::DataKeys::data_key(registry.as_ref(), &header.key_id) else {
            return Ok(());
        };
        let entry_id = EntryId::new();
        let value = envelope::seal(Place { entry_id, ..place }, &header, &data_key, &text);
        let draft =
            Draft { partition: row.partition.clone(), key: row.key.clone(), entry_id, headers: Vec::new(), value };
        for appended in self.log.append(vec![draft]).await {
            appended?;
        }
        Ok(())
    }
}
