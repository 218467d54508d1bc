//! The stream on which the adapter lives beside the hub: it says who it is, then how it is, every few seconds; commands come back.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use weft_proto::v1::{
    self, Command, CommandKind, FromAdapter, Hello, SourceInfo, fleet_client::FleetClient, from_adapter, to_adapter,
};

use crate::{
    clock::Surroundings,
    config::Config,
    life::Life,
    link::{self, Link, Pace},
    snapshot::Looker,
    spool::{self, Order, OrderKind, Spool},
};

/// Without a word of the hub for so long the stream is broken.
const UNHEARD: Duration = Duration::from_secs(60);
/// Besides the regular ones, heartbeats are sent this often at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Tells the hub how the adapter is.
#[derive(Debug)]
pub(crate) struct Attendant {
    pub(crate) link: Link,
    pub(crate) spool: Spool,
    pub(crate) life: Arc<Life>,
    pub(crate) looker: Looker,
    pub(crate) hello: Hello,
    pub(crate) every: Duration,
    pub(crate) surroundings: Surroundings,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Link(#[from] link::Error),
    #[error("the hub ended the stream")]
    Ended,
    #[error("the hub is not heard")]
    Unheard,
    #[error(transparent)]
    Spool(#[from] spool::Error),
}

impl From<tonic::Status> for Broken {
    fn from(status: tonic::Status) -> Self {
        Self::Link(status.into())
    }
}

/// What the hub is told first.
pub(crate) fn hello(config: &Config, config_digest: &str) -> Hello {
    let source = |source: &crate::config::SourceConfig| SourceInfo {
        name: source.name.clone(),
        kind: source.kind_name().to_owned(),
        record_type: source.mapping.record_type.clone(),
        hours: source.hours.clone(),
    };
    Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_digest: config_digest.to_owned(),
        coverage: config.coverage.iter().map(coverage).collect(),
        sources: config.sources.iter().map(source).collect(),
    }
}

fn coverage(declared: &crate::coverage::Coverage) -> v1::Coverage {
    v1::Coverage {
        record_type: declared.record_type.clone(),
        since: declared.since.clone().unwrap_or_default(),
        divisions: declared.divisions.clone(),
        back_fill_finished: declared.backfill_finished,
        adapter: String::new(),
    }
}

fn message(kind: from_adapter::Kind) -> FromAdapter {
    FromAdapter { kind: Some(kind) }
}

impl Attendant {
    /// Attends until `stop`. That the hub cannot be told is no failure of the adapter's: publishing has its own stream.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let pace = Pace::default();
        let mut failures = 0_u32;
        loop {
            let before = self.life.hub().0.heard_ms;
            let broken = tokio::select! {
                () = stop.cancelled() => return,
                broken = self.stream() => broken,
            };
            let Err(error) = broken;
            self.life.lost(error.to_string());
            tracing::info!(%error, failures, "the hub is not told how the adapter is");
            self.link.failed();
            failures = if self.life.hub().0.heard_ms == before { failures.saturating_add(1) } else { 0 };
            let pause = link::pause(pace, failures, self.surroundings.chance.as_ref());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn stream(&self) -> Result<std::convert::Infallible, Broken> {
        let channel = self.link.connect().await?;
        let (out, messages) = mpsc::channel(4);
        let say = |kind| async { out.send(message(kind)).await.map_err(|_| Broken::Ended) };
        say(from_adapter::Kind::Hello(self.hello.clone())).await?;
        let mut client = FleetClient::new(channel);
        let mut answers = client.connect_adapter(ReceiverStream::new(messages)).await?.into_inner();
        let mut every = tokio::time::interval(self.every);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        // What changed is told soon, and not at every turn of a source that waits for room again and again.
        let (mut dirty, mut sent, mut sent_ms) = (false, Instant::now(), self.now_ms());
        loop {
            tokio::select! {
                answer = answers.message() => {
                    heard = Instant::now();
                    match answer?.ok_or(Broken::Ended)?.kind {
                        Some(to_adapter::Kind::Heard(word)) => self.heard(&word, sent_ms).await?,
                        Some(to_adapter::Kind::Command(command)) => self.order(command).await?,
                        None => {}
                    }
                }
                () = self.life.changed(), if !dirty => dirty = true,
                () = async {
                    tokio::select! {
                        _ = every.tick() => {}
                        () = tokio::time::sleep_until(sent + AT_MOST_EVERY), if dirty => {}
                    }
                } => {
                    if heard.elapsed() > UNHEARD.max(self.every * 3) {
                        return Err(Broken::Unheard);
                    }
                    (dirty, sent, sent_ms) = (false, Instant::now(), self.now_ms());
                    let beat = self.looker.beat(&self.life, &self.spool, sent_ms).await?;
                    say(from_adapter::Kind::Heartbeat(beat)).await?;
                }
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.surroundings.clock.now().as_millisecond()
    }

    /// The hub's clock was read between sending and hearing: the middle is the best guess.
    async fn heard(&self, heard: &v1::Heard, sent_ms: i64) -> Result<(), Broken> {
        if let Some(at) = &heard.at {
            let hub_ms = at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000);
            let middle = sent_ms + (self.now_ms() - sent_ms) / 2;
            self.life.heard(hub_ms.saturating_sub(middle));
        }
        if let Some(position) = self.life.ledger(heard.ledger_position) {
            self.spool.set_fact("ledger", &position.to_string()).await?;
        }
        Ok(())
    }

    /// A command is durable before it is carried out.
    async fn order(&self, command: Command) -> Result<(), Broken> {
        let kind = match command.kind() {
            CommandKind::Pause => OrderKind::Pause,
            CommandKind::Resume => OrderKind::Resume,
            CommandKind::Resync => OrderKind::Resync,
            CommandKind::Reconcile => OrderKind::Reconcile,
            CommandKind::Renew => OrderKind::Renew,
            // Of a later hub: it stays unacknowledged, which shows there.
            CommandKind::Unspecified => return Ok(()),
        };
        let since_ms = command.since.map(|at| at.seconds.saturating_mul(1_000));
        let order = Order { id: command.id, kind, source: command.source, since_ms, repair: command.repair };
        self.spool.order(&order, self.now_ms()).await?;
        self.life.order();
        Ok(())
    }
}
