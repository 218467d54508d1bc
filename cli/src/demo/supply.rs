//! Puts each sample where its source looks for it: a folder, a database, a service on this machine.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use weft_adapter::config::{Config, SourceConfig};

use super::{
    departments::{Publishing, Way},
    unusable,
};
use crate::{failure::Failure, files};

/// Services that run as long as this lives.
pub(super) type Serving = Vec<AbortOnDropHandle<()>>;

/// Supplies every source of a department.
pub(super) async fn supply(
    config: &mut Config,
    department: &Publishing,
    samples: &Path,
    folder: &Path,
) -> Result<Serving, Failure> {
    let mut serving = Serving::new();
    for source in &mut config.sources {
        let sample = department.sources.iter().find(|sample| sample.source == source.name);
        let sample = sample.ok_or_else(|| unusable(&format!("no sample for the source {}", source.name)))?;
        match sample.way {
            Way::File(name) => drop_file(source, &samples.join(name))?,
            Way::Database(statements) => fill(source, &statements.map(|name| samples.join(name))).await?,
            Way::Pages(pages) => {
                let pages = pages.iter().map(|page| samples.join(page)).collect();
                serving.push(serve(source, pages, folder).await?);
            }
            Way::Posts(_) => await_posts(source, folder)?,
        }
    }
    Ok(serving)
}

/// The configuration has another kind of source than the demo knows.
fn other_kind(source: &SourceConfig) -> Failure {
    unusable(&format!("the source {} is of another kind", source.name))
}

fn drop_file(source: &mut SourceConfig, sample: &Path) -> Result<(), Failure> {
    let Some(file) = source.file.as_mut() else { return Err(other_kind(source)) };
    file.settle_ms = 0;
    let name = sample.file_name().unwrap_or_default();
    std::fs::create_dir_all(&file.folder).map_err(|error| unusable(&error))?;
    std::fs::copy(sample, file.folder.join(name)).map_err(|error| unusable(&error))?;
    Ok(())
}

/// Makes the source's file of SQLite, unless another source of the department did.
async fn fill(source: &SourceConfig, statements: &[PathBuf]) -> Result<(), Failure> {
    let file = source.sql.as_ref().and_then(|sql| sql.file.as_ref()).ok_or_else(|| other_kind(source))?;
    if file.exists() {
        return Ok(());
    }
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut database = SqliteConnection::connect_with(&options).await.map_err(|error| unusable(&error))?;
    for path in statements {
        let text = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut database).await.map_err(|error| unusable(&error))?;
    }
    database.close().await.map_err(|error| unusable(&error))
}

fn await_posts(source: &mut SourceConfig, folder: &Path) -> Result<(), Failure> {
    source.poll_ms = 50;
    let Some(push) = source.push.as_mut() else { return Err(other_kind(source)) };
    push.listen.set_port(0);
    push.token_file = folder.join("push.token");
    files::write_private(&push.token_file, secret().as_bytes())
}

/// A secret that this run alone knows.
fn secret() -> String {
    hex::encode(weft_hub::clock::random::<16>())
}

/// What the demo's service works with.
struct Service {
    pages: Vec<PathBuf>,
    secret: String,
    /// The parameter of the cursor, and that of the changes, with the column that they go by.
    cursor: String,
    since: Option<(String, String)>,
}

/// Serves the pages on a loopback port and points the source there.
async fn serve(
    source: &mut SourceConfig,
    pages: Vec<PathBuf>,
    folder: &Path,
) -> Result<AbortOnDropHandle<()>, Failure> {
    let Some(rest) = source.rest.as_mut() else { return Err(other_kind(source)) };
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| unusable(&error))?;
    let address = listener.local_addr().map_err(|error| unusable(&error))?;
    let service = Service {
        pages,
        secret: secret(),
        cursor: rest.cursor.as_ref().map(|cursor| cursor.parameter.clone()).unwrap_or_default(),
        since: rest.since.as_ref().map(|since| (since.parameter.clone(), since.column.clone())),
    };
    rest.url = format!("http://{address}/records");
    rest.plain_http = true;
    rest.ca_file = None;
    rest.allow = vec!["127.0.0.1".parse().map_err(|error: String| unusable(&error))?];
    let file = folder.join("service.secret");
    files::write_private(&file, service.secret.as_bytes())?;
    rest.secret_file = Some(file);
    let router = Router::new().route("/records", get(answer)).with_state(Arc::new(service));
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        // It ends with the task.
        let _ = axum::serve(listener, router).await;
    })))
}

async fn answer(
    State(service): State<Arc<Service>>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.strip_prefix("Bearer ") != Some(&service.secret) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if let Some((column, since)) = service.since.as_ref().and_then(|(name, column)| Some((column, asked.get(name)?))) {
        return service.changed(column, since).map(Json);
    }
    let number = asked.get(&service.cursor).map_or(Ok(1), |cursor| cursor.trim_start_matches('p').parse::<usize>());
    let page = number.ok().and_then(|number| service.pages.get(number.checked_sub(1)?));
    page.ok_or(StatusCode::NOT_FOUND).and_then(|page| read(page)).map(Json)
}

impl Service {
    /// What changed from a time on, all on one page.
    fn changed(&self, column: &str, since: &str) -> Result<Value, StatusCode> {
        let mut newer = Vec::new();
        for page in &self.pages {
            let page = read(page)?;
            let items = page["data"]["items"].as_array().cloned().unwrap_or_default();
            newer.extend(items.into_iter().filter(|item| item[column].as_str().is_some_and(|time| time >= since)));
        }
        Ok(json!({"code": 0, "data": {"next": null, "items": newer}}))
    }
}

fn read(page: &Path) -> Result<Value, StatusCode> {
    let text = std::fs::read(page).map_err(|_| StatusCode::NOT_FOUND)?;
    serde_json::from_slice(&text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
