//! The adapters: what each said of itself last, whichever instance heard it.
//!
//! - this module: the view, kept in memory and in the table `fleet`
//! - [`state`]: how an adapter stands, and what is to be done; pure
//! - [`doubt`]: whether what its department published may no longer be current; pure
//! - [`stream`]: the wire

pub mod doubt;
pub mod state;
pub mod stream;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prost::Message;
use tokio_util::sync::CancellationToken;
use weft_proto::v1::{self, Staleness};
use weft_record::verify::Sender;

use crate::{
    clock::{Millis, SharedClock},
    identity::Identity,
    index::{SharedIndex, rows::FleetRow},
    query::timestamp,
    registry::{
        Registry, RegistryView,
        event::{Act, Command},
        fold::COMMAND_MS,
    },
};

/// How often what other instances heard is read.
const EVERY: Duration = Duration::from_secs(1);

/// What an adapter said of itself last.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// When, by the clock of the instance that heard it.
    pub heard_at: Millis,
    /// Which instance.
    pub instance: String,
    /// What it is.
    pub hello: v1::Hello,
    /// How it is.
    pub heartbeat: v1::Heartbeat,
}

type Fleets = BTreeMap<(String, String), Seen>;

/// Every adapter, by (department, adapter).
pub struct Fleet {
    index: SharedIndex,
    registry: Arc<RegistryView>,
    clock: SharedClock,
    instance: String,
    seen: ArcSwap<Fleets>,
    /// CLOCK_BOOTTIME when this instance began to listen: so long nobody can be called silent.
    began: Millis,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Fleet {
    /// Nobody heard yet.
    pub fn new(index: SharedIndex, registry: Arc<RegistryView>, clock: SharedClock, instance: String) -> Arc<Self> {
        let began = clock.boot();
        Arc::new(Self { index, registry, clock, instance, seen: ArcSwap::default(), began })
    }

    /// Takes an adapter's word: it is in force here at once and, where it is written, at the other instances when they next read
    /// the table. An index that cannot be written keeps it from them, and nothing else.
    pub async fn hear(&self, sender: &Sender, hello: &v1::Hello, heartbeat: &v1::Heartbeat, written: bool) {
        let seen = Seen {
            heard_at: self.clock.now(),
            instance: self.instance.clone(),
            hello: hello.clone(),
            heartbeat: heartbeat.clone(),
        };
        let place = (sender.department.clone(), sender.adapter.clone());
        self.seen.rcu(|fleets| {
            let mut fleets = Fleets::clone(fleets);
            fleets.insert(place.clone(), seen.clone());
            fleets
        });
        if written {
            self.write(row(sender, &seen)).await;
        }
    }

    /// Writes an adapter's last word.
    pub async fn keep(&self, sender: &Sender) {
        let place = (sender.department.clone(), sender.adapter.clone());
        let row = self.seen.load().get(&place).map(|seen| row(sender, seen));
        if let Some(row) = row {
            self.write(row).await;
        }
    }

    async fn write(&self, row: FleetRow) {
        if let Err(error) = self.index.put_fleet(&row).await {
            tracing::warn!(%error, sender = row.sender, "a heartbeat cannot be kept for the other instances");
        }
    }

    /// Reads what other instances heard, until `shutdown`.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = every.tick() => {}
            }
            match self.index.fleet().await {
                Ok(rows) => self.merge(rows),
                Err(error) => tracing::warn!(%error, "what adapters said cannot be read"),
            }
        }
    }

    fn merge(&self, rows: Vec<FleetRow>) {
        let read: Vec<_> = rows.into_iter().filter_map(seen).collect();
        self.seen.rcu(|fleets| {
            let mut fleets = Fleets::clone(fleets);
            for (place, seen) in &read {
                if fleets.get(place).is_none_or(|known| known.heard_at < seen.heard_at) {
                    fleets.insert(place.clone(), seen.clone());
                }
            }
            fleets
        });
    }

    /// Why what a department published of a type may no longer be current, as far as its adapter gives reason to doubt.
    pub fn doubts(&self, registry: &Registry, department: &str, record_type: &str) -> Vec<Staleness> {
        let Some(definition) = registry.catalogue().record_type(record_type) else { return Vec::new() };
        let freshness = Millis::from(definition.definition.freshness_hours) * 3_600_000;
        let declared = registry.departments.get(department);
        let declared = declared.and_then(|one| one.coverage.iter().find(|one| one.record_type == record_type));
        let owner = declared.map(|one| one.adapter.as_str()).unwrap_or_default();
        let fleets = self.seen.load();
        let owners: Vec<&Seen> = fleets
            .iter()
            .filter(|((of, adapter), seen)| {
                let owns = if owner.is_empty() { names(&seen.hello, record_type) } else { adapter == owner };
                of == department && owns && !revoked(registry, of, adapter)
            })
            .map(|(_, seen)| seen)
            .collect();
        let listening = self.clock.boot().saturating_sub(self.began);
        doubt::doubts(&owners, record_type, freshness, self.clock.now(), listening)
    }

    /// Every enrolled adapter, worst first.
    pub fn entries(&self, department: &str) -> Vec<v1::FleetEntry> {
        let (registry, fleets) = (self.registry.snapshot(), self.seen.load());
        let mut entries: Vec<v1::FleetEntry> = registry
            .identities
            .values()
            .filter(|identity| identity.revoked.is_none())
            .filter_map(|identity| match Identity::parse_path(&identity.path) {
                Some(Identity::Adapter { department, adapter }) => Some((department, adapter)),
                _ => None,
            })
            .filter(|(of, _)| department.is_empty() || of == department)
            .map(|place| self.entry(&registry, &place, fleets.get(&place)))
            .collect();
        entries.sort_by(|one, other| {
            let place = |entry: &v1::FleetEntry| (entry.department.clone(), entry.adapter.clone());
            other.state.cmp(&one.state).then_with(|| place(one).cmp(&place(other)))
        });
        entries
    }

    fn entry(&self, registry: &Registry, place: &(String, String), seen: Option<&Seen>) -> v1::FleetEntry {
        let now = self.clock.now();
        let standing = state::state(seen, now);
        let acknowledged = |id: &str| seen.is_some_and(|seen| is_done(&seen.heartbeat, id));
        let pending = told_to(registry, now, &place.0, &place.1).filter(|command| !acknowledged(&command.id));
        let oldest = seen.and_then(|seen| Some(seen.heard_at - state::oldest_unsent(&seen.heartbeat)?));
        v1::FleetEntry {
            department: place.0.clone(),
            adapter: place.1.clone(),
            state: standing.state.into(),
            needs_person: standing.needs_person,
            zh: standing.zh,
            en: standing.en,
            todo_zh: standing.todo.0.to_owned(),
            todo_en: standing.todo.1.to_owned(),
            heard_at: seen.map(|seen| timestamp(seen.heard_at)),
            oldest_unsent: oldest.map(timestamp),
            instance: seen.map(|seen| seen.instance.clone()).unwrap_or_default(),
            hello: seen.map(|seen| seen.hello.clone()),
            heartbeat: seen.map(|seen| seen.heartbeat.clone()),
            pending: pending.map(command).collect(),
        }
    }
}

