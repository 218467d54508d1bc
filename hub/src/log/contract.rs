//! What every [`Log`] has to do, as tests. An implementation's test file gives a [`Factory`] and calls
//! [`log_contract!`](crate::log_contract), which makes one test per function here.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use tokio::time::timeout;

use super::{AppendError, Draft, Entry, EntryId, Error, MAX_ENTRY_BYTES, Partition, ReadLimit, SharedLog, Topic};
use crate::clock::random;

/// Makes logs for one test. What it makes shows one and the same stored log.
#[async_trait]
pub trait Factory: Send + Sync {
    /// The first handle. Called once, on an empty log.
    async fn open(&self) -> SharedLog;
    /// Another instance at the same time; the same handle where the implementation allows only one.
    async fn second(&self, first: &SharedLog) -> SharedLog;
    /// Closes the handle and opens the log again, as a process does that was started anew.
    async fn reopen(&self, log: SharedLog) -> SharedLog;
}

/// One test per promise of the seam: `log_contract!(factory)`, where `factory` is an expression that makes a
/// [`Factory`](crate::log::contract::Factory) and may await.
#[macro_export]
macro_rules! log_contract {
    ($factory:expr) => {
        $crate::log_contract!(@each $factory,
            roundtrip order calls_in_one_go concurrent_appenders topics_are_apart durable_across_reopen
            second_instance_sees wait_wakes wait_ends past_end not_ensured ensure_is_idempotent too_large
            big_values limits newest_of_a_key_stands ledger_is_never_compacted);
    };
    (@each $factory:expr, $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::log::contract::$name(&$factory).await;
            }
        )*
    };
}

const PATIENCE: Duration = Duration::from_secs(30);

fn records() -> Topic {
    Topic::Records(format!("contract-{}", hex::encode(random::<8>())))
}

fn first_of(topic: &Topic) -> Partition {
    Partition { topic: topic.clone(), number: 0 }
}

fn draft(partition: &Partition, key: &str, value: impl Into<Bytes>) -> Draft {
    Draft {
        partition: partition.clone(),
        key: key.into(),
        entry_id: EntryId::new(),
        headers: Vec::new(),
        value: value.into(),
    }
}

/// A log with one topic; the partition is its first.
async fn with_topic(factory: &dyn Factory) -> (SharedLog, Partition) {
    let (log, topic) = (factory.open().await, records());
    log.ensure(&topic).await.unwrap();
    (log, first_of(&topic))
}

async fn append_one(log: &SharedLog, draft: Draft) -> u64 {
    let answers = log.append(vec![draft]).await;
    assert_eq!(answers.len(), 1);
    answers.into_iter().next().unwrap().unwrap()
}

/// Everything from `from` to the end as it stands now.
async fn read_all(log: &SharedLog, partition: &Partition, mut from: u64) -> Vec<Entry> {
    let end = log.end(partition).await.unwrap();
    let mut all = Vec::new();
    while from < end {
        let entries = log.read(partition, from, ReadLimit::default(), PATIENCE).await.unwrap();
        from = entries.last().unwrap_or_else(|| panic!("nothing from {from} on, end is {end}")).offset + 1;
        all.extend(entries);
    }
    all
}

fn values(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8(entry.value.clone().unwrap().to_vec()).unwrap()).collect()
}

/// Key, entry id, headers in their order and value come back as given.
pub async fn roundtrip(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let mut draft = draft(&partition, "food.2301.键@1@00ff", Bytes::from_static(&[0, 255, 10, 0]));
    draft.headers = vec![
        ("ce_type".into(), "weft.record.issue".into()),
        ("ce_subject".into(), "food.scjg.纬".into()),
        ("ce_type".into(), String::new()),
    ];
    let mut empty = draft.clone();
    (empty.key, empty.entry_id, empty.headers, empty.value) = ("k2".into(), EntryId::new(), Vec::new(), Bytes::new());
    let answers = log.append(vec![draft.clone(), empty.clone()]).await;
    let read = read_all(&log, &partition, 0).await;
    assert_eq!(read.len(), 2);
    for ((entry, draft), answer) in read.iter().zip([&draft, &empty]).zip(answers) {
        assert_eq!(entry.offset, answer.unwrap());
        assert_eq!(entry.key.as_deref(), Some(draft.key.as_str()));
        assert_eq!(entry.entry_id, Some(draft.entry_id));
        assert_eq!(entry.headers, draft.headers);
        assert_eq!(entry.value.as_ref(), Some(&draft.value));
    }
}

