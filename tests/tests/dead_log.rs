//! A log that is slow, and one that takes nothing: senders and windows are told to come again, in time; what they push does not
//! pile up in the hub; it heals by itself, and nothing acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt;
use weft_hub::{config::Storage, hub::open_stores};
use weft_proto::v1::{self, Answering, OutcomeKind, publish_response::Kind, submission_answer};
use weft_record::status::{Event, Status};
use weft_tests::{
    department::{Example, Sealed, TestDepartment, publish_once},
    eventually,
    folder::scratch,
    hub::{TestHub, begin, embedded, served},
    kafka::Broker,
    postgres, skipped_by_quick,
    stalled::{Pace, Stalled},
    window::{ITEM, TestWindow, grant, look},
};

const TYPE: &str = "business-licence";
const DEPARTMENT: &str = "market-regulation";
const PATIENCE: Duration = Duration::from_secs(90);
/// The log's own timeout, and what a busy machine may need besides.
const TIMEOUT: Duration = Duration::from_secs(2);
const IN_TIME: Duration = Duration::from_secs(30);
/// What the hub and the client that pushes may grow by together, in KiB.
const GROWTH: u64 = 64 * 1024;
/// How long it is pushed.
const PUSHED_FOR: Duration = Duration::from_secs(5);

/// Memory is measured for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Hall {
    hub: TestHub,
    department: TestDepartment,
    window: TestWindow,
    /// Acknowledged and looked at before anything goes wrong.
    known: (Example, Sealed),
}

impl Hall {
    async fn open(hub: TestHub) -> Self {
        let department = hub.department(DEPARTMENT, &[TYPE]).await;
        let window = hub.window("hall-1").await;
        hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name"])).await;
        let example = Example::business_licence(7000);
        let known = department.seal(&example, 1, Event::Issue, Status::Valid);
        assert_eq!(department.publish(std::slice::from_ref(&known)).await.outcome(&known), OutcomeKind::Indexed);
        Self { hub, department, window, known: (example, known) }
    }

    fn sealed(&self, numbers: std::ops::Range<u32>) -> Vec<Sealed> {
        let seal = |number| self.department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid);
        numbers.map(seal).collect()
    }

    async fn look(&self) -> Result<v1::Answer, tonic::Status> {
        let holder = &self.known.0.holders[0].value;
        self.window.get(&self.known.1.record_id, look(ITEM, Some(("uscc", holder)))).await
    }

    /// Every submission is to be sent again, and every look asked again, within the time that the log has.
    async fn assert_refused_in_time(&self, sealed: &[Sealed]) {
        let begun = Instant::now();
        let bytes = sealed.iter().map(|one| one.token.clone().into_bytes()).collect();
        let heard = publish_once(&mut self.department.client.clone(), bytes).await.expect("the stream goes through");
        assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
        for one in sealed {
            let answer = &heard.answers[one.id().as_slice()];
            let submission_answer::Kind::Retry(retry) = answer else { panic!("{answer:?}") };
            assert!(["log_unavailable", "registry_stale"].contains(&retry.reason.as_str()), "{retry:?}");
            assert!(retry.retry_after_ms > 0, "when to send again");
        }
        let begun = Instant::now();
        let status = self.look().await.expect_err("no look without a trace");
        assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        assert!(status.get_details_retry_info().and_then(|info| info.retry_delay).is_some(), "when to ask again");
    }

    /// Pushes the same submissions over and over, as fast as the hub takes them; says how many receipts there were
    /// and how much larger this process became, in KiB.
    async fn push(&self, sealed: &[Sealed]) -> (usize, u64) {
        let before = resident_kib();
        let stop = CancellationToken::new();
        let pushing = tokio::spawn(push(
            self.department.at(&self.hub).await,
            sealed.iter().map(|one| one.token.clone().into_bytes()).collect(),
            stop.clone(),
        ));
        let (end, mut most) = (Instant::now() + PUSHED_FOR, before);
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            most = most.max(resident_kib());
        }
        stop.cancel();
        let (taken, refused) = pushing.await.unwrap();
        println!("{taken} receipts and {refused} refusals, {} KiB more", most - before);
        (taken, most - before)
    }

    /// All of it is taken again without anybody's help, and what had a receipt is there.
    async fn assert_heals(&self, sealed: &[Sealed]) {
        let heard = self.department.publish(sealed).await;
        for one in sealed {
            assert_eq!(heard.outcome(one), OutcomeKind::Indexed);
        }
        let ids: Vec<_> = sealed.iter().chain([&self.known.1]).map(Sealed::id).collect();
        let outcomes = self.hub.stores.index.outcomes(&ids).await.unwrap();
        assert!(outcomes.iter().all(|row| row.outcome == "indexed") && outcomes.len() == ids.len());
        let holder = &self.known.0.holders[0].value;
        let answer = self.window.answered(&self.known.1.record_id, look(ITEM, Some(("uscc", holder)))).await;
        assert_eq!((answer.answering(), answer.version), (Answering::Satisfied, 1));
    }

    /// Exactly so many versions are in the index.
    async fn assert_indexed(&self, versions: u64) {
        eventually(PATIENCE, || async {
            let indexed = self.hub.status(false).await.indexed;
            if indexed == versions { Ok(()) } else { Err(format!("{indexed} of {versions}")) }
        })
        .await;
    }
}

