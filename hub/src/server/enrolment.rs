//! How an identity comes to be (Enrolment, on its own listener) and stays (Renewal, on the API listener).
//!
//! Redeeming a token is a registry event: the first in the log wins, and the certificate is signed only after this hub's own view has
//! passed it. Nothing of a CSR is used but its public key.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use weft_proto::{
    Reason, Refusal,
    v1::{self, enrolment_server::Enrolment as EnrolmentApi, renewal_server::Renewal as RenewalApi},
};
use weft_record::{keys::VerifyingKey, verify::Sender};

use super::auth::{caller, sender};
use crate::{
    clock::{Millis, SharedClock},
    decode::sha256,
    identity::{
        Identity,
        ca::{CERTIFICATE_DAYS, Ca, CaError, Issued},
    },
    keys::Keys,
    query::timestamp,
    registry::{
        Registry, RegistryView,
        event::{After, IdentityState, JoinToken, KeyStanding, Redeemed, SealingKey},
    },
};

/// What both services are made of.
#[derive(Clone, Debug)]
pub struct Enrolling {
    registry: Arc<RegistryView>,
    keys: Arc<Keys>,
    clock: SharedClock,
    trust_domain: String,
}

impl Enrolling {
    /// Over these parts.
    pub fn new(registry: Arc<RegistryView>, keys: Arc<Keys>, clock: SharedClock, trust_domain: String) -> Self {
        Self { registry, keys, clock, trust_domain }
    }

    fn sign(&self, csr: &[u8], identity: &Identity, serial: &str, now: Millis) -> Result<Issued, Refusal> {
        self.keys.ca.sign_identity(csr, identity, &self.trust_domain, serial, now).map_err(refusal)
    }

    /// The token's event, or the redemption that stands already when the same CSR asks again.
    async fn redeem_token(&self, request: &v1::RedeemRequest, now: Millis) -> Result<JoinToken, Refusal> {
        let id = hex::encode(sha256(request.secret.as_bytes()));
        let csr = hex::encode(sha256(&request.csr));
        self.registry.confirm().await;
        if let Some(token) = self.registry.snapshot().tokens.get(&id).filter(|token| is_same(token, &csr)) {
            return Ok(token.clone());
        }
        // A CSR that cannot be used leaves the token as it was.
        Ca::check_csr(&request.csr).map_err(refusal)?;
        let entity = format!("token/{id}");
        self.registry
            .administer("hub", |registry| {
                let redeemed = redeemed_token(registry, &id, &csr, &request.sealing_jwk, now)?;
                Ok((entity, After::JoinToken(redeemed)))
            })
            .await?;
        let token = self.registry.snapshot().tokens.get(&id).cloned();
        token.filter(|token| is_same(token, &csr)).ok_or_else(|| Refusal::new(Reason::JoinTokenInvalid))
    }
}

fn refusal(error: CaError) -> Refusal {
    match error {
        CaError::Csr(_) => Refusal::new(Reason::BadRequest).field("csr", error),
        CaError::Own(_) => Refusal::new(Reason::Internal).detail(error),
    }
}

fn is_same(token: &JoinToken, csr: &str) -> bool {
    token.redeemed.as_ref().is_some_and(|redeemed| redeemed.csr == csr)
}

fn redeemed_token(
    registry: &Registry,
    id: &str,
    csr: &str,
    sealing_jwk: &str,
    now: Millis,
) -> Result<JoinToken, Refusal> {
    let token = registry.tokens.get(id).filter(|token| token.redeemed.is_none() && token.expires_at > now);
    let mut token = token.cloned().ok_or_else(|| Refusal::new(Reason::JoinTokenInvalid))?;
    let sealing_key = match Identity::parse_path(&token.identity) {
        Some(Identity::Adapter { department, adapter }) => {
            Some(Box::new(new_sealing_key(registry, sealing_jwk, department, adapter, token.made_by.clone())?))
        }
        _ => None,
    };
    let not_after = now + CERTIFICATE_DAYS * 86_400_000;
    token.redeemed = Some(Redeemed { serial: Ca::new_serial(), csr: csr.to_owned(), at: now, not_after, sealing_key });
    Ok(token)
}

/// A sealing key that waits for a second person. Weak keys are refused here.
fn new_sealing_key(
    registry: &Registry,
    jwk: &str,
    department: String,
    adapter: String,
    proposed_by: String,
) -> Result<SealingKey, Refusal> {
    let bad = |why: String| Refusal::new(Reason::BadRequest).field("sealing_jwk", why);
    let parsed = serde_json::from_str(jwk).map_err(|error| bad(error.to_string()))?;
    let key = VerifyingKey::from_jwk(&parsed).map_err(|error| bad(error.to_string()))?;
    let kid = key.kid().to_owned();
    if registry.sealing_keys.values().any(|one| one.kid == kid) {
        return Err(bad("this key is registered already; make a new one".into()));
    }
    Ok(SealingKey {
        department,
        adapter,
        kid,
        jwk: key.to_jwk().to_string(),
        standing: KeyStanding::Pending,
        proposed_by,
    })
}

/// A key's standing on the wire.
pub fn key_state(standing: KeyStanding) -> v1::KeyState {
    match standing {
        KeyStanding::Pending => v1::KeyState::Pending,
        KeyStanding::Active { .. } => v1::KeyState::Active,
        KeyStanding::Retired { .. } => v1::KeyState::Retired,
        KeyStanding::Compromised { .. } => v1::KeyState::Compromised,
    }
}

