//! Whether what a department published of a type may no longer be current, from what its adapter said last. Pure.

use weft_proto::v1::Staleness;

use super::Seen;
use crate::clock::Millis;

/// The reasons to doubt, at `now`. `owners` are the adapters that publish the type, `freshness` how old knowledge of it may be, and
/// `listening` how long this instance has been able to hear: an adapter that never was heard is not silent before that is longer.
pub fn doubts(
    owners: &[&Seen],
    record_type: &str,
    freshness: Millis,
    now: Millis,
    listening: Millis,
) -> Vec<Staleness> {
    let silent = if owners.is_empty() {
        listening > freshness
    } else {
        owners.iter().any(|one| silent(one, record_type, freshness, now))
    };
    let backlog = owners.iter().any(|one| backlog(one, record_type, freshness, now));
    let found = [(silent, Staleness::SourceSilent), (backlog, Staleness::UnsentBacklog)];
    found.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
}

/// Whether the adapter was not heard of for longer than that, or could not look at the type's source.
fn silent(seen: &Seen, record_type: &str, freshness: Millis, now: Millis) -> bool {
    let names = seen.hello.sources.iter().filter(|source| source.record_type == record_type).map(|source| &source.name);
    let reports = names.filter_map(|name| seen.heartbeat.sources.iter().find(|report| report.name == *name));
    let unread = reports.filter_map(|report| report.last_read_ago_ms).map(millis).max().unwrap_or(0);
    now.saturating_sub(seen.heard_at).saturating_add(unread) > freshness
}

fn backlog(seen: &Seen, record_type: &str, freshness: Millis, now: Millis) -> bool {
    let of_type = seen.heartbeat.backlog.iter().filter(|one| one.record_type == record_type && one.unsent > 0);
    let since = |ago| now.saturating_sub(seen.heard_at).saturating_add(millis(ago));
    of_type.map(|one| since(one.oldest_ago_ms)).any(|age| age > freshness)
}

fn millis(number: u64) -> Millis {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use weft_proto::v1::{self, Staleness::*};

    use super::*;

    const HOUR: Millis = 3_600_000;
    const NOW: Millis = 1_000 * HOUR;

    fn seen(heard_ago: Millis, read_ago: Option<Millis>, unsent_ago: Option<Millis>) -> Seen {
        let source = v1::SourceInfo { name: "s".into(), record_type: "t".into(), ..Default::default() };
        let report = v1::SourceReport {
            name: "s".into(),
            last_read_ago_ms: read_ago.map(Millis::cast_unsigned),
            ..Default::default()
        };
        let backlog = |ago: Millis| v1::Backlog {
            record_type: "t".into(),
            unsent: 1,
            held: 0,
            oldest_ago_ms: ago.cast_unsigned(),
        };
        Seen {
            heard_at: NOW - heard_ago,
            instance: "a".into(),
            hello: v1::Hello { sources: vec![source], ..Default::default() },
            heartbeat: v1::Heartbeat {
                sources: vec![report],
                backlog: unsent_ago.map(backlog).into_iter().collect(),
                ..Default::default()
            },
        }
    }

    #[test]
    fn what_was_seen_within_the_freshness_is_not_doubted() {
        let day = 24 * HOUR;
        for (name, heard, read, unsent, expected) in [
            ("all well", 0, Some(0), None, vec![]),
            ("unsent for a while", 0, Some(0), Some(23 * HOUR), vec![]),
            ("not heard of for a while", 24 * HOUR, Some(0), None, vec![]),
            ("silent", 24 * HOUR + 1, Some(0), None, vec![SourceSilent]),
            ("its source was not read", 0, Some(25 * HOUR), None, vec![SourceSilent]),
            ("both together are too long", 13 * HOUR, Some(12 * HOUR), None, vec![SourceSilent]),
            ("never read since it began", 0, None, None, vec![]),
            ("a backlog", 0, Some(0), Some(25 * HOUR), vec![UnsentBacklog]),
            ("a backlog that grew old in silence", 20 * HOUR, Some(0), Some(5 * HOUR), vec![UnsentBacklog]),
            ("both", 30 * HOUR, Some(0), Some(0), vec![SourceSilent, UnsentBacklog]),
        ] {
            assert_eq!(doubts(&[&seen(heard, read, unsent)], "t", day, NOW, 0), expected, "{name}");
        }
        assert_eq!(doubts(&[&seen(0, Some(0), Some(99 * HOUR))], "other", day, NOW, 0), [], "of another type");
        assert_eq!(doubts(&[], "t", day, NOW, day), [], "nobody could be heard for longer yet");
        assert_eq!(doubts(&[], "t", day, NOW, day + 1), [SourceSilent]);
        assert_eq!(doubts(&[&seen(0, Some(0), None), &seen(30 * HOUR, None, None)], "t", day, NOW, 0), [SourceSilent]);
    }
}
