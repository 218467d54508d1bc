//! Alarms that follow from no entry of the log: a quota far exceeded, a file of the listeners that cannot be used. They stand in the
//! index beside those of the log, for every instance to list; a rebuild does not find them again.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Millis, SharedClock},
    decode::sha256,
    index::{SharedIndex, rows::AlarmRow},
    log::{Partition, Topic},
};

/// A kind of alarm; it has a page under `docs/errors/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Its stable name.
    pub alarm: &'static str,
}

/// A window or hall asks more than ten times its quota.
pub const QUOTA_EXCEEDED: Kind = Kind { alarm: "quota_exceeded" };
/// A window asks for much that is not there, or that it may not see.
pub const ENUMERATION: Kind = Kind { alarm: "enumeration" };

/// The key that signs statements is gone from the key directory.
pub const SIGNING_UNAVAILABLE: Kind = Kind { alarm: "signing_unavailable" };

/// Another CA's revocation list is missing, out of date or not its own: nobody comes in by it.
pub const REVOCATION_LIST_UNUSABLE: Kind = Kind { alarm: "revocation_list_unusable" };
/// A certificate, key or list of the listeners cannot be read: what was there before stays in use.
pub const TLS_FILE_UNUSABLE: Kind = Kind { alarm: "tls_file_unusable" };

/// Every kind.
pub const ALL: [Kind; 5] =
    [QUOTA_EXCEEDED, ENUMERATION, SIGNING_UNAVAILABLE, REVOCATION_LIST_UNUSABLE, TLS_FILE_UNUSABLE];

/// What begins the id of an alarm that is about no entry.
const OF_THE_HUB: &str = "hub/";
/// How long until an alarm that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many are remembered as raised.
const REMEMBERED: usize = 4096;

/// Whether an alarm is about an entry of the log.
pub fn is_of_the_log(row: &AlarmRow) -> bool {
    !row.id.starts_with(OF_THE_HUB)
}

/// Raises alarms. Never waits: what is raised is written by [`keep`].
pub struct Alarms {
    clock: SharedClock,
    raised: mpsc::UnboundedSender<AlarmRow>,
    /// When each was raised last: (kind, id) → the number of the time span.
    last: Mutex<HashMap<(Kind, String), Millis>>,
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms").finish_non_exhaustive()
    }
}

/// Alarms on their way to the index.
pub type Raised = mpsc::UnboundedReceiver<AlarmRow>;

impl Alarms {
    /// The alarms of one instance, and what [`keep`] writes.
    pub fn new(clock: SharedClock) -> (Arc<Self>, Raised) {
        let (raised, written) = mpsc::unbounded_channel();
        (Arc::new(Self { clock, raised, last: Mutex::default() }), written)
    }

    /// Raises an alarm about a subject, such as `window/hall-1`; within one span of `every` milliseconds the same detail is one alarm, at
    /// whichever instances it is raised. `detail` holds no personal data.
    pub fn raise(&self, kind: Kind, subject: &str, every: Millis, detail: &str) {
        let at = self.clock.now();
        let span = at.div_euclid(every.max(1));
        let digest = hex::encode(&sha256(detail.as_bytes())[..4]);
        {
            // Nothing that can panic runs under this lock.
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() >= REMEMBERED {
                // The index knows by the id what was raised.
                last.clear();
            }
            if last.insert((kind, format!("{subject}/{digest}")), span) == Some(span) {
                return;
            }
        }
        tracing::warn!(alarm = kind.alarm, subject, detail, "alarm");
        let row = AlarmRow {
            id: format!("{OF_THE_HUB}{}/{subject}/{digest}/{span}", kind.alarm),
            alarm: kind.alarm.into(),
            at,
            partition: Partition { topic: Topic::Registry, number: 0 },
            offset: 0,
            detail: format!("{subject}: {detail}"),
        };
        // The receiver lives as long as the hub serves.
        let _ = self.raised.send(row);
    }
}

/// Writes raised alarms until `shutdown`; an index that cannot be written is tried again.
pub async fn keep(index: SharedIndex, mut raised: Raised, shutdown: CancellationToken) {
    loop {
        let mut rows = Vec::new();
        tokio::select! {
            () = shutdown.cancelled() => return,
            count = raised.recv_many(&mut rows, 64) => if count == 0 { return },
        }
        while let Err(error) = index.raise_alarms(&rows).await {
            tracing::warn!(%error, "alarms cannot be written");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ShiftedClock;

    #[tokio::test]
    async fn one_subject_raises_one_alarm_a_span() {
        let clock = Arc::new(ShiftedClock::default());
        let (alarms, mut raised) = Alarms::new(clock.clone());
        let hour = 3_600_000;
        for _ in 0..3 {
            alarms.raise(ENUMERATION, "window/a", hour * 1000, "much");
            alarms.raise(ENUMERATION, "window/b", hour * 1000, "much");
        }
        clock.shift_to(hour * 2000);
        alarms.raise(ENUMERATION, "window/a", hour * 1000, "much");
        let mut ids = Vec::new();
        while let Ok(row) = raised.try_recv() {
            assert!(!is_of_the_log(&row));
            ids.push(row.id);
        }
        let subject = |id: &'_ String| id.rsplitn(3, '/').last().unwrap().to_owned();
        let subjects: Vec<_> = ids.iter().map(subject).collect();
        assert_eq!(subjects, ["hub/enumeration/window/a", "hub/enumeration/window/b", "hub/enumeration/window/a"]);
        assert_ne!(ids[0], ids[2]);
    }
}
