//! What a version is caused by (event), what the record is since then (status), and which step leads where.
//!
//! The table of steps is data: a row per place that a record can stand at, a column per event. Decisions in it:
//!
//! - A first version is `issue` or `transfer_in`. A department whose system knows only that a record was revoked
//!   publishes the issue first and the revocation after it, so that every history begins with how it began.
//! - `frozen` (查封) and `suspended` (暂扣) are flags; frozen outranks suspended, and each is lifted by its own event.
//!   Both may be set again while they stand (a second seizure in waiting, a suspension prolonged) without effect.
//! - `change`, `renew`, `reissue` and `correct` keep the status of a live record.
//! - A transferred record keeps its flags and returns with them; only `transfer_in` takes it back.
//! - `rescinded`, `revoked`, `cancelled` are final but for a `correct` that two persons confirmed.

mod refused;

pub use refused::StepRefused;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What caused a version of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// 新发, 首次登记, 设立
    Issue,
    /// 变更
    Change,
    /// 延续, 换证
    Renew,
    /// 补证: same number, new document
    Reissue,
    /// 暂扣, 中止
    Suspend,
    /// 发还, 恢复
    Resume,
    /// 查封
    Freeze,
    /// 解封
    Unfreeze,
    /// 更正
    Correct,
    /// 撤销: should not have been issued, void from the start
    Rescind,
    /// 吊销: taken as a penalty
    Revoke,
    /// 注销: ended on request or by law
    Cancel,
    /// 转出
    TransferOut,
    /// 转入
    TransferIn,
}

/// What a record is since its last version. *Expired* is no status: it is computed when answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 有效
    Valid,
    /// 暂扣 or 中止
    Suspended,
    /// 查封
    Frozen,
    /// 撤销
    Rescinded,
    /// 吊销
    Revoked,
    /// 注销
    Cancelled,
    /// 转出
    Transferred,
}

impl Event {
    /// Every event, in the order of the table's columns.
    pub const ALL: [Self; 14] = [
        Self::Issue,
        Self::Change,
        Self::Renew,
        Self::Reissue,
        Self::Suspend,
        Self::Resume,
        Self::Freeze,
        Self::Unfreeze,
        Self::Correct,
        Self::Rescind,
        Self::Revoke,
        Self::Cancel,
        Self::TransferOut,
        Self::TransferIn,
    ];

    /// The event's name in a record and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Change => "change",
            Self::Renew => "renew",
            Self::Reissue => "reissue",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Correct => "correct",
            Self::Rescind => "rescind",
            Self::Revoke => "revoke",
            Self::Cancel => "cancel",
            Self::TransferOut => "transfer_out",
            Self::TransferIn => "transfer_in",
        }
    }

    /// Whether the event takes something from the holder. Such an event needs only the record's own claims and a
    /// seal; bad data in its fields is reported and never blocks it.
    #[must_use]
    pub fn takes_away(self) -> bool {
        matches!(self, Self::Suspend | Self::Freeze | Self::Rescind | Self::Revoke | Self::Cancel)
    }
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Valid,
        Self::Suspended,
        Self::Frozen,
        Self::Rescinded,
        Self::Revoked,
        Self::Cancelled,
        Self::Transferred,
    ];

    /// The status's name in a record and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspended => "suspended",
            Self::Frozen => "frozen",
            Self::Rescinded => "rescinded",
            Self::Revoked => "revoked",
            Self::Cancelled => "cancelled",
            Self::Transferred => "transferred",
        }
    }

    /// The taking-away event that this status speaks of. A version whose own event cannot be read is judged by it.
    #[must_use]
    pub fn implied_event(self) -> Option<Event> {
        match self {
            Self::Suspended => Some(Event::Suspend),
            Self::Frozen => Some(Event::Freeze),
            Self::Rescinded => Some(Event::Rescind),
            Self::Revoked => Some(Event::Revoke),
            Self::Cancelled => Some(Event::Cancel),
            Self::Valid | Self::Transferred => None,
        }
    }
}

/// A text that names no event or status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event or status")]
pub struct UnknownWord;

impl FromStr for Event {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|event| event.as_str() == name).ok_or(UnknownWord)
    }
}

impl FromStr for Status {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|status| status.as_str() == name).ok_or(UnknownWord)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a record stands: its status and the two flags, which outlive the status that covers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// What the record is, frozen before suspended.
    pub status: Status,
    /// 查封 stands.
    pub frozen: bool,
    /// 暂扣 or 中止 stands.
    pub suspended: bool,
}

impl State {
    /// A live record with these flags.
    #[must_use]
    pub fn live(frozen: bool, suspended: bool) -> Self {
        let status = match (frozen, suspended) {
            (true, _) => Status::Frozen,
            (false, true) => Status::Suspended,
            (false, false) => Status::Valid,
        };
        Self { status, frozen, suspended }
    }

    /// Whether a version that claims `claimed` may stand at this state. A department that suspends a record need
    /// not know that a court froze it: a claim of a flag that is up agrees, though a higher flag decides the status.
    #[must_use]
    pub fn agrees_with(self, claimed: Status) -> bool {
        claimed == self.status || (self.status == Status::Frozen && self.suspended && claimed == Status::Suspended)
    }
}

/// One cell of the table.
#[derive(Clone, Copy)]
enum Cell {
    /// The live state with these flags: frozen, suspended.
    Live(bool, bool),
    /// The status stays as it is.
    Keep,
    /// This status; the flags stay as they are.
    End(Status),
    /// Alive again, with the flags that were kept.
    Return,
    No(StepRefused),
}

