//! rustls configurations: TLS 1.3 alone, HTTP/2 alone, trust in exactly one authority.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::Error;

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::Tls(what.to_string())
}

fn roots(authority_pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem) {
        roots.add(certificate.map_err(wrong)?).map_err(wrong)?;
    }
    if roots.is_empty() { Err(wrong("the authority's certificate is empty")) } else { Ok(roots) }
}

fn builder(
    authority_pem: &[u8],
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(wrong)?;
    Ok(builder.with_root_certificates(roots(authority_pem)?))
}

/// Server TLS: the hub is proven, the caller is not.
pub(crate) fn with_authority(authority_pem: &[u8]) -> Result<ClientConfig, Error> {
    let mut config = builder(authority_pem)?.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Mutual TLS with the certificate chain and key of `client_pem`.
pub(super) fn mutual(authority_pem: &[u8], client_pem: &[u8]) -> Result<ClientConfig, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(client_pem).collect();
    let key = PrivateKeyDer::from_pem_slice(client_pem).map_err(wrong)?;
    let config = builder(authority_pem)?.with_client_auth_cert(chain.map_err(wrong)?, key);
    let mut config = config.map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
