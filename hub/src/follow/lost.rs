//! What the log lost is appended again, under the same key, with an entry id of its own. What another content overtook meanwhile
//! stands; the lost submission is then named (`log_lost`).

use std::{collections::HashSet, time::Duration};

use super::{Error, Follower};
use crate::{
    apply::{alarm_row, outcome, reason},
    decode::{self, Incoming},
    envelope::{self, DataKeys, Place},
    index::{
        KnownQuery,
        rows::{AppendRow, OutcomeRow, PositionRow, Rows, SubmissionId, VersionRow},
    },
    log::{Draft, Entry, EntryId, Error as LogError, Partition, ReadLimit, Topic},
    registry::{event::Event, open_event},
};

/// Lost entries that are settled together.
const TOGETHER: u32 = 500;

/// What becomes of a lost entry.
enum Fate {
    /// The log has it.
    Stands,
    /// Other content has its number.
    Overtaken(Box<VersionRow>),
    /// It is appended again.
    Again,
}

/// What the log holds of ours from an offset on.
#[derive(Default)]
struct Holds {
    ids: HashSet<EntryId>,
    keys: HashSet<String>,
}

impl Follower {
    /// Settles every entry that a rewind took out. Under the lease, after a replay.
    pub(super) async fn settle_lost(&self, position: &PositionRow) -> Result<(), Error> {
        let partition = &position.partition;
        if let Some(first) = self.index.lost(partition, 1).await?.first() {
            let holds = self.holds(partition, first.offset).await?;
            loop {
                self.keep_lease(position).await?;
                let lost = self.index.lost(partition, TOGETHER).await?;
                if lost.is_empty() {
                    break;
                }
                self.settle(position, &lost, &holds, first.offset).await?;
            }
        }
        if partition.topic == Topic::Registry { self.reach_floor(position).await } else { Ok(()) }
    }

    async fn settle(&self, position: &PositionRow, lost: &[AppendRow], holds: &Holds, first: u64) -> Result<(), Error> {
        let submissions: HashSet<SubmissionId> = lost.iter().filter_map(|row| row.submission_id).collect();
        let mut again = Vec::new();
        for row in lost {
            match self.fate(row, holds, &submissions, first).await? {
                Fate::Stands => {}
                Fate::Overtaken(winner) => self.name(position, row, &winner).await?,
                Fate::Again => match self.draft_again(row) {
                    Ok(draft) => again.extend(draft),
                    Err(why) => self.raise(position, row, &why, Vec::new()).await?,
                },
            }
        }
        self.append_all(again).await?;
        for row in lost {
            self.index.settle_lost(row).await?;
        }
        Ok(())
    }

    async fn fate(
        &self,
        lost: &AppendRow,
        holds: &Holds,
        submissions: &HashSet<SubmissionId>,
        first: u64,
    ) -> Result<Fate, Error> {
        // A registry event's key is its entity, which has many.
        let same_key = lost.partition.topic != Topic::Registry && holds.keys.contains(&lost.key);
        if same_key || holds.ids.contains(&lost.entry_id) {
            return Ok(Fate::Stands);
        }
        let (Some(record_id), Some(version), Some(submission_id)) = (&lost.record_id, lost.version, lost.submission_id)
        else {
            return Ok(Fate::Again);
        };
        let query = KnownQuery { record_id: record_id.clone(), version, submission_id };
        let known = self.index.known(&[query]).await?;
        // Its department has sent it again. An outcome of quarantine says nothing here: what came through the door later outranks it.
        let sent_again = known.outcomes.iter().any(|row| {
            row.submission_id == submission_id && row.partition == lost.partition && row.outcome != outcome::PENDING
        });
        if sent_again {
            return Ok(Fate::Stands);
        }
        // What stood there before the cut, or was lost with it, had judged this one before and does so again.
        let overtaken = known.versions.into_iter().next().filter(|winner| {
            winner.offset >= first
                && winner.submission_id != submission_id
                && !submissions.contains(&winner.submission_id)
                && self.content_of(lost) != Some(winner.content_digest)
        });
        Ok(overtaken.map_or(Fate::Again, |winner| Fate::Overtaken(Box::new(winner))))
    }

    fn content_of(&self, lost: &AppendRow) -> Option<[u8; 32]> {
        let entry = Entry {
            offset: lost.offset,
            key: Some(lost.key.clone()),
            entry_id: Some(lost.entry_id),
            headers: Vec::new(),
            value: lost.envelope.clone(),
        };
        match decode::decode(&lost.partition, &entry, &self.registry.snapshot(), &self.keys, &self.admitted) {
            Incoming::Record(record) => Some(record.content_digest),
            _ => None,
        }
    }

    /// Says that a submission is lost and what has its place.
    async fn name(&self, position: &PositionRow, lost: &AppendRow, winner: &VersionRow) -> Result<(), Error> {
        let Some(submission_id) = lost.submission_id else {
            return Ok(());
        };
        let row = OutcomeRow {
            submission_id,
            outcome: outcome::QUARANTINED.into(),
            reason: Some(reason::LOG_LOST.into()),
            record_id: winner.record_id.clone(),
            version: winner.version,
            head: winner.version,
            partition: lost.partition.clone(),
            offset: lost.offset,
            at: self.clock.now(),
        };
        let detail = format!(
            "submission {} was lost; submission {} took its place",
            hex::encode(submission_id),
            hex::encode(winner.submission_id)
        );
        self.raise(position, lost, &detail, vec![row]).await
    }

