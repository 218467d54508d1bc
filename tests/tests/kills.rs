//! `kill -9` of the hub, and of an adapter beside it, at random moments under load. A client-side history is judged against what is found afterwards.
//! The judge is tested too: two builds that promise too early are caught by the same rounds.

use std::{collections::BTreeMap, path::Path, time::Duration};

use tokio::time::Instant;
use weft_tests::{
    found::versions_per_record,
    history,
    instance::Instance,
    judge::{Finding, Verdict, judge},
    load::{Load, Plan, Shared},
    office::OFFICE,
    relay::Relay,
    scene::Scene,
    skipped_by_quick,
};

/// The hub has to publish, index and answer again so soon after a kill, by itself.
const BACK: Duration = Duration::from_secs(10);
/// What a round may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 10;
const QUICK_ROUNDS: usize = 2;

/// The moments of the kills come from one seed, which a failing run prints: `WEFT_SEED` repeats it.
#[derive(Debug)]
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("WEFT_SEED").ok().map(|seed| seed.parse().expect("WEFT_SEED is a number"));
        let seed = given.unwrap_or_else(|| u64::from(u32::from_be_bytes(weft_hub::clock::random())));
        eprintln!("moments of the kills: WEFT_SEED={seed}");
        Self(seed)
    }

    /// 50 to 1500 ms (SplitMix64).
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis(50 + (bits ^ (bits >> 31)) % 1451)
    }
}

/// What the rounds have shown.
#[derive(Debug)]
struct Shown {
    verdict: Verdict,
    /// Kills while submissions were sent and unanswered.
    in_flight: usize,
    /// From each kill until published, indexed and answered again.
    recoveries: Vec<Duration>,
    complaints: Vec<String>,
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weft-test-hub"))
}

/// About 200 submissions a second, ten at a time, over 300 records, and three windows.
fn plan() -> Plan {
    Plan { records: 0..300, versions: u64::MAX, per_second: Some(200), batch: 10, lookers: 3 }
}

/// Kills the hub in every round, and the adapter in every second one, a moment before it.
async fn rounds(scene: &Scene, rounds: usize, broken: Option<&str>) -> Shown {
    let path = scene.folder.path().join("history.jsonl");
    let shared = Shared::new(&path);
    let mut hub = Instance::start(program(), &scene.config, broken).await;
    let relay = Relay::start(hub.api()).await;
    let start_adapter = || scene.office.start(Path::new(env!("CARGO_BIN_EXE_weft-test-adapter")), relay.address());
    let (mut adapter, exports) = (start_adapter(), scene.office.export());
    let load = Load::start(&shared, &plan(), &scene.department, &scene.window, &scene.ca, hub.api());
    load.back(0, PATIENCE).await;
    load.until("the load is flowing", PATIENCE, |seen| seen.answers > 50).await;
    let (mut moments, mut in_flight, mut recoveries) = (Moments::new(), 0, Vec::new());
    for round in 0..rounds {
        tokio::time::sleep(moments.next()).await;
        if round % 2 == 1 {
            adapter.kill9();
            tokio::time::sleep(moments.next() / 10).await;
        }
        // Three quarters of the kills have to meet work under way; a moment's wait for it keeps them random.
        load.until("something is under way", PATIENCE, |seen| seen.in_flight > 0).await;
        in_flight += usize::from(load.seen().in_flight > 0);
        hub.kill9();
        let killed = Instant::now();
        let epoch = load.new_epoch();
        hub.restart().await;
        if round % 2 == 1 {
            adapter = start_adapter();
        }
        load.back(epoch, PATIENCE).await;
        recoveries.push(killed.elapsed());
    }
    let exported = exports.stop().await;
    match broken {
        None => {
            load.finish().await;
            adapter.wait_until(2 * PATIENCE, async || exported_is_indexed(scene, &exported).await).await;
        }
        Some(_) => load.cut().await,
    }
    adapter.kill9();
    hub.kill9();
    let verdict = judge(&history::read(&path).expect("the history"), &scene.found().await);
    // What the adapter sent is judged by what was exported.
    if broken.is_none() {
        exported_is_indexed(scene, &exported).await.expect("what was exported is indexed, once");
    }
    eprintln!("the adapter's records, by their number of versions: {exported:?}");
    Shown { verdict, in_flight, recoveries, complaints: shared.complaints() }
}

/// Whether every row of every export has become a version, and none twice.
async fn exported_is_indexed(scene: &Scene, exported: &BTreeMap<usize, usize>) -> Result<(), String> {
    let indexed = versions_per_record(&scene.config, OFFICE).await;
    if indexed == *exported { Ok(()) } else { Err(format!("exported {exported:?}, indexed {indexed:?}")) }
}

fn hold(shown: &Shown) {
    let slowest = shown.recoveries.iter().max().expect("rounds");
    eprintln!("{} kills, {} with work in flight", shown.recoveries.len(), shown.in_flight);
    eprintln!("back after {:?}, the slowest {slowest:?}", shown.recoveries);
    eprintln!("{}", shown.verdict);
    shown.verdict.assert_clean();
    assert_eq!(shown.complaints, [""; 0]);
    assert!(shown.in_flight * 4 >= shown.recoveries.len() * 3, "too few kills met work in flight");
    assert!(*slowest <= BACK, "the hub was away too long");
    let tally = &shown.verdict.tally;
    assert!(tally.receipts > 100 && tally.looks_answered > 50, "too little was judged");
    assert_eq!(tally.submissions, tally.index_rows, "every submission is indexed, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_promised_is_lost_by_kills_on_the_embedded_pair() {
    let rounds_now = if skipped_by_quick("time for all rounds") { QUICK_ROUNDS } else { ROUNDS };
    let scene = Scene::embedded().await;
    hold(&rounds(&scene, rounds_now, None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_promised_is_lost_by_kills_on_the_served_pair() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let scene = Scene::served("kills").await;
    hold(&rounds(&scene, ROUNDS, None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hub_that_gives_receipts_before_it_appends_is_caught() {
    let scene = Scene::embedded().await;
    let shown = rounds(&scene, 3, Some("receipt-before-append")).await;
    let lost = shown.verdict.findings.iter().filter(|finding| matches!(finding, Finding::Lost { .. })).count();
    eprintln!("receipt before append: {lost} lost of {:?}", shown.verdict.tally);
    assert!(lost > 0, "{}", shown.verdict);
    let others = |finding: &&Finding| !matches!(finding, Finding::Lost { .. } | Finding::NotInLog { .. });
    assert_eq!(shown.verdict.findings.iter().find(others), None, "nothing else is wrong with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hub_that_answers_before_its_ledger_entry_is_caught() {
    let scene = Scene::embedded().await;
    let shown = rounds(&scene, 3, Some("answer-before-ledger")).await;
    let untraced = shown.verdict.findings.iter().filter(|finding| matches!(finding, Finding::Untraced { .. })).count();
    eprintln!("answer before ledger: {untraced} untraced of {:?}", shown.verdict.tally);
    assert!(untraced > 0, "{}", shown.verdict);
    let others = |finding: &&Finding| !matches!(finding, Finding::Untraced { .. });
    assert_eq!(shown.verdict.findings.iter().find(others), None, "nothing else is wrong with it");
}
