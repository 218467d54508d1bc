use super::*;

fn day_of(text: &str) -> Result<String, Reason> {
    parse(text, None).map(|day| day.to_string())
}

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
        "2018-12-03 00:00:00.0",
        "20181203103000",
        "2018年12月3日10时20分",
        "2018年12月3日 10点20分30秒",
        "2018-12-03T00:00:00+08:00",
        "2018-12-03+08:00",
        "2018-12-03Z",
        "2018-12-03 24:00",
    ] {
        assert_eq!(day_of(form), Ok("2018-12-03".to_owned()), "{form}");
    }
}

#[test]
fn what_is_no_day_is_unreadable_and_what_never_was_is_impossible() {
    for form in [
        "",
        "2018",
        "2018-12",
        "18-12-03",
        "2018-12-03-04",
        "12/03/2018",
        "二〇一八年",
        "2018-1a-03",
        "2018年12月",
        "2018-12-03 25:00",
        "2018-12-03 noon",
        "2018-12-03T10:00+15:00",
        "2018-12-03T10:00+8",
        "43437",
        "2018-12-03 10:61",
    ] {
        assert_eq!(day_of(form), Err(Reason::DateUnreadable), "{form}");
    }
    for form in ["2019-02-29", "2018-13-01", "20180631", "2018年2月30日", "0000-00-00"] {
        assert_eq!(day_of(form), Err(Reason::DateImpossible), "{form}");
    }
}

#[test]
fn a_zone_is_taken_to_chinas_day_and_nothing_else_shifts() {
    for (form, expected) in [
        // Midnight in China as many programs write it in UTC.
        ("2018-12-12T16:00:00Z", "2018-12-13"),
        ("2018-12-12T15:59:59Z", "2018-12-12"),
        ("2018-12-13T05:59:59+14:00", "2018-12-12"),
        ("2018-12-13T06:00:00+14:00", "2018-12-13"),
        ("2018-12-12T20:00:00-12:00", "2018-12-13"),
        ("2018-12-13T00:00:00.000+0800", "2018-12-13"),
        // Summer time: half past three in the afternoon of UTC was past midnight.
        ("1988-07-01T15:30:00Z", "1988-07-02"),
        ("1992-07-01T15:30:00Z", "1992-07-01"),
        // An hour that no clock in China showed, without a zone: the day is as written.
        ("1988-04-17 02:30:00", "1988-04-17"),
        ("1986-05-04 02:00", "1986-05-04"),
        // A leap second ends its own day.
        ("2016-12-31 23:59:60", "2016-12-31"),
        ("2016-12-31T23:59:60Z", "2017-01-01"),
        ("2017-01-01T07:59:60+08:00", "2017-01-01"),
        ("9999-12-31", "9999-12-31"),
        ("9999-12-31 23:59:59", "9999-12-31"),
        ("0001-01-01", "0001-01-01"),
    ] {
        assert_eq!(day_of(form), Ok(expected.to_owned()), "{form}");
    }
    assert_eq!(day_of("9999-12-31T23:59:59Z"), Err(Reason::DateImpossible), "the year 10000 is not wrapped");
}

#[test]
fn spreadsheets_count_from_1900_or_1904() {
    let at = |serial, text| parse(text, Some(serial)).map(|day| day.to_string());
    for (text, expected) in [("1", "1900-01-01"), ("59", "1900-02-28"), ("61", "1900-03-01"), ("43447.5", "2018-12-13")]
    {
        assert_eq!(at(Serial::From1900, text), Ok(expected.to_owned()), "{text}");
    }
    assert_eq!(at(Serial::From1904, "41985"), Ok("2018-12-13".to_owned()));
    assert_eq!(at(Serial::From1904, "0"), Ok("1904-01-01".to_owned()));
    for never in ["0", "60", "2958466"] {
        assert_eq!(at(Serial::From1900, never), Err(Reason::DateImpossible), "{never}");
    }
    // Cells that are texts stand among the numbers.
    assert_eq!(at(Serial::From1900, "20181213"), Ok("2018-12-13".to_owned()));
    assert_eq!(at(Serial::From1900, "2018/12/13"), Ok("2018-12-13".to_owned()));
}
