//! A source that has stopped: almost every row of its unit fails. The unit stays where it is and is not read again
//! until it is another one, or the adapter begins anew with another mapping.

use std::time::Duration;

use super::{Error, FailedSource, feed::Feed};
use crate::{
    problem::{Refused, RowProblem},
    source::{SourceState, Unit},
    spool::Digest,
};

/// How often a source that has stopped is looked at.
const PAUSE: Duration = Duration::from_secs(10);

impl Feed {
    /// How long until the source is looked at again.
    pub(super) fn pause(&self) -> Duration {
        if self.stopped.is_some() { self.poll.max(PAUSE) } else { self.poll }
    }

    /// Whether the unit is the one at which the source has stopped; its state is then told again.
    pub(super) fn is_stopped_at(&self, digest: Digest) -> bool {
        let Some((_, refused)) = self.stopped.as_ref().filter(|(at, _)| *at == digest) else { return false };
        let state = SourceState::Stopped { reason: refused.reason, detail: refused.detail.clone() };
        self.progress.state(self.source.name(), &state);
        true
    }

    /// The source waits for somebody to mend what is named, and is looked at again.
    pub(super) fn wait_for(&self, refused: Refused) -> FailedSource {
        let source = self.source.name().to_owned();
        tracing::error!(source, reason = %refused.reason, detail = refused.detail, "the source waits");
        let failed = FailedSource {
            source,
            zh: format!("{}（{}）", refused.reason.zh(), refused.detail),
            en: format!("{} ({})", refused.reason.en(), refused.detail),
        };
        self.progress.state(&failed.source, &SourceState::Stopped { reason: refused.reason, detail: refused.detail });
        failed
    }

    /// Stops at a unit: what is wrong stands among the problems, and nothing of it is sent.
    pub(super) async fn stop_at(
        &mut self,
        unit: &Unit,
        digest: Digest,
        refused: Refused,
        problems: Vec<RowProblem>,
    ) -> Result<(), Error> {
        let now_ms = self.intake.clock.now().as_millisecond();
        let mut writes = self.intake.spool.begin().await?;
        let first = RowProblem::of_file(&unit.name, &refused);
        for problem in std::iter::once(first).chain(problems) {
            let problem = problem.in_file(&unit.name);
            let at = (self.source.name(), &digest);
            self.intake.spool.add_problem(&mut writes, at, None, &problem, now_ms).await?;
        }
        self.intake.spool.commit(writes).await?;
        tracing::error!(
            source = self.source.name(),
            failed = refused.detail,
            "almost every row fails: the source stops"
        );
        self.stopped = Some((digest, refused));
        Ok(())
    }
}
