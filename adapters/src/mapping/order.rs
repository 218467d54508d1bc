//! Where a row stands among the versions of its record.

use super::{OrderKind, date};
use crate::{problem::Reason, text};

/// A number that is greater for a newer version: seconds since 1970 by China's clock, or the number itself.
pub(super) fn parse(kind: OrderKind, cell: &str) -> Result<i64, Reason> {
    let cell = text::fold_width(cell);
    let cell = text::trim(&cell);
    match kind {
        OrderKind::Number => cell.parse().map_err(|_| Reason::OrderUnreadable),
        OrderKind::Date => {
            let moment = date::moment(cell).map_err(|_| Reason::OrderUnreadable)?;
            let (day, second) = moment.in_china().map_err(|_| Reason::OrderUnreadable)?;
            let days = day.since(jiff::civil::date(1970, 1, 1)).map_err(|_| Reason::OrderUnreadable)?.get_days();
            Ok(i64::from(days) * 86_400 + second.unwrap_or(0))
        }
    }
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
        assert_eq!(at("2019-01-01T08:00:00+08:00"), at("2019-01-01T00:00:00Z"));
        assert_eq!(at("2019-01-01 08:00"), at("2019-01-01T00:00:00Z"), "without a zone it is china's time");
        assert_eq!(parse(OrderKind::Number, " １２ "), Ok(12));
        for cell in ["", "长期", "2019-02-30", "2019-01-01 25:00"] {
            assert_eq!(parse(OrderKind::Date, cell), Err(Reason::OrderUnreadable), "{cell}");
        }
    }
}
