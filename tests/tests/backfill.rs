//! A back-fill under `kill -9`: inside the file, while its rows are read again, while the hub is away; and a state folder that is lost
//! in the middle, recovered both ways. Nothing is lost, nothing stands twice, every version has the number that it had to have.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Config, Surroundings,
    ask::{Asked, ask},
    backup,
    spool::OrderKind,
    status::{Status, status},
};
use weft_record::record_id::RecordIdKey;
use weft_tests::{
    department::confirm,
    eventually,
    folder::scratch,
    hub::{TestHub, reopen},
    office::{OFFICE, OFFICE_TYPE, Office, here, licence_number},
    process::{Launch, Process},
    relay::Relay,
    skipped_by_quick,
};

/// `WEFT_BACKFILL_ROWS` takes another number.
const ROWS: u32 = 200_000;
const QUICK_ROWS: u32 = 2_000;
/// The kills are spread over so many parts of the file; in every second part the next adapter is killed soon after its start too.
const PARTS: u32 = 8;
const QUICK_PARTS: u32 = 2;
const KILLS: usize = 10;
/// How long the hub is away.
const AWAY: Duration = Duration::from_secs(5);
const QUICK_AWAY: Duration = Duration::from_secs(1);
/// How long a busy machine may take to go on after a kill, or to the end.
const PATIENCE: Duration = Duration::from_secs(300);
const FILE: &str = "all.csv";

/// The moments of the kills come from one seed, which is printed: `WEFT_SEED` repeats it.
#[derive(Debug)]
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var("WEFT_SEED").ok().map(|seed| seed.parse().expect("WEFT_SEED is a number"));
        let seed = given.unwrap_or_else(|| u64::from(u32::from_be_bytes(weft_hub::clock::random())));
        eprintln!("moments of the kills: WEFT_SEED={seed}");
        Self(seed)
    }

    /// A number below `end` (SplitMix64).
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((bits ^ (bits >> 31)) % u64::from(end)).unwrap()
    }

    fn pause(&mut self, longest_ms: u32) -> Duration {
        Duration::from_millis(self.below(longest_ms).into())
    }
}

/// An embedded hub that can go away, and a department whose adapter is a process that reaches it under one address.
struct Bench {
    hub: TestHub,
    office: Office,
    api: watch::Sender<SocketAddr>,
    relay: Relay,
    ids: RecordIdKey,
    change: fn(&mut Config),
}

impl Bench {
    async fn start(change: fn(&mut Config)) -> Self {
        let hub = TestHub::start().await;
        let office = Office::join(&hub, hub.folder.clone().unwrap().path()).await;
        let (api, behind) = watch::channel(hub.api);
        let relay = Relay::start(behind).await;
        let ids = RecordIdKey::new(OFFICE, &office.state().open().unwrap().secret).unwrap();
        Self { hub, office, api, relay, ids, change }
    }

    fn config(&self) -> Config {
        self.office.config(self.relay.address(), self.change)
    }

    fn adapter(&self) -> Process {
        let folder = self.office.dropped().parent().unwrap().to_owned();
        let file = folder.join("changed.toml");
        fs::write(&file, toml::to_string(&self.config()).unwrap()).unwrap();
        Launch::new("adapter", &folder, env!("CARGO_BIN_EXE_weft-test-adapter")).arg(file).start()
    }

    fn done(&self, file: &str) -> bool {
        self.office.dropped().join("done").join(file).exists()
    }

    /// The hub is gone; its stores lie there.
    async fn stop_hub(&mut self) {
        self.hub.stop().await;
    }

    async fn start_hub(self) -> Self {
        let Self { hub, office, api, relay, ids, change } = self;
        let (config, folder) = (hub.config.clone(), hub.folder.clone());
        drop(hub);
        let hub = TestHub::run(config.clone(), reopen(&config).await, folder).await;
        api.send_replace(hub.api);
        Self { hub, office, api, relay, ids, change }
    }

    /// Sealed versions without an outcome.
    async fn left(&self) -> u64 {
        let backlog = self.status().await.snapshot.backlog;
        backlog.iter().map(|one| one.unsent + one.awaiting).sum()
    }

