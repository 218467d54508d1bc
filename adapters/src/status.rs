//! `weft adapter status`: how the adapter is, told on its own machine, whether it runs or not.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Surroundings,
    config::Config,
    join,
    keys::Directory,
    life::{At, Halt, Life, LinkLife},
    reconcile::Reconciled,
    runner::Error,
    snapshot::{self, Looker, Snapshot, backlog, free_bytes},
    source,
    spool::Spool,
};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(2);
/// A file that is younger was written by an adapter that runs.
const FRESH_MS: i64 = 10_000;
/// What waits unsent for longer is late.
const LATE_MS: i64 = 15 * 60_000;
/// A hub that was not heard for longer is away.
const UNHEARD_MS: i64 = 60_000;
/// A certificate that ends sooner was not renewed in time.
const EXPIRING_SECONDS: i64 = 20 * 86_400;

fn file(directory: &Directory) -> PathBuf {
    directory.path().join("status.json")
}

/// Writes the file whole or not at all. It is lost with the machine's memory: it only says how things are now.
fn write(directory: &Directory, snapshot: &Snapshot) -> io::Result<()> {
    let fresh = directory.path().join(".status.json.new");
    fs::write(&fresh, serde_json::to_vec_pretty(snapshot)?)?;
    fs::rename(fresh, file(directory))
}

/// Keeps the status file current while the adapter works.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) looker: Looker,
    pub(crate) life: Arc<Life>,
    pub(crate) spool: Spool,
    pub(crate) surroundings: Surroundings,
}

