//! How fast the hub is, as ratios against bounds measured in the same run. Asserts nothing about time.
//!
//! - publish: records/s over mutual TLS with full verification, beside the pure `verify` and the raw append rate of the log
//! - look: looks/s, each with its ledger entry, beside `pgbench -S -M prepared` on the same PostgreSQL server, and beside what it is
//!   made of: look-ups alone, ledger entries alone, calls alone. Client, hub and servers share the processors, so the parts' times add
//!   up: together they are the bound of a look.
//!
//! `tests/bench` builds and runs it in release. Without Kafka and PostgreSQL (`--embedded`) only the embedded pair is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{task::JoinSet, time::Instant};
use tonic::transport::Channel;
use weft_hub::{
    body::Look,
    config::Config,
    decode::holder_hash,
    hub::Parts,
    index::{By, LookUp},
    log::{Draft, EntryId, Partition, SharedLog, Topic},
    query::Question,
};
use weft_proto::v1::{self, query_client::QueryClient};
use weft_record::{
    status::{Event, Status},
    verify::{Sender, verify},
};
use weft_tests::{
    department::{Example, Sealed, TestDepartment, publish_once},
    folder::scratch,
    hub::{TestHub, begin, served},
    kafka, postgres,
    window::{ITEM, TestWindow, grant, look},
};

const RECORDS: u32 = 9000;
const STREAMS: usize = 4;
const LOOKERS: usize = 64;
const CONNECTIONS: usize = 8;
const LOOKING: Duration = Duration::from_secs(8);
const PART: Duration = Duration::from_secs(4);
const TYPE: &str = "business-licence";
const WINDOW: &str = "hall-1";

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
    config.limits.hall_looks_per_second = 1_000_000;
    config.limits.hall_looks_burst = 1_000_000;
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
    let window = hub.window(WINDOW).await;
    hub.grant(grant(WINDOW, TYPE, "market-regulation", &["uscc", "name"])).await;
    let examples: Vec<Example> = (0..RECORDS).map(Example::business_licence).collect();
    let sealed: Vec<Sealed> = examples.iter().map(|one| department.seal(one, 1, Event::Issue, Status::Valid)).collect();
    let parts = Parts::new(&hub.config, hub.stores.clone(), hub.clock.clone()).expect("a hub's parts");
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&parts.registry).follow(stop.clone()));
    parts.registry.confirm().await;

    let verified = verify_bound(&parts, &sealed);
    row(pair, "verify alone, every core", verified, None);
    let appended = append_bound(&hub.stores.log, sealed[0].token.len()).await;
    row(pair, "log append alone", appended, None);
    let (receipts, indexed) = publish(&hub, &department, &sealed).await;
    let bound = verified.min(appended);
    row(pair, "publish to receipt, over mTLS", receipts, Some(receipts / bound));
    row(pair, "publish to outcome, over mTLS", indexed, Some(indexed / bound));

    if let Some(pgbench) = pgbench {
        row(pair, "pgbench -S -M prepared", pgbench, Some(1.0));
    }
    let ratio = |rate: f64| pgbench.map(|pgbench| rate / pgbench);
    let asked = Arc::new(Asked::new(&sealed, &examples));
    let mut together = 0.0;
    for (what, rate) in [
        ("look-up alone, 64 a statement", look_ups(&hub, &parts, &asked).await),
        ("ledger entry alone", ledger_entries(&parts).await),
        ("call without work, over mTLS", calls_without_work(&hub, &window).await),
    ] {
        row(pair, what, rate, ratio(rate));
        together += 1.0 / rate;
    }
    row(pair, "the three, one after another", 1.0 / together, ratio(1.0 / together));
    let (in_process, _) = at_once(PART, looks_in_process(parts, &asked)).await;
    row(pair, "look with ledger entry, in process", in_process, ratio(in_process));
    let (looks, took) = at_once(LOOKING, looks(&hub, &window, &asked).await).await;
    row(pair, "look with ledger entry, over mTLS", looks, ratio(looks));
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{pair:<10} look p50 {p50:?}, p99 {p99:?} at {LOOKERS} at once, {:.2} of the three", looks * together);
    stop.cancel();
    following.await.expect("the view stops");
    hub.stop().await;
}

/// The door's verification alone, on every core.
fn verify_bound(parts: &Parts, sealed: &[Sealed]) -> f64 {
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
    per_second(sealed.len(), began.elapsed())
}

/// The log alone: values of a record's size, in batches, from as many tasks as there are streams.
async fn append_bound(log: &SharedLog, bytes: usize) -> f64 {
    let topic = Topic::Records("bench-append".into());
    log.ensure(&topic).await.expect("the topic is made");
    let value: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0]).collect();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
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

/// (receipts/s, outcomes/s): streams that each carry a part of the records, connected and ready to send when the clock starts.
async fn publish(hub: &TestHub, department: &TestDepartment, sealed: &[Sealed]) -> (f64, f64) {
    let mut streams = Vec::new();
    for chunk in sealed.chunks(sealed.len().div_ceil(STREAMS)) {
        let sealed: Vec<Vec<u8>> = chunk.iter().map(|one| one.token.clone().into_bytes()).collect();
        streams.push((department.at(hub).await, sealed));
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut client, sealed) in streams {
        tasks.spawn(
            async move { publish_once(&mut client, sealed).await.expect("the stream goes through").receipts_took },
        );
    }
    let mut receipts = Duration::ZERO;
    while let Some(task) = tasks.join_next().await {
        receipts = receipts.max(task.expect("publishing does not panic"));
    }
    (per_second(sealed.len(), receipts), per_second(sealed.len(), began.elapsed()))
}

/// What is looked at, in an order that no cache foresees.
struct Asked {
    records: Vec<(String, String)>,
    next: AtomicUsize,
}

