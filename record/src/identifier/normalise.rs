//! The one form in which identifiers are compared and kept.

use super::Rule;

/// Full-width letters, digits, brackets and blanks become half-width, blanks go, letters become upper-case; hyphens
/// go or take their place as the rule wants. The result is the form that a department should publish.
#[must_use]
pub fn normalise(rule: Rule, raw: &str) -> String {
    let narrow = narrow(raw);
    match rule {
        Rule::CertificateIdentifier | Rule::TransportLicence | Rule::PlanningPermit | Rule::RealEstateCertificate => {
            narrow
        }
        Rule::PublicPlaceLicence => narrow.replace(['〔', '【'], "[").replace(['〕', '】'], "]"),
        Rule::MarriageCertificate => with_marriage_hyphens(&narrow.replace('-', "")),
        Rule::Phone => without_country(&narrow.replace(['-', '(', ')'], "")),
        Rule::Uscc
        | Rule::Org
        | Rule::CitizenId
        | Rule::RegistrationNo
        | Rule::FoodBusinessNo
        | Rule::FoodProductionNo
        | Rule::RealEstateUnit
        | Rule::ConstructionPermit
        | Rule::DisabilityCertificate
        | Rule::Division
        | Rule::BirthCertificate => narrow.replace('-', ""),
    }
}

/// Half-width, without blanks, upper-case; every dash that keyboards and exporters write is a hyphen.
pub(crate) fn narrow(raw: &str) -> String {
    raw.chars()
        .filter(|character| !character.is_whitespace() && !is_invisible(*character))
        .map(|character| match character {
            // U+FF01..U+FF5E are the ASCII printables, moved by a fixed distance.
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '﹡' => '*',
            _ => character,
        })
        .map(|character| character.to_ascii_uppercase())
        .collect()
}

/// What pages and spreadsheets leave behind: zero-width blanks and joiners, soft hyphens, byte order marks.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// `J3703222018000001` becomes `J370322-2018-000001`; what has another shape stays.
fn with_marriage_hyphens(bare: &str) -> String {
    if bare.is_ascii() && bare.len() == 17 {
        format!("{}-{}-{}", &bare[..7], &bare[7..11], &bare[11..])
    } else {
        bare.to_owned()
    }
}

/// Takes `+86` or `0086` off, however often a form has put it before the number.
fn without_country(mut number: &str) -> String {
    while let Some(rest) = number.strip_prefix("+86").or_else(|| number.strip_prefix("0086")) {
        number = rest;
    }
    number.to_owned()
}
