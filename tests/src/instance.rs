//! A hub instance as a process of its own: it can be killed, stopped, continued and started again.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::watch;
use weft_hub::config::Config;

use crate::{
    folder::scratch,
    process::{Launch, Process},
};

/// A process may take so long to bind its listeners.
const START: Duration = Duration::from_secs(60);

/// What an instance has bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// gRPC, mutual TLS.
    pub api: SocketAddr,
    /// Enrolment.
    pub enrolment: SocketAddr,
    /// Health and metrics.
    pub console: SocketAddr,
}

impl Addresses {
    /// Writes them whole or not at all.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let draft = file.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec(self)?)?;
        std::fs::rename(draft, file)
    }

    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read(file).map_err(|error| format!("no addresses yet: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    }
}

/// A hub process. It binds free ports at every start; who calls it follows [`Instance::api`].
#[derive(Debug)]
pub struct Instance {
    // Before the folder: dropped in this order.
    process: Process,
    folder: TempDir,
    name: String,
    program: PathBuf,
    broken: Option<String>,
    api: watch::Sender<SocketAddr>,
}

impl Instance {
    /// Starts `weft-test-hub` at `program` with a configuration, under the instance's own name.
    ///
    /// # Panics
    /// When it does not bind its listeners in time.
    pub async fn start(program: &Path, config: &Config, broken: Option<&str>) -> Self {
        let folder = scratch("instance");
        let mut config = config.clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (config.listen.api, config.listen.enrolment, config.listen.console) = (any, any, any);
        let text = toml::to_string(&config).expect("a configuration is TOML");
        std::fs::write(folder.path().join("hub.toml"), text).expect("the configuration is written");
        let (name, broken) = (config.instance.clone(), broken.map(str::to_owned));
        let process = launch(program, folder.path(), &name, broken.as_deref());
        let bound = await_addresses(&process, folder.path()).await;
        let (api, _) = watch::channel(bound.api);
        Self { process, folder, name, program: program.into(), broken, api }
    }

    /// Where its API is now; changes with every start.
    #[must_use]
    pub fn api(&self) -> watch::Receiver<SocketAddr> {
        self.api.subscribe()
    }

    /// The process, for its signals and its output.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// SIGKILL.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// Starts it again, killing it first if it is up.
    ///
    /// # Panics
    /// As [`Instance::start`].
    pub async fn restart(&mut self) {
        self.process.kill9();
        std::fs::remove_file(addresses(self.folder.path())).expect("the old addresses are removed");
        self.process = launch(&self.program, self.folder.path(), &self.name, self.broken.as_deref());
        let bound = await_addresses(&self.process, self.folder.path()).await;
        self.api.send_replace(bound.api);
    }
}

fn addresses(folder: &Path) -> PathBuf {
    folder.join("addresses.json")
}

fn launch(program: &Path, folder: &Path, name: &str, broken: Option<&str>) -> Process {
    let launch = Launch::new(name, folder, program).arg(folder.join("hub.toml")).arg(addresses(folder));
    match broken {
        Some(broken) => launch.args(["--broken", broken]).start(),
        None => launch.start(),
    }
}

async fn await_addresses(process: &Process, folder: &Path) -> Addresses {
    process.wait_until(START, async || Addresses::read(&addresses(folder))).await
}
