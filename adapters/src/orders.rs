//! Carrying out what was asked of the adapter: by the hub's commands, and by the commands of the adapter's own machine.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use weft_proto::v1::{KeyState, ProposeSealingKeyRequest, renewal_client::RenewalClient};

use crate::{
    clock::Surroundings,
    heads,
    intake::{self, Intake},
    join,
    keys::{self, Directory},
    life::{Halt, Life},
    link::{self, Link},
    reconcile::{self, Reconciled},
    spool::{self, Order, OrderKind, Told},
};

/// How often orders that another process left are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// A comparison that could not be made is tried again after so long.
const AGAIN_MS: i64 = 600_000;

/// Carries orders out, one after another.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) intake: Intake,
    pub(crate) life: Arc<Life>,
    pub(crate) link: Arc<Link>,
    pub(crate) directory: Directory,
    /// (name, record type) of each source.
    pub(crate) sources: Vec<(String, String)>,
    pub(crate) surroundings: Surroundings,
    /// Between two comparisons of source and hub.
    pub(crate) reconcile_ms: i64,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The hub.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The certificate.
    #[error(transparent)]
    Join(#[from] join::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// Sealing.
    #[error(transparent)]
    Intake(#[from] intake::Error),
    /// There is no source of that name.
    #[error("there is no source of that name")]
    NoSource,
    /// A key could not be made.
    #[error("a key could not be made")]
    Key,
}

impl From<heads::Error> for Error {
    fn from(error: heads::Error) -> Self {
        match error {
            heads::Error::Link(error) => Self::Link(error),
            heads::Error::Spool(error) => Self::Spool(error),
        }
    }
}

impl From<reconcile::Error> for Error {
    fn from(error: reconcile::Error) -> Self {
        match error {
            reconcile::Error::Link(error) => Self::Link(error),
            reconcile::Error::Spool(error) => Self::Spool(error),
        }
    }
}

fn done(zh: impl Into<String>, en: impl Into<String>) -> Told {
    Told { done: true, zh: zh.into(), en: en.into() }
}

impl Orders {
    /// Carries out what comes until `stop`, and compares source and hub when it is time.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), spool::Error> {
        let mut tried_ms = i64::MIN;
        while !stop.is_cancelled() {
            let worked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                worked = self.work_off(&mut tried_ms) => worked,
            };
            match worked {
                Err(error) if error.is_full() => self.life.set_disk_full(true),
                worked => worked?,
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.life.ordered() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }

    async fn work_off(&self, tried_ms: &mut i64) -> Result<(), spool::Error> {
        self.all().await?;
        let now_ms = self.now_ms();
        let last = Reconciled::last(&self.intake.spool).await?.map_or(i64::MIN, |last| last.at_ms);
        let due = now_ms.saturating_sub(last) >= self.reconcile_ms && now_ms.saturating_sub(*tried_ms) >= AGAIN_MS;
        if due {
            *tried_ms = now_ms;
            match self.reconcile(false).await {
                Ok(found) => tracing::info!(?found, "source and hub were compared"),
                Err(Error::Spool(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "source and hub could not be compared"),
            }
        }
        Ok(())
    }

    /// Carries out all that is there.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn all(&self) -> Result<(), spool::Error> {
        while let Some(order) = self.intake.spool.next_order().await? {
            let told = match self.carry_out(&order).await {
                Ok(told) => told,
                Err(Error::Spool(error)) => return Err(error),
                Err(error) => {
                    Told { done: false, zh: format!("未执行：{error}"), en: format!("not carried out: {error}") }
                }
            };
            tracing::info!(order = order.kind.as_str(), source = order.source, done = told.done, "an order came");
            self.intake.spool.end_order(&order.id, &told, self.now_ms()).await?;
            self.life.tell();
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.surroundings.clock.now().as_millisecond()
    }

    fn named(&self, source: &str) -> Result<Vec<&str>, Error> {
        let all = self.sources.iter().map(|(name, _)| name.as_str());
        let named: Vec<&str> = all.filter(|name| source.is_empty() || *name == source).collect();
        if named.is_empty() { Err(Error::NoSource) } else { Ok(named) }
    }

    async fn carry_out(&self, order: &Order) -> Result<Told, Error> {
        let spool = &self.intake.spool;
        match order.kind {
            OrderKind::Pause => {
                for source in self.named(&order.source)? {
                    spool.halt(source, &Halt::Paused).await?;
                    self.life.set_halt(source, Some(Halt::Paused));
                }
                Ok(done("已暂停", "paused"))
            }
            OrderKind::Resume => {
                for source in self.named(&order.source)? {
                    spool.resume(source).await?;
                    self.life.set_halt(source, None);
                }
                Ok(done("已恢复", "resumed"))
            }
            OrderKind::Resync => {
                let since_ms = order.since_ms.unwrap_or(0);
                for source in self.named(&order.source)? {
                    self.resync(source, since_ms).await?;
                }
                Ok(done("下次读取时重新读取", "read again at the next look at the source"))
            }
            OrderKind::Reconcile => {
                let found = self.reconcile(order.repair).await?;
                let (zh, en) = found.sentence();
                Ok(done(zh, en))
            }
            OrderKind::Renew => {
                join::renew(&self.link, &self.directory).await?;
                Ok(done("证书已续期", "the certificate was renewed"))
            }
            OrderKind::RotateKey => self.rotate().await,
        }
    }

    async fn resync(&self, source: &str, since_ms: i64) -> Result<(), spool::Error> {
        self.intake.spool.set_fact(&format!("resync:{source}"), &since_ms.to_string()).await?;
        self.life.set_resync(source, since_ms);
        Ok(())
    }

    async fn reconcile(&self, repair: bool) -> Result<Reconciled, Error> {
        let mut types: Vec<&str> = self.sources.iter().map(|(_, record_type)| record_type.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        let channel = self.link.connect().await?;
        let spool = &self.intake.spool;
        for record_type in &types {
            // A state that does not know the heads yet would find all of them extra.
            if !heads::known(spool, record_type).await? {
                heads::take_over(channel.clone(), spool, record_type).await?;
            }
        }
        let (found, to_read) = reconcile::run(channel, spool, &types, repair, self.now_ms()).await?;
        // What the spool cannot send again, the source must give again.
        for (source, _) in self.sources.iter().filter(|(_, record_type)| to_read.contains(record_type)) {
            self.resync(source, 0).await?;
        }
        Ok(found)
    }

    /// The next sealing key: kept here first, then proposed under the signature of the present one, then followed; what waits
    /// unsent is sealed anew. What is on its way stays sealed by the former key, which the hub goes on accepting. Repeating it
    /// after a failure goes on where it stopped.
    async fn rotate(&self) -> Result<Told, Error> {
        let chance = self.surroundings.chance.as_ref();
        let next = self.directory.next_sealing_key(|| join::sealing_key(chance))?;
        let present = self.intake.sealer.key();
        let signature = present.sign(format!("weft-sealing-key:{}", next.kid()).as_bytes()).map_err(|_| Error::Key)?;
        let request = ProposeSealingKeyRequest {
            jwk: next.public_jwk().to_string(),
            signed_by_kid: present.kid().to_owned(),
            signature,
        };
        let channel = self.link.connect().await?;
        let answer = RenewalClient::new(channel).propose_sealing_key(request).await;
        let answer = answer.map_err(link::Error::from)?.into_inner();
        if answer.state() != KeyState::Active {
            let kid = next.kid();
            return Ok(Told {
                done: false,
                zh: format!("新密钥 {kid} 尚待另一人确认；确认后请再次执行"),
                en: format!("the new key {kid} waits for a second person; ask again when it is confirmed"),
            });
        }
        self.directory.follow_sealing_key()?;
        let kid = next.kid().to_owned();
        self.intake.sealer.follow_with(next);
        let anew = self.seal_unsent_anew().await?;
        Ok(done(
            format!("已启用新密钥 {kid}，{anew} 条未送记录已重新签章"),
            format!("the new key {kid} seals now; {anew} records that were not sent were sealed anew"),
        ))
    }

    async fn seal_unsent_anew(&self) -> Result<usize, Error> {
        let records = self.intake.spool.unsent_records().await?;
        for together in records.chunks(256) {
            let mut writes = self.intake.spool.begin().await?;
            for record_id in together {
                self.intake.anew(&mut writes, record_id, 0).await?;
            }
            self.intake.spool.commit(writes).await?;
        }
        Ok(records.len())
    }
}
