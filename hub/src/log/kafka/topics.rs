//! How the topics have to be, and making or checking them so.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    types::RDKafkaErrorCode,
};
use tokio::time::{Instant, sleep};

use super::config::{Config, Context, MAX_MESSAGE_BYTES};
use crate::log::{Error, Partition, Topic};

/// For one question to the brokers.
const ASK: Duration = Duration::from_secs(10);
/// Until a new topic can be used.
const MAKE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The topics that were ensured, with their number of partitions.
#[derive(Debug, Default)]
pub(super) struct Ensured(RwLock<HashMap<Topic, u32>>);

impl Ensured {
    pub(super) fn partitions(&self, topic: &Topic) -> u32 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied().unwrap_or(0)
    }

    pub(super) fn add(&self, topic: Topic, partitions: u32) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(topic, partitions);
    }

    /// Whether the partition is there, or why not.
    pub(super) fn check(&self, partition: &Partition) -> Result<(), String> {
        match self.partitions(&partition.topic) {
            0 => Err(format!("topic {} was not ensured", partition.topic)),
            count if partition.number < count => Ok(()),
            count => Err(format!("topic {} has {count} partitions", partition.topic)),
        }
    }
}

/// What a setting of a topic has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Exactly,
    AtLeast,
    AtMost,
}

impl Rule {
    fn holds(self, wanted: &str, found: &str) -> bool {
        let numbers = || Some((wanted.parse::<i128>().ok()?, found.parse::<i128>().ok()?));
        match self {
            Self::Exactly => wanted == found,
            Self::AtLeast => numbers().is_some_and(|(wanted, found)| found >= wanted),
            Self::AtMost => numbers().is_some_and(|(wanted, found)| found <= wanted),
        }
    }
}

/// The table of the design: what each topic is made with, and what is demanded of one that stands already.
fn settings(topic: &Topic, config: &Config) -> Vec<(&'static str, String, Rule)> {
    let mut settings = vec![
        ("retention.ms", "-1".into(), Rule::Exactly),
        ("retention.bytes", "-1".into(), Rule::Exactly),
        ("min.insync.replicas", config.insync().to_string(), Rule::AtLeast),
        ("unclean.leader.election.enable", "false".into(), Rule::Exactly),
        ("max.message.bytes", MAX_MESSAGE_BYTES.to_string(), Rule::AtLeast),
    ];
    if topic.compacted() {
        settings.extend([
            ("cleanup.policy", "compact".into(), Rule::Exactly),
            ("min.compaction.lag.ms", "0".into(), Rule::AtMost),
            ("max.compaction.lag.ms", config.compaction_lag_max_ms.to_string(), Rule::AtMost),
        ]);
    } else {
        settings.push(("cleanup.policy", "delete".into(), Rule::Exactly));
    }
    if config.single_broker || matches!(topic, Topic::Ledger | Topic::Registry) {
        settings.push(("flush.messages", "1".into(), Rule::AtMost));
    }
    settings
}

/// The name in the cluster.
pub(super) fn full_name(config: &Config, topic: &Topic) -> String {
    format!("{}{topic}", config.topic_prefix)
}

/// Makes the topic where it is missing and checks it; answers its number of partitions.
pub(super) async fn ensure(admin: &Arc<AdminClient<Context>>, config: &Config, topic: &Topic) -> Result<u32, Error> {
    let name = full_name(config, topic);
    let partitions = wanted_partitions(config, topic);
    let deadline = Instant::now() + MAKE;
    if find(admin, &name).await?.is_none() {
        create(admin, config, topic, &name, partitions).await?;
    }
    let found = loop {
        match find(admin, &name).await? {
            Some(found) if found.led => break found,
            other if Instant::now() > deadline => {
                let why = other.map_or("does not appear", |_| "has partitions without a leader");
                return Err(Error::Unavailable(format!("topic {name} {why}")));
            }
            // The brokers learn of a new topic one after the other.
            _ => sleep(LOOK_AGAIN).await,
        }
    };
    let mut problems = found.problems(partitions, config.copies());
    problems.extend(wrong_settings(admin, config, topic, &name).await?);
    if problems.is_empty() {
        Ok(partitions)
    } else {
        Err(Error::Unavailable(format!("topic {name} breaks a promise: {}", problems.join(", "))))
    }
}

/// What about a topic breaks a promise; `None` where it does not stand. Makes and changes nothing.
pub(super) async fn look_at(
    admin: &Arc<AdminClient<Context>>,
    config: &Config,
    topic: &Topic,
) -> Result<Option<Vec<String>>, Error> {
    let name = full_name(config, topic);
    let Some(found) = find(admin, &name).await? else { return Ok(None) };
    let mut problems = found.problems(wanted_partitions(config, topic), config.copies());
    if !found.led {
        problems.push("it has partitions without a leader".into());
    }
    problems.extend(wrong_settings(admin, config, topic, &name).await?);
    Ok(Some(problems))
}

fn wanted_partitions(config: &Config, topic: &Topic) -> u32 {
    if matches!(topic, Topic::Records(_)) { config.partitions } else { 1 }
}

