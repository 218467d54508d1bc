//! The registry: departments, keys, windows, grants … as events in the log, folded into memory by every instance, so that
//! authorisation costs no I/O.
//!
//! - [`event`]: what stands in the log
//! - [`fold`]: the state after the events
//! - `following`: reading the topic, and what happens when it was cut off
//! - [`wrap`]: keys that travel in events
//!
//! Freshness: an administrative call returns after its event stands in the log *and* the index's `registry_floor` names it; every
//! look reads that row with the record and answers only when its own view has reached it. Besides, every 500 ms an instance
//! confirms that its view is at the log's end.

mod door;
pub mod event;
pub mod fold;
mod following;
mod grant;
pub mod wrap;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify, watch};

use crate::{
    clock::{Millis, SharedClock},
    envelope::{self, ContentType, Header, Place},
    index::SharedIndex,
    keys::Keys,
    log::{Draft, Entry, EntryId, Partition, SharedLog, Topic},
};
use event::{After, Event};
pub use fold::Registry;
pub use following::Standing;
use weft_proto::{Reason, Refusal};
use weft_record::catalogue::Catalogue;

/// How often a view confirms that it is at the log's end.
pub const CONFIRM_EVERY: Duration = Duration::from_millis(500);
/// A view that was not confirmed for so long may not be published under.
pub const MAX_AGE_MS: Millis = 2000;

/// How long an administrative call waits for the log at each step.
pub(crate) const ADMINISTER_WITHIN: Duration = Duration::from_secs(10);

/// An administrative event that is durable and has taken effect.
#[derive(Clone, Debug)]
pub struct Administered {
    /// Its offset in the registry topic.
    pub offset: u64,
    /// The entity.
    pub entity: String,
    /// Its revision now.
    pub revision: u64,
}

/// One instance's view of the registry.
pub struct RegistryView {
    log: SharedLog,
    index: SharedIndex,
    keys: Arc<Keys>,
    clock: SharedClock,
    /// What is compiled in: types registered at run time come from the topic.
    compiled_in: Arc<Catalogue>,
    current: ArcSwap<Registry>,
    position: watch::Sender<u64>,
    /// Confirmations begun.
    rounds: AtomicU64,
    /// The last confirmation that found the view at the log's end: its number, and CLOCK_BOOTTIME at its start.
    confirmed: watch::Sender<(u64, Millis)>,
    standing: watch::Sender<Standing>,
    ignored: AtomicI64,
    /// Wakes the follower for a confirmation.
    nudge: Notify,
    /// One administrative change at a time per instance; between instances the revision judges.
    administering: Mutex<()>,
}

impl fmt::Debug for RegistryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryView").field("position", &*self.position.borrow()).finish_non_exhaustive()
    }
}

fn partition() -> Partition {
    Partition { topic: Topic::Registry, number: 0 }
}

impl RegistryView {
    /// An empty view; [`RegistryView::follow`] fills it.
    pub fn new(
        log: SharedLog,
        index: SharedIndex,
        keys: Arc<Keys>,
        catalogue: Arc<Catalogue>,
        clock: SharedClock,
    ) -> Arc<Self> {
        let registry = Registry::new(&keys, Arc::clone(&catalogue));
        Arc::new(Self {
            log,
            index,
            keys,
            clock,
            compiled_in: catalogue,
            current: ArcSwap::from_pointee(registry),
            position: watch::Sender::new(0),
            rounds: AtomicU64::new(0),
            confirmed: watch::Sender::new((0, Millis::MIN)),
            standing: watch::Sender::new(Standing::Unread),
            ignored: AtomicI64::new(0),
            nudge: Notify::new(),
            administering: Mutex::new(()),
        })
    }

    /// The registry as this instance sees it now.
    pub fn snapshot(&self) -> Arc<Registry> {
        self.current.load_full()
    }

    /// Entries of the registry topic that took no effect: copies, losers of a race, intruders'.
    pub fn ignored(&self) -> i64 {
        self.ignored.load(Ordering::Relaxed)
    }

    /// Milliseconds since the view was last known to be at the log's end.
    pub fn age(&self) -> Millis {
        self.clock.boot().saturating_sub(self.confirmed.borrow().1)
    }

