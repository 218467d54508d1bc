use std::os::unix::process::ExitStatusExt as _;

use rustix::process::test_kill_process;
use tempfile::TempDir;

use super::*;
use crate::folder::scratch;

const PATIENCE: Duration = Duration::from_secs(60);

fn shell(folder: &TempDir, script: &str) -> Process {
    Launch::new("shell", folder.path(), "sh").args(["-c", script]).start()
}

/// Waits until a process that is not our child has ended. An orphan stays as a zombie until it is reaped by whoever
/// inherits it.
async fn gone(id: Pid) {
    eventually(PATIENCE, || async {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_pid()));
        let lives = stat.is_ok_and(|stat| !stat.contains(") Z "));
        if lives { Err(format!("{} lives", id.as_raw_pid())) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn output_lines_and_exit_status_are_there() {
    let folder = scratch("process");
    let process = shell(&folder, "echo one; echo two >&2; exit 3");
    assert_eq!(process.wait_for_line("two", PATIENCE).await, "two");
    assert_eq!(process.wait(PATIENCE).await.code(), Some(3));
    assert_eq!((process.stdout(), process.stderr()), ("one\n".to_owned(), "two\n".to_owned()));
}

#[tokio::test]
#[should_panic(expected = "ended with exit status: 4")]
async fn waiting_for_a_line_ends_with_the_process() {
    let folder = scratch("process");
    shell(&folder, "exit 4").wait_for_line("never", PATIENCE).await;
}

#[tokio::test]
async fn a_kill_takes_the_whole_group() {
    let folder = scratch("process");
    let process = shell(&folder, "sleep 600 & echo child $!; wait");
    let line = process.wait_for_line("child", PATIENCE).await;
    let child = Pid::from_raw(line["child ".len()..].parse().unwrap()).unwrap();
    assert_eq!(process.kill9().signal(), Some(Signal::KILL.as_raw()));
    gone(child).await;
}

#[tokio::test]
async fn a_dropped_process_is_gone_even_if_it_stands_still() {
    let folder = scratch("process");
    let process = Launch::new("shell", folder.path(), "sleep").arg("600").farewell(Farewell::Quit).start();
    let id = Pid::from_child(&process.child());
    process.pause();
    drop(process);
    assert_eq!(test_kill_process(id), Err(rustix::io::Errno::SRCH));
}

#[tokio::test]
async fn readiness_is_asked_over_http() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        for answer in ["HTTP/1.0 503 no\r\n\r\nlog", "HTTP/1.0 200 OK\r\n\r\nready"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.0\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let folder = scratch("process");
    shell(&folder, "sleep 600").wait_until_ready(address, PATIENCE).await;
    server.await.unwrap();
}

#[test]
fn ports_are_given_once() {
    let ports: BTreeSet<_> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
}

/// Started a second time by itself, as another process, which is then killed.
#[tokio::test]
async fn children_die_with_a_killed_test_process() {
    let sleeper = |folder: &Path| Launch::new("sleeper", folder, "sleep").arg("600").start();
    if let Some(folder) = std::env::var_os("WEFT_TEST_HOLDS") {
        let process = sleeper(Path::new(&folder));
        println!("holds {}", process.id());
        process.wait(Duration::from_secs(600)).await;
        return;
    }
    let folder = scratch("process");
    let name = "process::tests::children_die_with_a_killed_test_process";
    let holder = Launch::new("holder", folder.path(), std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("WEFT_TEST_HOLDS", folder.path())
        .start();
    let line = holder.wait_for_line("holds ", PATIENCE).await;
    let (_, id) = line.split_once("holds ").unwrap();
    holder.kill9();
    gone(Pid::from_raw(id.parse().unwrap()).unwrap()).await;
}
