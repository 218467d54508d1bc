//! One hub instance: its parts, how they start and how they stop.

mod serve;

use std::{fmt, sync::Arc};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use weft_record::{catalogue::Catalogue, identifier::Tolerance};

use crate::{
    admitted::Admitted,
    alarms::{Alarms, Raised},
    clock::SharedClock,
    config::{Config, Storage},
    fleet::Fleet,
    follow::Follower,
    identity::ca::CERTIFICATE_DAYS,
    index::{
        SharedIndex,
        postgres::{PgIndex, PgOptions},
    },
    keys::{Keys, KeysError},
    ledger::Ledger,
    log::SharedLog,
    metrics::{Metrics, metered::Metered},
    partitions::Partitions,
    publish::Publisher,
    query::Query,
    registry::{
        RegistryView, Standing,
        event::{After, IdentityState},
    },
};

/// Why a hub did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key directory.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The record types.
    #[error("the catalogue cannot be used: {0}")]
    Catalogue(String),
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The index.
    #[error(transparent)]
    Index(#[from] crate::index::Error),
    /// The embedded log's data directory.
    #[error(transparent)]
    OpenLog(#[from] crate::log::sqlite::OpenError),
    /// The log's brokers.
    #[error(transparent)]
    Brokers(#[from] crate::log::kafka::ConnectError),
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A file named in the configuration.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What happened.
        error: std::io::Error,
    },
    /// The first registry events could not be written.
    #[error("the installation could not be begun: {0}")]
    Begin(String),
    /// Storage failed in a way after which nothing written may be trusted; the process must end, and start anew.
    #[error("{0} failed to sync: stopping, so that nothing is acknowledged that may not be kept")]
    Poisoned(&'static str),
    /// A background task ended badly.
    #[error("a background task ended badly: {0}")]
    Task(String),
}

/// Bound listeners; tests bind port 0.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC, mutual TLS.
    pub api: TcpListener,
    /// Enrolment, server TLS.
    pub enrolment: TcpListener,
    /// Health, metrics, keys: plain HTTP.
    pub console: TcpListener,
}

/// Log and index, opened.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The log.
    pub log: SharedLog,
    /// The index.
    pub index: SharedIndex,
    /// Become true when a sync failed: (what, flag).
    pub poisoned: Vec<(&'static str, tokio::sync::watch::Receiver<bool>)>,
}

/// Opens the pair that the configuration names.
pub async fn open_stores(config: &Config) -> Result<Stores, Error> {
    match &config.storage {
        Storage::Embedded { data_dir } => {
            let log = crate::log::sqlite::SqliteLog::open(data_dir, crate::log::sqlite::Options::default()).await?;
            let index = crate::index::sqlite::SqliteIndex::open(data_dir).await?;
            let poisoned = vec![("log", log.poisoned()), ("index", index.poisoned())];
            Ok(Stores { log: Arc::new(log), index: Arc::new(index), poisoned })
        }
        Storage::Served { kafka, postgres } => {
            let log = crate::log::kafka::KafkaLog::connect(kafka.as_ref().clone())?;
            let url = read(&postgres.url_file)?;
            let options = PgOptions { schema: postgres.schema.clone(), ..PgOptions::default() };
            let index = PgIndex::connect(url.trim(), &options).await?;
            Ok(Stores { log: Arc::new(log), index: Arc::new(index), poisoned: Vec::new() })
        }
    }
}

/// The parts of a hub, wired.
pub struct Parts {
    /// The registry view.
    pub registry: Arc<RegistryView>,
    /// The follower.
    pub follower: Arc<Follower>,
    /// The positions.
    pub partitions: Arc<Partitions>,
    /// The adapters.
    pub fleet: Arc<Fleet>,
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// Query.
    pub query: Arc<Query>,
    /// Publish.
    pub publisher: Arc<Publisher>,
    /// The keys.
    pub keys: Arc<Keys>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Raises alarms that follow from no entry.
    pub alarms: Arc<Alarms>,
    raised: Raised,
    stores: Stores,
    clock: SharedClock,
    withheld: tokio::sync::mpsc::UnboundedReceiver<crate::body::Look>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Loads the built-in record types.
pub fn catalogue(config: &Config) -> Result<Arc<Catalogue>, Error> {
    let catalogue = Catalogue::builtin().map_err(|error| Error::Catalogue(error.to_string()))?;
    let tolerance = if config.test_identities { Tolerance::TEST } else { Tolerance::LIVE };
    Ok(Arc::new(catalogue.with_tolerance(tolerance)))
}

fn registry(
    config: &Config,
    stores: &Stores,
    keys: &Arc<Keys>,
    clock: &SharedClock,
) -> Result<Arc<RegistryView>, Error> {
    let (log, index) = (Arc::clone(&stores.log), Arc::clone(&stores.index));
    Ok(RegistryView::new(log, index, Arc::clone(keys), catalogue(config)?, Arc::clone(clock)))
}

impl Parts {
    /// Wires the parts over opened stores. Nothing runs yet.
    pub fn new(config: &Config, stores: Stores, clock: SharedClock) -> Result<Self, Error> {
        let keys = Arc::new(Keys::open(&config.keys_dir)?);
        let metrics = Arc::new(Metrics::new());
        let (alarms, raised) = Alarms::new(Arc::clone(&clock));
        let log = Metered::wrap(stores.log, Arc::clone(&metrics), Arc::clone(&clock));
        let stores = Stores { log, ..stores };
        let (log, index) = (Arc::clone(&stores.log), Arc::clone(&stores.index));
        let registry = registry(config, &stores, &keys, &clock)?;
        let admitted = Arc::new(Admitted::new(Arc::clone(&clock)));
        let follower = Follower::new(
            Arc::clone(&log),
            Arc::clone(&index),
            Arc::clone(&registry),
            Arc::clone(&keys),
            Arc::clone(&admitted),
            Arc::clone(&clock),
            config.instance.clone(),
            Arc::clone(&metrics),
        );
        let partitions = Partitions::new(Arc::clone(&index));
        let fleet = Fleet::new(Arc::clone(&index), Arc::clone(&registry), Arc::clone(&clock), config.instance.clone());
        let (ledger, withheld) = Ledger::new(log.clone(), keys.clone(), clock.clone(), partitions.clone());
        let query = Arc::new(Query::new(
            Arc::clone(&registry),
            Arc::clone(&index),
            Arc::clone(&ledger),
            Arc::clone(&follower),
            Arc::clone(&partitions),
            Arc::clone(&fleet),
            Arc::clone(&keys),
            Arc::clone(&clock),
        ));
        let publisher = Arc::new(Publisher::new(
            Arc::clone(&registry),
            log,
            index,
            Arc::clone(&partitions),
            admitted,
            Arc::clone(&clock),
            config.limits.quarantine_per_sender,
            Arc::clone(&metrics),
        ));
        Ok(Self {
            registry,
            follower,
            partitions,
            fleet,
            ledger,
            query,
            publisher,
            keys,
            metrics,
            alarms,
            raised,
            stores,
            clock,
            withheld,
        })
    }
}

/// Runs a hub on bound listeners until `shutdown`, then drains. Returns an error when it cannot start, or when going on would break a
/// promise.
pub async fn run(config: Config, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
    let stores = open_stores(&config).await?;
    run_with(config, listeners, stores, Arc::new(crate::clock::SystemClock), shutdown).await
}

/// Like [`run`], over stores and a clock of the caller's.
pub async fn run_with(
    config: Config,
    listeners: Listeners,
    stores: Stores,
    clock: SharedClock,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    for topic in crate::index::FIXED_TOPICS {
        stores.log.ensure(&topic).await?;
    }
    let parts = Parts::new(&config, stores, clock)?;
    let stop = shutdown.child_token();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&parts.registry).follow(stop.clone()));
    tasks.spawn(Arc::clone(&parts.partitions).watch(stop.clone()));
    tasks.spawn(Arc::clone(&parts.fleet).watch(stop.clone()));
    // The follower makes a registry whole that was cut off, so it does not wait for one.
    tasks.spawn(Arc::clone(&parts.follower).run(stop.clone()));
    // What it waits for is done by tasks that a shutdown ends.
    let begun = tokio::select! {
        () = shutdown.cancelled() => false,
        begun = begin(&config, &parts) => begun.map(|()| true)?,
    };
    let mut ended = Ok(());
    if begun {
        let poisoned = parts.stores.poisoned.clone();
        serve::serve(&config, listeners, parts, &mut tasks, &stop)?;
        tracing::info!(instance = config.instance, "hub is serving");
        ended = watch(&mut tasks, poisoned, &shutdown).await;
    }
    stop.cancel();
    while let Some(joined) = tasks.join_next().await {
        joined.map_err(|error| Error::Task(error.to_string()))?;
    }
    ended
}

