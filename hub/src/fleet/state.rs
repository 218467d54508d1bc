//! How an adapter stands, why, and what to do: a pure function of what it said last and of the time.

use weft_proto::v1::{AdapterState, Heartbeat, SourceReport, SourceState};

use super::Seen;
use crate::clock::Millis;

/// Not heard of for longer, an adapter is silent: several heartbeats were missed.
pub const SILENT_AFTER_MS: Millis = 60_000;
/// What waits unsent for longer is late.
pub const LATE_AFTER_MS: Millis = 15 * 60_000;
/// A source that cannot be read may be away for so long before it counts as failing.
pub const AWAY_MS: Millis = 2 * 60_000;
/// Certificates renew themselves with 30 days to go; with fewer than this left, that has failed.
pub const EXPIRING_MS: Millis = 20 * 86_400_000;
/// The door refuses seals that are 5 minutes ahead; a clock off by half of that must be set.
pub const CLOCK_OFF_MS: Millis = 150_000;

/// How an adapter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The word.
    pub state: AdapterState,
    /// Whether a person must do something.
    pub needs_person: bool,
    /// Why, in Chinese.
    pub zh: String,
    /// Why, in English.
    pub en: String,
    /// What to do, in Chinese and English.
    pub todo: (&'static str, &'static str),
}

type Todo = (&'static str, &'static str);

const NOTHING: Todo = ("无需处理", "nothing to do");
const START: Todo = (
    "请在部门前置机上查看 weft adapter status，确认网络可达并启动 weft adapter run",
    "at the department's machine: weft adapter status, check the network, start weft adapter run",
);
const JOIN: Todo = (
    "请部门运行 weft adapter run；如已启动，请检查到枢纽端口的网络",
    "the department starts weft adapter run; if it runs, check its network to the hub's port",
);
const SEE: Todo = (
    "请在部门前置机上运行 weft adapter status 和 weft adapter problems",
    "at the department's machine: weft adapter status, weft adapter problems",
);
const CONFIRM: Todo = (
    "请另一位操作员核对指纹后运行 weft admin key confirm",
    "a second operator compares the fingerprint: weft admin key confirm",
);
const RESUME: Todo = (
    "改正后运行 weft adapter resume（或 weft admin adapter resume）",
    "when it is mended: weft adapter resume, or weft admin adapter resume",
);
const CLOCK: Todo = ("请校准前置机时钟（NTP）", "set the clock of the adapter's machine (NTP)");
const SPACE: Todo = ("请清理前置机状态目录所在的磁盘", "make room on the disk of the adapter's state directory");
const RENEW: Todo = (
    "请运行 weft admin adapter renew；仍不成功则重新发放入网令牌",
    "weft admin adapter renew; if that fails, issue a new join token",
);
const RESYNC: Todo = ("请按提示执行 weft adapter resync", "give the command that the sentence names");
const RECONCILE: Todo = (
    "请运行 weft adapter reconcile 查看差异，再以 --repair 补送",
    "weft adapter reconcile names what differs; --repair sends it again",
);
const LEDGER: Todo = ("请立即核查使用台账是否被截断或替换", "find out at once whether the ledger was cut or replaced");
const NETWORK: Todo =
    ("请检查网络带宽与枢纽状态（weft admin status）", "check the network and the hub: weft admin status");

fn standing(state: AdapterState, zh: impl Into<String>, en: impl Into<String>, todo: Todo) -> Standing {
    let calm = [AdapterState::Healthy, AdapterState::Resting, AdapterState::BackFilling];
    Standing { state, needs_person: !calm.contains(&state), zh: zh.into(), en: en.into(), todo }
}

/// How an adapter stands at `now`; `None`: it was never heard. Of several findings the worst is told.
pub fn state(seen: Option<&Seen>, now: Millis) -> Standing {
    let Some(seen) = seen else {
        return standing(AdapterState::Silent, "入网后从未收到心跳", "it was never heard of since it joined", JOIN);
    };
    let quiet = now.saturating_sub(seen.heard_at);
    if quiet > SILENT_AFTER_MS {
        let (zh, en) = (span(quiet, true), span(quiet, false));
        return standing(
            AdapterState::Silent,
            format!("已有 {zh} 没有心跳"),
            format!("it has not been heard of for {en}"),
            START,
        );
    }
    let beat = &seen.heartbeat;
    failing(seen)
        .or_else(|| late(beat))
        .or_else(|| expiring(beat, now))
        .or_else(|| paused(beat))
        .or_else(|| back_filling(beat))
        .or_else(|| resting(beat))
        .unwrap_or_else(|| standing(AdapterState::Healthy, "正常", "all is well", NOTHING))
}

/// Milliseconds before the heartbeat that the oldest version without a receipt was sealed.
pub fn oldest_unsent(beat: &Heartbeat) -> Option<Millis> {
    let waiting = beat.backlog.iter().filter(|one| one.unsent > 0);
    waiting.map(|one| millis(one.oldest_ago_ms)).max()
}

