//! A back-fill of one long file into the embedded hub: how fast, beside its parts measured alone in the same run, and what memory the
//! adapter's processes take. Asserts nothing about time.
//!
//! `tests/bench --backfill [--rows N]` builds and runs it in release; the file is written into the scratch folder first. The adapter
//! is a process of its own, the hub lives in this one: they share the processors with the parts' work, which the parts alone do not.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use weft_adapter::{
    Config, Surroundings,
    change::Step,
    mapping::{Mapped, Mapper},
    sealing::{Sealed, Sealer},
    source::{Item, Next, Source as _, file::FileSource},
    spool::{NewSubmission, Origin, Spool, Writes},
};
use weft_hub::{
    index::sqlite::FILE,
    log::{Draft, EntryId, Partition, SharedLog, Topic},
};
use weft_record::{
    catalogue::Catalogue,
    status::{Event, State, Status},
};
use weft_tests::{
    folder::scratch,
    hub::{TestHub, reopen},
    office::{OFFICE_TYPE, Office},
};

const ROWS: u32 = 1_000_000;
/// Rows of which each part is measured alone.
const PART: u32 = 20_000;
/// As the adapter's.
const TOGETHER: usize = 256;
const BATCH: u32 = 500;
const APPENDERS: usize = 4;
const FILE_NAME: &str = "all.csv";
const ISSUED: Step =
    Step { event: Event::Issue, state: State { status: Status::Valid, frozen: false, suspended: false } };

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != "--rows").skip(1);
    let rows = args.next().map_or(ROWS, |rows| rows.parse().expect("--rows takes a number"));
    let hub = TestHub::start().await;
    let office = Office::join(&hub, hub.folder.clone().expect("an embedded hub").path()).await;
    println!("{:<44} {:>11}", "what, alone", "per second");
    let mut slowest = parts(&hub, &office).await;
    let (rate, memory, hub) = back_fill(hub, &office, rows).await;
    let index = rebuild(hub, rows).await;
    row("index, from the log", index);
    slowest = slowest.min(index);
    row(&format!("back-fill of {rows} rows, file to outcome"), rate);
    println!("{:.2} of the slowest part", rate / slowest);
    println!("\nmemory of the adapter's processes (PSS), MiB\n{memory}");
}

fn row(what: &str, rate: f64) {
    println!("{what:<44} {rate:>11.0}");
}

