//! Settings of the served log, and what librdkafka is told by them.

use std::{fs, io, path::PathBuf, time::Duration};

use rdkafka::{
    ClientContext,
    client::OAuthToken,
    config::{ClientConfig, RDKafkaLogLevel},
    consumer::ConsumerContext,
    error::KafkaError,
};
use serde::{Deserialize, Serialize};

use crate::log::MAX_ENTRY_BYTES;

/// Room for a request's own fields around the largest entry.
pub(super) const MAX_MESSAGE_BYTES: usize = MAX_ENTRY_BYTES + (64 << 10);

/// Settings of the log on Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// Put before the name of every topic; different installations on one cluster need different ones.
    pub topic_prefix: String,
    /// Partitions of a records topic. Fixed for ever once the topic stands; the other topics have one.
    pub partitions: u32,
    /// On how many brokers an entry stands. An append is answered when all but one of them have it.
    pub replication: u32,
    /// For fewer than three brokers: one copy, and every topic flushes to the disk at every append.
    pub single_broker: bool,
    /// How long an append may take before it is given up, in milliseconds.
    pub append_timeout_ms: u64,
    /// How many bytes of entries may be on the way to the brokers; past it callers wait for room, within their timeout.
    pub queue_bytes: u32,
    /// How long what an erasure overwrote may still lie in a compacted topic, in milliseconds. Kafka cuts its files only
    /// when something is appended, so this counts from the first append to the same partition after it has passed.
    pub compaction_lag_max_ms: u64,
    /// Encryption and proof of identity towards the brokers.
    pub security: Security,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".into(),
            topic_prefix: String::new(),
            partitions: 6,
            replication: 3,
            single_broker: false,
            append_timeout_ms: 10_000,
            queue_bytes: 64 << 20,
            compaction_lag_max_ms: 24 * 3600 * 1000,
            security: Security::default(),
        }
    }
}

/// Encryption and proof of identity. TLS and SCRAM need a build with the cargo feature `kafka-tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// The certificates (PEM) that vouch for the brokers; turns TLS on.
    pub ca_file: Option<PathBuf>,
    /// The hub's own certificate (PEM), where the brokers ask for one.
    pub cert_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// The user for SCRAM; turns it on.
    pub sasl_user: Option<String>,
    /// A file with the user's password; a line break at its end does not count.
    pub sasl_password_file: Option<PathBuf>,
    /// `SCRAM-SHA-256` or `SCRAM-SHA-512`, the latter if absent.
    pub sasl_mechanism: Option<String>,
}

/// Why a log on Kafka could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting cannot be.
    #[error("kafka setting {name}: {why}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A file cannot be read.
    #[error("kafka setting {name}: {file}: {source}", file = file.display())]
    File {
        /// Which setting names it.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// librdkafka refused.
    #[error("kafka client: {0}")]
    Client(String),
}

impl From<KafkaError> for ConnectError {
    fn from(error: KafkaError) -> Self {
        Self::Client(match error {
            // Said without the value, which may be a password.
            KafkaError::ClientConfig(_, description, key, _) => {
                format!("{key}: {description} (TLS and SCRAM need a build with the feature kafka-tls)")
            }
            other => other.to_string(),
        })
    }
}

impl Config {
    pub(super) fn append_timeout(&self) -> Duration {
        Duration::from_millis(self.append_timeout_ms)
    }

    /// How many copies there are in truth.
    pub(super) fn copies(&self) -> u32 {
        if self.single_broker { 1 } else { self.replication }
    }

