//! `[source.rest]`: where a department's system serves its records as JSON, and within which bounds they are pulled.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::address::{Allowed, Network};

/// Records pulled as JSON over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestConfig {
    /// `https://system.example/api/licences`, without user and fragment. `http` only with `plain_http`.
    pub url: String,
    /// Networks and addresses that may be asked, such as `["10.1.2.3", "10.9.0.0/16", "fd00::/8"]`. What the name
    /// resolves to is checked at every connection.
    pub allow: Vec<Network>,
    /// The certificates, PEM, of the authority that vouches for the server.
    pub ca_file: Option<PathBuf>,
    /// Takes `http`, where the secret and the records cross the network in the clear.
    #[serde(default)]
    pub plain_http: bool,
    /// A file with the secret, readable by its owner alone.
    pub secret_file: Option<PathBuf>,
    /// The header that carries the secret as it is; by default `Authorization: Bearer …`.
    pub secret_header: Option<String>,
    /// Where the array of records stands in an answer, keys separated by `/`; empty when the answer is the array.
    #[serde(default)]
    pub records: String,
    /// Pages by number.
    pub page: Option<Page>,
    /// Pages by a cursor in each answer.
    pub cursor: Option<Cursor>,
    /// Only what changed since the last pull.
    pub since: Option<Since>,
    /// Without `since`: an answer is everything there is, so that a record that is not in it has vanished.
    #[serde(default)]
    pub snapshot: bool,
    /// How long one request may take, milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// How long one pull of all pages may take, seconds.
    #[serde(default = "default_pull")]
    pub pull_timeout_s: u64,
    /// The longest answer to one request, bytes.
    #[serde(default = "default_answer")]
    pub max_answer_bytes: u64,
    /// The most that one pull of all pages may bring, bytes.
    #[serde(default = "default_total")]
    pub max_pull_bytes: u64,
}

/// Pages by number: `?page=1&size=200`, until an answer holds no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The parameter that carries the page's number.
    pub parameter: String,
    /// The first page's number.
    #[serde(default = "one")]
    pub first: u64,
    /// The parameter that carries the page's size.
    pub size_parameter: Option<String>,
    /// Records per page, asked for by `size_parameter`; a shorter page is the last.
    pub size: Option<u64>,
}

/// Pages by a cursor: each answer names the next one, the last names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The parameter that carries the cursor.
    pub parameter: String,
    /// Where the next cursor stands in an answer, keys separated by `/`.
    pub next: String,
}

/// Only what changed: the greatest value of a column so far, less the overlap, goes into a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// The parameter that carries the value.
    pub parameter: String,
    /// The column that grows with every change.
    pub column: String,
    /// What stands in it.
    #[serde(default)]
    pub kind: SinceKind,
    /// What is asked for again before the greatest value: seconds of a time, or a difference of numbers. Rows that
    /// come twice make no version.
    #[serde(default = "default_overlap")]
    pub overlap: u64,
    /// The value of the first pull; without it the first pull has no parameter.
    pub first: Option<String>,
}

/// What stands in a column that grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinceKind {
    /// A time: `2026-01-31 08:00:00`, `2026-01-31T08:00:00`, `2026-01-31T08:00:00+08:00` or `…Z`.
    #[default]
    Time,
    /// A whole number: a sequence, or the milliseconds of a time.
    Number,
}

fn one() -> u64 {
    1
}

fn default_timeout() -> u64 {
    30_000
}

fn default_pull() -> u64 {
    3_600
}

fn default_answer() -> u64 {
    16 << 20
}

fn default_total() -> u64 {
    1 << 30
}

fn default_overlap() -> u64 {
    300
}

impl RestConfig {
    /// Takes relative paths from `base`.
    pub(crate) fn root(&mut self, base: &Path) {
        for file in [&mut self.ca_file, &mut self.secret_file].into_iter().flatten() {
            *file = base.join(&file);
        }
    }

    /// Checks what the form alone does not say: key and fault.
    ///
    /// # Errors
    /// The first key that is wrong, and what is wrong with it.
    pub fn verify(&self) -> Result<(), (&'static str, String)> {
        let url = self.parsed_url().map_err(|what| ("rest.url", what))?;
        let allowed = Allowed::new(self.allow.clone());
        if self.allow.is_empty() {
            return Err(("rest.allow", "name the addresses that may be asked".into()));
        }
        if let Some(address) = literal(&url).filter(|address| !allowed.admits(*address)) {
            return Err(("rest.url", format!("{address} is not within rest.allow")));
        }
        if url.scheme() == "https" && self.ca_file.is_none() {
            return Err(("rest.ca_file", "name the authority that vouches for the server".into()));
        }
        if self.page.is_some() && self.cursor.is_some() {
            return Err(("rest.page", "pages go by number or by cursor, not both".into()));
        }
        if self.since.is_some() && self.snapshot {
            return Err(("rest.snapshot", "what comes by `since` is never everything".into()));
        }
        if let Some(name) = &self.secret_header {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes());
            if name.is_err() || self.secret_file.is_none() {
                return Err(("rest.secret_header", "a header's name, beside secret_file".into()));
            }
        }
        if let Some(since) = self.since.as_ref()
            && since.first.as_ref().is_some_and(|first| super::since::parse(since.kind, first).is_none())
        {
            return Err(("rest.since.first", "not a value of its kind".into()));
        }
        let bounds = [self.timeout_ms, self.pull_timeout_s, self.max_answer_bytes, self.max_pull_bytes];
        if bounds.contains(&0) {
            return Err(("rest", "a bound must not be 0".into()));
        }
        Ok(())
    }

    /// The address that is asked.
    pub(super) fn parsed_url(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        if !matches!((url.scheme(), self.plain_http), ("https", _) | ("http", true)) {
            return Err(format!("{} is not taken: https, or http with plain_http = true", url.scheme()));
        }
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if bare { Ok(url) } else { Err("must not carry a user, a password or a fragment".into()) }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn pull_timeout(&self) -> Duration {
        Duration::from_secs(self.pull_timeout_s)
    }
}

/// The address that a URL names without a name.
pub(super) fn literal(url: &Url) -> Option<std::net::IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
