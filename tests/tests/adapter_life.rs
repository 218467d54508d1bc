//! An adapter lives beside a real hub: it is seen, asked, compared, backed up, and its sealing key is followed by the next.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Config,
    ask::{Asked, ask},
    backup,
    clock::{SystemChance, SystemClock},
    problem::Reason,
    spool::{OrderKind, Told},
    status::{Status, status},
};
use weft_proto::v1::{self, AdapterState, CommandKind, KeyState};
use weft_tests::{
    department::{set_key, synthetic_uscc},
    eventually,
    folder::scratch,
    hub::OPERATOR_NAMES,
    office::{OFFICE, OFFICE_TYPE},
    place::{Place, copy_stores},
    skipped_by_quick,
};

const PATIENCE: Duration = Duration::from_secs(90);

fn quick(config: &mut Config) {
    config.limits.heartbeat_ms = 200;
}

async fn start() -> Place {
    Place::start(Arc::new(SystemClock), quick).await
}

/// The adapter as the operator sees it, when it is so.
async fn seen(place: &Place, wanted: impl Fn(&v1::FleetEntry) -> bool) -> v1::FleetEntry {
    eventually(PATIENCE, || async {
        let request = v1::ListFleetRequest { department: OFFICE.into() };
        let entries =
            place.hub.operator(OPERATOR_NAMES[0]).await.list_fleet(request).await.unwrap().into_inner().entries;
        let entry = entries.into_iter().next().unwrap();
        if wanted(&entry) { Ok(entry) } else { Err(format!("{entry:?}")) }
    })
    .await
}

