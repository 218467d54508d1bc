//! `kill -9` inside the polls of every kind of source but files of text (see `backfill.rs`), and a hub that is away while each goes
//! on: nothing is lost, nothing stands twice, every version has its number, and the status says how it is.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "adapter_kinds/desk.rs"]
#[allow(dead_code, reason = "each test file uses its own part of it")]
mod desk;
#[path = "adapter_kinds/kinds.rs"]
mod kinds;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{net::TcpListener, time::Instant};
use weft_adapter::life::At;
use weft_tests::{eventually, moments::Moments, process::Process, skipped_by_quick};

use desk::{Desk, MAX_WAITING, PATIENCE};
use kinds::{By, Kind, Push, Rest, Table, Workbooks};

/// Licences that the source changes or adds at a time: the first half of them it had as new the time before.
const BATCH: u32 = 300;
const NEW: u32 = BATCH / 2;
/// The same while the hub is away: more than may wait and what is taken in together, whatever a look brings at a time.
const AWAY: u32 = 620;
const ROUNDS: u32 = 2;
const QUICK_ROUNDS: u32 = 1;

const BY_TIME: &str = "watermark = { column = \"changed\", kind = \"timestamp\" }";
const BY_NUMBER: &str = "watermark = { column = \"n\", kind = \"number\" }";

fn licences(number: u32) -> Range<u32> {
    number * NEW..number * NEW + BATCH
}

/// How many versions each licence has when all this was said.
fn versions(said: impl Iterator<Item = Range<u32>>) -> BTreeMap<u32, i64> {
    let mut versions = BTreeMap::new();
    for licence in said.flatten() {
        *versions.entry(licence).or_default() += 1;
    }
    versions
}

/// The source says one batch while the adapter is killed, twice: when it may have begun with it, and not long after its next start.
/// Every second batch the first kill waits until some of it has arrived.
async fn round(desk: &Desk, kind: &dyn Kind, mut adapter: Process, number: u32, moments: &mut Moments) -> Process {
    let before = desk.count().await;
    let kills = async {
        if number.is_multiple_of(2) {
            desk.indexed(&adapter, before + 1).await;
        } else {
            tokio::time::sleep(moments.pause(600)).await;
        }
        desk.kill(&adapter).await;
        let met = desk.count().await;
        adapter = desk.adapter();
        tokio::time::sleep(moments.pause(1_200)).await;
        desk.kill(&adapter).await;
        eprintln!("batch {number}: killed with {met} and {} of {} indexed", desk.count().await, before + BATCH);
        adapter = desk.adapter();
    };
    tokio::join!(kind.say(licences(number), number), kills);
    desk.assert_whole(&adapter, &versions((0..=number).map(licences))).await;
    adapter
}

/// An address where every connection is closed at once, and how many there were.
async fn nobody() -> (std::net::SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    (address, count)
}

/// The hub goes away; the source goes on until the spool is full; the hub comes back and has all of it.
async fn without_hub(mut desk: Desk, kind: &dyn Kind, mut adapter: Process, number: u32) -> (Desk, Process) {
    desk.hub_away().await;
    let (address, knocks) = nobody().await;
    desk.api.send_replace(address);
    let (begun, many) = (Instant::now(), number * NEW..number * NEW + AWAY);
    let full = unsent_until_full(&desk, &mut adapter);
    tokio::join!(kind.say(many.clone(), number), full);
    // Two streams knock, each after a pause that doubles from a moment to half a minute.
    let (knocks, bound) = (knocks.load(Ordering::Relaxed), 40 + 4 * begun.elapsed().as_secs());
    assert!(knocks > 0 && u64::from(knocks) < bound, "{knocks} knocks within {:?}", begun.elapsed());
    eprintln!("{knocks} knocks at a closed door within {:?}", begun.elapsed());
    let desk = desk.hub_back().await;
    desk.assert_whole(&adapter, &versions((0..number).map(licences).chain([many]))).await;
    desk.told_later(|status| status.running && status.snapshot.backlog.iter().all(|one| one.unsent == 0)).await;
    (desk, adapter)
}

