//! The hub's statement: its short signature that a version was the highest at a position and time (a compact JWS, RFC
//! 7515, `alg: EdDSA`, `typ: weft-statement+jwt`). With the seal it is the proof that every answer carries; checked here,
//! offline, by whoever has the hub's public keys. Signing is the hub's.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    json,
    keys::{Algorithm, KeySet},
    sdjwt,
};

/// The `typ` of a statement.
pub const TYPE: &str = "weft-statement+jwt";

/// No statement is longer, in bytes of its compact form.
const MAX_BYTES: usize = 8 * 1024;

/// What is stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The hub: `https://<public name>`.
    pub iss: String,
    /// When it was stated, seconds since 1970.
    pub iat: i64,
    /// The record.
    pub record_id: String,
    /// The version.
    pub version: u64,
    /// The status that was answered.
    pub status: String,
    /// Topic, partition and next offset up to which the index had followed: the version was the highest there.
    pub position: (String, u32, u64),
    /// For a look at history: the time of acceptance asked about, seconds; then `version` was the highest then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub as_of: Option<i64>,
    /// The ledger entry of the look.
    pub ledger_entry: String,
    /// SHA-256 of the presentation, base64url: the statement belongs to this answer and no other.
    pub presentation: String,
}

/// Why a statement proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a compact JWS of strict JSON with the members of a [`Statement`].
    #[error("not a statement")]
    Form,
    /// The header does not say `alg: EdDSA` and `typ: weft-statement+jwt`, or says more than that and `kid`.
    #[error("the header is not a statement's")]
    Header,
    /// The key it names is not among the keys given.
    #[error("the statement's key is not among the hub's keys")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the statement's signature does not verify")]
    BadSignature,
    /// It was made for another presentation.
    #[error("the statement belongs to another presentation")]
    OtherPresentation,
    /// It names another record, version or hub than the presentation.
    #[error("the statement does not agree with the presentation")]
    Disagrees,
}

impl Error {
    /// What happened and what to do, in Chinese.
    #[must_use]
    pub fn zh(self) -> &'static str {
        match self {
            Self::Form => "不是现势声明；请使用答复中的 statement 原文",
            Self::Header => "现势声明的头部不符；请使用答复中的 statement 原文",
            Self::UnknownKey => "枢纽公钥中没有该声明的密钥；请向枢纽重新获取公钥",
            Self::BadSignature => "现势声明的签名验证不通过；该声明不可信，请重新查询",
            Self::OtherPresentation => "现势声明属于另一份出示；请使用同一答复中的声明和出示",
            Self::Disagrees => "现势声明与出示的记录标识、版本或枢纽不一致；请使用同一答复中的声明和出示",
        }
    }

    /// What happened and what to do, in English.
    #[must_use]
    pub fn en(self) -> &'static str {
        match self {
            Self::Form => "this is no statement; take the statement of the answer as it is",
            Self::Header => "the header is not a statement's; take the statement of the answer as it is",
            Self::UnknownKey => "the statement's key is not among the hub's keys; fetch them from the hub again",
            Self::BadSignature => "the statement's signature does not verify; do not trust it, ask again",
            Self::OtherPresentation => {
                "the statement belongs to another presentation; take statement and presentation of one answer"
            }
            Self::Disagrees => {
                "the statement names another record, version or hub; take statement and presentation of one answer"
            }
        }
    }
}

/// SHA-256 as base64url: how a statement names its presentation.
#[must_use]
pub fn sha256_base64url(bytes: &[u8]) -> String {
    sdjwt::encode(digest::digest(&digest::SHA256, bytes))
}

/// Reads a statement and checks its signature with the hub's public keys.
///
/// # Errors
/// Not a statement, of an unknown key, or not signed by it.
pub fn verify(jws: &str, keys: &KeySet) -> Result<Statement, Error> {
    let (signed, signature) = jws.rsplit_once('.').ok_or(Error::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(Error::Form)?;
    if jws.len() > MAX_BYTES || payload.contains('.') {
        return Err(Error::Form);
    }
    let header = object(header)?;
    let says = |name: &str, value: &str| header.get(name).and_then(Value::as_str) == Some(value);
    if header.len() != 3 || !says("alg", Algorithm::EdDsa.name()) || !says("typ", TYPE) {
        return Err(Error::Header);
    }
    let kid = header.get("kid").and_then(Value::as_str).ok_or(Error::Header)?;
    let key = keys.get(kid).filter(|key| key.algorithm() == Algorithm::EdDsa).ok_or(Error::UnknownKey)?;
    let signature = sdjwt::decode(signature).map_err(|_| Error::Form)?;
    key.verify(signed.as_bytes(), &signature).map_err(|_| Error::BadSignature)?;
    serde_json::from_value(Value::Object(object(payload)?)).map_err(|_| Error::Form)
}

impl Statement {
    /// Whether this was stated of exactly this presentation, whose payload is given as processed after its seal verified.
    ///
    /// # Errors
    /// It was stated of another one, or another hub's, or contradicts it.
    pub fn check_presentation(&self, presentation: &str, payload: &Map<String, Value>) -> Result<(), Error> {
        if self.presentation != sha256_base64url(presentation.as_bytes()) {
            return Err(Error::OtherPresentation);
        }
        let record = payload.get("record");
        let id = record.and_then(|record| record.get("id")).and_then(Value::as_str);
        let version = record.and_then(|record| record.get("version")).and_then(Value::as_u64);
        let issuer = payload.get("iss").and_then(Value::as_str).unwrap_or_default();
        let of_this_hub = issuer.strip_prefix(self.iss.as_str()).is_some_and(|rest| rest.starts_with("/departments/"));
        if id != Some(self.record_id.as_str()) || version != Some(self.version) || !of_this_hub {
            return Err(Error::Disagrees);
        }
        Ok(())
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Error> {
    let bytes = sdjwt::decode(part).map_err(|_| Error::Form)?;
    match json::parse(&bytes, json::Limits { max_bytes: MAX_BYTES, max_depth: 4 }) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Error::Form),
    }
}

#[cfg(test)]
mod tests;
