//! Several sources of one adapter: what is wrong with one holds up no other, and is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod hub;
mod place;

use std::{sync::Arc, time::Duration};

use place::{Place, cells, csv};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Surroundings,
    ask::{Asked, ask},
    clock::SetClock,
    config::SourceConfig,
    run_once,
    runner::Progress,
    settle::Tally,
    source::SourceState,
    spool::OrderKind,
};

#[tokio::test]
async fn a_folder_that_is_not_there_holds_up_no_other_source() {
    let mut place = Place::new().await;
    let missing = place.drop_folder("share", false);
    let there = place.drop_folder("drop", false);
    std::fs::remove_dir(&missing).unwrap();
    std::fs::write(there.join("a.csv"), csv(&[cells(1, "示例", "2024/01/05 09:00:00")])).unwrap();
    let summary = place.run().await;
    assert_eq!((summary.indexed, summary.failed.len()), (1, 1));
    let failed = &summary.failed[0];
    assert_eq!(failed.source, "share");
    assert!(failed.en.contains(missing.to_str().unwrap()) && failed.en.contains("file.folder"), "{}", failed.en);
    assert!(failed.zh.contains("投放文件夹"), "{}", failed.zh);
    std::fs::create_dir(&missing).unwrap();
    assert!(place.run().await.failed.is_empty(), "it goes on by itself");
}

#[tokio::test]
async fn a_type_that_is_not_the_departments_is_told_and_not_waited_for() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("drop", false);
    std::fs::write(folder.join("a.csv"), csv(&[cells(1, "示例", "2024/01/05 09:00:00")])).unwrap();
    let other = Place::department().sources.into_iter().find(|source| source.name != "food-business-licences").unwrap();
    let record_type = other.mapping.record_type.clone();
    place.drop_folder("other", false);
    place.sources[1].mapping = other.mapping;
    place.sources.reverse();
    place.hub.with(|state| state.faults.not_yours = Some(record_type.clone()));
    let summary = place.run().await;
    assert_eq!((summary.indexed, summary.failed.len()), (1, 1), "{:?}", summary.failed);
    assert!(summary.failed[0].en.contains(&record_type), "{}", summary.failed[0].en);
    let reconcile = Asked { kind: OrderKind::Reconcile, source: String::new(), since_ms: None, repair: false };
    let told = ask(place.config(), reconcile, Surroundings::system(), CancellationToken::new()).await.unwrap();
    assert!(told.done && told.en.contains("1 records here, 1 at the hub; 0 missing"), "{}", told.en);
    assert!(told.en.contains("drop: read anew") && told.en.contains("mapping.record_type"), "{}", told.en);
    place.hub.with(|state| state.faults.not_yours = None);
    assert!(place.run().await.failed.is_empty());
}

#[tokio::test]
async fn a_refused_second_version_does_not_send_the_first_again() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("drop", false);
    place.hub.with(|state| state.faults.refuse = Some("拒绝".into()));
    let row = |name, day| cells(1, name, &format!("2024/01/0{day} 09:00:00"));
    std::fs::write(folder.join("a.csv"), csv(&[row("第一", 1), row("拒绝", 2), row("第三", 3)])).unwrap();
    let summary = place.run().await;
    let counts = (summary.published, summary.rejected, summary.indexed, summary.duplicate);
    assert_eq!(counts, (2, 1, 2, 0), "{summary:?}");
    let events: Vec<_> = place.hub.events().into_values().collect();
    assert_eq!(events, [["issue", "change"]]);
    let sent: usize = place.hub.with(|state| state.batches.iter().map(Vec::len).sum());
    assert_eq!(sent, 4, "three, and the third anew under the second's number");
}

/// Lets the hours of a source end when a handful of its rows was read.
#[derive(Debug)]
struct Evening(Arc<SetClock>);

impl Progress for Evening {
    fn state(&self, _: &str, _: &SourceState) {}
    fn read(&self, _: &str, _: &str, _: u64, _: u64) {
        self.0.advance(Duration::from_secs(2 * 3_600));
    }

    fn answered(&self, _: Tally) {}
}

/// An hour that has just begun, in the hall's time.
fn this_hour() -> String {
    let now = Surroundings::system().clock.now().as_second() / 60 + 8 * 60;
    let time = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    format!("{}-{}", time(now), time(now + 60))
}

#[tokio::test]
async fn a_long_unit_ends_with_the_hours_and_goes_on_the_next_day() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("drop", false);
    place.sources[0].hours = vec![this_hour()];
    let rows: Vec<_> = (1..=1_500).map(|number| cells(number, "示例", "2024/01/05 09:00:00")).collect();
    std::fs::write(folder.join("a.csv"), csv(&rows)).unwrap();
    let clock = Arc::new(SetClock::at(Surroundings::system().clock.now()));
    let progress = Arc::new(Evening(Arc::clone(&clock)));
    let surroundings = Surroundings { clock, progress, ..Surroundings::system() };
    let summary = run_once(place.config(), surroundings, CancellationToken::new()).await.unwrap();
    let taken = summary.indexed;
    assert!(taken > 0 && taken < 1_500, "{taken}");
    assert!(folder.join("a.csv").exists(), "it is not done with");
    assert_eq!(place.run().await.indexed, 1_500 - taken, "the rest, and nothing twice");
    assert!(folder.join("done/a.csv").exists());
}

#[tokio::test]
async fn a_look_that_takes_long_ends_with_the_hours() {
    let mut place = Place::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "url = \"http://{}/\"\nplain_http = true\nallow = [\"127.0.0.1\"]\ntimeout_ms = 3600000",
        listener.local_addr().unwrap()
    );
    let rest = Some(toml::from_str(&text).unwrap());
    place.sources.push(SourceConfig { rest, hours: vec![this_hour()], ..Place::source("slow") });
    let clock = Arc::new(SetClock::at(Surroundings::system().clock.now()));
    let surroundings = Surroundings { clock: clock.clone(), ..Surroundings::system() };
    let running = tokio::spawn(run_once(place.config(), surroundings, CancellationToken::new()));
    // It was asked, and never answers.
    let (_asked, _) = listener.accept().await.unwrap();
    clock.advance(Duration::from_secs(2 * 3_600));
    let summary = tokio::time::timeout(Duration::from_secs(60), running).await.expect("it ends").unwrap().unwrap();
    assert!(summary.failed.is_empty(), "it rests: {:?}", summary.failed);
}