#[tonic::async_trait]
impl EnrolmentApi for Enrolling {
    async fn redeem(&self, request: Request<v1::RedeemRequest>) -> Result<Response<v1::RedeemResponse>, Status> {
        let request = request.into_inner();
        let now = self.clock.now();
        let token = self.redeem_token(&request, now).await?;
        let invalid = || Refusal::new(Reason::JoinTokenInvalid);
        let identity = Identity::parse_path(&token.identity).ok_or_else(invalid)?;
        let redeemed = token.redeemed.ok_or_else(invalid)?;
        let issued = self.sign(&request.csr, &identity, &redeemed.serial, redeemed.at)?;
        let registry = self.registry.snapshot();
        let secret = match &identity {
            Identity::Adapter { department, .. } => registry.keys_of(department).map(|keys| keys.secret.to_vec()),
            _ => None,
        };
        let key = redeemed.sealing_key.as_deref();
        let standing = key.and_then(|key| registry.sealing_keys.get(&(key.department.clone(), key.kid.clone())));
        Ok(Response::new(v1::RedeemResponse {
            identity: identity.uri(&self.trust_domain),
            certificate_pem: issued.pem,
            ca_pem: self.keys.ca.certificate_pem().into(),
            hub_name: registry.hub_name.clone().unwrap_or_default(),
            department_secret: secret.unwrap_or_default(),
            sealing_key_state: standing.map_or(v1::KeyState::Unspecified, |key| key_state(key.standing)).into(),
            sealing_key_fingerprint: key.map(|key| key.kid.clone()).unwrap_or_default(),
        }))
    }
}

#[tonic::async_trait]
impl RenewalApi for Enrolling {
    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let caller = caller(&request)?;
        let csr = request.into_inner().csr;
        let now = self.clock.now();
        let serial = Ca::new_serial();
        let path = caller.identity.to_string();
        // Signed first, so that a CSR that cannot be used leaves no event; handed out only after the event stands.
        let issued = self.sign(&csr, &caller.identity, &serial, now)?;
        let entity = format!("identity/{path}");
        self.registry
            .administer(&path, |registry| {
                let state = registry.identities.get(&path).filter(|state| state.revoked.is_none());
                let mut state = state.cloned().ok_or_else(|| Refusal::new(Reason::IdentityRevoked))?;
                if let Some(authority) = &state.through {
                    return Err(Refusal::new(Reason::WrongState)
                        .detail(format!("certificates of this identity come from {authority}, which renews them")));
                }
                state.certificates.retain(|(_, not_after)| *not_after > now);
                state.certificates.push((serial.clone(), issued.not_after));
                Ok((entity, After::Identity(IdentityState { path: path.clone(), ..state })))
            })
            .await?;
        Ok(Response::new(v1::RenewResponse {
            certificate_pem: issued.pem,
            not_after: Some(timestamp(issued.not_after)),
        }))
    }

    async fn propose_sealing_key(
        &self,
        request: Request<v1::ProposeSealingKeyRequest>,
    ) -> Result<Response<v1::ProposeSealingKeyResponse>, Status> {
        let (caller, sender) = sender(&request)?;
        let request = request.into_inner();
        let now = self.clock.now();
        let path = caller.identity.to_string();
        let known = self.registry.snapshot();
        if let Some(key) = own_key(&known, &request.jwk, &sender) {
            // Asked again: the answer was lost, or a person has decided meanwhile.
            let state = key_state(key.standing).into();
            return Ok(Response::new(v1::ProposeSealingKeyResponse { state, fingerprint: key.kid.clone() }));
        }
        let mut kid = String::new();
        self.registry
            .administer(&path, |registry| {
                let department = sender.department.clone();
                let mut key =
                    new_sealing_key(registry, &request.jwk, department, sender.adapter.clone(), path.clone())?;
                if vouched_by_previous(registry, &sender.department, &key.kid, &request)? {
                    key.standing = KeyStanding::Active { since: now };
                }
                kid.clone_from(&key.kid);
                Ok((format!("key/{}/{}", sender.department, key.kid), After::SealingKey(key)))
            })
            .await?;
        let registry = self.registry.snapshot();
        let state = registry.sealing_keys.get(&(sender.department.clone(), kid.clone()));
        let state = state.map_or(v1::KeyState::Unspecified, |key| key_state(key.standing));
        Ok(Response::new(v1::ProposeSealingKeyResponse { state: state.into(), fingerprint: kid }))
    }
}

/// The key that this very adapter proposed before.
fn own_key<'a>(registry: &'a Registry, jwk: &str, sender: &Sender) -> Option<&'a SealingKey> {
    let key = VerifyingKey::from_jwk(&serde_json::from_str(jwk).ok()?).ok()?;
    let known = registry.sealing_keys.get(&(sender.department.clone(), key.kid().to_owned()))?;
    (known.adapter == sender.adapter).then_some(known)
}

/// Whether the department's previous active key signed the new one's fingerprint. A signature that does not verify is an error, not a
/// key that waits.
fn vouched_by_previous(
    registry: &Registry,
    department: &str,
    kid: &str,
    request: &v1::ProposeSealingKeyRequest,
) -> Result<bool, Refusal> {
    if request.signature.is_empty() {
        return Ok(false);
    }
    let bad = |why: &str| Refusal::new(Reason::BadRequest).field("signature", why);
    let previous = registry.sealing_keys.get(&(department.to_owned(), request.signed_by_kid.clone()));
    let previous = previous.filter(|key| matches!(key.standing, KeyStanding::Active { .. }));
    previous.ok_or_else(|| bad("is not of an active key of this department"))?;
    let key = registry.verifying_key(department, &request.signed_by_kid).ok_or_else(|| bad("is of an unknown key"))?;
    key.verify(format!("weft-sealing-key:{kid}").as_bytes(), &request.signature).map_err(|_| bad("does not verify"))?;
    Ok(true)
}
