//! An embedded hub that can go away, and an adapter process that reads one source of any kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::watch;
use weft_adapter::{
    Config, Surroundings,
    clock::{Clock as _, SetClock, SystemClock},
    status::{Status, status},
};
use weft_record::record_id::RecordIdKey;
use weft_tests::{
    eventually,
    hub::{TestHub, reopen},
    office::{OFFICE, OFFICE_TYPE, Office, licence_number},
    process::{Launch, Process},
    relay::Relay,
};

use crate::kinds::Kind;

/// How long a busy machine may take to go on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Versions that wait in the spool before reading pauses.
pub(crate) const MAX_WAITING: u64 = 100;
/// So much later a status file that was written last is none of an adapter that runs.
const LATER: Duration = Duration::from_secs(90);

/// Everything around one adapter.
pub(crate) struct Desk {
    pub(crate) hub: TestHub,
    pub(crate) office: Office,
    pub(crate) relay: Relay,
    /// Where the relay leads.
    pub(crate) api: watch::Sender<SocketAddr>,
    ids: RecordIdKey,
    config: PathBuf,
}

impl Desk {
    /// A hub and an adapter that has joined it; `kind` is its one source.
    pub(crate) async fn start(kind: &dyn Kind) -> Self {
        Self::start_at(kind, async |_| {}, &[]).await
    }

    /// The same; `prepare` is given where the state will lie, and `limits` stand in the configuration.
    pub(crate) async fn start_at(kind: &dyn Kind, prepare: impl AsyncFnOnce(&Path), limits: &[(&str, i64)]) -> Self {
        let hub = TestHub::start().await;
        let folder = hub.folder.clone().unwrap();
        prepare(&folder.path().join("office/state")).await;
        let office = Office::join(&hub, folder.path()).await;
        let (api, behind) = watch::channel(hub.api);
        let relay = Relay::start(behind).await;
        let ids = RecordIdKey::new(OFFICE, &office.state().open().unwrap().secret).unwrap();
        let config = office.dropped().with_file_name("kind.toml");
        let mut desk = Self { hub, office, relay, api, ids, config };
        desk.configure(kind, limits).await;
        desk
    }

    pub(crate) fn folder(&self) -> &Path {
        self.config.parent().unwrap()
    }

    async fn configure(&mut self, kind: &dyn Kind, more: &[(&str, i64)]) {
        let mut config = toml::Table::try_from(self.office.config(self.relay.address(), |_| {})).unwrap();
        let limits = config["limits"].as_table_mut().unwrap();
        let usual = [("max_waiting", i64::try_from(MAX_WAITING).unwrap()), ("heartbeat_ms", 200)];
        limits.extend(usual.iter().chain(more).map(|&(key, value)| (key.to_owned(), value.into())));
        let source = config["source"].as_array_mut().unwrap()[0].as_table_mut().unwrap();
        source.remove("file");
        source.insert("poll_ms".into(), 100.into());
        let given: toml::Table = kind.configure(self.folder()).await.parse().unwrap();
        source.extend(given);
        fs::write(&self.config, config.to_string()).unwrap();
    }

    /// The configuration that the adapter runs with.
    pub(crate) fn config(&self) -> Config {
        Config::load(&self.config).unwrap()
    }

    pub(crate) fn adapter(&self) -> Process {
        Launch::new("adapter", self.folder(), env!("CARGO_BIN_EXE_weft-test-adapter")).arg(&self.config).start()
    }

    /// What `weft adapter status` tells, so much later.
    async fn status(&self, ahead: Duration) -> Status {
        let clock = SetClock::at(SystemClock.now());
        clock.advance(ahead);
        status(&self.config(), &Surroundings { clock: Arc::new(clock), ..Surroundings::system() }).await.unwrap()
    }

