//! A hub, and an adapter of a department in this process that reaches it over an address that stays.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Surroundings, clock::Clock};

use crate::{
    eventually,
    found::versions_per_record,
    hub::{TestHub, reopen},
    office::{OFFICE, Office, exported},
    relay::Relay,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// Changes an adapter's configuration.
pub type Change = fn(&mut Config);

/// The adapter's own surroundings, and how it runs.
pub struct Place {
    /// The hub.
    pub hub: TestHub,
    /// The department.
    pub office: Office,
    /// The adapter's clock.
    pub clock: Arc<dyn Clock>,
    /// Where the relay leads.
    pub api: watch::Sender<SocketAddr>,
    /// The address that stays.
    pub relay: Relay,
    /// Stops the adapter.
    pub stop: CancellationToken,
    /// The adapter.
    pub running: JoinHandle<Result<(), weft_adapter::runner::Error>>,
    change: Change,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Place {
    /// A fresh embedded hub and its adapter.
    pub async fn start(clock: Arc<dyn Clock>, change: Change) -> Self {
        let hub = TestHub::start().await;
        let folder = hub.folder.clone().expect("a fresh hub has a folder");
        let office = Office::join(&hub, folder.path()).await;
        let (api, behind) = watch::channel(hub.api);
        let relay = Relay::start(behind).await;
        let stop = CancellationToken::new();
        let surroundings = Surroundings { clock: clock.clone(), ..Surroundings::system() };
        let running = office.run_with(relay.address(), change, surroundings, stop.clone());
        Self { hub, office, clock, api, relay, stop, running, change }
    }

    /// What the adapter runs with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.office.config(self.relay.address(), self.change)
    }

    /// What it is surrounded by.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        Surroundings { clock: self.clock.clone(), ..Surroundings::system() }
    }

    /// Stops the adapter.
    ///
    /// # Panics
    /// When it ended badly.
    pub async fn stop_adapter(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.expect("the adapter did not panic").expect("the adapter ended well");
    }

    /// Starts it again under the same clock.
    pub fn start_adapter(&mut self) {
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.running = self.office.run_with(self.relay.address(), self.change, self.surroundings(), stop);
    }

    /// Stops the hub and starts it again; `between` works on its files.
    pub async fn restart_hub(self, between: impl FnOnce(&Path)) -> Self {
        let Self { mut hub, office, clock, api, relay, stop, running, change } = self;
        hub.stop().await;
        let (config, folder, data_dir) = (hub.config.clone(), hub.folder.clone(), hub.data_dir());
        drop(hub);
        drop(reopen(&config).await);
        between(&data_dir);
        let hub = TestHub::run(config.clone(), reopen(&config).await, folder).await;
        api.send_replace(hub.api);
        Self { hub, office, clock, api, relay, stop, running, change }
    }

    /// What was exported stands in the index, each version once.
    pub async fn assert_indexed(&self, files: u32) {
        self.assert_versions(exported(files)).await;
    }

    /// So many records have so many versions: versions → records.
    pub async fn assert_versions(&self, wanted: BTreeMap<usize, usize>) {
        eventually(PATIENCE, || async {
            let found: BTreeMap<usize, usize> = versions_per_record(&self.hub.config, OFFICE).await;
            if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
        })
        .await;
    }

    /// Ends both.
    ///
    /// # Panics
    /// When one of them ended badly.
    pub async fn end(mut self) {
        self.stop_adapter().await;
        self.hub.stop().await;
    }
}

/// The files of an embedded hub's log and index.
///
/// # Panics
/// When a file cannot be copied.
pub fn copy_stores(from: &Path, to: &Path) {
    for name in ["log.db", "index.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let (from, to) = (from.join(format!("{name}{suffix}")), to.join(format!("{name}{suffix}")));
            // Which of them there are is the database's own business.
            let _ = std::fs::remove_file(&to);
            if from.exists() {
                std::fs::copy(from, to).expect("a file is copied");
            }
        }
    }
}