/// Offsets rise in the order of the appends, and reading shows that order.
pub async fn order(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let mut before = None;
    for number in 0..20 {
        let offset = append_one(&log, draft(&partition, &number.to_string(), number.to_string())).await;
        assert!(before < Some(offset), "{offset} after {before:?}");
        before = Some(offset);
        assert!(log.end(&partition).await.unwrap() > offset);
    }
    let read = read_all(&log, &partition, 0).await;
    assert_eq!(values(&read), (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    let middle = read[10].offset;
    assert_eq!(read_all(&log, &partition, middle).await[0].offset, middle);
}

/// Drafts of one call keep their order in each partition, and the answers stand at their places.
pub async fn calls_in_one_go(factory: &dyn Factory) {
    let (log, topic) = (factory.open().await, records());
    log.ensure(&topic).await.unwrap();
    let count = log.partitions(&topic);
    assert!(count >= 1);
    let drafts = (0..200)
        .map(|n: u32| draft(&Partition { topic: topic.clone(), number: n % count }, &format!("k{n}"), format!("{n}")))
        .collect::<Vec<_>>();
    let answers = log.append(drafts.clone()).await;
    assert_eq!(answers.len(), drafts.len());
    for number in 0..count {
        let partition = Partition { topic: topic.clone(), number };
        let mine = drafts.iter().zip(&answers).filter(|(draft, _)| draft.partition == partition);
        let expected = mine.map(|(draft, offset)| (*offset.as_ref().unwrap(), draft.entry_id)).collect::<Vec<_>>();
        let read = read_all(&log, &partition, 0).await;
        assert_eq!(read.iter().map(|entry| (entry.offset, entry.entry_id.unwrap())).collect::<Vec<_>>(), expected);
    }
    assert!(log.append(Vec::new()).await.is_empty());
}

/// Many at once: each answered offset is the entry's own, none is used twice, none is lost.
pub async fn concurrent_appenders(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let appenders = (0..16).map(|task| {
        let (log, partition) = (log.clone(), partition.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for turn in 0..25 {
                let draft = draft(&partition, &format!("{task}/{turn}"), format!("{task}/{turn}"));
                mine.push((draft.entry_id, append_one(&log, draft).await));
            }
            assert!(mine.is_sorted_by_key(|(_, offset)| *offset));
            mine
        })
    });
    let answered = join_all(appenders).await.into_iter().flat_map(Result::unwrap).collect::<BTreeSet<_>>();
    let read = read_all(&log, &partition, 0).await;
    assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
    assert_eq!(read.iter().map(|entry| (entry.entry_id.unwrap(), entry.offset)).collect::<BTreeSet<_>>(), answered);
    assert_eq!(answered.len(), 16 * 25);
}

/// What is appended to one topic shows in no other.
pub async fn topics_are_apart(factory: &dyn Factory) {
    let log = factory.open().await;
    for topic in [records(), records(), Topic::Quarantine, Topic::Ledger, Topic::Registry] {
        log.ensure(&topic).await.unwrap();
        let partition = first_of(&topic);
        assert_eq!(log.end(&partition).await.unwrap(), 0, "{topic}");
        append_one(&log, draft(&partition, "the same key", topic.name())).await;
        assert_eq!(values(&read_all(&log, &partition, 0).await), [topic.name()]);
    }
    for topic in [Topic::Quarantine, Topic::Ledger, Topic::Registry] {
        assert_eq!(log.partitions(&topic), 1, "{topic}");
    }
}

/// A log opened anew shows the same entries, and goes on behind them.
pub async fn durable_across_reopen(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    for number in 0..10 {
        append_one(&log, draft(&partition, &number.to_string(), number.to_string())).await;
    }
    let (before, end) = (read_all(&log, &partition, 0).await, log.end(&partition).await.unwrap());
    let log = factory.reopen(log).await;
    log.ensure(&partition.topic).await.unwrap();
    assert_eq!(log.end(&partition).await.unwrap(), end);
    let after = read_all(&log, &partition, 0).await;
    let ids = |entries: &[Entry]| entries.iter().map(|entry| (entry.offset, entry.entry_id)).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(append_one(&log, draft(&partition, "more", "more")).await, end);
}

/// An append that returned shows in the end and in a read that another instance begins afterwards.
pub async fn second_instance_sees(factory: &dyn Factory) {
    let (first, partition) = with_topic(factory).await;
    let second = factory.second(&first).await;
    second.ensure(&partition.topic).await.unwrap();
    assert_eq!(second.partitions(&partition.topic), first.partitions(&partition.topic));
    for number in 0..20 {
        let offset = append_one(&first, draft(&partition, &number.to_string(), number.to_string())).await;
        assert!(second.end(&partition).await.unwrap() > offset);
        let read = second.read(&partition, offset, ReadLimit::default(), PATIENCE).await.unwrap();
        assert_eq!(read.first().map(|entry| entry.offset), Some(offset));
    }
}

/// A read that waits is woken by the append, also by one of another instance.
pub async fn wait_wakes(factory: &dyn Factory) {
    let (first, partition) = with_topic(factory).await;
    let second = factory.second(&first).await;
    second.ensure(&partition.topic).await.unwrap();
    for log in [first.clone(), second] {
        let end = log.end(&partition).await.unwrap();
        let waiting = tokio::spawn({
            let (log, partition) = (log.clone(), partition.clone());
            async move { log.read(&partition, end, ReadLimit::default(), PATIENCE).await }
        });
        tokio::task::yield_now().await;
        let offset = append_one(&first, draft(&partition, &end.to_string(), "woken")).await;
        let woken = timeout(PATIENCE, waiting).await.expect("woken in time").unwrap().unwrap();
        assert_eq!(woken.iter().map(|entry| entry.offset).collect::<Vec<_>>(), [offset]);
    }
}

/// A read at the end waits no longer than it may, and answers nothing.
pub async fn wait_ends(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    append_one(&log, draft(&partition, "k", "v")).await;
    let end = log.end(&partition).await.unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        let read = timeout(PATIENCE, log.read(&partition, end, ReadLimit::default(), wait)).await;
        assert!(read.expect("ends by itself").unwrap().is_empty());
    }
}