    /// How many of them an append waits for at least.
    pub(super) fn insync(&self) -> u32 {
        self.copies().saturating_sub(1).max(1)
    }

    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let wrong = |name, why: &str| Err(ConnectError::Setting { name, why: why.into() });
        if self.brokers.trim().is_empty() {
            return wrong("brokers", "is empty");
        }
        if self.partitions == 0 || self.partitions > 1024 {
            return wrong("partitions", "has to be between 1 and 1024");
        }
        if !self.single_broker && self.replication < 3 {
            return wrong("replication", "less than 3 survives no loss of a machine, unless single_broker = true");
        }
        if self.append_timeout_ms == 0 {
            return wrong("append_timeout_ms", "has to be more than 0");
        }
        if !self.topic_prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return wrong("topic_prefix", "may hold letters, digits, '.', '_' and '-'");
        }
        Ok(())
    }

    /// What all clients share.
    pub fn client(&self) -> Result<ClientConfig, ConnectError> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "weft-hub")
            .set("reconnect.backoff.max.ms", "500")
            .set("allow.auto.create.topics", "false")
            .set("enable.metrics.push", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        self.security.apply(&mut client)?;
        Ok(client)
    }

    /// An entry is sent in order and once per call, and answered when every copy in sync has it.
    pub(super) fn producer(&self) -> Result<ClientConfig, ConnectError> {
        let mut client = self.client()?;
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", self.append_timeout_ms.to_string())
            .set("linger.ms", "2")
            // What is encrypted does not shrink.
            .set("compression.type", "none")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("queue.buffering.max.kbytes", (u64::from(self.queue_bytes) / 512).max(1024).to_string());
        Ok(client)
    }

    /// A consumer that is told where to read and never commits. The group's name is only there because librdkafka asks for
    /// one; nobody joins it.
    pub(super) fn consumer(&self) -> Result<ClientConfig, ConnectError> {
        let mut client = self.asker()?;
        client
            .set("group.id", format!("{}weft-hub", self.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", (1 << 20).to_string())
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            // How much lies ready for each partition that is read.
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", "4096");
        Ok(client)
    }

    /// Asks for ends; reads nothing. Uncommitted entries count: the hub writes no transactions, and somebody else's open
    /// one may not hold up what stands behind it.
    pub(super) fn asker(&self) -> Result<ClientConfig, ConnectError> {
        let mut client = self.client()?;
        client.set("isolation.level", "read_uncommitted");
        Ok(client)
    }

    pub(super) fn admin(&self) -> Result<ClientConfig, ConnectError> {
        self.client()
    }
}

impl Security {
    fn apply(&self, client: &mut ClientConfig) -> Result<(), ConnectError> {
        let files = [
            ("ssl.ca.location", &self.ca_file),
            ("ssl.certificate.location", &self.cert_file),
            ("ssl.key.location", &self.key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                client.set(key, file.to_string_lossy());
            }
        }
        if self.ca_file.is_none() && (self.cert_file.is_some() || self.key_file.is_some()) {
            let why = "is needed beside cert_file and key_file".into();
            return Err(ConnectError::Setting { name: "security.ca_file", why });
        }
        if let Some(user) = &self.sasl_user {
            let mechanism = self.sasl_mechanism.as_deref().unwrap_or("SCRAM-SHA-512");
            client.set("sasl.mechanism", mechanism).set("sasl.username", user).set("sasl.password", self.password()?);
        }
        let protocol = match (self.ca_file.is_some(), self.sasl_user.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        Ok(())
    }

    fn password(&self) -> Result<String, ConnectError> {
        let name = "security.sasl_password_file";
        let Some(file) = &self.sasl_password_file else {
            return Err(ConnectError::Setting { name, why: "is needed beside sasl_user".into() });
        };
        let text =
            fs::read_to_string(file).map_err(|source| ConnectError::File { name, file: file.clone(), source })?;
        Ok(text.trim_end_matches(['\r', '\n']).into())
    }
}

/// Leads librdkafka's own log into ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, message, "kafka client");
            }
            _ => tracing::debug!(facility, message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Err("not supported".into())
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    fn single() -> Config {
        Config { single_broker: true, ..Config::default() }
    }

    #[test]
    fn few_brokers_are_said_so() {
        assert!(Config::default().check().is_ok());
        let error = Config { replication: 2, ..Config::default() }.check().unwrap_err();
        assert!(error.to_string().contains("single_broker"), "{error}");
        assert_eq!((Config::default().copies(), Config::default().insync()), (3, 2));
        assert_eq!((single().copies(), single().insync()), (1, 1));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (config, name) in [
            (Config { brokers: " ".into(), ..single() }, "brokers"),
            (Config { partitions: 0, ..single() }, "partitions"),
            (Config { append_timeout_ms: 0, ..single() }, "append_timeout_ms"),
            (Config { topic_prefix: "a b".into(), ..single() }, "topic_prefix"),
        ] {
            assert!(config.check().unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn the_password_comes_from_its_file_and_stays_out_of_messages() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "correct horse\n").unwrap();
        let security = Security {
            sasl_user: Some("hub".into()),
            sasl_password_file: Some(file.path().into()),
            ..Security::default()
        };
        let mut client = ClientConfig::new();
        security.apply(&mut client).unwrap();
        assert_eq!(client.get("sasl.password"), Some("correct horse"));
        assert_eq!(client.get("security.protocol"), Some("sasl_plaintext"));
        let missing = Security { sasl_password_file: None, ..security };
        assert!(missing.apply(&mut ClientConfig::new()).unwrap_err().to_string().contains("sasl_password_file"));
    }

    #[test]
    fn keys_of_the_file_are_known() {
        let config: Config = toml::from_str(
            "brokers = 'a:1,b:1'\ntopic_prefix = 'x.'\npartitions = 12\n[security]\nca_file = 'ca.pem'\n",
        )
        .unwrap();
        assert_eq!((config.partitions, config.replication), (12, 3));
        assert!(toml::from_str::<Config>("broker = 'a:1'").is_err());
    }
}