    async fn raise(
        &self,
        position: &PositionRow,
        lost: &AppendRow,
        detail: &str,
        outcomes: Vec<OutcomeRow>,
    ) -> Result<(), Error> {
        tracing::error!(partition = %lost.partition, offset = lost.offset, detail, "an entry is lost");
        let alarm = alarm_row("log_lost", &lost.partition, lost.offset, self.clock.now(), detail);
        let rows = Rows { outcomes, alarms: vec![alarm], ..Rows::default() };
        self.index.commit(&self.stand_still(position), &rows).await?;
        Ok(())
    }

    /// A draft with the entry's text under its key. `None` where the text was erased: there is nothing to append.
    pub(super) fn draft_again(&self, row: &AppendRow) -> Result<Option<Draft>, String> {
        let Some(value) = &row.envelope else {
            return Ok(None);
        };
        let registry = self.registry.snapshot();
        let place = Place { topic: &row.partition.topic, key: &row.key, entry_id: row.entry_id };
        let (header, text) = envelope::open(place, registry.as_ref(), value)
            .map_err(|error| format!("the kept entry does not open: {error}"))?;
        let data_key = DataKeys::data_key(registry.as_ref(), &header.key_id).ok_or("its data key is not known here")?;
        let entry_id = EntryId::new();
        let value = envelope::seal(Place { entry_id, ..place }, &header, &data_key, &text);
        let (partition, key) = (row.partition.clone(), row.key.clone());
        Ok(Some(Draft { partition, key, entry_id, headers: Vec::new(), value }))
    }

    pub(super) async fn append_all(&self, drafts: Vec<Draft>) -> Result<(), Error> {
        for appended in self.log.append(drafts).await {
            appended?;
        }
        Ok(())
    }

    /// What of ours stands in the log from an offset on.
    async fn holds(&self, partition: &Partition, from: u64) -> Result<Holds, Error> {
        let mut holds = Holds::default();
        self.each_of_ours(partition, from, |row| {
            holds.ids.insert(row.entry_id);
            holds.keys.insert(row.key);
        })
        .await?;
        Ok(holds)
    }

    pub(super) async fn each_of_ours(
        &self,
        partition: &Partition,
        from: u64,
        mut take: impl FnMut(AppendRow) + Send,
    ) -> Result<(), Error> {
        let mut next = from;
        let end = self.log.end(partition).await?;
        while next < end {
            let entries = self.read_on(partition, next).await?;
            let Some(last) = entries.last() else { break };
            next = last.offset + 1;
            entries.iter().filter_map(|entry| self.ours(partition, entry)).for_each(&mut take);
        }
        Ok(())
    }

    /// An entry that came through the door, as something that can be appended again.
    pub(super) fn ours(&self, partition: &Partition, entry: &Entry) -> Option<AppendRow> {
        let (key, entry_id, value) = (entry.key.as_ref()?, entry.entry_id?, entry.value.as_ref()?);
        let place = Place { topic: &partition.topic, key, entry_id };
        envelope::open(place, self.registry.snapshot().as_ref(), value).ok()?;
        Some(AppendRow {
            partition: partition.clone(),
            offset: entry.offset,
            key: key.clone(),
            entry_id,
            submission_id: None,
            record_id: None,
            version: None,
            envelope: Some(value.clone()),
        })
    }

    /// Whether this event stands at an offset of the registry. A view may still have it from where the log has lost it: then the
    /// one that was appended again is no copy.
    pub(super) async fn holds_event(&self, partition: &Partition, at: u64, event: &Event) -> Result<bool, Error> {
        let limit = ReadLimit { entries: 1, bytes: 1 };
        let entries = match self.log.read(partition, at, limit, Duration::ZERO).await {
            Ok(entries) => entries,
            Err(LogError::PastEnd { .. } | LogError::BeforeStart { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let registry = self.registry.snapshot();
        let stands =
            entries.first().filter(|entry| entry.offset == at).and_then(|entry| open_event(&registry, entry).ok());
        Ok(stands.is_some_and(|one| one.entity == event.entity && one.revision == event.revision))
    }

    /// Looks demand a view that has reached `registry_floor`. Entries of others that the log lost are not appended again, so it may
    /// now end before that: copies of an event, which take no effect, fill it up.
    async fn reach_floor(&self, position: &PositionRow) -> Result<(), Error> {
        let partition = &position.partition;
        let missing = self.index.registry_floor().await?.saturating_sub(self.log.end(partition).await?);
        if missing == 0 {
            return Ok(());
        }
        // No event of an entity has a lower revision than its first, so a copy of the very first is always stopped.
        let entries = self.read_on(partition, 0).await?;
        let Some(event) = entries.iter().find_map(|entry| self.ours(partition, entry)) else {
            return Ok(());
        };
        tracing::warn!(%partition, missing, "filling the registry up to its floor");
        let mut copies = Vec::new();
        for _ in 0..missing {
            match self.draft_again(&event) {
                Ok(draft) => copies.extend(draft),
                Err(why) => return self.raise(position, &event, &why, Vec::new()).await,
            }
        }
        self.append_all(copies).await
    }
}
