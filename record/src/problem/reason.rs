//! The table of reasons: stable name, stage, what happened and what to do, in Chinese and English.

use super::Stage;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

macro_rules! reasons {
    ($($variant:ident $name:literal $stage:ident
        $happened_zh:literal $remedy_zh:literal
        $happened_en:literal $remedy_en:literal)*) => {
        /// Why a submission is not taken. The names are stable: they stand on the wire and in documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $happened_en] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the stages.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, in snake case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The stage that finds it.
            #[must_use]
            pub fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)* }
            }

            /// What happened, in Chinese.
            #[must_use]
            pub fn happened_zh(self) -> &'static str {
                match self { $(Self::$variant => $happened_zh,)* }
            }

            /// What to do, in Chinese.
            #[must_use]
            pub fn remedy_zh(self) -> &'static str {
                match self { $(Self::$variant => $remedy_zh,)* }
            }

            /// What happened, in English.
            #[must_use]
            pub fn happened_en(self) -> &'static str {
                match self { $(Self::$variant => $happened_en,)* }
            }

            /// What to do, in English.
            #[must_use]
            pub fn remedy_en(self) -> &'static str {
                match self { $(Self::$variant => $remedy_en,)* }
            }
        }
    };
}

reasons! {
    TooLarge "too_large" Shape
        "提交内容超过大小上限" "请检查是否误将附件或图片放入字段，拆分后重新提交"
        "the submission is larger than allowed" "check that no attachment or image was put in a field, then submit again"
    MalformedToken "malformed_token" Token
        "提交内容不是紧凑形式的 SD-JWT" "请用部门适配器重新签章后提交"
        "the submission is not an SD-JWT in compact form" "seal the record again with the department's adapter"
    UnsupportedAlgorithm "unsupported_algorithm" Token
        "签名算法不在允许范围内" "请使用 EdDSA（Ed25519）或 ES256 重新签章"
        "the signature algorithm is not allowed" "seal again with EdDSA (Ed25519) or ES256"
    WrongTokenType "wrong_token_type" Token
        "令牌类型 typ 不是 dc+sd-jwt" "请确认提交的是证照记录，并用适配器重新签章"
        "the token's typ is not dc+sd-jwt" "make sure that a record is submitted, and seal it again with the adapter"
    ForbiddenHeader "forbidden_header" Token
        "令牌头部含有不允许的参数" "请去掉 jku、x5u、jwk、crit 等参数后重新签章，密钥只按 kid 从登记中查找"
        "the token's header has a parameter that is not allowed"
        "leave out jku, x5u, jwk, crit and the like and seal again: keys are looked up in the registry by kid alone"
    KeyBindingRefused "key_binding_refused" Token
        "提交内容附带了密钥绑定（KB-JWT 或 cnf）" "请去掉密钥绑定部分，令牌须以一个 ~ 结尾"
        "the submission carries a key binding (a KB-JWT or cnf)" "leave the key binding out: the token ends in one ~"
    BadJson "bad_json" Token
        "JSON 格式错误或有重复的键" "请修正 JSON：每个对象内键名不得重复，编码为 UTF-8"
        "the JSON is malformed or has a repeated key" "mend the JSON: no key twice in an object, encoded as UTF-8"
    BadNumber "bad_number" Token
        "数字不是安全整数（小数、-0 或超过 2^53−1）" "金额和面积请写成字符串，整数须小于 2^53"
        "a number is not a safe integer (a fraction, -0, or beyond 2^53-1)"
        "write amounts and areas as strings; integers stay below 2^53"
    BadText "bad_text" Token
        "文本含有不允许的字符（控制字符、双向控制符或未配对代理）" "请在来源系统中清除不可见字符后重新提交"
        "a text holds a character that is not allowed (control, bidirectional override, or unpaired surrogate)"
        "remove the invisible characters in the source system and submit again"
    BadDisclosure "bad_disclosure" Token
        "披露项不符合 RFC 9901 的结构" "请用适配器重新签章，不要手工修改披露项"
        "a disclosure does not have the form that RFC 9901 asks for" "seal again with the adapter; do not edit disclosures"
    DisclosureMismatch "disclosure_mismatch" Token
        "披露项与签名内的摘要不对应" "披露项可能被改动或多余，请用适配器重新签章"
        "a disclosure belongs to no digest under the signature"
        "it was changed or does not belong here: seal again with the adapter"
    DuplicateDigest "duplicate_digest" Token
        "同一摘要出现多次" "请用适配器重新签章，每项须用新的随机盐值"
        "a digest stands more than once" "seal again with the adapter: every item takes a fresh salt"
    TooManyDigests "too_many_digests" Token
        "摘要或披露项数量超过上限" "请减少字段或持证主体数量，或将记录拆分"
        "there are more digests or disclosures than allowed" "lower the number of fields or holders, or split the record"
    TooDeep "too_deep" Token
        "嵌套层次超过上限" "请减少数据的嵌套层次"
        "the nesting is deeper than allowed" "lower the depth of the data"
    UnknownHashAlgorithm "unknown_hash_algorithm" Token
        "_sd_alg 不是 sha-256" "请用 sha-256 重新签章"
        "_sd_alg is not sha-256" "seal again with sha-256"
    ProfileViolation "profile_violation" Token
        "令牌不符合本系统的证照格式约定" "请用与本节点版本一致的适配器重新签章"
        "the token is not in the form that this node asks of a record"
        "seal again with an adapter of this node's version"
    NotYourIssuer "not_your_issuer" Sender
        "签发方（iss）不是提交部门" "请使用本部门的适配器身份提交本部门签发的记录"
        "the issuer (iss) is not the department that submits" "submit records of your own department, under its identity"
    NotYourType "not_your_type" Sender
        "该部门未登记可归集此证照类型" "请联系运行管理员登记部门与证照类型的对应关系"
        "the department is not registered to publish this record type"
        "ask the operator to register the department for the type"
    WrongRecordId "wrong_record_id" Sender
        "记录标识与证照类型或部门不一致" "请检查适配器映射，记录标识由适配器按自然键生成"
        "the record_id does not agree with the record type or the department"
        "check the adapter's mapping: the adapter makes the record_id from the natural key"
    UnknownType "unknown_type" Sender
        "证照类型或其版本未在目录中登记" "请核对 vct，或先在目录中登记该证照类型"
        "the record type or this version of it is not in the catalogue"
        "check vct, or have the record type registered first"
    UnknownKey "unknown_key" Key
        "签章密钥未登记或尚未确认" "请在登记中确认密钥指纹，并检查 kid"
        "the sealing key is not registered, or not confirmed yet" "have the key's fingerprint confirmed, and check kid"
    KeyRetired "key_retired" Key
        "签章密钥已停用且超过宽限期" "请用现行密钥重新签章"
        "the sealing key is retired and its grace period has passed" "seal again with the active key"
    KeyCompromised "key_compromised" Key
        "签章密钥已登记为泄露" "请用新密钥重新签章"
        "the sealing key is registered as compromised" "seal again with a new key"
    BadSignature "bad_signature" Key
        "签名验证不通过" "请用登记的密钥重新签章，内容签章后不得改动"
        "the signature does not verify" "seal again with the registered key; nothing may change after sealing"
    MissingField "missing_field" Content
        "缺少必填字段" "请在来源数据或映射中补充该字段"
        "a required field is missing" "add it in the source data or in the mapping"
    WrongType "wrong_type" Content
        "字段的数据类型不对" "请按证照类型要求的数据类型填写"
        "a field has the wrong JSON type" "write it with the JSON type that the record type asks for"
    WrongPattern "wrong_pattern" Content
        "字段的格式不对" "请按证照类型要求的格式填写"
        "a field does not have the form that is asked for" "write it in the form that the record type asks for"
    NotInList "not_in_list" Content
        "字段的值不在允许的列表中" "请改用列表中的值，或在代码映射中增加对应关系"
        "a value is not in the list of allowed ones" "use a value of the list, or add it to the code map"
    UnknownField "unknown_field" Content
        "含有证照类型未定义的字段" "请从映射中去掉该字段，或先升级证照类型"
        "there is a field that the record type does not define" "take it out of the mapping, or extend the record type first"
    OutOfBounds "out_of_bounds" Content
        "长度、数量或数值超出允许范围" "请核对来源数据"
        "a length, count or number is out of bounds" "check the source data"
    IdentifierWrong "identifier_wrong" Content
        "号码不符合编码规则" "请对照证件原件核对号码"
        "an identifier breaks its rule" "compare it with the original document"
    ImpossibleDate "impossible_date" Content
        "日期不存在" "请核对日期，格式为 YYYY-MM-DD"
        "a date does not exist" "check the date; its form is YYYY-MM-DD"
    RuleBroken "rule_broken" Content
        "不符合该证照类型的业务规则" "请按规则说明核对来源数据"
        "a rule of the record type is broken" "check the source data against the rule"
    HolderMissing "holder_missing" Content
        "缺少持证主体" "请按证照类型要求补充持证主体"
        "a holder is missing" "add the holder that the record type asks for"
    HolderNotAllowed "holder_not_allowed" Content
        "持证主体的角色、证件种类或数量不符合要求" "请核对持证主体；证件号码不得打码"
        "a holder's role, scheme or number is not allowed" "check the holders; a holder's number may not be masked"
    ValidityMissing "validity_missing" Content
        "缺少有效期" "请填写 valid_from 和 valid_until"
        "the validity is missing" "give valid_from and valid_until"
    ValidityTooLong "validity_too_long" Content
        "有效期超过该证照类型的上限" "请核对有效期起止日期"
        "the validity is longer than the record type allows" "check its first and last day"
    StatusEventMismatch "status_event_mismatch" Content
        "状态与事件不一致" "请核对事件对应的结果状态"
        "the status cannot be the result of the event" "check which status the event leads to"
    EventNotAllowed "event_not_allowed" Content
        "该证照类型没有此事件" "请核对事件映射"
        "the record type does not have this event" "check the event map"
    IssuedInFuture "issued_in_future" Content
        "签发时间晚于当前时间" "请校准适配器所在主机的时钟后重新签章"
        "the time of sealing lies in the future" "set the clock of the adapter's host and seal again"
}

/// A text that names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == name).ok_or(UnknownReason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(|_| serde::de::Error::custom("unknown reason"))
    }
}
