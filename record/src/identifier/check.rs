//! One function per rule: from the normalised text to the verdict.

use super::finding::*;
use super::{Finding, Rule, Tolerance, Verdict, checksum};
use Verdict::{RightShapeNoCheckDigit, Valid, ValidWithWarning, Wrong};

/// The root of the arc that GB/T 36904-2018 identifiers stand under.
const CERTIFICATE_ROOT_ARC: &str = "1.2.156.3005.2.";
/// The first six digits of synthetic citizen IDs; not an assigned area.
const TEST_AREA_CODE: &str = "370399";
/// The one-character names of provinces that certificate numbers begin with.
const PROVINCES: &str = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新";

pub(super) fn verdict(rule: Rule, text: &str, tolerance: Tolerance) -> Verdict {
    if text.is_empty() {
        return Wrong(EMPTY);
    }
    match rule {
        Rule::Uscc => uscc(text),
        Rule::Org => organisation(text),
        Rule::CitizenId => citizen_id(text, tolerance),
        Rule::RegistrationNo => digits_with_check(text, "", 15, REGISTRATION_SHAPE, |_| None, REGISTRATION_CHECK),
        Rule::FoodBusinessNo => {
            digits_with_check(text, "JY", 14, FOOD_BUSINESS_SHAPE, food_business_category, FOOD_BUSINESS_CHECK)
        }
        Rule::FoodProductionNo if text.starts_with("QS") => Wrong(WITHDRAWN_QS),
        Rule::FoodProductionNo => {
            digits_with_check(text, "SC", 14, FOOD_PRODUCTION_SHAPE, food_production_category, FOOD_PRODUCTION_CHECK)
        }
        Rule::CertificateIdentifier => certificate_identifier(text),
        Rule::RealEstateUnit => real_estate_unit(text),
        Rule::RealEstateCertificate => real_estate_certificate(text, tolerance),
        Rule::ConstructionPermit => construction_permit(text),
        Rule::DisabilityCertificate => disability_certificate(text, tolerance),
        Rule::Division => division(text, tolerance),
        Rule::MarriageCertificate => shape(is_marriage_certificate(text), MARRIAGE_SHAPE),
        Rule::BirthCertificate => shape(
            text.len() == 10
                && text.as_bytes()[0].is_ascii_uppercase()
                && text.is_char_boundary(1)
                && digits(&text[1..]),
            BIRTH_SHAPE,
        ),
        Rule::TransportLicence => shape(is_transport_licence(text), TRANSPORT_SHAPE),
        Rule::PlanningPermit => shape(is_planning_permit(text), PLANNING_SHAPE),
        Rule::PublicPlaceLicence => shape(is_public_place_licence(text), PUBLIC_PLACE_SHAPE),
        Rule::Phone => shape(is_phone(text), PHONE_SHAPE),
    }
}

fn shape(holds: bool, finding: Finding) -> Verdict {
    if holds { RightShapeNoCheckDigit } else { Wrong(finding) }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|character| character.is_ascii_digit())
}

/// Whether `text` is `YYYYMMDD` of a day that exists, from 1800 to 2099.
fn real_date(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<i16>().ok());
    match (number(0..4), number(4..6), number(6..8)) {
        (Some(year @ 1800..=2099), Some(month @ 1..=12), Some(day @ 1..=31)) => {
            jiff::civil::Date::new(year, month as i8, day as i8).is_ok()
        }
        _ => false,
    }
}

fn uscc(text: &str) -> Verdict {
    if text.chars().count() != 18 {
        return Wrong(USCC_LENGTH);
    }
    let code = text.as_bytes();
    if !code.iter().all(|character| checksum::USCC_ALPHABET.contains(character)) {
        return Wrong(USCC_ALPHABET);
    }
    if !digits(&text[2..8]) {
        return Wrong(USCC_DIVISION);
    }
    if checksum::uscc(&code[..17]) != Some(code[17]) {
        return Wrong(USCC_CHECK);
    }
    if checksum::organisation(&code[8..16]) != Some(code[16]) {
        return ValidWithWarning(USCC_INNER_CHECK);
    }
    Valid
}

fn organisation(text: &str) -> Verdict {
    let code = text.as_bytes();
    let in_shape = code.len() == 9
        && code[..8].iter().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        && (code[8].is_ascii_digit() || code[8] == b'X');
    if !in_shape {
        return Wrong(ORG_SHAPE);
    }
    if checksum::organisation(&code[..8]) == Some(code[8]) { Valid } else { Wrong(ORG_CHECK) }
}

