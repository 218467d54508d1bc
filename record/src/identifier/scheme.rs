//! The schemes by which holders are named, and the check of a holder's number.

use super::finding::{EMPTY, HOLDER_CHARACTERS, MASKED_HOLDER};
use super::normalise::narrow;
use super::{Checked, Rule, Tolerance, Verdict, check_with, is_masked, normalise};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a holder is named (`holders[].scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// 统一社会信用代码.
    Uscc,
    /// 组织机构代码.
    OrganisationCode,
    /// 公民身份号码.
    CitizenId,
    /// 护照.
    Passport,
    /// 港澳居民来往内地通行证.
    HkMacaoPermit,
    /// 台湾居民来往大陆通行证.
    TaiwanPermit,
    /// 不动产单元号.
    RealEstateUnit,
    /// 车牌号.
    VehiclePlate,
    /// 项目代码.
    Project,
    /// 户号.
    Household,
    /// 其他组织代码.
    OtherOrganisation,
    /// 其他个人证件.
    OtherPerson,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 12] = [
        Self::Uscc,
        Self::OrganisationCode,
        Self::CitizenId,
        Self::Passport,
        Self::HkMacaoPermit,
        Self::TaiwanPermit,
        Self::RealEstateUnit,
        Self::VehiclePlate,
        Self::Project,
        Self::Household,
        Self::OtherOrganisation,
        Self::OtherPerson,
    ];

    /// The scheme's name in a record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uscc => "uscc",
            Self::OrganisationCode => "organisation-code",
            Self::CitizenId => "citizen-id",
            Self::Passport => "passport",
            Self::HkMacaoPermit => "hk-macao-permit",
            Self::TaiwanPermit => "taiwan-permit",
            Self::RealEstateUnit => "real-estate-unit",
            Self::VehiclePlate => "vehicle-plate",
            Self::Project => "project",
            Self::Household => "household",
            Self::OtherOrganisation => "other-organisation",
            Self::OtherPerson => "other-person",
        }
    }

    /// The identifier rule that a value of this scheme keeps, if there is one.
    #[must_use]
    pub fn rule(self) -> Option<Rule> {
        match self {
            Self::Uscc => Some(Rule::Uscc),
            Self::OrganisationCode => Some(Rule::Org),
            Self::CitizenId => Some(Rule::CitizenId),
            Self::RealEstateUnit => Some(Rule::RealEstateUnit),
            _ => None,
        }
    }
}

/// A text that names no scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown holder scheme")]
pub struct UnknownScheme;

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name).ok_or(UnknownScheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The form in which a holder's number is compared, hashed and kept.
#[must_use]
pub fn normalise_holder(scheme: Scheme, raw: &str) -> String {
    scheme.rule().map_or_else(|| narrow(raw), |rule| normalise(rule, raw))
}

/// Checks the number that a holder is named by. A masked number names nobody and is refused in every scheme.
#[must_use]
pub fn check_holder(scheme: Scheme, raw: &str, tolerance: Tolerance) -> Checked {
    let normalised = normalise_holder(scheme, raw);
    let changed = normalised != raw;
    let verdict = if normalised.is_empty() {
        Verdict::Wrong(EMPTY)
    } else if is_masked(&normalised) {
        Verdict::Wrong(MASKED_HOLDER)
    } else if let Some(rule) = scheme.rule() {
        check_with(rule, raw, tolerance).verdict
    } else if normalised.chars().count() > 64 || normalised.chars().any(char::is_control) {
        Verdict::Wrong(HOLDER_CHARACTERS)
    } else {
        Verdict::RightShapeNoCheckDigit
    };
    Checked { normalised, verdict, changed }
}
