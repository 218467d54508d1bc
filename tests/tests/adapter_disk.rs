//! An adapter whose disk is full. What it has accepted is kept, reading stops and says so, what is posted is refused with 507, and
//! it goes on by itself when there is room again. The state directory lies on a disk of some MiB, in a mount namespace of the test's
//! own: the test starts itself anew in there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "adapter_kinds/desk.rs"]
#[allow(dead_code, reason = "each test file uses its own part of it")]
mod desk;
#[path = "adapter_kinds/kinds.rs"]
#[allow(dead_code, reason = "each test file uses its own part of it")]
mod kinds;

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use weft_adapter::status::Status;
use weft_tests::{
    eventually,
    folder::scratch,
    process::{Launch, Process},
    skipped_by_quick,
};

use desk::{Desk, PATIENCE};
use kinds::{Kind as _, Push};

/// Set where the disk may be mounted.
const INSIDE: &str = "WEFT_TEST_INSIDE";
/// The whole of the disk.
const MIB: u64 = 6;

/// Runs a test of this file again in a mount namespace of its own; whether this is that run.
async fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if skipped_by_quick("a mount namespace") {
        return false;
    }
    let folder = scratch("disk");
    let own: &[&str] =
        if rustix::process::getuid().is_root() { &["--mount"] } else { &["--mount", "--user", "--map-root-user"] };
    let again = Launch::new("inside", folder.path(), "unshare").args(own).args(["--propagation", "private", "--"]);
    let again = again.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let again = again.start();
    let ended = again.wait(4 * PATIENCE).await;
    let said = again.stdout() + &again.stderr();
    assert!(ended.success() && said.contains("1 passed"), "{said}");
    false
}

/// A small disk at a folder, as long as the namespace is there.
async fn mount(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let size = format!("size={MIB}m,mode=0700");
    let mount = Launch::new("mount", folder.parent().unwrap(), "mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
    let mount = mount.arg(folder).start();
    assert!(mount.wait(PATIENCE).await.success(), "{}", mount.last_words());
}

/// Something else that takes all the room there is.
struct Ballast(PathBuf);

impl Ballast {
    fn new(folder: &Path) -> Self {
        Self(folder.join("ballast"))
    }

    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(&self.0).unwrap();
        loop {
            match file.write_all(&[7; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

async fn posted(push: &Push, licence: u32) -> (u16, String) {
    eventually(PATIENCE, || async { push.post(&[licence], 0).await }).await
}

async fn start() -> (Desk, Push, Ballast) {
    let push = Push::default();
    let desk = Desk::start_at(&push, mount, &[("min_free_mib", 0)]).await;
    let ballast = Ballast::new(desk.office.state().path());
    (desk, push, ballast)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_it_until_there_is_room() {
    if !inside("a_full_disk_stops_it_until_there_is_room").await {
        return;
    }
    let (mut desk, push, ballast) = start().await;
    let mut adapter = desk.adapter();
    push.say(0..200, 0).await;
    // With what was accepted on its way.
    let mut accepted = 200;
    assert_eq!(posted(&push, accepted).await.0, 202);
    accepted += 1;
    ballast.fill();
    let mut refused = String::new();
    // Until nothing goes in any more: what the last pages of the disk still take is accepted, and counts.
    for _ in 0..100 {
        ballast.fill();
        let (code, said) = posted(&push, accepted).await;
        match code {
            202 => accepted += 1,
            507 => refused = said,
            code => panic!("{code}: {said}"),
        }
        if !refused.is_empty() {
            break;
        }
    }
    assert!(refused.contains("\"title\":\"disk_full\"") && refused.contains("make room and post again"), "{refused}");
    let full = |status: &Status| status.running && status.en.contains("the disk of the state directory is full");
    let status = desk.told(full).await;
    assert!(status.needs_person && status.state == "failing" && status.zh.contains("磁盘已满"), "{status:?}");
    assert!(adapter.status().is_none(), "it waits for room");

    // Killed with a full disk, it starts with a full disk or ends with a code that says so; either way nothing is lost.
    desk.kill(&adapter).await;
    adapter = desk.adapter();
    if let Some(ended) = ended_soon(&adapter).await {
        assert!(!ended.success(), "{}", adapter.last_words());
        assert!(adapter.last_words().contains("disk"), "{}", adapter.last_words());
        ballast.remove();
        adapter = desk.adapter();
    } else {
        desk.told(full).await;
        ballast.remove();
    }
    desk.assert_whole(&adapter, &(0..accepted).map(|licence| (licence, 1)).collect()).await;
    push.say(accepted..accepted + 1, 0).await;
    desk.assert_whole(&adapter, &(0..=accepted).map(|licence| (licence, 1)).collect()).await;
    desk.told(|status| status.state == "healthy").await;
    adapter.kill9();
    desk.hub.stop().await;
}

/// How a process ended, where it does within some seconds; it is not waited for longer.
async fn ended_soon(process: &Process) -> Option<std::process::ExitStatus> {
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    eventually(PATIENCE, || async {
        match process.status() {
            Some(status) => Ok(Some(status)),
            None if tokio::time::Instant::now() > end => Ok(None),
            None => Err("it runs"),
        }
    })
    .await
}
