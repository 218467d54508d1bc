use std::os::unix::process::ExitStatusExt as _;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(folder: &TempDir, script: &str) -> Process {
    Launch::new("shell", folder.path(), "sh").args(["-c", script]).start()
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
    eventually(PATIENCE, || async {
        // An orphan stays as a zombie until whoever inherits it reaps it.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_pid()));
        if stat.is_ok_and(|stat| !stat.contains(") Z ")) { Err("the child lives") } else { Ok(()) }
    })
    .await;
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

#[test]
fn folders_of_dead_processes_are_swept() {
    let root = scratch("process");
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let left = root.path().join(format!("kafka-{}-x", dead.id()));
    let used = root.path().join(format!("kafka-{}-x", std::process::id()));
    std::fs::create_dir(&left).unwrap();
    std::fs::create_dir(&used).unwrap();
    sweep(root.path());
    assert!(!left.exists() && used.exists());
}
