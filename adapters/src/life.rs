//! How the adapter is, while it works: kept in memory, shown by `weft adapter status` and told to the hub with every heartbeat.

mod standing;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    clock::Clock,
    config::{Config, Limits, SourceConfig},
    runner::Progress,
    settle::Tally,
    source::SourceState,
};

pub use standing::{At, Halt, LinkLife, SourceLife};

/// A unit of more rows is a back-fill.
const BACK_FILL_ROWS: u64 = 2_000;
/// So many of a source's last answers are looked at when it is judged.
const LAST: usize = 200;
/// A ledger that is told shorter than before must stay so for this long: instances may be a moment apart.
const LEDGER_PATIENCE_MS: i64 = 120_000;

#[derive(Debug)]
struct One {
    life: SourceLife,
    halt: Option<Halt>,
    resync_ms: Option<i64>,
    /// The unit in hand, and how far it was read.
    unit: (String, u64),
    /// The last answers of the hub: whether each was a refusal.
    answers: VecDeque<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    sources: Vec<One>,
    link: LinkLife,
    disk_full: bool,
    offset_ms: Option<i64>,
    ledger: u64,
    ledger_below_since: Option<i64>,
}

/// How the adapter is.
#[derive(Debug)]
pub struct Life {
    clock: Arc<dyn Clock>,
    outer: Arc<dyn Progress>,
    limits: Limits,
    inner: Mutex<Inner>,
    changed: Notify,
    woken: Notify,
    ordered: Notify,
}

fn one(source: &SourceConfig) -> One {
    let life = SourceLife {
        name: source.name.clone(),
        kind: source.kind_name().to_owned(),
        record_type: source.mapping.record_type.clone(),
        hours: source.hours.clone(),
        state: At::Idle,
        last_read_ms: None,
        rows_read: 0,
        rows_sent: 0,
        rows_refused: 0,
        zh: String::new(),
        en: String::new(),
    };
    One { life, halt: None, resync_ms: None, unit: Default::default(), answers: VecDeque::new() }
}

