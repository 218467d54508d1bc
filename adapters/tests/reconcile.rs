//! Source and hub compared: the source is read anew where it can be, what differs is named, and sent again.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod hub;
mod place;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, routing::get};
use place::{COLUMNS, Place, cells, csv};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Surroundings,
    ask::{Asked, ask},
    clock::SetClock,
    config::SourceConfig,
    reconcile::{Basis, Difference, Reconciled},
    run,
    spool::{OrderKind, Told},
};

const MONDAY: &str = "2024/01/05 09:00:00";

impl Place {
    async fn asked(&self, kind: OrderKind, repair: bool) -> Told {
        let asked = Asked { kind, source: String::new(), since_ms: Some(0), repair };
        let told = ask(self.config(), asked, Surroundings::system(), CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("it ends").unwrap()
    }

    async fn reconcile(&self, repair: bool) -> Reconciled {
        let told = self.asked(OrderKind::Reconcile, repair).await;
        assert!(told.done, "{}", told.en);
        self.last().await.unwrap()
    }

    async fn last(&self) -> Option<Reconciled> {
        weft_adapter::status::status(&self.config(), &Surroundings::system()).await.unwrap().snapshot.reconciled
    }

    /// The record of a row, found by what is indexed of it.
    fn record(&self, number: u32) -> String {
        let key = format!("JY1370322{number:07}");
        let of = |versions: &Vec<hub::Indexed>| versions[0].payload.to_string().contains(&key);
        self.hub.with(|state| state.records.iter().find(|(_, versions)| of(versions)).unwrap().0.clone())
    }

    fn name(&self, record_id: &str) -> String {
        self.hub.with(|state| {
            state.records[record_id].last().unwrap().payload["fields"]["operatorName"].as_str().unwrap().to_owned()
        })
    }

    /// The hub is as it was before it had the record.
    fn lose(&self, record_id: &str) {
        self.hub.with(|state| {
            for lost in state.records.remove(record_id).unwrap() {
                state.outcomes.remove(&lost.id);
            }
        });
    }

    fn versions(&self, record_id: &str) -> usize {
        self.hub.with(|state| state.records.get(record_id).map_or(0, Vec::len))
    }
}

fn counts(found: &Reconciled) -> (u64, u64, u64, u64, u64, u64) {
    (found.here, found.hub, found.missing, found.extra, found.different, found.repaired)
}

fn rows(count: u32) -> Vec<[String; 16]> {
    (1..=count).map(|number| cells(number, &format!("示例{number}"), MONDAY)).collect()
}

#[tokio::test]
async fn a_snapshot_is_read_anew_and_what_differs_is_named_and_sent_again() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("market", true);
    std::fs::write(folder.join("old.csv"), csv(&rows(3))).unwrap();
    place.run().await;
    std::fs::write(folder.join("new.csv"), csv(&rows(7))).unwrap();
    assert_eq!(place.run().await.indexed, 4);
    let same = place.reconcile(false).await;
    assert_eq!(counts(&same), (7, 7, 0, 0, 0, 0));
    assert_eq!((same.compared[0].basis, same.compared[0].rows), (Basis::Source, 7), "the last snapshot alone");

    let (lost, changed, other) = (place.record(2), place.record(5), place.record(7));
    place.lose(&lost);
    place.hub.with(|state| {
        state.records.get_mut(&changed).unwrap()[0].substance = vec![9; 32];
        let extra = state.records[&other].clone();
        state.records.insert(format!("{}z", &other[..other.len() - 1]), extra);
    });
    let found = place.reconcile(false).await;
    assert_eq!(counts(&found), (7, 7, 1, 1, 1, 0), "{found:?}");
    let named = |found: &Reconciled, difference| {
        found.named.iter().find(|named| named.difference == difference).unwrap().clone()
    };
    let missing = named(&found, Difference::Missing);
    assert_eq!((&missing.record_id, missing.here, missing.hub), (&lost, 1, 0));
    assert_eq!((missing.key.as_str(), missing.from.as_str()), ("JY13703220000002", "market / new.csv:3"));
    let different = named(&found, Difference::Different);
    assert_eq!((&different.record_id, different.key.as_str()), (&changed, "JY13703220000005"));
    assert_eq!(named(&found, Difference::Extra).from, "");
    assert!(found.differs());

    let found = place.reconcile(true).await;
    assert_eq!(counts(&found), (7, 7, 1, 1, 1, 2));
    place.run().await;
    assert_eq!((place.versions(&lost), place.versions(&changed)), (1, 2), "the same number, and the next one");
    let found = place.reconcile(true).await;
    assert_eq!(counts(&found), (7, 8, 0, 1, 0, 0), "what is too much is told alone");
    assert_eq!(place.run().await.published, 0, "and nothing is sent a second time");
}

