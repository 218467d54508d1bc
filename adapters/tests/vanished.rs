//! Rows that vanish from a whole snapshot, and those that come back, through a hub that fails on demand.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod hub;

use std::{path::Path, time::Duration};

use hub::Hub;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use weft_adapter::{Config, Summary, Surroundings, mapping::Vanished, problem::Reason, run_once, spool::ProblemRow};
use weft_record::status::Event;

const HEADING: &str = "许可证编号;经营者名称;社会信用代码（身份证号码）;法定代表人（负责人）;住所;经营场所;主体业态;经营项目;经营者类别;证件状态;发证日期;有效期起;有效期至;发证机关;日常监督管理机构;更新时间";

const BUSINESS: &str = "统一社会信用代码;企业名称;市场主体类型;法定代表人(负责人);身份证号码;注册资本(万元);币种;成立日期;营业期限自;营业期限至;住所;经营范围;登记状态;核准日期;发照日期;登记机关;联系电话";

struct Place {
    folder: TempDir,
    hub: Hub,
    vanished: Option<Vanished>,
    /// Which of the department's sources: licences of food businesses, or of businesses.
    of_food: bool,
}

impl Place {
    async fn new(vanished: Option<Vanished>) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), hub: Hub::start().await, vanished, of_food: true };
        std::fs::create_dir(place.folder.path().join("drop")).unwrap();
        place.hub.join(&place.folder.path().join("state")).await;
        place
    }

    fn config(&self) -> Config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("departments/market-regulation.toml");
        let mut config = Config::load(&path).unwrap();
        let mut source = config.sources.remove(usize::from(self.of_food));
        let file = source.file.as_mut().unwrap();
        file.folder = self.folder.path().join("drop");
        (file.settle_ms, file.snapshot) = (0, true);
        source.mapping.vanished = self.vanished.clone();
        config.sources = vec![source];
        config.state_dir = self.folder.path().join("state");
        config.hub = vec![self.hub.address.clone()];
        config
    }

    /// Works off a snapshot of these rows.
    async fn snapshot(&self, name: &str, rows: impl IntoIterator<Item = String>) -> Summary {
        let rows: Vec<String> = rows.into_iter().collect();
        let heading = if self.of_food { HEADING } else { BUSINESS };
        let text = format!("{heading}\n{}\n", rows.join("\n"));
        std::fs::write(self.folder.path().join("drop").join(name), text).unwrap();
        let run = run_once(self.config(), Surroundings::system(), CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").unwrap()
    }

    async fn open_problems(&self) -> Vec<ProblemRow> {
        let directory = weft_adapter::keys::Directory::new(self.folder.path().join("state"));
        let all = weft_adapter::problems(&directory, Surroundings::system().chance).await.unwrap();
        all.into_iter().filter(|row| !row.problem.note).collect()
    }

    /// The events of the records that have more than their first.
    fn later_events(&self) -> Vec<Vec<String>> {
        self.hub.events().into_values().filter(|events| events.len() > 1).collect()
    }
}

fn row(number: u32) -> String {
    format!(
        "JY1370322{number:07};示例{number};91370322MAYY000184;张示例;高青县示例路;高青县示例路1号;食品销售经营者;\
         预包装食品销售;企业;有效;2024-01-05;2024-01-05;2029-01-04;高青县市场监督管理局;城区所;2024/01/05 09:00:00"
    )
}

fn business(number: u32) -> String {
    format!(
        "9237032200000{number:05};示例{number};个体工商户;张示例;;;;2021-07-08;2021-07-08;长期;高青县示例路1号;日用百货;存续;\
         2021-07-08;2021-07-08;高青县市场监督管理局;"
    )
}

fn reasons(summary: &Summary) -> Vec<Reason> {
    let problems = summary.problems.iter().filter(|row| !row.problem.note);
    problems.map(|row| row.problem.reason).collect()
}

fn rule(event: Event) -> Option<Vanished> {
    Some(Vanished { event: Some(event), ..Vanished::default() })
}

