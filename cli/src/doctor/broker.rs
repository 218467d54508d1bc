//! Kafka: reachable, closed to strangers, its topics as the log needs them.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    metadata::Metadata,
};
use weft_hub::{
    index::FIXED_TOPICS,
    log::{
        Topic,
        kafka::{Config, KafkaLog},
    },
};

use super::finding::{Findings, Said};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stranger is given to read a first entry.
const STRANGER: Duration = Duration::from_secs(3);

const SETTINGS: Said = Said {
    wrong: ("Kafka 的连接设置无法使用", "the settings for Kafka cannot be used"),
    remedy: ("按所示改正配置", "correct the configuration as it says"),
};
const UNREACHABLE: Said = Said {
    wrong: ("无法连接 Kafka", "Kafka cannot be reached"),
    remedy: ("检查地址、网络、TLS 和 SASL 设置", "check addresses, network, TLS and SASL"),
};
const FEW: Said = Said {
    wrong: (
        "少于三个 broker，一台断电可能丢失已确认的数据",
        "fewer than three brokers: what was acknowledged may be lost with one machine",
    ),
    remedy: ("部署三个 broker，或在配置中设 single_broker = true", "run three, or set single_broker = true"),
};
const UNTOLD: Said = Said {
    wrong: ("无权读取 Kafka 的设置", "Kafka's settings may not be read"),
    remedy: ("授予该用户 DescribeConfigs 权限", "allow this user DescribeConfigs"),
};
const NO_AUTHORIZER: Said = Said {
    wrong: ("Kafka 没有启用授权，任何人都能读写日志", "Kafka has no authorizer: anybody may read and write the log"),
    remedy: (
        "设置 authorizer.class.name 并只授权枢纽用户访问 weft.* 主题",
        "set authorizer.class.name, and allow weft.* to the hub's user alone",
    ),
};
const EVERYONE: Said = Said {
    wrong: ("没有 ACL 的主题对所有人开放", "topics without an ACL are open to everyone"),
    remedy: ("设置 allow.everyone.if.no.acl.found = false", "set allow.everyone.if.no.acl.found = false"),
};
const AUTO_CREATE: Said = Said {
    wrong: ("Kafka 会自动创建主题，名称写错时不会报错", "Kafka makes topics by itself: a wrong name is not noticed"),
    remedy: ("设置 auto.create.topics.enable = false", "set auto.create.topics.enable = false"),
};
const READ_BY_ANYBODY: Said = Said {
    wrong: ("无凭据即可读取日志", "the log can be read without credentials"),
    remedy: (
        "关闭无认证的监听端口，并为 weft.* 主题设置 ACL",
        "close listeners without authentication, and set ACLs for weft.*",
    ),
};
const SEEN_BY_ANYBODY: Said = Said {
    wrong: ("无凭据即可看到主题名称", "the topics' names can be seen without credentials"),
    remedy: ("关闭无认证的监听端口", "close listeners without authentication"),
};
const TOPIC: Said = Said {
    wrong: ("主题设置违反日志的保证", "a topic's settings break what the log promises"),
    remedy: (
        "按所示值改正主题设置；分区数永不可改",
        "set them to the values shown; the number of partitions can never be changed",
    ),
};

/// Looks at the brokers and the topics on them. It makes and writes nothing.
pub(super) async fn look(config: &Config, findings: &mut Findings) {
    let client = match config.client() {
        Ok(client) => client,
        Err(error) => return findings.fail("broker", SETTINGS, error),
    };
    let metadata = match fetch(client.clone()).await {
        Ok(metadata) => metadata,
        Err(why) => return findings.fail("broker", UNREACHABLE, why),
    };
    let count = metadata.brokers().len();
    let detail = format!("{count} brokers");
    if count < 3 && !config.single_broker {
        findings.warn("broker", FEW, detail)
    } else {
        findings.ok("broker", detail)
    }
    look_at_settings(&client, &metadata, findings).await;
    look_at_topics(config, &metadata, findings).await;
    look_as_stranger(config, findings).await;
}

async fn fetch(config: ClientConfig) -> Result<Metadata, String> {
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().map_err(|error| error.to_string())?;
        consumer.fetch_metadata(None, TIMEOUT).map_err(|error| error.to_string())
    });
    asked.await.map_err(|error| error.to_string())?
}

