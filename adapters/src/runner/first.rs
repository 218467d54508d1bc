//! What comes before a source is read: the hub's heads of its record type are here, so that no version is made under a
//! number that is taken. Each source waits for itself; the others go on.

use tokio_util::sync::CancellationToken;

use super::{
    Adapter, Error, FailedSource,
    feed::{Fed, Feed},
};
use crate::{
    heads, link,
    problem::{Reason, Refused},
};

impl Adapter {
    /// Watches a source from when the heads of its record type are here.
    pub(super) async fn watch_one(&self, feed: Feed, stop: &CancellationToken) -> Result<(), Error> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            match self.heads_of(&feed, failures, stop).await {
                Ok(None) => return feed.watch_apart(stop).await,
                Ok(Some(refused)) => {
                    feed.wait_for(refused);
                    failures += 1;
                    self.rest(failures, stop).await;
                }
                Err(Error::Stopped) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Works off a source. One that cannot be read is told and left: the others have their turn.
    pub(super) async fn work_off_one(&self, mut feed: Feed, stop: &CancellationToken) -> Result<Fed, Error> {
        let mut fed = Fed::default();
        match self.heads_of(&feed, 0, stop).await? {
            Some(refused) => fed.failed.push(feed.wait_for(refused)),
            None => match feed.work_off(stop, &mut fed).await {
                Err(Error::Source(error)) => fed.failed.push(feed.unreachable(&error)),
                worked => worked?,
            },
        }
        Ok(fed)
    }

    /// Takes over the hub's heads of a source's record type, waiting for a hub that is away; what the hub says where it
    /// has no such type of this department.
    async fn heads_of(
        &self,
        feed: &Feed,
        mut failures: u32,
        stop: &CancellationToken,
    ) -> Result<Option<Refused>, Error> {
        let record_type = feed.mapper.record_type();
        while !heads::known(&self.intake.spool, record_type).await? {
            let asked = async {
                let channel = self.link.connect().await?;
                heads::take_over(channel, &self.intake.spool, record_type).await
            };
            match asked.await {
                Ok(_) => break,
                Err(heads::Error::Spool(error)) if error.is_full() => self.intake.life.set_disk_full(true),
                Err(heads::Error::Spool(error)) => return Err(error.into()),
                Err(heads::Error::Link(error)) if error.is_not_your_type() => {
                    return Ok(Some(Refused::new(Reason::TypeNotYours, None, record_type)));
                }
                Err(heads::Error::Link(error)) => {
                    tracing::warn!(%error, record_type, "the hub's heads are not here yet");
                    self.link.failed();
                }
            }
            failures += 1;
            self.rest(failures, stop).await;
            if stop.is_cancelled() {
                return Err(Error::Stopped);
            }
        }
        Ok(None)
    }

    async fn rest(&self, failures: u32, stop: &CancellationToken) {
        let pause = link::pause(self.publisher.pace, failures, self.surroundings.chance.as_ref());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Feed {
    /// The source cannot be read now, and is tried again.
    pub(super) fn unreachable(&self, error: &crate::source::Error) -> FailedSource {
        tracing::warn!(%error, cause = %error.cause, "the source cannot be read now");
        let reason = format!("{error}: {}", error.cause);
        let failed = FailedSource {
            source: self.source.name().to_owned(),
            zh: format!("数据源无法读取：{reason}"),
            en: reason.clone(),
        };
        self.tell_state(&crate::source::SourceState::Unreachable { reason });
        failed
    }
}