async fn told(place: &Place, wanted: impl Fn(&Status) -> bool) -> Status {
    eventually(PATIENCE, || async {
        let status = status(&place.config(), &place.surroundings()).await.unwrap();
        if wanted(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await
}

async fn asked(place: &Place, kind: OrderKind, repair: bool) -> Told {
    let asked = Asked { kind, source: String::new(), since_ms: None, repair };
    let asking = ask(place.config(), asked, place.surroundings(), CancellationToken::new());
    tokio::time::timeout(PATIENCE, asking).await.expect("it is carried out").unwrap()
}

async fn command(place: &Place, kind: CommandKind) -> String {
    let request = v1::CommandAdapterRequest {
        department: OFFICE.into(),
        adapter: "counter".into(),
        command: Some(v1::Command { kind: kind.into(), ..Default::default() }),
    };
    place.hub.operator(OPERATOR_NAMES[0]).await.command_adapter(request).await.unwrap().into_inner().command_id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_it_and_what_is_asked_of_it_outlives_a_restart() {
    let mut place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    let entry = seen(&place, |entry| {
        let beat = entry.heartbeat.clone().unwrap_or_default();
        beat.sources.iter().any(|source| source.rows_sent == 20) && beat.ledger_position == 0
    })
    .await;
    let (hello, beat) = (entry.hello.clone().unwrap(), entry.heartbeat.clone().unwrap());
    assert_eq!((entry.state(), entry.needs_person), (AdapterState::Healthy, false), "{entry:?}");
    assert_eq!((beat.sources[0].rows_read, beat.sources[0].rows_refused, beat.open_problems), (20, 0, 0));
    assert_eq!((hello.sources[0].kind.as_str(), hello.sources[0].record_type.as_str()), ("file", OFFICE_TYPE));
    assert_eq!(hello.config_digest, place.config().digest());
    assert!(beat.free_disk_bytes > 0 && beat.certificate_expires.is_some());
    assert!(beat.clock_offset_ms.is_some_and(|off| off.abs() < 60_000), "{:?}", beat.clock_offset_ms);
    let status = told(&place, |status| status.snapshot.link.connected).await;
    assert_eq!((status.state, status.running, status.needs_person), ("healthy", true, false), "{status:?}");

    let id = command(&place, CommandKind::Pause).await;
    let entry = seen(&place, |entry| entry.state() == AdapterState::Paused && entry.pending.is_empty()).await;
    assert!(entry.heartbeat.unwrap().commands.iter().any(|done| done.id == id && done.done));
    place.stop_adapter().await;
    assert_eq!(told(&place, |_| true).await.state, "not-running");
    place.office.drop_file(1);
    place.start_adapter();
    seen(&place, |entry| entry.state() == AdapterState::Paused).await;
    told(&place, |status| status.state == "paused").await;
    assert!(place.office.dropped().join("00001.csv").exists(), "what is paused is not read");
    command(&place, CommandKind::Resume).await;
    place.assert_indexed(2).await;
    seen(&place, |entry| entry.state() == AdapterState::Healthy).await;

    // The same by the commands of its own machine, whether it runs or not.
    assert!(asked(&place, OrderKind::Pause, false).await.done);
    assert!(told(&place, |status| status.state == "paused").await.needs_person);
    place.stop_adapter().await;
    assert!(asked(&place, OrderKind::Resume, false).await.done);
    place.start_adapter();
    place.office.drop_file(2);
    place.assert_indexed(3).await;
    let before = place.office.state().client_pem().unwrap();
    assert!(asked(&place, OrderKind::Renew, false).await.done);
    assert_ne!(*place.office.state().client_pem().unwrap(), *before);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_home_with_its_row_and_closes_itself_when_the_row_is_right() {
    let mut place = start().await;
    place.stop_adapter().await;
    place.office.drop_file(0);
    let file = place.office.dropped().join("00000.csv");
    let (right, wrong) = (fs::read_to_string(&file).unwrap(), wrong_uscc(3));
    fs::write(&file, right.replace(&synthetic_uscc(3), &wrong)).unwrap();
    place.start_adapter();
    place.assert_versions(BTreeMap::from([(1, 19)])).await;
    let open = || async {
        let request = v1::ListQuarantineRequest { department: OFFICE.into(), ..Default::default() };
        let listed = place.hub.operator(OPERATOR_NAMES[0]).await.list_quarantine(request).await.unwrap();
        listed.into_inner().entries.into_iter().filter(|entry| !entry.closed).count()
    };
    let problems = || async {
        let problems = weft_adapter::problems(&place.office.state(), Arc::new(SystemChance)).await.unwrap();
        problems.into_iter().filter(|row| row.problem.reason == Reason::Rejected).collect::<Vec<_>>()
    };
    let home = eventually(PATIENCE, || async {
        let (home, open) = (problems().await, open().await);
        if home.len() == 1 && open == 1 { Ok(home) } else { Err(format!("{open} at the hub, {home:?}")) }
    })
    .await;
    assert_eq!((home[0].problem.file.as_str(), home[0].problem.line), ("00000.csv", 5), "the row it came from");
    assert!(home[0].problem.en.contains("identifier_wrong"), "{:?}", home[0]);
    assert!(!format!("{home:?}").contains(&wrong), "and nothing of what it says");
    let beat = seen(&place, |entry| entry.heartbeat.as_ref().is_some_and(|beat| beat.open_problems == 1)).await;
    assert_eq!(beat.heartbeat.unwrap().last_problems[0].line, 5);

    fs::write(place.office.dropped().join("mended.csv"), right).unwrap();
    place.assert_versions(BTreeMap::from([(1, 20)])).await;
    eventually(PATIENCE, || async {
        let (home, open) = (problems().await.len(), open().await);
        if home + open == 0 { Ok(()) } else { Err(format!("{open} at the hub, {home} here")) }
    })
    .await;
    place.end().await;
}

/// The code of a synthetic body with a wrong check character.
fn wrong_uscc(number: u32) -> String {
    let right = synthetic_uscc(number);
    let last = if right.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &right[..17])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_which_the_hub_refuses_almost_everything_stops_until_it_is_resumed() {
    fn strict(config: &mut Config) {
        quick(config);
        config.limits.stop_after = 10;
        // The adapter's own look at the unit would keep it from being sent at all.
        config.sources[0].max_failed_percent = 100;
    }
    let mut place = Place::start(Arc::new(SystemClock), strict).await;
    place.stop_adapter().await;
    place.office.drop_file(0);
    let file = place.office.dropped().join("00000.csv");
    let right = fs::read_to_string(&file).unwrap();
    let wrong = (0..20).fold(right.clone(), |text, number| text.replace(&synthetic_uscc(number), &wrong_uscc(number)));
    fs::write(&file, wrong).unwrap();
    place.start_adapter();
    let status = told(&place, |status| status.en.contains("the hub refused")).await;
    assert!(status.needs_person && status.state == "failing", "{status:?}");
    let entry = seen(&place, |entry| entry.state() == AdapterState::Failing).await;
    assert!(entry.en.contains("has stopped") && entry.todo_en.contains("resume"), "{entry:?}");

    fs::write(place.office.dropped().join("mended.csv"), right).unwrap();
    assert!(asked(&place, OrderKind::Resume, false).await.done);
    place.assert_versions(BTreeMap::from([(1, 20)])).await;
    seen(&place, |entry| entry.state() == AdapterState::Healthy).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_lost_is_found_by_comparing_and_sent_again() {
    let place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    let same = asked(&place, OrderKind::Reconcile, false).await;
    assert!(same.done && same.en.contains("20 records here, 20 at the hub; 0 missing"), "{}", same.en);
    let backup = scratch("backup");
    let place = place.restart_hub(|data_dir| copy_stores(data_dir, backup.path())).await;
    place.office.drop_file(1);
    place.assert_indexed(2).await;
    let place = place.restart_hub(|data_dir| copy_stores(backup.path(), data_dir)).await;
    place.assert_indexed(1).await;

    let found = eventually(PATIENCE, || async {
        let found = asked(&place, OrderKind::Reconcile, false).await;
        if found.done { Ok(found) } else { Err(found.en) }
    })
    .await;
    assert!(
        found.en.contains("30 records here, 20 at the hub; 20 missing, 0 extra, 0 different, 0 repaired"),
        "{}",
        found.en
    );
    let entry = seen(&place, |entry| entry.state() == AdapterState::Failing).await;
    assert!(entry.todo_en.contains("--repair"), "{}", entry.todo_en);
    let named = told(&place, |status| status.snapshot.reconciled.is_some()).await.snapshot.reconciled.unwrap().named;
    assert_eq!((named.len(), named.iter().filter(|one| one.hub == 0).count()), (20, 10), "each by its name");

    let repaired = asked(&place, OrderKind::Reconcile, true).await;
    assert!(repaired.en.contains("20 repaired"), "{}", repaired.en);
    place.assert_indexed(2).await;
    eventually(PATIENCE, || async {
        let found = asked(&place, OrderKind::Reconcile, false).await;
        if found.en.contains("30 records here, 30 at the hub; 0 missing, 0 extra") { Ok(()) } else { Err(found.en) }
    })
    .await;
    place.office.drop_file(2);
    place.assert_indexed(3).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_the_adapter_back_with_the_same_records() {
    let mut place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    let folder = scratch("backup");
    let file = folder.path().join("adapter.backup");
    let (config, surroundings) = (place.config(), place.surroundings());
    let passphrase = "an easy passphrase";
    assert!(matches!(backup::backup(&config, &file, "short", &surroundings).await, Err(backup::Error::Passphrase)));
    // While it works.
    let made = backup::backup(&config, &file, passphrase, &surroundings).await.unwrap();
    assert_eq!(made.identity.department, OFFICE);
    let again = backup::backup(&config, &file, passphrase, &surroundings).await;
    assert!(matches!(again, Err(backup::Error::There(_))), "a backup is never overwritten");

    // More is published, then the folder is lost.
    place.office.drop_file(1);
    place.assert_indexed(2).await;
    let there = backup::restore(&config, &file, passphrase, &surroundings).await;
    assert!(matches!(there, Err(backup::Error::There(_))), "nor is an adapter");
    place.stop_adapter().await;
    fs::remove_dir_all(place.office.state().path()).unwrap();
    let other = backup::restore(&config, &file, "another passphrase", &surroundings).await;
    assert!(matches!(other, Err(backup::Error::Closed)), "{other:?}");
    let mut cut = fs::read(&file).unwrap();
    cut.truncate(cut.len() - 100);
    let damaged = folder.path().join("cut");
    fs::write(&damaged, cut).unwrap();
    let cut = backup::restore(&config, &damaged, passphrase, &surroundings).await;
    assert!(matches!(cut, Err(backup::Error::Closed)), "{cut:?}");
    assert!(!place.office.state().path().exists(), "nothing was written of either");
    backup::restore(&config, &file, passphrase, &surroundings).await.unwrap();

    // What is exported again is known, what is new follows with the next numbers.
    place.start_adapter();
    place.office.drop_file(1);
    place.office.drop_file(2);
    place.assert_indexed(3).await;
    assert!(place.hub.alarms().await.iter().all(|one| one.alarm != "conflict"), "no number has two contents");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_sealing_key_seals_anew_what_was_not_sent() {
    let mut place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    // The adapter knows it too: else some of the first file would count as unsent.
    told(&place, |status| status.snapshot.backlog.is_empty()).await;
    // The hub is away, and what is taken in waits in the spool.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = place.api.send_replace(nobody);
    place.stop_adapter().await;
    place.start_adapter();
    place.office.drop_file(1);
    let status = told(&place, |status| status.snapshot.backlog.iter().any(|one| one.unsent == 20)).await;
    assert_eq!(status.snapshot.backlog[0].record_type, OFFICE_TYPE);
    place.stop_adapter().await;
    place.api.send_replace(hub);

    let before = keys(&place).await;
    let told = asked(&place, OrderKind::RotateKey, false).await;
    assert!(told.done && told.en.contains("20 records that were not sent were sealed anew"), "{}", told.en);
    let after = keys(&place).await;
    assert_eq!((before.len(), after.len()), (1, 2), "both are accepted while they overlap");
    assert!(after.iter().all(|(_, state)| *state == KeyState::Active));
    set_key(&place.hub, OPERATOR_NAMES[0], OFFICE, &before[0].0, KeyState::Compromised).await.unwrap();
    place.start_adapter();
    place.assert_indexed(2).await;
    place.end().await;
}

async fn keys(place: &Place) -> Vec<(String, KeyState)> {
    let request = v1::ListSealingKeysRequest { department: OFFICE.into() };
    let listed = place.hub.operator(OPERATOR_NAMES[0]).await.list_sealing_keys(request).await.unwrap().into_inner();
    listed.keys.into_iter().map(|key| (key.kid.clone(), key.state())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_says_nothing_new() {
    let place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    place.office.drop_file(1);
    place.assert_indexed(2).await;
    let asked = Asked { kind: OrderKind::Resync, source: String::new(), since_ms: Some(0), repair: false };
    let told = ask(place.config(), asked, place.surroundings(), CancellationToken::new()).await.unwrap();
    assert!(told.done);
    // Both files come back from `done`, are read, and are put away again.
    let entry = seen(&place, |entry| {
        entry.heartbeat.as_ref().is_some_and(|beat| beat.sources[0].rows_read == 80 && beat.backlog.is_empty())
    })
    .await;
    assert_eq!(entry.heartbeat.unwrap().sources[0].rows_sent, 40);
    let waiting = fs::read_dir(place.office.dropped()).unwrap().filter_map(Result::ok);
    let waiting = waiting.filter(|entry| entry.path().extension().is_some_and(|end| end == "csv")).count();
    assert_eq!(waiting, 0);
    place.assert_indexed(2).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_ends_the_adapter_and_nothing_is_lost() {
    if skipped_by_quick("strace") {
        return;
    }
    let mut place = start().await;
    place.office.drop_file(0);
    place.assert_indexed(1).await;
    place.stop_adapter().await;
    place.office.drop_file(1);
    let program = Path::new(env!("CARGO_BIN_EXE_weft-test-adapter"));
    for nth in [1, 2, 4, 7] {
        let process = place.office.start_with_failing_syncs(program, place.relay.address(), nth);
        let ended = process.wait(PATIENCE).await;
        assert!(!ended.success(), "it ends with a code that says so: {}", process.last_words());
        let status = status(&place.config(), &place.surroundings()).await.unwrap();
        assert!(!status.running && status.needs_person && status.state == "not-running", "{status:?}");
        assert!(process.stderr().contains("the spool's database failed"), "{}", process.last_words());
    }
    place.start_adapter();
    place.assert_indexed(2).await;
    place.end().await;
}
