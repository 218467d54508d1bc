//! The way from a dropped file to outcomes, over a real mutual-TLS socket, with a hub that fails on demand.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod hub;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hub::Hub;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Summary, Surroundings, problem::Reason, run_once, source::SourceState};

const HEADING: &str = "许可证编号;经营者名称;社会信用代码（身份证号码）;法定代表人（负责人）;住所;经营场所;主体业态;经营项目;经营者类别;证件状态;发证日期;有效期起;有效期至;发证机关;日常监督管理机构;更新时间";

struct Place {
    folder: TempDir,
    hub: Hub,
}

fn line(number: u32, name: &str, status: &str, updated: &str) -> String {
    format!(
        "JY1370322{number:07};{name};91370322MAYY000184;张示例;高青县示例路;高青县示例路1号;食品销售经营者;\
         预包装食品销售;企业;{status};2024-01-05;2024-01-05;2029-01-04;高青县市场监督管理局;城区所;{updated}"
    )
}

impl Place {
    async fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), hub: Hub::start().await };
        std::fs::create_dir(place.drop_folder()).unwrap();
        place.hub.join(&place.state()).await;
        place
    }

    fn drop_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("drop")
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn config(&self) -> Config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("departments/market-regulation.toml");
        let mut config = Config::load(&path).unwrap();
        config.sources.retain(|source| source.name == "food-business-licences");
        // The rows of these tests have numbers without check digits, which this hub believes.
        config.sources[0].max_failed_percent = 100;
        let file = config.sources[0].file.as_mut().unwrap();
        file.folder = self.drop_folder();
        file.settle_ms = 0;
        config.state_dir = self.state();
        config.hub = vec![self.hub.address.clone()];
        config
    }

    fn drop_rows(&self, name: &str, rows: &[String]) {
        std::fs::write(self.drop_folder().join(name), format!("{HEADING}\n{}\n", rows.join("\n"))).unwrap();
    }

    async fn run(&self) -> Summary {
        let run = run_once(self.config(), Surroundings::system(), CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").unwrap()
    }
}

fn rows(count: u32) -> Vec<String> {
    (1..=count).map(|number| line(number, &format!("示例{number}"), "有效", "2024/01/05 09:00:00")).collect()
}

#[tokio::test]
async fn rows_are_published_and_released_on_their_outcome_and_only_changes_follow() {
    let place = Place::new().await;
    place.drop_rows("a.csv", &rows(700));
    let summary = place.run().await;
    assert_eq!((summary.rows, summary.mapped, summary.published, summary.indexed), (700, 700, 700, 700));
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
    assert_eq!(place.hub.events().len(), 700);
    assert!(place.drop_folder().join("done/a.csv").exists());
    let mut changed = rows(700);
    changed[41] = line(42, "示例改名", "有效", "2024/02/05 09:00:00");
    changed[42] = line(43, "示例43", "注销", "2024/02/05 09:00:00");
    place.drop_rows("b.csv", &changed);
    let summary = place.run().await;
    assert_eq!((summary.rows, summary.published, summary.indexed), (700, 2, 2));
    let events = place.hub.events();
    let many: Vec<_> = events.values().filter(|events| events.len() > 1).cloned().collect();
    assert_eq!(many.len(), 2);
    assert!(many.contains(&vec!["issue".to_owned(), "change".to_owned()]));
    assert!(many.contains(&vec!["issue".to_owned(), "cancel".to_owned()]));
}

