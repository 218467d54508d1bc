//! How a source, and the stream to the hub, stand.

use serde::{Deserialize, Serialize};

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// It was read, and waits for the next time.
    Idle,
    /// It is being read.
    Reading,
    /// It is being read, and much of it is still to come.
    BackFilling,
    /// Reading waits until the spool or the disk has room.
    Waiting,
    /// Outside its service hours.
    Resting,
    /// By command.
    Paused,
    /// It cannot be read now.
    Unreachable,
    /// Almost all of its rows fail.
    Stopped,
}

/// Why a source is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "halt")]
pub enum Halt {
    /// By command.
    Paused,
    /// Almost everything failed.
    Stopped {
        /// What happened, in Chinese.
        zh: String,
        /// And in English.
        en: String,
    },
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLife {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What it becomes.
    pub record_type: String,
    /// Its service hours; empty means always.
    pub hours: Vec<String>,
    /// How it stands.
    pub state: At,
    /// When it was last looked at with success, milliseconds since 1970.
    pub last_read_ms: Option<i64>,
    /// Rows read since the adapter began.
    pub rows_read: u64,
    /// Versions indexed since.
    pub rows_sent: u64,
    /// Rows that did not map, and versions that the hub refused, since.
    pub rows_refused: u64,
    /// What is wrong, where something is.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

/// The stream to the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkLife {
    /// Whether it is open.
    pub connected: bool,
    /// When the hub was heard last, milliseconds since 1970.
    pub heard_ms: Option<i64>,
    /// Why it is not open.
    pub error: String,
}
