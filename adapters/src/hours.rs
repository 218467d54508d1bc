//! Service hours: when a source may be read, in the hall's local time.

use jiff::Timestamp;

use crate::{
    clock::Clock,
    config::{Error, wrong},
};

/// Asia/Shanghai, which has had one offset since 1992.
const OFFSET_MINUTES: i64 = 8 * 60;
const DAY: i64 = 24 * 60;
/// How often it is looked whether they are over: the clock is not the timer's.
const LOOKED_AT: std::time::Duration = std::time::Duration::from_millis(500);

/// Spans of the day in minutes from midnight; no span means always. A span may go over midnight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<(i64, i64)>);

impl Hours {
    /// Reads spans such as `18:00-08:00`; `at` names the key.
    ///
    /// # Errors
    /// A text is no span.
    pub fn parse(texts: &[String], at: &str) -> Result<Self, Error> {
        let span = |text: &String| {
            let (from, until) = text.split_once('-')?;
            Some((minute(from)?, minute(until)?)).filter(|(from, until)| from != until)
        };
        let spans = texts
            .iter()
            .map(|text| span(text).ok_or_else(|| wrong(at, format!("{text} is no span of hours such as 18:00-08:00"))));
        Ok(Self(spans.collect::<Result<_, _>>()?))
    }

    /// Returns when they are over; never where there are none.
    pub(crate) async fn over(&self, clock: &dyn Clock) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        while self.include(clock.now()) {
            tokio::time::sleep(LOOKED_AT).await;
        }
    }

    /// Whether `now` is within them.
    pub fn include(&self, now: Timestamp) -> bool {
        let minute = (now.as_second().div_euclid(60) + OFFSET_MINUTES).rem_euclid(DAY);
        let within = |&(from, until): &(i64, i64)| {
            if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until }
        };
        self.0.is_empty() || self.0.iter().any(within)
    }
}

/// Minutes of `HH:MM`; `24:00` is the end of the day.
fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| Some(text).filter(|text| text.len() == 2)?.parse::<u8>().ok().map(i64::from);
    let (hour, minute) = (number(hour)?, number(minute)?);
    Some(hour * 60 + minute).filter(|&at| minute < 60 && at <= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(texts: &[&str]) -> Result<Hours, Error> {
        Hours::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), "hours")
    }

    #[test]
    fn spans_hold_in_local_time_and_over_midnight() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let night = hours(&["18:00-08:00"]).unwrap();
        for (time, within) in [
            ("2026-11-01T09:59:59Z", false),
            ("2026-11-01T10:00:00Z", true),
            ("2026-11-01T16:00:00Z", true),
            ("2026-11-01T23:59:59Z", true),
            ("2026-11-02T00:00:00Z", false),
        ] {
            assert_eq!(night.include(at(time)), within, "{time}");
        }
        let twice = hours(&["00:00-06:00", "12:00-13:30"]).unwrap();
        assert!(twice.include(at("2026-11-01T05:29:00Z")) && !twice.include(at("2026-11-01T05:30:00Z")));
        assert!(Hours::default().include(at("2026-11-01T05:30:00Z")));
    }

    #[test]
    fn what_is_no_span_is_named() {
        for text in ["18:00", "8:00-9:00", "18:00-18:00", "25:00-26:00", "12:60-13:00", "a-b", ""] {
            assert!(hours(&[text]).unwrap_err().to_string().contains("no span"), "{text}");
        }
    }
}
