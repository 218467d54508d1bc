//! Numbers as departments write them. Amounts and areas are never floating point.

use super::Money;
use crate::text;

/// Units of money as they follow a number, longest first, with their power of ten.
const MONEY: [(&str, i32); 10] = [
    ("千万元", 7),
    ("百万元", 6),
    ("十万元", 5),
    ("亿元", 8),
    ("万元", 4),
    ("千元", 3),
    ("百元", 2),
    ("亿", 8),
    ("万", 4),
    ("元", 0),
];

impl Money {
    fn power(self) -> i32 {
        match self {
            Self::Yuan => 0,
            Self::TenThousand => 4,
            Self::HundredMillion => 8,
        }
    }
}

/// An amount in the unit `to`; a cell without a unit is in `bare`.
pub(crate) fn money(cell: &str, to: Money, bare: Money) -> Option<String> {
    let text = text::trim(cell).trim_start_matches(['¥', '￥']);
    let text = text.strip_prefix("人民币").unwrap_or(text);
    let text = text.strip_suffix("人民币").unwrap_or(text);
    let own = MONEY.iter().find_map(|(unit, power)| text.strip_suffix(unit).map(|rest| (rest, *power)));
    let (number, power) = own.unwrap_or((text, bare.power()));
    decimal(number, &[], power - to.power())
}

/// `1,234.50 万元` → `1234.5`, its point moved `shift` places to the right.
pub(crate) fn decimal(cell: &str, units: &[String], shift: i32) -> Option<String> {
    let mut number = cell;
    for unit in units {
        number = number.strip_suffix(&text::fold_width(unit)).unwrap_or(number);
    }
    let number: String = text::trim(number).chars().filter(|&c| c != ',').collect();
    let (negative, number) = number.strip_prefix('-').map_or((false, number.as_str()), |rest| (true, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 30 || fraction.len() > 30 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut all = format!("{whole}{fraction}");
    let mut point = i32::try_from(whole.len()).ok()? + shift;
    while point < 1 {
        all.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).ok()?;
    while all.len() < point {
        all.push('0');
    }
    let (whole, fraction) = all.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let zero = whole == "0" && fraction.is_empty();
    let sign = if negative && !zero { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// A whole number that every reader of JSON keeps.
pub(super) fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.replace(',', "").parse().ok()?;
    (number.unsigned_abs() < 1 << 53).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cells_own_unit_is_taken_to_the_fields() {
        for (cell, to, expected) in [
            ("50", Money::TenThousand, "50"),
            ("50万元", Money::TenThousand, "50"),
            ("1.2亿元", Money::TenThousand, "12000"),
            ("人民币1.2亿", Money::TenThousand, "12000"),
            ("500000元", Money::TenThousand, "50"),
            ("1元", Money::TenThousand, "0.0001"),
            ("12.5万元", Money::Yuan, "125000"),
            ("3千万元", Money::TenThousand, "3000"),
            ("¥1,200.50元", Money::Yuan, "1200.5"),
            ("25000万元", Money::HundredMillion, "2.5"),
            ("-1万", Money::Yuan, "-10000"),
            ("0元", Money::TenThousand, "0"),
        ] {
            assert_eq!(money(cell, to, to).as_deref(), Some(expected), "{cell}");
        }
        assert_eq!(money("500000", Money::TenThousand, Money::Yuan).as_deref(), Some("50"));
        for cell in ["50万美元", "伍拾万元", "万元", "", "5万5千"] {
            assert_eq!(money(cell, Money::Yuan, Money::Yuan), None, "{cell}");
        }
    }
}