#[tokio::test]
async fn increments_are_read_as_far_as_they_are_kept_and_the_last_word_of_a_record_holds() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("drop", false);
    std::fs::write(folder.join("1.csv"), csv(&rows(3))).unwrap();
    place.run().await;
    std::fs::write(folder.join("2.csv"), csv(&[cells(2, "改名", "2024/02/05 09:00:00")])).unwrap();
    place.run().await;
    let same = place.reconcile(false).await;
    assert_eq!((counts(&same), same.compared[0].basis), ((3, 3, 0, 0, 0, 0), Basis::Kept));
    // Kept no longer: what was published stands for it.
    std::fs::remove_file(folder.join("done/1.csv")).unwrap();
    let (second, third) = (place.record(2), place.record(3));
    place.hub.with(|state| {
        state.records.get_mut(&second).unwrap()[1].substance = vec![9; 32];
        state.records.get_mut(&third).unwrap()[0].substance = vec![9; 32];
    });
    let found = place.reconcile(true).await;
    assert_eq!(counts(&found), (3, 3, 0, 0, 2, 1), "{found:?}");
    assert_eq!(found.told, 1, "what cannot be sent again is a problem now");
    assert!(!found.differs());
    place.run().await;
    assert_eq!((place.versions(&second), place.name(&second).as_str()), (3, "改名"));
    // The department drops it once more: it is taken, although this state published the same before.
    std::fs::write(folder.join("3.csv"), csv(&[cells(3, "示例3", MONDAY)])).unwrap();
    assert_eq!(place.run().await.indexed, 1);
    assert_eq!(counts(&place.reconcile(false).await), (3, 3, 0, 0, 0, 0));
}

/// A table with the columns of the tests' rows.
async fn table(file: &Path, text: &str) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn filled(file: &Path, count: u32) {
    let columns = COLUMNS.map(|column| format!("\"{column}\" TEXT")).join(", ");
    let quoted = |row: [String; 16]| format!("({})", row.map(|cell| format!("'{cell}'")).join(", "));
    let values: Vec<String> = rows(count)
        .into_iter()
        .map(|mut row| {
            // A day each: all but the last are behind the overlap.
            row[15] = format!("2024-01-0{} 09:00:00", &row[0][row[0].len() - 1..]);
            quoted(row)
        })
        .collect();
    table(file, &format!("CREATE TABLE licences ({columns}); INSERT INTO licences VALUES {}", values.join(", "))).await;
}

fn sql(file: &Path) -> SourceConfig {
    let text = format!(
        "engine = \"sqlite\"\nfile = {file:?}\ntable = \"licences\"\nkey = [\"许可证编号\"]\n\
         watermark = {{ column = \"更新时间\", kind = \"timestamp\" }}"
    );
    SourceConfig { sql: Some(toml::from_str(&text).unwrap()), ..Place::source("table") }
}

#[tokio::test]
async fn a_row_that_changed_behind_its_watermark_is_found_and_sent() {
    let mut place = Place::new().await;
    let file = place.folder.path().join("department.db");
    filled(&file, 5).await;
    place.sources.push(sql(&file));
    assert_eq!(place.run().await.indexed, 5);
    let (third, fourth) = (place.record(3), place.record(4));
    let behind = "UPDATE licences SET 经营者名称 = '悄悄改名' WHERE 许可证编号 = 'JY13703220000003'; \
                  DELETE FROM licences WHERE 许可证编号 = 'JY13703220000004'";
    table(&file, behind).await;
    assert_eq!(place.run().await.published, 0, "the watermark says nothing of it");
    let found = place.reconcile(false).await;
    assert_eq!(counts(&found), (4, 5, 0, 1, 1, 0), "{found:?}");
    assert_eq!(found.compared[0].basis, Basis::Source);
    let extra = found.named.iter().find(|named| named.difference == Difference::Extra).unwrap();
    assert_eq!(extra.record_id, fourth);
    assert_eq!(place.reconcile(true).await.repaired, 1);
    assert_eq!(place.run().await.indexed, 1);
    assert_eq!((place.versions(&third), place.name(&third).as_str()), (2, "悄悄改名"));
    assert_eq!(counts(&place.reconcile(false).await), (4, 5, 0, 1, 0, 0));

    // Outside its hours, and when it is not there, what was published stands for it, and that is said.
    place.sources[0].hours = vec!["00:00-00:01".into(), "00:01-00:02".into()];
    let resting = place.reconcile(false).await;
    assert_eq!((resting.compared[0].basis, counts(&resting)), (Basis::Published, (5, 5, 0, 0, 0, 0)));
    assert!(resting.compared[0].en.contains("service hours"), "{:?}", resting.compared);
    place.sources[0].hours = Vec::new();
    std::fs::remove_file(&file).unwrap();
    let away = place.reconcile(false).await;
    assert_eq!(away.compared[0].basis, Basis::Published);
    assert!(away.compared[0].en.contains("cannot be read"), "{:?}", away.compared);
}

