//! To a hub: gRPC over mutual TLS 1.3.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::{failure::Failure, files};

const MAX_PEM: u64 = 256 * 1024;

/// Where the hub is, and who is asking.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// The hub's API address, `https://host:port`
    #[arg(long, env = "WEFT_CLIENT_HUB", value_name = "URL")]
    pub(crate) hub: Address,
    /// The name that the hub's certificate must say, where it is not the host of the address
    #[arg(long, env = "WEFT_CLIENT_SERVER_NAME", value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// The caller's certificate chain, PEM
    #[arg(long, env = "WEFT_CLIENT_CERTIFICATE", value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM
    #[arg(long, env = "WEFT_CLIENT_KEY", value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The authority that vouches for the hub, PEM
    #[arg(long, env = "WEFT_CLIENT_CA", value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// Seconds until an unanswered request is given up
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
}

/// A host and a port under `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (Some("https"), Some(host), Some(port), true) = (uri.scheme_str(), uri.host(), uri.port_u16(), plain)
        else {
            return Err("an address is https://host:port".to_owned());
        };
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl ClientArgs {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Channel, Failure> {
        let certificate = files::read(&self.certificate.to_string_lossy(), MAX_PEM)?;
        let key = files::read(&self.key.to_string_lossy(), MAX_PEM)?;
        let ca = files::read(&self.ca.to_string_lossy(), MAX_PEM)?;
        let config = mutual(&certificate, &key, &ca)?;
        connect(&self.hub, self.server_name.as_deref(), config, Duration::from_secs(self.timeout)).await
    }

    /// A request that tells the hub how long the caller waits.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(Duration::from_secs(self.timeout));
        request
    }
}

fn unusable(what: impl std::fmt::Display) -> Failure {
    Failure::usage("证书或密钥无法使用", "certificates or keys cannot be used").because(what)
}

fn trusting(ca: &[u8]) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.map_err(unusable)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate of the authority"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(unusable)?;
    Ok(builder.with_root_certificates(roots))
}

/// Mutual TLS with these PEM files, HTTP/2.
pub(crate) fn mutual(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<ClientConfig, Failure> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(unusable)?;
    let mut config = trusting(ca)?.with_client_auth_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// TLS that proves the hub alone: for enrolment.
pub(crate) fn server_only(ca: &[u8]) -> Result<ClientConfig, Failure> {
    let mut config = trusting(ca)?.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Connects to one instance.
pub(crate) async fn connect(
    address: &Address,
    server_name: Option<&str>,
    config: ClientConfig,
    timeout: Duration,
) -> Result<Channel, Failure> {
    let (host, port) = (address.host.clone(), address.port);
    let name = ServerName::try_from(server_name.unwrap_or(&host).to_owned()).map_err(unusable)?;
    let connector = TlsConnector::from(Arc::new(config));
    let service = tower::service_fn(move |_: Uri| {
        let (connector, host, name) = (connector.clone(), host.clone(), name.clone());
        async move {
            let tcp = TcpStream::connect((host.as_str(), port)).await?;
            tcp.set_nodelay(true)?;
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    // The TLS is in the connector: to tonic the transport is plain.
    let authority = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let endpoint = Endpoint::from_shared(format!("http://{authority}:{port}")).map_err(unusable)?;
    let endpoint = endpoint.connect_timeout(timeout).timeout(timeout);
    endpoint.connect_with_connector(service).await.map_err(|error| {
        let failure = Failure::unreachable(
            "无法连接枢纽；请检查地址、网络和证书",
            "the hub cannot be reached; check address, network and certificates",
        );
        failure.caused_by(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_ports_under_https() {
        for (text, host, port) in [("https://hub.example:8443", "hub.example", 8443), ("https://[::1]:1/", "::1", 1)] {
            assert_eq!(text.parse::<Address>().unwrap(), Address { host: host.into(), port });
        }
        for text in ["http://hub:1", "https://hub", "hub:1", "https://hub:1/path", "https://hub:1/?q", ""] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn unusable_material_is_told_before_any_connection() {
        assert!(mutual(b"", b"", b"").is_err());
        assert!(server_only(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }
}
