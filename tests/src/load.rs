//! A department and windows at work over real sockets, outside the zone of faults: they publish, look, connect again
//! when the hub is gone, and write down what they asked and what they were told.
//!
//! - [`publisher`]: versions of many records; what has no certain answer is sent again, the same bytes
//! - [`looker`]: looks at records that were said to be indexed
//!
//! A load belongs to one hub instance and follows it over its restarts. Several may share one [`Shared`].

mod looker;
mod publisher;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::{
    client::{Credentials, connect},
    department::TestDepartment,
    history::History,
    window::TestWindow,
};

/// How long a load that is to finish may take to hear the last outcome.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(20);

/// What is published, and how fast.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of [`crate::department::Example::business_licence`].
    pub records: Range<u32>,
    /// So many versions of each.
    pub versions: u64,
    /// Submissions a second; without it, as fast as they are answered.
    pub per_second: Option<u32>,
    /// Submissions in a batch.
    pub batch: usize,
    /// Windows that look at the same time, each twenty times a second at most.
    pub lookers: usize,
}

/// A record that was said to be indexed.
#[derive(Clone, Debug)]
struct Target {
    record_id: String,
    uscc: String,
    version: u64,
}

/// What several loads have in common.
#[derive(Debug)]
pub struct Shared {
    /// What the clients saw.
    pub history: History,
    targets: Mutex<BTreeMap<u32, Target>>,
    complaints: Mutex<Vec<String>>,
}

impl Shared {
    /// With a new history at `path`.
    ///
    /// # Panics
    /// When the file cannot be made.
    #[must_use]
    pub fn new(path: &Path) -> Arc<Self> {
        let history = History::create(path).expect("a new history");
        Arc::new(Self { history, targets: Mutex::default(), complaints: Mutex::default() })
    }

    /// What no client should have met: refusals, outcomes other than `indexed`, a look that showed less than had been
    /// indexed before it began.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn complain(&self, what: String) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn indexed(&self, number: u32, target: Target) {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).insert(number, target);
    }

    fn target(&self, turn: usize) -> Option<Target> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let number = turn.checked_rem(targets.len())?;
        targets.values().nth(number).cloned()
    }
}

/// How far a load is. An epoch begins with every call of [`Load::new_epoch`]; what was begun in one counts for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Submissions sent and not answered.
    pub in_flight: usize,
    /// Receipts.
    pub receipts: u64,
    /// Submissions said to be indexed.
    pub indexed: u64,
    /// Looks answered.
    pub answers: u64,
    /// The last epoch that a receipt, an outcome, an answer belongs to.
    pub receipt_epoch: u64,
    /// See `receipt_epoch`.
    pub indexed_epoch: u64,
    /// See `receipt_epoch`.
    pub answer_epoch: u64,
    /// The longest time between two answers to looks, in this epoch.
    pub longest_silence: Duration,
    last_answer: Option<Instant>,
}

impl Seen {
    fn answered(&mut self, epoch: u64) {
        let now = Instant::now();
        let silence = self.last_answer.map_or(Duration::ZERO, |last| now - last);
        self.longest_silence = self.longest_silence.max(silence);
        self.last_answer = Some(now);
        self.answers += 1;
        self.answer_epoch = self.answer_epoch.max(epoch);
    }
}

/// What the tasks of a load share.
#[derive(Clone, Debug)]
struct Desk {
    shared: Arc<Shared>,
    ca: String,
    api: watch::Receiver<SocketAddr>,
    epoch: Arc<AtomicU64>,
    seen: watch::Sender<Seen>,
    /// No new work; what is under way is brought to its end.
    finish: CancellationToken,
    /// No work at all.
    cut: CancellationToken,
}