    /// Refuses when the view is too old to publish under.
    pub fn require_fresh(&self) -> Result<(), Refusal> {
        if self.age() > MAX_AGE_MS { Err(Refusal::new(Reason::RegistryStale)) } else { Ok(()) }
    }

    /// Waits until the view holds everything before `position`.
    pub async fn reach(&self, position: u64) {
        let mut positions = self.position.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = positions.wait_for(|at| *at >= position).await;
    }

    /// Waits until the view was confirmed to be at the log's end by a confirmation that began after this call.
    pub async fn confirm(&self) {
        let begins_later = self.rounds.load(Ordering::SeqCst) + 1;
        let mut confirmed = self.confirmed.subscribe();
        self.nudge.notify_one();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = confirmed.wait_for(|(round, _)| *round >= begins_later).await;
    }

    /// [`RegistryView::confirm`], bounded: a log that cannot be reached is said, not waited for.
    pub async fn confirm_within(&self, patience: Duration) -> Result<(), Refusal> {
        let confirmed = tokio::time::timeout(patience, self.confirm()).await;
        confirmed.map_err(|_| Refusal::new(Reason::RegistryStale))
    }

    /// Writes one administrative event. `make` sees the registry as of the log's end and gives (entity, before, after), or refuses.
    /// Returns when the event is durable, has taken effect in this view, and `registry_floor` names it.
    pub async fn administer<F>(&self, who: &str, make: F) -> Result<Administered, Refusal>
    where
        F: FnOnce(&Registry) -> Result<(String, After), Refusal> + Send,
    {
        let _turn = self.administering.lock().await;
        self.confirm_within(ADMINISTER_WITHIN).await?;
        let registry = self.snapshot();
        let (entity, after) = make(&registry)?;
        let revision = registry.revision(&entity) + 1;
        let before = registry.entity_json(&entity);
        let event = Event { who: who.into(), at: self.clock.now(), entity: entity.clone(), revision, before, after };
        let offset = self.append(&registry, &event).await?;
        let reached = tokio::time::timeout(ADMINISTER_WITHIN, self.reach(offset + 1)).await;
        reached.map_err(|_| {
            Refusal::new(Reason::RegistryStale).detail("the event stands, but this view has not reached it")
        })?;
        self.index.raise_registry_floor(offset + 1).await?;
        // Another instance's event may have taken the revision first: then this one took no effect.
        if self.snapshot().brought_by(&entity, revision) == Some(offset) {
            Ok(Administered { offset, entity, revision })
        } else {
            Err(Refusal::new(Reason::WrongState)
                .detail("another change of the same entity came first; look and try again"))
        }
    }

    async fn append(&self, registry: &Registry, event: &Event) -> Result<u64, Refusal> {
        let (key_id, data_key) = self.keys.hub_data_key();
        let header = Header {
            suite: "std".into(),
            key_id: key_id.into(),
            sender: "hub".into(),
            accepted_at: event.at,
            content: ContentType::Registry,
            registry_position: registry.position,
        };
        let entry_id = EntryId::new();
        let text = serde_json::to_vec(event).map_err(|error| Refusal::new(Reason::Internal).detail(error))?;
        let place = Place { topic: &Topic::Registry, key: &event.entity, entry_id };
        let value = envelope::seal(place, &header, data_key, &text);
        let draft = Draft { partition: partition(), key: event.entity.clone(), entry_id, headers: Vec::new(), value };
        let appended = self.log.append(vec![draft]).await.pop();
        Ok(appended.ok_or_else(|| Refusal::new(Reason::Internal).detail("the log answered nothing"))??)
    }
}

/// Opens the event of an entry; an entry that the hub did not write has none.
pub fn open_event(registry: &Registry, entry: &Entry) -> Result<Event, String> {
    let (Some(key), Some(entry_id), Some(value)) = (&entry.key, entry.entry_id, &entry.value) else {
        return Err("no key, id or value".into());
    };
    let place = Place { topic: &Topic::Registry, key, entry_id };
    let (header, text) = envelope::open(place, registry, value).map_err(|error| error.to_string())?;
    if header.content != ContentType::Registry {
        return Err("not a registry event".into());
    }
    let event: Event = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if event.entity == *key { Ok(event) } else { Err("its key names another entity".into()) }
}
