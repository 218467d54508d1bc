//! The log on a real Kafka: the contract of the seam, and the faults that only a broker has.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::time::{Instant, timeout};
use weft_hub::log::{
    AppendError, Draft, EntryId, Error, Log, Partition, ReadLimit, SharedLog, Topic,
    contract::Factory,
    kafka::{Config, KafkaLog},
};
use weft_tests::{
    eventually,
    kafka::{Broker, shared, topic_prefix},
    skipped_by_quick,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(broker: &Broker, prefix: &str) -> Config {
    Config {
        brokers: broker.bootstrap(),
        topic_prefix: prefix.into(),
        partitions: 3,
        single_broker: true,
        ..Config::default()
    }
}

/// Instances on the shared broker under one prefix.
struct Served(Config);

impl Served {
    async fn new() -> Self {
        Self(config(shared().await, &topic_prefix("contract")))
    }

    fn connect(&self) -> SharedLog {
        Arc::new(KafkaLog::connect(self.0.clone()).unwrap())
    }
}

#[async_trait]
impl Factory for Served {
    async fn open(&self) -> SharedLog {
        self.connect()
    }

    async fn second(&self, _: &SharedLog) -> SharedLog {
        self.connect()
    }

    async fn reopen(&self, log: SharedLog) -> SharedLog {
        drop(log);
        self.connect()
    }
}

mod contract {
    use super::*;

    weft_hub::log_contract!(if skipped_by_quick("kafka") { return } else { Served::new().await });
}

fn records() -> Topic {
    Topic::Records("t".into())
}

fn draft(topic: Topic, value: impl Into<Vec<u8>>) -> Draft {
    let entry_id = EntryId::new();
    Draft {
        partition: Partition { topic, number: 0 },
        key: entry_id.to_string(),
        entry_id,
        headers: Vec::new(),
        value: value.into().into(),
    }
}

async fn append(log: &KafkaLog, draft: Draft) -> Result<u64, AppendError> {
    log.append(vec![draft]).await.pop().unwrap()
}

async fn read_all(log: &KafkaLog, partition: &Partition) -> Vec<(u64, EntryId)> {
    let end = log.end(partition).await.unwrap();
    let mut all = Vec::<(u64, EntryId)>::new();
    loop {
        let from = all.last().map_or(0, |(offset, _)| offset + 1);
        if from >= end {
            return all;
        }
        let read = log.read(partition, from, ReadLimit::default(), PATIENCE).await.unwrap();
        all.extend(read.iter().map(|entry| (entry.offset, entry.entry_id.unwrap())));
    }
}

async fn more_than(counter: &AtomicUsize, enough: usize) {
    eventually(PATIENCE, || async {
        let count = counter.load(Ordering::SeqCst);
        if count > enough { Ok(()) } else { Err(format!("{count} of {enough}")) }
    })
    .await;
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    broker.client().create().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_keeps_what_was_acknowledged() {
    if skipped_by_quick("kafka") {
        return;
    }
    let mut broker = Broker::start().await;
    let log = Arc::new(KafkaLog::connect(config(&broker, "")).unwrap());
    log.ensure(&records()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let [under_way, acked] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let appenders = (0..8).map(|_| {
        let (log, stop, under_way, acked) = (log.clone(), stop.clone(), under_way.clone(), acked.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let draft = draft(records(), "v");
                let id = draft.entry_id;
                under_way.fetch_add(1, Ordering::SeqCst);
                if let Ok(offset) = append(&log, draft).await {
                    mine.push((offset, id));
                    acked.fetch_add(1, Ordering::SeqCst);
                }
                under_way.fetch_sub(1, Ordering::SeqCst);
            }
            mine
        })
    });
    let appenders = appenders.collect::<Vec<_>>();
    for round in 1..=3 {
        let enough = acked.load(Ordering::SeqCst) + 100 * round;
        more_than(&acked, enough).await;
        assert!(under_way.load(Ordering::SeqCst) > 0);
        broker.kill9();
        broker.restart().await;
    }
    let enough = acked.load(Ordering::SeqCst) + 20;
    more_than(&acked, enough).await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for appender in appenders {
        acknowledged.extend(appender.await.unwrap());
    }
    let partition = Partition { topic: records(), number: 0 };
    let stored = read_all(&log, &partition).await;
    let lost = acknowledged.iter().filter(|entry| !stored.contains(entry)).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    let mut ids = stored.iter().map(|(_, id)| *id).collect::<Vec<_>>();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), stored.len(), "an entry stands twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_or_silent_is_said_in_time_and_heals() {
    if skipped_by_quick("kafka") {
        return;
    }
    let mut broker = Broker::start().await;
    let limit = Duration::from_secs(2);
    let short = Config { append_timeout_ms: 2000, queue_bytes: 1 << 20, ..config(&broker, "") };
    let log = KafkaLog::connect(short).unwrap();
    log.ensure(&records()).await.unwrap();
    let partition = Partition { topic: records(), number: 0 };
    append(&log, draft(records(), "before")).await.unwrap();

    for silent in [true, false] {
        if silent {
            broker.pause();
        } else {
            broker.stop().await;
        }
        let begun = Instant::now();
        // More than the queue holds: some wait for room and are sure not to have been sent.
        let answers =
            futures::future::join_all((0..4).map(|_| append(&log, draft(records(), vec![1; 600 << 10])))).await;
        assert!(begun.elapsed() < limit * 2, "{:?}", begun.elapsed());
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        assert!(answers.iter().any(|answer| matches!(answer, Err(AppendError::NotAppended(_)))), "{answers:?}");
        assert!(answers.iter().any(|answer| matches!(answer, Err(AppendError::Unknown(_)))), "{answers:?}");
        let end = timeout(PATIENCE, log.end(&partition)).await.unwrap();
        assert!(matches!(end, Err(Error::Unavailable(_))), "{end:?}");
        if silent {
            broker.resume();
        } else {
            broker.restart().await;
        }
        eventually(PATIENCE, || append(&log, draft(records(), "after"))).await;
        let stored = read_all(&log, &partition).await;
        assert!(stored.is_sorted_by(|a, b| a.0 < b.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_breaks_a_promise_is_refused() {
    if skipped_by_quick("kafka") {
        return;
    }
    let (broker, prefix) = (shared().await, topic_prefix("wrong"));
    let log = KafkaLog::connect(config(broker, &prefix)).unwrap();
    broker.create_topic(&format!("{prefix}weft.ledger"), 2, &[("cleanup.policy", "compact")]).await;
    let error = log.ensure(&Topic::Ledger).await.unwrap_err().to_string();
    for part in ["weft.ledger", "2 partitions", "cleanup.policy is compact", "retention.ms", "flush.messages"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(log.partitions(&Topic::Ledger), 0);
    log.ensure(&records()).await.unwrap();
    let more = KafkaLog::connect(Config { partitions: 4, ..config(broker, &prefix) }).unwrap();
    let error = more.ensure(&records()).await.unwrap_err().to_string();
    assert!(error.contains("3 partitions, configured are 4"), "{error}");
    let three = KafkaLog::connect(Config { single_broker: false, ..config(broker, &prefix) }).unwrap();
    let error = three.ensure(&records()).await.unwrap_err().to_string();
    assert!(error.contains("1 copies, configured are 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_at_the_start_is_said() {
    if skipped_by_quick("kafka") {
        return;
    }
    let (broker, prefix) = (shared().await, topic_prefix("cut"));
    let log = KafkaLog::connect(config(broker, &prefix)).unwrap();
    log.ensure(&Topic::Ledger).await.unwrap();
    let partition = Partition { topic: Topic::Ledger, number: 0 };
    for _ in 0..5 {
        append(&log, draft(Topic::Ledger, "v")).await.unwrap();
    }
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&format!("{prefix}weft.ledger"), 0, Offset::Offset(3)).unwrap();
    admin(broker).delete_records(&cut, &AdminOptions::new()).await.unwrap();
    let read = log.read(&partition, 1, ReadLimit::default(), PATIENCE).await;
    assert!(matches!(read, Err(Error::BeforeStart { from: 1, start: 3 })), "{read:?}");
    assert_eq!(log.read(&partition, 3, ReadLimit::default(), PATIENCE).await.unwrap()[0].offset, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_shows_as_a_cut_and_can_be_written() {
    if skipped_by_quick("kafka") {
        return;
    }
    let (broker, prefix) = (shared().await, topic_prefix("anew"));
    let settings = config(broker, &prefix);
    let log = KafkaLog::connect(settings.clone()).unwrap();
    log.ensure(&Topic::Ledger).await.unwrap();
    let partition = Partition { topic: Topic::Ledger, number: 0 };
    for _ in 0..5 {
        append(&log, draft(Topic::Ledger, "v")).await.unwrap();
    }
    assert_eq!(read_all(&log, &partition).await.len(), 5);

    let name = format!("{prefix}weft.ledger");
    for result in admin(broker).delete_topics(&[&name], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    let anew = KafkaLog::connect(settings).unwrap();
    eventually(PATIENCE, || anew.ensure(&Topic::Ledger)).await;
    eventually(PATIENCE, || async {
        match log.read(&partition, 5, ReadLimit::default(), Duration::ZERO).await {
            Err(Error::PastEnd { from: 5, end: 0 }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually(PATIENCE, || append(&log, draft(Topic::Ledger, "v"))).await;
}
