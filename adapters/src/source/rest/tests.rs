use std::{
    collections::VecDeque,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Surroundings,
    source::{
        Item,
        contract::{self, Fixture},
    },
};

/// What the department's system answers, one after another, and what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answered>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
enum Answered {
    Json(String),
    Html,
    Redirect(String),
    Busy(u64),
    Endless,
    Silence,
}

impl Script {
    fn say(&self, answer: Answered) {
        self.answers.lock().unwrap().push_back(answer);
    }

    fn json(&self, text: impl Into<String>) {
        self.say(Answered::Json(text.into()));
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(State(script): State<Self>, request: Request) -> Response {
        let secret = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
        script.asked.lock().unwrap().push(format!("{} {secret}", request.uri()));
        let answer = script.answers.lock().unwrap().pop_front();
        match answer.unwrap_or_else(|| Answered::Json("[]".into())) {
            Answered::Json(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Answered::Html => ([(header::CONTENT_TYPE, "text/html")], "<html>sign in</html>").into_response(),
            Answered::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
            Answered::Busy(seconds) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
            }
            Answered::Endless => {
                let chunks = stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b' '; 1 << 16]));
                ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(chunks)).into_response()
            }
            Answered::Silence => std::future::pending().await,
        }
    }

    async fn serve(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(Self::answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

fn keeping(folder: &Path) -> Keeping {
    let key = folder.join("spool.key");
    std::fs::write(&key, hex::encode([3; 32])).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    Keeping::new(folder, &Surroundings::system()).unwrap()
}

fn config(more: &str) -> RestConfig {
    toml::from_str(more).unwrap()
}

struct Office {
    folder: TempDir,
    script: Script,
    base: String,
}

impl Office {
    async fn open() -> Self {
        let script = Script::default();
        let address = script.serve().await;
        let base = format!("url = \"http://{address}/records\"\nplain_http = true\nallow = [\"127.0.0.1\"]\n");
        Self { folder: tempfile::tempdir().unwrap(), script, base }
    }

    fn source(&self, more: &str) -> RestSource {
        let config = config(&format!("{}{more}", self.base));
        config.verify().unwrap();
        RestSource::new("records", config, keeping(self.folder.path()))
    }

    /// Pulls, reads and finishes; the first column of every row.
    async fn pulled(&self, source: &mut RestSource) -> Option<Vec<String>> {
        let Next::Unit(unit) = source.next().await.unwrap() else { return None };
        let mut rows = source.rows(&unit, &["id".to_owned()]).await.unwrap();
        let mut ids = Vec::new();
        while let Some(item) = rows.next().await.unwrap() {
            let Item::Row(row) = item else { panic!("{item:?}") };
            ids.extend(row.cells);
        }
        source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
        Some(ids)
    }

    /// What the failure of the next pull says.
    async fn refusal(&self, source: &mut RestSource) -> String {
        source.next().await.unwrap_err().cause.to_string()
    }
}

struct Pulls(Office);

#[async_trait]
impl Fixture for Pulls {
    type Source = RestSource;

    fn source(&self) -> RestSource {
        self.0.source("max_answer_bytes = 100_000_000")
    }

    fn add(&mut self, _: &str, rows: usize) {
        let rows: Vec<_> = (0..rows).map(|n| format!(r#"{{"key":"key-{n}","value":"value-{n}"}}"#)).collect();
        self.0.script.json(format!("[{}]", rows.join(",")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_sources() {
    contract::order(Pulls(Office::open().await)).await;
    contract::resume(Pulls(Office::open().await)).await;
    contract::bounded_memory(Pulls(Office::open().await), 200_000).await;
    contract::clean_stop(Pulls(Office::open().await), 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_by_number_until_one_is_short() {
    let office = Office::open().await;
    let mut source = office
        .source("records = \"data/rows\"\npage = { parameter = \"p\", size_parameter = \"n\", size = 2 }\nsecret_file = \"/nowhere\"");
    assert!(office.refusal(&mut source).await.contains("rest.secret_file"));
    let secret = office.folder.path().join("secret");
    std::fs::write(&secret, "s3cret-token\n").unwrap();
    let more = format!(
        "records = \"data/rows\"\npage = {{ parameter = \"p\", size_parameter = \"n\", size = 2 }}\nsecret_file = {secret:?}"
    );
    let mut source = office.source(&more);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(office.refusal(&mut source).await.contains("chmod 600"));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();

    let mut source = office.source(&more);
    office.script.json(r#"{"data":{"rows":[{"id":1},{"id":"二"}]}}"#);
    office.script.json(r#"{"data":{"rows":[{"id":3.50}]}}"#);
    assert_eq!(office.pulled(&mut source).await.unwrap(), ["1", "二", "3.50"]);
    let asked = office.script.asked();
    assert_eq!(asked, ["/records?p=1&n=2 Bearer s3cret-token", "/records?p=2&n=2 Bearer s3cret-token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_pages_is_found_out() {
    let office = Office::open().await;
    let mut source = office.source("page = { parameter = \"p\" }");
    office.script.json(r#"[{"id":1}]"#);
    office.script.json(r#"[{"id":1}]"#);
    assert!(office.refusal(&mut source).await.contains("the page before it"));
    let mut source = office.source("records = \"rows\"\ncursor = { parameter = \"c\", next = \"next\" }");
    for _ in 0..3 {
        office.script.json(r#"{"rows":[{"id":1}],"next":"same"}"#);
    }
    assert!(office.refusal(&mut source).await.contains("the same page again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_leads_to_the_end_and_since_asks_with_overlap() {
    let office = Office::open().await;
    let more = "records = \"rows\"\ncursor = { parameter = \"c\", next = \"next\" }\n\
                since = { parameter = \"from\", column = \"at\", overlap = 60, first = \"2026-01-01 00:00:00\" }";
    let mut source = office.source(more);
    office.script.json(r#"{"rows":[{"id":1,"at":"2026-03-01 10:00:00"}],"next":"x&y"}"#);
    office.script.json(r#"{"rows":[{"id":2,"at":"2026-02-01 10:00:00"}],"next":null}"#);
    assert_eq!(office.pulled(&mut source).await.unwrap(), ["1", "2"]);
    drop(source);
    let mut source = office.source(more);
    office.script.json(r#"{"rows":[{"id":1,"at":"2026-03-01 10:00:00"}]}"#);
    assert_eq!(office.pulled(&mut source).await.unwrap(), ["1"]);
    office.script.json(r#"{"rows":[{"id":1,"at":"2026-03-01 10:00:00"}]}"#);
    assert_eq!(office.pulled(&mut source).await, None, "the same again is nothing new");
    let asked = office.script.asked();
    assert_eq!(asked[0], "/records?from=2026-01-01+00%3A00%3A00 ");
    assert_eq!(asked[1], "/records?from=2026-01-01+00%3A00%3A00&c=x%26y ");
    assert_eq!(asked[2], "/records?from=2026-03-01+09%3A59%3A00 ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_was_not_worked_off_waits_and_asks_nothing_again() {
    let office = Office::open().await;
    let mut source = office.source("since = { parameter = \"from\", column = \"id\", kind = \"number\", overlap = 0 }");
    office.script.json(r#"[{"id":7}]"#);
    let Next::Unit(first) = source.next().await.unwrap() else { panic!("a unit waits") };
    drop(source);
    let mut source = office.source("since = { parameter = \"from\", column = \"id\", kind = \"number\", overlap = 0 }");
    let Next::Unit(again) = source.next().await.unwrap() else { panic!("it still waits") };
    assert_eq!(first, again);
    assert_eq!(office.script.asked(), ["/records "]);
    source.finish(&again, Ending::Done { report: String::new() }).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), Next::Nothing));
    assert_eq!(office.script.asked()[1], "/records?from=7 ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_set_back_asks_as_at_the_beginning() {
    let office = Office::open().await;
    let mut source = office.source("since = { parameter = \"from\", column = \"id\", kind = \"number\", overlap = 0 }");
    for _ in 0..2 {
        office.script.json(r#"[{"id":7}]"#);
        assert_eq!(office.pulled(&mut source).await.unwrap(), ["7"]);
        assert!(source.rewind(0).await.unwrap());
    }
    assert_eq!(office.script.asked(), ["/records ", "/records "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_whole_also_when_it_is_empty() {
    let office = Office::open().await;
    let mut source = office.source("snapshot = true");
    office.script.json(r#"[{"id":7}]"#);
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("a unit waits") };
    assert!(unit.whole);
    source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("everything has gone") };
    assert!(unit.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_55_what_leads_elsewhere_or_never_ends_is_refused() {
    let office = Office::open().await;
    let other = Script::default();
    let elsewhere = other.serve().await;
    let bounds = "timeout_ms = 2_000\nmax_answer_bytes = 1_000_000\n";
    for (answer, told) in [
        (Answered::Redirect(format!("http://{elsewhere}/latest/meta-data")), "redirects are not followed"),
        (Answered::Redirect("file:///etc/passwd".into()), "redirects are not followed"),
        (Answered::Html, "text/html in place of JSON"),
        (Answered::Endless, "longer than 1000000 bytes"),
        (Answered::Silence, "did not answer in time"),
        (Answered::Json("{\"rows\":".into()), "not JSON"),
        (Answered::Json("{}".into()), "is not an array"),
    ] {
        office.script.say(answer);
        let said = office.refusal(&mut office.source(bounds)).await;
        assert!(said.contains(told), "{said}");
    }
    assert!(other.asked().is_empty(), "nobody went there");
    office.script.json(format!("[{}]", vec!["{\"id\":1}"; 20_000].join(",")));
    let said = office.refusal(&mut office.source("max_pull_bytes = 10_000")).await;
    assert!(said.contains("longer than 10000 bytes"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_named_and_the_next_is_taken() {
    let office = Office::open().await;
    let mut source = office.source("");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    office.script.json(format!(r#"[{{"id":{deep}}},{{"id":{{"a":1}}}},{{"id":1,"id":2}},{{"id":3}}]"#));
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("a unit waits") };
    let mut rows = source.rows(&unit, &["id".to_owned()]).await.unwrap();
    let mut told = Vec::new();
    while let Some(item) = rows.next().await.unwrap() {
        told.push(match item {
            Item::Row(row) => format!("{}: {}", row.line, row.cells[0]),
            Item::Bad(problem) | Item::Note(problem) => format!("{}: {}", problem.line, problem.reason),
        });
    }
    assert_eq!(told, ["1: json_unreadable", "2: value_not_plain", "3: json_unreadable", "4: 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_55_addresses_outside_the_list_are_never_asked() {
    let office = Office::open().await;
    let port = office.base.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    // The name resolves to the loopback address, which is not on the list: as a rebound name would.
    let text = format!("url = \"http://localhost:{port}/\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]");
    let mut source = RestSource::new("records", config(&text), keeping(office.folder.path()));
    assert!(office.refusal(&mut source).await.contains("outside rest.allow"));
    assert!(office.script.asked().is_empty());
    for (text, key) in [
        ("url = \"http://169.254.169.254/latest\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"http://[::ffff:127.0.0.1]/\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"http://2130706433/\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"file:///etc/passwd\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"gopher://10.0.0.1/\"\nplain_http = true\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"http://10.0.0.1/\"\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"https://user:word@10.0.0.1/\"\nallow = [\"10.0.0.0/8\"]", "rest.url"),
        ("url = \"https://10.0.0.1/\"\nallow = [\"10.0.0.0/8\"]", "rest.ca_file"),
        ("url = \"https://10.0.0.1/\"\nallow = []\nca_file = \"ca.pem\"", "rest.allow"),
    ] {
        assert_eq!(config(text).verify().unwrap_err().0, key, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_55_a_busy_server_is_left_alone() {
    let office = Office::open().await;
    let mut source = office.source("");
    office.script.say(Answered::Busy(120));
    assert!(office.refusal(&mut source).await.contains("asks to wait"));
    for _ in 0..5 {
        assert!(office.refusal(&mut source).await.contains("asks to wait"));
    }
    assert_eq!(office.script.asked().len(), 1, "asked once");
    let (until, _) = source.resting.clone().unwrap();
    assert!(until.duration_since(Instant::now()) > Duration::from_secs(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_55_a_server_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (server, another) = (made().unwrap(), made().unwrap());
    let key = rustls_pki_types::PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![server.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A handshake that the client breaks off is what one of the two cases is about.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut seen = [0; 4_096];
            let _ = stream.read(&mut seen).await;
            let body = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\nconnection: close\r\n\r\n[{\"id\":1}]";
            let _ = stream.write_all(body.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let with = |name: &str, certificate: &str| {
        let file = folder.path().join(format!("{name}.pem"));
        std::fs::write(&file, certificate).unwrap();
        let text = format!("url = \"https://localhost:{port}/\"\nallow = [\"127.0.0.1\", \"::1\"]\nca_file = {file:?}");
        RestSource::new(name, config(&text), keeping(folder.path()))
    };
    let said = with("another", &another.cert.pem()).next().await.unwrap_err().cause.to_string();
    assert!(said.contains("certificate"), "{said}");
    assert!(matches!(with("right", &server.cert.pem()).next().await.unwrap(), Next::Unit(_)));
}
