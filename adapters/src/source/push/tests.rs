use std::{os::unix::fs::PermissionsExt as _, path::Path};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Surroundings,
    source::{
        Item,
        contract::{self, Fixture},
    },
};

const TOKEN: &str = "0123456789abcdef";

struct Desk {
    folder: TempDir,
    more: &'static str,
}

fn client() -> Client {
    // The same provider may be there already, from another test.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

impl Desk {
    fn new(more: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("token", TOKEN.to_owned()), ("spool.key", hex::encode([3; 32]))] {
            let file = folder.path().join(file);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { folder, more }
    }

    fn keeping(folder: &Path) -> Keeping {
        Keeping::new(folder, &Surroundings::system()).unwrap()
    }

    fn source(&self) -> PushSource {
        let token = self.folder.path().join("token");
        let config = format!("listen = \"127.0.0.1:0\"\ntoken_file = {token:?}\n{}", self.more);
        let config: PushConfig = toml::from_str(&config).unwrap();
        config.verify().unwrap();
        PushSource::new("desk", config, Self::keeping(self.folder.path()))
    }

    async fn listening(&self) -> (PushSource, String) {
        let mut source = self.source();
        assert!(matches!(source.next().await.unwrap(), Next::Nothing));
        let file = Self::keeping(self.folder.path()).folder("desk").with_extension("address");
        (source, format!("http://{}/v1/records", std::fs::read_to_string(file).unwrap()))
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.bearer_auth(TOKEN).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_on_disk_and_is_worked_off() {
    let desk = Desk::new("");
    let (source, url) = desk.listening().await;
    let (status, told) = answer(client().post(&url).json(&json!([{"id": 1.5}, {"id": "张示例"}]))).await;
    assert_eq!((status, &told["records"]), (StatusCode::ACCEPTED, &json!(2)));
    let id = told["id"].as_str().unwrap().to_owned();
    let (status, told) = answer(client().get(format!("{url}/{id}"))).await;
    assert_eq!((status, &told["state"]), (StatusCode::OK, &json!("waiting")));
    // As after a crash: a new source has it.
    drop(source);
    let mut source = desk.source();
    let Next::Unit(unit) = source.next().await.unwrap() else { panic!("it waits") };
    assert_eq!(unit.name, id);
    let mut rows = source.rows(&unit, &["id".to_owned()]).await.unwrap();
    let mut cells = Vec::new();
    while let Some(Item::Row(row)) = rows.next().await.unwrap() {
        cells.extend(row.cells);
    }
    assert_eq!(cells, ["1.5", "张示例"]);
    source.finish(&unit, Ending::Done { report: String::new() }).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), Next::Nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_or_too_much_is_refused_with_what_to_do() {
    let desk = Desk::new("max_body_bytes = 1_000\nmax_waiting_bytes = 2_000");
    let (_source, url) = desk.listening().await;
    for (body, status, reason) in [
        ("", StatusCode::BAD_REQUEST, "not_records"),
        ("{\"id\":", StatusCode::BAD_REQUEST, "not_records"),
        ("[]", StatusCode::BAD_REQUEST, "not_records"),
        ("[{\"id\":1}, 2]", StatusCode::BAD_REQUEST, "not_records"),
        ("7", StatusCode::BAD_REQUEST, "not_records"),
    ] {
        let (got, told) = answer(client().post(&url).body(body)).await;
        assert_eq!((got, told["title"].as_str()), (status, Some(reason)), "{body}");
        assert!(!told["detail"].as_str().unwrap().is_empty() && !told["detail_zh"].as_str().unwrap().is_empty());
    }
    let (got, _) = answer(client().post(&url).body(format!("{{\"id\":\"{}\"}}", "x".repeat(1_000)))).await;
    assert_eq!(got, StatusCode::PAYLOAD_TOO_LARGE);
    let mut accepted = 0;
    let full = loop {
        let (status, told) = answer(client().post(&url).body(format!("{{\"id\":\"{}\"}}", "x".repeat(900)))).await;
        if status != StatusCode::ACCEPTED {
            break (status, told["title"].clone());
        }
        accepted += 1;
    };
    assert_eq!(full, (StatusCode::INSUFFICIENT_STORAGE, json!("inbox_full")));
    assert!((1..=2).contains(&accepted), "{accepted}");
    let (status, told) = answer(client().get(format!("{url}/nothing"))).await;
    assert_eq!((status, &told["title"]), (StatusCode::NOT_FOUND, &json!("id_unknown")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_taken_or_told() {
    let desk = Desk::new("");
    let (mut source, url) = desk.listening().await;
    for request in [
        client().post(&url).json(&json!({"id": 1})),
        client().post(&url).bearer_auth("0123456789abcdeF").json(&json!({"id": 1})),
        client().get(format!("{url}/x")).header("authorization", "Basic eA=="),
    ] {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert!(matches!(source.next().await.unwrap(), Next::Nothing));
}

#[test]
fn only_this_machine_may_post() {
    let config = |listen: &str| -> PushConfig {
        toml::from_str(&format!("listen = {listen:?}\ntoken_file = \"token\"")).unwrap()
    };
    assert!(config("127.0.0.1:7790").verify().is_ok() && config("[::1]:7790").verify().is_ok());
    assert_eq!(config("0.0.0.0:7790").verify().unwrap_err().0, "push.listen");
    assert_eq!(config("10.1.2.3:7790").verify().unwrap_err().0, "push.listen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_others_can_read_or_that_is_short_stops_the_source() {
    let desk = Desk::new("");
    let token = desk.folder.path().join("token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(desk.source().next().await.unwrap_err().cause.to_string().contains("chmod 600"));
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&token, "short").unwrap();
    assert!(desk.source().next().await.unwrap_err().cause.to_string().contains("16"));
}

struct Posts(Desk);

#[async_trait]
impl Fixture for Posts {
    type Source = PushSource;

    fn source(&self) -> PushSource {
        self.0.source()
    }

    fn add(&mut self, _: &str, rows: usize) {
        let keeping = Desk::keeping(self.0.folder.path());
        let inbox = keeping.inbox("desk").unwrap();
        let name = Inbox::fresh_name(keeping.clock.as_ref(), keeping.chance.as_ref()).unwrap();
        let mut writer = inbox.write(&format!("{:03}-{name}", inbox.waiting().unwrap().len())).unwrap();
        for n in 0..rows {
            writer.add(format!(r#"{{"key":"key-{n}","value":"value-{n}"}}"#).as_bytes()).unwrap();
        }
        writer.finish("").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_sources() {
    contract::all(|| Posts(Desk::new(""))).await;
}