    /// The status, when it is so.
    pub(crate) async fn told(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        eventually(PATIENCE, || async {
            let status = self.status(Duration::ZERO).await;
            if wanted(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await
    }

    /// The status as it is when nobody has heard of the hub for some time.
    pub(crate) async fn told_later(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        eventually(PATIENCE, || async {
            let status = self.status(LATER).await;
            if wanted(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await
    }

    /// SIGKILL; then its status says that it does not run.
    pub(crate) async fn kill(&self, adapter: &Process) {
        adapter.kill9();
        let status = self.status(LATER).await;
        assert!(!status.running && status.needs_person && status.state == "not-running", "{status:?}");
    }

    pub(crate) async fn hub_away(&mut self) {
        self.hub.stop().await;
    }

    pub(crate) async fn hub_back(self) -> Self {
        let Self { hub, office, relay, api, ids, config } = self;
        let (hub_config, folder) = (hub.config.clone(), hub.folder.clone());
        drop(hub);
        let hub = TestHub::run(hub_config.clone(), reopen(&hub_config).await, folder).await;
        api.send_replace(hub.api);
        Self { hub, office, relay, api, ids, config }
    }

    /// How many versions are indexed.
    pub(crate) async fn count(&self) -> u32 {
        let mut index = open(&self.hub).await;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM versions").fetch_one(&mut index).await.unwrap();
        index.close().await.unwrap();
        u32::try_from(count).unwrap()
    }

    /// Waits until so many versions are indexed, while the adapter lives.
    pub(crate) async fn indexed(&self, adapter: &Process, wanted: u32) {
        let enough = async || match self.count().await {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted} versions are indexed")),
        };
        adapter.wait_until(PATIENCE, enough).await;
    }

    /// Waits until nothing is under way any more and looks at what is there: each of these licences in each of its versions,
    /// nothing else, and no version that met another under its number.
    pub(crate) async fn assert_whole(&self, adapter: &Process, versions: &BTreeMap<u32, i64>) {
        let all: i64 = versions.values().sum();
        self.indexed(adapter, u32::try_from(all).unwrap()).await;
        let settled = async || {
            let backlog = self.status(Duration::ZERO).await.snapshot.backlog;
            let left: u64 = backlog.iter().map(|one| one.unsent + one.awaiting + one.held).sum();
            if left == 0 { Ok(()) } else { Err(format!("{left} under way")) }
        };
        adapter.wait_until(PATIENCE, settled).await;
        let mut index = open(&self.hub).await;
        let found: Vec<(String, i64)> =
            sqlx::query_as("SELECT record_id, version FROM versions").fetch_all(&mut index).await.unwrap();
        let outcomes: Vec<(String, i64)> = sqlx::query_as("SELECT outcome, count(*) FROM outcomes GROUP BY outcome")
            .fetch_all(&mut index)
            .await
            .unwrap();
        index.close().await.unwrap();
        let name = |licence| self.ids.name(OFFICE_TYPE, &[licence_number(licence)]).unwrap().to_string();
        let wanted: BTreeSet<(String, i64)> = versions
            .iter()
            .flat_map(|(&licence, &highest)| (1..=highest).map(move |version| (name(licence), version)))
            .collect();
        assert_eq!(found.len(), wanted.len(), "nothing lost, nothing twice");
        let found: BTreeSet<(String, i64)> = found.into_iter().collect();
        assert_eq!(found.difference(&wanted).next(), None, "never said by the source");
        assert_eq!(wanted.difference(&found).next(), None, "not in the index");
        let indexed = outcomes.iter().find(|(outcome, _)| outcome == "indexed").map(|(_, count)| *count);
        assert_eq!(indexed, Some(all), "{outcomes:?}");
        let fine = |outcome: &str| matches!(outcome, "indexed" | "duplicate");
        assert!(outcomes.iter().all(|(outcome, _)| fine(outcome)), "{outcomes:?}");
        assert!(self.hub.alarms().await.iter().all(|one| one.alarm != "conflict"), "no number has two contents");
    }
}

async fn open(hub: &TestHub) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(hub.data_dir().join(weft_hub::index::sqlite::FILE));
    options.read_only(true).busy_timeout(Duration::from_secs(30)).connect().await.unwrap()
}
