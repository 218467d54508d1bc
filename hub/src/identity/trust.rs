//! Which CA may vouch for which identity. CA B cannot mint CA A's names.
//!
//! A chain is good when one of the CAs vouches for it: the hub's own, or another one that the configuration names. Of its own
//! certificates the registry alone says which are in force. Another CA has a list of those that it revoked besides, and without a
//! list that is current and its own, nobody comes in by it.

use std::{fmt, sync::Arc};

use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{Identity, Through};

/// Told when a chain is refused because a CA's revocation list cannot be used: (CA, why).
pub type OnUnusable = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A CA that may vouch for identities whose path begins with one of its prefixes.
#[derive(Clone, Debug)]
struct Vouching {
    through: Through,
    /// `None` where nobody may come in by it.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    prefixes: Vec<String>,
}

/// Another CA as its files say it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its name in the configuration.
    pub name: String,
    /// The beginnings of identity paths that it may vouch for.
    pub prefixes: Vec<String>,
    /// Its certificates.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its revocation lists; `None` where there are none: then nobody comes in by it.
    pub lists: Option<Vec<CertificateRevocationListDer<'static>>>,
}

/// The trusted CAs, as a client verifier for rustls: a chain is good when one of them vouches for it.
pub struct Trust {
    authorities: Vec<Vouching>,
    hints: Vec<DistinguishedName>,
    /// Another number says that a chain that was good may not be any more.
    generation: u64,
    on_unusable: OnUnusable,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A CA certificate or revocation list that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate authority {name} cannot be used: {why}")]
pub struct TrustError {
    /// Which CA.
    pub name: String,
    /// What is wrong.
    pub why: String,
}

impl Trust {
    /// The hub's own CA (PEM), which may vouch for every identity, and others.
    pub fn new(own: &str, others: &[Authority], generation: u64, on_unusable: OnUnusable) -> Result<Self, TrustError> {
        let certificates = CertificateDer::pem_slice_iter(own.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|why| TrustError { name: "hub".into(), why: why.to_string() })?;
        let verifier = verifier("hub", &certificates, None)?;
        let mut hints = verifier.root_hint_subjects().to_vec();
        let mut authorities =
            vec![Vouching { through: Through::Hub, verifier: Some(verifier), prefixes: vec![String::new()] }];
        for other in others {
            let verifier = match &other.lists {
                Some(lists) => Some(verifier_of(other, lists)?),
                None => None,
            };
            hints.extend(verifier.iter().flat_map(|verifier| verifier.root_hint_subjects().to_vec()));
            let through = Through::Other(other.name.clone());
            authorities.push(Vouching { through, verifier, prefixes: other.prefixes.clone() });
        }
        Ok(Self { authorities, hints, generation, on_unusable })
    }

    /// See [`Trust`]; a chain that was good under another number is to be verified again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The CA that vouches for this chain and may vouch for this identity.
    pub fn vouches(&self, chain: &[CertificateDer<'_>], identity: &Identity, now: UnixTime) -> Option<Through> {
        let (end_entity, intermediates) = chain.split_first()?;
        let path = identity.to_string();
        let vouching = self.authorities.iter().find(|authority| {
            authority.prefixes.iter().any(|prefix| path.starts_with(prefix.as_str()))
                && authority.verify(end_entity, intermediates, now, &self.on_unusable).is_ok()
        });
        vouching.map(|authority| authority.through.clone())
    }

    fn first(&self) -> Result<&Arc<dyn ClientCertVerifier>, rustls::Error> {
        let first = self.authorities.first().and_then(|authority| authority.verifier.as_ref());
        first.ok_or_else(nobody_trusted)
    }
}

impl Vouching {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        on_unusable: &OnUnusable,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verifier = self.verifier.as_ref().ok_or_else(nobody_trusted)?;
        let verified = verifier.verify_client_cert(end_entity, intermediates, now);
        if let (Err(error), Through::Other(name)) = (&verified, &self.through)
            && let Some(why) = unusable(error)
        {
            on_unusable(name, why);
        }
        verified
    }
}

/// What an error says of the revocation list, where it is about the list and not about the certificate.
fn unusable(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. },
        ) => Some(EXPIRED),
        rustls::Error::InvalidCertificate(CertificateError::UnknownRevocationStatus) => Some(OF_ANOTHER),
        rustls::Error::InvalidCertRevocationList(CertRevocationListError::BadSignature) => Some(OF_ANOTHER),
        rustls::Error::InvalidCertRevocationList(_) => Some("cannot be read"),
        _ => None,
    }
}

/// A revocation list whose next update should have come.
pub const EXPIRED: &str = "its revocation list is out of date";
/// A revocation list that this CA did not sign.
pub const OF_ANOTHER: &str = "its revocation list is of another issuer";
/// No revocation list.
pub const MISSING: &str = "its revocation list is missing";

fn nobody_trusted() -> rustls::Error {
    rustls::Error::General("no certificate authority is trusted".into())
}

/// The verifier of another CA; every certificate of a chain must be on the good side of a list that is current.
pub fn verifier_of(
    authority: &Authority,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    verifier(&authority.name, &authority.certificates, Some(lists))
}

fn verifier(
    name: &str,
    certificates: &[CertificateDer<'static>],
    lists: Option<&[CertificateRevocationListDer<'static>]>,
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let refused = |why: String| TrustError { name: name.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| refused(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(lists) = lists {
        builder = builder.with_crls(lists.to_vec()).enforce_revocation_expiration();
    }
    builder.build().map_err(|error| refused(error.to_string()))
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut refusal = nobody_trusted();
        for authority in &self.authorities {
            match authority.verify(end_entity, intermediates, now, &self.on_unusable) {
                Ok(verified) => return Ok(verified),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first().map(|verifier| verifier.supported_verify_schemes()).unwrap_or_default()
    }
}
