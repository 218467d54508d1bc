//! Days as Chinese systems write them.

use jiff::civil::Date;

use crate::{problem::Reason, text};

/// Reads a day; what stands behind a blank or `T` is a time and is left out.
pub(super) fn parse(raw: &str) -> Result<Date, Reason> {
    let folded = text::fold_width(raw);
    let day = text::trim(&folded).split([' ', 'T']).next().unwrap_or_default();
    let (year, month, day) = parts(day).ok_or(Reason::DateUnreadable)?;
    Date::new(year, month, day).map_err(|_| Reason::DateImpossible)
}

fn parts(day: &str) -> Option<(i16, i8, i8)> {
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (year, month, day) = if day.len() == 8 && digits(day, 8) {
        (&day[..4], &day[4..6], &day[6..])
    } else if let Some(chinese) = day.strip_suffix(['日', '号']) {
        let (year, rest) = chinese.split_once('年')?;
        let (month, day) = rest.split_once('月')?;
        (year, month, day)
    } else {
        let separator = day.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
        let mut parts = day.split(separator);
        let three = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        three
    };
    if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_day() {
        for form in [
            "2018-12-03",
            "2018/12/3",
            "2018.12.03",
            "20181203",
            "2018年12月3日",
            "２０１８年１２月０３日",
            " 2018-12-03 00:00:00",
            "2018-12-03T10:20:30",
            "2018/12/3 0:00",
        ] {
            assert_eq!(parse(form).map(|day| day.to_string()), Ok("2018-12-03".to_owned()), "{form}");
        }
    }

    #[test]
    fn what_is_no_day_is_unreadable_and_what_never_was_is_impossible() {
        for form in
            ["", "2018", "2018-12", "18-12-03", "2018-12-03-04", "12/03/2018", "二〇一八年", "2018-1a-03", "2018年12月"]
        {
            assert_eq!(parse(form), Err(Reason::DateUnreadable), "{form}");
        }
        for form in ["2019-02-29", "2018-13-01", "20180631", "2018年2月30日", "0000-00-00"] {
            assert_eq!(parse(form), Err(Reason::DateImpossible), "{form}");
        }
    }
}
