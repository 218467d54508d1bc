//! A cell's value as the text that the department's people see in it, or what is wrong with it.

use std::borrow::Cow;

use calamine::{Data, DataRef, ExcelDateTime};

use crate::problem::Reason;

/// Numbers of 15 digits and more: a spreadsheet keeps no more, and loses leading zeros.
const FIFTEEN_DIGITS: f64 = 1e14;
/// Serial days of the 1900 system up to 1900-02-29, a day that never was; before it all dates are one off.
const AFTER_THE_LEAP_DAY: f64 = 61.0;
/// Behind 9999-12-31.
const LAST_DAY: f64 = 2_958_466.0;

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// It is not what it should be; the text says more than the reason.
    Wrong(Reason, &'static str),
}

impl Value<'_> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

impl<'a> From<DataRef<'a>> for Value<'a> {
    fn from(data: DataRef<'a>) -> Self {
        match data {
            DataRef::String(text) => Self::Text(text.into()),
            DataRef::SharedString(text) => Self::Text(text.into()),
            DataRef::DateTimeIso(text) => Self::Text(moment(&text).into()),
            other => Self::from(Data::from(other)),
        }
    }
}

impl From<Data> for Value<'_> {
    fn from(data: Data) -> Self {
        match data {
            Data::Empty => Self::Text("".into()),
            Data::String(text) | Data::DurationIso(text) => Self::Text(text.into()),
            Data::DateTimeIso(text) => Self::Text(moment(&text).into()),
            #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 it is refused either way")]
            Data::Int(number) => Self::number(number as f64),
            Data::Float(number) => Self::number(number),
            Data::Bool(value) => Self::Text(value.to_string().into()),
            Data::DateTime(date) => Self::date(date),
            Data::Error(error) => Self::Wrong(Reason::CellError, error_name(&error)),
        }
    }
}

impl Value<'_> {
    /// As a spreadsheet shows it: 15 digits that count, no exponent.
    fn number(number: f64) -> Self {
        if !number.is_finite() {
            return Self::Wrong(Reason::CellError, "#NUM!");
        }
        if number.abs() >= FIFTEEN_DIGITS {
            return Self::Wrong(Reason::NumberTooLong, "");
        }
        let shown = format!("{number:.14e}").parse::<f64>().unwrap_or(number);
        Self::Text(if shown == 0.0 { "0".into() } else { shown.to_string().into() })
    }

    fn date(date: ExcelDateTime) -> Self {
        let serial = date.as_f64();
        let (year, month, day, hour, minute, second, milli) = date.to_ymd_hms_milli();
        if date.is_duration() {
            return Self::Wrong(Reason::DateUnreadable, "a span of time");
        }
        // The 1904 system begins on 1904-01-01 with day 0, and has no such gap.
        let too_early = if is_1904(year, serial) { serial < 0.0 } else { serial < AFTER_THE_LEAP_DAY };
        if !serial.is_finite() || too_early || serial >= LAST_DAY {
            return Self::Wrong(Reason::DateImpossible, "");
        }
        let day = format!("{year:04}-{month:02}-{day:02}");
        let midnight = hour == 0 && minute == 0 && second == 0 && milli == 0;
        Self::Text(if midnight { day } else { format!("{day} {hour:02}:{minute:02}:{second:02}") }.into())
    }
}

/// Under the 1904 system a serial is four years and a day later.
fn is_1904(year: u16, serial: f64) -> bool {
    f64::from(year) - 1900.0 - serial / 365.25 > 2.0
}

/// A date or time as ISO 8601 writes it, without a midnight and with a blank between day and time.
fn moment(text: &str) -> String {
    let text = text.strip_suffix("T00:00:00").or_else(|| text.strip_suffix("T00:00:00.000")).unwrap_or(text);
    text.replacen('T', " ", 1)
}

fn error_name(error: &calamine::CellErrorType) -> &'static str {
    use calamine::CellErrorType::{Div0, NA, Name, Null, Num, Ref, Value};
    match error {
        Div0 => "#DIV/0!",
        NA => "#N/A",
        Name => "#NAME?",
        Null => "#NULL!",
        Num => "#NUM!",
        Ref => "#REF!",
        Value => "#VALUE!",
        _ => "#",
    }
}

/// The address of a cell from row and column, both from 0: `XFD1048576`.
pub(super) fn address(row: u32, column: u32) -> String {
    format!("{}{}", letters(column), u64::from(row) + 1)
}

/// The letters of a column, from 0.
pub(super) fn letters(column: u32) -> String {
    let (mut left, mut letters) = (u64::from(column) + 1, Vec::new());
    while left > 0 {
        left -= 1;
        // Unwrap safety: below 26.
        letters.push(char::from(b'A' + u8::try_from(left % 26).unwrap_or(0)));
        left /= 26;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    fn text(data: Data) -> Result<String, Reason> {
        match Value::from(data) {
            Value::Text(text) => Ok(text.into_owned()),
            Value::Wrong(reason, _) => Err(reason),
        }
    }

    #[test]
    fn numbers_are_shown_as_a_spreadsheet_shows_them() {
        for (number, shown) in [
            (37.199_999_999_999_996, "37.2"),
            (0.1 + 0.2, "0.3"),
            (-0.0, "0"),
            (100.0, "100"),
            (1e-7, "0.0000001"),
            (37_032_200_000_001.0, "37032200000001"),
        ] {
            assert_eq!(text(Data::Float(number)).as_deref(), Ok(shown));
        }
        for long in [370_322_009_900_019.0, 1e15, 3.703_991_985_061_5e17, -1e14] {
            assert_eq!(text(Data::Float(long)), Err(Reason::NumberTooLong), "{long}");
        }
        assert_eq!(text(Data::Int(370_322_009_900_019)), Err(Reason::NumberTooLong));
        assert_eq!(text(Data::Float(f64::NAN)), Err(Reason::CellError));
    }

    #[test]
    fn dates_of_both_systems_are_days() {
        let date =
            |serial, is_1904| text(Data::DateTime(ExcelDateTime::new(serial, ExcelDateTimeType::DateTime, is_1904)));
        for (serial, is_1904, shown) in [
            (43_447.0, false, Ok("2018-12-13")),
            (41_985.0, true, Ok("2018-12-13")),
            (43_447.75, false, Ok("2018-12-13 18:00:00")),
            (61.0, false, Ok("1900-03-01")),
            (60.0, false, Err(Reason::DateImpossible)),
            (1.0, false, Err(Reason::DateImpossible)),
            (0.0, true, Ok("1904-01-01")),
            (1.0, true, Ok("1904-01-02")),
            (-1.0, false, Err(Reason::DateImpossible)),
            (3_000_000.0, false, Err(Reason::DateImpossible)),
        ] {
            assert_eq!(date(serial, is_1904), shown.map(str::to_owned), "{serial} {is_1904}");
        }
        let span = ExcelDateTime::new(0.5, ExcelDateTimeType::TimeDelta, false);
        assert_eq!(text(Data::DateTime(span)), Err(Reason::DateUnreadable));
        assert_eq!(text(Data::DateTimeIso("2018-12-13T00:00:00".into())).unwrap(), "2018-12-13");
        assert_eq!(text(Data::DateTimeIso("2018-12-13T08:30:00".into())).unwrap(), "2018-12-13 08:30:00");
    }

    #[test]
    fn addresses_are_those_of_a_spreadsheet() {
        assert_eq!([address(0, 0), address(9, 26), address(1_048_575, 16_383)], ["A1", "AA10", "XFD1048576"]);
        assert_eq!([letters(25), letters(701), letters(702)], ["Z", "ZZ", "AAA"]);
    }
}
