//! The column that grows with every change: its greatest value, and the value from which the next pull asks.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};

use super::config::SinceKind;

/// A value of the column, in the form in which the department writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Number(i64),
    /// A local time, and what stands between day and hour.
    Local(DateTime, char),
    /// A point in time, and the offset in which it is written.
    Exact(Timestamp, Offset),
}

/// Reads a value; `None` when it is not one of its kind.
pub(super) fn parse(kind: SinceKind, text: &str) -> Option<Moment> {
    let text = text.trim();
    if kind == SinceKind::Number {
        return text.parse().ok().map(Moment::Number);
    }
    let separator = text.chars().nth(10).filter(|at| matches!(at, ' ' | 'T'))?;
    if let Ok(pieces) = jiff::fmt::temporal::DateTimeParser::new().parse_timestamp(text) {
        let offset = offset(text)?;
        return Some(Moment::Exact(pieces, offset));
    }
    text.parse().ok().map(|time| Moment::Local(time, separator))
}

/// The offset at the end of a time: `Z`, `+08:00`, `+0800`.
fn offset(text: &str) -> Option<Offset> {
    if text.ends_with(['Z', 'z']) {
        return Some(Offset::UTC);
    }
    let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
    let digits: String = text[at + 1..].chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) =
        (digits.get(..2)?.parse::<i32>().ok()?, digits.get(2..4).unwrap_or("0").parse::<i32>().ok()?);
    let seconds = hours * 3_600 + minutes * 60;
    Offset::from_seconds(if text[at..].starts_with('-') { -seconds } else { seconds }).ok()
}

impl Moment {
    /// Whether it is later; values of two forms cannot be compared, and neither is.
    pub(super) fn after(self, other: Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a > b,
            (Self::Local(a, _), Self::Local(b, _)) => a > b,
            (Self::Exact(a, _), Self::Exact(b, _)) => a > b,
            _ => false,
        }
    }

    /// The value from which the next pull asks: `overlap` before this one, in the same form.
    pub(super) fn less(self, overlap: u64) -> String {
        let overlap = i64::try_from(overlap).unwrap_or(i64::MAX);
        match self {
            Self::Number(number) => number.saturating_sub(overlap).to_string(),
            Self::Local(time, separator) => {
                let time = time.saturating_sub(SignedDuration::from_secs(overlap));
                time.to_string().replacen('T', &separator.to_string(), 1)
            }
            Self::Exact(time, offset) => {
                let time = time.saturating_sub(SignedDuration::from_secs(overlap)).unwrap_or(Timestamp::MIN);
                if offset == Offset::UTC { time.to_string() } else { time.display_with_offset(offset).to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_stays_and_the_overlap_goes_off() {
        for (kind, text, less) in [
            (SinceKind::Time, "2026-01-31 00:01:00", "2026-01-30 23:56:00"),
            (SinceKind::Time, "2026-01-31T00:01:00", "2026-01-30T23:56:00"),
            (SinceKind::Time, "2026-01-31T00:01:00Z", "2026-01-30T23:56:00Z"),
            (SinceKind::Time, "2026-01-31T00:01:00+08:00", "2026-01-30T23:56:00+08:00"),
            (SinceKind::Time, "2026-01-31 00:01:00.5", "2026-01-30 23:56:00.5"),
            (SinceKind::Number, "1000", "700"),
        ] {
            assert_eq!(parse(kind, text).unwrap().less(300), less, "{text}");
        }
    }

    #[test]
    fn later_is_later_and_what_is_no_value_is_none() {
        let time = |text| parse(SinceKind::Time, text).unwrap();
        assert!(time("2026-01-31T08:00:01+08:00").after(time("2026-01-31T00:00:00Z")));
        assert!(!time("2026-01-31 08:00:00").after(time("2026-01-31 08:00:00")));
        assert!(!time("2026-01-31 08:00:00").after(time("2020-01-31T08:00:00Z")));
        for text in ["", "gestern", "2026-01-31", "2026-02-30 08:00:00", "1769846400"] {
            assert_eq!(parse(SinceKind::Time, text), None, "{text}");
        }
        assert_eq!(parse(SinceKind::Number, "1e9"), None);
    }
}
