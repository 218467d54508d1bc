//! Reads what the judge judges: the rows of the index by SQL, the entries of the log by the log.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use weft_hub::{
    config::{Config, Storage},
    hub::Stores,
    index::FIXED_TOPICS,
    log::{Entry, Partition, ReadLimit, Topic},
};

use crate::{
    eventually,
    hub::{TestHub, reopen},
    judge::{Found, IndexRow, LedgerEntry, LogEntry},
    office::OFFICE_TYPE,
};

/// How long a hub may take to follow the log to its end; longer than a lease that a dead instance left.
const CATCH_UP: Duration = Duration::from_secs(60);

/// The tables that the judge needs, each row as it stands.
#[derive(Debug, Default)]
struct Tables {
    /// record_id, version, submission_id, content_digest
    versions: Vec<(String, i64, Vec<u8>, Vec<u8>)>,
    /// entry_id, window_name, request_id
    ledger: Vec<(Vec<u8>, String, String)>,
    /// entry_id, submission_id
    appends: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// submission_id, outcome
    outcomes: Vec<(Vec<u8>, String)>,
}

/// A hub of this process follows the log of `config` to its end; then what it holds of
/// `record_type`, and the ledger, is read.
///
/// # Panics
/// When it does not get there, or something cannot be read.
pub async fn found(config: &Config, record_type: &str) -> Found {
    let stores = reopen(config).await;
    let mut hub = TestHub::run(config.clone(), stores.clone(), None).await;
    let mut topics = FIXED_TOPICS.to_vec();
    topics.extend([record_type, OFFICE_TYPE].map(|one| Topic::Records(one.into())));
    eventually(CATCH_UP, || followed(&stores, &topics)).await;
    hub.stop().await;
    let records = read_topic(&stores, &Topic::Records(record_type.into())).await;
    let looks = read_topic(&stores, &Topic::Ledger).await;
    let tables = read_index(config).await;
    drop(hub);
    assemble(tables, record_type, &records, &looks)
}

/// How many versions of how many records of a department are indexed: versions → records.
///
/// # Panics
/// When the index cannot be read.
pub async fn versions_per_record(config: &Config, department: &str) -> BTreeMap<usize, usize> {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for (record_id, ..) in read_index(config).await.versions {
        if record_id.split('.').nth(1) == Some(department) {
            *versions.entry(record_id).or_default() += 1;
        }
    }
    let mut records = BTreeMap::new();
    for count in versions.into_values() {
        *records.entry(count).or_default() += 1;
    }
    records
}

async fn read_index(config: &Config) -> Tables {
    match &config.storage {
        Storage::Embedded { data_dir } => {
            let file = data_dir.join(weft_hub::index::sqlite::FILE);
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
            read_sqlite(options.connect().await.expect("the index opens")).await
        }
        Storage::Served { postgres, .. } => {
            let url = std::fs::read_to_string(&postgres.url_file).expect("the URL of the index");
            let options: sqlx::postgres::PgConnectOptions = url.trim().parse().expect("a URL");
            let options = options.options([("search_path", postgres.schema.as_str())]);
            read_postgres(options.connect().await.expect("the index is there")).await
        }
    }
}

/// Whether the index has every entry of these topics, and stands by it.
async fn followed(stores: &Stores, topics: &[Topic]) -> Result<(), String> {
    for topic in topics {
        let count = stores.log.partitions(topic);
        if count == 0 {
            return Err(format!("{topic} is not there yet"));
        }
        for number in 0..count {
            let partition = Partition { topic: topic.clone(), number };
            let end = stores.log.end(&partition).await.map_err(|error| error.to_string())?;
            let row = stores.index.position(&partition).await.map_err(|error| error.to_string())?;
            let (next, current) = row.map_or((0, true), |row| (row.next, row.current));
            if next < end || !current {
                return Err(format!("{partition}: {next} of {end}, current: {current}"));
            }
        }
    }
    Ok(())
}

async fn read_topic(stores: &Stores, topic: &Topic) -> Vec<Entry> {
    let mut all = Vec::new();
    for number in 0..stores.log.partitions(topic) {
        let partition = Partition { topic: topic.clone(), number };
        let end = stores.log.end(&partition).await.expect("the log's end");
        let mut next = 0;
        while next < end {
            let wait = Duration::from_secs(10);
            let entries = stores.log.read(&partition, next, ReadLimit::default(), wait).await.expect("the log");
            next = entries.last().expect("entries up to the end").offset + 1;
            all.extend(entries);
        }
    }
    all
}

/// The same statements on both engines.
macro_rules! read_tables {
    ($connection:expr) => {{
        let mut connection = $connection;
        let tables = Tables {
            versions: sqlx::query_as("SELECT record_id, version, submission_id, content_digest FROM versions")
                .fetch_all(&mut connection)
                .await
                .expect("versions"),
            ledger: sqlx::query_as("SELECT entry_id, window_name, request_id FROM ledger")
                .fetch_all(&mut connection)
                .await
                .expect("ledger"),
            appends: sqlx::query_as("SELECT entry_id, submission_id FROM appends")
                .fetch_all(&mut connection)
                .await
                .expect("appends"),
            outcomes: sqlx::query_as("SELECT submission_id, outcome FROM outcomes")
                .fetch_all(&mut connection)
                .await
                .expect("outcomes"),
        };
        connection.close().await.expect("close a connection");
        tables
    }};
}

async fn read_sqlite(connection: SqliteConnection) -> Tables {
    read_tables!(connection)
}

async fn read_postgres(connection: PgConnection) -> Tables {
    read_tables!(connection)
}

/// An entry of the log is known by its id; a look counts only when it stands both in the log and in the index.
fn assemble(tables: Tables, record_type: &str, records: &[Entry], looks: &[Entry]) -> Found {
    let number = |version: i64| u64::try_from(version).expect("a version");
    let of_type = |record_id: &str| record_id.split('.').next() == Some(record_type);
    let versions = tables.versions.into_iter().filter(|(record_id, ..)| of_type(record_id));
    let index = versions.map(|(record_id, version, submission_id, digest)| IndexRow {
        record_id,
        version: number(version),
        submission_id: hex::encode(submission_id),
        digest: hex::encode(digest),
    });
    let logged: HashSet<&str> = looks.iter().filter_map(|entry| entry.key.as_deref()).collect();
    let ledger = tables.ledger.into_iter().map(|(entry_id, window, request_id)| LedgerEntry {
        window,
        request_id,
        entry_id: hex::encode(entry_id),
    });
    let submissions: HashMap<String, String> = tables
        .appends
        .into_iter()
        .filter_map(|(entry_id, submission)| Some((hex::encode(entry_id), hex::encode(submission?))))
        .collect();
    let log = records.iter().map(|entry| {
        let entry_id = entry.entry_id.map_or_else(|| format!("none at {}", entry.offset), |id| id.to_string());
        let mut key = entry.key.as_deref().unwrap_or_default().split('@');
        LogEntry {
            submission_id: submissions.get(&entry_id).cloned().unwrap_or_else(|| format!("unknown: {entry_id}")),
            record_id: key.next().unwrap_or_default().into(),
            version: key.next().and_then(|version| version.parse().ok()).unwrap_or(0),
            entry_id,
        }
    });
    let outcomes: BTreeMap<_, _> =
        tables.outcomes.into_iter().map(|(submission, outcome)| (hex::encode(submission), outcome)).collect();
    Found {
        index: index.collect(),
        ledger: ledger.filter(|look| logged.contains(look.entry_id.as_str())).collect(),
        log: log.collect(),
        outcomes,
    }
}
