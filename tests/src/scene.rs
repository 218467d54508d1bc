//! What a load needs at a hub: its stores, a department, a window and its grant.

use std::{fs::File, sync::Arc, time::Duration};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use weft_hub::config::{Config, Storage};

use crate::{
    department::TestDepartment,
    eventually,
    found::found,
    hub::TestHub,
    judge::Found,
    kafka,
    office::Office,
    postgres,
    window::{TestWindow, grant},
};

/// The record type of every load.
pub const TYPE: &str = "business-licence";
/// Its department.
pub const DEPARTMENT: &str = "market-regulation";

/// An installation that was set up and stands still: nobody runs on its stores.
#[derive(Debug)]
pub struct Scene {
    /// Of its first instance.
    pub config: Config,
    /// The CA's certificate.
    pub ca: String,
    /// Enrolled.
    pub department: Arc<TestDepartment>,
    /// Enrolled, with a grant to look at the department's records.
    pub window: TestWindow,
    /// Another department, with a real adapter.
    pub office: Office,
    /// Key directory and, embedded, the data; for files of the test too.
    pub folder: Arc<TempDir>,
}

impl Scene {
    /// On SQLite.
    pub async fn embedded() -> Self {
        Self::set_up(TestHub::start().await).await
    }

    /// On Kafka and PostgreSQL, with topics and a database of its own.
    pub async fn served(name: &str) -> Self {
        let (broker, server) = (kafka::shared().await, postgres::shared().await);
        Self::set_up(TestHub::start_served(name, broker, server).await).await
    }

    async fn set_up(mut hub: TestHub) -> Self {
        let department = Arc::new(hub.department(DEPARTMENT, &[TYPE]).await);
        let window = hub.window("hall-1").await;
        hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name"])).await;
        let folder = hub.folder.clone().expect("a fresh hub has a folder");
        let office = Office::join(&hub, folder.path()).await;
        hub.stop().await;
        let (config, ca) = (hub.config.clone(), hub.ca());
        drop(hub);
        if let Storage::Embedded { data_dir } = &config.storage {
            // What it left running lets go of the data directory in a moment.
            let lock = File::open(data_dir.join("weft.lock")).expect("the lock of the data directory");
            let free = || async { flock(&lock, FlockOperation::NonBlockingLockExclusive) };
            eventually(Duration::from_secs(60), free).await;
        }
        Self { config, ca, department, window, office, folder }
    }

    /// The configuration of another instance on the same stores.
    #[must_use]
    pub fn another(&self, instance: &str) -> Config {
        Config { instance: instance.into(), ..self.config.clone() }
    }

    /// What is found when everything has healed: a hub follows the log to its end, then log and index are read. Nobody
    /// else may run on the stores of an embedded scene.
    pub async fn found(&self) -> Found {
        found(&self.config, TYPE).await
    }
}
