//! Redeeming a join token as a client does.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use weft_proto::v1::{RedeemRequest, RedeemResponse, enrolment_client::EnrolmentClient};

use crate::{
    client::{Credentials, connect},
    hub::TestHub,
};

/// The secret in a join token.
///
/// # Panics
/// When it is no join token.
#[must_use]
pub fn secret_of(token: &str) -> String {
    let body = token.strip_prefix("weft-join.").expect("a join token");
    let body: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).expect("base64url")).expect("JSON");
    body["secret"].as_str().expect("a secret").to_owned()
}

/// Redeems a token with a fresh key pair: the answer, and the credentials made of it.
///
/// # Errors
/// The hub's refusal.
pub async fn redeem(
    hub: &TestHub,
    token: &str,
    sealing_jwk: &str,
) -> Result<(RedeemResponse, Credentials), tonic::Status> {
    let key = rcgen::KeyPair::generate().expect("a key pair");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a CSR");
    let channel = connect(hub.enrolment, &hub.ca(), None).await.expect("the enrolment listener answers");
    let request = RedeemRequest { secret: secret_of(token), csr: csr.der().to_vec(), sealing_jwk: sealing_jwk.into() };
    let response = EnrolmentClient::new(channel).redeem(request).await?.into_inner();
    let credentials = Credentials { certificate: response.certificate_pem.clone(), key: key.serialize_pem() };
    Ok((response, credentials))
}