/// Receipts and refusals, until told to stop.
async fn push(
    mut client: v1::publishing_client::PublishingClient<tonic::transport::Channel>,
    batch: Vec<Vec<u8>>,
    stop: CancellationToken,
) -> (usize, usize) {
    let (sender, requests) = mpsc::channel(1);
    let mut answers = client.publish(ReceiverStream::new(requests)).await.unwrap().into_inner();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let send_on = async {
            for number in 0.. {
                let submissions = batch.iter().map(|sealed| v1::Submission { sealed: sealed.clone() }).collect();
                let request = v1::PublishRequest { batch: number, submissions, watch: Vec::new() };
                if sender.send(request).await.is_err() {
                    return;
                }
            }
        };
        stopped.run_until_cancelled(send_on).await;
    });
    let (mut taken, mut refused) = (0, 0);
    while let Some(Ok(Some(response))) = stop.run_until_cancelled(answers.message()).await {
        let Some(Kind::Answer(batch)) = response.kind else { continue };
        for answer in batch.answers.into_iter().filter_map(|one| one.kind) {
            match answer {
                submission_answer::Kind::Retry(_) => refused += 1,
                submission_answer::Kind::Receipt(_) => taken += 1,
                submission_answer::Kind::Rejection(rejection) => panic!("{rejection:?}"),
            }
        }
    }
    (taken, refused)
}

/// What of this process lies in memory, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_hub_waits_out_a_log_that_stalls() {
    let _alone = ALONE.lock().await;
    let folder = Arc::new(scratch("hub"));
    let config = embedded(folder.path().into());
    begin(&config);
    let stores = open_stores(&config).await.unwrap();
    let stalled = Stalled::new(Arc::clone(&stores.log));
    let hall = Hall::open(TestHub::run(config, stalled.before(&stores), Some(folder)).await).await;

    // Slow is slow, and no more than that.
    stalled.set(Pace::Slow(Duration::from_millis(400)));
    let slow = hall.sealed(7001..7051);
    let heard = hall.department.publish(&slow).await;
    assert!(heard.receipts_took >= Duration::from_millis(400), "a receipt waits for the log");
    assert!(slow.iter().all(|one| heard.outcome(one) == OutcomeKind::Indexed));
    assert_eq!(hall.look().await.unwrap().answering(), Answering::Satisfied);

    // Pushed when nothing is wrong, so that this process is as large as that needs.
    let usual = hall.sealed(7600..8100);
    stalled.set(Pace::Healthy);
    let (taken, growth) = hall.push(&usual).await;
    println!("a healthy log: {taken} receipts, {growth} KiB");
    assert!(taken > 0);
    let all = hall.sealed(7100..7600);
    stalled.set(Pace::Dead(TIMEOUT));
    hall.assert_refused_in_time(&all[..20]).await;
    let (taken, growth) = hall.push(&all).await;
    assert_eq!(taken, 0, "nothing is acknowledged");
    assert!(growth < GROWTH, "{growth} KiB");

    stalled.set(Pace::Healthy);
    hall.assert_heals(&all).await;
    hall.assert_indexed(1 + 50 + 1000).await;
    let mut hub = hall.hub;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_hub_waits_out_a_broker_that_is_away() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let _alone = ALONE.lock().await;
    let mut broker = Broker::start().await;
    let folder = Arc::new(scratch("hub"));
    let mut config = served(folder.path().into(), "dead", &broker, postgres::shared().await).await;
    let Storage::Served { kafka, .. } = &mut config.storage else { panic!("a served configuration") };
    kafka.append_timeout_ms = u64::try_from(TIMEOUT.as_millis()).unwrap();
    begin(&config);
    let stores = open_stores(&config).await.unwrap();
    let hall = Hall::open(TestHub::run(config, stores, Some(folder)).await).await;

    // One that hangs, as a broker in trouble does, and one that is gone.
    let all = hall.sealed(7100..7600);
    for gone in [false, true] {
        if gone {
            broker.stop().await
        } else {
            broker.pause()
        }
        hall.assert_refused_in_time(&all[..20]).await;
        let (taken, growth) = hall.push(&all).await;
        assert_eq!(taken, 0, "nothing is acknowledged");
        assert!(growth < GROWTH, "{growth} KiB");
        if gone {
            broker.restart().await
        } else {
            broker.resume()
        }
        hall.assert_heals(if gone { &all } else { &all[..20] }).await;
    }
    hall.assert_indexed(1 + 500).await;
    let mut hub = hall.hub;
    hub.stop().await;
}
