//! The entry: sources are watched, rows mapped and sealed, the spool sent, certificates renewed.

mod feed;
mod first;
mod judge;
mod live;
mod progress;
mod stopped;

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use weft_record::catalogue::Catalogue;

use crate::{
    clock::Surroundings,
    config::{self, Config, Kind},
    intake::{self, Intake},
    join,
    keys::{self, Directory},
    life::Life,
    link::{Endpoint, Link, Pace, Publisher},
    mapping::{Fault, Mapper},
    reconcile::Origin,
    sealing::{self, Sealer},
    settle::Tally,
    source,
    spool::{self, ProblemRow, Spool},
};
use feed::{Fed, Feed};

pub use progress::{Progress, Silent};

/// Why an adapter stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The configuration names another department or adapter than the identity.
    #[error("the configuration is for {configured}, the identity is {identity}")]
    WrongIdentity {
        /// Department and name of the configuration.
        configured: String,
        /// The identity of the state directory.
        identity: String,
    },
    /// Mappings that do not fit their record types.
    #[error("{}", faults(.0))]
    Mapping(Vec<Fault>),
    /// The compiled-in catalogue.
    #[error(transparent)]
    Catalogue(#[from] weft_record::catalogue::Error),
    /// The state directory.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// Taking rows in.
    #[error(transparent)]
    Intake(#[from] intake::Error),
    /// There is no source of that name.
    #[error("the configuration has no source {0}")]
    NoSource(String),
    /// Sealing.
    #[error(transparent)]
    Sealing(#[from] sealing::Error),
    /// A source that cannot be read, where nothing waits for a better time.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It was told to stop before it was done.
    #[error("stopped before everything was answered")]
    Stopped,
}

impl Error {
    /// Whether the disk is full: it is waited for.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Spool(error) => error.is_full(),
            Self::Intake(error) => error.is_full(),
            _ => false,
        }
    }
}

fn faults(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What one run did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Rows that are no records by the mapping's condition.
    pub skipped: u64,
    /// Rows mapped to a record.
    pub mapped: u64,
    /// Receipts.
    pub published: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// Outcomes `indexed`.
    pub indexed: u64,
    /// Outcomes `duplicate`.
    pub duplicate: u64,
    /// Outcomes `quarantined`.
    pub quarantined: u64,
    /// Waiting for their key to be accepted.
    pub held: u64,
    /// What is wrong with which line; refusals of the hub too.
    pub problems: Vec<ProblemRow>,
    /// Sources that could not be read.
    pub failed: Vec<FailedSource>,
}

/// A source that could not be read, while the others were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedSource {
    /// Its name.
    pub source: String,
    /// Why, and what to do, in Chinese.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

/// An adapter, put together.
pub(crate) struct Adapter {
    config: Config,
    directory: Directory,
    surroundings: Surroundings,
    intake: Intake,
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    feeds: Vec<Feed>,
    origins: Vec<Origin>,
    /// Keeps the state directory for this process.
    _identity: keys::Identity,
    _lock: std::fs::File,
}

