//! A MariaDB server of its own, on a free port, in a scratch folder.
//!
//! It listens on 127.0.0.1 only and lets its `root` in without a password; tests make accounts of their own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::folder::scratch;
use crate::process::{Launch, Process, free_port};

const START: Duration = Duration::from_secs(120);

/// A server that is up. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub struct Server {
    // Before the folder: dropped in this order.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    more: Vec<String>,
}

/// The one server of this test process, started on first use; every test takes a [`Server::database`] of its own.
pub async fn shared() -> &'static Server {
    static SHARED: OnceCell<Server> = OnceCell::const_new();
    SHARED.get_or_init(Server::start).await
}

/// A program of the server's packages, from `PATH` or where Debian puts servers.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("no {name} here: run tests/run, which installs MariaDB"))
}

impl Server {
    /// Starts a server with empty tables.
    ///
    /// # Panics
    /// When it is not up in time, with the end of its output.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Server::start`], with more arguments.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub async fn start_with(more: &[String]) -> Self {
        let mut server = Self { process: None, folder: scratch("mariadb"), port: 0, more: more.to_vec() };
        let install = Launch::new("install", server.folder.path(), program("mariadb-install-db"));
        let install = install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        let tool = install.args(server.whose()).arg(server.data()).start();
        let status = tool.wait(START).await;
        assert!(status.success(), "make MariaDB's tables: {status}\n{}", tool.last_words());
        for attempt in 1.. {
            server.port = free_port();
            match server.try_up().await {
                Ok(()) => break,
                // Somebody else took the port between the choice and the start.
                Err(why) if attempt < 5 && why.contains("Address already in use") => {}
                Err(why) => panic!("mariadb: {why}"),
            }
        }
        server
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database by name, as `root`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}?ssl-mode=disabled", self.port)
    }

    /// Makes an empty database that nobody else has, and returns its name.
    ///
    /// # Panics
    /// When the server refuses or is not there.
    pub async fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weft_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = connect(&self.url("")).await.expect("connect to make a database");
        let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("make a database");
        connection.close().await.expect("close a connection");
        name
    }

    fn data(&self) -> String {
        format!("--datadir={}", self.folder.path().join("data").display())
    }

    /// As root it must be told that it may run as such.
    fn whose(&self) -> Vec<&'static str> {
        if rustix::process::getuid().is_root() { vec!["--user=root"] } else { Vec::new() }
    }

    async fn try_up(&mut self) -> Result<(), String> {
        let socket = self.folder.path().join("s");
        let pid = self.folder.path().join("pid");
        let process = Launch::new("server", self.folder.path(), program("mariadbd"))
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=OFF"])
            .args(self.whose())
            .args(&self.more)
            .arg(self.data())
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", pid.display()))
            .start();
        let url = self.url("");
        let up = process.try_wait_until(START, async || answers(&url).await.map_err(|error| error.to_string())).await;
        let said = process.stderr();
        self.process = Some(process);
        up.map_err(|why| format!("{why}\n{said}"))
    }
}

async fn answers(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    connection.close().await
}

async fn connect(url: &str) -> Result<MySqlConnection, sqlx::Error> {
    let options: sqlx::mysql::MySqlConnectOptions = url.parse()?;
    options.disable_statement_logging().connect().await
}
