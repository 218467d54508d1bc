//! Connections to a hub as foreign clients make them: with the right certificate, a wrong one, or none.

use std::{net::SocketAddr, sync::Arc};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The chain.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// The client side of TLS: trusts `ca`, presents `credentials` if there are any.
///
/// # Panics
/// When the PEM texts cannot be read.
#[must_use]
pub fn tls(
    ca: &str,
    credentials: Option<&Credentials>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.expect("a CA certificate")).expect("a usable CA certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match credentials {
        Some(credentials) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain.expect("a chain"), key).expect("a usable certificate")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A channel to `address` over TLS 1.3. The handshake is done when this returns.
///
/// # Errors
/// The connection is refused, or the handshake.
pub async fn connect(address: SocketAddr, ca: &str, credentials: Option<&Credentials>) -> Result<Channel, String> {
    connect_with(address, Arc::new(tls(ca, credentials, &[&rustls::version::TLS13]))).await
}

/// A channel with a TLS configuration of the caller's.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel, String> {
    let connector = TlsConnector::from(config);
    let endpoint = Endpoint::from_static("http://localhost");
    let connect = tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").expect("a name");
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    endpoint.connect_with_connector(connect).await.map_err(|error| format!("{error:?}"))
}