/// The mappers of all sources.
///
/// # Errors
/// All that is wrong with any mapping, or with the declared coverage.
pub(crate) fn mappers(catalogue: &Catalogue, config: &Config) -> Result<Vec<Mapper>, Error> {
    let mut faults = crate::coverage::faults(config);
    let mut mappers = Vec::new();
    for source in &config.sources {
        match Mapper::new(&source.mapping, catalogue) {
            Ok(mapper) => mappers.push(mapper),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(mappers) } else { Err(Error::Mapping(faults)) }
}

/// The sources, and what their rows become.
fn origins(catalogue: &Catalogue, config: &Config) -> Result<Vec<Origin>, Error> {
    let all = config.sources.iter().zip(mappers(catalogue, config)?);
    all.map(|(source, mapper)| Ok(Origin { config: source.clone(), mapper, hours: source.hours()? })).collect()
}

/// The same at work.
fn feeds(
    origins: &[Origin],
    config: &Config,
    intake: &Intake,
    (directory, surroundings): (&Directory, &Surroundings),
) -> Result<Vec<Feed>, Error> {
    let feed = |Origin { config: source, mapper, hours }: &Origin| {
        Ok(Feed {
            source: source::open(source, mapper.columns(), &config.state_dir, surroundings)?,
            mapper: Arc::new(mapper.clone()),
            by: format!("{} {}", env!("CARGO_PKG_VERSION"), config.digest()),
            intake: intake.clone(),
            limits: config.limits.clone(),
            hours: hours.clone(),
            reads_there: matches!(source.kind()?, Kind::File(_)),
            stays: matches!(source.kind()?, Kind::File(_) | Kind::Rest(_) | Kind::Push(_)),
            poll: source.poll(),
            max_failed_percent: source.max_failed_percent,
            stopped: None,
            progress: intake.life.clone(),
            directory: directory.clone(),
        })
    };
    origins.iter().map(feed).collect()
}

impl Adapter {
    pub(crate) async fn open(config: Config, surroundings: Surroundings) -> Result<Self, Error> {
        config.verify()?;
        let catalogue = Arc::new(Catalogue::builtin()?);
        let directory = Directory::new(&config.state_dir);
        let keys = directory.open()?;
        let identity = keys.identity;
        if (&identity.department, &identity.adapter) != (&config.department, &config.name) {
            let configured = format!("{}/{}", config.department, config.name);
            return Err(Error::WrongIdentity { configured, identity: identity.identity });
        }
        let chance = surroundings.chance.clone();
        let spool = Spool::open(&directory.spool(), &keys.spool, chance.clone()).await?;
        let names = (identity.department.as_str(), identity.hub_name.as_str());
        let sealer = Arc::new(Sealer::new(names, keys.sealing, &keys.secret, catalogue.clone(), chance.clone())?);
        let life = Life::new(&config, surroundings.clock.clone(), surroundings.progress.clone());
        spool.recall(&life).await?;
        let intake = Intake { spool, sealer, clock: surroundings.clock.clone(), life: Arc::clone(&life) };
        let origins = origins(&catalogue, &config)?;
        let feeds = feeds(&origins, &config, &intake, (&directory, &surroundings))?;
        let endpoints = config.hub.iter().filter_map(|endpoint| Endpoint::parse(endpoint)).collect();
        let link = Arc::new(Link::new(endpoints, directory.clone()));
        let publisher = Arc::new(Publisher {
            link: link.clone(),
            intake: intake.clone(),
            chance,
            progress: life,
            pace: Pace::default(),
            tally: Mutex::new(Tally::default()),
        });
        let _lock = keys.lock;
        Ok(Self {
            config,
            directory,
            surroundings,
            intake,
            link,
            publisher,
            feeds,
            origins,
            _identity: identity,
            _lock,
        })
    }

    /// Renews the certificate when its time has come; looked at every hour.
    async fn renew(&self, stop: &CancellationToken) {
        loop {
            let now = self.surroundings.clock.now().as_second();
            let due = join::renew_from(&self.directory).map(|from| now >= from);
            let renewed = match due {
                Ok(true) => {
                    join::renew(&self.link, &self.directory).await.map(|()| tracing::info!("certificate renewed"))
                }
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = renewed {
                tracing::error!(%error, "the certificate could not be renewed");
            }
            if let Err(error) = self.intake.spool.purge(now * 1_000).await {
                tracing::error!(%error, "the spool could not be tidied");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            }
        }
    }
}

impl Adapter {
    /// Watches, publishes and renews until `stop`, or until one of them fails.
    async fn watch(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let feeds = std::mem::take(&mut self.feeds);
        let inner = stop.child_token();
        let work = async {
            let worked = self.work(feeds, &inner).await;
            inner.cancel();
            worked
        };
        let live = self.live();
        let (worked, lived) = tokio::join!(work, live.run(&inner));
        let ended = lived.and(worked);
        live.writer.end(ended.as_ref().err()).await;
        ended
    }

    async fn work(&self, feeds: Vec<Feed>, inner: &CancellationToken) -> Result<(), Error> {
        let publish = async {
            let ended = self.publisher.run(inner).await;
            inner.cancel();
            ended.map_err(Error::from)
        };
        let feed = async {
            let watched = feeds.into_iter().map(|feed| async move {
                let ended = self.watch_one(feed, inner).await;
                if ended.is_err() {
                    inner.cancel();
                }
                ended
            });
            futures::future::join_all(watched).await.into_iter().collect::<Result<Vec<()>, _>>()
        };
        let (published, fed, ()) = tokio::join!(publish, feed, self.renew(inner));
        fed?;
        published
    }

    /// Works off what waits, publishes it and waits for its outcomes.
    async fn once(&mut self, stop: &CancellationToken) -> Result<Summary, Error> {
        let feeds = std::mem::take(&mut self.feeds);
        let inner = stop.child_token();
        let work = async {
            let worked = self.work_once(feeds, &inner).await;
            inner.cancel();
            worked
        };
        let live = self.live();
        let (worked, lived) = tokio::join!(work, live.run(&inner));
        let ended = lived.and(worked);
        live.writer.end(ended.as_ref().err()).await;
        self.summary(&ended?).await
    }

    async fn work_once(&self, feeds: Vec<Feed>, inner: &CancellationToken) -> Result<Fed, Error> {
        let work = async {
            let fed = self.work_off(feeds, inner).await;
            inner.cancel();
            fed
        };
        let (published, fed) = tokio::join!(self.publisher.run(inner), work);
        published?;
        fed
    }

    async fn summary(&self, fed: &Fed) -> Result<Summary, Error> {
        let tally = *self.publisher.tally.lock().await;
        let mut problems = Vec::new();
        for unit in &fed.units {
            problems.extend(self.intake.spool.problems(Some(unit)).await?);
        }
        Ok(Summary {
            rows: fed.rows,
            skipped: fed.skipped,
            mapped: fed.mapped,
            published: tally.published,
            rejected: tally.rejected,
            indexed: tally.indexed,
            duplicate: tally.duplicate,
            quarantined: tally.quarantined,
            held: tally.held,
            problems,
            failed: fed.failed.clone(),
        })
    }

    async fn work_off(&self, feeds: Vec<Feed>, stop: &CancellationToken) -> Result<Fed, Error> {
        let mut fed = Fed::default();
        for feed in feeds {
            fed.add(self.work_off_one(feed, stop).await?);
        }
        while self.intake.spool.counts().await?.under_way() > 0 {
            tokio::select! {
                () = stop.cancelled() => return Err(Error::Stopped),
                () = self.intake.spool.settled() => {}
            }
        }
        Ok(fed)
    }
}

/// Runs an adapter until `stop`: watches its sources and publishes what changes. Returns when what is under way stands
/// still; everything taken in is durable in the spool.
///
/// # Errors
/// Configuration, identity or mapping do not fit, or the spool failed. A hub or source that cannot be reached is no
/// error: it is tried again.
pub async fn run(config: Config, surroundings: Surroundings, stop: CancellationToken) -> Result<(), Error> {
    let mut adapter = Adapter::open(config, surroundings).await?;
    let ended = adapter.watch(&stop).await;
    adapter.intake.spool.close().await;
    match ended {
        Err(Error::Stopped) => Ok(()),
        ended => ended,
    }
}

/// Works off what waits in the sources now, publishes it, waits for every outcome, and tells what came of it. A
/// submission whose key is not accepted yet is not waited for.
///
/// # Errors
/// As [`run`]; and `Stopped` when `stop` came first: what was taken in is in the spool and goes on at the next run.
pub async fn run_once(config: Config, surroundings: Surroundings, stop: CancellationToken) -> Result<Summary, Error> {
    let mut adapter = Adapter::open(config, surroundings).await?;
    let summary = adapter.once(&stop).await;
    adapter.intake.spool.close().await;
    summary
}
