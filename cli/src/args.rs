//! The command line.

use std::io::IsTerminal;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{
    adapter::AdapterCommand,
    doctor::DoctorArgs,
    failure::Failure,
    query::QueryCommand,
    report::{Format, Report},
    verify::VerifyArgs,
    window::WindowCommand,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  problems were found, or the hub refused
  2  the command line, a configuration or a file named there cannot be used
  3  the hub or a server behind it cannot be reached, or cannot serve now";

/// Weft (纬): verified licences and certificates between departments and service windows
#[derive(Debug, Parser)]
#[command(name = "weft", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How data is printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) logging: Logging,
}

/// What is logged, on standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct Logging {
    /// What is logged, such as `info` or `weft_hub=debug,warn`
    #[arg(long, global = true, env = "WEFT_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How it is logged
    #[arg(long, global = true, env = "WEFT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A hall at work on this machine: departments publish, a window asks, every step is shown
    #[cfg(feature = "hub")]
    Demo(crate::demo::DemoArgs),
    /// Run a hub instance, or look at its configuration
    #[cfg(feature = "hub")]
    Hub(crate::hub::HubArgs),
    /// The adapter beside a department's system
    #[command(subcommand)]
    Adapter(AdapterCommand),
    /// A window's identity
    #[command(subcommand)]
    Window(WindowCommand),
    /// Look at records, as a window
    #[command(subcommand)]
    Query(QueryCommand),
    /// Check a presentation offline: the department's seal, and the hub's statement
    Verify(VerifyArgs),
    /// What operators do
    #[cfg(feature = "hub")]
    #[command(subcommand)]
    Admin(Box<crate::admin::AdminCommand>),
    /// Say what is wrong with an installation, and what to do
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether it runs until it is stopped.
    pub(crate) fn is_service(&self) -> bool {
        match self {
            #[cfg(feature = "hub")]
            Self::Hub(hub) => hub.is_service(),
            Self::Adapter(adapter) => adapter.is_service(),
            _ => false,
        }
    }

    #[cfg_attr(not(feature = "hub"), allow(unused_variables, reason = "only the hub's commands print as they go"))]
    pub(crate) async fn run(self, format: Format) -> Result<Report, Failure> {
        match self {
            #[cfg(feature = "hub")]
            Self::Demo(demo) => demo.run(format).await,
            #[cfg(feature = "hub")]
            Self::Hub(args) => args.run().await,
            Self::Adapter(command) => command.run().await,
            Self::Window(command) => command.run().await,
            Self::Query(command) => command.run().await,
            Self::Verify(args) => args.run(),
            #[cfg(feature = "hub")]
            Self::Admin(command) => command.run(format).await,
            Self::Doctor(args) => args.run().await,
            Self::Completions { shell } => Ok(completions(shell)),
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weft", &mut script);
    Report::text(String::from_utf8_lossy(&script).into_owned())
}

impl Logging {
    /// Starts logging; `service` is what runs until it is stopped, and says more.
    pub(crate) fn start(&self, service: bool) {
        let usual = if service { "info" } else { "error" };
        let wanted = self.log.as_deref().unwrap_or(usual);
        let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new(usual));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_span_events(FmtSpan::NONE)
            .with_ansi(std::io::stderr().is_terminal());
        // A second start in one process keeps the first: nothing is lost by it.
        let _ = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().try_init(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parses(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    const CLIENT: &str = "--hub https://hub.example:8443 --certificate c --key k --ca a";
    const LOOK: &str = "--case 2026-1 --item food-business-licence-application --role applicant --purpose p --clerk 17";

    #[test]
    fn what_is_documented_parses() {
        for line in [
            "weft verify presentation.txt --keys jwks.json".to_owned(),
            "weft verify - --keys a --keys b --statement s --hub-keys h -o json".to_owned(),
            "weft adapter join --config adapter.toml --token-file -".to_owned(),
            "weft adapter init drop/export.csv drop/more.csv --yes --hub https://hub.example:8443".to_owned(),
            "weft adapter init postgres://reader@db.example:5432/licensing --password-file p --table v_licence"
                .to_owned(),
            "weft adapter init https://old.example/licences --allow 10.1.2.3 --ca-file ca.pem --secret-file s"
                .to_owned(),
            "weft adapter check --config adapter.toml".to_owned(),
            "weft adapter check --config adapter.toml --report problems.csv".to_owned(),
            "weft adapter run --config adapter.toml --once -o json".to_owned(),
            "weft adapter problems --config adapter.toml".to_owned(),
            "weft window join --dir window --token-file -".to_owned(),
            "weft window renew --dir window --hub https://hub.example:8443".to_owned(),
            format!("weft query record a.b.c {CLIENT} {LOOK}"),
            format!("weft query record --identifier business-licence licence_number 1 {CLIENT} {LOOK} --holder uscc:9"),
            format!("weft query holder --type business-licence --holder uscc:9 {CLIENT} {LOOK} --field name --save f"),
            "weft doctor --config hub.toml".to_owned(),
            "weft completions bash".to_owned(),
        ] {
            parses(&line).unwrap_or_else(|kind| panic!("{line}: {kind:?}"));
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    fn what_operators_do_parses() {
        for line in [
            "weft hub --config hub.toml --set instance=hub-2",
            "weft hub config check --config hub.toml -o json",
            "weft admin init --config hub.toml --operator li --operator wang",
            "weft admin backup --config hub.toml --to f --passphrase-file p",
            "weft admin restore-keys --from f --keys-dir keys --passphrase-file p",
        ] {
            parses(line).unwrap_or_else(|kind| panic!("{line}: {kind:?}"));
        }
        for line in [
            "department add market-regulation --name-zh 市场监督管理局 --name-en MR --record-type business-licence",
            "department add m --name-zh m --name-en m --coverage business-licence,since=2015-01-01,divisions=370302+370303",
            "department list",
            "window add hall-1 --name-zh 一号窗口 --hall 政务大厅",
            "window list",
            "join-token department/market-regulation/adapter/main --valid 2h",
            "key list market-regulation",
            "key confirm market-regulation abc",
            "key retire market-regulation abc",
            "key compromise market-regulation abc --since 2026-01-01T00:00:00Z",
            "grant request --window hall-1 --item i --record-type t --department d --field a --field b --purpose p",
            "grant approve g",
            "grant suspend g --why w",
            "grant revoke g --why w",
            "grant list",
            "quarantine list --department d",
            "erase a.b.c 2 --why w --legal-basis l --yes",
            "correction confirm 00 --department d",
            "identity revoke window/hall-1 --why w",
            "fleet --watch --every 5 --department d",
            "adapter pause d/main --source s",
            "adapter resume d/main",
            "adapter resync d/main --since 2026-01-01T00:00:00Z",
            "adapter reconcile d/main --repair",
            "adapter renew d/main",
            "alarms",
            "status --digest",
            "resend --department d --record-type t --since 2026-01-01T00:00:00Z",
        ] {
            let line = format!("weft admin {line} {CLIENT}");
            parses(&line).unwrap_or_else(|kind| panic!("{line}: {kind:?}"));
        }
    }

    #[test]
    fn what_is_incomplete_does_not_parse() {
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};
        for (line, kind) in [
            ("weft verify presentation.txt".to_owned(), MissingRequiredArgument),
            ("weft verify p --keys k --statement s".to_owned(), MissingRequiredArgument),
            (format!("weft query record {CLIENT} {LOOK}"), MissingRequiredArgument),
            (format!("weft query record a --identifier t f v {CLIENT} {LOOK}"), ArgumentConflict),
            (format!("weft query holder --type t {CLIENT} {LOOK}"), MissingRequiredArgument),
            (format!("weft query holder --type t --holder uscc {CLIENT} {LOOK}"), ValueValidation),
            (format!("weft query record a {CLIENT} {LOOK} --as-of yesterday"), ValueValidation),
        ] {
            assert_eq!(parses(&line).unwrap_err(), kind, "{line}");
        }
    }
}
