//! Child processes with their output in files; signals; free ports.
//!
//! A child leads a process group of its own and dies with the test process, even if that is killed: it is started
//! from a thread that lives as long as the process and carries that thread's death as a signal (`setpriv
//! --pdeathsig`; a test's own thread would be too short-lived).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::eventually::{eventually, try_eventually};
use crate::folder::target_dir;

/// How long a dropped child may take to end by SIGQUIT.
const DEATH: Duration = Duration::from_secs(10);

/// A port on 127.0.0.1 that was free a moment ago and is given to nobody else in this process.
///
/// Another process may take it before it is used: whoever starts a server on it retries with another.
///
/// # Panics
/// When the machine has no free port.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// How a child ends when it is dropped or the test process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// SIGKILL.
    Kill,
    /// SIGQUIT, for a server that has something to give back to the system; SIGKILL when it does not end by it.
    Quit,
}

/// A child process to be started.
#[derive(Debug)]
pub struct Launch {
    name: String,
    folder: PathBuf,
    user: Option<String>,
    farewell: Farewell,
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
}

impl Launch {
    /// `program`, whose output goes to `<name>.out` and `<name>.err` in `folder`, its working directory.
    pub fn new(name: &str, folder: &Path, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            user: None,
            farewell: Farewell::Kill,
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
        }
    }

    /// The `weft` binary: `WEFT_BIN`, or the one in the target folder of this test.
    ///
    /// # Panics
    /// When it has not been built.
    #[must_use]
    pub fn weft(name: &str, folder: &Path) -> Self {
        let binary = std::env::var_os("WEFT_BIN").map_or_else(|| target_dir().join("debug/weft"), PathBuf::from);
        assert!(binary.is_file(), "no binary at {}: build it with `cargo build --workspace --bins`", binary.display());
        Self::new(name, folder, binary)
    }

    /// Python with the libraries of `tests/requirements.txt`: `WEFT_PYTHON`, or what `tests/run` has put into the
    /// target folder.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn python(name: &str, folder: &Path) -> Self {
        let own = || target_dir().join("python/bin/python3");
        let python = std::env::var_os("WEFT_PYTHON").map_or_else(own, PathBuf::from);
        assert!(python.is_file(), "no Python at {}: run tests/run, which fetches it", python.display());
        Self::new(name, folder, python)
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs as this user, still able to reach folders under one that is closed to it. Only root can ask for it.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// How the child ends with its owner: by SIGKILL unless set.
    #[must_use]
    pub fn farewell(mut self, farewell: Farewell) -> Self {
        self.farewell = farewell;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(self) -> Process {
        self.try_start().unwrap_or_else(|e| panic!("start: {e}"))
    }

    fn try_start(self) -> io::Result<Process> {
        let out = self.folder.join(format!("{}.out", self.name));
        let err = self.folder.join(format!("{}.err", self.name));
        let mut command = Command::new("setpriv");
        let with_parent = if self.farewell == Farewell::Quit { "QUIT" } else { "KILL" };
        command.args(["--pdeathsig", with_parent]);
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
            command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
        }
        // This process may have died before the signal was asked for.
        command.args(["--", "sh", "-c", r#"[ "$PPID" = "$0" ] && exec "$@""#]).arg(std::process::id().to_string());
        command.arg(&self.program).args(&self.args).envs(self.envs);
        command.current_dir(&self.folder).process_group(0);
        // Appending keeps what was written before a restart.
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        command.stdin(Stdio::null()).stdout(append(&out)?).stderr(append(&err)?);
        let child = start_from_lasting_thread(command)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.program.display())))?;
        Ok(Process { name: self.name, child: Mutex::new(child), out, err, farewell: self.farewell })
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn start_from_lasting_thread(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        let start_all = move || {
            for (mut command, reply) in queue {
                reply.send(command.spawn()).expect("who orders a child waits for it");
            }
        };
        let named = thread::Builder::new().name("starts-children".to_owned());
        named.spawn(start_all).expect("a thread that starts children");
        orders
    });
    let (reply, answer) = mpsc::channel();
    starter.send((command, reply)).expect("the starting thread lives as long as the process");
    answer.recv().expect("the starting thread answers every order")
}

/// A running (or ended) child. Ends with its whole group when dropped; prints the end of its output if the test
/// is failing.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Child>,
    out: PathBuf,
    err: PathBuf,
    farewell: Farewell,
}

impl Process {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Standard output so far, of all starts under this name in this folder.
    #[must_use]
    pub fn stdout(&self) -> String {
        read_lossy(&self.out)
    }

