//! How an adapter becomes one: its keys are made here, a one-time token proves it to the hub, and the hub's answer
//! makes it an identity. Later, how its certificate is renewed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde::Deserialize;
use weft_proto::v1::{
    KeyState, RedeemRequest, RenewRequest, enrolment_client::EnrolmentClient, renewal_client::RenewalClient,
};
use weft_record::{keys::Algorithm, seal::SealingKey};
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use crate::{
    clock::{Chance, ChanceFailed, Surroundings},
    keys::{self, Directory, Identity},
    link::{self, Endpoint, Link},
};

const PREFIX: &str = "weft-join.";

/// A join token, taken apart.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinToken {
    /// Where the enrolment listener is.
    pub enrolment: String,
    /// The hub's authority, PEM: the only one that is trusted.
    pub ca: String,
    /// What proves the adapter, once.
    pub secret: String,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken").field("enrolment", &self.enrolment).finish_non_exhaustive()
    }
}

impl std::str::FromStr for JoinToken {
    type Err = Error;

    /// Reads `weft-join.<base64url of JSON>`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(Error::Token)?;
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| Error::Token)?);
        serde_json::from_slice(&json).map_err(|_| Error::Token)
    }
}

/// Why joining or renewing failed. Joining may be tried again: with the same token as long as the hub did not take it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a join token.
    #[error("this is no join token: it begins with weft-join.")]
    Token,
    /// The state directory.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The hub cannot be reached, or refused.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The hub's answer is not what an adapter needs.
    #[error("the hub's answer is not what an adapter needs: {0}")]
    Answer(&'static str),
    /// A key or certificate request could not be made.
    #[error("a key could not be made")]
    Key,
    /// No random bytes could be had.
    #[error(transparent)]
    Chance(#[from] ChanceFailed),
}

/// What joining brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Who the adapter is now.
    pub identity: Identity,
    /// Whether its sealing key may be used, or waits for a second person.
    pub sealing_key: KeyState,
    /// The fingerprint that the second person compares: RFC 7638 thumbprint.
    pub fingerprint: String,
}

/// Joins the hub: makes keys in `directory`, redeems the token, keeps what the hub answered. An identity that is there
/// already stays: then nothing is done and `Joined` is an error. After a failure it may be tried again with the same token: what
/// was sent is kept, and the hub answers the same request again.
///
/// # Errors
/// The token is none, the hub refused it or cannot be reached, or the directory cannot be written.
pub async fn join(token: &str, directory: &Directory, surroundings: &Surroundings) -> Result<Joined, Error> {
    let token: JoinToken = token.parse()?;
    let endpoint = Endpoint::parse(&token.enrolment).ok_or(Error::Token)?;
    if let Some(identity) = directory.identity()? {
        return Err(keys::Error::Joined(directory.path().to_owned(), identity.identity).into());
    }
    directory.create()?;
    let chance = surroundings.chance.as_ref();
    let mut spool_key = Zeroizing::new([0; 32]);
    chance.fill(spool_key.as_mut())?;
    directory.ensure_spool_key(&spool_key)?;
    let sealing = directory.sealing_key(|| sealing_key(chance))?;
    let certificate = directory.certificate_request()?;
    let channel = link::connect(&endpoint, link::with_authority(token.ca.as_bytes())?).await?;
    let sealing_jwk = sealing.public_jwk().to_string();
    let request = RedeemRequest { secret: token.secret.clone(), csr: certificate.der().to_vec(), sealing_jwk };
    let answer = EnrolmentClient::new(channel).redeem(request).await.map_err(link::Error::from)?.into_inner();
    if answer.sealing_key_fingerprint != sealing.kid() {
        return Err(Error::Answer("another sealing key's fingerprint"));
    }
    let (department, adapter) = parts(&answer.identity).ok_or(Error::Answer("not an adapter's identity"))?;
    let secret: [u8; 32] =
        answer.department_secret.as_slice().try_into().map_err(|_| Error::Answer("no department secret"))?;
    let secret = Zeroizing::new(secret);
    directory.set_secret(&secret)?;
    directory.set_authority_pem(&answer.ca_pem)?;
    directory.set_client_pem(&answer.certificate_pem, certificate.key_pem())?;
    let hub_name = answer.hub_name.clone();
    let identity = Identity { identity: answer.identity.clone(), department, adapter, hub_name };
    directory.set_identity(&identity)?;
    Ok(Joined { identity, sealing_key: answer.sealing_key_state(), fingerprint: answer.sealing_key_fingerprint })
}

pub(crate) fn sealing_key(chance: &dyn Chance) -> Result<SealingKey, keys::Error> {
    let mut failed = None;
    let mut random = |bytes: &mut [u8]| failed = chance.fill(bytes).err().or(failed);
    let key = SealingKey::generate(Algorithm::EdDsa, &mut random).map_err(|_| keys::Error::Key)?;
    if failed.is_some() { Err(keys::Error::Key) } else { Ok(key) }
}

