//! A log whose tail is gone, behind a running and behind a stopped hub: it is noticed, alarmed, and made whole from the index.
//! Every acknowledged record is in log and index again, or its absence is named.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{path::Path, time::Duration};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use weft_hub::{
    config::Storage,
    log::{Log, Partition, Topic},
};
use weft_proto::{
    Reason,
    reason::reason_of,
    v1::{self, OutcomeKind, StatusResponse, submission_answer},
};
use weft_record::status::{Event, Status};
use weft_tests::{
    delayed::Delayed,
    department::{Example, publish_at, publish_once},
    eventually,
    hub::{TestHub, reopen},
    kafka, postgres, skipped_by_quick,
    story::{Story, TYPE, settled},
    window::{ITEM, grant, look},
};

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: &str = "weft.records.business-licence";
const TOPICS: [&str; 4] = [RECORDS, "weft.ledger", "weft.quarantine", "weft.registry"];

/// Whether the offsets that were cut off are given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offsets {
    Reused,
    Kept,
}

async fn database(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.expect("the database opens")
}

/// Takes the last entries of a topic's first partition out of the embedded log's file; says how many there were.
async fn cut(data_dir: &Path, topic: &str, from_the_end: i64, offsets: Offsets) -> u64 {
    let mut log = database(&data_dir.join("log.db")).await;
    let mut cut = log.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let end: i64 =
        sqlx::query_scalar("SELECT next_offset FROM partitions p JOIN topics t ON t.id = p.topic WHERE t.name = ?")
            .bind(topic)
            .fetch_one(&mut *cut)
            .await
            .unwrap();
    let to = (end - from_the_end).max(0);
    let gone =
        sqlx::query(r#"DELETE FROM entries WHERE topic = (SELECT id FROM topics WHERE name = ?) AND "offset" >= ?"#)
            .bind(topic)
            .bind(to)
            .execute(&mut *cut)
            .await
            .unwrap()
            .rows_affected();
    if offsets == Offsets::Reused {
        sqlx::query("UPDATE partitions SET next_offset = ? WHERE topic = (SELECT id FROM topics WHERE name = ?)")
            .bind(to)
            .bind(topic)
            .execute(&mut *cut)
            .await
            .unwrap();
    }
    cut.commit().await.unwrap();
    gone
}

/// A fresh embedded hub with a story in it.
async fn begun() -> (TestHub, Story, StatusResponse) {
    say_what_the_hub_says();
    let hub = TestHub::start().await;
    let mut story = Story::begin(&hub).await;
    story.publish(&hub, 0..100).await;
    story.look_at(&hub, 0..10).await;
    let before = settled(&hub).await;
    (hub, story, before)
}

/// Waits until nothing in this process holds a file of the folder: dropped stores close theirs in a moment.
async fn let_go(folder: &Path) {
    eventually(PATIENCE, || async {
        let held = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let held = held.filter_map(|fd| std::fs::read_link(fd.path()).ok()).find(|path| path.starts_with(folder));
        held.map_or(Ok(()), |path| Err(path.display().to_string()))
    })
    .await;
}

async fn start_again(hub: TestHub, between: impl AsyncFnOnce()) -> TestHub {
    let mut hub = hub;
    hub.stop().await;
    let (config, folder) = (hub.config.clone(), hub.folder.clone());
    drop(hub);
    if let Storage::Embedded { data_dir } = &config.storage {
        let_go(data_dir).await;
    }
    between().await;
    let stores = reopen(&config).await;
    TestHub::run(config, stores, folder).await
}

/// Waits for an alarm about a topic that is not older than `since`.
async fn alarmed(hub: &TestHub, alarm: &str, topic: &str, since: i64) {
    eventually(PATIENCE, || async {
        let alarms = hub.alarms().await;
        let found = alarms.iter().any(|one| {
            let at = one.at.as_ref().map_or(0, |at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000);
            let topic_of = one.position.as_ref().map(|position| position.topic.as_str());
            one.alarm == alarm && at >= since && topic_of == Some(topic)
        });
        if found {
            return Ok(());
        }
        let partitions = hub.try_status(false).await.map(|status| status.partitions);
        Err(format!("no {alarm} alarm of {topic}: {alarms:?}, {partitions:?}"))
    })
    .await;
}

/// The content is as it was and every outcome is told as it was.
async fn assert_whole(hub: &TestHub, story: &Story, before: &StatusResponse) {
    let after = eventually(PATIENCE, || async {
        let after = settled(hub).await;
        let found = (after.indexed, after.ledger_entries, after.content_digest.clone());
        let wanted = (before.indexed, before.ledger_entries, before.content_digest.clone());
        if found == wanted { Ok(after) } else { Err(format!("{found:?} instead of {wanted:?}")) }
    })
    .await;
    assert!(after.registry_position >= after.registry_floor);
    story.assert_outcomes(hub).await;
}

fn remove_index(data_dir: &Path) {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        // Which of them there are is the database's own business.
        let _ = std::fs::remove_file(data_dir.join(file));
    }
}

