//! The harness itself: real servers start, keep what they were given over a kill, and leave nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{Connection as _, PgConnection, Row as _};
use weft_tests::kafka::{self, Broker, Setup, topic_prefix};
use weft_tests::postgres::{self, Server};
use weft_tests::process::Launch;
use weft_tests::skipped_by_quick;

const PATIENCE: Duration = Duration::from_secs(60);

async fn produce(broker: &Broker, topic: &str, value: &str) -> i64 {
    let producer: FutureProducer = broker.client().set("acks", "all").create().unwrap();
    let record = FutureRecord::to(topic).partition(0).key("key").payload(value);
    producer.send(record, PATIENCE).await.unwrap().offset
}

/// The values of a topic's one partition, from its beginning.
async fn values(broker: &Broker, topic: &str, count: usize) -> Vec<String> {
    let config = broker.client().set("group.id", "unused").set("enable.auto.commit", "false").clone();
    let topic = topic.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let mut places = TopicPartitionList::new();
        places.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&places).unwrap();
        let next = || consumer.poll(PATIENCE).expect("a message in time").unwrap();
        (0..count).map(|_| String::from_utf8(next().payload().unwrap().to_vec()).unwrap()).collect()
    });
    read.await.unwrap()
}

/// The command lines of processes that have `folder` in them.
fn users_of(folder: &Path) -> Vec<String> {
    let mark = folder.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some(String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).into_owned())
    });
    lines.filter(|line| line.contains(mark)).collect()
}

async fn assert_gone(folder: &Path) {
    weft_tests::eventually(PATIENCE, || async {
        let users = users_of(folder);
        if users.is_empty() && !folder.exists() { Ok(()) } else { Err(format!("{users:?} {}", folder.display())) }
    })
    .await;
}

#[tokio::test]
async fn kafka_keeps_a_message_over_kill_stop_and_restart() {
    if skipped_by_quick("kafka") {
        return;
    }
    let mut broker = Broker::start().await;
    let topic = format!("{}records", topic_prefix("infra"));
    let bootstrap = broker.bootstrap();
    broker.create_topic(&topic, 1, &[("flush.messages", "1")]).await;
    assert_eq!(produce(&broker, &topic, "one").await, 0);
    assert!(broker.data_dir().join(format!("{topic}-0")).is_dir());

    broker.kill9();
    broker.restart().await;
    assert_eq!(broker.bootstrap(), bootstrap);
    assert_eq!(produce(&broker, &topic, "two").await, 1);

    broker.stop().await;
    broker.restart().await;
    assert_eq!(values(&broker, &topic, 2).await, ["one", "two"]);

    let folder = broker.data_dir().parent().unwrap().to_owned();
    assert!(!users_of(&folder).is_empty());
    drop(broker);
    assert_gone(&folder).await;
}

#[tokio::test]
async fn kafka_takes_an_authorizer_and_passwords() {
    if skipped_by_quick("kafka") {
        return;
    }
    let pairs = |lines: &[(&str, &str)]| lines.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"hub\" password=\"hub-secret\" user_hub=\"hub-secret\" user_other=\"other-secret\";";
    let setup = Setup {
        overrides: pairs(&[
            ("listener.security.protocol.map", "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
            ("sasl.enabled.mechanisms", "PLAIN"),
            ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
            ("listener.name.client.plain.sasl.jaas.config", users),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("super.users", "User:ANONYMOUS;User:hub"),
        ]),
        client: pairs(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", "hub"),
            ("sasl.password", "hub-secret"),
        ]),
    };
    let broker = Broker::start_with(setup).await;
    broker.create_topic("guarded", 1, &[]).await;
    assert_eq!(produce(&broker, "guarded", "one").await, 0);

    let mut other = broker.client();
    let other: FutureProducer =
        other.set("sasl.username", "other").set("sasl.password", "other-secret").create().unwrap();
    let record = FutureRecord::to("guarded").partition(0).key("key").payload("two");
    let (refusal, _) = other.send(record, PATIENCE).await.unwrap_err();
    let code = refusal.rdkafka_error_code();
    assert_eq!(code, Some(rdkafka::types::RDKafkaErrorCode::TopicAuthorizationFailed));
}

#[tokio::test]
async fn postgres_keeps_a_row_over_kill_stop_and_restart() {
    if skipped_by_quick("postgres") {
        return;
    }
    let mut server = Server::start().await;
    let url = server.database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    assert_eq!(sqlx::query("select 1").fetch_one(&mut connection).await.unwrap().get::<i32, _>(0), 1);
    sqlx::raw_sql("create table kept (n int); insert into kept values (1)").execute(&mut connection).await.unwrap();

    server.kill9();
    server.restart().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("insert into kept values (2)").execute(&mut connection).await.unwrap();
    server.stop().await;
    server.restart().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let sum = sqlx::query("select sum(n) from kept").fetch_one(&mut connection).await.unwrap().get::<i64, _>(0);
    assert_eq!(sum, 3);

    let folder = server.data_dir().parent().unwrap().to_owned();
    assert!(!users_of(&folder).is_empty());
    drop(server);
    assert_gone(&folder).await;
}

#[tokio::test]
async fn shared_servers_are_the_same_to_all_and_give_each_test_its_own() {
    if skipped_by_quick("kafka and postgres") {
        return;
    }
    let (kafka, again) = tokio::join!(kafka::shared(), kafka::shared());
    assert!(std::ptr::eq(kafka, again));
    assert_ne!(topic_prefix("infra"), topic_prefix("infra"));
    let (postgres, again) = tokio::join!(postgres::shared(), postgres::shared());
    assert!(std::ptr::eq(postgres, again));
    let (one, two) = tokio::join!(postgres.database(), postgres.database());
    assert_ne!(one, two);
    assert!(postgres::program("pg_dump").is_file() && postgres::program("pgbench").is_file());
}

#[tokio::test]
async fn the_reference_library_is_there() {
    if skipped_by_quick("python") {
        return;
    }
    let folder = weft_tests::folder::scratch("python");
    let script = "from importlib.metadata import version; import sd_jwt; print('sd-jwt', version('sd-jwt'))";
    let python = Launch::python("version", folder.path()).args(["-c", script]).start();
    assert!(python.wait(PATIENCE).await.success(), "{}", python.last_words());
    let pinned = include_str!("../requirements.txt").lines().find_map(|line| line.strip_prefix("sd-jwt=="));
    assert_eq!(python.stdout().trim(), format!("sd-jwt {}", pinned.unwrap()));
}
