//! Where a row stands among the versions of its record.

use super::{OrderKind, date};
use crate::{problem::Reason, text};

/// A number that is greater for a newer version: the days since 1970 and the seconds of the day, or the number itself.
pub(super) fn parse(kind: OrderKind, cell: &str) -> Result<i64, Reason> {
    let cell = text::fold_width(cell);
    let cell = text::trim(&cell);
    match kind {
        OrderKind::Number => cell.parse().map_err(|_| Reason::OrderUnreadable),
        OrderKind::Date => {
            let day = date::parse(cell).map_err(|_| Reason::OrderUnreadable)?;
            let seconds = seconds_of_day(cell).ok_or(Reason::OrderUnreadable)?;
            let days = day.since(jiff::civil::date(1970, 1, 1)).map_err(|_| Reason::OrderUnreadable)?.get_days();
            Ok(i64::from(days) * 86_400 + seconds)
        }
    }
}

fn seconds_of_day(cell: &str) -> Option<i64> {
    let Some((_, time)) = cell.split_once([' ', 'T']) else { return Some(0) };
    let mut seconds = 0;
    let mut parts = time.trim().split('.').next()?.split(':');
    for (most, weight) in [(24, 3_600), (60, 60), (60, 1)] {
        let part = parts.next().map_or(Some(0), |part| part.parse::<i64>().ok())?;
        if !(0..most).contains(&part) {
            return None;
        }
        seconds += part * weight;
    }
    parts.next().is_none().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_is_greater_whatever_the_form() {
        let at = |cell| parse(OrderKind::Date, cell).unwrap();
        assert!(at("2019年1月2日") > at("2019/01/01 23:59:59"));
        assert!(at("2019-01-01 10:00") > at("20190101"));
        assert_eq!(at("1970-01-02"), 86_400);
        assert_eq!(parse(OrderKind::Number, " １２ "), Ok(12));
        for cell in ["", "长期", "2019-02-30", "2019-01-01 25:00"] {
            assert_eq!(parse(OrderKind::Date, cell), Err(Reason::OrderUnreadable), "{cell}");
        }
    }
}