/// What the cluster says about a topic.
#[derive(Clone, Copy, Debug)]
struct Found {
    partitions: usize,
    /// The least of its partitions.
    copies: usize,
    /// Each partition has a leader.
    led: bool,
}

impl Found {
    fn problems(self, partitions: u32, copies: u32) -> Vec<String> {
        let mut problems = Vec::new();
        if self.partitions != partitions as usize {
            problems.push(format!("it has {} partitions, configured are {partitions}", self.partitions));
        }
        if self.copies < copies as usize {
            problems.push(format!("it has {} copies, configured are {copies}", self.copies));
        }
        problems
    }
}

async fn find(admin: &Arc<AdminClient<Context>>, name: &str) -> Result<Option<Found>, Error> {
    let (admin, name) = (admin.clone(), name.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(Some(&name), ASK).map_err(unavailable)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let Some(topic) = topic.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Found {
            partitions: topic.partitions().len(),
            copies: topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
            led: topic.partitions().iter().all(|partition| partition.leader() >= 0),
        }))
    });
    asked.await.map_err(|error| Error::Unavailable(error.to_string()))?
}

async fn create(
    admin: &AdminClient<Context>,
    config: &Config,
    topic: &Topic,
    name: &str,
    partitions: u32,
) -> Result<(), Error> {
    let settings = settings(topic, config);
    let copies = i32::try_from(config.copies()).unwrap_or(i32::MAX);
    let count = i32::try_from(partitions).unwrap_or(i32::MAX);
    let mut new = NewTopic::new(name, count, TopicReplication::Fixed(copies));
    for (setting, value, _) in &settings {
        new = new.set(setting, value);
    }
    let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
    match admin.create_topics([&new], &options).await.map_err(unavailable)?.pop() {
        // Another instance was faster.
        None | Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((name, code))) => Err(Error::Unavailable(format!("topic {name} could not be made: {code}"))),
    }
}

async fn wrong_settings(
    admin: &AdminClient<Context>,
    config: &Config,
    topic: &Topic,
    name: &str,
) -> Result<Vec<String>, Error> {
    let options = AdminOptions::new().request_timeout(Some(ASK));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options).await.map_err(unavailable)?;
    let Some(Ok(resource)) = described.into_iter().next() else {
        return Err(Error::Unavailable(format!("settings of topic {name} cannot be read")));
    };
    let found = resource.entry_map();
    let wrong = settings(topic, config).into_iter().filter_map(|(setting, wanted, rule)| {
        let found = found.get(setting).and_then(|entry| entry.value.as_deref()).unwrap_or("absent");
        let word = match rule {
            Rule::Exactly => "",
            Rule::AtLeast => "at least ",
            Rule::AtMost => "at most ",
        };
        (!rule.holds(&wanted, found)).then(|| format!("{setting} is {found}, not {word}{wanted}"))
    });
    Ok(wrong.collect())
}

fn unavailable(error: rdkafka::error::KafkaError) -> Error {
    Error::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(topic: &Topic, config: &Config, name: &str) -> Option<String> {
        settings(topic, config).into_iter().find(|(setting, ..)| *setting == name).map(|(_, value, _)| value)
    }

    #[test]
    fn topics_are_made_as_the_design_says() {
        let served = Config::default();
        let records = Topic::Records("t".into());
        for topic in [&records, &Topic::Quarantine] {
            assert_eq!(value(topic, &served, "cleanup.policy").as_deref(), Some("compact"));
            assert_eq!(value(topic, &served, "max.compaction.lag.ms").as_deref(), Some("86400000"));
            assert_eq!(value(topic, &served, "flush.messages"), None);
        }
        for topic in [&Topic::Ledger, &Topic::Registry] {
            assert_eq!(value(topic, &served, "cleanup.policy").as_deref(), Some("delete"));
            assert_eq!(value(topic, &served, "flush.messages").as_deref(), Some("1"));
        }
        let single = Config { single_broker: true, ..served.clone() };
        for topic in [&records, &Topic::Quarantine, &Topic::Ledger, &Topic::Registry] {
            assert_eq!(value(topic, &single, "flush.messages").as_deref(), Some("1"));
            assert_eq!(value(topic, &single, "min.insync.replicas").as_deref(), Some("1"));
            assert_eq!(value(topic, &served, "min.insync.replicas").as_deref(), Some("2"));
            assert_eq!(value(topic, &served, "retention.ms").as_deref(), Some("-1"));
        }
    }

    #[test]
    fn rules_compare_numbers_as_numbers() {
        assert!(Rule::AtLeast.holds("9", "10") && !Rule::AtLeast.holds("10", "9"));
        assert!(Rule::AtMost.holds("10", "9") && !Rule::AtMost.holds("1", "9223372036854775807"));
        assert!(Rule::Exactly.holds("-1", "-1") && !Rule::Exactly.holds("delete", "compact,delete"));
        assert!(!Rule::AtMost.holds("1", "absent"));
    }
}
