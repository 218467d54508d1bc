//! Values of a watermark column: times or numbers that only grow, as text and in order.

use jiff::{ToSpan as _, civil::DateTime};
use serde::{Deserialize, Serialize};

/// What a watermark column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// When the row was last changed: a timestamp, or a day.
    Timestamp,
    /// A number that grows with every change: a sequence, a row version.
    Number,
}

/// Digits kept behind the point of a number; more are cut off, which only reads more.
const SCALE: usize = 9;

/// A watermark's place in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Time(DateTime),
    Number(i128),
}

/// A time as it is written, taken apart.
struct Written<'a> {
    civil: DateTime,
    /// `+08`, `+05:30`, `Z` or nothing.
    zone: &'a str,
    day_only: bool,
    separator: char,
}

impl Mark {
    /// Reads what a database wrote. A zone behind the time is taken into account.
    pub(super) fn parse(kind: MarkKind, text: &str) -> Option<Self> {
        match kind {
            MarkKind::Timestamp => {
                let written = written(text)?;
                let minutes = offset_minutes(written.zone)?;
                written.civil.checked_sub(minutes.minutes()).ok().map(Self::Time)
            }
            MarkKind::Number => number(text).map(Self::Number),
        }
    }
}

/// The lower bound of the next look: so much before `newest`, or before `now` where `newest` lies in the future, in
/// the same form. Never above its input.
///
/// `now` is UTC where the text has a zone, else the time of the column's clock.
pub(super) fn lower(kind: MarkKind, newest: &str, overlap: u64, now: impl Fn(bool) -> DateTime) -> Option<String> {
    match kind {
        MarkKind::Number => {
            let whole = number(newest)?.div_euclid(10_i128.pow(SCALE as u32));
            Some(whole.checked_sub(i128::from(overlap))?.to_string())
        }
        MarkKind::Timestamp => {
            let written = written(newest)?;
            let zone_minutes = offset_minutes(written.zone)?;
            let now = now(!written.zone.is_empty()).checked_add(zone_minutes.minutes()).ok()?;
            if overlap == 0 && written.civil <= now {
                return Some(newest.to_owned());
            }
            let overlap = i64::try_from(overlap).ok()?;
            let from = written.civil.min(now).checked_sub(overlap.seconds()).ok()?;
            let (day, separator, zone) = (from.date(), written.separator, written.zone);
            Some(if written.day_only {
                day.to_string()
            } else {
                format!("{day}{separator}{:02}:{:02}:{:02}{zone}", from.hour(), from.minute(), from.second())
            })
        }
    }
}

fn written(text: &str) -> Option<Written<'_>> {
    let text = text.trim();
    let day = text.get(..10)?;
    let rest = text.get(10..)?;
    let date: jiff::civil::Date = day.parse().ok()?;
    let Some(separator) = rest.chars().next() else {
        return Some(Written { civil: date.at(0, 0, 0, 0), zone: "", day_only: true, separator: ' ' });
    };
    let time = rest.strip_prefix([' ', 'T'])?;
    let end = time.find(['+', '-', 'Z']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    let civil = format!("{day}T{}", clock.trim_end()).parse().ok()?;
    Some(Written { civil, zone, day_only: false, separator })
}

