//! The helper process: one for each session. It has the driver's libraries, and the adapter has none of them.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use zeroize::Zeroizing;

use super::protocol::{self, Answer, Request};

const NAME: &str = "weft-odbc";
/// How long it may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Of what it wrote on standard error, so much is told.
const SAID: u64 = 2_000;

/// A running helper. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Beside the adapter's own program, unless the configuration says where.
pub(super) fn find(configured: Option<&Path>) -> io::Result<PathBuf> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(NAME),
    };
    if path.is_file() {
        return Ok(path);
    }
    let said = format!("the helper {NAME} is not at {}: install it, or name it in odbc.helper", path.display());
    Err(io::Error::new(io::ErrorKind::NotFound, said))
}

impl Helper {
    pub(super) fn start(path: &Path) -> io::Result<Self> {
        let mut command = Command::new(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("the helper {} does not start: {error}", path.display()))
        })?;
        let gone = || io::Error::other("the helper has no standard input and output");
        let input = child.stdin.take().ok_or_else(gone)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        Ok(Self { child, input, output })
    }

    /// Asks, without waiting for the answer.
    pub(super) async fn ask(&mut self, request: &Request) -> io::Result<()> {
        let bytes = Zeroizing::new(protocol::frame(request)?);
        if self.input.write_all(&bytes).await.is_err() || self.input.flush().await.is_err() {
            return Err(self.why_gone().await);
        }
        Ok(())
    }

    /// The next answer; what failed is an error.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        let mut length = [0; 4];
        if self.output.read_exact(&mut length).await.is_err() {
            return Err(self.why_gone().await);
        }
        let mut bytes = vec![0; protocol::checked(length)?];
        if self.output.read_exact(&mut bytes).await.is_err() {
            return Err(self.why_gone().await);
        }
        match protocol::parse(&bytes)? {
            Answer::Failed { state, said } => Err(io::Error::other(told(&state, &said))),
            answer => Ok(answer),
        }
    }

    /// What it wrote before it ended, such as a library that the system's loader does not find.
    async fn why_gone(&mut self) -> io::Error {
        let mut said = String::new();
        if let Some(error) = self.child.stderr.take() {
            // Whatever could be read until then is told.
            let _ = tokio::time::timeout(LAST_WORDS, error.take(SAID).read_to_string(&mut said)).await;
        }
        let hint = if said.contains("libodbc") { "; install unixODBC (Debian: libodbc2)" } else { "" };
        io::Error::other(format!("the helper {NAME} ended: {}{hint}", said.trim()))
    }
}

/// A driver's message, without a value of a row: drivers quote them in messages about data (SQLSTATE classes 22, 23).
fn told(state: &str, said: &str) -> String {
    if state.starts_with("22") || state.starts_with("23") {
        return format!("a value does not fit (SQLSTATE {state})");
    }
    let missing = matches!(state, "IM002" | "IM003") || said.contains("Can't open lib");
    let hint = if missing { "; is the driver installed and named in odbcinst.ini?" } else { "" };
    format!("{} (SQLSTATE {state}){hint}", said.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_data_do_not_show_it() {
        assert!(!told("22018", "invalid value '370321199001010014'").contains("3703"));
        assert!(told("IM002", "Data source name not found").contains("odbcinst.ini"));
    }

    #[tokio::test]
    async fn a_helper_that_cannot_run_says_why() {
        let error = find(Some(Path::new("/nonexistent/weft-odbc"))).unwrap_err();
        assert!(error.to_string().contains("odbc.helper"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weft-odbc");
        let text = "#!/bin/sh\necho 'error while loading shared libraries: libodbc.so.2' >&2\nexit 127\n";
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut helper = Helper::start(&path).unwrap();
        let error = helper.answer().await.unwrap_err().to_string();
        assert!(error.contains("libodbc.so.2") && error.contains("install unixODBC"), "{error}");
    }
}
