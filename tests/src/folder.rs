//! Scratch folders under the target folder, gone with their test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// A fresh folder under the target folder, removed when dropped (kept, for a look, under `WEFT_KEEP=1`).
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch(kind: &str) -> TempDir {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let root = scratch_root();
        std::fs::create_dir_all(&root).unwrap_or_else(|e| panic!("make {}: {e}", root.display()));
        if !keeps_scratch() {
            sweep(&root);
        }
        root
    });
    tempfile::Builder::new()
        .prefix(&format!("{kind}-{}-", std::process::id()))
        .disable_cleanup(keeps_scratch())
        .tempdir_in(root)
        .unwrap_or_else(|e| panic!("make a folder in {}: {e}", root.display()))
}

fn keeps_scratch() -> bool {
    std::env::var_os("WEFT_KEEP").is_some_and(|value| value == "1")
}

/// `tests/run` names the folder; without it, it is found beside the test binary (`<target>/<profile>/deps/…`).
fn scratch_root() -> PathBuf {
    if let Some(named) = std::env::var_os("WEFT_SCRATCH") {
        return named.into();
    }
    target_dir().join("scratch")
}

/// The target folder that this test binary was built into.
///
/// # Panics
/// When the binary does not lie where Cargo puts it.
#[must_use]
pub fn target_dir() -> PathBuf {
    let binary = std::env::current_exe().expect("the path of this binary");
    let deps = binary.ancestors().find(|path| path.ends_with("deps"));
    let target = deps.and_then(Path::parent).and_then(Path::parent);
    target.unwrap_or_else(|| panic!("not in a target folder: {}", binary.display())).to_owned()
}

/// Removes what processes left that were killed: the folder's name carries the process id.
fn sweep(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').nth(1)?.parse().ok()).and_then(Pid::from_raw);
        if owner.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            // Another test process may be sweeping the same folder; what is left is swept next time.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

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
}