#[tokio::test]
async fn without_a_rule_a_vanished_row_is_told_until_it_is_back() {
    let place = Place::new(None).await;
    place.snapshot("a.csv", (1..=10).map(row)).await;
    let summary = place.snapshot("b.csv", (1..=10).filter(|&number| number != 3).map(row)).await;
    assert_eq!((reasons(&summary), summary.published), (vec![Reason::RowVanished], 0));
    let told = &summary.problems.iter().find(|row| row.problem.reason == Reason::RowVanished).unwrap();
    assert_eq!((told.problem.file.as_str(), told.problem.line), ("a.csv", 4), "where the row stood last");
    let summary = place.snapshot("c.csv", (1..=10).rev().filter(|&number| number != 3).map(row)).await;
    assert_eq!(reasons(&summary), [], "nothing new");
    assert_eq!(place.open_problems().await.len(), 1, "told once, and still so");
    // The bytes of the first snapshot again: what they say is new.
    let summary = place.snapshot("d.csv", (1..=10).map(row)).await;
    assert_eq!((reasons(&summary), summary.published, summary.rows), (vec![], 0, 10));
    assert!(place.open_problems().await.is_empty());
    assert!(place.later_events().is_empty());
}

#[tokio::test]
async fn a_rule_makes_an_event_of_it_and_a_suspended_record_resumes_when_its_row_is_back() {
    let mut place = Place::new(rule(Event::Suspend)).await;
    place.of_food = false;
    place.snapshot("a.csv", (1..=10).map(business)).await;
    let summary = place.snapshot("b.csv", (1..=9).map(business)).await;
    assert_eq!((reasons(&summary), summary.indexed), (vec![], 1));
    assert_eq!(place.later_events(), [["issue", "suspend"]]);
    place.snapshot("c.csv", (1..=9).rev().map(business)).await;
    assert_eq!(place.later_events(), [["issue", "suspend"]], "once");
    let summary = place.snapshot("a.csv", (1..=10).map(business)).await;
    assert_eq!((reasons(&summary), summary.indexed), (vec![], 1));
    assert_eq!(place.later_events(), [["issue", "suspend", "resume"]]);
}

#[tokio::test]
async fn a_record_that_was_cancelled_by_the_rule_does_not_come_back_in_silence() {
    let place = Place::new(rule(Event::Cancel)).await;
    place.snapshot("a.csv", (1..=10).map(row)).await;
    place.snapshot("b.csv", (1..=9).map(row)).await;
    assert_eq!(place.later_events(), [["issue", "cancel"]]);
    let summary = place.snapshot("c.csv", (1..=10).map(row)).await;
    assert_eq!(reasons(&summary), [Reason::StatusFinal]);
    let told = summary.problems.iter().find(|row| row.problem.reason == Reason::StatusFinal).unwrap();
    assert!(told.problem.en.contains("had vanished") && told.problem.line == 11, "{told:?}");
    assert_eq!(place.later_events(), [["issue", "cancel"]]);
}

#[tokio::test]
async fn a_snapshot_that_broke_off_ends_nothing() {
    let place = Place::new(rule(Event::Cancel)).await;
    place.snapshot("a.csv", (1..=10).map(row)).await;
    let summary = place.snapshot("b.csv", (1..=7).map(row)).await;
    assert_eq!((reasons(&summary), summary.published), (vec![Reason::TooManyVanished], 0));
    let told = summary.problems.iter().find(|row| row.problem.reason == Reason::TooManyVanished).unwrap();
    assert!(told.problem.en.ends_with("10 rows last time, 7 now, 3 are missing"), "{}", told.problem.en);
    // Rows whose record cannot be told may be the ones that are missing.
    let broken = row(10).replace("JY1370322", "");
    let broken = broken.split_once(';').map(|(_, rest)| format!(";{rest}")).unwrap();
    let summary = place.snapshot("c.csv", (1..=9).map(row).chain([broken])).await;
    assert_eq!(reasons(&summary), [Reason::KeyMissing, Reason::VanishedDoubtful]);
    assert!(place.later_events().is_empty());
    let summary = place.snapshot("d.csv", (1..=10).map(row)).await;
    assert!(reasons(&summary).is_empty() && place.open_problems().await.is_empty());
    let mut place = place;
    place.vanished = Some(Vanished { event: Some(Event::Cancel), limit_percent: 30 });
    let summary = place.snapshot("e.csv", (1..=7).map(row)).await;
    assert_eq!((reasons(&summary), summary.indexed), (vec![], 3), "a person may say that it is right");
}
