//! The API and enrolment listeners: an accept loop of our own, because TLS material is reloaded and limits are set here.
//!
//! - [`publishing`], [`looking`], [`enrolment`]: the services
//! - [`quota`]: how often windows and halls may look
//! - [`auth`]: who is calling, at every request
//! - [`certificate`], [`authorities`]: the server's own certificate and other CAs, kept current

pub mod auth;
pub mod authorities;
pub mod certificate;
pub mod enrolment;
pub mod looking;
mod messages;
pub mod publishing;
pub mod quota;

use std::{convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::metrics::Metrics;
use weft_proto::{Reason, Refusal};

use auth::Authenticator;

/// A handshake takes at most so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection is closed, after its streams have ended, when it is this old: so load spreads and old keys leave.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// Streams on one connection.
const STREAMS: u32 = 100;
/// Bytes of a request's header list.
const HEADER_LIST: u32 = 16 * 1024;
/// Streams that a peer may reset before they are taken up (rapid reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Connections at a time on one listener.
const CONNECTIONS: usize = 2048;
/// How long open streams have when the hub stops.
const DRAIN: Duration = Duration::from_secs(5);

/// A message of the API may have so many bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// One listener: how it speaks TLS, what it serves, and how it knows its callers.
#[derive(Clone)]
pub struct Endpoint {
    /// TLS; swapped when another CA's files change.
    pub tls: Arc<ArcSwap<rustls::ServerConfig>>,
    /// Services.
    pub routes: Routes,
    /// How callers are known; `None` where anybody may call (enrolment).
    pub authenticator: Option<Arc<Authenticator>>,
    /// Counts refusals.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// Serves a listener until `shutdown`, then lets open streams end.
pub async fn serve(listener: TcpListener, endpoint: Endpoint, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    tracing::warn!("too many connections: one was refused");
                    continue;
                };
                let serving = connection(stream, endpoint.clone(), shutdown.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("streams were still open when the hub stopped");
        connections.shutdown().await;
    }
}

/// The TLS handshake, within its time; `None` when it was refused.
async fn handshake(stream: TcpStream, endpoint: &Endpoint) -> Option<TlsStream<TcpStream>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
    let handshake = TlsAcceptor::from(endpoint.tls.load_full()).accept(stream);
    match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(tls)) => return Some(tls),
        Ok(Err(error)) => tracing::info!(%error, "handshake refused"),
        Err(_) => tracing::info!("handshake took too long"),
    }
    None
}

async fn connection(stream: TcpStream, endpoint: Endpoint, shutdown: CancellationToken) {
    let Some(tls) = handshake(stream, &endpoint).await else { return };
    let chain: Vec<CertificateDer<'static>> =
        tls.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
    let presented = endpoint.authenticator.as_ref().map(|authenticator| authenticator.present(&chain));
    let Endpoint { routes, authenticator, metrics, .. } = endpoint;
    let stopping = shutdown.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let (routes, metrics) = (routes.clone(), Arc::clone(&metrics));
        let admitted = match (&authenticator, &presented) {
            _ if stopping.is_cancelled() => Err(Refusal::new(Reason::Draining)),
            (Some(authenticator), Some(presented)) => authenticator.admit(presented).map(Some),
            _ => Ok(None),
        };
        async move {
            let mut request = request.map(tonic::body::Body::new);
            match admitted {
                Ok(Some(caller)) => {
                    request.extensions_mut().insert(caller);
                }
                Ok(None) => {}
                Err(refusal) => {
                    metrics.count_refusal(refusal.reason);
                    return Ok(tonic::Status::from(refusal).into_http());
                }
            }
            let response = routes.oneshot(request).await?;
            let refused = tonic::Status::from_header_map(response.headers());
            if let Some(reason) = refused.as_ref().and_then(weft_proto::reason::reason_of) {
                metrics.count_refusal(reason);
            }
            Ok::<_, Infallible>(limits_by_their_name(response))
        }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(tls), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { tokio::select! { () = shutdown.cancelled() => {}, () = tokio::time::sleep(MAX_AGE) => {} } } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended badly");
    }
}

/// tonic says OUT_OF_RANGE of a message above its limit; the API's word is RESOURCE_EXHAUSTED.
fn limits_by_their_name(mut response: hyper::Response<tonic::body::Body>) -> hyper::Response<tonic::body::Body> {
    let headers = response.headers_mut();
    if headers.get("grpc-status").is_some_and(|status| status == "11") {
        headers.insert("grpc-status", hyper::header::HeaderValue::from_static("8"));
    }
    response
}
