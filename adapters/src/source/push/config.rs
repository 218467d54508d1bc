//! `[source.push]`: where the department's system posts its records, and how much is taken in.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// An endpoint on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// A loopback address and port, such as `127.0.0.1:7790`.
    pub listen: SocketAddr,
    /// A file with the token that callers send as `Authorization: Bearer …`, readable by its owner alone. At least 16
    /// characters.
    pub token_file: PathBuf,
    /// The longest request, bytes.
    #[serde(default = "default_body")]
    pub max_body_bytes: usize,
    /// The most that waits to be worked off, bytes; beyond it callers are told 507.
    #[serde(default = "default_waiting")]
    pub max_waiting_bytes: u64,
}

fn default_body() -> usize {
    16 << 20
}

fn default_waiting() -> u64 {
    256 << 20
}

impl PushConfig {
    /// Takes relative paths from `base`.
    pub(crate) fn root(&mut self, base: &Path) {
        self.token_file = base.join(&self.token_file);
    }

    /// Whether both would listen at the same address.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.listen == other.listen && self.listen.port() != 0
    }

    /// Checks what the form alone does not say: key and fault.
    ///
    /// # Errors
    /// The first key that is wrong, and what is wrong with it.
    pub fn verify(&self) -> Result<(), (&'static str, String)> {
        if !self.listen.ip().is_loopback() {
            return Err(("push.listen", "must be a loopback address: 127.0.0.1 or [::1]".into()));
        }
        if self.max_body_bytes == 0 || self.max_waiting_bytes == 0 {
            return Err(("push", "a bound must not be 0".into()));
        }
        Ok(())
    }
}
