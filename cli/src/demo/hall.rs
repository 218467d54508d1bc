//! The demo's hall: an embedded hub in this process, and its two operators as real clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use weft_hub::{
    config::{Config, Storage},
    hub::{self, Listeners},
    init::{CA_FILE, OPERATORS, init},
};
use weft_proto::v1::{self, operator_client::OperatorClient};

use super::unusable;
use crate::{
    client::{self, Address},
    failure::Failure,
    files,
};

/// One proposes, the other confirms.
pub(super) const OPERATOR_NAMES: [&str; 2] = ["wang", "li"];
const MAX_PEM: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// A hub that runs in this process.
pub(super) struct Hall {
    pub(super) folder: PathBuf,
    pub(super) api: SocketAddr,
    pub(super) console: SocketAddr,
    /// The console's port was taken, so another one is used.
    pub(super) another_port: bool,
    keys_dir: PathBuf,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), hub::Error>>>,
}

impl Hall {
    /// Makes and starts an embedded hub in `folder`.
    pub(super) async fn open(folder: &Path, console_port: u16) -> Result<Self, Failure> {
        let bind = |port: u16| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)));
        let (api, enrolment) = (bind(0).await, bind(0).await);
        let (console, another_port) = match bind(console_port).await {
            Ok(listener) => (Ok(listener), false),
            Err(_) => (bind(0).await, true),
        };
        let failed = |error: std::io::Error| unusable(&error);
        let listeners = Listeners {
            api: api.map_err(failed)?,
            enrolment: enrolment.map_err(failed)?,
            console: console.map_err(failed)?,
        };
        let address = |listener: &TcpListener| listener.local_addr().map_err(failed);
        let (api, enrolment, console) =
            (address(&listeners.api)?, address(&listeners.enrolment)?, address(&listeners.console)?);
        let mut config = Config {
            hub_name: "localhost".into(),
            trust_domain: "weft.demo".into(),
            keys_dir: folder.join("keys"),
            storage: Storage::Embedded { data_dir: folder.join("data") },
            test_identities: true,
            ..Config::default()
        };
        config.listen.enrolment_address = format!("https://localhost:{}", enrolment.port());
        std::fs::create_dir_all(folder.join("data")).map_err(failed)?;
        let names = OPERATOR_NAMES.map(String::from);
        init(&config, &names, &weft_hub::clock::SystemClock).map_err(|error| unusable(&error))?;
        let stop = CancellationToken::new();
        let keys_dir = config.keys_dir.clone();
        let task = Some(tokio::spawn(hub::run(config, listeners, stop.clone())));
        Ok(Self { folder: folder.to_owned(), api, console, another_port, keys_dir, stop, task })
    }

    /// The API's address.
    pub(super) fn address(&self) -> Address {
        Address { host: "localhost".into(), port: self.api.port() }
    }

    /// The console's.
    pub(super) fn console_url(&self) -> String {
        format!("http://{}", self.console)
    }

    /// A channel with the certificate in these files.
    pub(super) async fn channel(&self, certificate: &Path, key: &Path) -> Result<Channel, Failure> {
        let read = |path: &Path| files::read(&path.to_string_lossy(), MAX_PEM);
        let config = client::mutual(&read(certificate)?, &read(key)?, &read(&self.keys_dir.join(CA_FILE))?)?;
        client::connect(&self.address(), None, config, PATIENCE).await
    }

    /// An operator's client; waits until the hub answers.
    pub(super) async fn operator(&self, name: &str) -> Result<OperatorClient<Channel>, Failure> {
        let folder = self.keys_dir.join(OPERATORS);
        let (certificate, key) = (folder.join(format!("{name}.crt.pem")), folder.join(format!("{name}.key.pem")));
        let asked = tokio::time::Instant::now();
        loop {
            let mut operator = OperatorClient::new(self.channel(&certificate, &key).await?);
            match operator.list_departments(v1::ListDepartmentsRequest {}).await {
                Ok(_) => return Ok(operator),
                Err(status) if asked.elapsed() > PATIENCE => return Err(status.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Stops the hub.
    pub(super) async fn close(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        match self.task.take() {
            Some(task) => task.await.map_err(|error| unusable(&error))?.map_err(|error| unusable(&error)),
            None => Ok(()),
        }
    }

    /// Stays open until it is stopped.
    pub(super) async fn until(self, stop: &CancellationToken) -> Result<(), Failure> {
        stop.cancelled().await;
        self.close().await
    }
}
