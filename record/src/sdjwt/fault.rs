//! Every way in which a token can be wrong, and the words for it.

use crate::json;
use crate::problem::{Problem, Reason};

/// What is wrong with a token. Each has one reason and one sentence in either language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Header, payload or a disclosure is not strict JSON.
    Json(json::Fault),
    /// More bytes than the limit.
    TooLarge,
    /// No tilde at all: a plain JWT.
    NoTilde,
    /// Text after the last tilde that is no JWT.
    NoLastTilde,
    /// A JWT after the last tilde: key binding.
    KeyBinding,
    /// Two tildes with nothing between them.
    ExtraTilde,
    /// The JWT is not three parts.
    NotThreeParts,
    /// Padding, a foreign character, or bits left over.
    BadBase64,
    /// Header or payload is JSON, but no object.
    NotAnObject,
    /// `alg` is missing or not on the list.
    UnsupportedAlgorithm,
    /// The signature is not this key's over these bytes.
    BadSignature,
    /// `_sd_alg` is not sha-256.
    UnknownHashAlgorithm,
    /// `_sd` is not an array of strings.
    BadDigestList,
    /// `...` stands where no array element's digest can be.
    StrayEllipsis,
    /// A disclosure is not a JSON array.
    DisclosureNotArray,
    /// A disclosure named by an `_sd` is not [salt, name, value].
    NotAClaim,
    /// A disclosure named by an array element is not [salt, value].
    NotAnElement,
    /// A disclosed claim is called `_sd` or `...`.
    ReservedName,
    /// A disclosed claim has the name of one that is there.
    NameTaken,
    /// The same disclosure twice.
    RepeatedDisclosure,
    /// A disclosure that no digest names.
    UnreferencedDisclosure,
    /// The same digest twice.
    RepeatedDigest,
    /// More digests than the limit.
    TooManyDigests,
    /// Deeper than the limit.
    TooDeep,
    /// Profile: `typ` is not dc+sd-jwt.
    WrongType,
    /// Profile: a header parameter other than alg, typ, kid.
    ForbiddenHeader,
    /// Profile: `kid` is missing or no RFC 7638 thumbprint.
    BadKid,
    /// Profile: `cnf`.
    KeyBindingClaim,
    /// Profile: a claim that a record does not have.
    ForbiddenClaim,
    /// Profile: a claim that must be plain is missing or of another type.
    PlainClaim,
    /// Profile: a list of digests is not filled to exactly the type's slots.
    WrongSlots,
    /// Profile: a digest is no base64url SHA-256, or a list is not sorted.
    BadDigest,
    /// Profile: a field or holder is not behind a digest.
    NotHidden,
    /// Profile: something selectively disclosable that must not be.
    ForbiddenDisclosure,
    /// Profile: `_sd` or `...` inside a disclosure.
    NestedDigests,
}

