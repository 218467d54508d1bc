//! Time and randomness: values made once in `main` and passed. The only module that asks the operating system for them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// What time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall-clock time. May jump.
    fn now(&self) -> Millis;
    /// Milliseconds of CLOCK_BOOTTIME: never goes back, goes on during suspend. For ages of what is in memory.
    fn boot(&self) -> Millis;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }

    fn boot(&self) -> Millis {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

/// The system's clocks, moved by an offset that a test sets.
#[derive(Debug, Default)]
pub struct ShiftedClock {
    shift: AtomicI64,
}

impl ShiftedClock {
    /// Moves the wall clock to `shift` ms from the system's.
    pub fn shift_to(&self, shift: Millis) {
        self.shift.store(shift, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Millis {
        SystemClock.now() + self.shift.load(Ordering::SeqCst)
    }

    fn boot(&self) -> Millis {
        SystemClock.boot()
    }
}

/// `N` random bytes from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give: nothing secure can be done then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// Fills `bytes` from the operating system; panics like [`random`].
pub fn fill_random(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the operating system gives randomness");
}