/// Minutes east of Greenwich of `+08`, `-03:30`, `+0800`, `Z`; 0 for nothing.
fn offset_minutes(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let digits = digits.replace(':', "");
    if !(digits.len() == 2 || digits.len() == 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    Some(if sign == "-" { -1 } else { 1 } * (hours * 60 + minutes))
}

/// A decimal number, times 10^9.
fn number(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(SCALE).collect();
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// Whether the text is a plain decimal number, fit to stand in a statement as it is.
pub(super) fn is_number(text: &str) -> bool {
    number(text).is_some()
}

/// A time as ODBC writes it in a statement, `YYYY-MM-DD HH:MM:SS[.ffffff]`, of nothing but digits and its separators.
pub(super) fn odbc_time(text: &str) -> Option<String> {
    let written = written(text).filter(|written| written.zone.is_empty())?;
    let civil = written.civil;
    let seconds = format!("{} {:02}:{:02}:{:02}", civil.date(), civil.hour(), civil.minute(), civil.second());
    let fraction = format!("{:09}", civil.subsec_nanosecond());
    let fraction = fraction.trim_end_matches('0');
    Some(if fraction.is_empty() { seconds } else { format!("{seconds}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Mark {
        Mark::parse(MarkKind::Timestamp, text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn times_of_every_database_are_in_order() {
        let ascending = [
            "2026-03-01",
            "2026-03-01 00:00:00.000001",
            "2026-03-01T00:00:01",
            "2026-03-01 00:00:01.5",
            "2026-03-01 23:59:59.999999",
        ];
        assert!(ascending.windows(2).all(|pair| time(pair[0]) < time(pair[1])));
        assert_eq!(time("2026-03-01 08:00:00+08"), time("2026-03-01 00:00:00Z"));
        assert_eq!(time("2026-03-01 03:30:00+03:30"), time("2026-03-01 00:00:00+00"));
        for text in ["", "infinity", "2026-03", "2026-13-01", "2026-03-01 25:00:00", "2026-03-01 00:00:00+8", "now()"] {
            assert_eq!(Mark::parse(MarkKind::Timestamp, text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_in_order_as_numbers() {
        let number = |text| Mark::parse(MarkKind::Number, text).unwrap();
        assert!(number("9") < number("10") && number("-1") < number("0") && number(".5") < number("0.75"));
        assert!(number("9223372036854775807") < number("9223372036854775807.1"));
        for text in ["", "-", "1e5", "0x1", "1;2", "1 2", "."] {
            assert_eq!(Mark::parse(MarkKind::Number, text), None, "{text}");
        }
    }

    #[test]
    fn the_next_look_begins_before_the_newest_and_never_in_the_future() {
        let now = |utc| if utc { "2026-06-01T04:00:00" } else { "2026-06-01T12:00:00" }.parse().unwrap();
        let lower = |newest, overlap| lower(MarkKind::Timestamp, newest, overlap, now).unwrap();
        assert_eq!(lower("2026-06-01 11:00:00.75", 600), "2026-06-01 10:50:00");
        assert_eq!(lower("2026-06-01T11:00:00", 600), "2026-06-01T10:50:00");
        assert_eq!(lower("2026-06-01 11:00:00.123456+08", 600), "2026-06-01 10:50:00+08");
        assert_eq!(lower("2026-06-01", 600), "2026-05-31");
        assert_eq!(lower("2099-12-31 00:00:00", 600), "2026-06-01 11:50:00", "a row of the future moves nothing");
        assert_eq!(lower("2099-12-31 00:00:00+08", 600), "2026-06-01 11:50:00+08");
        assert_eq!(lower("2026-06-01 11:00:00.123456", 0), "2026-06-01 11:00:00.123456");
        let number = |newest, overlap| super::lower(MarkKind::Number, newest, overlap, now);
        assert_eq!(number("1000.5", 10).as_deref(), Some("990"));
        assert_eq!(number("-0.5", 0).as_deref(), Some("-1"));
    }

    #[test]
    fn what_goes_into_a_statement_as_it_is_is_nothing_but_a_time_or_number() {
        assert_eq!(odbc_time("2026-06-01 11:00:00.120").as_deref(), Some("2026-06-01 11:00:00.12"));
        assert_eq!(odbc_time("2026-06-01").as_deref(), Some("2026-06-01 00:00:00"));
        for text in ["2026-06-01 11:00:00'; drop table x", "x", "2026-06-01 11:00:00+08"] {
            assert_eq!(odbc_time(text), None, "{text}");
        }
        assert!(is_number("-12.50") && !is_number("1 or 1=1"));
    }
}
