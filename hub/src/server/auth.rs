//! Who is calling: once per connection the certificate's identity, at every request whether it is in force.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};
use weft_proto::{Reason, Refusal};
use weft_record::verify::Sender;

use crate::{
    clock::SharedClock,
    identity::{Caller, Identity, Through, presented, trust::Trust},
    registry::RegistryView,
};

/// Knows callers.
#[derive(Debug)]
pub struct Authenticator {
    trust: Arc<ArcSwap<Trust>>,
    registry: Arc<RegistryView>,
    clock: SharedClock,
    trust_domain: String,
}

impl Authenticator {
    /// Over these parts.
    pub fn new(
        trust: Arc<ArcSwap<Trust>>,
        registry: Arc<RegistryView>,
        clock: SharedClock,
        trust_domain: String,
    ) -> Self {
        Self { trust, registry, clock, trust_domain }
    }

    /// The identity that a verified chain speaks for, if a CA that vouches for the chain may vouch for that identity.
    pub fn present(&self, chain: &[CertificateDer<'static>]) -> Result<Caller, Refusal> {
        let end_entity = chain.first().ok_or_else(|| Refusal::new(Reason::NoIdentity))?;
        let presented = presented(end_entity, &self.trust_domain)
            .map_err(|error| Refusal::new(Reason::NoIdentity).detail(error))?;
        let trust = self.trust.load();
        let through = trust.vouches(chain, &presented.identity, self.now()).ok_or_else(|| {
            Refusal::new(Reason::NoIdentity).detail("this certificate authority may not vouch for this identity")
        })?;
        let chain = if through == Through::Hub { &[][..] } else { chain };
        Ok(Caller {
            identity: presented.identity,
            serial: presented.serial,
            not_after: presented.not_after,
            through,
            chain: chain.into(),
            generation: trust.generation(),
        })
    }

    fn now(&self) -> UnixTime {
        let seconds = u64::try_from(self.clock.now().div_euclid(1000)).unwrap_or(0);
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    }

    /// Whether another CA still vouches for what it vouched for when the connection began: its list may have changed, or run out.
    fn still_vouched(&self, caller: &Caller) -> bool {
        if caller.through == Through::Hub {
            return true;
        }
        let trust = self.trust.load();
        caller.not_after > self.clock.now()
            && (trust.generation() == caller.generation
                || trust.vouches(&caller.chain, &caller.identity, self.now()).as_ref() == Some(&caller.through))
    }

    /// Whether the identity is in force now: asked at every request.
    pub fn admit(&self, presented: &Result<Caller, Refusal>) -> Result<Caller, Refusal> {
        let caller = presented.clone()?;
        self.still_in_force(&caller)?;
        Ok(caller)
    }

    /// Whether the caller is in force now: asked at every batch of a stream, and every 5 s on an idle one.
    pub fn still_in_force(&self, caller: &Caller) -> Result<(), Refusal> {
        let path = caller.identity.to_string();
        let registry = self.registry.snapshot();
        if registry.hub_name.is_none() {
            // Nothing is known yet: a registry that was cut off is made whole first.
            return Err(Refusal::new(Reason::RegistryStale));
        }
        if registry.in_force(&path, &caller.serial, &caller.through, self.clock.now()) && self.still_vouched(caller) {
            Ok(())
        } else {
            Err(Refusal::new(Reason::IdentityRevoked))
        }
    }
}

/// The caller of a request.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Refusal> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| Refusal::new(Reason::NoIdentity))
}

/// The calling adapter.
pub fn sender<T>(request: &tonic::Request<T>) -> Result<(Caller, Sender), Refusal> {
    let caller = caller(request)?;
    match caller.identity.clone() {
        Identity::Adapter { department, adapter } => Ok((caller, Sender { department, adapter })),
        _ => Err(Refusal::new(Reason::WrongRole)),
    }
}

/// The calling window's name.
pub fn window<T>(request: &tonic::Request<T>) -> Result<String, Refusal> {
    match caller(request)?.identity {
        Identity::Window(name) => Ok(name),
        _ => Err(Refusal::new(Reason::WrongRole)),
    }
}
