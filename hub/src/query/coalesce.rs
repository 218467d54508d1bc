//! Concurrent look-ups go to the index in one statement: 64 together cost little more than one.

use std::{fmt, sync::Arc};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::index::{Error, Found, LookUp, SharedIndex};

/// Look-ups that go together at most.
const TOGETHER: usize = 64;
/// Statements under way at most.
const WORKERS: usize = 4;
/// Look-ups that wait at most; more wait for a place, within their deadlines.
const WAITING: usize = 4096;

type Reply = oneshot::Sender<Result<(u64, Vec<Found>), String>>;
type Asked = (LookUp, Reply);

/// Collects look-ups that come at the same time.
pub struct Coalescer {
    asked: mpsc::Sender<Asked>,
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

    /// Answers one look-up: (`registry_floor` in the same snapshot, what was found).
    pub async fn look(&self, look_up: LookUp) -> Result<(u64, Vec<Found>), Error> {
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::Unavailable("the look-up workers have stopped".into());
        self.asked.send((look_up, reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.map_err(Error::Unavailable)
    }
}

async fn work(index: SharedIndex, waiting: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    loop {
        let mut batch = Vec::with_capacity(TOGETHER);
        if waiting.lock().await.recv_many(&mut batch, TOGETHER).await == 0 {
            return;
        }
        let (look_ups, replies): (Vec<LookUp>, Vec<Reply>) = batch.into_iter().unzip();
        let looked = index.look(&look_ups).await;
        match looked {
            Ok(looked) => {
                for (found, reply) in looked.found.into_iter().zip(replies) {
                    // Whoever asked may have gone: then nobody wants the answer.
                    let _ = reply.send(Ok((looked.registry_floor, found)));
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