fn citizen_id(text: &str, tolerance: Tolerance) -> Verdict {
    let code = text.as_bytes();
    if code.len() == 15 && digits(text) {
        return Wrong(OLD_CITIZEN_ID);
    }
    if text.chars().count() != 18 {
        return Wrong(CITIZEN_ID_LENGTH);
    }
    // Masked as certificates print it: the whole birth date, or its month and day.
    for hidden in [6..14, 10..14] {
        if code.get(hidden.clone()).is_some_and(|part| part.iter().all(|c| *c == b'*')) {
            let visible = code[..hidden.start].iter().chain(&code[hidden.end..17]).all(u8::is_ascii_digit);
            return shape(visible && last_of_citizen_id(code[17]), CITIZEN_ID_SHAPE);
        }
    }
    if !(text.is_ascii() && digits(&text[..17]) && last_of_citizen_id(code[17]) && code[0] != b'0') {
        return Wrong(CITIZEN_ID_SHAPE);
    }
    if !real_date(&text[6..14]) {
        return Wrong(DATE_IMPOSSIBLE);
    }
    if checksum::mod_11_2(&code[..17]) != Some(code[17]) {
        return Wrong(CITIZEN_ID_CHECK);
    }
    if text.starts_with(TEST_AREA_CODE) && !tolerance.test_area {
        return ValidWithWarning(TEST_AREA);
    }
    Valid
}

fn last_of_citizen_id(character: u8) -> bool {
    character.is_ascii_digit() || character == b'X'
}

fn division(text: &str, tolerance: Tolerance) -> Verdict {
    if !(matches!(text.len(), 6 | 9 | 12) && digits(text) && !text.starts_with('0')) {
        return Wrong(DIVISION_SHAPE);
    }
    if text.starts_with(TEST_AREA_CODE) && !tolerance.test_area {
        return ValidWithWarning(TEST_AREA);
    }
    RightShapeNoCheckDigit
}

/// A prefix, then digits of which the last is the MOD 11,10 check over the others.
fn digits_with_check(
    text: &str,
    prefix: &str,
    length: usize,
    wrong_shape: Finding,
    category: impl Fn(&str) -> Option<Finding>,
    wrong_check: Finding,
) -> Verdict {
    let Some(number) = text.strip_prefix(prefix).filter(|number| number.len() == length && digits(number)) else {
        return Wrong(wrong_shape);
    };
    if let Some(finding) = category(number) {
        return Wrong(finding);
    }
    let (body, check) = number.as_bytes().split_at(length - 1);
    if checksum::mod_11_10(body) == Some(check[0]) { Valid } else { Wrong(wrong_check) }
}

fn food_business_category(number: &str) -> Option<Finding> {
    (!number.starts_with(['1', '2', '3'])).then_some(FOOD_BUSINESS_CATEGORY)
}

fn food_production_category(number: &str) -> Option<Finding> {
    let known = matches!(number[..3].parse::<u16>(), Ok(101..=131 | 201..=203));
    (!known).then_some(FOOD_PRODUCTION_CATEGORY)
}

/// The check character over everything after the root arc, dots left out.
pub(super) fn certificate_identifier_check(without_check: &str) -> Option<u8> {
    let body = without_check.strip_prefix(CERTIFICATE_ROOT_ARC)?;
    checksum::mod_37_36(body.bytes().filter(|character| *character != b'.'))
}

fn certificate_identifier(text: &str) -> Verdict {
    let Some(body) = text.strip_prefix(CERTIFICATE_ROOT_ARC) else {
        return Wrong(CERTIFICATE_ROOT);
    };
    let parts: Vec<&str> = body.split('.').collect();
    let [kind, issuer, serial, version, check] = parts[..] else {
        return Wrong(CERTIFICATE_SHAPE);
    };
    let in_alphabet = |part: &str| part.bytes().all(|c| checksum::USCC_ALPHABET.contains(&c));
    let in_shape = kind.len() == 21
        && kind.is_ascii()
        && in_alphabet(&kind[..18])
        && digits(&kind[18..])
        && issuer.len() == 18
        && in_alphabet(issuer)
        && (1..=32).contains(&serial.len())
        && [serial, check].iter().all(|part| part.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()))
        && version.len() == 3
        && digits(version)
        && check.len() == 1;
    if !in_shape {
        return Wrong(CERTIFICATE_SHAPE);
    }
    if checksum::uscc(&issuer.as_bytes()[..17]) != Some(issuer.as_bytes()[17]) {
        return Wrong(CERTIFICATE_ISSUER);
    }
    let (without_check, _) = text.split_at(text.len() - 2);
    if certificate_identifier_check(without_check) == Some(check.as_bytes()[0]) {
        Valid
    } else {
        ValidWithWarning(CERTIFICATE_CHECK)
    }
}

