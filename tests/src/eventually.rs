//! Waiting for a condition, with a patience instead of a sleep.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Repeats `check` until it is `Ok` and returns its value; panics with its last error when `patience` is over.
///
/// Runs on tokio's clock, so a paused clock passes by itself. A check that hangs is cut off with the patience.
///
/// # Panics
/// When the patience is over, naming the caller's line.
#[track_caller]
pub fn eventually<T, E, F, Fut>(patience: Duration, mut check: F) -> impl Future<Output = T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let caller = Location::caller();
    async move {
        let outcome = try_eventually(patience, async || check().await.map(Ok)).await;
        outcome.unwrap_or_else(|why| panic!("{why} (at {caller})"))
    }
}

/// As [`eventually`], for a check that can also know that waiting is in vain: it answers `Err` to be asked again,
/// `Ok(Ok(value))` when it is done, `Ok(Err(why))` to give up.
///
/// # Errors
/// Why it gave up, or the last error when the patience is over.
pub async fn try_eventually<T, E: Display>(
    patience: Duration,
    mut check: impl AsyncFnMut() -> Result<Result<T, String>, E>,
) -> Result<T, String> {
    let end = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut last = String::from("the check itself did not return");
    loop {
        match timeout_at(end, check()).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        if Instant::now() >= end {
            return Err(format!("not within {patience:?}: {last}"));
        }
        sleep_until(end.min(Instant::now() + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn returns_the_first_success() {
        let calls = Cell::new(0);
        let value = eventually(Duration::from_secs(5), || {
            calls.set(calls.get() + 1);
            ready(if calls.get() < 3 { Err("too early") } else { Ok(calls.get()) })
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "still 7")]
    async fn panics_with_the_last_error() {
        eventually(Duration::from_millis(30), || ready(Err::<(), _>("still 7"))).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the check itself did not return")]
    async fn cuts_off_a_check_that_hangs() {
        eventually(Duration::from_millis(30), pending::<Result<(), String>>).await;
    }

    #[tokio::test]
    async fn gives_up_at_once_when_told_so() {
        let given_up = try_eventually(Duration::from_secs(60), async || {
            Ok::<Result<(), String>, String>(Err("in vain".to_owned()))
        });
        assert_eq!(given_up.await, Err("in vain".to_owned()));
    }
}
