//! When index and log disagree the log was cut off: back to the last point where both agree, replay, append again what was lost
//! ([`super::lost`]), replay that.

use std::{collections::HashSet, time::Duration};

use super::{Error, Follower};
use crate::{
    apply::alarm_row,
    index::{
        Advance, Error as IndexError,
        rows::{PositionRow, RecentEntry, Rows},
    },
    log::{Entry, Error as LogError, Log, Partition, ReadLimit},
};

/// How many alarms are looked through for one that was raised already.
const ALARMS: u32 = 1000;

/// Whether the log still holds the last entry that the position remembers. An offset that compaction emptied is no difference.
pub(crate) async fn agrees(log: &dyn Log, position: &PositionRow) -> Result<bool, LogError> {
    if log.end(&position.partition).await? < position.next {
        return Ok(false);
    }
    match position.recent.last() {
        Some(last) => Ok(compare(log, position, last).await? != Some(false)),
        None => Ok(true),
    }
}

/// `Some(true)`: the same entry stands there. `Some(false)`: another one, or it is gone. `None`: emptied by compaction, which only
/// happens in a compacted topic, and never to its newest entry.
async fn compare(log: &dyn Log, position: &PositionRow, recent: &RecentEntry) -> Result<Option<bool>, LogError> {
    let limit = ReadLimit { entries: 1, bytes: 1 };
    let entries = match log.read(&position.partition, recent.offset, limit, Duration::ZERO).await {
        Ok(entries) => entries,
        Err(LogError::PastEnd { .. } | LogError::BeforeStart { .. }) => return Ok(Some(false)),
        Err(error) => return Err(error),
    };
    Ok(match entries.first() {
        Some(entry) if entry.offset == recent.offset => Some(entry.entry_id == recent.entry_id),
        Some(_) if position.partition.topic.compacted() => None,
        _ => Some(false),
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
        } else if !self
            .index
            .alarms(ALARMS)
            .await?
            .iter()
            .any(|row| row.alarm == "cut_log" && row.partition == partition)
        {
            // The repair was interrupted before it could say so.
            self.raise_cut_alarm(position).await?;
        }
        self.replay(position).await?;
        self.settle_lost(position).await?;
        self.replay(position).await?;
        self.index.set_current(&partition, &self.owner, true).await?;
        position.current = true;
        tracing::warn!(%partition, next = position.next, "index and log agree again");
        Ok(())
    }

    /// Applies everything up to the log's end; the lease is kept meanwhile.
    async fn replay(&self, position: &mut PositionRow) -> Result<(), Error> {
        self.keep_lease(position).await?;
        let mut ahead = None;
        loop {
            match self.advance(position, Duration::ZERO, &mut ahead).await {
                Ok(0) => return Ok(()),
                Ok(_) => self.keep_lease(position).await?,
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

    pub(super) async fn keep_lease(&self, position: &PositionRow) -> Result<(), Error> {
        match self.lease(&position.partition).await? {
            Some(_) => Ok(()),
            None => Err(Error::Index(IndexError::Stale(position.partition.to_string()))),
        }
    }

    /// The remembered entries up to the newest that the log still holds. One reading: each costs a consumer of its own on Kafka.
    async fn last_agreed(&self, position: &PositionRow) -> Result<Vec<RecentEntry>, Error> {
        let (Some(first), Some(last)) = (position.recent.first(), position.recent.last()) else {
            return Ok(Vec::new());
        };
        let (mut next, mut held) = (first.offset, HashSet::new());
        while next <= last.offset {
            let entries = match self.read_on(&position.partition, next).await {
                Ok(entries) => entries,
                Err(LogError::PastEnd { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            let Some(newest) = entries.last() else { break };
            next = newest.offset + 1;
            held.extend(entries.iter().map(|entry| (entry.offset, entry.entry_id)));
        }
        let agreed = position.recent.iter().rposition(|recent| held.contains(&(recent.offset, recent.entry_id)));
        Ok(agreed.map_or_else(Vec::new, |at| position.recent[..=at].to_vec()))
    }

    /// What stands from an offset on, or from the log's start where that is later.
    pub(super) async fn read_on(&self, partition: &Partition, from: u64) -> Result<Vec<Entry>, LogError> {
        match self.log.read(partition, from, ReadLimit::default(), Duration::ZERO).await {
            Err(LogError::BeforeStart { start, .. }) => {
                self.log.read(partition, start, ReadLimit::default(), Duration::ZERO).await
            }
            other => other,
        }
    }

    async fn raise_cut_alarm(&self, position: &PositionRow) -> Result<(), Error> {
        let detail = "the log was cut off behind this offset; what it lost is appended again";
        let alarm = alarm_row("cut_log", &position.partition, position.next, self.clock.now(), detail);
        let rows = Rows { alarms: vec![alarm], ..Rows::default() };
        self.index.commit(&self.stand_still(position), &rows).await?;
        Ok(())
    }

    pub(super) fn stand_still(&self, position: &PositionRow) -> Advance {
        Advance {
            partition: position.partition.clone(),
            owner: self.owner.clone(),
            from: position.next,
            to: position.next,
            recent: position.recent.clone(),
        }
    }
}