#[tokio::test]
async fn versions_of_one_file_go_in_the_order_of_their_column() {
    let place = Place::new().await;
    let rows = [
        line(1, "第三", "有效", "2024/03/01 00:00:00"),
        line(1, "第一", "有效", "2024/01/01 00:00:00"),
        line(2, "已销", "注销", "2024/01/01 00:00:00"),
        line(1, "第二", "有效", "2024/02/01 00:00:00"),
        line(1, "第二", "有效", "2024/02/01 00:00:00"),
    ];
    place.drop_rows("a.csv", &rows);
    let summary = place.run().await;
    assert_eq!((summary.rows, summary.indexed), (5, 5));
    assert_eq!(summary.problems.len(), 1);
    assert_eq!((summary.problems[0].problem.line, summary.problems[0].problem.reason.as_str()), (5, "duplicate_row"));
    let names = place.hub.with(|state| {
        let longest = state.records.values().max_by_key(|versions| versions.len()).unwrap().clone();
        longest
            .iter()
            .map(|version| version.payload["fields"]["operatorName"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(names, ["第一", "第二", "第三"]);
    let events: Vec<_> = place.hub.events().into_values().collect();
    assert!(events.contains(&vec!["issue".to_owned(), "cancel".to_owned()]));
}

#[tokio::test]
async fn lost_answers_retries_and_silence_lose_nothing_and_double_nothing() {
    let place = Place::new().await;
    place.hub.with(|state| {
        state.faults.cut_before_answer = 2;
        state.faults.retry = 100;
    });
    place.drop_rows("a.csv", &rows(900));
    let summary = place.run().await;
    assert_eq!((summary.indexed, summary.duplicate, summary.rejected), (900, 0, 0));
    let events = place.hub.events();
    assert_eq!(events.len(), 900);
    assert!(events.values().all(|events| events == &["issue".to_owned()]));
    assert!(place.hub.with(|state| state.streams) >= 2);
}

#[tokio::test]
async fn what_has_a_receipt_is_watched_by_the_next_stream() {
    let place = Place::new().await;
    place.hub.with(|state| state.faults.silent = true);
    place.drop_rows("a.csv", &rows(20));
    let stop = CancellationToken::new();
    let told = Arc::new(Told::default());
    let surroundings = Surroundings { progress: told.clone(), ..Surroundings::system() };
    let first = tokio::spawn(run_once(place.config(), surroundings, stop.clone()));
    eventually(|| told.0.load(Ordering::SeqCst) == 20).await;
    stop.cancel();
    assert!(first.await.unwrap().is_err(), "no outcome came");
    let summary = place.run().await;
    assert_eq!(summary.indexed, 20);
    assert_eq!(place.hub.with(|state| state.watched.len()), 20);
}

#[tokio::test]
async fn a_refused_row_is_a_problem_with_its_line_until_it_is_mended() {
    let place = Place::new().await;
    place.hub.with(|state| state.faults.refuse = Some("坏".into()));
    let mut rows = rows(5);
    rows[2] = line(3, "坏名", "注销", "2024/01/05 09:00:00");
    place.drop_rows("a.csv", &rows);
    let summary = place.run().await;
    assert_eq!((summary.indexed, summary.rejected), (4, 1), "the cancel of the row went with its issue");
    let problem = &summary.problems[0].problem;
    assert_eq!((problem.line, problem.reason.as_str(), problem.column.as_str()), (4, "rejected", "/fields/name"));
    assert!(problem.zh.contains("错") && !problem.zh.contains("坏名"));
    // The same content is not sent again; the mended one is, and closes the problem.
    place.drop_rows("b.csv", &rows.iter().map(|row| format!("{row} ")).collect::<Vec<_>>());
    let batches = place.hub.with(|state| state.batches.len());
    assert_eq!(place.run().await.published, 0);
    assert_eq!(place.hub.with(|state| state.batches.len()), batches);
    rows[2] = line(3, "好名", "有效", "2024/01/06 09:00:00");
    place.drop_rows("c.csv", &rows);
    assert_eq!(place.run().await.indexed, 1);
    let directory = weft_adapter::keys::Directory::new(place.state());
    let open = weft_adapter::problems(&directory, Surroundings::system().chance).await.unwrap();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_key_that_waits_for_its_confirmation_holds_its_records_until_the_next_run() {
    let place = Place::new().await;
    place.hub.with(|state| state.faults.unknown_key = true);
    place.drop_rows("a.csv", &rows(3));
    let summary = place.run().await;
    assert_eq!((summary.held, summary.indexed), (3, 0));
    assert_eq!(summary.problems[0].problem.reason.as_str(), "key_not_accepted");
    place.hub.with(|state| state.faults.unknown_key = false);
    assert_eq!(place.run().await.indexed, 3);
}

#[tokio::test]
async fn an_adapter_that_lost_its_state_goes_on_behind_the_hubs_heads() {
    let place = Place::new().await;
    place.drop_rows("a.csv", &rows(5));
    place.run().await;
    std::fs::remove_dir_all(place.state()).unwrap();
    place.hub.join(&place.state()).await;
    let mut changed = rows(5);
    changed[0] = line(1, "示例改名", "有效", "2024/02/05 09:00:00");
    place.drop_rows("b.csv", &changed);
    let summary = place.run().await;
    assert_eq!((summary.published, summary.indexed), (1, 1));
    let mut counts: Vec<usize> = place.hub.events().values().map(Vec::len).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 1, 1, 2]);
}

#[tokio::test]
async fn numbers_taken_by_others_are_left_and_lost_ones_are_sent_again() {
    let place = Place::new().await;
    place.drop_rows("a.csv", &rows(3));
    place.run().await;
    // A restored backup of this state: the hub has a version that this adapter does not know.
    let taken = place.hub.with(|state| {
        let (id, versions) = state.records.iter_mut().next().unwrap();
        let mut other = versions[0].clone();
        other.payload["fields"]["operatorName"] = "别处".into();
        other.substance = hub::substance(&other.payload);
        versions.push(other);
        id.clone()
    });
    // And a restored hub that lost the last version of another.
    let lost = place.hub.with(|state| {
        let (id, versions) = state.records.iter_mut().last().unwrap();
        let version = versions.pop().unwrap();
        state.outcomes.remove(&version.id);
        id.clone()
    });
    let changed: Vec<String> = (1..=3).map(|number| line(number, "示例改名", "有效", "2024/02/05 09:00:00")).collect();
    place.drop_rows("b.csv", &changed);
    let summary = place.run().await;
    assert_eq!(summary.problems.len(), 0, "{:?}", summary.problems);
    let events = place.hub.events();
    assert_eq!(events[&taken], ["issue", "issue", "change"], "sealed anew behind the head");
    assert_eq!(events[&lost], ["issue", "change"], "the lost version first");
}

#[tokio::test]
async fn a_broken_file_is_put_aside_with_its_report_and_the_others_go_on() {
    let place = Place::new().await;
    std::fs::write(place.drop_folder().join("broken.csv"), format!("{HEADING}\n{}\n\"open;\n", rows(1)[0])).unwrap();
    std::fs::write(place.drop_folder().join("other.csv"), "甲;乙\n1;2\n").unwrap();
    place.drop_rows("good.csv", &rows(2));
    let summary = place.run().await;
    assert_eq!(summary.indexed, 2);
    let mut reasons: Vec<(String, u64)> =
        summary.problems.iter().map(|row| (row.problem.reason.to_string(), row.problem.line)).collect();
    reasons.sort();
    assert_eq!(reasons, [("heading_missing".to_owned(), 0), ("quote_open".to_owned(), 3)]);
    assert!(place.drop_folder().join("failed/broken.csv.problems.csv").exists());
    assert!(place.drop_folder().join("failed/other.csv").exists());
}

#[tokio::test]
async fn nothing_of_a_row_lies_readable_in_the_state_directory() {
    let place = Place::new().await;
    place.hub.with(|state| state.faults.frozen = true);
    place.drop_rows("a.csv", &rows(10));
    let stop = CancellationToken::new();
    let run = tokio::spawn(run_once(place.config(), Surroundings::system(), stop.clone()));
    eventually(|| place.hub.with(|state| state.answered > 0)).await;
    stop.cancel();
    assert!(run.await.unwrap().is_err());
    let mut seen = false;
    for entry in std::fs::read_dir(place.state()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!["示例路", "91370322MAYY000184", "张示例"].into_iter().any(has));
        seen |= has("food-business-licence");
    }
    assert!(seen, "the search finds what stands there");
}

#[tokio::test]
async fn a_watched_folder_is_published_until_told_to_stop() {
    let place = Place::new().await;
    let mut config = place.config();
    config.sources[0].poll_ms = 50;
    let stop = CancellationToken::new();
    let run = tokio::spawn(weft_adapter::run(config, Surroundings::system(), stop.clone()));
    for (number, file) in [(3, "a.csv"), (5, "b.csv")] {
        place.drop_rows(&format!("{file}.tmp"), &rows(number));
        std::fs::rename(place.drop_folder().join(format!("{file}.tmp")), place.drop_folder().join(file)).unwrap();
        eventually(|| place.hub.events().len() == number as usize).await;
        eventually(|| place.drop_folder().join("done").join(file).exists()).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn an_adapter_cut_off_anywhere_in_a_file_goes_on_without_loss_or_doubles() {
    let place = Place::new().await;
    // Two versions of every third record, the newer one first: taking one again would make a third version.
    let mut all = rows(1_500);
    all.extend((1..=1_500).step_by(3).map(|number| line(number, "旧名", "有效", "2023/01/05 09:00:00")));
    place.drop_rows("a.csv", &all);
    for after in [1, 300, 700, 1_100, 1_700] {
        let (told, cut) = (Arc::new(Cut(after, tokio::sync::Notify::new())), Duration::from_secs(120));
        let surroundings = Surroundings { progress: told.clone(), ..Surroundings::system() };
        let run = run_once(place.config(), surroundings, CancellationToken::new());
        tokio::select! {
            ended = run => drop(ended.unwrap()),
            () = told.1.notified() => {}
            () = tokio::time::sleep(cut) => panic!("neither cut nor ended"),
        }
    }
    place.run().await;
    let events = place.hub.events();
    assert_eq!(events.len(), 1_500);
    assert_eq!(events.values().filter(|events| events.len() == 2).count(), 500);
    assert_eq!(events.values().filter(|events| events.len() > 2).count(), 0);
}

/// Rows that a real hub would take: their numbers have the check digit of ISO 7064 MOD 11,10.
fn right_rows(count: u32) -> Vec<String> {
    let checked = |row: u32| {
        let product = format!("1370322{row:06}").bytes().fold(10, |product, digit| {
            let sum = (product + u32::from(digit - b'0')) % 10;
            (if sum == 0 { 10 } else { sum }) * 2 % 11
        });
        row * 10 + (11 - product) % 10
    };
    (1..=count).map(|row| line(checked(row), "示例店", "有效", "2024/01/05 09:00:00")).collect()
}

#[tokio::test]
async fn a_file_in_which_almost_every_row_fails_stops_its_source_and_sends_nothing() {
    let place = Place::new().await;
    let mut config = place.config();
    config.sources[0].max_failed_percent = 50;
    let run = || run_once(config.clone(), Surroundings::system(), CancellationToken::new());
    let impossible = |row: String| row.replace("2024-01-05", "2024-02-31");
    let mixed: Vec<String> = right_rows(30)
        .into_iter()
        .enumerate()
        .map(|(index, row)| if index < 25 { impossible(row) } else { row })
        .collect();
    place.drop_rows("a.csv", &mixed);
    let summary = run().await.unwrap();
    assert_eq!(summary.published, 0);
    let first = &summary.problems.iter().find(|problem| problem.problem.line == 0).unwrap().problem;
    assert_eq!((first.reason, first.file.as_str()), (Reason::MostlyFailed, "a.csv"));
    assert!(first.en.ends_with(": 25 / 30"), "{}", first.en);
    assert!(summary.problems.iter().any(|problem| problem.problem.reason == Reason::DateImpossible));
    assert!(place.drop_folder().join("a.csv").exists(), "it stays where it is");
    place.drop_rows("a.csv", &right_rows(30));
    let summary = run().await.unwrap();
    assert_eq!(summary.published, 30);
    assert!(place.drop_folder().join("done/a.csv").exists());
}

/// Cuts a run off after so many rows.
#[derive(Debug)]
struct Cut(u64, tokio::sync::Notify);

impl weft_adapter::runner::Progress for Cut {
    fn state(&self, _: &str, _: &SourceState) {}
    fn read(&self, _: &str, _: &str, rows: u64, _: u64) {
        if rows >= self.0 {
            self.1.notify_one();
        }
    }

    fn answered(&self, _: weft_adapter::settle::Tally) {}
}

/// Counts receipts as they are told.
#[derive(Debug, Default)]
struct Told(AtomicU64);

impl weft_adapter::runner::Progress for Told {
    fn state(&self, _: &str, _: &SourceState) {}
    fn read(&self, _: &str, _: &str, _: u64, _: u64) {}

    fn answered(&self, tally: weft_adapter::settle::Tally) {
        self.0.store(tally.published, Ordering::SeqCst);
    }
}

/// Waits until `done`, for a minute at most: a busy machine is slow.
async fn eventually(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("in a minute");
}
