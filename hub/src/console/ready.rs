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
/// How far this machine's clock may be off: half a lease, since instances judge each other's leases by it.
const CLOCK_BOUND_MS: Millis = crate::follow::LEASE_MS / 2;

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
            self.signer_check(),
            Check::of("index", self.index_check().await),
            self.lag_check().await,
            self.certificate_check(),
            self.clock_check().await,
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

    fn signer_check(&self) -> Check {
        match self.keys.signer() {
            Ok(key) => Check::new("signing", true, format!("statements are signed with {}", key.kid())),
            Err(refusal) => Check::new("signing", false, refusal.reason.en()),
        }
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

    async fn clock_check(&self) -> Check {
        let before = self.clock.now();
        let database = match tokio::time::timeout(PATIENCE, self.index.clock()).await {
            Ok(Ok(database)) => database,
            // That it does not answer is said by the index's own check.
            Ok(Err(_)) | Err(_) => None,
        };
        let clocks = Clocks {
            before,
            after: self.clock.now(),
            keys_made: self.keys.created_at,
            newest: self.metrics.newest_accepted().max(self.registry.snapshot().newest),
            database,
        };
        Check::of("clock", clocks.agree())
    }
}

/// What this machine's clock is compared with, all in milliseconds.
struct Clocks {
    /// This machine's, before the database was asked.
    before: Millis,
    /// And after it answered.
    after: Millis,
    /// When the key directory was made.
    keys_made: Millis,
    /// The newest time of acceptance that this instance has read in the log; 0 for none.
    newest: Millis,
    /// The database server's, where it has one of its own.
    database: Option<Millis>,
}

impl Clocks {
    /// Where the database has a clock of its own, that one judges, in both directions; else only a clock that is behind can be told.
    fn agree(&self) -> Result<String, String> {
        let behind_keys = self.keys_made - self.after;
        if behind_keys > 0 {
            return Err(format!("the clock stands {behind_keys} ms before the key directory was made"));
        }
        if let Some(database) = self.database {
            // What lies between asking and hearing is no difference.
            let off = (database - self.after).max(0) + (database - self.before).min(0);
            let side = if off < 0 { "ahead of" } else { "behind" };
            return if off.abs() <= CLOCK_BOUND_MS {
                Ok(format!("{} ms from the database's clock", off.abs()))
            } else {
                Err(format!("the clock is {} ms {side} the database's; {CLOCK_BOUND_MS} are allowed", off.abs()))
            };
        }
        let behind = self.newest - self.after;
        if behind > CLOCK_BOUND_MS {
            return Err(format!(
                "the log has an entry that was accepted {behind} ms later than now; {CLOCK_BOUND_MS} are allowed"
            ));
        }
        Ok("not behind the newest entry that was read; no other clock is known to compare with".into())
    }
}

#[cfg(test)]
mod tests {
    use super::{CLOCK_BOUND_MS, Clocks};

    const NOW: i64 = 1_795_442_400_000;

    fn clocks(newest: i64, database: Option<i64>) -> Result<String, String> {
        Clocks { before: NOW, after: NOW + 40, keys_made: NOW - 1, newest, database }.agree()
    }

    #[test]
    fn a_clock_behind_the_newest_entry_is_told() {
        assert!(clocks(0, None).is_ok());
        assert!(clocks(NOW + CLOCK_BOUND_MS, None).is_ok());
        assert!(clocks(NOW + 41 + CLOCK_BOUND_MS, None).unwrap_err().contains("accepted 5001 ms later"));
        let before_the_keys = Clocks { before: 0, after: 0, keys_made: 7, newest: 0, database: None }.agree();
        assert!(before_the_keys.unwrap_err().contains("7 ms before the key directory"));
    }

    #[test]
    fn the_databases_clock_judges_where_it_has_one() {
        for within in [NOW - CLOCK_BOUND_MS, NOW, NOW + 40, NOW + 40 + CLOCK_BOUND_MS] {
            assert!(clocks(0, Some(within)).is_ok());
        }
        assert!(clocks(0, Some(NOW - CLOCK_BOUND_MS - 1)).unwrap_err().contains("5001 ms ahead"));
        assert!(clocks(0, Some(NOW + 41 + CLOCK_BOUND_MS)).unwrap_err().contains("5001 ms behind"));
        assert!(clocks(NOW + 86_400_000, Some(NOW)).is_ok(), "another instance's clock ran ahead, not this one behind");
    }
}
