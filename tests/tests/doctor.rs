//! `weft doctor` at real servers: it finds what is wrong with them, and changes nothing.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{path::Path, time::Duration};

use serde_json::Value;
use weft_hub::{
    config::Config,
    index::FIXED_TOPICS,
    log::{
        Log, Topic,
        kafka::{self, KafkaLog},
    },
};
use weft_tests::{
    folder::scratch,
    kafka::{Broker, topic_prefix},
    postgres,
    process::Launch,
    skipped_by_quick,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// An installation over these servers, with a key directory.
fn lay_out(folder: &Path, broker: &str, prefix: &str, url: &str) -> String {
    std::fs::write(folder.join("url"), url).unwrap();
    let any = "127.0.0.1:0";
    let text = format!(
        "keys_dir = {:?}\n[listen]\napi = {any:?}\nenrolment = {any:?}\nconsole = {any:?}\n[storage]\nkind = \"served\"\n\
         [storage.kafka]\nbrokers = {broker:?}\ntopic_prefix = {prefix:?}\npartitions = 3\nsingle_broker = true\n\
         [storage.postgres]\nurl_file = {:?}\n",
        folder.join("keys"),
        folder.join("url"),
    );
    std::fs::write(folder.join("hub.toml"), &text).unwrap();
    let operators = ["li".to_owned(), "wang".to_owned()];
    weft_hub::init::init(&Config::parse(&text).unwrap(), &operators, &weft_hub::clock::SystemClock).unwrap();
    text
}

/// What doctor prints: its findings, and whether any failed.
async fn doctor(name: &str, folder: &Path) -> (Vec<Value>, bool) {
    let config = folder.join("hub.toml");
    let process = Launch::weft(name, folder).arg("doctor").arg("--config").arg(config).args(["-o", "json"]).start();
    let status = process.wait(PATIENCE).await;
    let findings: Vec<Value> = serde_json::from_str(&process.stdout()).unwrap();
    (findings, status.code() == Some(1))
}

fn levels<'f>(findings: &'f [Value], check: &str) -> Vec<&'f str> {
    findings
        .iter()
        .filter(|finding| finding["check"] == check)
        .map(|finding| finding["level"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_broker_and_a_topic_that_forgets_are_found() {
    if skipped_by_quick("kafka and postgres") {
        return;
    }
    let (broker, server) = tokio::join!(Broker::start(), postgres::shared());
    let folder = scratch("doctor");
    let prefix = topic_prefix("doctor");
    let text = lay_out(folder.path(), &broker.bootstrap(), &prefix, &server.database().await);

    let (findings, failed) = doctor("before", folder.path()).await;
    assert!(failed, "an open broker is no place for a log: {findings:#?}");
    assert_eq!(levels(&findings, "authorizer"), ["fail"], "{findings:#?}");
    assert_eq!(levels(&findings, "topic"), ["ok"; 3], "{findings:#?}");
    assert_eq!(levels(&findings, "without credentials"), ["ok"], "{findings:#?}");
    for check in ["broker", "database", "synchronous_commit", "clock"] {
        assert_eq!(levels(&findings, check), ["ok"], "{check}: {findings:#?}");
    }
    let seen = topics(&broker, &prefix);
    assert!(seen.is_empty(), "doctor made {seen:?}");

    let weft_hub::config::Storage::Served { kafka, .. } = Config::parse(&text).unwrap().storage else {
        panic!("served")
    };
    let log = KafkaLog::connect(kafka::Config::clone(&kafka)).unwrap();
    for topic in FIXED_TOPICS {
        log.ensure(&topic).await.unwrap();
    }
    broker.create_topic(&format!("{prefix}{}", Topic::Records("t".into())), 3, &[("retention.ms", "1000")]).await;
    let (findings, failed) = doctor("after", folder.path()).await;
    let mut topics = levels(&findings, "topic");
    topics.sort_unstable();
    assert_eq!((failed, topics), (true, vec!["fail", "ok", "ok", "ok"]), "{findings:#?}");
    let forgets = findings.iter().find(|finding| finding["check"] == "topic" && finding["level"] == "fail").unwrap();
    assert!(forgets["detail"].as_str().unwrap().contains("retention.ms"), "{forgets}");
    assert_eq!(levels(&findings, "without credentials"), ["warn"], "{findings:#?}");
}

fn topics(broker: &Broker, prefix: &str) -> Vec<String> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = broker.client().create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    metadata.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_lose_commits_and_servers_that_are_away_are_found() {
    if skipped_by_quick("postgres") {
        return;
    }
    let server = postgres::Server::start_with(&[("synchronous_commit", "off")]).await;
    let folder = scratch("doctor");
    lay_out(folder.path(), "127.0.0.1:1", "away.", &server.url("postgres"));
    let (findings, failed) = doctor("lossy", folder.path()).await;
    assert!(failed);
    assert_eq!(levels(&findings, "synchronous_commit"), ["fail"], "{findings:#?}");
    assert_eq!(levels(&findings, "broker"), ["fail"], "{findings:#?}");
    for finding in findings.iter().filter(|finding| finding["level"] != "ok") {
        for text in ["zh", "en", "todo_zh", "todo_en"] {
            assert!(finding[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {finding}");
        }
    }
}
