//! The hub's configuration: TOML, precedence flag > `WEFT_*` environment > file > default. Unknown keys are refused; secrets come
//! only by file path.

use std::{net::SocketAddr, path::PathBuf};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Value},
};
use serde::{Deserialize, Serialize};

/// What a hub instance is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hub's public name, a DNS name: every `iss` and `vct` begins with `https://<hub_name>`. Fixed for ever at the first start.
    pub hub_name: String,
    /// The trust domain of identities: `spiffe://<trust_domain>/…`. Fixed for ever.
    pub trust_domain: String,
    /// The key directory (`weft admin init` makes it). Readable by its owner alone.
    pub keys_dir: PathBuf,
    /// Names this instance in leases; each instance its own.
    pub instance: String,
    /// Where records and looks are kept.
    pub storage: Storage,
    /// Addresses.
    pub listen: Listen,
    /// TLS.
    pub tls: Tls,
    /// Bounds.
    pub limits: Limits,
    /// Admits synthetic people of the area 370399 in holders and fields (samples, demos, tests).
    pub test_identities: bool,
}

/// One of two supported pairs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Storage {
    /// Log and index on SQLite: one small hall, one process.
    Embedded {
        /// The data directory; one process owns it. No network file system.
        #[serde(default = "default_data_dir")]
        data_dir: PathBuf,
    },
    /// Log on Kafka, index on PostgreSQL: several instances.
    Served {
        /// The log.
        kafka: Box<crate::log::kafka::Config>,
        /// The index.
        postgres: Postgres,
    },
}

/// PostgreSQL.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// A file that holds the connection URL (with its password).
    pub url_file: PathBuf,
    /// The schema that the tables live in.
    #[serde(default = "default_schema")]
    pub schema: String,
}

fn default_data_dir() -> PathBuf {
    "data".into()
}

fn default_schema() -> String {
    "weft".into()
}

/// Addresses to listen on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// gRPC, mutual TLS.
    pub api: SocketAddr,
    /// Enrolment, server TLS; nothing else is served there.
    pub enrolment: SocketAddr,
    /// Console port: health, metrics, keys, error pages. Plain HTTP: put it behind the hall's proxy or on loopback.
    pub console: SocketAddr,
    /// What join tokens name as the enrolment address, `https://host:port`; empty means `https://<hub_name>:<port of listen.enrolment>`.
    pub enrolment_address: String,
    /// gRPC reflection on the API listener: what a developer wants, and nobody else.
    pub reflection: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            api: SocketAddr::from(([0, 0, 0, 0], 8443)),
            enrolment: SocketAddr::from(([0, 0, 0, 0], 8444)),
            console: SocketAddr::from(([127, 0, 0, 1], 8080)),
            enrolment_address: String::new(),
            reflection: false,
        }
    }
}

/// TLS of the API and enrolment listeners.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// More names and IP addresses for the server certificate, beside `hub_name` and `localhost`.
    pub server_names: Vec<String>,
    /// A server certificate of another CA (PEM chain); absent means the built-in CA makes one. Reloaded when the file changes.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Also TLS 1.2, with ECDHE and AEAD only.
    pub allow_tls12: bool,
    /// Other CAs, and the beginnings of identity paths that each may vouch for. An operator must also have admitted the identity through
    /// that CA (`weft admin identity admit`). The files are read again when they change.
    pub client_ca: Vec<ClientCa>,
}

/// A CA beside the built-in one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCa {
    /// Its name, by which identities are admitted through it.
    pub name: String,
    /// Its certificate, PEM.
    pub file: PathBuf,
    /// Its revocation list, PEM. Without one that is current and its own, nobody comes in by this CA.
    pub crl_file: PathBuf,
    /// Beginnings of identity paths that it may vouch for, such as `window/hall-`. No other CA here may have one that begins so.
    pub prefixes: Vec<String>,
}

/// Bounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open quarantine entries a sender may have.
    pub quarantine_per_sender: u64,
    /// Looks a second per window, sustained.
    pub looks_per_second: u32,
    /// Looks at once per window beyond that.
    pub looks_burst: u32,
    /// Looks a second of all windows of one hall together, sustained: what is split over two windows is not doubled.
    pub hall_looks_per_second: u32,
    /// Looks at once per hall beyond that.
    pub hall_looks_burst: u32,
    /// Over which time looks are watched for harvesting, in milliseconds: a window or hall that asks more than ten times its quota, or a
    /// window that asks for too much that is not there, raises an alarm, once in that time.
    pub watch_interval_ms: u64,
    /// So many different questions of one window within `watch_interval_ms` that are denied, or answered with nothing, raise an alarm.
    pub looks_in_vain: u32,
    /// How long a look may take, in milliseconds, when its caller does not say; also the most.
    pub look_deadline_ms: u64,
    /// How long a log append may take, in milliseconds.
    pub append_timeout_ms: u64,
    /// Readiness: the index may lag the log by this many entries.
    pub ready_lag_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quarantine_per_sender: crate::publish::QUARANTINE_PER_SENDER,
            looks_per_second: 500,
            looks_burst: 1000,
            hall_looks_per_second: 500,
            hall_looks_burst: 1000,
            watch_interval_ms: 60_000,
            looks_in_vain: 200,
            look_deadline_ms: 10_000,
            append_timeout_ms: 10_000,
            ready_lag_entries: 100_000,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hub_name: "localhost".into(),
            trust_domain: "weft.local".into(),
            keys_dir: "keys".into(),
            instance: "hub-1".into(),
            storage: Storage::Embedded { data_dir: default_data_dir() },
            listen: Listen::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            test_identities: false,
        }
    }
}

impl Config {
    /// The sources of a configuration: defaults, the file's text, the environment. Flags are merged by the caller.
    pub fn figment(file: &str) -> Figment {
        Figment::from(Serialized::defaults(defaults())).merge(Toml::string(file)).merge(environment())
    }

    /// Reads a configuration from a file's text and the environment.
    pub fn parse(file: &str) -> Result<Self, Box<figment::Error>> {
        Self::figment(file).extract().map_err(Box::new)
    }
}

/// Every default but the folder of embedded storage, which beside another kind of storage would be an unknown key; serde brings it.
fn defaults() -> Dict {
    let mut defaults = Value::serialize(Config::default()).ok().and_then(Value::into_dict).unwrap_or_default();
    defaults.insert("storage".into(), Dict::from([("kind".into(), "embedded".into())]).into());
    defaults
}

/// `WEFT_<KEY>` and `WEFT_<TABLE>__<KEY>`, where the first part is a key of [`Config`]; other `WEFT_*` variables are not the hub's.
fn environment() -> Env {
    const KEYS: [&str; 9] =
        ["hub_name", "trust_domain", "keys_dir", "instance", "storage", "listen", "tls", "limits", "test_identities"];
    let is_ours = |key: &figment::value::UncasedStr| {
        let key = key.as_str().to_ascii_lowercase();
        KEYS.contains(&key.split("__").next().unwrap_or_default())
    };
    Env::prefixed("WEFT_").filter(is_ours).split("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded_in(file: &str) -> PathBuf {
        match Config::parse(file).unwrap().storage {
            Storage::Embedded { data_dir } => data_dir,
            served @ Storage::Served { .. } => panic!("{served:?}"),
        }
    }

    #[test]
    fn storage_is_embedded_unless_the_file_says_otherwise() {
        assert_eq!(embedded_in(""), PathBuf::from("data"));
        assert_eq!(embedded_in("[storage]\nkind = 'embedded'"), PathBuf::from("data"));
        assert_eq!(embedded_in("[storage]\ndata_dir = '/srv/weft'"), PathBuf::from("/srv/weft"));
        let served = "[storage]\nkind = 'served'\n[storage.kafka]\n[storage.postgres]\nurl_file = 'url'";
        assert!(matches!(Config::parse(served).unwrap().storage, Storage::Served { .. }));
    }

    #[test]
    fn unknown_keys_are_refused() {
        for file in ["hubname = 'a'", "[storage]\nkind = 'embedded'\nkafka = 1", "[limits]\nlooks = 1"] {
            assert!(Config::parse(file).is_err(), "{file}");
        }
    }
}
