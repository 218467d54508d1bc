//! Readiness: each check with a sentence; one that fails makes the instance not ready.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{Console, Shared};
use crate::{
    clock::Millis,
    log::{Partition, Topic},
    registry::MAX_AGE_MS,
};

/// How long one question to the log or index may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a judgement is good for.
const KEEP_MS: Millis = 500;
const DAY_MS: Millis = 86_400_000;

/// Whether the instance is ready, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    detail: String,
}

impl Check {
    fn new(check: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { check, ok, detail: detail.into() }
    }

    fn of(check: &'static str, result: Result<String, String>) -> Self {
        match result {
            Ok(detail) => Self::new(check, true, detail),
            Err(detail) => Self::new(check, false, detail),
        }
    }
}

/// 200 when every check holds, else 503; the body is the same kind of JSON.
pub(super) async fn readyz(State(served): Shared) -> Response {
    let mut kept = served.ready.lock().await;
    let now = served.console.clock.boot();
    let fresh = kept.as_ref().filter(|(at, _)| now - at < KEEP_MS).map(|(_, readiness)| readiness.clone());
    let readiness = match fresh {
        Some(readiness) => readiness,
        None => {
            let readiness = served.console.judge().await;
            *kept = Some((now, readiness.clone()));
            readiness
        }
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

impl Console {
    async fn judge(&self) -> Readiness {
        let checks = vec![
            Check::of("log", self.writable(Topic::Registry).await),
            Check::of("ledger", self.writable(Topic::Ledger).await),
            self.registry_check(),
            Check::of("index", self.index_check().await),
            self.lag_check().await,
            self.certificate_check(),
            self.clock_check(),
        ];
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }

    /// The log's authority answers for the topic, and the last append there was stored.
    async fn writable(&self, topic: Topic) -> Result<String, String> {
        let appended = self.metrics.appended(&topic);
        let boot = self.clock.boot();
        let partition = Partition { topic, number: 0 };
        let end = match tokio::time::timeout(PATIENCE, self.log.end(&partition)).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => return Err(format!("the log does not answer: {error}")),
            Err(_) => return Err(format!("the log did not answer within {} ms", PATIENCE.as_millis())),
        };
        let age = |at: Millis| boot.saturating_sub(at);
        match (appended.failing(), appended.stored, appended.failed) {
            (true, stored, Some(failed)) => {
                let since =
                    stored.map_or_else(|| "none was stored".into(), |at| format!("one was stored {} ms ago", age(at)));
                Err(format!("the last append failed {} ms ago; {since}", age(failed)))
            }
            (_, Some(stored), _) => {
                Ok(format!("the topic ends at {end}; the last append was stored {} ms ago", age(stored)))
            }
            _ => Ok(format!("the topic ends at {end}; nothing was appended since the start")),
        }
    }

    fn registry_check(&self) -> Check {
        let age = self.registry.age();
        let ok = age <= MAX_AGE_MS;
        let detail = match age {
            Millis::MAX => "the view was never known to be at the log's end".into(),
            age => format!("the view was at the log's end {age} ms ago, at most {MAX_AGE_MS} are allowed"),
        };
        Check::new("registry", ok, detail)
    }

    async fn index_check(&self) -> Result<String, String> {
        match tokio::time::timeout(PATIENCE, self.index.probe()).await {
            Ok(Ok(())) => Ok("the index can be written".into()),
            Ok(Err(error)) => Err(format!("the index cannot be written: {error}")),
            Err(_) => Err(format!("the index did not answer within {} ms", PATIENCE.as_millis())),
        }
    }

    async fn lag_check(&self) -> Check {
        let lags = self.lags().await;
        let asked = self.partitions.rows().len();
        let repaired: Vec<String> =
            lags.iter().filter(|lag| !lag.current).map(|lag| format!("{}/{}", lag.topic, lag.partition)).collect();
        let most = lags.iter().max_by_key(|lag| lag.behind);
        let allowed = self.limits.ready_lag_entries;
        let detail = match most {
            None if asked == 0 => "no partition was followed yet".into(),
            None => "the log tells no partition's end".into(),
            Some(_) if !repaired.is_empty() => format!("under repair: {}", repaired.join(", ")),
            Some(most) => format!(
                "{}/{} is the furthest behind, by {} entries; {allowed} are allowed",
                most.topic, most.partition, most.behind
            ),
        };
        let ok = lags.len() == asked && repaired.is_empty() && most.is_some_and(|most| most.behind <= allowed);
        Check::new("index_lag", ok, detail)
    }

    fn certificate_check(&self) -> Check {
        let left = self.certificate_left();
        let hours = left.div_euclid(3_600_000);
        Check::new(
            "certificate",
            left > DAY_MS,
            format!("the server certificate ends in {hours} h; more than 24 are needed"),
        )
    }

    /// Neither seam has a clock of its own to compare with: only a clock that is surely wrong can be told.
    fn clock_check(&self) -> Check {
        let behind = self.keys.created_at.saturating_sub(self.clock.now());
        if behind > 0 {
            return Check::new(
                "clock",
                false,
                format!("the clock stands {behind} ms before the key directory was made"),
            );
        }
        Check::new("clock", true, "after the key directory was made; no other clock is known to compare with")
    }
}
