//! How often a window may look, and all windows of a hall together; and who asks so much, or so much in vain, that somebody must know.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock as _};
use weft_proto::{Reason, Refusal};

use crate::{
    alarms::{Alarms, ENUMERATION, QUOTA_EXCEEDED},
    clock::{Millis, SharedClock},
    config::Limits,
    registry::RegistryView,
};

/// From how many times its quota on a caller is an alarm.
const FAR_EXCEEDED: u64 = 10;
/// Nobody waits less.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// The quotas of one instance, per window and per hall.
#[derive(Debug)]
pub struct Quotas {
    limits: Limits,
    windows: DefaultKeyedRateLimiter<String>,
    halls: DefaultKeyedRateLimiter<String>,
    registry: Arc<RegistryView>,
    alarms: Arc<Alarms>,
    clock: SharedClock,
    /// By subject, such as `window/hall-1`; as many as are registered.
    watched: Mutex<HashMap<String, Watched>>,
    hasher: RandomState,
}

/// What one subject asked since the span began.
#[derive(Debug, Default)]
struct Watched {
    span: Millis,
    asked: u64,
    /// Hashes of different questions that had no answer.
    in_vain: HashSet<u64>,
}

impl Quotas {
    /// Nobody has asked anything yet.
    pub fn new(limits: Limits, registry: Arc<RegistryView>, alarms: Arc<Alarms>, clock: SharedClock) -> Self {
        Self {
            windows: DefaultKeyedRateLimiter::keyed(quota(limits.looks_per_second, limits.looks_burst)),
            halls: DefaultKeyedRateLimiter::keyed(quota(limits.hall_looks_per_second, limits.hall_looks_burst)),
            limits,
            registry,
            alarms,
            clock,
            watched: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// One window's flood is that window's trouble, and its hall's.
    pub fn admit(&self, window: &str) -> Result<(), Refusal> {
        let hall = self.registry.snapshot().windows.get(window).map(|window| window.hall.clone()).unwrap_or_default();
        let Limits { looks_per_second, looks_burst, hall_looks_per_second, hall_looks_burst, .. } = self.limits;
        self.asked(&format!("window/{window}"), looks_per_second, looks_burst);
        if !hall.is_empty() {
            self.asked(&format!("hall/{hall}"), hall_looks_per_second, hall_looks_burst);
        }
        within(&self.windows, &window.to_owned(), "window", looks_per_second)?;
        // A window that stands in no hall shares its quota with nobody.
        if hall.is_empty() { Ok(()) } else { within(&self.halls, &hall, "hall", hall_looks_per_second) }
    }

    /// Counts what a subject asks, refused or not.
    fn asked(&self, subject: &str, per_second: u32, burst: u32) {
        let seconds = self.limits.watch_interval_ms.div_ceil(1000);
        let quota = u64::from(per_second).saturating_mul(seconds).saturating_add(u64::from(burst));
        let far = self.watch(subject, |watched| {
            watched.asked += 1;
            watched.asked > quota.saturating_mul(FAR_EXCEEDED)
        });
        if far {
            let detail = format!("more than {FAR_EXCEEDED} times its quota of {per_second} looks a second");
            self.alarms.raise(QUOTA_EXCEEDED, subject, self.interval(), &detail);
        }
    }

    /// Counts a question of a window that was denied, or answered with nothing. The same one again is no news.
    pub fn in_vain(&self, window: &str, question: &impl Hash) {
        let hash = self.hasher.hash_one(question);
        let most = self.limits.looks_in_vain as usize;
        let subject = format!("window/{window}");
        let too_many = self.watch(&subject, |watched| {
            if watched.in_vain.len() <= most {
                watched.in_vain.insert(hash);
            }
            watched.in_vain.len() > most
        });
        if too_many {
            let detail = format!(
                "more than {most} different questions within {} ms were denied or answered with nothing",
                self.limits.watch_interval_ms
            );
            self.alarms.raise(ENUMERATION, &subject, self.interval(), &detail);
        }
    }

    fn watch<T>(&self, subject: &str, then: impl FnOnce(&mut Watched) -> T) -> T {
        let span = self.clock.now().div_euclid(self.interval());
        let mut all = lock(&self.watched);
        let watched = all.entry(subject.to_owned()).or_default();
        if watched.span != span {
            *watched = Watched { span, ..Watched::default() };
        }
        then(watched)
    }

    fn interval(&self) -> Millis {
        Millis::try_from(self.limits.watch_interval_ms).unwrap_or(Millis::MAX).max(1)
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

fn within(
    limiter: &DefaultKeyedRateLimiter<String>,
    key: &String,
    whose: &str,
    per_second: u32,
) -> Result<(), Refusal> {
    limiter.check_key(key).map_err(|until| {
        tracing::warn!(whose, key, "a quota is exceeded");
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        Refusal::new(Reason::RateLimited)
            .detail(format!("the quota of this {whose} is {per_second} looks a second"))
            .retry_after(wait.max(LEAST_WAIT))
    })
}

fn lock(watched: &Mutex<HashMap<String, Watched>>) -> MutexGuard<'_, HashMap<String, Watched>> {
    // Nothing that can panic runs under this lock but the counting above, and a count is whole at every moment.
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
