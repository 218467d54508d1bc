//! Days as Chinese systems write them, with the time and the zone that may stand behind.
//!
//! A day never shifts in silence: a time without a zone is China's and stays on its day; with a zone it is taken to
//! China's time, and whoever maps tells when that is another day.

use jiff::{Span, civil::Date};

use super::Serial;
use crate::{problem::Reason, text};

const DAY: i64 = 86_400;

/// A day, and the moment of it as far as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The day as written.
    pub(super) day: Date,
    /// The second of the day, as written; a leap second is the 60th of its minute.
    pub(super) second: Option<i64>,
    /// Seconds east of UTC, where a zone is written.
    pub(super) zone: Option<i64>,
}

/// The day in China.
pub(crate) fn parse(raw: &str, serial: Option<Serial>) -> Result<Date, Reason> {
    if let Some(found) = serial.and_then(|serial| counted(serial, raw)) {
        return found;
    }
    moment(raw)?.in_china().map(|(day, _)| day)
}

/// A text as the moment that it names.
pub(super) fn moment(raw: &str) -> Result<Moment, Reason> {
    let folded = text::fold_width(raw);
    let whole = text::trim(&folded);
    if whole.len() == 14 && digits(whole, 14) {
        let clock = format!("{}:{}:{}", &whole[8..10], &whole[10..12], &whole[12..]);
        return Ok(Moment { day: day(&whole[..8])?, second: Some(clock_time(&clock)?), zone: None });
    }
    let (written, rest) = match whole.split_once([' ', 'T', 't']) {
        Some((written, rest)) => (written, rest.trim()),
        None => bare_zone(whole),
    };
    let (clock, zone) = split_zone(rest);
    let zone = if zone.is_empty() { None } else { Some(offset(zone).ok_or(Reason::DateUnreadable)?) };
    let second = if clock.is_empty() { None } else { Some(clock_time(clock)?) };
    Ok(Moment { day: day(written)?, second, zone })
}

impl Moment {
    /// The day in China, and the second of it where one is written.
    pub(super) fn in_china(&self) -> Result<(Date, Option<i64>), Reason> {
        let (Some(second), Some(zone)) = (self.second, self.zone) else { return Ok((self.day, self.second)) };
        // A leap second belongs to the day that it ends.
        let at = second.min(DAY - 1) - zone;
        let standard = at + 8 * 3_600;
        let day = later(self.day, standard.div_euclid(DAY))?;
        let summer = if is_summer(day, standard.rem_euclid(DAY)) { 3_600 } else { 0 };
        let local = standard + summer;
        Ok((later(self.day, local.div_euclid(DAY))?, Some(local.rem_euclid(DAY))))
    }
}

fn later(day: Date, days: i64) -> Result<Date, Reason> {
    let span = Span::new().try_days(days).map_err(|_| Reason::DateImpossible)?;
    day.checked_add(span).map_err(|_| Reason::DateImpossible)
}

/// Summer time in China, from 02:00 to 02:00 by its own clock (IANA time zone database, Asia/Shanghai).
fn is_summer(day: Date, second: i64) -> bool {
    let (first, last) = match day.year() {
        1986 => ((5, 4), (9, 14)),
        1987 => ((4, 12), (9, 13)),
        1988 => ((4, 17), (9, 11)),
        1989 => ((4, 16), (9, 17)),
        1990 => ((4, 15), (9, 16)),
        1991 => ((4, 14), (9, 15)),
        _ => return false,
    };
    let at = ((day.month(), day.day()), second);
    (first, 2 * 3_600) <= at && at < (last, 3_600)
}

/// A spreadsheet's count of days; nothing where the text is no such number.
fn counted(serial: Serial, raw: &str) -> Option<Result<Date, Reason>> {
    let folded = text::fold_width(raw);
    let (days, part) = text::trim(&folded).split_once('.').unwrap_or((text::trim(&folded), ""));
    let is_number = digits(days, 7) && part.bytes().all(|byte| byte.is_ascii_digit());
    let days: i64 = days.parse().ok().filter(|_| is_number)?;
    let begin = match (serial, days) {
        // The 1900 system takes 1900 for a leap year: its day 60 is a 29 February that never was.
        (Serial::From1900, 0 | 60) => return Some(Err(Reason::DateImpossible)),
        (Serial::From1900, 1..60) => Date::constant(1899, 12, 31),
        (Serial::From1900, _) => Date::constant(1899, 12, 30),
        (Serial::From1904, _) => Date::constant(1904, 1, 1),
    };
    Some(later(begin, days))
}

fn digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn day(text: &str) -> Result<Date, Reason> {
    let (year, month, day) = parts(text).ok_or(Reason::DateUnreadable)?;
    Date::new(year, month, day).map_err(|_| Reason::DateImpossible)
}

fn parts(day: &str) -> Option<(i16, i8, i8)> {
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

/// A day with a zone and no time, as XML writes it: `2018-12-13Z`, `2018-12-13+08:00`; or with a Chinese time right
/// behind it.
fn bare_zone(whole: &str) -> (&str, &str) {
    if let Some(at) = whole.find('日').map(|at| at + '日'.len_utf8()).filter(|&at| at < whole.len()) {
        return whole.split_at(at);
    }
    let zoned = whole.len() > 10 && whole.is_char_boundary(10) && whole[10..].starts_with(['Z', 'z', '+']);
    if zoned { whole.split_at(10) } else { (whole, "") }
}

fn split_zone(rest: &str) -> (&str, &str) {
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    (rest[..at].trim(), rest[at..].trim())
}

/// `Z`, `+08`, `+0800`, `+08:00`: seconds east of UTC, at most 14 hours.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = if let Some(rest) = zone.strip_prefix('+') { (1, rest) } else { (-1, zone.strip_prefix('-')?) };
    let plain = rest.replace(':', "");
    if !matches!(plain.len(), 2 | 4) || !digits(&plain, 4) {
        return None;
    }
    let hours: i64 = plain[..2].parse().ok()?;
    let minutes: i64 = if plain.len() == 4 { plain[2..].parse().ok()? } else { 0 };
    let seconds = hours * 3_600 + minutes * 60;
    (minutes < 60 && seconds <= 14 * 3_600).then_some(sign * seconds)
}

/// `10:20`, `10:20:30.5`, `10时20分30秒`: the second of the day.
fn clock_time(text: &str) -> Result<i64, Reason> {
    let plain = text.replace(['时', '点', '分'], ":").replace('秒', "");
    let plain = plain.trim_end_matches(':').split(['.', ',']).next().unwrap_or_default();
    let mut second = 0;
    let mut parts = plain.split(':');
    // A minute has a 60th second where the day ends with a leap second.
    for (most, weight) in [(24, 3_600), (59, 60), (60, 1)] {
        let Some(part) = parts.next() else { break };
        let part: i64 =
            Some(part).filter(|part| digits(part, 2)).and_then(|p| p.parse().ok()).ok_or(Reason::DateUnreadable)?;
        if part > most {
            return Err(Reason::DateUnreadable);
        }
        second += part * weight;
    }
    let ends = parts.next().is_none() && second <= DAY;
    if ends { Ok(second) } else { Err(Reason::DateUnreadable) }
}

#[cfg(test)]
mod tests;
