//! A real adapter beside a real hub: it renews its certificate by the clock, sends again what a restored hub asks for, and keeps
//! nothing readable.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Surroundings,
    clock::{Clock, SystemClock},
};
use weft_proto::v1;
use weft_tests::{
    eventually,
    folder::scratch,
    found::versions_per_record,
    hub::{OPERATOR_NAMES, TestHub, reopen},
    office::{OFFICE, OFFICE_TYPE, Office, exported, said},
    relay::Relay,
    scan::Scanner,
};

const PATIENCE: Duration = Duration::from_secs(90);
const DAY_MS: i64 = 86_400_000;

/// The machine's clock, put forward.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> jiff::Timestamp {
        let ahead = SystemClock.now().as_millisecond() + self.0.load(Ordering::SeqCst);
        jiff::Timestamp::from_millisecond(ahead).unwrap()
    }
}

/// A hub, and an adapter that reaches it over an address that stays.
struct Place {
    hub: TestHub,
    office: Office,
    clock: Arc<Ahead>,
    api: watch::Sender<SocketAddr>,
    relay: Relay,
    stop: CancellationToken,
    running: JoinHandle<Result<(), weft_adapter::runner::Error>>,
}

impl Place {
    async fn start() -> Self {
        let hub = TestHub::start().await;
        let folder = hub.folder.clone().unwrap();
        let office = Office::join(&hub, folder.path()).await;
        let (api, behind) = watch::channel(hub.api);
        let relay = Relay::start(behind).await;
        let (clock, stop) = (Arc::new(Ahead::default()), CancellationToken::new());
        let surroundings = Surroundings { clock: clock.clone(), ..Surroundings::system() };
        let running = office.run(relay.address(), surroundings, stop.clone());
        Self { hub, office, clock, api, relay, stop, running }
    }

    /// Stops the adapter and starts it again under the same clock.
    async fn restart_adapter(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap().unwrap();
        self.stop = CancellationToken::new();
        let surroundings = Surroundings { clock: self.clock.clone(), ..Surroundings::system() };
        self.running = self.office.run(self.relay.address(), surroundings, self.stop.clone());
    }

    /// Stops the hub and starts it again; `between` works on its files.
    async fn restart_hub(self, between: impl FnOnce(&Path)) -> Self {
        let Self { mut hub, office, clock, api, relay, stop, running } = self;
        hub.stop().await;
        let (config, folder, data_dir) = (hub.config.clone(), hub.folder.clone(), hub.data_dir());
        drop(hub);
        drop(reopen(&config).await);
        between(&data_dir);
        let hub = TestHub::run(config.clone(), reopen(&config).await, folder).await;
        api.send_replace(hub.api);
        Self { hub, office, clock, api, relay, stop, running }
    }

    /// What was exported stands in the index, each version once.
    async fn assert_indexed(&self, files: u32) {
        let wanted = exported(files);
        eventually(PATIENCE, || async {
            let found: BTreeMap<usize, usize> = versions_per_record(&self.hub.config, OFFICE).await;
            if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}")) }
        })
        .await;
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_renews_itself_by_the_clock() {
    let mut place = Place::start().await;
    let before = place.office.state().client_pem().unwrap();
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    assert_eq!(*place.office.state().client_pem().unwrap(), *before, "its time has not come");

    // Day 61 of 90; the hub's own clock is its own business.
    place.clock.0.store(61 * DAY_MS, Ordering::SeqCst);
    place.restart_adapter().await;
    let state = place.office.state();
    let renewed = eventually(PATIENCE, || async {
        let now = state.client_pem().unwrap();
        if *now == *before { Err("it is still the first one") } else { Ok(now) }
    })
    .await;

    // The running adapter connects with the new one and publishes on.
    place.clock.0.store(0, Ordering::SeqCst);
    let place = place.restart_hub(|_| {}).await;
    place.office.drop_file(1);
    place.assert_indexed(2).await;
    assert_eq!(*state.client_pem().unwrap(), *renewed, "once");
    place.end().await;
}

/// The files of the log and the index.
fn copy(from: &Path, to: &Path) {
    for name in ["log.db", "index.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let (from, to) = (from.join(format!("{name}{suffix}")), to.join(format!("{name}{suffix}")));
            // Which of them there are is the database's own business.
            let _ = std::fs::remove_file(&to);
            if from.exists() {
                std::fs::copy(from, to).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_hub_lost_is_sent_again() {
    let place = Place::start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    let backup = scratch("backup");
    let place = place.restart_hub(|data_dir| copy(data_dir, backup.path())).await;
    place.office.drop_file(1);
    place.office.drop_file(2);
    place.assert_indexed(3).await;

    // The hub is as it was before the last two files, which the adapter has released.
    let place = place.restart_hub(|data_dir| copy(backup.path(), data_dir)).await;
    place.assert_indexed(1).await;
    let since = (SystemClock.now().as_millisecond() - DAY_MS) / 1000;
    let request = v1::RequestResendRequest {
        department: OFFICE.into(),
        record_types: vec![OFFICE_TYPE.into()],
        since: Some(prost_types::Timestamp { seconds: since, nanos: 0 }),
    };
    place.hub.operator(OPERATOR_NAMES[0]).await.request_resend(request).await.expect("the adapters are asked");
    place.assert_indexed(3).await;

    // And what comes next finds its number.
    place.office.drop_file(3);
    place.assert_indexed(4).await;
    assert!(place.hub.alarms().await.iter().all(|one| one.alarm != "conflict"), "nothing has two contents");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapters_state_has_no_clear_text() {
    let place = Place::start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    // With the hub away what is taken in waits in the spool.
    let Place { mut hub, office, stop, running, .. } = place;
    hub.stop().await;
    office.drop_file(1);
    eventually(PATIENCE, || async {
        let done = office.dropped().join("done").join("00001.csv");
        if done.exists() { Ok(()) } else { Err("the second file is not taken in yet") }
    })
    .await;
    let values: Vec<String> = [said(0), said(1)].concat();
    let scanner = Scanner::new(&values, [OFFICE_TYPE]);
    let exported = scanner.scan_dir(&office.dropped()).unwrap();
    assert!(values.iter().all(|value| exported.hits.iter().any(|hit| hit.needle == *value)), "the search finds them");
    scanner.scan_dir(office.state().path()).unwrap().assert_clean();
    stop.cancel();
    running.await.unwrap().unwrap();
    scanner.scan_dir(office.state().path()).unwrap().assert_clean();
}
