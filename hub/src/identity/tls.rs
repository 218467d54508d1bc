//! The listeners' TLS: mutual on the API, server-only on enrolment; reloadable without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::trust::Trust;

/// The server's certificate, swapped when a newer one is there.
#[derive(Debug)]
pub struct ServerCertificate {
    current: ArcSwap<CertifiedKey>,
}

/// TLS material that cannot be used. What was there before stays in use.
#[derive(Debug, thiserror::Error)]
#[error("TLS material cannot be used: {0}")]
pub struct TlsError(String);

impl From<super::trust::TrustError> for TlsError {
    fn from(error: super::trust::TrustError) -> Self {
        tls_error(error)
    }
}

impl ServerCertificate {
    /// From a certificate chain and its key, PEM.
    pub fn new(chain_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        Ok(Self { current: ArcSwap::from_pointee(certified_key(chain_pem, key_pem)?) })
    }

    /// Takes a newer certificate; open connections go on under the old one.
    pub fn replace(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        self.current.store(Arc::new(certified_key(chain_pem, key_pem)?));
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified_key(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, TlsError> {
    let chain =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(tls_error)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(tls_error)?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).map_err(tls_error)
}

fn tls_error(error: impl std::fmt::Display) -> TlsError {
    TlsError(error.to_string())
}

static TLS13: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
static TLS13_AND_12: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn versions(allow_tls12: bool) -> &'static [&'static rustls::SupportedProtocolVersion] {
    if allow_tls12 { &TLS13_AND_12 } else { &TLS13 }
}

/// Mutual TLS for the API listener. No early data, no session resumption: every connection proves its certificate anew.
pub fn mutual(
    certificate: Arc<ServerCertificate>,
    trust: Arc<Trust>,
    allow_tls12: bool,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(allow_tls12))
        .map_err(tls_error)?
        .with_client_cert_verifier(trust)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// Server-only TLS for the enrolment listener.
pub fn server_only(certificate: Arc<ServerCertificate>, allow_tls12: bool) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(allow_tls12))
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// When the first certificate of a PEM chain ends, in milliseconds since 1970.
pub fn not_after(chain_pem: &str) -> Result<i64, TlsError> {
    let first = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).next();
    let first = first.ok_or_else(|| TlsError("no certificate".into()))?.map_err(tls_error)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&first).map_err(tls_error)?;
    Ok(certificate.validity().not_after.timestamp() * 1000)
}
