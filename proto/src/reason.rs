//! Why a request was refused: one small enum, one table to gRPC and HTTP codes, one place that writes a `Status`.

use std::{fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "weft.v1";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $http:literal, $zh:literal, $en:literal;)*) => {
        /// Why a request was refused. Stable: clients, metrics labels and `docs/errors/` rely on the names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The stable name.
            pub fn as_str(self) -> &'static str { match self { $(Reason::$name => $text,)* } }

            /// The gRPC code.
            pub fn code(self) -> Code { match self { $(Reason::$name => Code::$code,)* } }

            /// The HTTP status.
            pub fn http(self) -> u16 { match self { $(Reason::$name => $http,)* } }

            /// What happened and what to do, in Chinese.
            pub fn zh(self) -> &'static str { match self { $(Reason::$name => $zh,)* } }

            /// What happened and what to do, in English.
            pub fn en(self) -> &'static str { match self { $(Reason::$name => $en,)* } }
        }
    };
}

reasons! {
    /// No identity in the certificate, or not exactly one.
    NoIdentity = "no_identity", Unauthenticated, 401,
        "证书中没有唯一的身份标识；请用入网令牌重新登记", "the certificate does not carry exactly one identity; enrol again with a join token";
    /// The identity is not registered, was revoked, or this certificate was.
    IdentityRevoked = "identity_revoked", Unauthenticated, 401,
        "该身份未登记或已被停用；请联系县大数据中心", "this identity is not registered or was revoked; ask the operator";
    /// The identity's kind may not call this.
    WrongRole = "wrong_role", PermissionDenied, 403,
        "该身份无权调用此接口", "this kind of identity may not call this";
    /// The record type is not the caller's.
    NotYourType = "not_your_type", PermissionDenied, 403,
        "该证照类型不属于本部门", "this record type does not belong to the caller's department";
    /// No grant covers the look. Said in the same words whether or not a record exists.
    Denied = "denied", PermissionDenied, 403,
        "没有授权：请由窗口单位向数据所属部门申请", "no grant covers this look: the window asks the owning department for one";
    /// A field was asked for that the grant does not have.
    FieldNotGranted = "field_not_granted", PermissionDenied, 403,
        "所求字段不在授权范围内；请删去该字段或申请授权", "a field asked for is not in the grant; leave it out or ask for a grant";
    /// The four-eyes rule: the same person may not do both.
    FourEyes = "four_eyes", PermissionDenied, 403,
        "同一人不能既申请又批准；请由另一人操作", "the same person may not ask and approve; let another one do it";
    /// A request's field is absent or of the wrong form.
    BadRequest = "bad_request", InvalidArgument, 400,
        "请求有误；请按所列字段改正", "the request is wrong; correct the fields named";
    /// The case reference is not complete.
    CaseIncomplete = "case_incomplete", InvalidArgument, 400,
        "办件信息不全：须有办件编号、事项和当事人角色", "the case reference is incomplete: number, service item and party role are needed";
    /// The page token was not made for this caller and question.
    BadPageToken = "bad_page_token", InvalidArgument, 400,
        "翻页标记无效；请从第一页重新查询", "the page token does not belong to this question; start from the first page";
    /// The message or batch is too large.
    TooLarge = "too_large_request", ResourceExhausted, 413,
        "请求过大；请分批发送", "the request is too large; send smaller batches";
    /// What was named does not exist.
    NotFound = "not_found", NotFound, 404,
        "没有找到", "there is no such thing";
    /// It exists already, with other content.
    AlreadyExists = "already_exists", AlreadyExists, 409,
        "已存在且内容不同", "it exists already, with other content";
    /// The state does not allow it.
    WrongState = "wrong_state", FailedPrecondition, 409,
        "当前状态不允许此操作", "the present state does not allow this";
    /// A record type's new version would break those who publish or read it.
    IncompatibleType = "incompatible_type", FailedPrecondition, 409,
        "新版本会破坏现有的授权、事项或归集；请先处理所列各项，或另立新的证照类型", "the new version would break present grants, service items or publishers; settle those named first, or make it a type of its own";
    /// The join token is unknown, used, expired, or for another kind of identity.
    JoinTokenInvalid = "join_token_invalid", PermissionDenied, 403,
        "入网令牌无效、已使用或已过期；请向县大数据中心重新申请", "the join token is unknown, used or expired; ask the operator for a new one";
    /// The sender's quarantine is full.
    QuarantineFull = "quarantine_full", ResourceExhausted, 429,
        "隔离区已满：请先改正已退回的记录", "the sender's quarantine is full: mend what was refused first";
    /// Too many requests of one caller.
    RateLimited = "rate_limited", ResourceExhausted, 429,
        "请求过于频繁；请稍后再试", "too many requests; wait as told and try again";
    /// The log cannot be written or read in time.
    LogUnavailable = "log_unavailable", Unavailable, 503,
        "日志暂时不可写；请稍后重试", "the log cannot be reached; try again as told";
    /// The index cannot be read in time.
    IndexUnavailable = "index_unavailable", Unavailable, 503,
        "索引暂时不可用；请稍后重试", "the index cannot be reached; try again as told";
    /// The ledger cannot be written, so nothing is answered.
    LedgerUnavailable = "ledger_unavailable", Unavailable, 503,
        "使用台账暂时不可写，故不予答复；请稍后重试", "the ledger cannot be written, so nothing is answered; try again as told";
    /// The key that signs statements cannot be used, so nothing is answered.
    SigningUnavailable = "signing_unavailable", Unavailable, 503,
        "现势声明的签名密钥不可用，故不予答复；请稍后重试", "the key that signs statements cannot be used, so nothing is answered; try again as told";
    /// The registry view is older than it may be.
    RegistryStale = "registry_stale", Unavailable, 503,
        "登记信息尚未同步；请稍后重试", "this instance's registry view is behind; try again as told";
    /// The partition that holds the record is being repaired.
    PartitionNotCurrent = "partition_not_current", Unavailable, 503,
        "该分区正在修复；请稍后重试", "the partition is being repaired; try again as told";
    /// The outcome waited for did not come within the deadline.
    NotYetIndexed = "not_yet_indexed", Unavailable, 503,
        "该记录尚未入库；请稍后重试", "the submission waited for has no outcome yet; try again as told";
    /// The instance is stopping.
    Draining = "draining", Unavailable, 503,
        "该实例正在停止；请连接其他实例", "this instance is stopping; connect to another";
    /// The deadline passed.
    DeadlineExceeded = "deadline_exceeded", DeadlineExceeded, 504,
        "超过时限", "the deadline passed";
    /// Something in the hub is broken.
    Internal = "internal", Internal, 500,
        "系统内部故障，已记录；请稍后重试或联系县大数据中心", "the hub has an internal fault, which was logged; try again or tell the operator";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal of a request: a reason, the fields it is about, when to try again. Never personal data.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// More than the reason says, in English, without personal data; may be empty.
    pub detail: String,
    /// (field, what is wrong with it).
    pub fields: Vec<(String, String)>,
    /// When a retry makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with nothing but its reason; what is UNAVAILABLE may be tried again after a second.
    pub fn new(reason: Reason) -> Self {
        let retry_after = matches!(reason.code(), Code::Unavailable).then(|| Duration::from_secs(1));
        Self { reason, detail: String::new(), fields: Vec::new(), retry_after }
    }

    /// Adds what the reason alone does not say.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = detail.to_string();
        self
    }

    /// Names a field of the request and what is wrong with it.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, problem: impl fmt::Display) -> Self {
        self.fields.push((field.into(), problem.to_string()));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The sentence a person reads: Chinese, then English, then the detail.
    pub fn message(&self) -> String {
        let mut text = format!("{} / {}", self.reason.zh(), self.reason.en());
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.reason.as_str(), DOMAIN, std::collections::HashMap::new());
        for (field, problem) in &refusal.fields {
            details.add_bad_request_violation(field, problem);
        }
        if let Some(after) = refusal.retry_after {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(refusal.reason.code(), refusal.message(), details)
    }
}

/// The reason that a `Status` of this hub carries, if it carries one.
pub fn reason_of(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        for &reason in Reason::ALL {
            let refusal = Refusal::new(reason).field("look.purpose", "must not be empty");
            let status = Status::from(refusal);
            assert_eq!(status.code(), reason.code());
            assert_eq!(reason_of(&status), Some(reason));
            let fields = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(fields[0].field, "look.purpose");
        }
    }

    #[test]
    fn names_are_unique_and_codes_agree() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.code() == Code::Unavailable, reason.http() == 503, "{reason}");
        }
    }
}