fn failing(seen: &Seen) -> Option<Standing> {
    let beat = &seen.heartbeat;
    let failing = |zh: String, en: String, todo| Some(standing(AdapterState::Failing, zh, en, todo));
    if let Some(trouble) = beat.troubles.first() {
        let todo = match trouble.trouble.as_str() {
            "disk_full" | "disk_low" => SPACE,
            "reconcile_differs" => RECONCILE,
            "ledger_went_back" => LEDGER,
            "state_recovered" => RESYNC,
            "key_not_accepted" => CONFIRM,
            _ => SEE,
        };
        return failing(trouble.zh.clone(), trouble.en.clone(), todo);
    }
    if let Some(source) = of(beat, SourceState::Stopped) {
        let (zh, en) = why(source);
        return failing(
            format!("数据源 {} 已停止{zh}", source.name),
            format!("source {} has stopped{en}", source.name),
            RESUME,
        );
    }
    let away = beat.sources.iter().find(|source| {
        source.state() == SourceState::Unreachable && source.last_read_ago_ms.is_none_or(|ago| millis(ago) > AWAY_MS)
    });
    if let Some(source) = away {
        let (zh, en) = why(source);
        let (zh, en) =
            (format!("数据源 {} 无法读取{zh}", source.name), format!("source {} cannot be read{en}", source.name));
        return failing(zh, en, SEE);
    }
    let held: u64 = beat.backlog.iter().map(|one| one.held).sum();
    if held > 0 {
        let (zh, en) = (
            format!("{held} 条等待签章密钥或发送方获得认可"),
            format!("{held} versions wait for their key or sender to be accepted"),
        );
        return failing(zh, en, CONFIRM);
    }
    let off = beat.clock_offset_ms.filter(|off| off.saturating_abs() > CLOCK_OFF_MS)?;
    let (zh, en) = (span(off.saturating_abs(), true), span(off.saturating_abs(), false));
    failing(format!("时钟偏差 {zh}"), format!("its clock is off by {en}"), CLOCK)
}

fn late(beat: &Heartbeat) -> Option<Standing> {
    let oldest = oldest_unsent(beat).filter(|oldest| *oldest > LATE_AFTER_MS)?;
    // What a back-fill sealed first may wait long, as long as it moves; it is late when it is older than a day.
    if of(beat, SourceState::BackFilling).is_some() && oldest < 86_400_000 {
        return None;
    }
    let count: u64 = beat.backlog.iter().map(|one| one.unsent).sum();
    let (zh, en) = (span(oldest, true), span(oldest, false));
    Some(standing(
        AdapterState::Late,
        format!("{count} 条尚未送达，最早的已等待 {zh}"),
        format!("{count} versions are unsent, the oldest for {en}"),
        NETWORK,
    ))
}

fn expiring(beat: &Heartbeat, now: Millis) -> Option<Standing> {
    let left = beat.certificate_expires.as_ref()?.seconds.saturating_mul(1000).saturating_sub(now);
    if left > EXPIRING_MS {
        return None;
    }
    let (zh, en) = (span(left.max(0), true), span(left.max(0), false));
    Some(standing(
        AdapterState::Expiring,
        format!("证书将在 {zh} 后到期，自动续期未成功"),
        format!("its certificate ends in {en} and has not renewed itself"),
        RENEW,
    ))
}

fn paused(beat: &Heartbeat) -> Option<Standing> {
    let source = of(beat, SourceState::Paused)?;
    Some(standing(
        AdapterState::Paused,
        format!("数据源 {} 已按指令暂停", source.name),
        format!("source {} is paused by command", source.name),
        RESUME,
    ))
}

fn back_filling(beat: &Heartbeat) -> Option<Standing> {
    let source = of(beat, SourceState::BackFilling)?;
    Some(standing(
        AdapterState::BackFilling,
        format!("数据源 {} 正在补录，已读 {} 行", source.name, source.rows_read),
        format!("source {} is back-filling, {} rows read", source.name, source.rows_read),
        NOTHING,
    ))
}

fn resting(beat: &Heartbeat) -> Option<Standing> {
    let all = !beat.sources.is_empty() && beat.sources.iter().all(|source| source.state() == SourceState::Resting);
    all.then(|| standing(AdapterState::Resting, "不在服务时段内", "it is outside its service hours", NOTHING))
}

fn of(beat: &Heartbeat, state: SourceState) -> Option<&SourceReport> {
    beat.sources.iter().find(|source| source.state() == state)
}

fn why(source: &SourceReport) -> (String, String) {
    let part = |text: &str, before: &str| if text.is_empty() { String::new() } else { format!("{before}{text}") };
    (part(&source.zh, "："), part(&source.en, ": "))
}

fn millis(number: u64) -> Millis {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A span of time in its largest unit.
fn span(ms: Millis, zh: bool) -> String {
    let units = [(86_400_000, "天", "d"), (3_600_000, "小时", "h"), (60_000, "分钟", "min")];
    let (length, name_zh, name_en) = units.into_iter().find(|(length, ..)| ms >= *length).unwrap_or((1_000, "秒", "s"));
    if zh { format!("{}{name_zh}", ms / length) } else { format!("{} {name_en}", ms / length) }
}

#[cfg(test)]
mod tests;
