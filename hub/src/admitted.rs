//! What this instance's door let in and its own apply has not met yet: the same bytes need not be verified twice.
//!
//! Nothing enters the index but through verification. Here that has happened in this process, on exactly these bytes: an entry
//! counts as admitted only where its envelope opened in its place, its id is one that the door made, and the SHA-256 of its text
//! is the verified submission's. Everything else – what another instance took, a rebuild, what was forgotten for lack of
//! room – is verified as it is read.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use weft_record::verify::{Facts, submission_id};

use crate::{
    clock::{Millis, SharedClock},
    log::EntryId,
};

/// Entries remembered at most.
const MOST: usize = 6000;
/// An entry that was not asked for in this time is another instance's to apply, or did not get into the log.
const KEPT_MS: Millis = 30_000;

/// The facts of entries on their way from the door to apply.
pub struct Admitted {
    clock: SharedClock,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    facts: HashMap<EntryId, Facts>,
    /// Entry ids in the order in which they came, and when; those that were taken since among them.
    order: VecDeque<(Millis, EntryId)>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("entries", &self.lock().facts.len()).finish_non_exhaustive()
    }
}

impl Admitted {
    /// Nothing yet.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, inner: Mutex::default() }
    }

    /// Remembers what was verified and is about to be appended. Where there is no room the later ones are not remembered: apply
    /// asks for the oldest first.
    pub fn remember(&self, verified: Vec<(EntryId, Facts)>) {
        let now = self.clock.boot();
        let mut inner = self.lock();
        inner.forget(now - KEPT_MS);
        let room = MOST.saturating_sub(inner.facts.len());
        for (entry_id, facts) in verified.into_iter().take(room) {
            inner.order.push_back((now, entry_id));
            inner.facts.insert(entry_id, facts);
        }
    }

    /// What the door found in `sealed`, the text of the entry of this id whose envelope opened; once. `None` where it was not this
    /// door, or another text.
    pub fn take(&self, entry_id: EntryId, sealed: &[u8]) -> Option<Facts> {
        let facts = self.lock().facts.remove(&entry_id)?;
        (facts.submission_id == submission_id(sealed)).then_some(facts)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets what came before `since`, and the places of what was taken.
    fn forget(&mut self, since: Millis) {
        while let Some((came, entry_id)) = self.order.front().copied() {
            if came >= since && self.facts.contains_key(&entry_id) {
                return;
            }
            self.facts.remove(&entry_id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use weft_record::status::{Event, Status};

    use super::*;
    use crate::clock::Clock;

    #[derive(Debug, Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Millis {
            self.boot()
        }

        fn boot(&self) -> Millis {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn facts(sealed: &[u8]) -> Facts {
        Facts {
            submission_id: submission_id(sealed),
            department: "d".into(),
            issuer: "https://hub.test/departments/d".into(),
            kid: "k".into(),
            record_type: "t".into(),
            type_version: 1,
            record_id: "r".into(),
            version: 1,
            event: Event::Issue,
            status: Status::Valid,
            valid_from: None,
            valid_until: None,
            iat: 0,
            supersedes: None,
            holders: Vec::new(),
            look_ups: Vec::new(),
            payload: serde_json::Value::Null,
        }
    }

    fn id(number: usize) -> EntryId {
        EntryId((number as u128).to_be_bytes())
    }

    #[test]
    fn only_the_same_text_under_the_same_id_is_known_and_once() {
        let admitted = Admitted::new(Arc::new(Hand::default()));
        admitted.remember((0..3).map(|number| (id(number), facts(b"sealed"))).collect());
        assert_eq!(admitted.take(id(9), b"sealed"), None, "an entry that this door did not make");
        assert_eq!(admitted.take(id(0), b"sealed"), Some(facts(b"sealed")));
        assert_eq!(admitted.take(id(0), b"sealed"), None, "a copy of the entry");
        assert_eq!(admitted.take(id(1), b"forged"), None, "another text under the id");
        assert_eq!(admitted.take(id(1), b"sealed"), None, "what was asked for with another text is read anew");
    }

    #[test]
    fn what_is_not_asked_for_leaves_its_room_in_time() {
        let clock = Arc::new(Hand::default());
        let admitted = Admitted::new(Arc::clone(&clock) as SharedClock);
        admitted.remember((0..MOST + 5).map(|number| (id(number), facts(b"s"))).collect());
        assert_eq!(admitted.take(id(MOST + 1), b"s"), None, "there was no room");
        assert!(admitted.take(id(0), b"s").is_some(), "the first ones are remembered");
        admitted.remember(vec![(id(MOST + 10), facts(b"s")), (id(MOST + 11), facts(b"s"))]);
        assert!(admitted.take(id(MOST + 10), b"s").is_some(), "what was taken has left room");
        assert_eq!(admitted.take(id(MOST + 11), b"s"), None, "and no more");
        clock.0.store(KEPT_MS + 1, Ordering::SeqCst);
        admitted.remember(vec![(id(MOST + 20), facts(b"s"))]);
        assert_eq!(admitted.lock().facts.len(), 1, "what nobody asked for is forgotten");
    }
}
