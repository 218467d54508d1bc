//! What keeps a source from being read on: a halt, a full spool or disk.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Feed, Left};
use crate::{hours::Hours, intake::Intake, runner::Error, snapshot::free_bytes};

/// How often it is looked whether a look at a source is to end.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// Why a look at a source ends before it found anything. What was fetched is left behind, and fetched again.
pub(super) enum End {
    Stopped,
    Halted,
    Over,
}

/// Returns when a source is not to be read on.
pub(super) async fn end(hours: &Hours, intake: &Intake, source: &str, stop: &CancellationToken) -> End {
    loop {
        tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            () = tokio::time::sleep(LOOKED_AT) => {}
        }
        if intake.life.halt(source).is_some() {
            return End::Halted;
        }
        if !hours.include(intake.clock.now()) {
            tracing::warn!(source, "its service hours ended while it was read: it is read on when they begin again");
            return End::Over;
        }
    }
}

impl Feed {
    /// Whether rows may be read on, where the hours hold for them; for a thread that reads.
    pub(super) fn within_hours(&self) -> impl Fn() -> Result<(), Left> + Send + 'static {
        let (hours, clock, reads_there) = (self.hours.clone(), Arc::clone(&self.intake.clock), self.reads_there);
        move || if reads_there && !hours.include(clock.now()) { Err(Left::Over) } else { Ok(()) }
    }

    /// Whether the source is not to be read: by command, or because almost everything of it fails.
    pub(super) fn halted(&self) -> bool {
        self.intake.life.halt(self.source.name()).is_some()
    }

    /// Has the source offer again what it had since a time, where that was asked for.
    pub(super) async fn rewind(&mut self) -> Result<(), Error> {
        let (life, name) = (&self.intake.life, self.source.name().to_owned());
        let Some(since_ms) = life.take_resync(&name) else { return Ok(()) };
        self.intake.spool.read_again(since_ms).await?;
        match self.source.rewind(since_ms).await {
            Ok(true) => tracing::info!(source = name, "the source is read again"),
            Ok(false) => tracing::warn!(source = name, "this kind of source cannot be read again"),
            Err(error) => {
                self.intake.life.set_resync(&name, since_ms);
                return Err(error.into());
            }
        }
        Ok(self.intake.spool.forget_fact(&format!("resync:{name}")).await?)
    }

    /// Waits until the spool has room: a hub that is away stops the reading, not the disk.
    pub(super) async fn room(&self, stop: &CancellationToken) -> Result<(), Left> {
        let within_hours = self.within_hours();
        loop {
            if stop.is_cancelled() {
                return Err(Left::Stopped);
            }
            if self.halted() {
                return Err(Left::Halted);
            }
            within_hours()?;
            let counts = self.intake.spool.counts().await?;
            let waiting = counts.under_way() + counts.held + counts.stopped;
            if waiting < self.limits.max_waiting && free_bytes(&self.directory) >= self.limits.min_free_mib << 20 {
                return Ok(());
            }
            self.intake.life.waiting(self.source.name());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }
}