    /// Waits until `status` says so.
    async fn told(&self, adapter: &Process, state: &str) {
        adapter
            .wait_until(PATIENCE, async || {
                let told = self.status().await;
                if told.state == state { Ok(()) } else { Err(format!("{told:?}")) }
            })
            .await;
    }

    /// Not at once where the adapter is just making its spool.
    async fn status(&self) -> Status {
        eventually(PATIENCE, || async { status(&self.config(), &Surroundings::system()).await }).await
    }

    /// A second adapter on the same state ends at once, with a code that says so.
    async fn assert_alone(&self) {
        eventually(PATIENCE, || async {
            if self.office.state().in_use().unwrap() { Ok(()) } else { Err("nobody has the state") }
        })
        .await;
        let second = self.adapter();
        assert!(!second.wait(PATIENCE).await.success(), "{}", second.last_words());
    }

    /// Waits until so many versions are indexed, while the adapter lives.
    async fn indexed(&self, adapter: &Process, wanted: u32) {
        let index = index(&self.hub);
        adapter
            .wait_until(PATIENCE, async || {
                let count = count(&index).await;
                if count >= wanted { Ok(()) } else { Err(format!("{count} of {wanted} versions are indexed")) }
            })
            .await;
    }

    /// Waits until nothing is under way any more, kills the adapter and looks at what is there: each of these records once in each of
    /// its versions and nothing else, and no version that met another under its number.
    async fn assert_whole(&self, adapter: Process, files: &[&str], versions: &[(Range<u32>, i64)]) {
        let all: u32 = versions.iter().map(|(licences, _)| licences.end - licences.start).sum();
        self.indexed(&adapter, all).await;
        adapter
            .wait_until(PATIENCE, async || {
                let left = files.iter().find(|file| !self.done(file));
                let (left, under_way) = (left.map(ToString::to_string), self.left().await);
                if left.is_none() && under_way == 0 { Ok(()) } else { Err(format!("{left:?}, {under_way} under way")) }
            })
            .await;
        adapter.kill9();
        assert_eq!(self.left().await, 0, "the spool is empty");
        eventually(PATIENCE, || async {
            let told = self.status().await;
            if told.state == "not-running" && told.needs_person { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
        let (found, outcomes) = found(&index(&self.hub)).await;
        let name = |licence| self.ids.name(OFFICE_TYPE, &[licence_number(licence)]).unwrap().to_string();
        let wanted: BTreeSet<(String, i64)> =
            versions.iter().flat_map(|(licences, version)| licences.clone().map(|one| (name(one), *version))).collect();
        assert_eq!(found.len(), wanted.len(), "nothing lost, nothing twice");
        let found: BTreeSet<(String, i64)> = found.into_iter().collect();
        assert_eq!(found.difference(&wanted).next(), None, "not in the files");
        assert_eq!(wanted.difference(&found).next(), None, "not in the index");
        eprintln!("outcomes: {outcomes:?}");
        assert_eq!(outcomes.get("indexed"), Some(&i64::from(all)));
        assert!(outcomes.keys().all(|outcome| matches!(outcome.as_str(), "indexed" | "duplicate")), "{outcomes:?}");
        assert!(self.hub.alarms().await.iter().all(|one| one.alarm != "conflict"), "no number has two contents");
    }
}

fn index(hub: &TestHub) -> PathBuf {
    hub.data_dir().join(weft_hub::index::sqlite::FILE)
}

async fn open(index: &Path) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(index).read_only(true);
    options.busy_timeout(Duration::from_secs(30)).connect().await.unwrap()
}

async fn count(index: &Path) -> u32 {
    let mut connection = open(index).await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM versions").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    u32::try_from(count).unwrap()
}

/// Every version by record and number, and how many submissions had which outcome.
async fn found(index: &Path) -> (Vec<(String, i64)>, BTreeMap<String, i64>) {
    let mut connection = open(index).await;
    let versions = sqlx::query_as("SELECT record_id, version FROM versions").fetch_all(&mut connection).await.unwrap();
    let outcomes: Vec<(String, i64)> = sqlx::query_as("SELECT outcome, count(*) FROM outcomes GROUP BY outcome")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    (versions, outcomes.into_iter().collect())
}

/// The kills of a back-fill.
#[derive(Debug, Default)]
struct Kills {
    all: usize,
    /// The file was not read to its end.
    in_file: usize,
    /// Sealed versions had no outcome yet.
    in_flight: usize,
}

impl Kills {
    /// SIGKILL; then what it left under way is counted.
    async fn kill(&mut self, bench: &Bench, adapter: &Process) {
        adapter.kill9();
        // It had no last word: what it wrote before still counts as new for a while.
        assert!(bench.status().await.snapshot.ended.is_none());
        let (in_file, in_flight) = (!bench.done(FILE), bench.left().await > 0);
        self.all += 1;
        self.in_file += usize::from(in_file);
        self.in_flight += usize::from(in_flight);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_back_fill_survives_kills() {
    let wished = std::env::var("WEFT_BACKFILL_ROWS").ok().map(|rows| rows.parse().expect("a number of rows"));
    let quick = skipped_by_quick("time for all rows");
    let (all, parts, away) = if quick { (QUICK_ROWS, QUICK_PARTS, QUICK_AWAY) } else { (ROWS, PARTS, AWAY) };
    let rows = wished.unwrap_or(all);
    let (mut bench, mut moments, mut kills) = (Bench::start(|_| {}).await, Moments::new(), Kills::default());
    bench.office.drop_rows(FILE, 0..rows, 0);
    let begun = Instant::now();
    let mut adapter = bench.adapter();
    if rows >= ROWS {
        bench.told(&adapter, "back-filling").await;
    }
    for part in 0..parts {
        let slice = rows / parts;
        bench.indexed(&adapter, part * slice + 1 + moments.below(slice)).await;
        tokio::time::sleep(moments.pause(200)).await;
        kills.kill(&bench, &adapter).await;
        eprintln!("{:?}: killed with {} of {rows} indexed", begun.elapsed(), count(&index(&bench.hub)).await);
        adapter = bench.adapter();
        if part % 2 == 1 {
            tokio::time::sleep(moments.pause(2_000)).await;
            kills.kill(&bench, &adapter).await;
            adapter = bench.adapter();
        }
        if part == parts / 2 {
            bench.stop_hub().await;
            // Killed once more while it has nobody to send to.
            tokio::time::sleep(away / 2).await;
            kills.kill(&bench, &adapter).await;
            adapter = bench.adapter();
            bench.told(&adapter, "unconnected").await;
            bench.assert_alone().await;
            tokio::time::sleep(away / 2).await;
            bench = bench.start_hub().await;
        }
    }
    bench.assert_whole(adapter, &[FILE], &[(0..rows, 1)]).await;
    eprintln!("{rows} rows after {:?} and {kills:?}", begun.elapsed());
    let (in_flight, in_file) = if rows >= ROWS { (KILLS, PARTS as usize / 2) } else { (1, 0) };
    assert!(kills.in_flight >= in_flight, "too few kills met versions in flight: {kills:?}");
    assert!(kills.in_file >= in_file, "too few kills met the file half read: {kills:?}");
    bench.stop_hub().await;
}

const FEW: u32 = 2_000;
const AGAIN: &str = "again.csv";
const UNSENT: &str = "unsent.csv";
const PASSPHRASE: &str = "an easy passphrase";

/// Little waits in the spool, so that the file is under way for as long as its versions are.
fn narrow(config: &mut Config) {
    config.limits.max_waiting = 100;
}

/// In the middle of the file the adapter is killed and its folder is gone.
async fn lose(bench: &Bench, adapter: &Process, indexed: u32) {
    bench.indexed(adapter, indexed).await;
    adapter.kill9();
    assert!(!bench.done(FILE), "in the middle of the file");
    fs::remove_dir_all(bench.office.state().path()).unwrap();
    eprintln!("lost with {} of {FEW} indexed", count(&index(&bench.hub)).await);
}

/// The file to its end, then one that changes some of the same licences: they get their second version.
async fn go_on(mut bench: Bench) {
    let adapter = bench.adapter();
    bench.indexed(&adapter, FEW).await;
    eventually(PATIENCE, || async { if bench.done(FILE) { Ok(()) } else { Err("the file is not done") } }).await;
    bench.office.drop_rows(AGAIN, 500..600, 1);
    bench.assert_whole(adapter, &[FILE, AGAIN], &[(0..FEW, 1), (500..600, 2)]).await;
    bench.stop_hub().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wiped_folder_is_recovered_both_ways() {
    from_its_backup().await;
    from_the_hubs_heads().await;
}

async fn backed_up(bench: &Bench, folder: &Path) -> PathBuf {
    let file = folder.join("adapter.backup");
    backup::backup(&bench.config(), &file, PASSPHRASE, &Surroundings::system()).await.unwrap();
    file
}

async fn from_its_backup() {
    let bench = Bench::start(narrow).await;
    bench.office.drop_rows(FILE, 0..FEW, 0);
    let adapter = bench.adapter();
    bench.indexed(&adapter, 200).await;
    let folder = scratch("backup");
    let file = backed_up(&bench, folder.path()).await;
    let then = count(&index(&bench.hub)).await;
    lose(&bench, &adapter, then + 300).await;
    backup::restore(&bench.config(), &file, PASSPHRASE, &Surroundings::system()).await.unwrap();
    go_on(bench).await;
}

/// Joins anew into the empty folder, as the same adapter.
async fn join_anew(bench: &Bench) {
    let token = bench.hub.join_token(&format!("department/{OFFICE}/adapter/counter")).await;
    let (token, surroundings) = (here(&token, bench.hub.enrolment), Surroundings::system());
    let joined = weft_adapter::join(&token, &bench.office.state(), &surroundings).await.unwrap();
    confirm(&bench.hub, OFFICE, &joined.fingerprint).await.unwrap();
}

async fn from_the_hubs_heads() {
    let bench = Bench::start(narrow).await;
    bench.office.drop_rows(FILE, 0..FEW, 0);
    let adapter = bench.adapter();
    lose(&bench, &adapter, 500).await;
    join_anew(&bench).await;
    go_on(bench).await;
}

/// A file is done with when its rows are in the spool: some of them were in the lost folder alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_read_to_its_end_and_never_sent_is_asked_for_and_read_again() {
    for restored in [true, false] {
        let mut bench = Bench::start(|_| {}).await;
        bench.office.drop_rows(FILE, 0..FEW, 0);
        let adapter = bench.adapter();
        bench.indexed(&adapter, FEW).await;
        let folder = scratch("backup");
        let file = backed_up(&bench, folder.path()).await;
        bench.stop_hub().await;
        bench.office.drop_rows(UNSENT, FEW..FEW + 300, 0);
        eventually(PATIENCE, || async { if bench.done(UNSENT) { Ok(()) } else { Err("the file is not done") } }).await;
        adapter.kill9();
        assert!(bench.left().await > 0, "some of it was sent to nobody");
        fs::remove_dir_all(bench.office.state().path()).unwrap();
        bench = bench.start_hub().await;
        if restored {
            backup::restore(&bench.config(), &file, PASSPHRASE, &Surroundings::system()).await.unwrap();
        } else {
            join_anew(&bench).await;
        }
        let adapter = bench.adapter();
        bench.told(&adapter, "failing").await;
        let told = bench.status().await;
        assert!(told.needs_person && told.en.contains("weft adapter resync --since "), "{told:?}");
        let since = told.en.rsplit_once(' ').unwrap().1.parse::<jiff::Timestamp>().unwrap();
        // As the person does who was told.
        let since_ms = Some(since.as_millisecond());
        let asked = Asked { kind: OrderKind::Resync, source: String::new(), since_ms, repair: false };
        let asking = ask(bench.config(), asked, Surroundings::system(), CancellationToken::new());
        assert!(tokio::time::timeout(PATIENCE, asking).await.expect("it is carried out").unwrap().done);
        bench.indexed(&adapter, FEW + 300).await;
        bench.told(&adapter, "healthy").await;
        bench.office.drop_rows(AGAIN, 500..600, 1);
        bench.assert_whole(adapter, &[FILE, UNSENT, AGAIN], &[(0..FEW + 300, 1), (500..600, 2)]).await;
        bench.stop_hub().await;
    }
}