/// The log alone has all of it: an index made from nothing says the same.
async fn assert_rebuilds(hub: TestHub, story: &Story, before: &StatusResponse) {
    let data_dir = hub.data_dir();
    let mut hub = start_again(hub, async || remove_index(&data_dir)).await;
    assert_whole(&hub, story, before).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_cut_off_behind_a_running_hub_is_appended_again() {
    let (hub, story, before) = begun().await;
    for topic in TOPICS {
        for offsets in [Offsets::Reused, Offsets::Kept] {
            let since = now();
            let gone = cut(&hub.data_dir(), topic, 3, offsets).await;
            println!("{topic}: {gone} entries cut off, {offsets:?}");
            assert!(gone > 0);
            alarmed(&hub, "cut_log", topic, since).await;
            assert_whole(&hub, &story, &before).await;
        }
    }
    assert_rebuilds(hub, &story, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_cut_off_behind_a_stopped_hub_is_appended_again() {
    let (mut hub, story, before) = begun().await;
    let data_dir = hub.data_dir();
    for topic in TOPICS {
        // More than a position remembers, at least once.
        for (offsets, entries) in [(Offsets::Reused, 3), (Offsets::Kept, 3), (Offsets::Reused, 1000)] {
            let since = now();
            hub = start_again(hub, async || {
                let gone = cut(&data_dir, topic, entries, offsets).await;
                println!("{topic}: {gone} entries cut off, {offsets:?}");
                assert!(gone > 0);
            })
            .await;
            alarmed(&hub, "cut_log", topic, since).await;
            assert_whole(&hub, &story, &before).await;
        }
    }
    assert_rebuilds(hub, &story, &before).await;
}

/// The files of a database of a stopped hub.
fn copy(from: &Path, to: &Path, name: &str) {
    std::fs::create_dir_all(to).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (from.join(format!("{name}{suffix}")), to.join(format!("{name}{suffix}")));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A story of which log and index were kept half way, when a department and a grant of its end were not there yet.
async fn kept_half_way() -> (TestHub, Story, StatusResponse, tempfile::TempDir) {
    let (hub, mut story, _) = begun().await;
    let (data_dir, kept) = (hub.data_dir(), weft_tests::folder::scratch("kept"));
    let hub = start_again(hub, async || {
        copy(&data_dir, kept.path(), "log.db");
        copy(&data_dir, kept.path(), "index.db");
    })
    .await;
    story.publish(&hub, 100..160).await;
    let other = hub.department("natural-resources", &["real-estate-title"]).await;
    let title = other.seal(&Example::of("real-estate-title", "valid-flat"), 1, Event::Issue, Status::Valid);
    assert_eq!(other.publish(std::slice::from_ref(&title)).await.outcome(&title), OutcomeKind::Indexed);
    hub.decide("wang", &story.grant, "suspended").await.expect("the grant is suspended");
    let before = settled(&hub).await;
    (hub, story, before, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_log_beside_a_new_index_is_made_whole() {
    let (hub, story, before, kept) = kept_half_way().await;
    let data_dir = hub.data_dir();
    let since = now();
    let hub = start_again(hub, async || copy(kept.path(), &data_dir, "log.db")).await;
    for topic in [RECORDS, "weft.quarantine", "weft.registry", "weft.records.real-estate-title"] {
        alarmed(&hub, "cut_log", topic, since).await;
    }
    assert_whole(&hub, &story, &before).await;
    // The grant was active in the old log.
    let refused = story.look(&hub, 3).await.expect_err("the grant is suspended");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let with_the_look = settled_with(&hub, before.ledger_entries + 1).await;
    assert_rebuilds(hub, &story, &with_the_look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_index_beside_a_new_log_catches_up() {
    let (hub, story, before, kept) = kept_half_way().await;
    let data_dir = hub.data_dir();
    let mut hub = start_again(hub, async || copy(kept.path(), &data_dir, "index.db")).await;
    assert_whole(&hub, &story, &before).await;
    let refused = story.look(&hub, 3).await.expect_err("the grant is suspended");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(hub.alarms().await.iter().all(|alarm| alarm.alarm != "cut_log"), "nothing was cut off");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_content_overtook_is_named() {
    let (hub, story, _) = begun().await;
    let data_dir = hub.data_dir();
    let example = Example::business_licence(500);
    let lost = story.department.seal(&example, 1, Event::Issue, Status::Valid);
    let again = story.department.seal(&Example::business_licence(501), 1, Event::Issue, Status::Valid);
    let both = [lost.clone(), again.clone()];
    let heard = story.department.publish(&both).await;
    assert!(both.iter().all(|one| heard.outcome(one) == OutcomeKind::Indexed));
    settled(&hub).await;

    // The log loses both, and other content gets in under another index before anybody notices.
    let kept = weft_tests::folder::scratch("kept");
    let hub = start_again(hub, async || {
        copy(&data_dir, kept.path(), "index.db");
        remove_index(&data_dir);
        assert_eq!(cut(&data_dir, RECORDS, 2, Offsets::Reused).await, 2);
    })
    .await;
    let winner =
        story.department.seal(&example.with("name", json!("后来居上有限公司")), 1, Event::Issue, Status::Valid);
    settled(&hub).await;
    let bytes = vec![winner.token.clone().into_bytes()];
    let heard = publish_at(&mut story.department.at(&hub).await, bytes).await.unwrap();
    assert_eq!(heard.outcome(&winner), OutcomeKind::Indexed);
    settled(&hub).await;
    let since = now();
    let mut hub = start_again(hub, async || copy(kept.path(), &data_dir, "index.db")).await;
    alarmed(&hub, "cut_log", RECORDS, since).await;
    alarmed(&hub, "log_lost", RECORDS, since).await;
    settled(&hub).await;
    let alarms = hub.alarms().await;
    let named: Vec<_> = alarms.iter().filter(|alarm| alarm.alarm == "log_lost").collect();
    assert_eq!(named.len(), 1, "{named:?}");
    for one in [&lost, &winner] {
        assert!(named[0].detail.contains(&hex::encode(one.id())), "the alarm names both: {}", named[0].detail);
    }
    let ids = [&lost, &again, &winner].map(|one| one.id());
    let outcomes = hub.stores.index.outcomes(&ids).await.unwrap();
    let outcome = |id: &[u8; 32]| {
        let row = outcomes.iter().find(|row| row.submission_id == *id).expect("an outcome");
        (row.outcome.as_str(), row.reason.as_deref())
    };
    assert_eq!(outcome(&ids[0]), ("quarantined", Some("log_lost")));
    assert_eq!(outcome(&ids[1]), ("indexed", None));
    assert_eq!(outcome(&ids[2]), ("indexed", None));
    story.assert_outcomes(&hub).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_repair_nothing_is_appended_and_no_look_is_wrong() {
    let (mut hub, story, _) = begun().await;
    hub.stop().await;
    let (config, folder) = (hub.config.clone(), hub.folder.clone());
    drop(hub);
    let stores = reopen(&config).await;
    let slow = Delayed::new(stores.log.clone(), Topic::Records(TYPE.into()));
    let hub = TestHub::run(config, slow.before(&stores), folder).await;
    settled(&hub).await;
    let indexed = hub.status(false).await.indexed;

    cut(&hub.data_dir(), RECORDS, 1000, Offsets::Reused).await;
    slow.set(Duration::from_secs(2));
    let is_current = async || {
        let partition = Partition { topic: Topic::Records(TYPE.into()), number: 0 };
        hub.stores.index.position(&partition).await.unwrap().is_none_or(|row| row.current)
    };
    eventually(PATIENCE, || async { if is_current().await { Err("not noticed yet") } else { Ok(()) } }).await;
    // The record's version is out of the index now: the hub must not say that there is none.
    let refused = story.look(&hub, 7).await.expect_err("nothing is said of a record that is being replayed");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    let (list, holder) = (story.window.at(&hub).await, Example::business_licence(7).holders[0].value.clone());
    let request = v1::ListHolderRecordsRequest {
        look: Some(look(ITEM, Some(("uscc", &holder)))),
        record_type: TYPE.into(),
        ..Default::default()
    };
    let refused = list.clone().list_holder_records(request).await.expect_err("nor that the holder has none");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");

    let fresh = story.department.seal(&Example::business_licence(600), 1, Event::Issue, Status::Valid);
    eventually(PATIENCE, || async {
        let bytes = vec![fresh.token.clone().into_bytes()];
        let heard = publish_once(&mut story.department.at(&hub).await, bytes).await.map_err(|one| one.to_string())?;
        match &heard.answers[fresh.id().as_slice()] {
            submission_answer::Kind::Retry(retry) if retry.reason == "partition_not_current" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(!is_current().await, "the repair is still under way");
    slow.set(Duration::ZERO);
    let doubted = story.look_until_current(&hub, 7).await;
    println!("{doubted} looks were refused or answered with doubt");
    settled(&hub).await;
    let now_indexed = hub.status(false).await.indexed;
    assert!(now_indexed == indexed || now_indexed == indexed + 1, "{now_indexed} of {indexed}");
    story.assert_outcomes(&hub).await;
    let mut hub = hub;
    hub.stop().await;
}

/// Deletes a topic with everything in it; another client of the hub's own kind makes it anew.
async fn recreate(hub: &TestHub, broker: &kafka::Broker, topic: &Topic) {
    let Storage::Served { kafka: config, .. } = &hub.config.storage else { panic!("a served hub") };
    let name = format!("{}{topic}", config.topic_prefix);
    let admin: AdminClient<DefaultClientContext> = broker.client().create().expect("an admin client");
    let deleted = admin.delete_topics(&[&name], &AdminOptions::new()).await.expect("an answer from the broker");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    eventually(PATIENCE, || async {
        let log =
            weft_hub::log::kafka::KafkaLog::connect(config.as_ref().clone()).map_err(|error| error.to_string())?;
        log.ensure(topic).await.map_err(|error| error.to_string())?;
        match log.end(&Partition { topic: topic.clone(), number: 0 }).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_on_kafka_is_filled_again() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let (broker, server) = (kafka::shared().await, postgres::shared().await);
    let mut hub = TestHub::start_served("cut", broker, server).await;
    let mut story = Story::begin(&hub).await;
    story.publish(&hub, 0..60).await;
    story.look_at(&hub, 0..10).await;
    let before = settled(&hub).await;
    for stopped in [false, true] {
        for topic in [Topic::Records(TYPE.into()), Topic::Ledger, Topic::Quarantine, Topic::Registry] {
            println!("{topic} made anew behind a hub that {}", if stopped { "is stopped" } else { "runs" });
            let since = now();
            if stopped {
                hub.stop().await;
                let (config, folder) = (hub.config.clone(), hub.folder.clone());
                recreate(&hub, broker, &topic).await;
                hub = TestHub::run(config.clone(), reopen(&config).await, folder).await;
            } else {
                recreate(&hub, broker, &topic).await;
            }
            alarmed(&hub, "cut_log", &topic.name(), since).await;
            assert_whole(&hub, &story, &before).await;
        }
    }
    hub.stop().await;
}

/// Warnings and errors of the hub, on the test's output.
fn say_what_the_hub_says() {
    let subscriber = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN);
    // Another test of this process may have said so already.
    let _ = subscriber.try_init();
}

fn now() -> i64 {
    weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock)
}

async fn settled_with(hub: &TestHub, ledger_entries: u64) -> StatusResponse {
    eventually(PATIENCE, || async {
        let status = settled(hub).await;
        if status.ledger_entries == ledger_entries { Ok(status) } else { Err("the look is not followed yet") }
    })
    .await
}

async fn put_under_repair(hub: &TestHub, topic: Topic) {
    let partition = Partition { topic, number: 0 };
    let owner = || async { hub.stores.index.position(&partition).await.unwrap().and_then(|row| row.owner) };
    let owner = eventually(PATIENCE, || async { owner().await.ok_or("nobody has the lease") }).await;
    hub.stores.index.set_current(&partition, &owner, false).await.unwrap();
}

/// A partition under repair takes no appends: not the ledger's, so nothing is answered, and not quarantine's.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_and_quarantine_take_nothing_while_they_are_repaired() {
    let mut first = TestHub::start().await;
    let (config, folder) = (first.config.clone(), first.folder.clone());
    first.stop().await;
    drop(first);
    let stores = reopen(&config).await;
    // What is under repair is read, which comes late here: so it stays under repair.
    let ledger = Delayed::new(stores.log.clone(), Topic::Ledger);
    let quarantine = Delayed::new(ledger.clone(), Topic::Quarantine);
    let mut hub = TestHub::run(config, quarantine.before(&stores), folder).await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, "market-regulation", &["name"])).await;
    let example = Example::business_licence(71);
    let sealed = department.seal(&example, 1, Event::Issue, Status::Valid);
    department.publish(std::slice::from_ref(&sealed)).await;
    let holder = example.holders[0].value.clone();
    let asked = || window.get(&sealed.record_id, look(ITEM, Some(("uscc", &holder))));
    asked().await.expect("it is answered");

    for (topic, log) in [(Topic::Ledger, &ledger), (Topic::Quarantine, &quarantine)] {
        log.set(Duration::from_secs(3600));
        put_under_repair(&hub, topic).await;
    }
    let wrong = async || {
        let wrong = example.clone().with("established", json!("2018-02-30"));
        let wrong = department.seal(&wrong, 2, Event::Change, Status::Valid).token.into_bytes();
        let heard = publish_once(&mut department.client.clone(), vec![wrong]).await.expect("the stream goes through");
        heard.answers.into_values().next()
    };
    eventually(PATIENCE, || async {
        let looked = asked().await.err().and_then(|status| reason_of(&status));
        match (looked, wrong().await) {
            (Some(Reason::PartitionNotCurrent), Some(submission_answer::Kind::Retry(retry)))
                if retry.reason == Reason::PartitionNotCurrent.as_str() =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let ends = async || {
        let end = |topic| async { stores.log.end(&Partition { topic, number: 0 }).await.unwrap() };
        (end(Topic::Ledger).await, end(Topic::Quarantine).await)
    };
    let before = ends().await;
    assert!(asked().await.is_err());
    wrong().await;
    assert_eq!(ends().await, before, "nothing was appended");

    for log in [&ledger, &quarantine] {
        log.set(Duration::ZERO);
    }
    eventually(PATIENCE, || async { asked().await.map(|_| ()).map_err(|status| status.to_string()) }).await;
    eventually(PATIENCE, || async {
        match wrong().await {
            Some(submission_answer::Kind::Rejection(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    hub.stop().await;
}