fn per_second(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Each part alone; the rate of the slowest.
async fn parts(hub: &TestHub, office: &Office) -> f64 {
    let folder = scratch("parts");
    let config = office.config(hub.api, |_| {});
    let begun = Instant::now();
    let rows = read(&config, office, folder.path()).await;
    let mut rates = vec![("read and map", per_second(rows.len(), begun))];

    let sealer = sealer(office);
    let begun = Instant::now();
    let sealed: Vec<(String, Sealed)> = rows.iter().map(|row| seal(&sealer, row)).collect();
    rates.push(("seal", per_second(sealed.len(), begun)));

    let spool = Spool::open(&folder.path().join("spool.db"), &[7; 32], Surroundings::system().chance).await;
    let spool = spool.expect("a spool opens");
    let bytes = sealed[0].1.bytes.len();
    let begun = Instant::now();
    let count = sealed.len();
    through(&spool, &sealer, &rows, sealed).await;
    rates.push(("spool, from taken in to released", per_second(count, begun)));
    spool.close().await;
    // A log of its own: what is appended is nothing that an index could be made from.
    let mut other = TestHub::start().await;
    rates.push(("hub log", append(&other.stores.log, bytes).await));
    other.stop().await;
    for (what, rate) in &rates {
        row(what, *rate);
    }
    rates.into_iter().map(|(_, rate)| rate).fold(f64::INFINITY, f64::min)
}

/// Reads a file as the adapter does once it has come to rest.
async fn read(config: &Config, office: &Office, folder: &Path) -> Vec<Mapped> {
    office.drop_rows(FILE_NAME, 0..PART, 0);
    let own = folder.join("drop");
    fs::create_dir(&own).expect("a folder");
    fs::rename(office.dropped().join(FILE_NAME), own.join(FILE_NAME)).expect("the file moves");
    let mut file = config.sources[0].file.clone().expect("a file source");
    (file.folder, file.settle_ms) = (own, 0);
    let catalogue = Catalogue::builtin().expect("the catalogue");
    let mapper = Mapper::new(&config.sources[0].mapping, &catalogue).expect("the mapping fits");
    let mut source = FileSource::new("bench", file, &Surroundings::system());
    let unit = match source.next().await.expect("the folder is there") {
        Next::Unit(unit) => unit,
        other => panic!("no unit: {other:?}"),
    };
    let mut rows = source.rows(&unit, mapper.columns()).await.expect("the columns are there");
    let mut mapped = Vec::new();
    while let Some(item) = rows.next().await.expect("a row") {
        let Item::Row(row) = item else { panic!("no row: {item:?}") };
        mapped.push(mapper.map(&row).expect("it maps"));
    }
    mapped
}

fn sealer(office: &Office) -> Sealer {
    let keys = office.state().open().expect("the adapter's keys");
    let catalogue = Arc::new(Catalogue::builtin().expect("the catalogue"));
    let names = (keys.identity.department.as_str(), keys.identity.hub_name.as_str());
    let chance = Surroundings::system().chance;
    Sealer::new(names, keys.sealing, &keys.secret, catalogue, chance).expect("a sealer")
}

fn seal(sealer: &Sealer, row: &Mapped) -> (String, Sealed) {
    let record_id = sealer.record_id(OFFICE_TYPE, &row.natural_key).expect("an identifier");
    let of = sealer.record_type(OFFICE_TYPE).expect("the type");
    let now = weft_adapter::clock::Clock::now(&weft_adapter::clock::SystemClock).as_second();
    let sealed = sealer.seal(of, &row.draft, &record_id, 1, ISSUED, now).expect("it is sealed");
    (record_id, sealed)
}

/// The whole way of versions through a spool, as it is when nobody else uses it.
async fn through(spool: &Spool, sealer: &Sealer, rows: &[Mapped], mut sealed: Vec<(String, Sealed)>) {
    let mut rows = rows.iter();
    while !sealed.is_empty() {
        let mut writes = spool.begin().await.expect("writes begin");
        for (record_id, one) in sealed.drain(..TOGETHER.min(sealed.len())) {
            let row = rows.next().expect("a row for each");
            add(spool, &mut writes, sealer, row, record_id, one).await;
        }
        spool.commit(writes).await.expect("they are durable");
        loop {
            let batch = spool.next_batch(BATCH, u64::MAX, 1).await.expect("a batch");
            if batch.is_empty() {
                break;
            }
            let mut writes = spool.begin().await.expect("writes begin");
            for one in &batch {
                spool.receipted(&mut writes, &one.id, 2).await.expect("a receipt");
            }
            spool.commit(writes).await.expect("they are durable");
            let mut writes = spool.begin().await.expect("writes begin");
            for one in &batch {
                release(spool, &mut writes, &one.id).await;
            }
            spool.commit(writes).await.expect("they are durable");
        }
    }
}

async fn add(spool: &Spool, writes: &mut Writes, sealer: &Sealer, row: &Mapped, record_id: String, one: Sealed) {
    let known = spool.record(writes, &record_id).await.expect("the record is looked up");
    let mut record = known.unwrap_or_else(|| weft_adapter::spool::Record::new(&record_id, OFFICE_TYPE));
    let origin = Origin { source: "bench".into(), unit: [1; 32], file: FILE_NAME.into(), line: row.line };
    let substance = sealer.substance(&row.draft, Status::Valid);
    let new = NewSubmission {
        id: one.id,
        record_id,
        record_type: OFFICE_TYPE.into(),
        version: 1,
        state: ISSUED.state,
        substance,
        draft: row.draft.clone(),
        sealed: one.bytes,
        origin,
    };
    spool.add(writes, &new, 1).await.expect("it is added");
    record.tip.version = 1;
    spool.put_record(writes, &record).await.expect("the record is written");
}

async fn release(spool: &Spool, writes: &mut Writes, id: &[u8; 32]) {
    let ended = spool.submission(writes, id).await.expect("it is looked up").expect("it is there");
    spool.end(writes, id, "released", 3).await.expect("it ends");
    spool.close_problems(writes, &ended.record_id, &ended.origin.unit, 3).await.expect("its problems close");
    let mut record = spool.record(writes, &ended.record_id).await.expect("it is looked up").expect("it is there");
    record.head = record.tip.clone();
    spool.put_record(writes, &record).await.expect("the record is written");
}

/// The log alone, values of a record's size from as many tasks as batches are under way.
async fn append(log: &SharedLog, bytes: usize) -> f64 {
    let topic = Topic::Records("bench-append".into());
    log.ensure(&topic).await.expect("the topic is made");
    let value = bytes::Bytes::from(vec![b'x'; bytes]);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..APPENDERS {
        let (log, topic, value) = (Arc::clone(log), topic.clone(), value.clone());
        tasks.spawn(async move {
            for batch in 0..PART / BATCH / 4 {
                let drafts = (0..BATCH).map(|one| Draft {
                    partition: Partition { topic: topic.clone(), number: one % log.partitions(&topic) },
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
    per_second((PART / BATCH / 4 * BATCH) as usize * APPENDERS, begun)
}

/// Rows per second from the start of the adapter to the last outcome, and its memory on the way.
async fn back_fill(hub: TestHub, office: &Office, rows: u32) -> (f64, String, TestHub) {
    office.drop_rows(FILE_NAME, 0..rows, 0);
    let program = std::env::current_exe().expect("the path of this program").with_file_name("weft-test-adapter");
    let begun = Instant::now();
    let adapter = office.start(&program, hub.api);
    let (mut told, mut next, mut most) = (String::new(), 10, 0);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(adapter.status().is_none(), "the adapter ended: {}", adapter.last_words());
        let memory = tree_pss_bytes(adapter.id());
        most = most.max(memory);
        let indexed = hub.stores.index.counts().await.expect("the index counts").versions;
        while next <= 100 && indexed * 100 >= u64::from(rows) * next {
            if matches!(next, 10 | 50 | 100) {
                told.push_str(&format!("at {next:>3} % of the rows {:>8.1}\n", mib(memory)));
            }
            next += 10;
        }
        if indexed >= u64::from(rows) {
            break;
        }
    }
    let rate = per_second(rows as usize, begun);
    told.push_str(&format!("at most             {:>8.1}", mib(most)));
    adapter.kill9();
    (rate, told, hub)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What a process and its descendants take, pages shared with others in part.
fn tree_pss_bytes(root: u32) -> u64 {
    let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // The name in brackets may hold anything: the parent is the second word behind it.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    tree.into_iter().filter_map(pss_bytes).sum()
}

/// Nothing for a process that has ended meanwhile.
fn pss_bytes(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1_024)
}

/// Rows per second at which a hub without an index makes it anew from its log.
async fn rebuild(mut hub: TestHub, rows: u32) -> f64 {
    hub.stop().await;
    let (config, folder, data_dir) = (hub.config.clone(), hub.folder.clone(), hub.data_dir());
    drop(hub);
    let files: Vec<PathBuf> = ["", "-wal", "-shm"].map(|end| data_dir.join(format!("{FILE}{end}"))).into();
    for file in files.iter().filter(|file| file.exists()) {
        fs::remove_file(file).expect("the index is removed");
    }
    let stores = reopen(&config).await;
    let begun = Instant::now();
    let mut hub = TestHub::run(config, stores, folder).await;
    while hub.stores.index.counts().await.expect("the index counts").versions < u64::from(rows) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rate = per_second(rows as usize, begun);
    hub.stop().await;
    rate
}
