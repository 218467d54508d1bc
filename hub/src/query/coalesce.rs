//! Concurrent look-ups go to the index in one statement, and the question whether a request is a repeat goes beside them in
//! another: 64 together cost little more than one.

use std::{fmt, sync::Arc};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::index::{Error, Found, LookUp, SharedIndex, rows::LedgerRow};

/// Look-ups that go together at most.
const TOGETHER: usize = 64;
/// Statements under way at most.
const WORKERS: usize = 4;
/// Look-ups that wait at most; more wait for a place, within their deadlines.
const WAITING: usize = 4096;

/// A look-up, with the window and request id it belongs to (`None` for one that is no request of its own).
#[derive(Clone, Debug)]
pub struct Asked {
    /// What is looked up.
    pub look_up: LookUp,
    /// (window, request id).
    pub request: Option<(String, String)>,
}

/// What the index holds.
#[derive(Clone, Debug)]
pub struct Read {
    /// `registry_floor` in the same snapshot as the records.
    pub registry_floor: u64,
    /// Whether a partition of records is under repair in that snapshot.
    pub repairing: bool,
    /// What was found.
    pub found: Vec<Found>,
    /// The first ledger entry of the request: it is a repeat.
    pub first: Option<LedgerRow>,
}

type Reply = oneshot::Sender<Result<Read, String>>;

/// Collects look-ups that come at the same time.
pub struct Coalescer {
    asked: mpsc::Sender<(Asked, Reply)>,
}

impl fmt::Debug for Coalescer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").finish_non_exhaustive()
    }
}

impl Coalescer {
    /// Starts its workers; they end when the coalescer is dropped.
    pub fn start(index: SharedIndex) -> Self {
        let (asked, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WORKERS {
            tokio::spawn(work(Arc::clone(&index), Arc::clone(&waiting)));
        }
        Self { asked }
    }

    /// Answers one look-up.
    pub async fn look(&self, asked: Asked) -> Result<Read, Error> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::Unavailable("the look-up workers have stopped".into());
        self.asked.send((asked, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.map_err(Error::Unavailable)
    }
}

async fn work(index: SharedIndex, waiting: Arc<Mutex<mpsc::Receiver<(Asked, Reply)>>>) {
    loop {
        let mut batch = Vec::with_capacity(TOGETHER);
        if waiting.lock().await.recv_many(&mut batch, TOGETHER).await == 0 {
            return;
        }
        let (asked, replies): (Vec<Asked>, Vec<Reply>) = batch.into_iter().unzip();
        let reads = read(&index, asked).await;
        match reads {
            Ok(reads) => {
                for (read, reply) in reads.into_iter().zip(replies) {
                    // Whoever asked may have gone: then nobody wants the answer.
                    let _ = reply.send(Ok(read));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.to_string()));
                }
            }
        }
    }
}

async fn read(index: &SharedIndex, asked: Vec<Asked>) -> Result<Vec<Read>, Error> {
    let requests: Vec<(String, String)> = asked.iter().filter_map(|one| one.request.clone()).collect();
    let look_ups: Vec<LookUp> = asked.iter().map(|one| one.look_up.clone()).collect();
    let firsts = async { if requests.is_empty() { Ok(Vec::new()) } else { index.ledger_of_requests(&requests).await } };
    let (looked, firsts) = tokio::try_join!(index.look(&look_ups), firsts)?;
    let (registry_floor, repairing) = (looked.registry_floor, looked.repairing);
    let first_of = |request: &(String, String)| {
        firsts.iter().find(|row| row.window == request.0 && row.request_id == request.1).cloned()
    };
    let reads = looked.found.into_iter().zip(asked).map(|(found, one)| Read {
        registry_floor,
        repairing,
        found,
        first: one.request.as_ref().and_then(first_of),
    });
    Ok(reads.collect())
}
