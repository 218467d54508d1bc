//! One request: within its addresses, its bytes and its time, or a clear failure.

use std::{io, path::Path, sync::Arc, time::Duration};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    address::{Allowed, NotAllowed},
    config::{RestConfig, literal},
};

/// Why a request brought nothing. No text of the answer stands in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Set(String),
    #[error("the name resolves to an address outside rest.allow")]
    NotAllowed,
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the server did not answer in time")]
    TimedOut,
    #[error("the server points elsewhere ({0}): redirects are not followed")]
    Redirected(StatusCode),
    #[error("the server asks to wait ({0})")]
    Busy(StatusCode, Option<Duration>),
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the server answered {0} in place of JSON")]
    NotJson(String),
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
    #[error("the answer is not what the configuration says: {0}")]
    Form(String),
    #[error("the rows could not be kept")]
    Io(#[from] io::Error),
}

/// Asks one server.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client,
    allowed: Allowed,
    max_bytes: u64,
    timeout: Duration,
}

impl Fetcher {
    /// Reads secret and authority anew, so that a changed file needs no restart.
    pub(super) fn new(config: &RestConfig) -> Result<Self, Failure> {
        let allowed = Allowed::new(config.allow.clone());
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(config.timeout())
            .dns_resolver(Arc::new(allowed.clone()))
            .default_headers(headers(config)?)
            .tls_backend_preconfigured(tls(config.ca_file.as_deref())?);
        let client = builder.build().map_err(|error| Failure::Set(cause(&error)))?;
        Ok(Self { client, allowed, max_bytes: config.max_answer_bytes, timeout: config.timeout() })
    }

    /// The bytes of the answer to one GET.
    pub(super) async fn get(&self, url: Url) -> Result<Vec<u8>, Failure> {
        if literal(&url).is_some_and(|address| !self.allowed.admits(address)) {
            return Err(Failure::NotAllowed);
        }
        let answered = async {
            let response = self.client.get(url).send().await.map_err(unreachable)?;
            self.body(accepted(response)?).await
        };
        tokio::time::timeout(self.timeout, answered).await.map_err(|_| Failure::TimedOut)?
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let too_long = |length: u64| length > self.max_bytes;
        if response.content_length().is_some_and(too_long) {
            return Err(Failure::TooLong(self.max_bytes));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if too_long((bytes.len() + chunk.len()) as u64) {
                return Err(Failure::TooLong(self.max_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_redirection() {
        return Err(Failure::Redirected(status));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        return Err(Failure::Busy(status, after.map(Duration::from_secs)));
    }
    if status != StatusCode::OK {
        return Err(Failure::Status(status));
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
    let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if bare == "application/json" || bare.ends_with("+json") {
        return Ok(response);
    }
    Err(Failure::NotJson(bare.chars().filter(char::is_ascii_graphic).take(60).collect()))
}

fn headers(config: &RestConfig) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let Some(file) = &config.secret_file else { return Ok(headers) };
    let secret = crate::secret::read(file).map_err(|error| Failure::Set(format!("rest.secret_file: {error}")))?;
    if secret.is_empty() {
        return Err(Failure::Set("rest.secret_file: it is empty".into()));
    }
    let (name, text) = match &config.secret_header {
        Some(name) => (name.as_bytes(), secret.to_string()),
        None => (AUTHORIZATION.as_str().as_bytes(), format!("Bearer {}", secret.as_str())),
    };
    let wrong = || Failure::Set("rest.secret_file: not the text of a header".into());
    let name = HeaderName::from_bytes(name).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(&text).map_err(|_| wrong())?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// TLS 1.2 or 1.3, trust in the configured authority alone.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, Failure> {
    let set = |error: &dyn std::fmt::Display| Failure::Set(format!("rest.ca_file: {error}"));
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).map_err(|error| set(&error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|error| set(&error))?).map_err(|error| set(&error))?;
        }
        if roots.is_empty() {
            return Err(Failure::Set("rest.ca_file: no certificate in it".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| set(&error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost cause, which says more than "error sending request", and never the URL with its parameters.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) { "it ended early".into() } else { cause.to_string() }
}

fn unreachable(error: reqwest::Error) -> Failure {
    let mut cause_of: Option<&dyn std::error::Error> = Some(&error);
    while let Some(inner) = cause_of {
        if inner.is::<NotAllowed>() {
            return Failure::NotAllowed;
        }
        cause_of = inner.source();
    }
    if error.is_timeout() { Failure::TimedOut } else { Failure::Unreachable(cause(&error)) }
}