#[tokio::test]
async fn a_pull_is_made_anew_beside_the_sources_own() {
    let mut place = Place::new().await;
    let served = Arc::new(Mutex::new(rows(4)));
    let answer = {
        let served = Arc::clone(&served);
        move || {
            let rows = served.lock().unwrap().clone();
            let object = |row: [String; 16]| {
                let cells = COLUMNS.iter().zip(row).map(|(column, cell)| ((*column).to_owned(), cell.into()));
                serde_json::Value::Object(cells.collect())
            };
            std::future::ready(Json(rows.into_iter().map(object).collect::<Vec<_>>()))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/records", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/records", get(answer))).await });
    let text = format!(
        "url = {url:?}\nplain_http = true\nallow = [\"127.0.0.1\"]\n\
         since = {{ parameter = \"since\", column = \"更新时间\", kind = \"time\" }}"
    );
    place.sources.push(SourceConfig { rest: Some(toml::from_str(&text).unwrap()), ..Place::source("pull") });
    assert_eq!(place.run().await.indexed, 4);
    let lost = place.record(1);
    place.lose(&lost);
    let changed = place.record(2);
    served.lock().unwrap()[1][1] = "改名".into();
    let found = place.reconcile(true).await;
    assert_eq!((counts(&found), found.compared[0].basis), ((4, 3, 1, 0, 1, 2), Basis::Source), "{found:?}");
    place.run().await;
    assert_eq!((place.versions(&lost), place.versions(&changed), place.name(&changed).as_str()), (1, 2, "改名"));
    assert_eq!(counts(&place.reconcile(false).await), (4, 4, 0, 0, 0, 0));
}

/// A source that is posted to, and its adapter at work.
async fn posted(place: &mut Place, rows: &[[String; 16]]) {
    let token = place.folder.path().join("token");
    std::fs::write(&token, "a token of some length").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!("listen = \"127.0.0.1:0\"\ntoken_file = {token:?}");
    place.sources = vec![SourceConfig { push: Some(toml::from_str(&text).unwrap()), ..Place::source("push") }];
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(place.config(), Surroundings::system(), stop.clone()));
    let inbox = place.state().join("inbox");
    let address = eventually(|| {
        let mut files = std::fs::read_dir(&inbox).ok()?.filter_map(Result::ok);
        let file = files.find(|file| file.path().extension().is_some_and(|end| end == "address"))?;
        std::fs::read_to_string(file.path()).ok().filter(|text| !text.is_empty())
    })
    .await;
    let object = |row: &[String; 16]| -> serde_json::Value {
        let cells = COLUMNS.iter().zip(row).map(|(column, cell)| ((*column).to_owned(), cell.clone().into()));
        serde_json::Value::Object(cells.collect())
    };
    let body = serde_json::Value::Array(rows.iter().map(object).collect()).to_string();
    let request = format!(
        "POST /v1/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer a token of some length\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    eventually(|| (place.hub.events().len() == rows.len()).then_some(())).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

async fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("in a minute")
}

#[tokio::test]
async fn of_what_was_posted_the_published_state_is_compared_and_a_resync_says_what_it_can_do() {
    let mut place = Place::new().await;
    posted(&mut place, &rows(3)).await;
    let lost = place.record(2);
    place.lose(&lost);
    let found = place.reconcile(true).await;
    assert_eq!((counts(&found), found.compared[0].basis), ((3, 2, 1, 0, 0, 1), Basis::Published), "{found:?}");
    assert!(found.sentence().1.contains("push: as published (what was posted is not kept"), "{}", found.sentence().1);
    place.run().await;
    assert_eq!(place.versions(&lost), 1, "its sealed bytes were kept");
    assert_eq!(counts(&place.reconcile(false).await), (3, 3, 0, 0, 0, 0));
    let told = place.asked(OrderKind::Resync, false).await;
    assert!(!told.done && told.en.contains("has to post again") && told.en.contains("0 posts"), "{}", told.en);
    assert!(told.zh.contains("重新推送"), "{}", told.zh);
}

#[tokio::test]
async fn source_and_hub_are_compared_on_a_schedule() {
    let mut place = Place::new().await;
    let folder = place.drop_folder("market", true);
    std::fs::write(folder.join("a.csv"), csv(&rows(3))).unwrap();
    place.run().await;
    let clock = Arc::new(SetClock::at(Surroundings::system().clock.now()));
    let surroundings = Surroundings { clock: clock.clone(), ..Surroundings::system() };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(place.config(), surroundings, stop.clone()));
    let day = Duration::from_secs(25 * 3_600);
    let wait = async {
        while place.last().await.is_none() {
            clock.advance(day);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("in a minute");
    let found = place.last().await.unwrap();
    assert_eq!((counts(&found), found.compared[0].basis), ((3, 3, 0, 0, 0, 0), Basis::Source));
    stop.cancel();
    running.await.unwrap().unwrap();
}
