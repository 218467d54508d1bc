//! Identities: admitted through another authority, and cut off.

use weft_proto::{Reason, Refusal, v1};

use super::{OperatorService, check::Faults, parties::exists};
use crate::{
    clock::Millis,
    registry::{
        Administered, Registry,
        event::{After, IdentityState, JoinToken},
        fold::same_serial,
    },
};

impl OperatorService {
    /// Makes an identity known whose certificates another authority gives. It alone speaks for it from then on: the hub's own does not.
    pub(super) async fn admit(&self, who: &str, request: v1::AdmitIdentityRequest) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        let identity = self.identity(&request.identity, &mut faults);
        faults.sentence("why", &request.why);
        let path = identity.map(|identity| identity.to_string()).unwrap_or_default();
        match self.authorities.iter().find(|(name, _)| *name == request.authority) {
            None => faults.add("authority", "is no name under tls.client_ca of this hub"),
            Some((_, prefixes)) if !path.is_empty() && !prefixes.iter().any(|prefix| path.starts_with(prefix)) => {
                faults.add("authority", "may not vouch for this identity: no prefix of it fits");
            }
            Some(_) => {}
        }
        faults.done()?;
        let now = self.clock.now();
        let make = |registry: &Registry| {
            if !exists(registry, &path) {
                return Err(
                    Refusal::new(Reason::NotFound).field("identity", "names no registered department or window")
                );
            }
            let known = registry.identities.get(&path).filter(|known| known.revoked.is_none());
            if let Some(known) = known {
                may_be_admitted(known, &request.authority, now)?;
            }
            // A certificate that was taken back stays so.
            let revoked_serials = registry.identities.get(&path).map(|known| known.revoked_serials.clone());
            let admitted = IdentityState {
                path: path.clone(),
                certificates: Vec::new(),
                revoked: None,
                through: Some(request.authority),
                revoked_serials: revoked_serials.unwrap_or_default(),
                why: Some(request.why),
            };
            Ok((format!("identity/{path}"), After::Identity(admitted)))
        };
        self.registry.administer(who, make).await
    }

    /// Cuts an identity off, or one certificate of it. Tokens that would bring it back are ended first.
    pub(super) async fn revoke(&self, who: &str, request: v1::RevokeIdentityRequest) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        let identity = self.identity(&request.identity, &mut faults);
        faults.sentence("why", &request.why);
        let serial = request.serial.to_ascii_lowercase().replace(':', "");
        if serial.len() > 80 || !serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            faults.add("serial", "must be a serial number in hex");
        }
        faults.done()?;
        let path = identity.map(|identity| identity.to_string()).unwrap_or_default();
        if path == who {
            return Err(Refusal::new(Reason::FourEyes).detail("an operator is revoked by another one"));
        }
        if serial.is_empty() {
            self.end_tokens(who, &path).await?;
        }
        let make = |registry: &Registry| {
            let known = registry.identities.get(&path).cloned();
            if known.is_none() && !exists(registry, &path) {
                return Err(Refusal::new(Reason::NotFound).field("identity", "is not registered"));
            }
            if known.as_ref().is_some_and(|known| known.revoked.is_some()) {
                return Err(Refusal::new(Reason::WrongState).detail("the identity is revoked already"));
            }
            let known = known.unwrap_or_else(|| IdentityState::new(&path));
            let after = match serial.as_str() {
                "" => IdentityState { revoked: Some(request.why), ..known },
                serial => without_certificate(known, serial, request.why)?,
            };
            Ok((format!("identity/{path}"), After::Identity(after)))
        };
        self.registry.administer(who, make).await
    }

    async fn end_tokens(&self, who: &str, path: &str) -> Result<(), Refusal> {
        self.registry.confirm().await;
        let now = self.clock.now();
        let open = |token: &&JoinToken| token.identity == path && token.redeemed.is_none() && token.expires_at > now;
        let tokens: Vec<String> =
            self.registry.snapshot().tokens.values().filter(open).map(|token| token.id.clone()).collect();
        for id in tokens {
            let make = |registry: &Registry| match registry.tokens.get(&id).filter(open) {
                Some(token) => {
                    let ended = JoinToken { expires_at: now, ..token.clone() };
                    Ok((format!("token/{id}"), After::JoinToken(ended)))
                }
                None => Err(Refusal::new(Reason::WrongState).detail("a join token was used meanwhile; try again")),
            };
            self.registry.administer(who, make).await?;
        }
        Ok(())
    }
}

/// One authority speaks for an identity at a time.
fn may_be_admitted(known: &IdentityState, authority: &str, now: Millis) -> Result<(), Refusal> {
    match &known.through {
        Some(through) if through == authority => {
            Err(Refusal::new(Reason::AlreadyExists).detail("the identity is admitted through this authority already"))
        }
        Some(through) => Err(Refusal::new(Reason::WrongState)
            .detail(format!("the identity is admitted through {through}; revoke it first"))),
        None if known.certificates.iter().any(|(_, not_after)| *not_after > now) => {
            Err(Refusal::new(Reason::WrongState)
                .detail("the identity has certificates of the hub's own authority; revoke it first"))
        }
        None => Ok(()),
    }
}

/// Of the hub's own authority a certificate is known and taken out; of another one its number is kept.
fn without_certificate(known: IdentityState, serial: &str, why: String) -> Result<IdentityState, Refusal> {
    let mut after = IdentityState { why: Some(why), ..known };
    if after.through.is_none() {
        let before = after.certificates.len();
        after.certificates.retain(|(one, _)| !same_serial(one, serial));
        if after.certificates.len() == before {
            return Err(
                Refusal::new(Reason::NotFound).field("serial", "is of no certificate of this identity in force")
            );
        }
    } else if after.revoked_serials.iter().any(|one| same_serial(one, serial)) {
        return Err(Refusal::new(Reason::WrongState).detail("the certificate is revoked already"));
    } else {
        after.revoked_serials.push(serial.to_owned());
    }
    Ok(after)
}