/// The topics of ours that a cluster shows.
fn weft_topics(metadata: &Metadata, prefix: &str) -> BTreeSet<Topic> {
    let parse = |name: &str| Topic::parse(name.strip_prefix(prefix)?);
    metadata.topics().iter().filter_map(|topic| parse(topic.name())).collect()
}

async fn look_at_settings(client: &ClientConfig, metadata: &Metadata, findings: &mut Findings) {
    let admin: AdminClient<DefaultClientContext> = match client.create() {
        Ok(admin) => admin,
        Err(error) => return findings.fail("broker settings", SETTINGS, error),
    };
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    for broker in metadata.brokers() {
        let asked = ResourceSpecifier::Broker(broker.id());
        match admin.describe_configs([&asked], &options).await.map(|mut found| found.pop()) {
            Ok(Some(Ok(found))) => look_at_broker(&found, findings),
            Ok(Some(Err(error))) => findings.warn("broker settings", UNTOLD, error),
            Ok(None) => findings.warn("broker settings", UNTOLD, broker.id()),
            Err(error) => findings.warn("broker settings", UNTOLD, error),
        }
    }
}

async fn look_at_topics(config: &Config, metadata: &Metadata, findings: &mut Findings) {
    let log = match KafkaLog::connect(config.clone()) {
        Ok(log) => log,
        Err(error) => return findings.fail("topic", SETTINGS, error),
    };
    let mut topics = weft_topics(metadata, &config.topic_prefix);
    topics.extend(FIXED_TOPICS);
    for topic in topics {
        let name = format!("{}{topic}", config.topic_prefix);
        match log.look_at(&topic).await {
            Ok(None) => findings.ok("topic", format!("{name} (new)")),
            Ok(Some(wrong)) if wrong.is_empty() => findings.ok("topic", name),
            Ok(Some(wrong)) => findings.fail("topic", TOPIC, format!("{name}: {}", wrong.join(", "))),
            Err(error) => findings.fail("topic", UNREACHABLE, format!("{name}: {error}")),
        }
    }
}

fn value<'c>(found: &'c ConfigResource, name: &str) -> &'c str {
    found.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default()
}

fn look_at_broker(found: &ConfigResource, findings: &mut Findings) {
    match value(found, "authorizer.class.name") {
        "" => findings.fail("authorizer", NO_AUTHORIZER, ""),
        name => findings.ok("authorizer", name),
    }
    if value(found, "allow.everyone.if.no.acl.found") == "true" {
        findings.fail("authorizer", EVERYONE, "allow.everyone.if.no.acl.found=true");
    }
    if value(found, "auto.create.topics.enable") == "true" {
        findings.warn("broker settings", AUTO_CREATE, "auto.create.topics.enable=true");
    }
}

/// A client that shows no credentials.
fn stranger(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "weft-doctor")
        .set("group.id", "weft-doctor")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("enable.metrics.push", "false")
        // That it is turned away is what should happen: no news.
        .set("log_level", "0");
    config
}

/// Tries to read as somebody without credentials. It writes nothing: what got in would stay in the log for ever.
async fn look_as_stranger(config: &Config, findings: &mut Findings) {
    let stranger = stranger(&config.brokers);
    let Ok(metadata) = fetch(stranger.clone()).await else {
        return findings.ok("without credentials", "no connection");
    };
    let Some(topic) = weft_topics(&metadata, &config.topic_prefix).pop_first() else {
        return findings.ok("without credentials", "no topic is seen");
    };
    let name = format!("{}{topic}", config.topic_prefix);
    let shown = name.clone();
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = stranger.create().ok()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name, 0, Offset::Beginning).ok()?;
        consumer.assign(&list).ok()?;
        let message = consumer.poll(STRANGER)?.ok()?;
        Some(message.offset())
    });
    match read.await {
        Ok(Some(offset)) => findings.fail("without credentials", READ_BY_ANYBODY, format!("{shown}/0@{offset}")),
        _ => findings.warn("without credentials", SEEN_BY_ANYBODY, shown),
    }
}
