//! A real adapter beside a real hub: it renews its certificate by the clock, sends again what a restored hub asks for, and keeps
//! nothing readable.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use weft_adapter::clock::{Clock, SystemClock};
use weft_proto::v1;
use weft_tests::{
    eventually,
    folder::scratch,
    hub::OPERATOR_NAMES,
    office::{OFFICE, OFFICE_TYPE, said},
    place::{Place, copy_stores},
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

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_renews_itself_by_the_clock() {
    let clock = Arc::new(Ahead::default());
    let mut place = Place::start(clock.clone(), |_| {}).await;
    let before = place.office.state().client_pem().unwrap();
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    assert_eq!(*place.office.state().client_pem().unwrap(), *before, "its time has not come");

    // Day 61 of 90; the hub's own clock is its own business.
    clock.0.store(61 * DAY_MS, Ordering::SeqCst);
    place.stop_adapter().await;
    place.start_adapter();
    let state = place.office.state();
    let renewed = eventually(PATIENCE, || async {
        let now = state.client_pem().unwrap();
        if *now == *before { Err("it is still the first one") } else { Ok(now) }
    })
    .await;

    // The running adapter connects with the new one and publishes on.
    clock.0.store(0, Ordering::SeqCst);
    let place = place.restart_hub(|_| {}).await;
    place.office.drop_file(1);
    place.assert_indexed(2).await;
    assert_eq!(*state.client_pem().unwrap(), *renewed, "once");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_hub_lost_is_sent_again() {
    let place = Place::start(Arc::new(SystemClock), |_| {}).await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    let backup = scratch("backup");
    let place = place.restart_hub(|data_dir| copy_stores(data_dir, backup.path())).await;
    place.office.drop_file(1);
    place.office.drop_file(2);
    place.assert_indexed(3).await;

    // The hub is as it was before the last two files, which the adapter has released.
    let place = place.restart_hub(|data_dir| copy_stores(backup.path(), data_dir)).await;
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
    let place = Place::start(Arc::new(SystemClock), |_| {}).await;
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
