//! A department's system that posts its records to its adapter, and asks what became of them.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Config, Surroundings,
    keys::Directory,
    runner::{Progress, Summary as Ran},
    settle::Tally,
    source::SourceState,
};

use super::unusable;
use crate::{failure::Failure, files};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
const MAX_TOKEN: u64 = 1024;

/// Runs the adapter while the department's system posts `posts`, until all of it was answered.
pub(super) async fn run(
    config: Config,
    surroundings: Surroundings,
    posts: &[&str],
    samples: &Path,
) -> Result<Ran, Failure> {
    let heard = Arc::new(Heard { shown: surroundings.progress.clone(), work: Mutex::default() });
    let chance = surroundings.chance.clone();
    let surroundings = Surroundings { progress: heard.clone(), ..surroundings };
    let state_dir = config.state_dir.clone();
    let token_file = config.sources.iter().find_map(|source| Some(source.push.as_ref()?.token_file.clone()));
    let token_file = token_file.ok_or_else(|| unusable(&"no source takes posts in"))?;
    let token = files::read_text(&token_file.to_string_lossy(), MAX_TOKEN)?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(weft_adapter::run(config, surroundings, stop.clone()));
    let posted = async {
        let inbox = state_dir.join("inbox");
        let system = System { address: within_patience(|| noted_address(&inbox)).await?, token: token.to_string() };
        for post in posts {
            system.post(&samples.join(post)).await?;
        }
        Ok::<_, Failure>(())
    };
    let posted = posted.await;
    stop.cancel();
    running.await.map_err(|error| unusable(&error))?.map_err(|error| unusable(&error))?;
    posted?;
    let problems = weft_adapter::problems(&Directory::new(state_dir), chance).await;
    Ok(Ran { problems: problems.map_err(|error| unusable(&error))?, ..heard.ran() })
}

/// The department's system.
struct System {
    address: String,
    token: String,
}

impl System {
    /// Posts one body, and waits until all of it was answered.
    async fn post(&self, body: &Path) -> Result<(), Failure> {
        let body = std::fs::read(body).map_err(|error| unusable(&error))?;
        let accepted = self.ask("POST", "/v1/records", body).await?;
        let id = accepted["id"].as_str().ok_or_else(|| unusable(&accepted))?;
        let path = format!("/v1/records/{id}");
        let asked = Instant::now();
        loop {
            let told = self.ask("GET", &path, Vec::new()).await?;
            match told["state"].as_str() {
                // What of it was refused stands among the adapter's problems.
                Some("done" | "refused") => return Ok(()),
                _ if asked.elapsed() > PATIENCE => return Err(unusable(&told)),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Value, Failure> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|error| unusable(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
        let (mut sender, connection) = handshake.map_err(|error| unusable(&error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token.trim()))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unusable(&error))?;
        let response = sender.send_request(request).await.map_err(|error| unusable(&error))?;
        let body = response.into_body().collect().await.map_err(|error| unusable(&error))?.to_bytes();
        connection.abort();
        serde_json::from_slice(&body).map_err(|error| unusable(&error))
    }
}

/// Where the adapter listens: it notes it beside what it keeps.
fn noted_address(inbox: &Path) -> io::Result<String> {
    let is_note = |path: &PathBuf| path.extension().is_some_and(|end| end == "address");
    let mut paths = std::fs::read_dir(inbox)?.flatten().map(|entry| entry.path());
    let address = std::fs::read_to_string(paths.find(is_note).ok_or(io::ErrorKind::NotFound)?)?;
    if address.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(address) }
}

async fn within_patience<T>(mut get: impl FnMut() -> io::Result<T>) -> Result<T, Failure> {
    let asked = Instant::now();
    loop {
        match get() {
            Ok(got) => return Ok(got),
            Err(error) if asked.elapsed() > PATIENCE => return Err(unusable(&error)),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Passes on what the adapter tells, and adds it up.
#[derive(Debug)]
struct Heard {
    shown: Arc<dyn Progress>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    /// Rows and mapped rows of each unit.
    units: HashMap<String, (u64, u64)>,
    tally: Tally,
}

impl Heard {
    fn ran(&self) -> Ran {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, mapped) = work.units.values().fold((0, 0), |sum, unit| (sum.0 + unit.0, sum.1 + unit.1));
        let Tally { published, rejected, indexed, duplicate, quarantined, held, .. } = work.tally;
        Ran { rows, mapped, published, rejected, indexed, duplicate, quarantined, held, ..Ran::default() }
    }
}

impl Progress for Heard {
    fn read(&self, source: &str, unit: &str, rows: u64, mapped: u64) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.units.insert(unit.to_owned(), (rows, mapped));
        self.shown.read(source, unit, rows, mapped);
    }

    fn state(&self, source: &str, state: &SourceState) {
        self.shown.state(source, state);
    }

    fn answered(&self, tally: Tally) {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).tally = tally;
        self.shown.answered(tally);
    }
}
