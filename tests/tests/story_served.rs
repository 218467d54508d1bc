//! Two hub instances as processes on Kafka and PostgreSQL: they publish, index and answer at once, while one of them is
//! killed, or stands still for longer than its leases, and comes back.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;
use weft_hub::config::Storage;
use weft_tests::{
    eventually, history,
    hub::TestHub,
    instance::Instance,
    judge::{Tally, judge},
    load::{Load, Plan, Shared},
    scene::Scene,
    skipped_by_quick,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long 20,000 records may take on a busy machine before the test gives up.
const ALL: Duration = Duration::from_secs(400);
/// While one instance is away, the other answers looks without a longer pause than this.
const SILENCE: Duration = Duration::from_secs(5);

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weft-test-hub"))
}

/// Two instances, each with a department's client and a window of its own.
struct Pair {
    scene: Scene,
    shared: Arc<Shared>,
    hubs: [Instance; 2],
    loads: [Load; 2],
}

impl Pair {
    async fn start(name: &str, plans: [Plan; 2]) -> Self {
        let scene = Scene::served(name).await;
        let shared = Shared::new(&scene.folder.path().join("history.jsonl"));
        let hubs = [
            Instance::start(program(), &scene.config, None).await,
            Instance::start(program(), &scene.another("hub-2"), None).await,
        ];
        let load =
            |at: usize| Load::start(&shared, &plans[at], &scene.department, &scene.window, &scene.ca, hubs[at].api());
        let loads = [load(0), load(1)];
        Self { scene, shared, hubs, loads }
    }
}

/// Stops both, lets a hub of this process find what is there, and judges.
async fn judged(scene: &Scene, shared: &Shared, hubs: &[Instance]) -> Tally {
    hubs.iter().for_each(Instance::kill9);
    let history = history::read(&scene.folder.path().join("history.jsonl")).expect("the history");
    let verdict = judge(&history, &scene.found().await);
    eprintln!("{verdict}");
    verdict.assert_clean();
    assert_eq!(shared.complaints(), [""; 0]);
    assert_eq!(verdict.tally.submissions, verdict.tally.index_rows, "every submission is indexed, once");
    verdict.tally
}

/// The instances that have leases on partitions of records.
async fn owners(scene: &Scene) -> Result<BTreeSet<String>, String> {
    let Storage::Served { postgres, .. } = &scene.config.storage else { panic!("a served scene") };
    let url = std::fs::read_to_string(&postgres.url_file).map_err(|error| error.to_string())?;
    let options: sqlx::postgres::PgConnectOptions =
        url.trim().parse().map_err(|error: sqlx::Error| error.to_string())?;
    let options = options.options([("search_path", postgres.schema.as_str())]);
    let mut connection = options.connect().await.map_err(|error| error.to_string())?;
    let query = "SELECT DISTINCT lease_owner FROM positions WHERE lease_owner IS NOT NULL AND next_offset > 0";
    let rows: Vec<(String,)> = sqlx::query_as(query).fetch_all(&mut connection).await.map_err(|e| e.to_string())?;
    connection.close().await.map_err(|error| error.to_string())?;
    Ok(rows.into_iter().map(|(owner,)| owner).collect())
}

/// Digest of the index as two instances of this process see it, each by its own connections.
async fn digests(scene: &Scene) -> [String; 2] {
    let stores = weft_tests::hub::reopen(&scene.config).await;
    let mut first = TestHub::run(scene.config.clone(), stores, Some(Arc::clone(&scene.folder))).await;
    let mut second = first.another("hub-2").await;
    drop(second.operator("wang").await);
    let digests = [first.status(true).await.index_digest, second.status(true).await.index_digest];
    first.stop().await;
    second.stop().await;
    digests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_thousand_records_flow_through_two_instances_that_are_killed_in_the_middle() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    const HALF: u32 = 10_000;
    let plan = |records| Plan { records, versions: 1, per_second: None, batch: 100, lookers: 2 };
    let Pair { scene, shared, mut hubs, loads } = Pair::start("story", [plan(0..HALF), plan(HALF..2 * HALF)]).await;
    let begun = Instant::now();
    for away in [0, 1] {
        let there = 1 - away;
        let enough = u64::from(HALF) * (1 + away as u64) / 3;
        loads[away].until("a third more", ALL, |seen| seen.receipts >= enough).await;
        hubs[away].kill9();
        let killed = Instant::now();
        let (epoch, meanwhile) = (loads[away].new_epoch(), loads[there].new_epoch());
        // The other answers, and takes submissions, while this one is away.
        let answers = loads[there].seen().answers;
        loads[there]
            .until("answered by the other", PATIENCE, |seen| {
                seen.answers >= answers + 10 && seen.answer_epoch >= meanwhile && seen.receipt_epoch >= meanwhile
            })
            .await;
        hubs[away].restart().await;
        loads[away].until("back", PATIENCE, |seen| seen.receipt_epoch.min(seen.answer_epoch) >= epoch).await;
        let silence = loads[there].seen().longest_silence;
        eprintln!("hub-{} killed at {enough} receipts, back after {:?}", away + 1, killed.elapsed());
        eprintln!("meanwhile the other answered at least every {silence:?}");
        assert!(silence <= SILENCE, "looks were not answered throughout");
    }
    let [first, second] = loads;
    tokio::join!(first.complete(ALL), second.complete(ALL));
    eprintln!("20000 records after {:?}", begun.elapsed());
    let tally = judged(&scene, &shared, &hubs).await;
    assert_eq!(tally.index_rows, 2 * HALF as usize);
    assert!(tally.looks_answered > 100, "too few looks were answered");
    let [one, other] = digests(&scene).await;
    assert!(!one.is_empty() && one == other, "both instances see one index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_that_stood_still_longer_than_its_leases_is_fenced() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let plan = |records| Plan { records, versions: u64::MAX, per_second: Some(60), batch: 4, lookers: 1 };
    let Pair { scene, shared, hubs, loads } = Pair::start("zombie", [plan(0..200), plan(1000..1200)]).await;
    for load in &loads {
        load.back(0, PATIENCE).await;
        load.until("the load is flowing", PATIENCE, |seen| seen.indexed > 100 && seen.answers > 10).await;
    }
    // Who has leases now: the one of them is stopped, so that there is something to take over.
    let holders = owners(&scene).await.expect("the leases");
    let asleep = usize::from(!holders.contains("hub-1"));
    let awake = 1 - asleep;
    loads[asleep].until("something is under way", PATIENCE, |seen| seen.in_flight > 0).await;
    hubs[asleep].process().pause();
    let paused = Instant::now();
    let name = format!("hub-{}", asleep + 1);
    eventually(PATIENCE, || async {
        let holders = owners(&scene).await?;
        if holders.contains(&name) { Err(format!("{name} still has leases")) } else { Ok(()) }
    })
    .await;
    eprintln!("{name} stands still; its partitions are taken over after {:?}", paused.elapsed());
    // The other publishes, indexes and answers all of it alone; the sleeper is woken well after its leases have ended.
    let epoch = loads[awake].new_epoch();
    loads[awake].back(epoch, PATIENCE).await;
    tokio::time::sleep_until(paused + Duration::from_secs(15)).await;
    let epoch = loads[asleep].new_epoch();
    hubs[asleep].process().resume();
    let woken = Instant::now();
    loads[asleep].back(epoch, PATIENCE).await;
    eprintln!("{name} is of use again {:?} after it was woken", woken.elapsed());
    let [first, second] = loads;
    tokio::join!(first.finish(), second.finish());
    judged(&scene, &shared, &hubs).await;
}
