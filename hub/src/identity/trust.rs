//! Which CA may vouch for which identity. CA B cannot mint CA A's names.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::Identity;

/// A CA that may vouch for identities whose path begins with one of its prefixes.
#[derive(Clone, Debug)]
struct Vouching {
    verifier: Arc<dyn ClientCertVerifier>,
    prefixes: Vec<String>,
}

/// The trusted CAs, as a client verifier for rustls: a chain is good when one of them vouches for it.
#[derive(Clone, Debug)]
pub struct Trust {
    authorities: Vec<Vouching>,
    hints: Vec<DistinguishedName>,
}

/// A CA certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("CA certificate cannot be used: {0}")]
pub struct TrustError(String);

impl Trust {
    /// From (PEM, prefixes of identity paths); an empty prefix allows all.
    pub fn new(authorities: &[(String, Vec<String>)]) -> Result<Self, TrustError> {
        let mut trusted = Vec::new();
        let mut hints = Vec::new();
        for (pem, prefixes) in authorities {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| TrustError(error.to_string()))?;
                roots.add(certificate).map_err(|error| TrustError(error.to_string()))?;
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TrustError(error.to_string()))?;
            hints.extend_from_slice(verifier.root_hint_subjects());
            trusted.push(Vouching { verifier, prefixes: prefixes.clone() });
        }
        Ok(Self { authorities: trusted, hints })
    }

    /// Whether a CA that vouches for this chain may vouch for this identity.
    pub fn vouches(&self, chain: &[CertificateDer<'_>], identity: &Identity, now: UnixTime) -> bool {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return false;
        };
        let path = identity.to_string();
        self.authorities.iter().any(|authority| {
            authority.prefixes.iter().any(|prefix| path.starts_with(prefix.as_str()))
                && authority.verifier.verify_client_cert(end_entity, intermediates, now).is_ok()
        })
    }
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
        let mut refusal = rustls::Error::General("no certificate authority is trusted".into());
        for authority in &self.authorities {
            match authority.verifier.verify_client_cert(end_entity, intermediates, now) {
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
        self.authorities.first().map(|authority| authority.verifier.supported_verify_schemes()).unwrap_or_default()
    }
}

impl Trust {
    fn first(&self) -> Result<&Arc<dyn ClientCertVerifier>, rustls::Error> {
        let first = self
            .authorities
            .first()
            .ok_or_else(|| rustls::Error::General("no certificate authority is trusted".into()))?;
        Ok(&first.verifier)
    }
}