impl Life {
    /// Of an adapter that begins; `outer` is told what it always was.
    pub fn new(config: &Config, clock: Arc<dyn Clock>, outer: Arc<dyn Progress>) -> Arc<Self> {
        let inner = Inner { sources: config.sources.iter().map(one).collect(), ..Inner::default() };
        Arc::new(Self {
            clock,
            outer,
            limits: config.limits.clone(),
            inner: Mutex::new(inner),
            changed: Notify::new(),
            woken: Notify::new(),
            ordered: Notify::new(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, source: &str, change: impl FnOnce(&mut One) -> T) -> Option<T> {
        self.inner().sources.iter_mut().find(|one| one.life.name == source).map(change)
    }

    /// Moves a source on; tells the hub at once where its state is another.
    fn put(&self, source: &str, state: At, words: (String, String)) {
        let moved = self.with(source, |one| {
            let moved = one.life.state != state;
            (one.life.state, one.life.zh, one.life.en) = (state, words.0, words.1);
            moved
        });
        if moved == Some(true) {
            self.changed.notify_waiters();
        }
    }

    /// Returns when something happened that the hub should hear of soon.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Something happened that the hub should hear of soon.
    pub fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Returns when a source that was halted goes on, or one is to be read again.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Returns when an order may have come.
    pub async fn ordered(&self) {
        self.ordered.notified().await;
    }

    /// An order came.
    pub fn order(&self) {
        self.ordered.notify_one();
    }

    /// Why a source is not read, where it is not.
    pub fn halt(&self, source: &str) -> Option<Halt> {
        self.with(source, |one| one.halt.clone()).flatten()
    }

    /// Halts a source, or lets it be read again. The caller has made it durable.
    pub fn set_halt(&self, source: &str, halt: Option<Halt>) {
        let (state, zh, en) = match &halt {
            None => (At::Idle, String::new(), String::new()),
            Some(Halt::Paused) => (At::Paused, "已按指令暂停".to_owned(), "paused by command".to_owned()),
            Some(Halt::Stopped { zh, en }) => (At::Stopped, zh.clone(), en.clone()),
        };
        self.with(source, |one| {
            one.halt = halt;
            one.answers.clear();
        });
        self.put(source, state, (zh, en));
        self.changed.notify_waiters();
        self.woken.notify_waiters();
    }

    /// A source is to be read again from this time on. The caller has made it durable.
    pub fn set_resync(&self, source: &str, since_ms: i64) {
        self.with(source, |one| one.resync_ms = Some(one.resync_ms.map_or(since_ms, |known| known.min(since_ms))));
        self.woken.notify_waiters();
    }

    /// From when on a source is to be read again; asked once.
    pub fn take_resync(&self, source: &str) -> Option<i64> {
        self.with(source, |one| one.resync_ms.take()).flatten()
    }

    /// When a source was last looked at, as an earlier run knew.
    pub fn remember_read(&self, source: &str, at_ms: i64) {
        self.with(source, |one| one.life.last_read_ms = one.life.last_read_ms.max(Some(at_ms)));
    }

    /// Reading waits for room.
    pub fn waiting(&self, source: &str) {
        self.put(source, At::Waiting, Default::default());
    }

    /// A version of a source is in the index, or was refused. Gives the words for a source that is to stop now, because almost
    /// everything of it is refused.
    pub fn answered_one(&self, source: &str, refused: bool) -> Option<Halt> {
        let limits = &self.limits;
        self.with(source, |one| {
            let counter = if refused { &mut one.life.rows_refused } else { &mut one.life.rows_sent };
            *counter += 1;
            one.answers.push_back(refused);
            if one.answers.len() > LAST {
                one.answers.pop_front();
            }
            let wrong = one.answers.iter().filter(|refused| **refused).count();
            let stops = refused && one.halt.is_none() && limits.too_many(one.answers.len() as u64, wrong as u64);
            stops.then(|| refusals(wrong, one.answers.len()))
        })
        .flatten()
    }

    /// A row of a source did not map.
    pub fn row_refused(&self, source: &str) {
        self.with(source, |one| one.life.rows_refused += 1);
    }

    /// The disk is full, or has room again.
    pub fn set_disk_full(&self, full: bool) {
        let before = std::mem::replace(&mut self.inner().disk_full, full);
        if before != full {
            self.changed.notify_waiters();
        }
    }

    /// Whether the disk is known to be full.
    pub fn disk_full(&self) -> bool {
        self.inner().disk_full
    }

    /// The hub was heard: its clock minus ours.
    pub fn heard(&self, offset_ms: i64) {
        let now_ms = self.clock.now().as_millisecond();
        let mut inner = self.inner();
        inner.link = LinkLife { connected: true, heard_ms: Some(now_ms), error: String::new() };
        inner.offset_ms = Some(offset_ms);
    }

    /// The stream to the hub is not open.
    pub fn lost(&self, error: String) {
        let mut inner = self.inner();
        inner.link.connected = false;
        inner.link.error = error;
    }

    /// The ledger's next offset as the hub told it; 0: it does not know yet. Gives the largest, where that is news.
    pub fn ledger(&self, position: u64) -> Option<u64> {
        let now_ms = self.clock.now().as_millisecond();
        let mut inner = self.inner();
        if position == 0 {
            return None;
        }
        if position < inner.ledger {
            inner.ledger_below_since.get_or_insert(now_ms);
            return None;
        }
        inner.ledger_below_since = None;
        let news = position > inner.ledger;
        inner.ledger = position;
        news.then_some(position)
    }

    /// (the stream, the clock's offset, the largest position of the ledger, whether it went back)
    pub fn hub(&self) -> (LinkLife, Option<i64>, u64, bool) {
        let now_ms = self.clock.now().as_millisecond();
        let inner = self.inner();
        let back = inner.ledger_below_since.is_some_and(|since| now_ms.saturating_sub(since) > LEDGER_PATIENCE_MS);
        (inner.link.clone(), inner.offset_ms, inner.ledger, back)
    }

    /// Every source.
    pub fn sources(&self) -> Vec<SourceLife> {
        self.inner().sources.iter().map(|one| one.life.clone()).collect()
    }
}

fn refusals(wrong: usize, all: usize) -> Halt {
    Halt::Stopped {
        zh: format!("最近 {all} 条中有 {wrong} 条被枢纽拒收，已停止报送；请用 weft adapter problems 查看并改正"),
        en: format!(
            "the hub refused {wrong} of the last {all} versions, so no more are sent; weft adapter problems names them"
        ),
    }
}

impl Progress for Life {
    fn planned(&self, source: &str, unit: &str, rows: u64) {
        self.outer.planned(source, unit, rows);
    }

    fn read(&self, source: &str, unit: &str, rows: u64, mapped: u64) {
        self.outer.read(source, unit, rows, mapped);
        let now_ms = self.clock.now().as_millisecond();
        self.with(source, |one| {
            let (name, before) = &one.unit;
            one.life.rows_read += if name == unit && *before <= rows { rows - before } else { rows };
            one.life.last_read_ms = Some(now_ms);
            one.unit = (unit.to_owned(), rows);
        });
        if self.halt(source).is_none() {
            let state = if rows > BACK_FILL_ROWS { At::BackFilling } else { At::Reading };
            self.put(source, state, Default::default());
        }
    }

    fn state(&self, source: &str, state: &SourceState) {
        self.outer.state(source, state);
        if self.halt(source).is_some() {
            return;
        }
        match state {
            SourceState::Working => {
                let now_ms = self.clock.now().as_millisecond();
                self.with(source, |one| one.life.last_read_ms = Some(now_ms));
                self.put(source, At::Idle, Default::default());
            }
            SourceState::Resting => self.put(source, At::Resting, Default::default()),
            SourceState::Stopped { reason, detail } => {
                let words = (format!("{}（{detail}）", reason.zh()), format!("{} ({detail})", reason.en()));
                self.put(source, At::Stopped, words);
            }
            SourceState::Unreachable { reason } => self.put(source, At::Unreachable, (reason.clone(), reason.clone())),
        }
    }

    fn answered(&self, tally: Tally) {
        self.outer.answered(tally);
    }
}

#[cfg(test)]
mod tests;