fn real_estate_unit(text: &str) -> Verdict {
    let code = text.as_bytes();
    let in_shape = code.len() == 28
        && text.is_ascii()
        && digits(&text[..12])
        && code[12].is_ascii_uppercase()
        && code[13].is_ascii_uppercase()
        && digits(&text[14..19])
        && code[19].is_ascii_uppercase()
        && digits(&text[20..]);
    if !in_shape {
        return Wrong(UNIT_SHAPE);
    }
    if !(b"GJZ".contains(&code[12]) && b"ABCDEFGHSWXY".contains(&code[13])) {
        return Wrong(UNIT_PARCEL);
    }
    let nothing_attached = &text[20..] == "00000000";
    match code[19] {
        b'W' if nothing_attached => RightShapeNoCheckDigit,
        b'F' | b'L' | b'Q' if !nothing_attached => RightShapeNoCheckDigit,
        _ => Wrong(UNIT_ATTACHMENT),
    }
}

fn is_han(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fff}')
}

fn real_estate_certificate(text: &str, tolerance: Tolerance) -> Verdict {
    if ["房权证", "房地权证", "房产证", "国用", "集用", "土地证"].iter().any(|old| text.contains(old))
    {
        return Wrong(TITLE_OLD_PAPER);
    }
    let serial = || {
        let rest = text.strip_prefix(|c| PROVINCES.contains(c))?;
        let (year, rest) = rest.strip_prefix('(')?.split_once(')')?;
        let (place, rest) = rest.split_once("不动产")?;
        let serial = rest.strip_prefix("权第").or_else(|| rest.strip_prefix("证明第"))?.strip_suffix('号')?;
        let in_shape = year.len() == 4
            && digits(year)
            && (year.starts_with("19") || year.starts_with("20"))
            && place.chars().count() >= 2
            && place.chars().all(is_han)
            && digits(serial);
        in_shape.then_some(serial)
    };
    match serial().map(str::len) {
        Some(7) => RightShapeNoCheckDigit,
        Some(6) if tolerance.short_serial => ValidWithWarning(TITLE_SERIAL),
        Some(_) => Wrong(TITLE_SERIAL),
        None => Wrong(TITLE_SHAPE),
    }
}

fn construction_permit(text: &str) -> Verdict {
    if text.len() != 18 || !digits(text) {
        return Wrong(PERMIT_SHAPE);
    }
    if !text[6..8].starts_with("20") || !real_date(&text[6..14]) {
        return Wrong(DATE_IMPOSSIBLE);
    }
    let speciality = text[16..].parse::<u8>();
    shape(matches!(speciality, Ok(1..=19)), PERMIT_SPECIALITY)
}

fn disability_certificate(text: &str, tolerance: Tolerance) -> Verdict {
    let in_shape = text.is_ascii()
        && (text.len() == 20 || (text.len() == 22 && matches!(&text.as_bytes()[20..], [b'B', b'1'..=b'9'])))
        && matches!(text.as_bytes()[18], b'1'..=b'7')
        && matches!(text.as_bytes()[19], b'1'..=b'4');
    if in_shape { citizen_id(&text[..18], tolerance) } else { Wrong(DISABILITY_SHAPE) }
}

/// `J` or `L`, division, year, serial: `J370322-2018-000001`.
fn is_marriage_certificate(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, year, serial] = parts[..] else {
        return false;
    };
    first.strip_prefix(['J', 'L']).is_some_and(|division| division.len() == 6 && digits(division))
        && year.len() == 4
        && digits(year)
        && (year.starts_with("19") || year.starts_with("20"))
        && serial.len() == 6
        && digits(serial)
}

/// Twelve digits, alone or after words that end in 字, with or without 第 and 号.
fn is_transport_licence(text: &str) -> bool {
    let number = match text.split_once('字') {
        Some((words, number)) => {
            if !((2..=20).contains(&words.chars().count()) && words.chars().all(is_han)) {
                return false;
            }
            number
        }
        None => text,
    };
    let number = number.strip_prefix('第').unwrap_or(number);
    let number = number.strip_suffix('号').unwrap_or(number);
    number.len() == 12 && digits(number)
}

fn is_planning_permit(text: &str) -> bool {
    text.strip_prefix(['建', '地', '乡', '用'])
        .and_then(|rest| rest.strip_prefix("字第"))
        .and_then(|rest| rest.strip_suffix('号'))
        .is_some_and(|number| (12..=18).contains(&number.len()) && digits(number))
}

fn is_public_place_licence(text: &str) -> bool {
    let parts = || {
        let rest = text.strip_prefix(|c| PROVINCES.contains(c))?;
        let (year, rest) = rest.strip_prefix("卫公证字[")?.split_once(']')?;
        let number = rest.strip_prefix('第')?.strip_suffix('号')?;
        let (division, serial) = number.split_once('-')?;
        Some([(year, 4), (division, 6), (serial, 6)])
    };
    parts().is_some_and(|parts| parts.iter().all(|(part, length)| part.len() == *length && digits(part)))
}

fn is_phone(text: &str) -> bool {
    digits(text)
        && match text.as_bytes()[0] {
            b'1' => text.len() == 11,
            b'0' => (10..=12).contains(&text.len()),
            b'4' | b'8' if text.len() == 10 => text[1..].starts_with("00"),
            _ => (7..=8).contains(&text.len()),
        }
}