impl Desk {
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Connects to where the instance is by then; `None` when it is not there all that time, or `stop` came.
    async fn connect(
        &self,
        credentials: &Credentials,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Option<Channel> {
        let end = Instant::now() + patience;
        while Instant::now() < end && !stop.is_cancelled() {
            let address = *self.api.borrow();
            if let Ok(Ok(channel)) = timeout_at(end, connect(address, &self.ca, Some(credentials))).await {
                return Some(channel);
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }
}

/// A load at work. Dropped, it is cut off.
#[derive(Debug)]
pub struct Load {
    desk: Desk,
    publisher: Option<JoinHandle<()>>,
    lookers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins the work of `department` and `window` at the instance whose API is at `api`.
    #[must_use]
    pub fn start(
        shared: &Arc<Shared>,
        plan: &Plan,
        department: &Arc<TestDepartment>,
        window: &TestWindow,
        ca: &str,
        api: watch::Receiver<SocketAddr>,
    ) -> Self {
        let desk = Desk {
            shared: Arc::clone(shared),
            ca: ca.into(),
            api,
            epoch: Arc::default(),
            seen: watch::Sender::new(Seen::default()),
            finish: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let publisher = publisher::Publisher::new(desk.clone(), plan.clone(), Arc::clone(department));
        let lookers = (0..plan.lookers).map(|nth| tokio::spawn(looker::look_on(desk.clone(), window.clone(), nth)));
        let lookers = lookers.collect();
        Self { publisher: Some(tokio::spawn(publisher.run())), lookers, desk }
    }

    /// How far it is.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.desk.seen.borrow()
    }

    /// From here on another epoch, in which silence is measured anew; returns its number.
    pub fn new_epoch(&self) -> u64 {
        self.desk.seen.send_modify(|seen| {
            (seen.longest_silence, seen.last_answer) = (Duration::ZERO, Some(Instant::now()));
        });
        self.desk.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Waits until `enough`; panics when that takes longer than `patience`.
    ///
    /// # Panics
    /// Naming what it was waiting for.
    pub async fn until(&self, what: &str, patience: Duration, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.desk.seen.subscribe();
        let waiting = tokio::time::timeout(patience, seen.wait_for(|seen| enough(seen))).await;
        match waiting {
            Ok(seen) => *seen.expect("the load is at work"),
            Err(_) => panic!("{what}: not within {patience:?}: {:?}", self.seen()),
        }
    }

    /// Waits until a receipt, an outcome `indexed` and an answer came for what was begun in this epoch or later.
    ///
    /// # Panics
    /// When that takes longer than `patience`.
    pub async fn back(&self, epoch: u64, patience: Duration) {
        let all = |seen: &Seen| seen.receipt_epoch.min(seen.indexed_epoch).min(seen.answer_epoch) >= epoch;
        self.until("service back", patience, all).await;
    }

    /// Ends it well: nothing new, every outcome heard.
    ///
    /// # Panics
    /// When an outcome does not come, or a task of it panicked.
    pub async fn finish(mut self) {
        self.desk.finish.cancel();
        self.join().await;
    }

    /// Waits until all that was planned is indexed, then ends it.
    ///
    /// # Panics
    /// When that takes longer than `patience`, or a task of it panicked.
    pub async fn complete(mut self, patience: Duration) {
        if let Some(publisher) = self.publisher.as_mut() {
            let ended = tokio::time::timeout(patience, publisher).await;
            ended.unwrap_or_else(|_| panic!("not all was indexed: {:?}", self.seen())).expect("the publisher");
            self.publisher = None;
        }
        self.desk.finish.cancel();
        self.join().await;
    }

    /// Ends it where it stands: what has no answer never gets one.
    ///
    /// # Panics
    /// When a task of it panicked.
    pub async fn cut(mut self) {
        self.desk.cut.cancel();
        self.desk.finish.cancel();
        self.join().await;
    }

    async fn join(&mut self) {
        for task in self.publisher.take().into_iter().chain(self.lookers.drain(..)) {
            let ended = tokio::time::timeout(PATIENCE, task).await;
            ended
                .unwrap_or_else(|_| panic!("work is left: {:?}", *self.desk.seen.borrow()))
                .expect("a task of the load");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.desk.cut.cancel();
        self.desk.finish.cancel();
    }
}
