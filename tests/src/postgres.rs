//! A PostgreSQL server of its own, on a free port, in a scratch folder, with `fsync` on.
//!
//! It listens on 127.0.0.1 only, without a socket file (their paths are short-bound), and trusts whoever comes.
//! As the server refuses to run as root, root runs it as `postgres`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::folder::scratch;
use crate::process::{Farewell, Launch, Process, free_port};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
const USER: &str = "postgres";

/// A server that is up unless stopped or killed. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub struct Server {
    // Before the folder: dropped in this order.
    process: Option<Process>,
    folder: TempDir,
    settings: Vec<(String, String)>,
    port: u16,
}

/// The one server of this test process, started on first use. Nobody may stop it; every test takes a
/// [`Server::database`] of its own.
pub async fn shared() -> &'static Server {
    static SHARED: OnceCell<Server> = OnceCell::const_new();
    SHARED.get_or_init(Server::start).await
}

/// A program of the server's installation (`pg_dump`, `pgbench`, `psql` …): from `WEFT_PG_BIN`, else the newest
/// that Debian's packages have put here.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("WEFT_PG_BIN").map(PathBuf::from).or_else(newest_installed);
    let program = folder.expect("no PostgreSQL here: run tests/run, which installs it").join(name);
    assert!(program.is_file(), "no program at {}", program.display());
    program
}

fn newest_installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let newest = versions.max_by_key(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()))?;
    Some(newest.path().join("bin"))
}

impl Server {
    /// Starts a server with an empty cluster.
    ///
    /// # Panics
    /// When it is not up in time, with the end of its output.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Server::start`], with settings of `postgresql.conf` that stand over the usual ones.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let usual = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("fsync", "on"),
            ("max_connections", "200"),
            ("shared_buffers", "64MB"),
            // In the data folder, so that nothing stays elsewhere after a kill.
            ("dynamic_shared_memory_type", "mmap"),
            ("max_prepared_transactions", "0"),
        ];
        let settings = usual.iter().chain(settings).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut server = Self { process: None, folder: scratch("postgres"), settings: settings.collect(), port: 0 };
        server.make_cluster().await;
        for attempt in 1.. {
            server.port = free_port();
            match server.try_up().await {
                Ok(()) => break,
                // Somebody else took the port between the choice and the start.
                Err(why) if attempt < 5 && why.contains("Address already in use") => {}
                Err(why) => panic!("postgres: {why}"),
            }
        }
        server
    }

    /// The address of a database by name, for sqlx and libpq.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Makes an empty database that nobody else has, and returns its address.
    ///
    /// # Panics
    /// When the server refuses or is not there.
    pub async fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weft_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = connect(&self.url("postgres")).await.expect("connect to make a database");
        let statement = sqlx::AssertSqlSafe(format!("create database {name}"));
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("make a database");
        connection.close().await.expect("close a connection");
        self.url(&name)
    }

    /// Fast shutdown (SIGINT): sessions are cut, everything is on disk.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::INT);
            process.wait(STOP).await;
        }
    }

    /// SIGKILL to the postmaster; its sessions notice and end by themselves.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// SIGSTOP to the postmaster: open sessions go on, nobody new gets in.
    pub fn pause(&self) {
        self.process.iter().for_each(Process::pause);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.iter().for_each(Process::resume);
    }

    /// Starts it again on the same port and data, killing it first if it is up; it recovers by itself.
    ///
    /// # Panics
    /// When it is not up in time, with the end of its output.
    pub async fn restart(&mut self) {
        self.kill9();
        let end = tokio::time::Instant::now() + START;
        while let Err(why) = self.try_up().await {
            // Sessions of the killed server that have not yet noticed hold its memory; the new one refuses to start.
            let waits = why.contains("shared memory block") && tokio::time::Instant::now() < end;
            assert!(waits, "postgres, restarted: {why}");
        }
    }

    async fn try_up(&mut self) -> Result<(), String> {
        let port = self.port.to_string();
        let settings = self.settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
        let started =
            self.launch("server", "postgres").arg("-D").arg(self.data_dir()).args(["-p", &port]).args(settings);
        let already = std::fs::read_to_string(self.folder.path().join("server.err")).map_or(0, |text| text.len());
        let process = started.start();
        let url = self.url("postgres");
        let up = process.try_wait_until(START, async || answers(&url).await.map_err(|e| e.to_string())).await;
        // Only what this start wrote: an earlier one may have met a port that was taken.
        let said = process.stderr().split_off(already);
        self.process = Some(process);
        up.map_err(|why| format!("{why}\n{said}"))
    }

    async fn make_cluster(&self) {
        let data = self.data_dir();
        std::fs::create_dir(&data).expect("make the cluster's folder");
        if rustix::process::getuid().is_root() {
            let own = Launch::new("chown", self.folder.path(), "chown").arg(USER).arg(&data).start();
            assert!(own.wait(START).await.success(), "give the folder to {USER}: {}", own.last_words());
        }
        // What the machine would lose by losing power does not matter before the first start.
        let plain = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"];
        let tool = self.launch("initdb", "initdb").args(["-U", USER]).args(plain).arg("-D").arg(&data).start();
        let status = tool.wait(START).await;
        assert!(status.success(), "make a cluster: {status}\n{}", tool.last_words());
    }

    fn launch(&self, name: &str, tool: &str) -> Launch {
        // By SIGQUIT the server gives its System V memory back to the kernel.
        let launch = Launch::new(name, self.folder.path(), program(tool)).farewell(Farewell::Quit);
        if rustix::process::getuid().is_root() { launch.user(USER) } else { launch }
    }
}

async fn answers(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    sqlx::query("select 1").execute(&mut connection).await?;
    connection.close().await
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    options.disable_statement_logging().connect().await
}
