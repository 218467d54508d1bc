//! To the hub: mutual TLS 1.3 to one of its instances, the next one when it does not answer.
//!
//! - this module: the connection
//! - `tls`: certificates and keys
//! - `publish`: the stream of batches, receipts and outcomes

mod publish;
mod tls;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint as Transport, Uri};

use weft_proto::{Reason, reason::reason_of};

pub(crate) use publish::pause;
pub use publish::{Error as PublishError, Pace, Publisher};
pub(crate) use tls::with_authority;

use crate::keys::{self, Directory};

const HANDSHAKE: Duration = Duration::from_secs(10);

/// One instance of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name that its certificate must say.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `https://name:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return None;
        }
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(host.clone()).ok()?;
        Some(Self { host, port: uri.port_u16()? })
    }
}

/// Why the hub cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The adapter's own keys.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// Certificates or keys that rustls does not take.
    #[error("certificates or keys cannot be used: {0}")]
    Tls(String),
    /// The network, or the hub's refusal of the handshake.
    #[error("{endpoint} cannot be reached")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// Why.
        #[source]
        cause: tonic::transport::Error,
    },
    /// No endpoint is configured.
    #[error("no endpoint is configured")]
    NoEndpoint,
    /// The hub answered with a refusal.
    #[error("the hub refused: {code}: {message}", code = .0.code(), message = .0.message())]
    Status(Box<tonic::Status>),
}

impl Error {
    /// Whether the hub says that a record type is not one of the caller's department.
    pub(crate) fn is_not_your_type(&self) -> bool {
        matches!(self, Self::Status(status) if reason_of(status) == Some(Reason::NotYourType))
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Connects to the hub.
#[derive(Debug)]
pub struct Link {
    endpoints: Vec<Endpoint>,
    directory: Directory,
    next: AtomicUsize,
}

impl Link {
    /// Connects to `endpoints` with what lies in `directory`: read anew for every connection, so that a renewed
    /// certificate is used without a restart.
    pub fn new(endpoints: Vec<Endpoint>, directory: Directory) -> Self {
        Self { endpoints, directory, next: AtomicUsize::new(0) }
    }

    /// Connects to the endpoint whose turn it is; after a failure the next one has it.
    ///
    /// # Errors
    /// This endpoint cannot be reached now, or the adapter's own keys cannot be used.
    pub async fn connect(&self) -> Result<Channel, Error> {
        let turn = self.next.load(Ordering::Relaxed);
        let endpoint = self.endpoints.get(turn % self.endpoints.len().max(1)).ok_or(Error::NoEndpoint)?;
        let config = tls::mutual(&self.directory.authority_pem()?, &self.directory.client_pem()?)?;
        let connected = connect(endpoint, config).await;
        if connected.is_err() {
            self.failed();
        }
        connected
    }

    /// The endpoint whose turn it was did not serve: the next one has its turn.
    pub fn failed(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection to one endpoint.
pub(crate) async fn connect(endpoint: &Endpoint, config: rustls::ClientConfig) -> Result<Channel, Error> {
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    let name = ServerName::try_from(host.clone()).map_err(|error| Error::Tls(error.to_string()))?;
    let service = tower::service_fn(move |_: Uri| {
        let (connector, host, name) = (connector.clone(), host.clone(), name.clone());
        async move {
            let tcp = TcpStream::connect((host.as_str(), port)).await?;
            tcp.set_nodelay(true)?;
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let authority = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    let named = format!("{authority}:{port}");
    // The TLS is in the connector: to tonic the transport is plain.
    let transport = Transport::from_shared(format!("http://{named}")).map_err(|_| Error::NoEndpoint)?;
    let transport = transport
        .connect_timeout(HANDSHAKE)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let connected = transport.connect_with_connector(service).await;
    connected.map_err(|cause| Error::Unreachable { endpoint: named, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_names_and_ports_under_https() {
        let parse = |text| Endpoint::parse(text).map(|endpoint| (endpoint.host, endpoint.port));
        assert_eq!(parse("https://hub.example:7443"), Some(("hub.example".into(), 7443)));
        assert_eq!(parse("https://127.0.0.1:1/"), Some(("127.0.0.1".into(), 1)));
        assert_eq!(parse("https://[::1]:1"), Some(("::1".into(), 1)));
        for wrong in ["http://hub:1", "https://hub", "hub:1", "https://hub:1/path", "https://hub:1/?a=b", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
