//! `weft hub`: one hub instance, and its configuration with the origin of every value.

use std::{net::SocketAddr, path::PathBuf};

use clap::Subcommand;
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value as Figured},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use weft_hub::{
    config::Config,
    hub::{Error, Listeners},
};

use crate::{failure::Failure, files, report::Report, stop};

const MAX_CONFIG: u64 = 1 << 20;

/// `weft hub`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct HubArgs {
    #[command(subcommand)]
    command: Option<HubCommand>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What else can be done with a hub's configuration.
#[derive(Debug, Subcommand)]
enum HubCommand {
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check it, and print every effective value with its origin
    Check(ConfigArgs),
}

/// Where the configuration comes from: flag > environment > file > default.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The hub's configuration, `hub.toml`
    #[arg(long, value_name = "FILE", env = "WEFT_HUB_CONFIG")]
    config: Option<PathBuf>,
    /// One value, such as `instance=hub-2` or `limits.looks_per_second=100`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, Figured)>,
}

/// One `--set`: what is TOML is taken so, anything else as text.
fn setting(text: &str) -> Result<(String, Figured), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is key=value")?;
    let sound = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !key.split('.').all(sound) {
        return Err(format!("{key} is not a key"));
    }
    let read = Figment::from(Toml::string(&format!("value = {value}"))).find_value("value");
    Ok((key.to_owned(), read.unwrap_or_else(|_| Figured::from(value))))
}

/// The flags as a source of configuration.
struct Flags(Vec<(String, Figured)>);

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named("flag")
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        let flags = Figment::new();
        let merged = self.0.iter().fold(flags, |flags, (key, value)| flags.merge((key.as_str(), value.clone())));
        merged.data()
    }
}

impl ConfigArgs {
    fn figment(&self) -> Result<Figment, Failure> {
        let text = match &self.config {
            Some(path) => files::read_text(&path.to_string_lossy(), MAX_CONFIG)?,
            None => String::new().into(),
        };
        Ok(Config::figment(&text).merge(Flags(self.settings.clone())))
    }

    /// The effective configuration.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        self.figment()?.extract().map_err(|error| unusable(&error))
    }

    fn origin(&self, figment: &Figment, key: &str) -> &'static str {
        let under = |flag: &str| key.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if self.settings.iter().any(|(flag, _)| under(flag)) {
            return "flag";
        }
        let name = figment.find_metadata(key).map(|metadata| metadata.name.to_string()).unwrap_or_default();
        match name.as_str() {
            name if name.starts_with("TOML") => "file",
            name if name.contains("environment") => "env",
            _ => "default",
        }
    }

    /// The defaults but for the key directory.
    #[cfg(test)]
    pub(crate) fn for_keys_dir(keys_dir: &std::path::Path) -> Self {
        Self {
            config: None,
            settings: vec![("keys_dir".to_owned(), Figured::from(keys_dir.to_str().unwrap_or_default()))],
        }
    }

    /// Every value with its origin.
    fn report(&self) -> Result<Report, Failure> {
        let figment = self.figment()?;
        let effective: Config = figment.extract().map_err(|error| unusable(&error))?;
        let whole = serde_json::to_value(&effective);
        let whole = whole.map_err(|error| unusable(&error))?;
        let mut rows = Vec::new();
        leaves("", &whole, &mut |key, value| {
            rows.push(json!({"key": key, "value": value, "origin": self.origin(&figment, key)}));
        });
        Ok(Report::listing(&["key", "value", "origin"], rows))
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::usage("配置无法使用", "the configuration cannot be used").because(error)
}

fn leaves(prefix: &str, value: &Value, found: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                leaves(&key, value, found);
            }
        }
        value => found(prefix, value),
    }
}

impl HubArgs {
    /// Whether it runs until it is stopped.
    pub(crate) fn is_service(&self) -> bool {
        self.command.is_none()
    }

    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self.command {
            Some(HubCommand::Config(ConfigCommand::Check(config))) => config.report(),
            None => run(self.config.load()?).await,
        }
    }
}

async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::usage("端口无法监听", "an address cannot be listened on");
        failure.because(format!("listen.{what} {address}: {error}"))
    })
}

async fn run(config: Config) -> Result<Report, Failure> {
    let stop = stop::on_signal()?;
    let listeners = Listeners {
        api: bind("api", config.listen.api).await?,
        enrolment: bind("enrolment", config.listen.enrolment).await?,
        console: bind("console", config.listen.console).await?,
    };
    weft_hub::hub::run(config, listeners, stop).await.map_err(failed)?;
    Ok(Report::nothing())
}

fn failed(error: Error) -> Failure {
    let advice =
        Failure::usage("枢纽无法运行；请用 weft doctor 检查", "the hub cannot run; weft doctor says what is wrong");
    match &error {
        Error::Log(_) | Error::Index(_) | Error::OpenLog(_) | Error::Brokers(_) => Failure::unreachable(
            "日志或索引无法使用；请用 weft doctor 检查",
            "log or index cannot be used; weft doctor says what is wrong",
        )
        .caused_by(&error),
        _ => advice.caused_by(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Code, Format};

    fn args(file: Option<&std::path::Path>, settings: &[&str]) -> ConfigArgs {
        let settings = settings.iter().map(|text| setting(text).unwrap()).collect();
        ConfigArgs { config: file.map(Into::into), settings }
    }

    #[test]
    fn every_value_has_an_origin_and_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.toml");
        std::fs::write(&file, "hub_name = \"hub.example\"\ninstance = \"of-file\"\n[limits]\nlooks_burst = 7\n")
            .unwrap();
        let report = args(Some(&file), &["instance=of-flag", "limits.looks_per_second=9"]).report().unwrap();
        let row = |key: &str| report.json().as_array().unwrap().iter().find(|row| row["key"] == key).cloned().unwrap();
        for (key, value, origin) in [
            ("hub_name", json!("hub.example"), "file"),
            ("instance", json!("of-flag"), "flag"),
            ("limits.looks_per_second", json!(9), "flag"),
            ("limits.looks_burst", json!(7), "file"),
            ("trust_domain", json!("weft.local"), "default"),
            ("listen.console", json!("127.0.0.1:8080"), "default"),
        ] {
            assert_eq!(row(key), json!({"key": key, "value": value, "origin": origin}));
        }
        assert_eq!(args(Some(&file), &["instance=x"]).load().unwrap().instance, "x");
    }

    #[test]
    fn the_other_pair_is_named_by_a_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.toml");
        let text = "[storage]\nkind = \"served\"\n[storage.kafka]\nbrokers = \"b:9092\"\n[storage.postgres]\nurl_file = \"url\"\n";
        std::fs::write(&file, text).unwrap();
        let report = args(Some(&file), &["storage.kafka.partitions=3"]).report().unwrap();
        let row = |key: &str| report.json().as_array().unwrap().iter().find(|row| row["key"] == key).cloned().unwrap();
        assert_eq!(row("storage.kafka.brokers")["origin"], "file");
        assert_eq!(row("storage.kafka.partitions")["origin"], "flag");
        assert_eq!(row("storage.kafka.replication")["origin"], "default");
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_come_from() {
        let failure = args(None, &["hub_nmae=x"]).load().unwrap_err();
        assert_eq!(failure.code(), Code::Usage);
        assert!(failure.shown(Format::Table).contains("hub_nmae"));
        for wrong in ["", "x", "=1", "a..b=1", "a b=1"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
    }
}
