//! An Apache Kafka broker of its own: one node that is broker and controller, on free ports, in a scratch folder.
//!
//! The jars come from `tests/kafka/pom.xml`, fetched by `tests/run`. A change of port, data folder or process is
//! only by the methods here; the data folder itself may be cut or replaced while the broker is down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::folder::{scratch, target_dir};
use crate::process::{Launch, Process, free_port};

/// The broker needs 2 to 4 seconds to start on two idle processors.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(60);
const CLUSTER: &str = "d2VmdC10ZXN0cy1icm9rZQ";
/// Small and quick to start: the first compiler stage is enough for tests and spares the processors.
const JVM: [&str; 5] = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];

/// What a test wants otherwise than usual.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Lines of `server.properties` that stand in place of the usual ones or beside them. The clients' listener is
    /// called `CLIENT`.
    pub overrides: Vec<(String, String)>,
    /// What a client needs for being let in; part of [`Broker::client`].
    pub client: Vec<(String, String)>,
}

/// A broker that is up unless stopped or killed. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Broker {
    // Before the folder: dropped in this order.
    process: Option<Process>,
    folder: TempDir,
    setup: Setup,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    controller: u16,
}

/// The one broker of this test process, started on first use. Nobody may stop it; topics are kept apart by
/// [`topic_prefix`].
pub async fn shared() -> &'static Broker {
    static SHARED: OnceCell<Broker> = OnceCell::const_new();
    SHARED.get_or_init(Broker::start).await
}

/// A prefix for the topics of one test or hub, never given twice in a process: `<name>-<n>.`.
#[must_use]
pub fn topic_prefix(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}.", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// Starts a broker with an empty log.
    ///
    /// # Panics
    /// When it is not up in time, with the end of its output.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// As [`Broker::start`], with settings of the test's own.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub async fn start_with(setup: Setup) -> Self {
        let mut broker =
            Self { process: None, folder: scratch("kafka"), setup, ports: Ports { client: 0, controller: 0 } };
        for attempt in 1.. {
            broker.ports = Ports { client: free_port(), controller: free_port() };
            broker.write_properties();
            if attempt == 1 {
                broker.format().await;
            }
            match broker.try_up().await {
                Ok(()) => break,
                // Somebody else took one of the ports between the choice and the start.
                Err(why) if attempt < 5 && why.contains("Address already in use") => {}
                Err(why) => panic!("kafka: {why}"),
            }
        }
        broker
    }

    /// `host:port`, for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    /// Where topics lie as `<topic>-<partition>/`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The settings of a client that is let in, with librdkafka's own log off.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config.set("broker.address.family", "v4");
        config.set("reconnect.backoff.max.ms", "500");
        config.set_log_level(RDKafkaLogLevel::Emerg);
        for (name, value) in &self.setup.client {
            config.set(name, value);
        }
        config
    }

    /// Makes a topic with one replica and the given settings, and waits until it can be written.
    ///
    /// # Panics
    /// When the broker refuses or is not there.
    pub async fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        topic.config = settings.to_vec();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let made = admin.create_topics([&topic], &options).await.expect("an answer from the broker");
        for result in made {
            result.unwrap_or_else(|(name, code)| panic!("make topic {name}: {code}"));
        }
    }

    /// SIGTERM, and waits for the end: everything is on disk.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate();
            process.wait(STOP).await;
        }
    }

    /// SIGKILL: what is in the page cache stays there, as after a crash of the process.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.process.iter().for_each(Process::pause);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.iter().for_each(Process::resume);
    }

    /// Starts it again on the same port and data, killing it first if it is up, and waits until every partition
    /// has a leader. After a kill this takes the 4 seconds for which the controller believes in the dead broker.
    ///
    /// # Panics
    /// When it is not up in time, with the end of its output.
    pub async fn restart(&mut self) {
        self.kill9();
        self.try_up().await.unwrap_or_else(|why| panic!("kafka, restarted: {why}"));
    }

    async fn try_up(&mut self) -> Result<(), String> {
        let process = java("broker", self.folder.path()).arg("kafka.Kafka").arg(self.properties()).start();
        let up = process
            .try_wait_until(START, async || {
                let config = self.client();
                let probe = tokio::task::spawn_blocking(move || probe(&config));
                probe.await.map_err(|e| e.to_string())?
            })
            .await;
        let up = up.map_err(|why| format!("{why}\n{}", process.last_words()));
        self.process = Some(process);
        up
    }

    async fn format(&self) {
        let tool = java("format", self.folder.path())
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"])
            .arg(self.properties())
            .start();
        let status = tool.wait(START).await;
        assert!(status.success(), "format the broker's folder: {status}\n{}", tool.last_words());
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn write_properties(&self) {
        let lines = properties(self.ports, &self.data_dir(), &self.setup.overrides);
        std::fs::write(self.properties(), lines).expect("write server.properties");
    }
}

/// Up means: it names itself as a broker, and no partition that it knows is without a leader.
fn probe(config: &ClientConfig) -> Result<(), String> {
    let consumer: BaseConsumer = config.create().map_err(|e| e.to_string())?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(2)).map_err(|e| e.to_string())?;
    if metadata.brokers().is_empty() {
        return Err("no broker is registered".to_owned());
    }
    match leaderless(&metadata) {
        Some(topic) => Err(format!("topic {topic} has no leader")),
        None => Ok(()),
    }
}

fn leaderless(metadata: &Metadata) -> Option<&str> {
    let without = |topic: &&rdkafka::metadata::MetadataTopic| topic.partitions().iter().any(|p| p.leader() < 0);
    metadata.topics().iter().find(without).map(rdkafka::metadata::MetadataTopic::name)
}

fn java(name: &str, folder: &Path) -> Launch {
    let classes = jars().join("*");
    Launch::new(name, folder, "java").args(JVM).arg("-cp").arg(classes)
}

fn jars() -> PathBuf {
    let jars = std::env::var_os("WEFT_KAFKA_LIBS").map_or_else(|| target_dir().join("kafka/libs"), PathBuf::from);
    assert!(jars.is_dir(), "no Kafka at {}: run tests/run, which fetches it", jars.display());
    jars
}

fn properties(ports: Ports, data: &Path, overrides: &[(String, String)]) -> String {
    let Ports { client, controller } = ports;
    let mut lines: Vec<(String, String)> = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.listener.names", "CONTROLLER"),
        ("inter.broker.listener.name", "CLIENT"),
        ("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("auto.create.topics.enable", "false"),
        ("num.partitions", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        // Shorter than usual, for a quick return after a kill; long enough for a machine that is busy.
        ("broker.heartbeat.interval.ms", "500"),
        ("broker.session.timeout.ms", "4000"),
        ("log.cleaner.dedupe.buffer.size", "4194304"),
        ("log.cleaner.backoff.ms", "500"),
        ("log.index.size.max.bytes", "1048576"),
        ("num.network.threads", "2"),
        // A flush holds its thread; what only reads must find another.
        ("num.io.threads", "8"),
        ("background.threads", "2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let listeners = format!("CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}");
    lines.push(("listeners".to_owned(), listeners));
    lines.push(("advertised.listeners".to_owned(), format!("CLIENT://127.0.0.1:{client}")));
    lines.push(("controller.quorum.voters".to_owned(), format!("1@127.0.0.1:{controller}")));
    lines.push(("log.dirs".to_owned(), data.display().to_string()));
    lines.retain(|(name, _)| overrides.iter().all(|(other, _)| other != name));
    lines.extend_from_slice(overrides);
    lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}
