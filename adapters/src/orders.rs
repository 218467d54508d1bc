//! Carrying out what was asked of the adapter: by the hub's commands, and by the commands of the adapter's own machine.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use weft_proto::v1::{KeyState, ProposeSealingKeyRequest, renewal_client::RenewalClient};

use crate::{
    clock::Surroundings,
    config::Kind,
    heads,
    intake::{self, Intake},
    join,
    keys::{self, Directory},
    life::{At, Halt, Life, SourceLife},
    link::{self, Link},
    reconcile::{self, Comparison, Origin, Reconciled},
    source::push,
    spool::{self, Order, OrderKind, Told},
};

/// How often orders that another process left are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// A comparison that could not be made is tried again after so long.
const AGAIN_MS: i64 = 600_000;
/// When an adapter that never compared began.
const BEGAN: &str = "reconcile_began";

/// Carries orders out, one after another.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) intake: Intake,
    pub(crate) life: Arc<Life>,
    pub(crate) link: Arc<Link>,
    pub(crate) directory: Directory,
    /// The sources, and what their rows become.
    pub(crate) origins: Vec<Origin>,
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
    /// A source could not be read.
    #[error("{0}")]
    Source(String),
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
            reconcile::Error::Intake(error) => Self::Intake(error),
            reconcile::Error::Source(error) => Self::Source(error.to_string()),
            reconcile::Error::Rows(error) => Self::Source(error.to_string()),
        }
    }
}

fn done(zh: impl Into<String>, en: impl Into<String>) -> Told {
    Told { done: true, zh: zh.into(), en: en.into() }
}

impl Orders {
    /// Carries out what comes until `stop`, and compares source and hub when it is time. A comparison may take hours, and
    /// holds up nothing else.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), spool::Error> {
        tokio::try_join!(self.rounds(false, stop), self.rounds(true, stop)).map(drop)
    }

    async fn rounds(&self, comparisons: bool, stop: &CancellationToken) -> Result<(), spool::Error> {
        let mut tried_ms = i64::MIN;
        while !stop.is_cancelled() {
            let worked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                worked = self.work_off(comparisons, &mut tried_ms) => worked,
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

    async fn work_off(&self, comparisons: bool, tried_ms: &mut i64) -> Result<(), spool::Error> {
        self.all(comparisons).await?;
        if comparisons && self.is_due(*tried_ms).await? {
            *tried_ms = self.now_ms();
            match self.reconcile(false).await {
                Ok(found) => {
                    let words = found.sentence().1;
                    tracing::info!(words, "source and hub were compared");
                }
                Err(Error::Spool(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "source and hub could not be compared"),
            }
            self.life.tell();
        }
        Ok(())
    }

    /// Whether source and hub are to be compared now: when the time has come, every source is within its hours and none
    /// is being read, and at the latest when the time has come twice. The time begins with the adapter's first look.
    async fn is_due(&self, tried_ms: i64) -> Result<bool, spool::Error> {
        let (now, spool) = (self.surroundings.clock.now(), &self.intake.spool);
        let now_ms = now.as_millisecond();
        let last_ms = match Reconciled::last(spool).await? {
            Some(last) => last.at_ms,
            None => match spool.fact(BEGAN).await?.and_then(|text| text.parse().ok()) {
                Some(began_ms) => began_ms,
                None => {
                    spool.set_fact(BEGAN, &now_ms.to_string()).await?;
                    now_ms
                }
            },
        };
        let reads = |source: &SourceLife| matches!(source.state, At::Reading | At::BackFilling | At::Waiting);
        let free =
            self.origins.iter().all(|origin| origin.hours.include(now)) && !self.life.sources().iter().any(reads);
        let after_ms = if free { self.reconcile_ms } else { self.reconcile_ms.saturating_mul(2) };
        Ok(now_ms.saturating_sub(last_ms) >= after_ms && now_ms.saturating_sub(tried_ms) >= AGAIN_MS)
    }

    /// Carries out all that is there, comparisons or everything else.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn all(&self, comparisons: bool) -> Result<(), spool::Error> {
        while let Some(order) = self.intake.spool.next_order(comparisons).await? {
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
        let all = self.origins.iter().map(|origin| origin.config.name.as_str());
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
            OrderKind::Resync => self.resync(&order.source, order.since_ms.unwrap_or(0)).await,
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

    /// Has sources read again, and says what each can give.
    async fn resync(&self, source: &str, since_ms: i64) -> Result<Told, Error> {
        let named: Vec<String> = self.named(source)?.into_iter().map(str::to_owned).collect();
        let mut told = Told { done: false, zh: String::new(), en: String::new() };
        for origin in self.origins.iter().filter(|origin| named.contains(&origin.config.name)) {
            let name = &origin.config.name;
            let (zh, en) = match origin.config.kind() {
                Ok(Kind::Push(_)) => self.nothing_to_read_again(name).await?,
                Ok(Kind::File(_)) => (
                    "下次读取时重新读取 done/ 中自该时起处理的文件；已不在其中的须重新放入".to_owned(),
                    "files done with since then that are still in done/ are read again at the next look; others have to \
                     be dropped again"
                        .to_owned(),
                ),
                _ => ("下次读取时重新读取全部".to_owned(), "all of it is read again at the next look".to_owned()),
            };
            if !matches!(origin.config.kind(), Ok(Kind::Push(_))) {
                self.intake.spool.set_fact(&format!("resync:{name}"), &since_ms.to_string()).await?;
                self.life.set_resync(name, since_ms);
                told.done = true;
            }
            told.zh.push_str(&format!("{}{name}：{zh}", if told.zh.is_empty() { "" } else { "；" }));
            told.en.push_str(&format!("{}{name}: {en}", if told.en.is_empty() { "" } else { "; " }));
        }
        if source.is_empty() {
            self.intake.spool.forget_recovered().await?;
        }
        Ok(told)
    }

    /// Of a source that is posted to.
    async fn nothing_to_read_again(&self, source: &str) -> Result<(String, String), Error> {
        let (state_dir, surroundings) = (self.directory.path().to_owned(), self.surroundings.clone());
        let name = source.to_owned();
        let waiting = tokio::task::spawn_blocking(move || push::waiting(&name, &state_dir, &surroundings)).await;
        let waiting = waiting.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let waiting = waiting.map_err(|error| Error::Source(error.to_string()))?;
        Ok((
            format!("推送来源不能重新读取：待处理的 {waiting} 次推送会照常处理；此前推送的须由本部门系统重新推送"),
            format!(
                "what was posted cannot be read again: {waiting} posts that wait are worked off as ever; what was \
                 posted before, the department's system has to post again"
            ),
        ))
    }

    async fn reconcile(&self, repair: bool) -> Result<Reconciled, Error> {
        let channel = self.link.connect().await?;
        let spool = &self.intake.spool;
        for origin in &self.origins {
            // A state that does not know the heads yet would find all of them extra.
            if !heads::known(spool, origin.mapper.record_type()).await? {
                match heads::take_over(channel.clone(), spool, origin.mapper.record_type()).await {
                    // The comparison says so of its source; the others are compared.
                    Err(heads::Error::Link(error)) if error.is_not_your_type() => {}
                    taken => drop(taken?),
                }
            }
        }
        let comparison = Comparison {
            channel,
            intake: &self.intake,
            surroundings: &self.surroundings,
            state_dir: self.directory.path(),
            origins: &self.origins,
            repair,
        };
        Ok(comparison.run().await?)
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
