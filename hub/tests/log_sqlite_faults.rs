//! The embedded log under crashes and failing disks: what it answered holds, whatever came in between.
//!
//! The appender is a process of its own, this test program started anew; it writes down what it was answered, and it is
//! killed, or strace(1) lets its system calls fail.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use weft_hub::log::{
    AppendError, Draft, EntryId, Log, Partition, ReadLimit, Topic,
    sqlite::{Options, SqliteLog},
};

const FOLDER: &str = "WEFT_LOG_CHILD_FOLDER";
/// After how many acknowledged entries of one task the appender ends by itself; absent, never.
const ENOUGH: &str = "WEFT_LOG_CHILD_ENOUGH";
const TOPICS: [Topic; 2] = [Topic::Quarantine, Topic::Ledger];

/// What the appender says, line by line: `<topic> <offset> <entry id>` for an acknowledged entry, or what went wrong.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Acknowledged(String, u64, EntryId),
    Other(String),
}

fn parse(line: &str) -> Said {
    let words = line.split(' ').collect::<Vec<_>>();
    match words[..] {
        [topic, offset, id] if Topic::parse(topic).is_some() => {
            Said::Acknowledged(topic.into(), offset.parse().unwrap(), EntryId::parse(id).unwrap())
        }
        _ => Said::Other(line.into()),
    }
}

fn say(line: &str) {
    // One write per line, so that a kill cuts between lines.
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Not a test of its own: the appender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appender() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = std::sync::Arc::new(SqliteLog::open(Path::new(&folder), Options::default()).await.unwrap());
    for topic in &TOPICS {
        log.ensure(topic).await.unwrap();
    }
    say("opened");
    let appenders = (0..6).map(|task: usize| tokio::spawn(append_for_ever(log.clone(), TOPICS[task % 2].clone())));
    let appenders = appenders.collect::<Vec<_>>();
    // They end when they have enough, or when the log is poisoned and has refused some more.
    for appender in appenders {
        appender.await.unwrap();
    }
    if *log.poisoned().borrow() {
        say("poisoned");
        std::process::exit(3);
    }
    log.close().await.unwrap();
}

async fn append_for_ever(log: std::sync::Arc<SqliteLog>, topic: Topic) {
    let partition = Partition { topic: topic.clone(), number: 0 };
    let enough = std::env::var(ENOUGH).map_or(usize::MAX, |enough| enough.parse().unwrap());
    let (mut acknowledged, mut refused_in_a_row) = (0, 0);
    for turn in 0_usize.. {
        let entry_id = EntryId::new();
        let draft = Draft {
            partition: partition.clone(),
            key: format!("k{}", turn % 50),
            entry_id,
            headers: Vec::new(),
            value: vec![b'v'; 10 + turn * 37 % 5000].into(),
        };
        match log.append(vec![draft]).await.pop().unwrap() {
            Ok(offset) => {
                refused_in_a_row = 0;
                say(&format!("{topic} {offset} {entry_id}"));
                acknowledged += 1;
                if acknowledged == enough {
                    return;
                }
            }
            Err(AppendError::NotAppended(why)) => {
                say(&format!("not appended: {why}"));
                refused_in_a_row += 1;
                if refused_in_a_row >= 5 && *log.poisoned().borrow() {
                    return;
                }
            }
            Err(AppendError::Unknown(why)) => say(&format!("unknown: {why}")),
        }
    }
}

struct Appender(Child);

