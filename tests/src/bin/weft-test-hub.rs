//! A hub process for tests that kill it: the real hub over the stores of its configuration, or one broken on purpose.
//!
//! `weft-test-hub CONFIG ADDRESSES [--broken WHAT]`: `CONFIG` is the hub's TOML; the addresses that it has bound are
//! written to `ADDRESSES`. `WHAT` says what is promised too early: `receipt-before-append` answers publishers before the
//! log has their records, `answer-before-ledger` answers windows before it has their looks. The suite has to catch both.

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use weft_hub::{
    clock::SystemClock,
    config::Config,
    hub::{Listeners, open_stores, run_with},
    log::{self, AppendError, Draft, Entry, Log, Partition, ReadLimit, SharedLog, Topic},
};
use weft_tests::instance::Addresses;

/// How much later than said an entry stands in the log of a broken build.
const LATE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-test-hub: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (config, addresses, broken) = arguments()?;
    let config = Config::parse(&std::fs::read_to_string(config)?)?;
    let mut stores = open_stores(&config).await?;
    if let Some(broken) = broken {
        stores.log = Arc::new(Early { log: stores.log, broken });
    }
    let listeners = Listeners {
        api: TcpListener::bind(config.listen.api).await?,
        enrolment: TcpListener::bind(config.listen.enrolment).await?,
        console: TcpListener::bind(config.listen.console).await?,
    };
    let bound = Addresses {
        api: listeners.api.local_addr()?,
        enrolment: listeners.enrolment.local_addr()?,
        console: listeners.console.local_addr()?,
    };
    bound.write(&addresses)?;
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        stopping.cancel();
    });
    run_with(config, listeners, stores, Arc::new(SystemClock), stop).await?;
    Ok(())
}

fn arguments() -> Result<(PathBuf, PathBuf, Option<Broken>), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [config, addresses] => Ok((config.into(), addresses.into(), None)),
        [config, addresses, "--broken", broken] => Ok((config.into(), addresses.into(), Some(Broken::parse(broken)?))),
        _ => Err("usage: weft-test-hub CONFIG ADDRESSES [--broken WHAT]".into()),
    }
}

/// What is promised too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    ReceiptBeforeAppend,
    AnswerBeforeLedger,
}

impl Broken {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "receipt-before-append" => Ok(Self::ReceiptBeforeAppend),
            "answer-before-ledger" => Ok(Self::AnswerBeforeLedger),
            other => Err(format!("nothing is broken by the name {other:?}")),
        }
    }

    fn concerns(self, topic: &Topic) -> bool {
        match self {
            Self::ReceiptBeforeAppend => matches!(topic, Topic::Records(_)),
            Self::AnswerBeforeLedger => *topic == Topic::Ledger,
        }
    }
}

/// A log that says of some entries that they stand before they do.
#[derive(Debug)]
struct Early {
    log: SharedLog,
    broken: Broken,
}

#[async_trait]
impl Log for Early {
    fn partitions(&self, topic: &Topic) -> u32 {
        self.log.partitions(topic)
    }

    async fn ensure(&self, topic: &Topic) -> Result<(), log::Error> {
        self.log.ensure(topic).await
    }

    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>> {
        if drafts.is_empty() || !drafts.iter().all(|draft| self.broken.concerns(&draft.partition.topic)) {
            return self.log.append(drafts).await;
        }
        let promised = drafts.iter().map(|_| Ok(0)).collect();
        let log = Arc::clone(&self.log);
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            for appended in log.append(drafts).await {
                if let Err(error) = appended {
                    tracing::error!(%error, "promised and not appended");
                }
            }
        });
        promised
    }

    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, log::Error> {
        self.log.read(partition, from, limit, wait).await
    }

    async fn end(&self, partition: &Partition) -> Result<u64, log::Error> {
        self.log.end(partition).await
    }
}