impl Writer {
    /// Writes until `stop`. A full disk keeps it from being written, and shows by itself.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut rounds = 0_u32;
        loop {
            self.round(rounds).await;
            rounds = rounds.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = async {
                    self.life.changed().await;
                    tokio::time::sleep(EVERY / 4).await;
                } => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn round(&self, rounds: u32) {
        let now_ms = self.surroundings.clock.now().as_millisecond();
        if self.life.disk_full() && self.spool.set_fact("room", &now_ms.to_string()).await.is_ok() {
            tracing::info!("the disk has room again");
            self.life.set_disk_full(false);
        }
        match self.looker.look(&self.life, &self.spool, now_ms).await {
            Ok(snapshot) => self.put(&snapshot),
            Err(error) => tracing::warn!(%error, "the adapter's status cannot be told"),
        }
        if rounds % 15 == 14
            && let Err(error) = self.spool.keep_reads(&self.life).await
        {
            tracing::warn!(%error, "when sources were read cannot be kept");
        }
    }

    fn put(&self, snapshot: &Snapshot) {
        if let Err(error) = write(&self.looker.directory, snapshot) {
            tracing::debug!(%error, "the status file cannot be written");
        }
    }

    /// The last word: the adapter ended, well or not.
    pub(crate) async fn end(&self, error: Option<&Error>) {
        let now_ms = self.surroundings.clock.now().as_millisecond();
        if let Err(error) = self.spool.keep_reads(&self.life).await {
            tracing::debug!(%error, "when sources were read cannot be kept");
        }
        if let Ok(mut snapshot) = self.looker.look(&self.life, &self.spool, now_ms).await {
            // As old as a file of an adapter that ended: it must not pass for one that runs.
            snapshot.at_ms = now_ms - FRESH_MS;
            snapshot.ended = Some(error.map_or_else(|| "stopped".to_owned(), |error| chain(error)));
            self.put(&snapshot);
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        told.push_str(&format!(": {next}"));
        cause = next.source();
    }
    told
}

/// What `weft adapter status` tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether an adapter works on the state directory now.
    pub running: bool,
    /// `healthy`, `resting`, `back-filling`, `paused`, `expiring`, `late`, `unconnected`, `failing`, `not-running`.
    pub state: &'static str,
    /// Whether somebody must do something.
    pub needs_person: bool,
    /// Why, in Chinese.
    pub zh: String,
    /// Why, in English.
    pub en: String,
    /// Everything else.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// How the adapter of a configuration is.
///
/// # Errors
/// It has not joined, or its state cannot be read.
pub async fn status(config: &Config, surroundings: &Surroundings) -> Result<Status, Error> {
    let directory = Directory::new(&config.state_dir);
    if directory.identity()?.is_none() {
        return Err(crate::keys::Error::NotJoined(config.state_dir.clone()).into());
    }
    let now_ms = surroundings.clock.now().as_millisecond();
    let written: Option<Snapshot> = fs::read(file(&directory)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let fresh = written.as_ref().is_some_and(|one| now_ms.saturating_sub(one.at_ms) < FRESH_MS);
    let running = fresh || directory.in_use()?;
    let snapshot = look(config, &directory, surroundings, written, running).await?;
    let (state, zh, en) = verdict(&snapshot, running, now_ms);
    let needs_person = !matches!(state, "healthy" | "resting" | "back-filling");
    Ok(Status { running, state, needs_person, zh, en, snapshot })
}

/// What was written last, with what can be told without the adapter.
async fn look(
    config: &Config,
    directory: &Directory,
    surroundings: &Surroundings,
    written: Option<Snapshot>,
    running: bool,
) -> Result<Snapshot, Error> {
    let life = Life::new(config, surroundings.clock.clone(), surroundings.progress.clone());
    let mut snapshot = written.unwrap_or_else(|| Snapshot {
        at_ms: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_digest: config.digest(),
        sources: life.sources(),
        backlog: Vec::new(),
        link: LinkLife::default(),
        free_disk_bytes: 0,
        clock_offset_ms: None,
        certificate_expires: None,
        ledger_position: 0,
        reconciled: None,
        troubles: Vec::new(),
        open_problems: 0,
        ended: None,
    });
    if running {
        snapshot.ended = None;
    }
    snapshot.free_disk_bytes = free_bytes(directory);
    // A full disk takes no status file either: what was written last may be from before.
    let known = snapshot.troubles.iter().any(|trouble| trouble.trouble == "disk_full");
    snapshot.troubles.retain(|trouble| !trouble.trouble.starts_with("disk_"));
    let min_free_bytes = config.limits.min_free_mib << 20;
    if let Some(trouble) = snapshot::disk(known, snapshot.free_disk_bytes, min_free_bytes).filter(|_| running) {
        snapshot.troubles.insert(0, trouble);
    }
    snapshot.certificate_expires = join::validity(directory).ok().map(|(_, until)| until);
    if !directory.spool().exists() {
        return Ok(snapshot);
    }
    let key = directory.spool_key()?;
    let spool = Spool::look(&directory.spool(), &key, surroundings.chance.clone()).await?;
    snapshot.backlog = backlog(&spool, &source::inboxes(config)).await?;
    snapshot.open_problems = spool.open_problems().await?;
    snapshot.reconciled = Reconciled::last(&spool).await?;
    if !running {
        spool.recall(&life).await?;
        for source in &mut snapshot.sources {
            match life.halt(&source.name) {
                Some(Halt::Paused) => source.state = At::Paused,
                Some(Halt::Stopped { zh, en }) => (source.state, source.zh, source.en) = (At::Stopped, zh, en),
                None => source.state = At::Idle,
            }
        }
    }
    spool.close().await;
    Ok(snapshot)
}

/// The worst of what there is.
fn verdict(snapshot: &Snapshot, running: bool, now_ms: i64) -> (&'static str, String, String) {
    let of = |state: At| snapshot.sources.iter().find(|source| source.state == state);
    let told = |state, zh: &str, en: &str| (state, zh.to_owned(), en.to_owned());
    if !running {
        let why = snapshot.ended.as_deref().filter(|why| *why != "stopped").unwrap_or_default();
        let (zh, en) =
            if why.is_empty() { (String::new(), String::new()) } else { (format!("：{why}"), format!(": {why}")) };
        return (
            "not-running",
            format!("没有运行{zh}；请启动 weft adapter run"),
            format!("it does not run{en}; start weft adapter run"),
        );
    }
    if let Some(trouble) = snapshot.troubles.first() {
        return told("failing", &trouble.zh, &trouble.en);
    }
    if let Some(source) = of(At::Stopped).or_else(|| of(At::Unreachable)) {
        let zh = format!("数据源 {} 不能读取或已停止：{}", source.name, source.zh);
        return ("failing", zh, format!("source {} cannot be read or has stopped: {}", source.name, source.en));
    }
    let held: u64 = snapshot.backlog.iter().map(|one| one.held).sum();
    if held > 0 {
        let en = format!("{held} versions wait for their key or sender to be accepted: the operator confirms the key");
        return ("failing", format!("{held} 条等待密钥或发送方获得认可；请县大数据中心确认密钥指纹"), en);
    }
    let heard = snapshot.link.heard_ms.is_some_and(|at| now_ms.saturating_sub(at) < UNHEARD_MS);
    if !snapshot.link.connected && !heard {
        let error = &snapshot.link.error;
        return ("unconnected", format!("未连接枢纽：{error}"), format!("the hub is not connected: {error}"));
    }
    let waiting = snapshot.backlog.iter().filter(|one| one.unsent > 0).map(|one| one.oldest_ms).min();
    if waiting.is_some_and(|oldest| now_ms.saturating_sub(oldest) > LATE_MS) && of(At::BackFilling).is_none() {
        return told("late", "有记录超过 15 分钟未送达", "versions are unsent for more than 15 minutes");
    }
    let left = snapshot.certificate_expires.map_or(i64::MAX, |until| until.saturating_sub(now_ms / 1_000));
    if left < EXPIRING_SECONDS {
        return told("expiring", "证书即将到期且未能续期", "the certificate ends soon and has not renewed itself");
    }
    if let Some(source) = of(At::Paused) {
        let en = format!("source {} is paused: weft adapter resume", source.name);
        return ("paused", format!("数据源 {} 已暂停：weft adapter resume", source.name), en);
    }
    if of(At::BackFilling).is_some() {
        return told("back-filling", "正在补录", "it is back-filling");
    }
    if !snapshot.sources.is_empty() && snapshot.sources.iter().all(|source| source.state == At::Resting) {
        return told("resting", "不在服务时段内", "it is outside its service hours");
    }
    told("healthy", "正常", "all is well")
}
