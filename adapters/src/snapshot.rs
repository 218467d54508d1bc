//! One look at the adapter: what stands in its status file, and what every heartbeat tells.

use serde::{Deserialize, Serialize};
use weft_proto::v1;

use crate::{
    join,
    keys::Directory,
    life::{At, Life, LinkLife, SourceLife},
    reconcile::{Compared, Reconciled},
    source::Inbox,
    spool::{self, Backlog, ProblemRow, Spool, TOLD_MS, Told},
};

/// Problems that a heartbeat names.
const NEWEST: u32 = 3;

/// Something that the adapter as a whole cannot do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Stable name.
    pub trouble: String,
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// The adapter at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The software's version.
    pub version: String,
    /// SHA-256 of the effective configuration, hex.
    pub config_digest: String,
    /// Its sources.
    pub sources: Vec<SourceLife>,
    /// What waits, by record type.
    pub backlog: Vec<Backlog>,
    /// The stream to the hub.
    pub link: LinkLife,
    /// On the disk of the state directory.
    pub free_disk_bytes: u64,
    /// The hub's clock minus ours.
    pub clock_offset_ms: Option<i64>,
    /// When the certificate ends, seconds since 1970.
    pub certificate_expires: Option<i64>,
    /// The largest position of the ledger that was told.
    pub ledger_position: u64,
    /// The last comparison of source and hub.
    pub reconciled: Option<Reconciled>,
    /// What cannot be done now.
    pub troubles: Vec<Trouble>,
    /// Open problems of rows.
    pub open_problems: u64,
    /// Why the adapter ended, where it did not end well.
    pub ended: Option<String>,
}

/// Free bytes on the disk of a directory; what cannot be told counts as plenty.
pub(crate) fn free_bytes(directory: &Directory) -> u64 {
    rustix::fs::statvfs(directory.path()).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What the disk of the state directory keeps the adapter from: `full` where it came upon that itself.
pub(crate) fn disk(full: bool, free_bytes: u64, min_free_bytes: u64) -> Option<Trouble> {
    let mib = free_bytes >> 20;
    let (trouble, zh, en) = if full || free_bytes == 0 {
        let zh = "状态目录所在磁盘已满，已停止读取和报送；请腾出空间，适配器会自行继续".to_owned();
        let en =
            "the disk of the state directory is full: nothing is read or sent; make room, and it goes on by itself";
        ("disk_full", zh, en.to_owned())
    } else if free_bytes < min_free_bytes {
        let zh = format!("状态目录所在磁盘仅余 {mib} MiB，已停止读取；请腾出空间，适配器会自行继续");
        let en = format!(
            "the disk of the state directory has {mib} MiB left: nothing more is read; make room, and it goes on by itself"
        );
        ("disk_low", zh, en)
    } else {
        return None;
    };
    Some(Trouble { trouble: trouble.to_owned(), zh, en })
}

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Looker {
    pub(crate) config_digest: String,
    pub(crate) directory: Directory,
    pub(crate) min_free_bytes: u64,
    /// Where what was handed in waits for the spool.
    pub(crate) inboxes: Vec<Inbox>,
}

/// What waits by record type: in the spool, and in the inboxes before it.
///
/// # Errors
/// The spool cannot be read.
pub(crate) async fn backlog(spool: &Spool, inboxes: &[Inbox]) -> Result<Vec<Backlog>, spool::Error> {
    let mut all = spool.backlog().await?;
    for inbox in inboxes {
        let at = inbox.clone();
        let counted = tokio::task::spawn_blocking(move || at.count()).await.unwrap_or_else(|error| Err(error.into()));
        match counted {
            Ok(count) => Backlog::add_unread(&mut all, &inbox.record_type, count.units, count.oldest_ms),
            Err(error) => tracing::warn!(%error, record_type = inbox.record_type, "the inbox cannot be counted"),
        }
    }
    Ok(all)
}

/// What a state that was lost keeps a person from relying on.
fn recovered(as_of_ms: i64) -> Trouble {
    let since = jiff::Timestamp::from_millisecond(as_of_ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ");
    let zh =
        format!("状态曾丢失并已恢复：此后读过而未送达的行只有数据源还有，请执行 weft adapter resync --since {since}");
    let en = format!(
        "the state was lost and is back: what was read since and not sent, only the sources have: \
         weft adapter resync --since {since}"
    );
    Trouble { trouble: "state_recovered".to_owned(), zh, en }
}

impl Looker {
    /// Looks at everything.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub(crate) async fn look(&self, life: &Life, spool: &Spool, now_ms: i64) -> Result<Snapshot, spool::Error> {
        let (link, clock_offset_ms, ledger_position, ledger_back) = life.hub();
        let free_disk_bytes = free_bytes(&self.directory);
        let reconciled = Reconciled::last(spool).await?.map(Reconciled::without_rows);
        let mut troubles = Vec::new();
        troubles.extend(disk(life.disk_full(), free_disk_bytes, self.min_free_bytes));
        troubles.extend(spool.recovered().await?.map(recovered));
        let mut add = |name: &str, zh: String, en: String| troubles.push(Trouble { trouble: name.to_owned(), zh, en });
        if ledger_back {
            add(
                "ledger_went_back",
                "枢纽告知的使用台账比以前短".into(),
                "the hub tells a ledger that is shorter than before".into(),
            );
        }
        if let Some(found) = reconciled.as_ref().filter(|found| found.differs()) {
            let (missing, extra, different) = (found.missing, found.extra, found.different);
            add(
                "reconcile_differs",
                format!("与枢纽不一致：缺 {missing}、多 {extra}、不同 {different}"),
                format!("source and hub differ: {missing} missing, {extra} extra, {different} different"),
            );
        }
        Ok(Snapshot {
            at_ms: now_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_digest: self.config_digest.clone(),
            sources: life.sources(),
            backlog: backlog(spool, &self.inboxes).await?,
            link,
            free_disk_bytes,
            clock_offset_ms,
            certificate_expires: join::validity(&self.directory).ok().map(|(_, until)| until),
            ledger_position,
            reconciled,
            troubles,
            open_problems: spool.open_problems().await?,
            ended: None,
        })
    }

    /// The same as the hub is told it.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub(crate) async fn beat(&self, life: &Life, spool: &Spool, now_ms: i64) -> Result<v1::Heartbeat, spool::Error> {
        let snapshot = self.look(life, spool, now_ms).await?;
        let problems = spool.newest_problems(NEWEST).await?;
        let commands = spool.ended_orders(now_ms - TOLD_MS).await?;
        Ok(heartbeat(&snapshot, &problems, commands))
    }
}

fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: ms.div_euclid(1_000), nanos }
}

fn ago(now_ms: i64, at_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0)
}

fn heartbeat(snapshot: &Snapshot, problems: &[ProblemRow], commands: Vec<(String, Told)>) -> v1::Heartbeat {
    let now = snapshot.at_ms;
    let backlog = snapshot.backlog.iter().map(|one| v1::Backlog {
        record_type: one.record_type.clone(),
        unsent: one.unsent,
        held: one.held,
        oldest_ago_ms: if one.unsent > 0 { ago(now, one.oldest_ms) } else { 0 },
    });
    let trouble = |one: &Trouble| v1::Trouble { trouble: one.trouble.clone(), zh: one.zh.clone(), en: one.en.clone() };
    let done = |(id, told): (String, Told)| v1::CommandDone { id, done: told.done, zh: told.zh, en: told.en };
    v1::Heartbeat {
        at: Some(timestamp(now)),
        sources: snapshot.sources.iter().map(|source| report(source, now)).collect(),
        backlog: backlog.collect(),
        awaiting_outcome: snapshot.backlog.iter().map(|one| one.awaiting).sum(),
        free_disk_bytes: snapshot.free_disk_bytes,
        clock_offset_ms: snapshot.clock_offset_ms,
        certificate_expires: snapshot.certificate_expires.map(|seconds| timestamp(seconds.saturating_mul(1_000))),
        ledger_position: snapshot.ledger_position,
        reconciled: snapshot.reconciled.as_ref().map(|one| v1::Reconciled {
            at: Some(timestamp(one.at_ms)),
            here: one.here,
            hub: one.hub,
            missing: one.missing,
            extra: one.extra,
            different: one.different,
            repaired: one.repaired,
            told: one.told,
            sources: one.compared.iter().map(reconciled_source).collect(),
        }),
        troubles: snapshot.troubles.iter().map(trouble).collect(),
        open_problems: snapshot.open_problems,
        last_problems: problems.iter().map(last_problem).collect(),
        commands: commands.into_iter().map(done).collect(),
    }
}

fn reconciled_source(one: &Compared) -> v1::ReconciledSource {
    let (zh, en) = (one.zh.clone(), one.en.clone());
    v1::ReconciledSource { name: one.source.clone(), basis: one.basis.as_str().to_owned(), rows: one.rows, zh, en }
}

/// Place, reason and remedy; what was found there stays at the department.
fn last_problem(row: &ProblemRow) -> v1::LastProblem {
    let problem = &row.problem;
    v1::LastProblem {
        source: row.source.clone(),
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column.clone(),
        reason: problem.reason.as_str().to_owned(),
        zh: problem.reason.zh().to_owned(),
        en: problem.reason.en().to_owned(),
    }
}

fn report(source: &SourceLife, now: i64) -> v1::SourceReport {
    let state = match source.state {
        At::Idle => v1::SourceState::Idle,
        At::Reading => v1::SourceState::Reading,
        At::BackFilling => v1::SourceState::BackFilling,
        At::Waiting => v1::SourceState::Waiting,
        At::Resting => v1::SourceState::Resting,
        At::Paused => v1::SourceState::Paused,
        At::Unreachable => v1::SourceState::Unreachable,
        At::Stopped => v1::SourceState::Stopped,
    };
    v1::SourceReport {
        name: source.name.clone(),
        state: state.into(),
        reachable: source.state != At::Unreachable,
        last_read_ago_ms: source.last_read_ms.map(|at| ago(now, at)),
        rows_read: source.rows_read,
        rows_sent: source.rows_sent,
        rows_refused: source.rows_refused,
        zh: source.zh.clone(),
        en: source.en.clone(),
    }
}