    /// Standard error so far, of all starts under this name in this folder.
    #[must_use]
    pub fn stderr(&self) -> String {
        read_lossy(&self.err)
    }

    #[must_use]
    pub fn stderr_file(&self) -> &Path {
        &self.err
    }

    /// The exit status, if it has ended.
    ///
    /// # Panics
    /// When the kernel does not know the child.
    pub fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the status of a child")
    }

    /// Sends `signal` to its whole group; a process that has ended gets none.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        // Held to the end: an ended child is not reaped by somebody else, and its id not given away, meanwhile.
        let mut child = self.child();
        if child.try_wait().expect("the status of a child").is_some() {
            return;
        }
        match kill_process_group(Pid::from_child(&child), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => panic!("signal {} ({}): {e}", self.name, child.id()),
        }
    }

    /// SIGKILL to the group; returns when the child is dead and reaped.
    ///
    /// # Panics
    /// When it cannot be killed or reaped.
    pub fn kill9(&self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child().wait().expect("reap a child")
    }

    /// SIGTERM: the request to finish.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it stands still until [`Process::resume`], without knowing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it is still running after `patience`.
    pub async fn wait(&self, patience: Duration) -> ExitStatus {
        eventually(patience, || async { self.status().ok_or_else(|| format!("{} is still running", self.name)) }).await
    }

    /// Waits for a line of standard output or standard error with `part` in it, and returns the line.
    ///
    /// # Panics
    /// When there is none after `patience`, or the process ends without it; with the end of its output.
    pub async fn wait_for_line(&self, part: &str, patience: Duration) -> String {
        self.wait_until(patience, async || {
            let text = self.stdout() + &self.stderr();
            let line = text.lines().find(|line| line.contains(part)).map(str::to_owned);
            line.ok_or_else(|| format!("no line with {part:?}"))
        })
        .await
    }

    /// Waits until `GET /readyz` at `console` answers 200.
    ///
    /// # Panics
    /// As [`Process::wait_for_line`].
    pub async fn wait_until_ready(&self, console: SocketAddr, patience: Duration) {
        self.wait_until(patience, async || match http_get(console, "/readyz").await {
            Ok((200, _)) => Ok(()),
            Ok((code, body)) => Err(format!("/readyz answers {code}: {body}")),
            Err(e) => Err(format!("/readyz: {e}")),
        })
        .await;
    }

    /// Repeats `check` until it is `Ok`, as [`eventually`] does, but gives up as soon as the process has ended.
    ///
    /// # Panics
    /// When the patience is over or the process has ended; with the end of its output.
    pub async fn wait_until<T>(&self, patience: Duration, check: impl AsyncFnMut() -> Result<T, String>) -> T {
        let outcome = self.try_wait_until(patience, check).await;
        outcome.unwrap_or_else(|why| panic!("{}: {why}\n{}", self.name, self.last_words()))
    }

    pub(crate) async fn try_wait_until<T>(
        &self,
        patience: Duration,
        mut check: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        try_eventually(patience, async || {
            // The end is looked for first: what the process wrote before it is then all there for the check.
            let ended = self.status();
            match (check().await, ended) {
                (Ok(value), _) => Ok(Ok(value)),
                (Err(why), Some(status)) => Ok(Err(format!("ended with {status}: {why}"))),
                (Err(why), None) => Err(why),
            }
        })
        .await
    }

    /// The last lines of its output, for a failure's text.
    #[must_use]
    pub fn last_words(&self) -> String {
        let tail = |path: &Path| {
            let text = read_lossy(path);
            let lines: Vec<_> = text.lines().collect();
            format!("-- {}\n{}\n", path.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        tail(&self.out) + &tail(&self.err)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        if self.farewell == Farewell::Quit {
            self.signal(Signal::QUIT);
            // A paused process acts on no signal but SIGKILL.
            self.signal(Signal::CONT);
            let mut left = DEATH;
            while self.status().is_none() && !left.is_zero() {
                thread::sleep(Duration::from_millis(10));
                left = left.saturating_sub(Duration::from_millis(10));
            }
        }
        self.kill9();
    }
}

fn read_lossy(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One plain GET: status and body. HTTP/1.0, so that the body comes whole and ends with the connection.
///
/// # Errors
/// When the connection fails or what comes back is not HTTP.
pub async fn http_get(server: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {server}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    });
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {answer}")))
}

#[cfg(test)]
mod tests;
