//! How the view follows the registry topic, and what it does when the topic was cut off.
//!
//! A registry that lost events knows too little: a grant would be active again, an identity in force again. So what is folded anew
//! is folded aside, while everybody goes on seeing the old view, and takes its place only when it is *whole*: the index agrees
//! with the log again (its follower has appended what was lost) and the view reaches `registry_floor`. Until then nothing is
//! confirmed: publishing is refused and nothing is administered.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{CONFIRM_EVERY, Registry, RegistryView, open_event, partition};
use crate::{
    clock::Millis,
    index::{self, rows::PositionRow},
    log::{self, Entry, EntryId, ReadLimit},
};

/// How the view stands to the registry topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its end was not yet reached.
    Unread,
    /// The topic is shorter than the index remembers: waiting for what was lost to be appended again.
    Lacking,
    /// The view holds every event.
    Whole,
}

/// Why a round failed. It is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Index(#[from] index::Error),
}

/// How far the registry topic was folded.
struct Cursor {
    next: u64,
    last: Option<(u64, Option<EntryId>)>,
    /// What is folded anew and not yet known to be whole.
    aside: Option<Registry>,
}

impl RegistryView {
    /// Follows the registry topic until `shutdown`; a log that cannot be read is tried again.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut cursor = self.anew();
        loop {
            let step = self.step(&mut cursor);
            let failed = tokio::select! {
                () = shutdown.cancelled() => return,
                result = step => result.err(),
            };
            if let Some(error) = failed {
                tracing::warn!(%error, next = cursor.next, "registry cannot be followed");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(CONFIRM_EVERY) => {}
                }
            }
        }
    }

    /// How the view stands to its topic, and every change of it.
    pub fn standing(&self) -> tokio::sync::watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Waits until the view holds everything before `position`; not where it lacks events, since then it waits for the caller.
    pub async fn reach_unless_lacking(&self, position: u64) {
        let (mut read, mut lacking) = (self.standing(), self.standing());
        // The sender lives as long as `self`, so waiting cannot fail.
        tokio::select! {
            () = async {
                let _ = read.wait_for(|standing| *standing != Standing::Unread).await;
                self.reach(position).await;
            } => {}
            _ = lacking.wait_for(|standing| *standing == Standing::Lacking) => {}
        }
    }

    /// Whether the view holds every event, as far as is known.
    pub fn is_whole(&self) -> bool {
        *self.standing.borrow() == Standing::Whole
    }

    fn anew(&self) -> Cursor {
        let aside = Registry::new(&self.keys, Arc::clone(&self.compiled_in));
        Cursor { next: 0, last: None, aside: Some(aside) }
    }

    /// One round: confirm the end and that nothing was cut off, read what is new, fold it.
    async fn step(&self, cursor: &mut Cursor) -> Result<(), Error> {
        // Asked before the end: what the index had followed by then stands before it, if nothing was cut off.
        let remembered = match cursor.aside {
            Some(_) => Some((self.index.registry_floor().await?, self.index.position(&partition()).await?)),
            None => None,
        };
        let round = self.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        let asked_at = self.clock.boot();
        let end = self.log.end(&partition()).await?;
        if end < cursor.next || !self.still_stands(cursor).await? {
            tracing::error!(next = cursor.next, end, "the registry was cut off: folding it anew");
            *cursor = self.anew();
            self.standing.send_replace(Standing::Lacking);
            self.confirmed.send_modify(|(_, at)| *at = Millis::MIN);
            return Ok(());
        }
        while cursor.next < end {
            self.read_some(cursor, Duration::ZERO).await?;
        }
        let whole = match &remembered {
            Some((floor, row)) => self.has_all(cursor, *floor, row.as_ref()).await?,
            None => true,
        };
        if whole {
            if let Some(aside) = cursor.aside.take() {
                self.current.store(Arc::new(aside));
            }
            self.position.send_replace(cursor.next);
            self.standing.send_replace(Standing::Whole);
            self.confirmed.send_replace((round, asked_at));
        } else if self.standing.send_replace(Standing::Lacking) != Standing::Lacking {
            tracing::error!(end, "the registry is shorter than the index remembers: waiting for what was lost");
        }
        tokio::select! {
            read = self.read_some(cursor, CONFIRM_EVERY) => read?,
            // Somebody waits for a confirmation that begins now.
            () = self.nudge.notified(), if whole => {}
        }
        if whole {
            self.position.send_replace(cursor.next);
        }
        Ok(())
    }

    /// Whether the index remembers nothing of this topic that is not folded.
    async fn has_all(&self, cursor: &Cursor, floor: u64, row: Option<&PositionRow>) -> Result<bool, Error> {
        let remembers_more = row.is_some_and(|row| !row.current || row.next > cursor.next);
        if cursor.next < floor || remembers_more {
            return Ok(false);
        }
        match row {
            Some(row) => Ok(crate::follow::agrees(self.log.as_ref(), row).await?),
            // No index followed this topic yet.
            None => Ok(true),
        }
    }

    /// Whether the last entry that was folded still stands in the log. Nothing is ever compacted here.
    async fn still_stands(&self, cursor: &Cursor) -> Result<bool, log::Error> {
        let Some((offset, entry_id)) = cursor.last else {
            return Ok(true);
        };
        let limit = ReadLimit { entries: 1, bytes: 1 };
        match self.log.read(&partition(), offset, limit, Duration::ZERO).await {
            Ok(entries) => {
                Ok(entries.first().is_some_and(|entry| entry.offset == offset && entry.entry_id == entry_id))
            }
            Err(log::Error::PastEnd { .. } | log::Error::BeforeStart { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read_some(&self, cursor: &mut Cursor, wait: Duration) -> Result<(), log::Error> {
        let entries = match self.log.read(&partition(), cursor.next, ReadLimit::default(), wait).await {
            // Cut off just now: the next round begins with that.
            Err(log::Error::PastEnd { .. } | log::Error::BeforeStart { .. }) if cursor.next > 0 => return Ok(()),
            other => other?,
        };
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let (after, last) = (last.offset + 1, Some((last.offset, last.entry_id)));
        let fold_all = |registry: &mut Registry| {
            entries.iter().for_each(|entry| self.fold(registry, entry));
            registry.position = after;
        };
        match &mut cursor.aside {
            Some(aside) => fold_all(aside),
            None => {
                let mut registry = Registry::clone(&self.current.load());
                fold_all(&mut registry);
                self.current.store(Arc::new(registry));
            }
        }
        (cursor.next, cursor.last) = (after, last);
        Ok(())
    }

    fn fold(&self, registry: &mut Registry, entry: &Entry) {
        let outcome = match open_event(registry, entry) {
            Ok(event) => registry.apply(event, entry.offset, &self.keys).map_err(|ignored| ignored.to_string()),
            Err(why) => Err(why),
        };
        if let Err(why) = outcome {
            self.ignored.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(offset = entry.offset, why, "registry entry took no effect");
        }
    }
}
