//! Which word answers: from what was found, on a local day. Pure.

use jiff::{civil::Date, tz::Offset};
use weft_proto::v1::{Answering, Staleness};

use crate::{clock::Millis, index::Found};

/// The local date (Asia/Shanghai: UTC+8 all year since 1991).
pub fn local_date(at: Millis) -> Date {
    let timestamp = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(timestamp).date()
}

/// What is answered of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The answering word.
    pub answering: Answering,
    /// The exact status; `expired` is computed.
    pub status: String,
    /// Why it may no longer be current.
    pub staleness: Vec<Staleness>,
}

/// The word for a version on `day`. `compromised`: its sealing key is marked so since before it was accepted. `doubts`: what its
/// department's adapter gives reason to doubt.
pub fn word(found: &Found, day: Date, compromised: bool, doubts: &[Staleness]) -> Word {
    let row = &found.row;
    let ended =
        row.valid_until.as_deref().and_then(|until| until.parse::<Date>().ok()).is_some_and(|until| until < day);
    let (answering, status) = match row.status.as_str() {
        "valid" if ended => (Answering::Expired, "expired"),
        "valid" => (Answering::Satisfied, "valid"),
        "suspended" => (Answering::Suspended, "suspended"),
        "frozen" => (Answering::Frozen, "frozen"),
        other => (Answering::Revoked, other),
    };
    let mut staleness = staleness(found, compromised);
    staleness.extend(doubts);
    let answering = match answering {
        Answering::Satisfied if row.erased => Answering::Missing,
        Answering::Satisfied if !staleness.is_empty() => Answering::Stale,
        word => word,
    };
    Word { answering, status: status.to_owned(), staleness }
}

fn staleness(found: &Found, compromised: bool) -> Vec<Staleness> {
    [
        (found.higher_in_quarantine, Staleness::HigherInQuarantine),
        (found.waiting_behind_gap.is_some(), Staleness::HigherBehindGap),
        (compromised, Staleness::KeyCompromised),
        (!found.partition_current, Staleness::PartitionNotCurrent),
    ]
    .into_iter()
    .filter_map(|(is_so, reason)| is_so.then_some(reason))
    .collect()
}

/// The sentence for the clerk: (Chinese, English).
pub fn sentence(answering: Answering) -> (&'static str, &'static str) {
    match answering {
        Answering::Unspecified => ("", ""),
        Answering::Satisfied => ("记录有效", "the record is current and valid"),
        Answering::Substituted => ("已由替代材料满足", "an alternative satisfies the requirement"),
        Answering::Missing => ("归集范围内没有该记录", "the department's coverage includes it, and there is none"),
        Answering::NotCovered => {
            ("本县尚未归集此类记录，不能据此认为不存在", "nobody publishes this here: not to be read as does not exist")
        }
        Answering::Bring => ("请申请人自带材料", "no office here holds it: the applicant brings it"),
        Answering::Awaits => ("由本办件前一事项产生，尚待办结", "an earlier item of this case will produce it"),
        Answering::Expired => ("证照已过有效期", "the record has expired"),
        Answering::Suspended => ("证照被暂扣或中止", "the record is suspended"),
        Answering::Revoked => ("证照已撤销、吊销、注销或转出，详见状态", "the record has ended: its status says how"),
        Answering::Frozen => ("已被查封", "the record is frozen"),
        Answering::Ambiguous => ("有多条记录符合，须人工确认", "several records match: a person must decide"),
        Answering::Stale => {
            ("记录可能已不是最新，请向发证部门核实", "the record may no longer be current: ask its department")
        }
        Answering::Disputed => ("该记录正在校核", "the record is disputed"),
        Answering::Promised => ("已作告知承诺", "settled by promise, with a deadline"),
        Answering::Denied => ("没有授权", "no grant covers this look"),
    }
}
