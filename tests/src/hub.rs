//! A hub in this process, with its operators, departments and windows as real clients over real sockets.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use weft_hub::{
    clock::ShiftedClock,
    config::{Config, Storage},
    hub::{self, Listeners, Stores},
    init::{CA_FILE, OPERATORS, init},
};
use weft_proto::v1::{self, operator_client::OperatorClient};

use crate::{
    client::{Credentials, connect},
    department::TestDepartment,
    folder::scratch,
    window::TestWindow,
};

/// The operators of every test hub: what one proposes, the other confirms.
pub const OPERATOR_NAMES: [&str; 2] = ["wang", "li"];

/// A hub instance under test.
#[derive(Debug)]
pub struct TestHub {
    /// What it runs with.
    pub config: Config,
    /// Its stores: to look at from outside.
    pub stores: Stores,
    /// Its clock: shift it.
    pub clock: Arc<ShiftedClock>,
    /// The API listener's address.
    pub api: SocketAddr,
    /// The enrolment listener's.
    pub enrolment: SocketAddr,
    /// The console's.
    pub console: SocketAddr,
    /// Keeps the folder of a fresh hub.
    pub folder: Option<Arc<TempDir>>,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), hub::Error>>>,
}

impl TestHub {
    /// A fresh embedded hub.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A fresh embedded hub with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(scratch("hub"));
        let mut config = embedded(folder.path().into());
        change(&mut config);
        begin(&config);
        let stores = hub::open_stores(&config).await.expect("stores open");
        Self::run(config, stores, Some(folder)).await
    }

    /// A fresh hub on Kafka and PostgreSQL, with servers' names of its own.
    pub async fn start_served(name: &str, broker: &crate::kafka::Broker, server: &crate::postgres::Server) -> Self {
        let folder = Arc::new(scratch("hub"));
        let config = served(folder.path().into(), name, broker, server).await;
        begin(&config);
        let stores = hub::open_stores(&config).await.expect("stores open");
        Self::run(config, stores, Some(folder)).await
    }

    /// Another instance of the same hub: same keys, same log, same index.
    pub async fn another(&self, instance: &str) -> Self {
        let config = Config { instance: instance.into(), ..self.config.clone() };
        let stores = hub::open_stores(&config).await.expect("stores open");
        Self::run(config, stores, self.folder.clone()).await
    }

    /// A hub over given stores; its key directory must exist.
    pub async fn run(config: Config, stores: Stores, folder: Option<Arc<TempDir>>) -> Self {
        let clock = Arc::new(ShiftedClock::default());
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.expect("a free port") };
        let listeners = Listeners { api: bind().await, enrolment: bind().await, console: bind().await };
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let (api, enrolment, console) =
            (address(&listeners.api), address(&listeners.enrolment), address(&listeners.console));
        let stop = CancellationToken::new();
        let running = hub::run_with(config.clone(), listeners, stores.clone(), clock.clone(), stop.clone());
        let task = Some(tokio::spawn(running));
        Self { config, stores, clock, api, enrolment, console, stop, task, folder }
    }

    /// Stops the hub and starts it anew on the same stores' files.
    pub async fn restart(mut self) -> Self {
        let (config, folder) = (self.config.clone(), self.folder.clone());
        self.stop().await;
        drop(self);
        let stores = reopen(&config).await;
        Self::run(config, stores, folder).await
    }

    /// Stops the hub; panics if it, or a task of it, ended badly.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("the hub's task did not panic").expect("the hub stopped well");
        }
    }

    /// Waits for a hub that ends by itself.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), hub::Error> {
        match self.task.take() {
            Some(task) => task.await.expect("the hub's task did not panic"),
            None => Ok(()),
        }
    }

    /// The data directory of an embedded hub.
    ///
    /// # Panics
    /// When it is a served one.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        match &self.config.storage {
            Storage::Embedded { data_dir } => data_dir.clone(),
            Storage::Served { .. } => panic!("a served hub has no data directory"),
        }
    }

    /// The address of a served hub's database.
    ///
    /// # Panics
    /// When it is an embedded one.
    #[must_use]
    pub fn postgres_url(&self) -> String {
        match &self.config.storage {
            Storage::Served { postgres, .. } => std::fs::read_to_string(&postgres.url_file).expect("the URL file"),
            Storage::Embedded { .. } => panic!("an embedded hub has no database"),
        }
    }

    /// The CA's certificate.
    #[must_use]
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.config.keys_dir.join(CA_FILE)).expect("the CA's certificate")
    }

    /// An operator's certificate and key.
    #[must_use]
    pub fn operator_credentials(&self, name: &str) -> Credentials {
        let folder = self.config.keys_dir.join(OPERATORS);
        let read = |suffix: &str| {
            std::fs::read_to_string(folder.join(format!("{name}.{suffix}.pem"))).expect("an operator's file")
        };
        Credentials { certificate: read("crt"), key: read("key") }
    }

    /// An operator's client; waits until the hub answers.
    pub async fn operator(&self, name: &str) -> OperatorClient<Channel> {
        let credentials = self.operator_credentials(name);
        let ca = self.ca();
        crate::eventually(Duration::from_secs(60), || async {
            let mut client = OperatorClient::new(connect(self.api, &ca, Some(&credentials)).await?);
            client.list_departments(v1::ListDepartmentsRequest {}).await.map_err(|status| status.to_string())?;
            Ok::<_, String>(client)
        })
        .await
    }

    /// Registers a department that owns these types, enrols an adapter, and confirms its key by the second operator.
    pub async fn department(&self, code: &str, record_types: &[&str]) -> TestDepartment {
        self.register(code, record_types, true).await;
        TestDepartment::enrol(self, code, "main").await
    }

    /// Registers a department; its coverage is declared complete or not.
    pub async fn register(&self, code: &str, record_types: &[&str], complete: bool) {
        let coverage = record_types.iter().map(|record_type| v1::Coverage {
            record_type: (*record_type).into(),
            since: String::new(),
            divisions: Vec::new(),
            back_fill_finished: complete,
            adapter: String::new(),
        });
        let request = v1::RegisterDepartmentRequest {
            department: code.into(),
            name_zh: format!("示例部门 {code}"),
            name_en: format!("sample department {code}"),
            record_types: record_types.iter().map(ToString::to_string).collect(),
            coverage: coverage.collect(),
        };
        self.operator(OPERATOR_NAMES[0])
            .await
            .register_department(request)
            .await
            .expect("the department is registered");
    }

    /// A join token's text for an identity's path.
    pub async fn join_token(&self, identity: &str) -> String {
        let request = v1::CreateJoinTokenRequest { identity: identity.into(), valid_seconds: 600 };
        let response = self.operator(OPERATOR_NAMES[0]).await.create_join_token(request).await;
        response.expect("a join token is made").into_inner().join_token
    }

    /// Registers and enrols a window.
    pub async fn window(&self, name: &str) -> TestWindow {
        let request = v1::RegisterWindowRequest {
            window: name.into(),
            name_zh: format!("示例窗口 {name}"),
            hall: "gaoqing".into(),
        };
        self.operator(OPERATOR_NAMES[0]).await.register_window(request).await.expect("the window is registered");
        TestWindow::enrol(self, name).await
    }

    /// A grant, asked for by one operator and approved by the other. Returns its id.
    pub async fn grant(&self, grant: v1::GrantInfo) -> String {
        let mut first = self.operator(OPERATOR_NAMES[0]).await;
        let change = first.request_grant(v1::RequestGrantRequest { grant: Some(grant) }).await;
        let id = change.expect("the grant is asked for").into_inner().entity.trim_start_matches("grant/").to_owned();
        let state = first.list_all_grants(v1::ListAllGrantsRequest {}).await.expect("grants are listed").into_inner();
        let active = state.grants.iter().any(|grant| grant.grant_id == id && grant.state == "active");
        if !active {
            self.decide(OPERATOR_NAMES[1], &id, "active").await.expect("the grant is approved");
        }
        id
    }

    /// Decides a grant.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn decide(&self, operator: &str, grant: &str, state: &str) -> Result<v1::Change, tonic::Status> {
        let request = v1::DecideGrantRequest { grant_id: grant.into(), state: state.into(), why: "test".into() };
        Ok(self.operator(operator).await.decide_grant(request).await?.into_inner())
    }

    /// The operator's view of the hub; asked again where the hub says to try again.
    pub async fn status(&self, with_index_digest: bool) -> v1::StatusResponse {
        let mut operator = self.operator(OPERATOR_NAMES[0]).await;
        let asked = tokio::time::Instant::now();
        loop {
            match operator.status(v1::StatusRequest { with_index_digest }).await {
                Ok(response) => return response.into_inner(),
                Err(status) => {
                    let again = status.code() == tonic::Code::Unavailable && asked.elapsed() < Duration::from_secs(30);
                    assert!(again, "the hub's status: {status:?}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// The operator's view of the hub, if it can be had.
    ///
    /// # Errors
    /// The hub's refusal.
    pub async fn try_status(&self, with_index_digest: bool) -> Result<v1::StatusResponse, tonic::Status> {
        let mut operator = self.operator(OPERATOR_NAMES[0]).await;
        Ok(operator.status(v1::StatusRequest { with_index_digest }).await?.into_inner())
    }

    /// The hub's alarms.
    pub async fn alarms(&self) -> Vec<v1::Alarm> {
        let response = self.operator(OPERATOR_NAMES[0]).await.list_alarms(v1::ListAlarmsRequest {}).await;
        response.expect("alarms").into_inner().alarms
    }
}

/// Opens the stores of a hub that was stopped; what it left running lets go of them in a moment.
pub async fn reopen(config: &Config) -> Stores {
    crate::eventually(Duration::from_secs(60), || async { hub::open_stores(config).await }).await
}

/// An embedded configuration in a folder.
#[must_use]
pub fn embedded(folder: PathBuf) -> Config {
    Config {
        hub_name: "hub.weft.test".into(),
        trust_domain: "weft.test".into(),
        keys_dir: folder.join("keys"),
        storage: Storage::Embedded { data_dir: folder.join("data") },
        test_identities: true,
        ..Config::default()
    }
}

/// A served configuration: topics with a prefix of their own, a database of their own.
pub async fn served(
    folder: PathBuf,
    name: &str,
    broker: &crate::kafka::Broker,
    server: &crate::postgres::Server,
) -> Config {
    let url_file = folder.join("postgres.url");
    std::fs::write(&url_file, server.database().await).expect("the URL file is written");
    let kafka = weft_hub::log::kafka::Config {
        brokers: broker.bootstrap(),
        topic_prefix: crate::kafka::topic_prefix(name),
        partitions: 3,
        replication: 1,
        single_broker: true,
        ..weft_hub::log::kafka::Config::default()
    };
    let postgres = weft_hub::config::Postgres { url_file, schema: "weft".into() };
    Config { storage: Storage::Served { kafka: Box::new(kafka), postgres }, ..embedded(folder) }
}

/// Makes the key directory of a fresh hub.
pub fn begin(config: &Config) {
    if let Storage::Embedded { data_dir } = &config.storage {
        std::fs::create_dir_all(data_dir).expect("a data folder");
    }
    let names = OPERATOR_NAMES.map(String::from);
    init(config, &names, &weft_hub::clock::SystemClock).expect("the hub is initialised");
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
