//! Identifiers of people, organisations, assets and papers: their grammar and their check characters.
//!
//! Grammar and algorithms are those of GB 32100-2015, GB 11714-1997, GB 11643-1999, GS 15-2006, GB/T 17710-1999,
//! GB/T 36904-2018 and GB/T 37346-2019. [`check()`] normalises first; a finding says which rule is broken, never which
//! value broke it. What only memory vouches for is never a reason to refuse: it is a warning or is not asked.

mod check;
pub(crate) mod checksum;
mod finding;
mod normalise;
mod scheme;

pub use finding::Finding;
pub(crate) use normalise::narrow;
pub use normalise::normalise;
pub use scheme::{Scheme, UnknownScheme, check_holder, normalise_holder};

use std::fmt;
use std::str::FromStr;

macro_rules! identifier_rules {
    ($($(#[$doc:meta])* $variant:ident $name:literal)*) => {
        /// An identifier rule that a field of a record type can name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The rule's name in `type.toml`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

identifier_rules! {
    /// 统一社会信用代码, GB 32100-2015.
    Uscc "uscc"
    /// 组织机构代码, GB 11714-1997.
    Org "org"
    /// 公民身份号码, GB 11643-1999.
    CitizenId "citizen-id"
    /// 工商注册号, GS 15-2006.
    RegistrationNo "registration-no"
    /// 食品经营许可证编号.
    FoodBusinessNo "food-business-no"
    /// 食品生产许可证编号.
    FoodProductionNo "food-production-no"
    /// 电子证照标识, GB/T 36904-2018.
    CertificateIdentifier "certificate-identifier"
    /// 不动产单元号, GB/T 37346-2019.
    RealEstateUnit "real-estate-unit"
    /// 不动产权证号, 不动产登记证明号.
    RealEstateCertificate "real-estate-certificate"
    /// 施工许可证编号.
    ConstructionPermit "construction-permit"
    /// 残疾人证号.
    DisabilityCertificate "disability-certificate"
    /// 行政区划代码, GB/T 2260 and GB/T 10114.
    Division "division"
    /// 结婚证字号, 离婚证字号.
    MarriageCertificate "marriage-certificate"
    /// 出生医学证明编号.
    BirthCertificate "birth-certificate"
    /// 道路运输经营许可证号.
    TransportLicence "transport-licence"
    /// 规划许可证号.
    PlanningPermit "planning-permit"
    /// 公共场所卫生许可证号.
    PublicPlaceLicence "public-place-licence"
    /// 电话号码.
    Phone "phone"
}

/// A text that names no identifier rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown identifier rule {0:?}")]
pub struct UnknownRule(String);

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == name).ok_or_else(|| UnknownRule(name.to_owned()))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be said of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Grammar and check character hold.
    Valid,
    /// They hold as far as they must; something is worth saying.
    ValidWithWarning(Finding),
    /// The grammar holds and there is no check character to test: 格式正确，无校验位, never 有效. Also the verdict on
    /// a masked number whose visible part has the right shape.
    RightShapeNoCheckDigit,
    /// Wrong, and which rule says so.
    Wrong(Finding),
}

impl Verdict {
    /// Whether a record may carry it.
    #[must_use]
    pub fn is_acceptable(self) -> bool {
        !matches!(self, Self::Wrong(_))
    }

    /// What was found, if anything.
    #[must_use]
    pub fn finding(self) -> Option<Finding> {
        match self {
            Self::ValidWithWarning(finding) | Self::Wrong(finding) => Some(finding),
            Self::Valid | Self::RightShapeNoCheckDigit => None,
        }
    }
}

/// An identifier as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The form to compare and keep.
    pub normalised: String,
    /// What is to be said of it.
    pub verdict: Verdict,
    /// Whether normalising changed the text.
    pub changed: bool,
}

/// What a deployment lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tolerance {
    /// Test mode: the unassigned person area `370399` of synthetic data passes without a warning.
    pub test_area: bool,
    /// Six digits of a real estate certificate's serial pass with a warning, as some places write them.
    pub short_serial: bool,
}

impl Tolerance {
    /// For real data.
    pub const LIVE: Self = Self { test_area: false, short_serial: false };
    /// For samples, demos and tests.
    pub const TEST: Self = Self { test_area: true, short_serial: false };
}

/// Normalises and checks an identifier, in test mode. See [`check_with`].
#[must_use]
pub fn check(rule: Rule, raw: &str) -> Checked {
    check_with(rule, raw, Tolerance::TEST)
}

/// Normalises and checks an identifier.
#[must_use]
pub fn check_with(rule: Rule, raw: &str, tolerance: Tolerance) -> Checked {
    let normalised = normalise(rule, raw);
    let verdict = check::verdict(rule, &normalised, tolerance);
    Checked { changed: normalised != raw, verdict, normalised }
}

/// Whether digits of a number are masked, as on certificates that show `****` at characters 11 to 14 of an ID.
#[must_use]
pub fn is_masked(raw: &str) -> bool {
    raw.contains(['*', '＊', '﹡'])
}

/// The check character of an e-certificate identifier given without one (`root.type.issuer.serial.version`, the last
/// dot left out). `None` where the text has another shape, so none can be minted that [`check()`] would warn of.
#[must_use]
pub fn certificate_identifier_check(without_check: &str) -> Option<char> {
    let check = check::certificate_identifier_check(without_check)?;
    let whole = format!("{without_check}.{}", check as char);
    (check::verdict(Rule::CertificateIdentifier, &whole, Tolerance::LIVE) == Verdict::Valid).then_some(check as char)
}

#[cfg(test)]
mod tests;