impl Fault {
    /// The stable reason on the wire.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Json(json::Fault::Syntax | json::Fault::DuplicateName) => Reason::BadJson,
            Self::Json(json::Fault::Number) => Reason::BadNumber,
            Self::Json(json::Fault::Text) => Reason::BadText,
            Self::Json(json::Fault::TooDeep) | Self::TooDeep => Reason::TooDeep,
            Self::Json(json::Fault::TooLarge) | Self::TooLarge => Reason::TooLarge,
            Self::NoTilde
            | Self::NoLastTilde
            | Self::ExtraTilde
            | Self::NotThreeParts
            | Self::BadBase64
            | Self::NotAnObject => Reason::MalformedToken,
            Self::KeyBinding | Self::KeyBindingClaim => Reason::KeyBindingRefused,
            Self::UnsupportedAlgorithm => Reason::UnsupportedAlgorithm,
            Self::BadSignature => Reason::BadSignature,
            Self::UnknownHashAlgorithm => Reason::UnknownHashAlgorithm,
            Self::BadDigestList | Self::StrayEllipsis | Self::DisclosureNotArray => Reason::BadDisclosure,
            Self::NotAClaim | Self::NotAnElement | Self::ReservedName | Self::NameTaken => Reason::BadDisclosure,
            Self::RepeatedDisclosure | Self::UnreferencedDisclosure => Reason::DisclosureMismatch,
            Self::RepeatedDigest => Reason::DuplicateDigest,
            Self::TooManyDigests => Reason::TooManyDigests,
            Self::WrongType => Reason::WrongTokenType,
            Self::ForbiddenHeader => Reason::ForbiddenHeader,
            Self::BadKid | Self::ForbiddenClaim | Self::PlainClaim | Self::WrongSlots | Self::BadDigest => {
                Reason::ProfileViolation
            }
            Self::NotHidden | Self::ForbiddenDisclosure | Self::NestedDigests => Reason::ProfileViolation,
        }
    }

    /// What happened, in Chinese and English.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Json(fault) => json_words(fault),
            Self::TooLarge => ("令牌超过大小上限", "the token is larger than the limit"),
            Self::NoTilde => ("不是 SD-JWT：没有波浪号", "not an SD-JWT: there is no tilde"),
            Self::NoLastTilde => ("SD-JWT 必须以波浪号结尾", "an SD-JWT ends in a tilde"),
            Self::KeyBinding => (
                "带有密钥绑定 JWT，本系统不使用密钥绑定",
                "there is a key binding JWT, and records have no key binding",
            ),
            Self::ExtraTilde => ("多余的波浪号", "there is a tilde too many"),
            Self::NotThreeParts => ("签发者 JWT 不是三段", "the issuer-signed JWT is not three parts"),
            Self::BadBase64 => {
                ("不是严格的 base64url（无填充、无多余位）", "not strict base64url (no padding, no bits left over)")
            }
            Self::NotAnObject => ("不是 JSON 对象", "not a JSON object"),
            Self::UnsupportedAlgorithm => {
                ("签名算法不在允许之列（EdDSA、ES256）", "the algorithm is not one of EdDSA, ES256")
            }
            Self::BadSignature => ("签章与内容或密钥不符", "the signature is not this key's over this token"),
            Self::UnknownHashAlgorithm => ("_sd_alg 只能是 sha-256", "_sd_alg is not sha-256"),
            Self::BadDigestList => ("_sd 不是字符串数组", "_sd is not an array of strings"),
            Self::StrayEllipsis => {
                ("名称 ... 只能用于数组元素的摘要", "the name ... stands where no array element's digest can be")
            }
            Self::DisclosureNotArray => ("披露项不是 JSON 数组", "a disclosure is not a JSON array"),
            Self::NotAClaim => ("披露项应为 [盐, 名称, 值]", "a disclosure here is [salt, name, value]"),
            Self::NotAnElement => {
                ("数组元素的披露项应为 [盐, 值]", "a disclosure of an array element is [salt, value]")
            }
            Self::ReservedName => ("披露的名称不能是 _sd 或 ...", "a disclosed claim is called _sd or ..."),
            Self::NameTaken => {
                ("披露的名称在同一层已存在", "a disclosed claim has the name of one that is already there")
            }
            Self::RepeatedDisclosure => ("同一披露项出现两次", "the same disclosure is there twice"),
            Self::UnreferencedDisclosure => ("披露项没有对应的摘要", "a disclosure is named by no digest"),
            Self::RepeatedDigest => ("同一摘要出现两次", "the same digest is there twice"),
            Self::TooManyDigests => ("摘要数量超过上限", "there are more digests than the limit"),
            Self::TooDeep => ("嵌套层数超过上限", "nested deeper than the limit"),
            other => other.profile_words(),
        }
    }

    fn profile_words(self) -> (&'static str, &'static str) {
        match self {
            Self::WrongType => ("typ 必须是 dc+sd-jwt", "typ is not dc+sd-jwt"),
            Self::ForbiddenHeader => ("头部只允许 alg、typ、kid", "the header has more than alg, typ and kid"),
            Self::BadKid => ("kid 必须是签章密钥的 JWK 指纹", "kid is not a JWK thumbprint"),
            Self::KeyBindingClaim => ("记录没有密钥绑定，不允许 cnf", "cnf is there, and records have no key binding"),
            Self::ForbiddenClaim => ("记录中不允许此声明", "a record does not have this claim"),
            Self::PlainClaim => {
                ("此声明必须明文出现且类型正确", "this claim must be there in plain, with the right type")
            }
            Self::WrongSlots => {
                ("摘要数量与证照类型的槽位不符", "the number of digests is not the slots of the record type")
            }
            Self::BadDigest => ("摘要不是 SHA-256，或未按序排列", "a digest is no SHA-256, or the list is not sorted"),
            Self::NotHidden => ("字段和持证主体必须在摘要之后", "fields and holders stand behind digests"),
            Self::ForbiddenDisclosure => ("此处不允许这样的披露项", "this may not be selectively disclosable"),
            Self::NestedDigests => ("披露项内不允许再有摘要", "a disclosure holds digests of its own"),
            // Unreachable in practice: `words` handles every other fault. Kept total without a panic.
            _ => ("令牌有误", "the token is wrong"),
        }
    }
}

fn json_words(fault: json::Fault) -> (&'static str, &'static str) {
    match fault {
        json::Fault::Syntax => ("不是有效的 JSON", "not valid JSON"),
        json::Fault::DuplicateName => ("JSON 对象中名称重复", "an object has the same name twice"),
        json::Fault::Number => (
            "数值带小数、指数、负零或超出 ±(2^53−1)",
            "a number has a fraction or exponent, is -0, or is beyond 2^53-1",
        ),
        json::Fault::Text => (
            "文本编码有误（UTF-8、代理项、控制字符）",
            "a text is badly encoded (UTF-8, surrogates, control characters)",
        ),
        json::Fault::TooDeep => ("嵌套层数超过上限", "nested deeper than the limit"),
        json::Fault::TooLarge => ("JSON 超过大小上限", "JSON larger than the limit"),
    }
}

/// A fault and its place. Says names and numbers, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}{}", fault.reason().as_str(), fault.words().1, about.as_ref().map(|about| format!(" ({about})")).unwrap_or_default())]
pub struct Error {
    /// What is wrong.
    pub fault: Fault,
    /// RFC 6901 pointer into the processed payload, as far as one exists.
    pub pointer: String,
    /// The part of the token, header parameter or byte that is meant.
    pub about: Option<String>,
}

impl Error {
    pub(super) fn at(fault: Fault, pointer: &str) -> Self {
        Self { fault, pointer: pointer.to_owned(), about: None }
    }

    /// The same error, saying which part it is about.
    pub(super) fn about(mut self, part: &str) -> Self {
        self.about = Some(match self.about {
            Some(about) => format!("{part}, {about}"),
            None => part.to_owned(),
        });
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { fault, pointer: String::new(), about: None }
    }
}

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Self {
        Self {
            fault: Fault::Json(error.fault),
            pointer: error.pointer,
            about: Some(format!("byte {}", error.position)),
        }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let (zh, en) = error.fault.words();
        match &error.about {
            None => Self::detailed(&error.pointer, error.fault.reason(), zh, en),
            Some(about) => {
                let (zh, en) = (format!("{zh}（{about}）"), format!("{en} ({about})"));
                Self::detailed(&error.pointer, error.fault.reason(), &zh, &en)
            }
        }
    }
}