/// Past the end is an error that names the end, at once and whatever the wait.
pub async fn past_end(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    for _ in 0..2 {
        let end = log.end(&partition).await.unwrap();
        for from in [end + 1, end + 1000, 1 << 40] {
            let error = timeout(PATIENCE, log.read(&partition, from, ReadLimit::default(), PATIENCE * 10)).await;
            match error.expect("answered at once") {
                Err(Error::PastEnd { from: asked, end: named }) => assert_eq!((asked, named), (from, end)),
                other => panic!("{other:?}"),
            }
        }
        append_one(&log, draft(&partition, "k", "v")).await;
    }
}

/// A topic that was not ensured has no partitions and takes nothing; nor does a partition that there is not.
pub async fn not_ensured(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let unknown = first_of(&records());
    assert_eq!(log.partitions(&unknown.topic), 0);
    let beyond = Partition { number: log.partitions(&partition.topic), ..partition.clone() };
    for wrong in [unknown, beyond] {
        let answers =
            log.append(vec![draft(&wrong, "k", "v"), draft(&partition, "k", "v"), draft(&wrong, "k", "v")]).await;
        assert!(matches!(answers[0], Err(AppendError::NotAppended(_))), "{answers:?}");
        assert!(answers[1].is_ok(), "{answers:?}");
        assert!(matches!(answers[2], Err(AppendError::NotAppended(_))), "{answers:?}");
        assert!(matches!(log.end(&wrong).await, Err(Error::Unavailable(_))));
        let read = log.read(&wrong, 0, ReadLimit::default(), Duration::ZERO).await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    }
}

/// Ensuring again changes nothing, also from many sides at once.
pub async fn ensure_is_idempotent(factory: &dyn Factory) {
    let log = factory.open().await;
    let second = factory.second(&log).await;
    let topic = records();
    let all = [&log, &second, &log, &second].map(|log| log.ensure(&topic));
    for result in join_all(all).await {
        result.unwrap();
    }
    let (count, partition) = (log.partitions(&topic), first_of(&topic));
    append_one(&log, draft(&partition, "k", "v")).await;
    log.ensure(&topic).await.unwrap();
    second.ensure(&topic).await.unwrap();
    assert_eq!(log.partitions(&topic), count);
    assert_eq!(values(&read_all(&second, &partition, 0).await), ["v"]);
}

