//! Departments whose systems speak HTTP: one that is asked, one that posts.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use weft_adapter::{Surroundings, problem::RowProblem, runner::Progress, settle::Tally, source::SourceState};
use weft_tests::eventually;

use super::place::{Came, Place, secret, surroundings};

const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "synthetic-secret-of-a-test";

#[tokio::test(flavor = "multi_thread")]
async fn taxation_serves_pages_of_json() {
    let place = Place::start("taxation").await;
    let address = serve(place.samples()).await;
    secret(&place.folder.path().join("taxation.secret"), SECRET);
    let config = place.config(&[
        (
            "url = \"https://qishui.taxation.example/api/vouchers\"",
            format!("url = \"http://{address}/api/vouchers\"\nplain_http = true"),
        ),
        ("allow = [\"10.37.3.0/24\"]", "allow = [\"127.0.0.1\"]".to_owned()),
        ("ca_file = \"taxation-ca.pem\"\n", String::new()),
    ]);
    place.run(config).await;
}

/// The tax system: `page-1.json`, then the page that the cursor names; with `since`, what changed from then on.
async fn serve(samples: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/api/vouchers", get(answer)).with_state(Arc::new(samples));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn answer(
    State(samples): State<Arc<PathBuf>>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    if headers.get("authorization").is_none_or(|given| given != &format!("Bearer {SECRET}")) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let page = |number: &str| -> Option<Value> {
        let text = std::fs::read_to_string(samples.join(format!("page-{number}.json"))).ok()?;
        serde_json::from_str(&text).ok()
    };
    if let Some(since) = asked.get("since") {
        let pages = (1..).map_while(|number: u32| page(&number.to_string()));
        let items = pages.flat_map(|page| page["data"]["items"].as_array().unwrap().clone());
        let newer = items.filter(|item| item["updateTime"].as_str().unwrap() >= since.as_str());
        return Ok(Json(json!({"code": 0, "data": {"next": null, "items": newer.collect::<Vec<_>>()}})));
    }
    let number = asked.get("cursor").map_or("1", |cursor| cursor.trim_start_matches('p'));
    page(number).map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// What an adapter tells of its work.
#[derive(Debug, Default)]
struct Heard {
    /// Rows and mapped rows by unit.
    units: Mutex<HashMap<String, (u64, u64)>>,
    tally: Mutex<Tally>,
}

impl Progress for Heard {
    fn read(&self, _: &str, unit: &str, rows: u64, mapped: u64) {
        self.units.lock().unwrap().insert(unit.to_owned(), (rows, mapped));
    }

    fn state(&self, _: &str, _: &SourceState) {}

    fn answered(&self, tally: Tally) {
        *self.tally.lock().unwrap() = tally;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disabled_federation_posts() {
    let place = Place::start("disabled-federation").await;
    secret(&place.folder.path().join("push.token"), SECRET);
    let mut config = place.config(&[("127.0.0.1:7790", "127.0.0.1:0".to_owned())]);
    config.sources[0].poll_ms = 50;
    let (name, state) = (config.sources[0].name.clone(), config.state_dir.clone());
    let (heard, stop) = (Arc::new(Heard::default()), CancellationToken::new());
    let surroundings = Surroundings { progress: heard.clone(), ..surroundings() };
    let running = tokio::spawn(weft_adapter::run(config, surroundings, stop.clone()));
    let address = eventually(PATIENCE, || async { noted_address(&state.join("inbox")) }).await;
    let mut problems = Vec::new();
    for post in ["post-1.json", "post-2.json", "post-3.json"] {
        let body = std::fs::read_to_string(place.samples().join(post)).unwrap();
        let (status, told) = ask(&address, "POST", "/v1/records", &body).await;
        assert_eq!(status, 202, "{told}");
        let path = format!("/v1/records/{}", told["id"].as_str().unwrap());
        let told = eventually(PATIENCE, || async {
            let (_, told) = ask(&address, "GET", &path, "").await;
            if told["state"] == "done" || told["state"] == "refused" { Ok(told) } else { Err(told.to_string()) }
        })
        .await;
        let of_post = told["problems"].as_array().cloned().unwrap_or_default();
        problems.extend(of_post.into_iter().map(|one| serde_json::from_value::<RowProblem>(one).unwrap()));
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    let (rows, mapped) = heard.units.lock().unwrap().values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let tally = *heard.tally.lock().unwrap();
    let (published, rejected, indexed) = (tally.published, tally.rejected, tally.indexed);
    let other = place.compare(&name, &Came { rows, mapped, published, rejected, indexed, problems });
    assert!(other.is_empty(), "{}", other.join("\n"));
    place.look_at_records().await;
}

/// Where the endpoint listens: it notes it beside what it keeps.
fn noted_address(folder: &Path) -> io::Result<String> {
    let is_note = |path: &PathBuf| path.extension().is_some_and(|end| end == "address");
    let mut paths = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    std::fs::read_to_string(paths.find(is_note).ok_or(io::ErrorKind::NotFound)?)
}

async fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}