impl Appender {
    /// Starts it, to append until it is killed.
    fn start(folder: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), folder)
    }

    /// Starts it under strace, to end by itself: a kill would reach strace only.
    fn start_with(folder: &Path, inject: &str) -> Self {
        let call = inject.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={inject}")]).arg(std::env::current_exe().unwrap()).env(ENOUGH, "60");
        Self::spawn(command, folder)
    }

    fn spawn(mut command: Command, folder: &Path) -> Self {
        command.args(["--exact", "appender", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Listens until so many entries were acknowledged or it ended; kills it then and hears it out.
    fn listen_and_kill(mut self, acknowledged: usize) -> Vec<Said> {
        let mut said = Vec::new();
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let mut count = 0;
        while count < acknowledged
            && let Some(line) = lines.next()
        {
            said.push(parse(&line.unwrap()));
            count += usize::from(matches!(said.last(), Some(Said::Acknowledged(..))));
        }
        self.0.kill().unwrap();
        said.extend(lines.map(|line| parse(&line.unwrap())));
        self.0.wait().unwrap();
        said
    }

    /// Listens until it ends by itself.
    fn listen(mut self) -> (Vec<Said>, Option<i32>) {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let said = lines.map(|line| parse(&line.unwrap())).collect();
        (said, self.0.wait().unwrap().code())
    }
}

/// Everything that stands in the log, by topic; checks that offsets rise and stay below the end.
async fn stored(folder: &Path) -> BTreeMap<String, BTreeMap<u64, EntryId>> {
    let log = SqliteLog::open(folder, Options::default()).await.unwrap();
    let mut all = BTreeMap::new();
    for topic in TOPICS {
        log.ensure(&topic).await.unwrap();
        let partition = Partition { topic: topic.clone(), number: 0 };
        let end = log.end(&partition).await.unwrap();
        let mut entries = BTreeMap::new();
        let mut from = 0;
        while from < end {
            for entry in log.read(&partition, from, ReadLimit::default(), Duration::ZERO).await.unwrap() {
                assert!(entry.offset >= from && entry.offset < end);
                from = entry.offset + 1;
                entries.insert(entry.offset, entry.entry_id.unwrap());
            }
        }
        if !topic.compacted() {
            assert_eq!(entries.len() as u64, end, "{topic} has holes");
        }
        all.insert(topic.name(), entries);
    }
    log.close().await.unwrap();
    all
}

/// Each acknowledged entry of the ledger stands where it was answered to; in a compacted topic another of a later offset
/// may have taken its place, but never another at its own.
fn check(acknowledged: &[Said], stored: &BTreeMap<String, BTreeMap<u64, EntryId>>) -> usize {
    let mut count = 0;
    for said in acknowledged {
        let Said::Acknowledged(topic, offset, id) = said else { continue };
        count += 1;
        match stored[topic].get(offset) {
            Some(found) => assert_eq!(found, id, "another entry at {topic} {offset}"),
            None => {
                assert!(topic == "weft.quarantine", "{topic} {offset} is lost");
                assert!(stored[topic].last_key_value().unwrap().0 > offset, "{topic} {offset} is lost");
            }
        }
    }
    count
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for round in 0..8 {
        said.extend(Appender::start(folder.path()).listen_and_kill(20 + round * 60));
        check(&said, &stored(folder.path()).await);
    }
    let mut offsets = BTreeMap::new();
    for said in &said {
        if let Said::Acknowledged(topic, offset, id) = said {
            assert!(offsets.insert((topic, offset), id).is_none(), "{topic} {offset} was given twice");
        }
    }
    assert!(
        said.iter().all(|said| matches!(said, Said::Acknowledged(..)) || *said == parse("opened") || harness(said))
    );
}

/// A line of the test harness in the child.
fn harness(said: &Said) -> bool {
    matches!(said, Said::Other(line) if line.is_empty() || line.starts_with("running ") || line.starts_with("test "))
}

fn skipped_by_quick() -> bool {
    let quick = std::env::var_os("WEFT_QUICK").is_some_and(|value| value == "1");
    if quick {
        eprintln!("skipped by --quick: needs strace");
    }
    quick
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged() {
    if skipped_by_quick() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The tables stand already, so that the failures fall on appends.
    stored(folder.path()).await;
    for when in [8, 9, 13, 30] {
        // From the failure on, fsync pretends to work again: nobody may believe it.
        let inject = format!("fsync,fdatasync:error=EIO:when={when}");
        let (said, code) = Appender::start_with(folder.path(), &inject).listen();
        let heard =
            |line: &str| said.iter().position(|said| matches!(said, Said::Other(other) if other.contains(line)));
        let unknown = heard("unknown: ").or(heard("not appended: ")).unwrap_or_else(|| panic!("{when}: {said:?}"));
        let late = said[unknown..].iter().filter(|said| matches!(said, Said::Acknowledged(..))).count();
        // The others of the commit before may still be saying what they were answered.
        assert!(late < 6, "{when}: {said:?}");
        assert!(heard("poisoned").is_some() && code == Some(3), "{when}: {code:?} {said:?}");
        check(&said, &stored(folder.path()).await);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_heals() {
    if skipped_by_quick() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path()).await;
    let (said, code) = Appender::start_with(folder.path(), "pwrite64:error=ENOSPC:when=60..75").listen();
    assert_eq!(code, Some(0), "{said:?}");
    let full = said.iter().position(|said| matches!(said, Said::Other(line) if line.starts_with("not appended: ")));
    let full = full.unwrap_or_else(|| panic!("{said:?}"));
    assert!(said[full..].iter().any(|said| matches!(said, Said::Acknowledged(..))), "{said:?}");
    assert!(!said.iter().any(|said| matches!(said, Said::Other(line) if line.starts_with("unknown"))), "{said:?}");
    assert!(check(&said, &stored(folder.path()).await) == 6 * 60);
}
