//! Several sources of one adapter: what is wrong with one holds up no other, and is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod hub;
mod place;

use place::{Place, cells, csv};

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