/// A key pair for the connection and the request for its certificate. Both are kept before the request is sent: the hub answers it
/// again only when it is the same to the byte.
pub struct CertificateRequest {
    key: Zeroizing<String>,
    pem: String,
    der: Vec<u8>,
}

impl std::fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateRequest").finish_non_exhaustive()
    }
}

const REQUEST: &str = "-----BEGIN CERTIFICATE REQUEST-----";

impl CertificateRequest {
    /// With a new key.
    ///
    /// # Errors
    /// The key could not be made.
    pub fn fresh() -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(|_| Error::Key)?;
        let params = CertificateParams::new(Vec::new()).map_err(|_| Error::Key)?;
        let request = params.serialize_request(&key).map_err(|_| Error::Key)?;
        let pem = request.pem().map_err(|_| Error::Key)?;
        Ok(Self { key: Zeroizing::new(key.serialize_pem()), pem, der: request.der().to_vec() })
    }

    /// As it was kept; nothing when the text is no key followed by a request.
    #[must_use]
    pub fn from_pem(text: &str) -> Option<Self> {
        let (key, request) = text.split_at(text.find(REQUEST)?);
        let (_, read) = parse_x509_pem(request.as_bytes()).ok()?;
        KeyPair::from_pem(key).ok()?;
        Some(Self { key: Zeroizing::new(key.to_owned()), pem: request.to_owned(), der: read.contents })
    }

    /// The key and the request, to be kept where nobody else reads.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n{}", self.key.trim_end(), self.pem))
    }

    /// The private key.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The request, DER (RFC 2986).
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// Department and adapter of `spiffe://<trust-domain>/department/<code>/adapter/<name>`.
fn parts(identity: &str) -> Option<(String, String)> {
    let path = identity.strip_prefix("spiffe://")?;
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [domain, "department", code, "adapter", name] if ![domain, code, name].iter().any(|part| part.is_empty()) => {
            Some(((*code).to_owned(), (*name).to_owned()))
        }
        _ => None,
    }
}

/// Seconds since 1970 from which the certificate is to be renewed: after two thirds of its life, day 60 of 90.
pub(crate) fn renew_from(directory: &Directory) -> Result<i64, Error> {
    let (from, until) = validity(directory)?;
    Ok(from + (until - from) / 3 * 2)
}

/// From when until when the certificate holds, seconds since 1970.
pub(crate) fn validity(directory: &Directory) -> Result<(i64, i64), Error> {
    let pem = directory.client_pem()?;
    let (_, pem) = parse_x509_pem(&pem).map_err(|_| Error::Answer("a certificate that cannot be read"))?;
    let certificate = pem.parse_x509().map_err(|_| Error::Answer("a certificate that cannot be read"))?;
    Ok((certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp()))
}

/// Renews the certificate, under a new key.
pub(crate) async fn renew(link: &Link, directory: &Directory) -> Result<(), Error> {
    let request = CertificateRequest::fresh()?;
    let csr = request.der().to_vec();
    let channel = link.connect().await?;
    let answer = RenewalClient::new(channel).renew(RenewRequest { csr }).await.map_err(link::Error::from)?;
    directory.set_client_pem(&answer.into_inner().certificate_pem, request.key_pem())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_kept_to_the_byte() {
        let fresh = CertificateRequest::fresh().unwrap();
        let kept = CertificateRequest::from_pem(&fresh.to_pem()).unwrap();
        assert_eq!((kept.der(), kept.key_pem().trim()), (fresh.der(), fresh.key_pem().trim()));
        assert!(CertificateRequest::from_pem(fresh.key_pem()).is_none());
        assert!(CertificateRequest::from_pem(&fresh.to_pem()[..300]).is_none());
    }

    #[test]
    fn tokens_are_read_and_never_printed() {
        let json = r#"{"enrolment":"https://hub.example:7444","ca":"PEM","secret":"hidden"}"#;
        let token: JoinToken = format!("weft-join.{}\n", URL_SAFE_NO_PAD.encode(json)).parse().unwrap();
        assert_eq!(token.enrolment, "https://hub.example:7444");
        assert!(!format!("{token:?}").contains("hidden"));
        for wrong in ["", "weft-join.", "weft-join.e30", "other.e30"] {
            assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_adapters_identity_is_one() {
        let identity = "spiffe://hub.example/department/market-regulation/adapter/main";
        assert_eq!(parts(identity), Some(("market-regulation".into(), "main".into())));
        for wrong in [
            "spiffe://hub.example/window/a",
            "spiffe://hub.example/department//adapter/a",
            "https://x/department/a/adapter/b",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