/// What is too large is refused and stops the rest of its partition and call, and nothing else.
pub async fn too_large(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    log.ensure(&Topic::Quarantine).await.unwrap();
    let other = first_of(&Topic::Quarantine);
    let drafts = vec![
        draft(&partition, "before", "v"),
        draft(&partition, "large", vec![7; MAX_ENTRY_BYTES]),
        draft(&other, "other", "v"),
        draft(&partition, "after", "v"),
    ];
    let answers = log.append(drafts).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(AppendError::NotAppended(_))), "{answers:?}");
    assert!(matches!(answers[3], Err(AppendError::NotAppended(_))), "{answers:?}");
    assert_eq!(read_all(&log, &partition, 0).await.len(), 1);
}

/// Values of a megabyte and of the largest size come back whole.
pub async fn big_values(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let sizes = [1 << 20, MAX_ENTRY_BYTES - 100, 1];
    let big = |size: usize| (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    for (number, size) in sizes.into_iter().enumerate() {
        append_one(&log, draft(&partition, &number.to_string(), big(size))).await;
    }
    let read = read_all(&log, &partition, 0).await;
    assert_eq!(read.len(), sizes.len());
    for (entry, size) in read.iter().zip(sizes) {
        assert!(entry.value.as_ref().unwrap() == &big(size), "value of {size} bytes came back otherwise");
    }
}

/// A read brings no more than its limit in entries and in bytes, at least one entry, and leaves none out.
pub async fn limits(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let drafts = (0..10).map(|number| draft(&partition, &number.to_string(), vec![b'x'; 1000])).collect();
    assert!(log.append(drafts).await.iter().all(Result::is_ok));
    for (limit, most) in [
        (ReadLimit { entries: 3, bytes: 1 << 20 }, 3),
        (ReadLimit { entries: 100, bytes: 2500 }, 2),
        (ReadLimit { entries: 100, bytes: 1 }, 1),
        (ReadLimit { entries: 100, bytes: 10_000 }, 10),
    ] {
        let mut from = 0;
        while from < 10 {
            let read = log.read(&partition, from, limit, PATIENCE).await.unwrap();
            assert!(!read.is_empty() && read.len() <= most, "{} for {limit:?}", read.len());
            for entry in read {
                assert_eq!(entry.offset, from);
                from += 1;
            }
        }
    }
}

/// Of a key that was written again the newest entry stands, the offsets of others may be empty, the end stays.
pub async fn newest_of_a_key_stands(factory: &dyn Factory) {
    let (log, partition) = with_topic(factory).await;
    let mut last = Vec::new();
    for turn in 0..4 {
        for key in ["a", "b"] {
            last.push(append_one(&log, draft(&partition, key, format!("{key}{turn}"))).await);
        }
    }
    let end = log.end(&partition).await.unwrap();
    assert_eq!(end, last[7] + 1);
    let read = read_all(&log, &partition, 0).await;
    assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
    let newest = read.iter().filter(|entry| entry.offset >= last[6]).cloned().collect::<Vec<_>>();
    assert_eq!(values(&newest), ["a3", "b3"]);
    let log = factory.reopen(log).await;
    log.ensure(&partition.topic).await.unwrap();
    assert_eq!(log.end(&partition).await.unwrap(), end);
    assert_eq!(append_one(&log, draft(&partition, "a", "a4")).await, end);
}

/// In the ledger and the registry every entry stands, whatever its key.
pub async fn ledger_is_never_compacted(factory: &dyn Factory) {
    let log = factory.open().await;
    for topic in [Topic::Ledger, Topic::Registry] {
        log.ensure(&topic).await.unwrap();
        let partition = first_of(&topic);
        for value in ["one", "two", "three"] {
            append_one(&log, draft(&partition, "entity", value)).await;
        }
        assert_eq!(values(&read_all(&log, &partition, 0).await), ["one", "two", "three"]);
    }
}
