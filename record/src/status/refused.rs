//! Why a step is not in the table.

/// Why a step is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StepRefused {
    /// A history begins with `issue` or `transfer_in`.
    #[error("the record has no version yet: publish issue or transfer_in first")]
    NothingYet,
    /// `issue` or `transfer_in` of a record that is here and alive.
    #[error("the record is already here: publish change, renew, reissue or correct instead")]
    AlreadyHere,
    /// `resume` without a suspension.
    #[error("the record is not suspended: there is nothing to resume")]
    NotSuspended,
    /// `unfreeze` without a freeze.
    #[error("the record is not frozen: there is nothing to unfreeze")]
    NotFrozen,
    /// Anything but `transfer_in` on a transferred record.
    #[error("the record was transferred out: only transfer_in takes it back")]
    Transferred,
    /// Anything but `correct` on a rescinded, revoked or cancelled record.
    #[error("the record was rescinded, revoked or cancelled, which is final: only a confirmed correct changes it")]
    Final,
    /// `correct` on a rescinded, revoked or cancelled record: see [`super::step_confirmed`].
    #[error("correcting a final status needs the confirmation of two persons of the department")]
    NeedsConfirmation,
    /// A confirmed `correct` that claims `transferred`.
    #[error("a correction cannot transfer a record")]
    NotByCorrection,
}

impl StepRefused {
    /// What happened and what to do, in Chinese.
    #[must_use]
    pub fn zh(self) -> &'static str {
        match self {
            Self::NothingYet => "该记录尚无版本，请先归集 issue 或 transfer_in",
            Self::AlreadyHere => "该记录已存在，请改用 change、renew、reissue 或 correct",
            Self::NotSuspended => "该记录未处于暂扣状态，无需恢复",
            Self::NotFrozen => "该记录未处于查封状态，无需解封",
            Self::Transferred => "该记录已转出，只能由 transfer_in 转回",
            Self::Final => "该记录已撤销、吊销或注销，状态为终局，只能由经双人确认的 correct 更正",
            Self::NeedsConfirmation => "更正终局状态须由本部门两人确认",
            Self::NotByCorrection => "更正不能把记录变为转出",
        }
    }
}
