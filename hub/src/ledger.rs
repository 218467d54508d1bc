//! The ledger: every look, durable before its answer leaves. If it cannot be written, nothing is answered.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use weft_proto::{Reason, Refusal};

use crate::{
    body::Look,
    clock::SharedClock,
    envelope::{self, ContentType, Header, Place},
    keys::Keys,
    log::{AppendError, Draft, EntryId, Partition, SharedLog, Topic},
    partitions::Partitions,
};

/// Entries that are appended together at most.
const TOGETHER: usize = 128;
/// How long a group waits for those who were answered with the last one: they ask again at about the same time, and would
/// otherwise make up a half of each of two flushes.
const GATHER: Duration = Duration::from_millis(1);
/// Entries that wait at most; more wait for a place, within their deadlines.
const WAITING: usize = 4096;

type Appended = Result<u64, AppendError>;
type Waiting = (Draft, oneshot::Sender<Appended>);

/// Writes ledger entries.
pub struct Ledger {
    drafts: mpsc::Sender<Waiting>,
    keys: Arc<Keys>,
    clock: SharedClock,
    partitions: Arc<Partitions>,
    /// Looks whose append had an unknown outcome: their answers were withheld, which the ledger must say.
    withheld: mpsc::UnboundedSender<Look>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

/// A look whose entry may stand in the ledger though its answer never left. Dropped so, it is marked.
struct Doubt<'l> {
    ledger: &'l Ledger,
    look: Option<&'l Look>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(look) = self.look {
            let mark = Look { kind: "look_not_delivered".into(), given: Vec::new(), ..look.clone() };
            // The receiver lives as long as the hub.
            let _ = self.ledger.withheld.send(mark);
        }
    }
}

impl Ledger {
    /// The ledger, whose appending task ends when it is dropped, and the looks that [`Ledger::mark_withheld`] has to mark.
    pub fn new(
        log: SharedLog,
        keys: Arc<Keys>,
        clock: SharedClock,
        partitions: Arc<Partitions>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Look>) {
        let (withheld, marks) = mpsc::unbounded_channel();
        let (drafts, waiting) = mpsc::channel(WAITING);
        tokio::spawn(append_groups(log, waiting));
        (Arc::new(Self { drafts, keys, clock, partitions, withheld }), marks)
    }

    /// Writes one entry; returns its offset once it is durable. On any doubt nothing may be answered: a caller who stops waiting, as one
    /// whose deadline passed, leaves the same doubt as an append of unknown outcome.
    pub async fn append(&self, look: &Look) -> Result<u64, Refusal> {
        self.partitions.open_to_appends(&partition())?;
        let mut doubt = Doubt { ledger: self, look: Some(look) };
        let written = self.write(look).await;
        if !matches!(written, Err(AppendError::Unknown(_))) {
            doubt.look = None;
        }
        written.map_err(|error| Refusal::new(Reason::LedgerUnavailable).detail(error))
    }

    async fn write(&self, look: &Look) -> Appended {
        let entry_id = EntryId::parse(&look.look_id).unwrap_or_default();
        let (key_id, data_key) = self.keys.hub_data_key();
        let header = Header {
            suite: "std".into(),
            key_id: key_id.into(),
            sender: "hub".into(),
            accepted_at: look.at,
            content: ContentType::Ledger,
            registry_position: look.registry_position,
        };
        let text = serde_json::to_vec(look).map_err(|error| AppendError::NotAppended(error.to_string()))?;
        let place = Place { topic: &Topic::Ledger, key: &look.look_id, entry_id };
        let value = envelope::seal(place, &header, data_key, &text);
        let draft = Draft { partition: partition(), key: look.look_id.clone(), entry_id, headers: Vec::new(), value };
        let (reply, answer) = oneshot::channel();
        let stopped = || AppendError::NotAppended("the ledger has stopped".into());
        self.drafts.send((draft, reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(AppendError::Unknown("the log answered nothing".into())))
    }

    /// Marks looks whose answers were withheld, as soon as the log can be written again, until `shutdown`.
    pub async fn mark_withheld(self: Arc<Self>, mut marks: mpsc::UnboundedReceiver<Look>, shutdown: CancellationToken) {
        loop {
            let mark = tokio::select! {
                () = shutdown.cancelled() => return,
                mark = marks.recv() => mark,
            };
            let Some(withheld) = mark else { return };
            // The mark is an entry of its own, about the look: the first writing may stand or not.
            let mark = Look {
                look_id: EntryId::new().to_string(),
                purpose: format!("not delivered: {}", withheld.look_id),
                at: self.clock.now(),
                ..withheld
            };
            while self.partitions.open_to_appends(&partition()).is_err() || self.write(&mark).await.is_err() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
}

/// Appends what waits, all of it together: one flush, and one turn of the log, for many looks.
async fn append_groups(log: SharedLog, mut waiting: mpsc::Receiver<Waiting>) {
    let mut expected = 0;
    loop {
        let mut group = Vec::with_capacity(TOGETHER);
        if waiting.recv_many(&mut group, TOGETHER).await == 0 {
            return;
        }
        let gather = async {
            while group.len() < expected {
                let room = TOGETHER - group.len();
                if waiting.recv_many(&mut group, room).await == 0 {
                    return;
                }
            }
        };
        // What came until then is the group.
        let _ = tokio::time::timeout(GATHER, gather).await;
        expected = group.len();
        let (drafts, replies): (Vec<Draft>, Vec<_>) = group.into_iter().unzip();
        for (appended, reply) in log.append(drafts).await.into_iter().zip(replies) {
            // Whoever asked may have gone, and has left the entry marked as not delivered.
            let _ = reply.send(appended);
        }
    }
}

/// The ledger's one partition.
fn partition() -> Partition {
    Partition { topic: Topic::Ledger, number: 0 }
}
