//! How fast the hub is, as ratios against bounds measured in the same run. Asserts nothing about time.
//!
//! - publish: records/s over mutual TLS with full verification, beside the pure `verify` and the raw append rate of the log
//! - look: looks/s, each with its ledger entry, beside `pgbench -S -M prepared` on the same PostgreSQL server
//!
//! `tests/bench` builds and runs it in release. Without Kafka and PostgreSQL (`--embedded`) only the embedded pair is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use weft_hub::config::Config;
use weft_hub::log::{Draft, EntryId, Partition, SharedLog, Topic};
use weft_proto::v1;
use weft_record::{
    status::{Event, Status},
    verify::{Sender, verify},
};
use weft_tests::{
    department::{Example, Sealed, TestDepartment, publish_at},
    folder::scratch,
    hub::{TestHub, begin, served},
    kafka, postgres,
    window::{ITEM, TestWindow, grant, look},
};

const RECORDS: u32 = 9000;
const STREAMS: usize = 4;
const LOOKERS: usize = 64;
const LOOKING: Duration = Duration::from_secs(10);
const TYPE: &str = "business-licence";

#[tokio::main]
async fn main() {
    let embedded_only = std::env::args().any(|arg| arg == "--embedded");
    println!("pair       what                                  per second   ratio");
    let hub = TestHub::start_with(unlimited).await;
    measure("embedded", hub, None).await;
    if embedded_only {
        return;
    }
    let (broker, server) = (kafka::shared().await, postgres::shared().await);
    let folder = Arc::new(scratch("bench"));
    let mut config = served(folder.path().into(), "bench", broker, server).await;
    unlimited(&mut config);
    begin(&config);
    let stores = weft_hub::hub::open_stores(&config).await.expect("stores open");
    let hub = TestHub::run(config, stores, Some(folder)).await;
    let pgbench = pgbench(server).await;
    measure("served", hub, Some(pgbench)).await;
}

/// The quota of a window is not what is measured.
fn unlimited(config: &mut Config) {
    config.limits.looks_per_second = 1_000_000;
    config.limits.looks_burst = 1_000_000;
}

fn row(pair: &str, what: &str, rate: f64, ratio: Option<f64>) {
    let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    println!("{pair:<10} {what:<36} {rate:>11.0}   {ratio}");
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn measure(pair: &str, mut hub: TestHub, pgbench: Option<f64>) {
    let department = hub.department("market-regulation", &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, "market-regulation", &["uscc", "name"])).await;
    let examples: Vec<Example> = (0..RECORDS).map(Example::business_licence).collect();
    let sealed: Vec<Sealed> = examples.iter().map(|one| department.seal(one, 1, Event::Issue, Status::Valid)).collect();

    let verified = verify_bound(&hub, &sealed).await;
    row(pair, "verify alone, every core", verified, None);
    let appended = append_bound(&hub.stores.log, sealed[0].token.len()).await;
    row(pair, "log append alone", appended, None);
    let (receipts, indexed) = publish(&hub, &department, &sealed).await;
    let bound = verified.min(appended);
    row(pair, "publish to receipt, over mTLS", receipts, Some(receipts / bound));
    row(pair, "publish to outcome, over mTLS", indexed, Some(indexed / bound));
    let (looks, p50, p99) = looks(&hub, &window, &examples, &sealed).await;
    row(pair, "look with ledger entry, over mTLS", looks, pgbench.map(|bound| looks / bound));
    println!("{pair:<10} look p50 {p50:?}, p99 {p99:?} at {LOOKERS} at once");
    if let Some(pgbench) = pgbench {
        row(pair, "pgbench -S -M prepared", pgbench, None);
    }
    hub.stop().await;
}

/// The door's verification alone, on every core.
async fn verify_bound(hub: &TestHub, sealed: &[Sealed]) -> f64 {
    let parts = weft_hub::hub::Parts::new(&hub.config, hub.stores.clone(), hub.clock.clone()).expect("a hub's parts");
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&parts.registry).follow(stop.clone()));
    parts.registry.confirm().await;
    let registry = parts.registry.snapshot();
    let sender = Sender { department: "market-regulation".into(), adapter: "main".into() };
    let now = weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for chunk in sealed.chunks(sealed.len().div_ceil(threads)) {
            let (registry, sender) = (&registry, &sender);
            scope.spawn(move || {
                for one in chunk {
                    verify(one.token.as_bytes(), sender, registry.as_ref(), now).expect("it verifies");
                }
            });
        }
    });
    let rate = per_second(sealed.len(), began.elapsed());
    stop.cancel();
    following.await.expect("the view stops");
    rate
}