/// The places a record can stand at, in the order of the table's rows: nothing yet, valid, suspended, frozen, frozen
/// and suspended, transferred, final.
fn row(from: Option<State>) -> usize {
    let Some(state) = from else { return 0 };
    match state.status {
        Status::Transferred => 5,
        Status::Rescinded | Status::Revoked | Status::Cancelled => 6,
        Status::Valid | Status::Suspended | Status::Frozen => {
            1 + usize::from(state.suspended || state.status == Status::Suspended)
                + 2 * usize::from(state.frozen || state.status == Status::Frozen)
        }
    }
}

#[rustfmt::skip]
const TABLE: [[Cell; 14]; 7] = {
    use Cell::{Keep as K, No, Return as R};
    const VALID: Cell = Cell::Live(false, false);
    const SUSP: Cell = Cell::Live(false, true);
    const FROZ: Cell = Cell::Live(true, false);
    const BOTH: Cell = Cell::Live(true, true);
    const RESC: Cell = Cell::End(Status::Rescinded);
    const REVO: Cell = Cell::End(Status::Revoked);
    const CANC: Cell = Cell::End(Status::Cancelled);
    const OUT: Cell = Cell::End(Status::Transferred);
    const NOTHING: Cell = No(StepRefused::NothingYet);
    const HERE: Cell = No(StepRefused::AlreadyHere);
    const NO_S: Cell = No(StepRefused::NotSuspended);
    const NO_F: Cell = No(StepRefused::NotFrozen);
    const GONE: Cell = No(StepRefused::Transferred);
    const FIN: Cell = No(StepRefused::Final);
    const TWO: Cell = No(StepRefused::NeedsConfirmation);
    [
        // issue   change   renew    reissue  suspend  resume   freeze   unfreeze correct  rescind  revoke   cancel   out      in
        [VALID,    NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, VALID],
        [HERE,     K,       K,       K,       SUSP,    NO_S,    FROZ,    NO_F,    K,       RESC,    REVO,    CANC,    OUT,     HERE],
        [HERE,     K,       K,       K,       SUSP,    VALID,   BOTH,    NO_F,    K,       RESC,    REVO,    CANC,    OUT,     HERE],
        [HERE,     K,       K,       K,       BOTH,    NO_S,    FROZ,    VALID,   K,       RESC,    REVO,    CANC,    OUT,     HERE],
        [HERE,     K,       K,       K,       BOTH,    FROZ,    BOTH,    SUSP,    K,       RESC,    REVO,    CANC,    OUT,     HERE],
        [GONE,     GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    GONE,    R],
        [FIN,      FIN,     FIN,     FIN,     FIN,     FIN,     FIN,     FIN,     TWO,     FIN,     FIN,     FIN,     FIN,     FIN],
    ]
};

/// Where `event` leads from `from` (`None`: the record has no version yet).
///
/// # Errors
/// The step is not in the table; [`StepRefused::NeedsConfirmation`] asks for [`step_confirmed`].
pub fn step(from: Option<State>, event: Event) -> Result<State, StepRefused> {
    let flags = from.map_or((false, false), |state| (state.frozen, state.suspended));
    match TABLE[row(from)][event as usize] {
        Cell::Live(frozen, suspended) => Ok(State::live(frozen, suspended)),
        Cell::Keep => from.ok_or(StepRefused::NothingYet),
        Cell::End(status) => Ok(State { status, frozen: flags.0, suspended: flags.1 }),
        Cell::Return => Ok(State::live(flags.0, flags.1)),
        Cell::No(refused) => Err(refused),
    }
}

/// Where a `correct` that two persons confirmed leads from a final status: to what the corrected version claims.
/// Claiming a live status sets the flags anew: `valid` lowers both, `suspended` and `frozen` raise their own.
///
/// # Errors
/// `from` is not final (then [`step`] decides), or `transferred` is claimed.
pub fn step_confirmed(from: State, claimed: Status) -> Result<State, StepRefused> {
    match step(Some(from), Event::Correct) {
        Err(StepRefused::NeedsConfirmation) => match claimed {
            Status::Valid => Ok(State::live(false, false)),
            Status::Suspended => Ok(State::live(false, true)),
            Status::Frozen => Ok(State::live(true, from.suspended)),
            Status::Rescinded | Status::Revoked | Status::Cancelled => Ok(State { status: claimed, ..from }),
            Status::Transferred => Err(StepRefused::NotByCorrection),
        },
        decided => decided,
    }
}

/// The statuses that a version caused by `event` can claim, whatever stood before it: the door's check, which knows
/// no history.
#[must_use]
pub fn allowed_statuses(event: Event) -> &'static [Status] {
    use Status::{Cancelled, Frozen, Rescinded, Revoked, Suspended, Transferred, Valid};
    match event {
        Event::Issue => &[Valid],
        Event::Change | Event::Renew | Event::Reissue | Event::TransferIn => &[Valid, Suspended, Frozen],
        Event::Suspend => &[Suspended, Frozen],
        Event::Resume => &[Valid, Frozen],
        Event::Freeze => &[Frozen],
        Event::Unfreeze => &[Valid, Suspended],
        Event::Correct => &[Valid, Suspended, Frozen, Rescinded, Revoked, Cancelled],
        Event::Rescind => &[Rescinded],
        Event::Revoke => &[Revoked],
        Event::Cancel => &[Cancelled],
        Event::TransferOut => &[Transferred],
    }
}

#[cfg(test)]
mod tests;
