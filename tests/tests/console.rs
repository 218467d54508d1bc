//! The console listener: health, metrics, keys and pages, over a plain socket.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_record::keys::KeySet;
use weft_tests::{eventually, hub::TestHub};

struct Page {
    status: u16,
    head: String,
    body: String,
}

async fn ask(hub: &TestHub, method: &str, path: &str) -> Page {
    let mut stream = TcpStream::connect(hub.console).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: console\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Page { status, head: head.to_lowercase(), body: body.to_owned() }
}

async fn get(hub: &TestHub, path: &str) -> Page {
    ask(hub, "GET", path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_the_hub_is_and_what_to_verify_with() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &["business-licence"]).await;
    assert_eq!(get(&hub, "/livez").await.status, 200);
    let ready: Value = eventually(Duration::from_secs(20), || async {
        let page = get(&hub, "/readyz").await;
        if page.status == 200 { Ok(serde_json::from_str(&page.body).unwrap()) } else { Err(page.body) }
    })
    .await;
    let checks: Vec<&str> =
        ready["checks"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert_eq!(checks, ["log", "ledger", "registry", "signing", "index", "index_lag", "certificate", "clock"]);

    let issuer = get(&hub, "/.well-known/jwt-vc-issuer/departments/market-regulation").await;
    let metadata: Value = serde_json::from_str(&issuer.body).unwrap();
    assert_eq!(metadata["issuer"], "https://hub.weft.test/departments/market-regulation");
    let keys = KeySet::parse(metadata["jwks"].to_string().as_bytes()).unwrap();
    assert!(keys.get(department.key.kid()).is_some());
    assert!(get(&hub, "/.well-known/jwks.json").await.body.contains(r#""kty":"OKP""#));
    let metadata: Value = serde_json::from_str(&get(&hub, "/types/business-licence/v1").await.body).unwrap();
    assert_eq!(metadata["vct"], "https://hub.weft.test/types/business-licence/v1");

    let page = get(&hub, "/errors/denied").await;
    assert!(page.body.contains("<h1>denied</h1>"));
    for header in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(page.head.contains(header), "{header} is not in\n{}", page.head);
    }
    let metrics = get(&hub, "/metrics").await;
    assert!(metrics.body.contains("weft_append_seconds_count{topic=\"registry\"}"), "{}", metrics.body);
    assert!(metrics.body.contains("weft_index_lag_entries{topic=\"weft.registry\",partition=\"0\"}"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_cleanly() {
    let mut hub = TestHub::start().await;
    for path in [
        "/nothing",
        "/errors/no-such-reason",
        "/errors/..%2f..%2fCargo",
        "/types/business-licence/v01",
        "/types/business-licence/v9",
        "/types/nothing/v1",
        "/.well-known/jwt-vc-issuer/departments/nobody",
    ] {
        assert_eq!(get(&hub, path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let page = ask(&hub, method, "/readyz").await;
        assert_eq!(page.status, 405, "{method}");
        assert!(page.head.contains("allow: get,head"));
    }
    hub.stop().await;
}

/// Waits until the hub is not ready, and says so of its clock.
async fn clock_is_told(hub: &TestHub, why: &str) {
    eventually(Duration::from_secs(60), || async {
        let page = get(hub, "/readyz").await;
        let readiness: Value = serde_json::from_str(&page.body).map_err(|error| error.to_string())?;
        let clock = readiness["checks"].as_array().into_iter().flatten().find(|one| one["check"] == "clock").cloned();
        match (page.status, clock) {
            (503, Some(clock))
                if clock["ok"] == false && clock["detail"].as_str().is_some_and(|it| it.contains(why)) =>
            {
                Ok(())
            }
            _ => Err(page.body),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_surely_wrong_makes_it_not_ready() {
    let mut hub = TestHub::start().await;
    hub.clock.shift_to(-3_600_000);
    clock_is_told(&hub, "before the key directory was made").await;

    // An event made ten minutes later than now: the clock was set back.
    hub.clock.shift_to(600_000);
    hub.register("civil-affairs", &["marriage-certificate"], true).await;
    hub.clock.shift_to(0);
    clock_is_told(&hub, "later than now").await;
    hub.stop().await;
}