/// The log alone: values of a record's size, in batches, from as many tasks as there are streams.
async fn append_bound(log: &SharedLog, bytes: usize) -> f64 {
    let topic = Topic::Records("bench-append".into());
    log.ensure(&topic).await.expect("the topic is made");
    let value: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0]).collect();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..STREAMS {
        let (log, topic, value) = (Arc::clone(log), topic.clone(), bytes::Bytes::from(value.clone()));
        tasks.spawn(async move {
            for batch in 0..(RECORDS as usize / STREAMS / 100) {
                let drafts = (0..100).map(|one| Draft {
                    partition: Partition {
                        topic: topic.clone(),
                        number: (one % log.partitions(&topic) as usize) as u32,
                    },
                    key: format!("{task}-{batch}-{one}"),
                    entry_id: EntryId::new(),
                    headers: Vec::new(),
                    value: value.clone(),
                });
                for appended in log.append(drafts.collect()).await {
                    appended.expect("it is appended");
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("appending does not panic");
    }
    per_second(RECORDS as usize / STREAMS / 100 * 100 * STREAMS, began.elapsed())
}

/// (receipts/s, outcomes/s): streams that each carry a part of the records.
async fn publish(hub: &TestHub, department: &TestDepartment, sealed: &[Sealed]) -> (f64, f64) {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for chunk in sealed.chunks(sealed.len().div_ceil(STREAMS)) {
        let mut client = department.at(hub).await;
        let bytes: Vec<Vec<u8>> = chunk.iter().map(|one| one.token.clone().into_bytes()).collect();
        tasks
            .spawn(async move { publish_at(&mut client, bytes).await.expect("the stream goes through").receipts_took });
    }
    let mut receipts = Duration::ZERO;
    while let Some(task) = tasks.join_next().await {
        receipts = receipts.max(task.expect("publishing does not panic"));
    }
    (per_second(sealed.len(), receipts), per_second(sealed.len(), began.elapsed()))
}

/// (looks/s, p50, p99).
async fn looks(
    hub: &TestHub,
    window: &TestWindow,
    examples: &[Example],
    sealed: &[Sealed],
) -> (f64, Duration, Duration) {
    let asked: Arc<Vec<(String, String)>> = Arc::new(
        sealed
            .iter()
            .zip(examples)
            .map(|(one, example)| (one.record_id.clone(), example.holders[0].value.clone()))
            .collect(),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = window.at(hub).await;
        for _ in 0..LOOKERS / 8 {
            let (mut client, asked, next) = (client.clone(), Arc::clone(&asked), Arc::clone(&next));
            tasks.spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < LOOKING {
                    let at = next.fetch_add(7919, Ordering::Relaxed) % asked.len();
                    let (record_id, holder) = &asked[at];
                    let request = v1::GetRecordRequest {
                        look: Some(look(ITEM, Some(("uscc", holder)))),
                        by: Some(v1::get_record_request::By::RecordId(record_id.clone())),
                    };
                    let asked_at = Instant::now();
                    client.get_record(request).await.expect("an answer");
                    took.push(asked_at.elapsed());
                }
                took
            });
        }
    }
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        all.extend(task.expect("looking does not panic"));
    }
    let rate = per_second(all.len(), began.elapsed());
    all.sort_unstable();
    (rate, all[all.len() / 2], all[all.len() * 99 / 100])
}

/// `pgbench -S -M prepared` on the same server with as many clients as there are lookers: transactions/s.
async fn pgbench(server: &postgres::Server) -> f64 {
    let url = server.database().await;
    let run = |args: &[&str]| {
        let output = std::process::Command::new(postgres::program("pgbench"))
            .args(args)
            .arg(&url)
            .output()
            .expect("pgbench runs");
        assert!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["-i", "-q", "-s", "10"]);
    let clients = LOOKERS.to_string();
    let text = run(&["-S", "-M", "prepared", "-c", &clients, "-j", "2", "-T", "10"]);
    let line = text.lines().find(|line| line.starts_with("tps = ")).expect("pgbench tells its rate");
    let rate = line.trim_start_matches("tps = ").split(' ').next().expect("a number");
    rate.parse().expect("a number")
}