/// Waits for the end: asked for, or forced by a failure after which nothing may go on.
async fn watch(
    tasks: &mut JoinSet<()>,
    poisoned: Vec<(&'static str, tokio::sync::watch::Receiver<bool>)>,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let mut flags: FuturesUnordered<_> = poisoned.into_iter().map(|(what, flag)| until_true(what, flag)).collect();
    let failed = async {
        match flags.next().await {
            Some(what) => what,
            // A served pair keeps its data elsewhere.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        what = failed => Err(Error::Poisoned(what)),
        Some(joined) = tasks.join_next() => match joined {
            Err(error) => Err(Error::Task(error.to_string())),
            Ok(()) if shutdown.is_cancelled() => Ok(()),
            Ok(()) => Err(Error::Task("a task that runs for ever has ended".into())),
        },
    }
}

async fn until_true(what: &'static str, mut flag: tokio::sync::watch::Receiver<bool>) -> &'static str {
    // A store that is gone cannot fail any more.
    if flag.wait_for(|poisoned| *poisoned).await.is_err() {
        std::future::pending::<()>().await;
    }
    what
}

/// The first events of a fresh registry: the installation, and the operators that the key directory names. A registry that lost them is
/// not begun anew: that would give a log of another history the same name.
async fn begin(config: &Config, parts: &Parts) -> Result<(), Error> {
    let mut standing = parts.registry.standing();
    // The sender lives as long as the view, so waiting cannot fail.
    let lacking =
        standing.wait_for(|standing| *standing != Standing::Unread).await.is_ok_and(|at| *at == Standing::Lacking);
    if parts.registry.snapshot().hub_name.is_some() {
        return Ok(());
    }
    if lacking || parts.registry.snapshot().position > 0 {
        tracing::error!(
            "the registry is shorter than the index remembers: waiting for what was lost to be appended again"
        );
        return Ok(());
    }
    let failed = |error: weft_proto::Refusal| Error::Begin(error.to_string());
    let installation =
        After::Installation { installation: parts.keys.installation.clone(), hub_name: config.hub_name.clone() };
    let first = parts.registry.administer("hub", |registry| match registry.hub_name {
        None => Ok(("installation".into(), installation)),
        Some(_) => Err(weft_proto::Reason::AlreadyExists.into()),
    });
    if let Err(refusal) = first.await {
        // Another instance began it at the same time.
        if parts.registry.snapshot().hub_name.is_none() {
            return Err(failed(refusal));
        }
        return Ok(());
    }
    let not_after = parts.keys.created_at + CERTIFICATE_DAYS * 86_400_000;
    for (path, serial) in &parts.keys.operators {
        let state = IdentityState { certificates: vec![(serial.clone(), not_after)], ..IdentityState::new(path) };
        let entity = format!("identity/{path}");
        parts.registry.administer("hub", |_| Ok((entity, After::Identity(state)))).await.map_err(failed)?;
    }
    Ok(())
}

/// A file named in the configuration.
pub(crate) fn read(path: &std::path::Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::File { path: path.display().to_string(), error })
}