fn names(hello: &v1::Hello, record_type: &str) -> bool {
    hello.sources.iter().any(|source| source.record_type == record_type)
}

fn revoked(registry: &Registry, department: &str, adapter: &str) -> bool {
    let path = Identity::Adapter { department: department.to_owned(), adapter: adapter.to_owned() }.to_string();
    registry.identities.get(&path).is_some_and(|identity| identity.revoked.is_some())
}

fn is_done(heartbeat: &v1::Heartbeat, id: &str) -> bool {
    heartbeat.commands.iter().any(|done| done.id == id)
}

/// The commands that an adapter is told now, oldest first.
fn told_to<'a>(
    registry: &'a Registry,
    now: Millis,
    department: &'a str,
    adapter: &'a str,
) -> impl Iterator<Item = &'a Command> {
    let due = registry.commands.iter().filter(move |(at, _)| at.saturating_add(COMMAND_MS) >= now);
    due.map(|(_, one)| one).filter(move |one| one.department == department && one.adapter == adapter)
}

fn command(command: &Command) -> v1::Command {
    let (kind, since, repair) = match command.act {
        Act::Pause {} => (v1::CommandKind::Pause, None, false),
        Act::Resume {} => (v1::CommandKind::Resume, None, false),
        Act::Resync { since } => (v1::CommandKind::Resync, Some(timestamp(since)), false),
        Act::Reconcile { repair } => (v1::CommandKind::Reconcile, None, repair),
        Act::Renew {} => (v1::CommandKind::Renew, None, false),
    };
    v1::Command { id: command.id.clone(), kind: kind.into(), source: command.source.clone(), since, repair }
}

fn row(sender: &Sender, seen: &Seen) -> FleetRow {
    let report = v1::FleetEntry {
        department: sender.department.clone(),
        adapter: sender.adapter.clone(),
        hello: Some(seen.hello.clone()),
        heartbeat: Some(seen.heartbeat.clone()),
        ..v1::FleetEntry::default()
    };
    FleetRow {
        sender: format!("{}/{}", sender.department, sender.adapter),
        heard_at: seen.heard_at,
        instance: seen.instance.clone(),
        report: report.encode_to_vec().into(),
    }
}

/// A row that another version of the software wrote, and this one cannot read, is left out: a heartbeat renews it.
fn seen(row: FleetRow) -> Option<((String, String), Seen)> {
    let report = v1::FleetEntry::decode(row.report).ok()?;
    let (hello, heartbeat) = (report.hello?, report.heartbeat?);
    let seen = Seen { heard_at: row.heard_at, instance: row.instance, hello, heartbeat };
    Some(((report.department, report.adapter), seen))
}
