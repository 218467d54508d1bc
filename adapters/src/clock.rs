//! What differs from run to run: the time, and chance. Made once by the caller and passed on.

use std::{fmt::Debug, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

/// The time of day.
pub trait Clock: Send + Sync + Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct SetClock(std::sync::atomic::AtomicI64);

impl SetClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(std::sync::atomic::AtomicI64::new(now.as_millisecond()))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(std::sync::atomic::Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}

/// Random bytes fit for keys, salts and nonces.
pub trait Chance: Send + Sync + Debug {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// The source of randomness failed; nothing may be made from `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceFailed>;
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no random bytes could be had from the system")]
pub struct ChanceFailed;

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceFailed> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| ChanceFailed)
    }
}

/// What a run takes from outside besides its configuration.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub chance: Arc<dyn Chance>,
    /// Who is told how far the work is.
    pub progress: Arc<dyn crate::runner::Progress>,
    /// The program that reads workbooks: one that calls [`crate::sheet_child`] when its first argument says so.
    pub helper: PathBuf,
}

impl Surroundings {
    /// The machine's clock and randomness, nobody told, this very program as helper (also after its file was replaced).
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            progress: Arc::new(crate::runner::Silent),
            helper: PathBuf::from("/proc/self/exe"),
        }
    }
}
