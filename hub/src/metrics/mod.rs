//! Numbers for those who watch the hub: counted where things happen, read at `/metrics`. Labels come from closed sets and name no person,
//! no record and no window.
//!
//! - [`metered`]: a log that counts and times its appends

pub mod metered;

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use weft_proto::{Reason, v1::Answering};

use crate::{clock::Millis, log::Topic};

/// What `/metrics` answers with: OpenMetrics text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = [(&'static str, &'static str); 1];
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// One per instance, shared by its services.
pub struct Metrics {
    registry: Registry,
    submissions: Family<Label, Counter>,
    outcomes: Family<Label, Counter>,
    looks: Family<Label, Counter>,
    refusals: Family<Label, Counter>,
    append_seconds: Histograms,
    append_failures: Family<Label, Counter>,
    look_seconds: Histogram,
    lag: Family<[(&'static str, String); 2], Gauge>,
    registry_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    quarantine_open: Gauge,
    alarms: Family<Label, Gauge>,
    certificate_seconds: Gauge,
    /// The last append that was stored, and the last that failed: (records and registry, ledger).
    appends: Mutex<[Appended; 2]>,
    /// The newest time of acceptance that was read.
    newest: AtomicI64,
}

/// When appends last went well and last failed, in milliseconds of CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The last that was stored.
    pub stored: Option<Millis>,
    /// The last that was not, or not surely.
    pub failed: Option<Millis>,
}

impl Appended {
    /// Whether the last append failed.
    pub fn failing(&self) -> bool {
        self.failed.is_some_and(|failed| self.stored.is_none_or(|stored| stored < failed))
    }
}

/// What the door said to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A receipt.
    Receipt,
    /// Refused, in quarantine.
    Rejected,
    /// Ours: to be sent again.
    Retry,
}