/// The spool has as much as may wait, and the status says why; so again after a kill.
async fn unsent_until_full(desk: &Desk, adapter: &mut Process) {
    for killed in [false, true] {
        let status = desk
            .told_later(|status| {
                let unsent: u64 = status.snapshot.backlog.iter().map(|one| one.unsent).sum();
                let waits = status.snapshot.sources[0].state == At::Waiting;
                status.running && waits && unsent >= MAX_WAITING && status.state == "unconnected"
            })
            .await;
        assert!(status.needs_person && status.en.contains("the hub is not connected"), "{status:?}");
        assert!(status.zh.contains("未连接枢纽"), "{status:?}");
        if !killed {
            desk.kill(adapter).await;
            *adapter = desk.adapter();
        }
    }
}

async fn survives(kind: impl Kind) {
    let rounds = if std::env::var_os("WEFT_QUICK").is_some() { QUICK_ROUNDS } else { ROUNDS };
    let mut moments = Moments::default();
    let desk = Desk::start(&kind).await;
    let begun = Instant::now();
    let mut adapter = desk.adapter();
    for number in 0..rounds {
        adapter = round(&desk, &kind, adapter, number, &mut moments).await;
    }
    let (mut desk, adapter) = without_hub(desk, &kind, adapter, rounds).await;
    eprintln!("{rounds} batches and one without a hub after {:?}", begun.elapsed());
    adapter.kill9();
    desk.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_sqlite() {
    survives(Table::new(By::Sqlite, BY_NUMBER)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_postgresql_by_watermark() {
    if skipped_by_quick("postgres") {
        return;
    }
    survives(Table::new(By::Postgres, BY_TIME)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_postgresql_by_snapshot() {
    if skipped_by_quick("postgres") {
        return;
    }
    survives(Table::new(By::Postgres, "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_behind_odbc() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    survives(Table::new(By::Odbc, BY_NUMBER)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_rest_service() {
    survives(Rest::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workbooks_in_a_folder() {
    survives(Workbooks::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_posted() {
    survives(Push::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_a_moment_before_a_kill_is_not_lost() {
    let push = Push::default();
    let desk = Desk::start(&push).await;
    let mut adapter = desk.adapter();
    let mut accepted = Vec::new();
    for licence in 0..5 {
        let id = eventually(PATIENCE, || async {
            match push.post(&[licence], 0).await? {
                (202, body) => Ok(body),
                (code, body) => Err(format!("{code} {body}")),
            }
        })
        .await;
        // The very moment after the answer.
        adapter.kill9();
        let id: serde_json::Value = serde_json::from_str(&id).unwrap();
        accepted.push(id["id"].as_str().unwrap().to_owned());
        adapter = desk.adapter();
    }
    desk.assert_whole(&adapter, &(0..5).map(|licence| (licence, 1)).collect()).await;
    for id in &accepted {
        push.done(id).await;
    }
    adapter.kill9();
    let mut desk = desk;
    desk.hub.stop().await;
}

/// The helpers that a process has started and that are still there.
fn helpers(parent: u32) -> Vec<Pid> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let children = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<i32> = children
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.into_iter().filter_map(Pid::from_raw).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_is_killed_is_started_again() {
    if skipped_by_quick("postgres and unixODBC") {
        return;
    }
    let kind = Table::new(By::Odbc, BY_NUMBER);
    let mut desk = Desk::start(&kind).await;
    let adapter = desk.adapter();
    let mut moments = Moments::default();
    for number in 0..4 {
        kind.say(licences(number), number).await;
        let helper = eventually(PATIENCE, || async { helpers(adapter.id()).first().copied().ok_or("no helper") }).await;
        tokio::time::sleep(moments.pause(150)).await;
        // It may have ended by itself meanwhile: then the next one is met.
        let _ = kill_process(helper, Signal::KILL);
        desk.assert_whole(&adapter, &versions((0..=number).map(licences))).await;
    }
    assert!(adapter.status().is_none(), "the adapter itself goes on");
    adapter.kill9();
    desk.hub.stop().await;
}
