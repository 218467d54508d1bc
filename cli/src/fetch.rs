//! A hub's console, over plain HTTP: keys and readiness.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, body::Bytes};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::Failure;

const DEADLINE: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 1 << 20;

/// An answer: its status and body.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// GETs `http://host:port/path`. A console behind TLS is not reached so: save its keys to a file.
pub(crate) async fn get(url: &str) -> Result<Fetched, Failure> {
    let usage =
        || Failure::usage("控制台地址须为 http://主机:端口", "a console's address is http://host:port").because(url);
    let uri: Uri = url.parse().map_err(|_| usage())?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(usage()) };
    let port = uri.port_u16().unwrap_or(80);
    let host = host.trim_matches(['[', ']']);
    let unreachable = |error: &dyn std::fmt::Display| {
        let failure = Failure::unreachable("无法连接控制台", "the console cannot be reached");
        failure.because(format!("{url}: {error}"))
    };
    let asked = async {
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|error| unreachable(&error))?;
        let connection = tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header("host", uri.authority().map_or(host, |authority| authority.as_str()))
            .body(Empty::<Bytes>::new())
            .map_err(|_| usage())?;
        let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(|error| unreachable(&error))?;
        connection.abort();
        Ok(Fetched { status, body: body.to_bytes().to_vec() })
    };
    tokio::time::timeout(DEADLINE, asked).await.map_err(|_| unreachable(&"no answer within 10 s"))?
}
