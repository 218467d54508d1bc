//! The console listener: health, metrics, keys, type metadata, pages of reasons. Plain HTTP, reading only; nothing here needs a login and
//! nothing here is personal.
//!
//! - [`ready`]: the checks of readiness
//! - [`published`]: keys and types, for whoever verifies offline
//! - [`pages`]: what a reason means, as a page

mod pages;
mod published;
mod ready;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::Mutex};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::SharedClock,
    config::Limits,
    index::SharedIndex,
    keys::Keys,
    log::SharedLog,
    metrics::{self, Gauges, Metrics, alarm_label},
    partitions::Partitions,
    registry::RegistryView,
};

/// How long open requests have when the hub stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Alarms that are counted for a scrape.
const ALARMS: u32 = 1000;

/// What the console tells of.
#[derive(Clone)]
pub struct Console {
    /// The registry view: keys, departments, its own age.
    pub registry: Arc<RegistryView>,
    /// Asked for the ends of its partitions.
    pub log: SharedLog,
    /// Asked for counts and alarms.
    pub index: SharedIndex,
    /// How far each partition was followed.
    pub partitions: Arc<Partitions>,
    /// The hub's statement key.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: SharedClock,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Bounds of readiness.
    pub limits: Limits,
    /// When the server certificate ends, in milliseconds.
    pub certificate_not_after: Arc<AtomicI64>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

/// The console and what it remembers between requests.
struct Served {
    console: Console,
    /// Readiness as last judged, and when (CLOCK_BOOTTIME): whoever asks often costs nothing.
    ready: Mutex<Option<(i64, ready::Readiness)>>,
}

type Shared = State<Arc<Served>>;

/// Serves the console until `shutdown`, then lets open requests end.
pub async fn serve(listener: TcpListener, console: Console, shutdown: CancellationToken) {
    let stop = shutdown.clone();
    let serving = axum::serve(listener, router(console)).with_graceful_shutdown(stop.cancelled_owned());
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            tracing::error!(%error, "the console listener failed");
        },
        () = late => tracing::warn!("console requests were still open when the hub stopped"),
    }
}

/// Every route. Only GET and HEAD; what else is asked for is 405, what is not there 404.
pub fn router(console: Console) -> Router {
    let served = Arc::new(Served { console, ready: Mutex::default() });
    Router::new()
        .route("/", get(pages::index))
        .route("/style.css", get(pages::style))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::readyz))
        .route("/metrics", get(scrape))
        .route("/.well-known/jwks.json", get(published::statement_keys))
        .route("/.well-known/jwt-vc-issuer/departments/{department}", get(published::issuer))
        .route("/types/{record_type}/{version}", get(published::record_type))
        .route("/errors", get(pages::reasons))
        .route("/errors/{reason}", get(pages::reason))
        .fallback(|| async { (StatusCode::NOT_FOUND, "没有这个页面 / there is no such page\n") })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, "只可读取 / reading only\n") })
        .layer(axum::middleware::map_response(secured))
        .with_state(served)
}

/// Headers of every answer: nothing is loaded from elsewhere, nothing is framed, nothing is sniffed, nothing is kept unless it says so.
async fn secured(mut response: Response) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn scrape(State(served): Shared) -> Response {
    let gauges = served.console.gauges().await;
    match served.console.metrics.scrape(&gauges) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Console {
    /// What cannot be asked for is left out: a scrape never fails for it.
    async fn gauges(&self) -> Gauges {
        let counts = self.index.counts().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "counts cannot be read for metrics");
            crate::index::Counts::default()
        });
        let alarms = self.index.alarms(ALARMS).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "alarms cannot be read for metrics");
            Vec::new()
        });
        let mut by_kind = std::collections::BTreeMap::new();
        for alarm in &alarms {
            *by_kind.entry(alarm_label(&alarm.alarm)).or_default() += 1;
        }
        Gauges {
            lag: self.lags().await.into_iter().map(|lag| (lag.topic, lag.partition, lag.behind)).collect(),
            registry_age_ms: self.registry.age(),
            quarantine_open: counts.quarantine_open,
            alarms: by_kind.into_iter().collect(),
            certificate_ms: self.certificate_left(),
        }
    }

    fn certificate_left(&self) -> i64 {
        self.certificate_not_after.load(std::sync::atomic::Ordering::Relaxed).saturating_sub(self.clock.now())
    }

    /// How far the index is behind each partition whose end the log tells in time.
    async fn lags(&self) -> Vec<Lag> {
        let rows = self.partitions.rows();
        let mut lags = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let end = tokio::time::timeout(ready::PATIENCE, self.log.end(&row.partition)).await;
            if let Ok(Ok(end)) = end {
                lags.push(Lag {
                    topic: row.partition.topic.name(),
                    partition: row.partition.number,
                    behind: end.saturating_sub(row.next),
                    current: row.current,
                });
            }
        }
        lags
    }
}

/// How far the index is behind one partition.
struct Lag {
    topic: String,
    partition: u32,
    behind: u64,
    current: bool,
}