/// What an operator must know of, as gauges read anew for every scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// (topic, partition, entries that the index is behind).
    pub lag: Vec<(String, u32, u64)>,
    /// Milliseconds since the registry view was confirmed.
    pub registry_age_ms: Millis,
    /// Open quarantine entries.
    pub quarantine_open: u64,
    /// (alarm, how many).
    pub alarms: Vec<(&'static str, u64)>,
    /// Milliseconds until the server certificate ends.
    pub certificate_ms: Millis,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("weft"),
            submissions: Family::default(),
            outcomes: Family::default(),
            looks: Family::default(),
            refusals: Family::default(),
            append_seconds: Family::new_with_constructor(seconds),
            append_failures: Family::default(),
            look_seconds: seconds(),
            lag: Family::default(),
            registry_age: Gauge::default(),
            quarantine_open: Gauge::default(),
            alarms: Family::default(),
            certificate_seconds: Gauge::default(),
            appends: Mutex::default(),
            newest: AtomicI64::new(0),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("submissions", "What the door said to submissions", self.submissions.clone());
        registry.register(
            "outcomes",
            "What became of submissions, as this instance applied them",
            self.outcomes.clone(),
        );
        registry.register("looks", "Looks, by the word that answered", self.looks.clone());
        registry.register("refusals", "Requests refused, by reason", self.refusals.clone());
        registry.register_with_unit(
            "append",
            "How long log appends took until they were durable",
            Unit::Seconds,
            self.append_seconds.clone(),
        );
        registry.register("append_failures", "Log appends that were not surely stored", self.append_failures.clone());
        registry.register_with_unit(
            "look",
            "How long looks took, their ledger entry included",
            Unit::Seconds,
            self.look_seconds.clone(),
        );
        registry.register(
            "index_lag_entries",
            "Entries of the log that the index has not followed yet",
            self.lag.clone(),
        );
        registry.register_with_unit(
            "registry_age",
            "Time since the registry view was known to be at the log's end",
            Unit::Seconds,
            self.registry_age.clone(),
        );
        registry.register("quarantine_open", "Submissions that wait for a right one", self.quarantine_open.clone());
        registry.register("alarms", "Alarms, by kind", self.alarms.clone());
        registry.register_with_unit(
            "certificate_left",
            "Time until the server certificate ends",
            Unit::Seconds,
            self.certificate_seconds.clone(),
        );
    }

    /// Counts what the door said.
    pub fn count_submission(&self, said: Said) {
        let said = match said {
            Said::Receipt => "receipt",
            Said::Rejected => "rejected",
            Said::Retry => "retry",
        };
        self.submissions.get_or_create(&[("answer", said)]).inc();
    }

    /// Counts outcomes of one kind; a word that is none of [`crate::apply::outcome`] counts as `other`.
    pub fn count_outcomes(&self, outcome: &str, number: u64) {
        use crate::apply::outcome::{CONFLICT, DUPLICATE, GAP, INDEXED, PENDING, QUARANTINED};
        let known = [PENDING, INDEXED, DUPLICATE, CONFLICT, GAP, QUARANTINED];
        let label = known.into_iter().find(|one| *one == outcome).unwrap_or("other");
        self.outcomes.get_or_create(&[("outcome", label)]).inc_by(number);
    }

    /// Counts a look that was answered, and how long it took.
    pub fn count_look(&self, answering: Answering, took: Duration) {
        self.looks.get_or_create(&[("answering", answering_label(answering))]).inc();
        self.look_seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that was refused.
    pub fn count_refusal(&self, reason: Reason) {
        self.refusals.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Notes one append: how long it took, and whether it was surely stored.
    pub fn observe_append(&self, topic: &Topic, took: Duration, stored: bool, boot: Millis) {
        let label = [("topic", family(topic))];
        self.append_seconds.get_or_create(&label).observe(took.as_secs_f64());
        // Unwrap safety: nothing panics while it holds this lock.
        let mut appends = self.appends.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = &mut appends[usize::from(*topic == Topic::Ledger)];
        if stored {
            last.stored = Some(boot);
        } else {
            last.failed = Some(boot);
            drop(appends);
            self.append_failures.get_or_create(&label).inc();
        }
    }

    /// Notes the time of acceptance of an entry that came through the door.
    pub fn observe_accepted(&self, at: Millis) {
        self.newest.fetch_max(at, Ordering::Relaxed);
    }

    /// The newest time of acceptance among the entries that this instance applied.
    pub fn newest_accepted(&self) -> Millis {
        self.newest.load(Ordering::Relaxed)
    }

    /// When appends to the ledger (or, for other topics, to the log) last went well and last failed.
    pub fn appended(&self, topic: &Topic) -> Appended {
        let appends = self.appends.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        appends[usize::from(*topic == Topic::Ledger)]
    }

    /// The text of a scrape.
    pub fn scrape(&self, gauges: &Gauges) -> Result<String, fmt::Error> {
        self.lag.clear();
        for (topic, partition, behind) in &gauges.lag {
            let label = [("topic", topic.clone()), ("partition", partition.to_string())];
            self.lag.get_or_create(&label).set(i64::try_from(*behind).unwrap_or(i64::MAX));
        }
        self.alarms.clear();
        for (alarm, number) in &gauges.alarms {
            self.alarms.get_or_create(&[("alarm", *alarm)]).set(i64::try_from(*number).unwrap_or(i64::MAX));
        }
        self.registry_age.set(as_seconds(gauges.registry_age_ms));
        self.quarantine_open.set(i64::try_from(gauges.quarantine_open).unwrap_or(i64::MAX));
        self.certificate_seconds.set(gauges.certificate_ms.div_euclid(1000));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A view that was never confirmed is infinitely old.
fn as_seconds(ms: Millis) -> f64 {
    if ms == Millis::MAX { f64::INFINITY } else { Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64() }
}

/// Records topics are one family: a type is no label here.
fn family(topic: &Topic) -> &'static str {
    match topic {
        Topic::Records(_) => "records",
        Topic::Quarantine => "quarantine",
        Topic::Ledger => "ledger",
        Topic::Registry => "registry",
    }
}

fn answering_label(answering: Answering) -> &'static str {
    match answering {
        Answering::Unspecified => "unspecified",
        Answering::Satisfied => "satisfied",
        Answering::Substituted => "substituted",
        Answering::Missing => "missing",
        Answering::NotCovered => "not_covered",
        Answering::Bring => "bring",
        Answering::Awaits => "awaits",
        Answering::Expired => "expired",
        Answering::Suspended => "suspended",
        Answering::Revoked => "revoked",
        Answering::Frozen => "frozen",
        Answering::Ambiguous => "ambiguous",
        Answering::Stale => "stale",
        Answering::Disputed => "disputed",
        Answering::Promised => "promised",
        Answering::Denied => "denied",
    }
}

/// The alarms there are; what has another name counts as `other`.
pub fn alarm_label(alarm: &str) -> &'static str {
    const OF_THE_LOG: [&str; 5] = ["log_lost", "conflict", "foreign_entry", "null_entry", "cut_log"];
    OF_THE_LOG
        .into_iter()
        .chain(crate::alarms::ALL.into_iter().map(|kind| kind.alarm))
        .find(|one| *one == alarm)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_scraped() {
        let metrics = Metrics::new();
        metrics.count_submission(Said::Receipt);
        metrics.count_outcomes("indexed", 3);
        metrics.count_outcomes("r1.d.secret", 1);
        metrics.count_look(Answering::Satisfied, Duration::from_millis(3));
        metrics.count_refusal(Reason::Denied);
        metrics.observe_append(&Topic::Records("business-licence".into()), Duration::from_millis(2), true, 10);
        metrics.observe_append(&Topic::Ledger, Duration::from_millis(2), false, 11);
        let gauges = Gauges {
            lag: vec![("weft.ledger".into(), 0, 7)],
            registry_age_ms: 1500,
            quarantine_open: 2,
            alarms: vec![("conflict", 4)],
            certificate_ms: 5000,
        };
        let text = metrics.scrape(&gauges).unwrap();
        for line in [
            r#"weft_submissions_total{answer="receipt"} 1"#,
            r#"weft_outcomes_total{outcome="indexed"} 3"#,
            r#"weft_outcomes_total{outcome="other"} 1"#,
            r#"weft_looks_total{answering="satisfied"} 1"#,
            r#"weft_refusals_total{reason="denied"} 1"#,
            r#"weft_append_seconds_count{topic="records"} 1"#,
            r#"weft_append_failures_total{topic="ledger"} 1"#,
            r#"weft_index_lag_entries{topic="weft.ledger",partition="0"} 7"#,
            "weft_registry_age_seconds 1.5",
            "weft_quarantine_open 2",
            r#"weft_alarms{alarm="conflict"} 4"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("secret"));
        let again = metrics.scrape(&Gauges::default()).unwrap();
        assert!(!again.contains("weft_alarms{"), "what is over is not shown for ever");
    }

    #[test]
    fn an_append_after_a_failure_mends_it() {
        let metrics = Metrics::new();
        assert!(!metrics.appended(&Topic::Ledger).failing());
        metrics.observe_append(&Topic::Ledger, Duration::ZERO, false, 5);
        assert!(metrics.appended(&Topic::Ledger).failing());
        assert!(!metrics.appended(&Topic::Registry).failing(), "the ledger's trouble is the ledger's");
        metrics.observe_append(&Topic::Ledger, Duration::ZERO, true, 6);
        assert!(!metrics.appended(&Topic::Ledger).failing());
    }
}
