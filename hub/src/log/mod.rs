//! The log: the truth. Ordered, durable, append-only entries in topics and partitions; everything else follows it.
//!
//! Nobody but hub instances writes here, and a value is always an envelope; but the log itself neither knows nor checks that.
//!
//! - [`sqlite`]: embedded, one file in a data directory that one process owns
//! - [`kafka`]: served, for several hub instances
//! - `contract` (feature `test-util`): what both have to do, as tests

#[cfg(feature = "test-util")]
pub mod contract;
pub mod kafka;
pub mod sqlite;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Reason, Refusal};

use crate::clock::random;

/// One of the four families of topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `weft.records.<record-type>`: sealed records, for ever, partitioned by `record_id`.
    Records(String),
    /// `weft.quarantine`: submissions refused at the door.
    Quarantine,
    /// `weft.ledger`: looks; one partition, for ever, flushed at every append.
    Ledger,
    /// `weft.registry`: administrative events; one partition, for ever, not compacted, flushed at every append.
    Registry,
}

impl Topic {
    /// The name without an installation's prefix.
    pub fn name(&self) -> String {
        match self {
            Self::Records(record_type) => format!("weft.records.{record_type}"),
            Self::Quarantine => "weft.quarantine".into(),
            Self::Ledger => "weft.ledger".into(),
            Self::Registry => "weft.registry".into(),
        }
    }

    /// The topic of that name, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "weft.quarantine" => Some(Self::Quarantine),
            "weft.ledger" => Some(Self::Ledger),
            "weft.registry" => Some(Self::Registry),
            _ => name
                .strip_prefix("weft.records.")
                .filter(|rest| !rest.is_empty())
                .map(|rest| Self::Records(rest.into())),
        }
    }

    /// Whether an entry with the key of an earlier one takes its place (log compaction).
    pub fn compacted(&self) -> bool {
        matches!(self, Self::Records(_) | Self::Quarantine)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The unique id of one entry; its own for every entry, stubs and re-appends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryId(pub [u8; 16]);

impl EntryId {
    /// A new one, random.
    pub fn new() -> Self {
        Self(random())
    }

    /// From 32 hexadecimal characters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok().map(|()| Self(id))
    }
}

impl Default for EntryId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic.
    pub topic: Topic,
    /// Its number, from 0.
    pub number: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// The largest entry that a log takes: key, headers and value together, in bytes.
pub const MAX_ENTRY_BYTES: usize = 8 << 20;

/// An entry to be appended.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where to.
    pub partition: Partition,
    /// The entry's key: what compaction goes by.
    pub key: String,
    /// Stored as the header `weft_entry_id`.
    pub entry_id: EntryId,
    /// More headers, outside the envelope: CloudEvents attributes and `traceparent`. Never a person.
    pub headers: Vec<(String, String)>,
    /// The envelope.
    pub value: Bytes,
}

impl Draft {
    /// What it counts against [`MAX_ENTRY_BYTES`].
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.key.len() + headers + self.value.len()
    }
}

/// An entry read. Anybody who reached the log may have written it: nothing in it is trusted before its envelope opens.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the partition.
    pub offset: u64,
    /// `None` when it has none, or one that is not UTF-8.
    pub key: Option<String>,
    /// `None` when the header is absent or malformed.
    pub entry_id: Option<EntryId>,
    /// The other headers whose values are UTF-8.
    pub headers: Vec<(String, String)>,
    /// `None` for a null.
    pub value: Option<Bytes>,
}

/// Why an entry was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// It surely does not stand in the log.
    #[error("not appended: {0}")]
    NotAppended(String),
    /// It may or may not stand in the log.
    #[error("append of unknown outcome: {0}")]
    Unknown(String),
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::new(Reason::LogUnavailable).detail(error)
    }
}

/// Why the log could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or is broken; tried again later it may work.
    #[error("log unavailable: {0}")]
    Unavailable(String),
    /// The offset asked for lies past the end (`end` = the next offset to be written): something was cut off.
    #[error("offset {from} is past the end {end}")]
    PastEnd {
        /// What was asked for.
        from: u64,
        /// Where the partition ends.
        end: u64,
    },
    /// The offset asked for lies before the first that is kept: something was deleted.
    #[error("offset {from} is before the start {start}")]
    BeforeStart {
        /// What was asked for.
        from: u64,
        /// The first offset that is kept.
        start: u64,
    },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(Reason::LogUnavailable).detail(error)
    }
}

/// How much one read may bring.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Entries at most.
    pub entries: usize,
    /// Bytes of values at most; the first entry is brought whatever its size.
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { entries: 1000, bytes: 8 << 20 }
    }
}

/// The seam to the log. Implementations are safe to call from many tasks at once.
#[async_trait]
pub trait Log: fmt::Debug + Send + Sync {
    /// How many partitions the topic has, fixed for ever. A records topic that does not exist yet is created by
    /// [`Log::ensure`]; asking about one that was not ensured answers 0.
    fn partitions(&self, topic: &Topic) -> u32;

    /// Creates the topic where it does not exist and checks its settings where it does. Idempotent; another instance may do
    /// the same at the same time. An error when it exists with settings that break a promise.
    async fn ensure(&self, topic: &Topic) -> Result<(), Error>;

    /// Appends the drafts; the answer at `i` is the offset of draft `i`. Those of one partition get rising offsets in the
    /// order given. **Durable when this returns**: an `Ok` offset survives any crash of processes and the loss of power of
    /// one machine. One draft's failure does not stop the others, except that after a failure in a partition the later
    /// drafts of that partition and call are `NotAppended` or `Unknown` as the truth is. An implementation never retries
    /// in a way that could store a draft twice. Returns within the log's configured timeout.
    async fn append(&self, drafts: Vec<Draft>) -> Vec<Result<u64, AppendError>>;

    /// Entries with offset ≥ `from` in rising order, as many as the limit allows; waits at most `wait` for the first one and
    /// answers an empty list when none came. Offsets that compaction emptied are skipped. Sees everything that an `append`
    /// which returned before this call began has stored (at any instance).
    async fn read(
        &self,
        partition: &Partition,
        from: u64,
        limit: ReadLimit,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error>;

    /// The next offset to be written, confirmed with the log's authority after this call began (never from a cache).
    async fn end(&self, partition: &Partition) -> Result<u64, Error>;
}

/// A shared log.
pub type SharedLog = Arc<dyn Log>;

/// The partition of a record: all versions of a record stay in order. FNV-1a of the id, stable for ever.
pub fn partition_of(record_id: &str, partitions: u32) -> u32 {
    let hash = record_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}