impl Asked {
    fn new(sealed: &[Sealed], examples: &[Example]) -> Self {
        let records = sealed.iter().zip(examples);
        let records = records.map(|(one, example)| (one.record_id.clone(), example.holders[0].value.clone()));
        Self { records: records.collect(), next: AtomicUsize::new(0) }
    }

    /// (record, holder).
    fn next(&self) -> &(String, String) {
        &self.records[self.next.fetch_add(7919, Ordering::Relaxed) % self.records.len()]
    }
}

type Call = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

/// Callers that each call again as soon as they are answered: (calls/s, how long each took, in order).
async fn at_once(lasting: Duration, callers: Vec<Call>) -> (f64, Vec<Duration>) {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut call in callers {
        tasks.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < lasting {
                let asked_at = Instant::now();
                call().await;
                took.push(asked_at.elapsed());
            }
            took
        });
    }
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        all.extend(task.expect("a call does not panic"));
    }
    let rate = per_second(all.len(), began.elapsed());
    all.sort_unstable();
    (rate, all)
}

/// Look-ups/s of the index, 64 a statement, as many statements at once as the hub has under way.
async fn look_ups(hub: &TestHub, parts: &Parts, asked: &Arc<Asked>) -> f64 {
    let caller = |_| -> Call {
        let (index, keys, asked) = (Arc::clone(&hub.stores.index), Arc::clone(&parts.keys), Arc::clone(asked));
        Box::new(move || {
            let (index, keys, asked) = (Arc::clone(&index), Arc::clone(&keys), Arc::clone(&asked));
            Box::pin(async move {
                let look_up = |_| {
                    let (record_id, holder) = asked.next();
                    let holder = Some(holder_hash(&keys, "uscc", holder));
                    LookUp { by: By::Record(record_id.clone()), holder, as_of: None, version: None }
                };
                let looked = index.look(&(0..64).map(look_up).collect::<Vec<_>>()).await.expect("they are looked up");
                assert!(looked.found.iter().all(|found| found.len() == 1), "every record is there");
            })
        })
    };
    at_once(PART, (0..4).map(caller).collect()).await.0 * 64.0
}

/// Entries/s of the ledger, each durable before the next of its caller; the hub's follower takes them into the index meanwhile.
async fn ledger_entries(parts: &Parts) -> f64 {
    let caller = |_| -> Call {
        let ledger = Arc::clone(&parts.ledger);
        Box::new(move || {
            let ledger = Arc::clone(&ledger);
            Box::pin(async move {
                ledger.append(&entry()).await.expect("it is written");
            })
        })
    };
    at_once(PART, (0..LOOKERS).map(caller).collect()).await.0
}

fn entry() -> Look {
    let id = || hex::encode(weft_hub::clock::random::<16>());
    Look {
        look_id: EntryId::new().to_string(),
        kind: "look_denied".into(),
        at: weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock),
        window: WINDOW.into(),
        clerk: "001".into(),
        case_number: "GQ-2026-000001".into(),
        service_item: ITEM.into(),
        party_role: "applicant".into(),
        purpose: "核验申请人证照".into(),
        request_id: id(),
        grant: String::new(),
        department: "market-regulation".into(),
        record_type: TYPE.into(),
        holder: String::new(),
        question: String::new(),
        given: Vec::new(),
        as_of: None,
        registry_position: 0,
        salt: id(),
    }
}

/// Calls/s that are refused for their form: connection, identity, quota and answer, and nothing else.
async fn calls_without_work(hub: &TestHub, window: &TestWindow) -> f64 {
    let mut callers: Vec<Call> = Vec::new();
    for client in connections(hub, window).await {
        callers.push(Box::new(move || {
            let mut client = client.clone();
            Box::pin(async move {
                client.get_record(v1::GetRecordRequest::default()).await.expect_err("it names no record");
            })
        }));
    }
    at_once(PART, callers).await.0
}

/// One client per looker, on a few connections.
async fn connections(hub: &TestHub, window: &TestWindow) -> Vec<QueryClient<Channel>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = window.at(hub).await;
        clients.extend((0..LOOKERS / CONNECTIONS).map(|_| client.clone()));
    }
    clients
}

/// Looks without the wire.
fn looks_in_process(parts: Parts, asked: &Arc<Asked>) -> Vec<Call> {
    let parts = Arc::new(parts);
    let caller = |_| -> Call {
        let (parts, asked) = (Arc::clone(&parts), Arc::clone(asked));
        Box::new(move || {
            let (parts, asked) = (Arc::clone(&parts), Arc::clone(&asked));
            Box::pin(async move {
                let (record_id, holder) = asked.next();
                let look = look(ITEM, Some(("uscc", holder)));
                let deadline = Instant::now() + Duration::from_secs(10);
                let question = Question::Record(record_id.clone());
                parts.query.look(WINDOW, Some(&look), &question, deadline).await.expect("an answer");
            })
        })
    };
    (0..LOOKERS).map(caller).collect()
}

/// Looks as a window makes them.
async fn looks(hub: &TestHub, window: &TestWindow, asked: &Arc<Asked>) -> Vec<Call> {
    let mut callers: Vec<Call> = Vec::new();
    for client in connections(hub, window).await {
        let asked = Arc::clone(asked);
        callers.push(Box::new(move || {
            let (mut client, asked) = (client.clone(), Arc::clone(&asked));
            Box::pin(async move {
                let (record_id, holder) = asked.next();
                let by = Some(v1::get_record_request::By::RecordId(record_id.clone()));
                let look = Some(look(ITEM, Some(("uscc", holder))));
                client.get_record(v1::GetRecordRequest { look, by }).await.expect("an answer");
            })
        }));
    }
    callers
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
