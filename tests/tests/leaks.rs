//! No more than the case needs, and no clear text at rest: searched in raw bytes and in every decoded segment, by a routine that first
//! proves itself by finding what must be there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::BTreeSet,
    io::Write,
    process::Command,
    sync::{Arc, Mutex, OnceLock},
};

use prost::Message;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use weft_hub::config::Storage;
use weft_proto::v1::OutcomeKind;
use weft_record::status::{Event, Status};
use weft_tests::{
    department::Example,
    hub::TestHub,
    kafka, postgres,
    process::http_get,
    scan::Scanner,
    skipped_by_quick,
    window::{ITEM, grant, look},
};

const TYPE: &str = "business-licence";
const TITLE: &str = "real-estate-title";

/// Everything that this process logs, down to debug.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Logged {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn logged() -> &'static Logged {
    static LOGGED: OnceLock<Logged> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let logged = Logged::default();
        let filter = tracing_subscriber::EnvFilter::new("weft_hub=trace,weft_record=trace,weft_proto=trace,debug");
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(logged.clone()).init();
        logged
    })
}

/// What a record says of its holder and itself: every text that could be told apart from chance, but for dates, which the index holds.
fn said(example: &Example) -> BTreeSet<String> {
    let is_date = |text: &str| text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    let mut values: BTreeSet<String> = example.holders.iter().map(|holder| holder.value.clone()).collect();
    values.extend(example.holders.iter().filter_map(|holder| holder.name.clone()));
    values.extend(example.fields.values().filter_map(Value::as_str).map(str::to_owned));
    values.into_iter().filter(|value| value.len() >= 8 && !is_date(value)).collect()
}

/// Publishes, looks, is refused and denied; checks the answer; returns what was said and what stands in the clear on purpose.
async fn story(hub: &TestHub) -> (BTreeSet<String>, String) {
    let market = hub.department("market-regulation", &[TYPE]).await;
    let land = hub.department("natural-resources", &[TITLE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, "market-regulation", &["name"])).await;
    let licence = Example::business_licence(300)
        .with("address", json!("山东省淄博市高青县示例路七六五四三号"))
        .with("scope", json!("只在这份证照里出现的经营范围文字"));
    let title = Example::of(TITLE, "valid-flat");
    let sealed = market.seal(&licence, 1, Event::Issue, Status::Valid);
    let deed = land.seal(&title, 1, Event::Issue, Status::Valid);
    assert_eq!(market.publish(std::slice::from_ref(&sealed)).await.outcome(&sealed), OutcomeKind::Indexed);
    assert_eq!(land.publish(std::slice::from_ref(&deed)).await.outcome(&deed), OutcomeKind::Indexed);
    let refused = Example::business_licence(301).with("established", json!("2019-02-29"));
    let wrong = market.seal(&refused, 1, Event::Issue, Status::Valid);
    assert!(market.publish(std::slice::from_ref(&wrong)).await.rejection(&wrong.id()).is_some());

    let holder = licence.holders[0].value.clone();
    let answer = window.get(&sealed.record_id, look(ITEM, Some(("uscc", &holder)))).await.unwrap();
    let granted = licence.fields["name"].as_str().unwrap().to_owned();
    let mut ungranted = said(&licence);
    // Asked about and granted: both belong in the answer.
    ungranted.retain(|value| *value != granted && *value != holder);
    Scanner::new(&ungranted, [&granted]).scan_bytes("answer", &answer.encode_to_vec()).assert_clean();
    window.get(&deed.record_id, look(ITEM, Some(("uscc", &holder)))).await.expect_err("no grant covers it");

    let mut all = said(&licence);
    all.extend(said(&title));
    all.extend(said(&refused));
    (all, sealed.record_id)
}

async fn metrics(hub: &TestHub) -> Vec<u8> {
    let (status, body) = http_get(hub.console, "/metrics").await.expect("the console answers");
    assert_eq!(status, 200);
    body.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_hub_keeps_and_tells_no_clear_text() {
    let logged = logged();
    let mut hub = TestHub::start().await;
    let (values, record_id) = story(&hub).await;
    let told = metrics(&hub).await;
    hub.stop().await;
    let scanner = Scanner::new(&values, [&record_id]);
    let found = scanner.scan_dir(&hub.data_dir()).unwrap();
    let log = logged.0.lock().unwrap().clone();
    found.and(scanner.scan_bytes("metrics", &told)).and(scanner.scan_bytes("log lines", &log)).assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_and_postgresql_keep_no_clear_text() {
    if skipped_by_quick("kafka, postgresql") {
        return;
    }
    let logged = logged();
    let (broker, server) = (kafka::shared().await, postgres::shared().await);
    let mut hub = TestHub::start_served("leaks", broker, server).await;
    let (values, record_id) = story(&hub).await;
    let told = metrics(&hub).await;
    hub.stop().await;
    let Storage::Served { postgres, .. } = &hub.config.storage else { panic!("a served hub") };
    let url = std::fs::read_to_string(&postgres.url_file).unwrap();
    let dump = Command::new(postgres::program("pg_dump")).arg(url.trim()).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let scanner = Scanner::new(&values, [&record_id]);
    let log = logged.0.lock().unwrap().clone();
    scanner
        .scan_dir(&broker.data_dir())
        .unwrap()
        .and(scanner.scan_bytes("dump", &dump.stdout))
        .and(scanner.scan_bytes("metrics", &told))
        .and(scanner.scan_bytes("log lines", &log))
        .assert_clean();
}
