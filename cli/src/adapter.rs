//! `weft adapter`: the adapter beside a department's system.

mod init;
mod life;
mod progress;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_adapter::{
    Config, Summary, Surroundings, clock::SystemChance, keys::Directory, problem::RowProblem, spool::OrderKind,
};

use crate::{
    failure::Failure,
    files,
    report::{Code, Report, listing, sheet},
    stop,
};

/// `weft adapter`
#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Propose a configuration from samples of what the department's system exports, or from its database or interface
    Init(Box<init::InitArgs>),
    /// Make the adapter's keys and redeem a join token
    Join {
        #[command(flatten)]
        config: ConfigArg,
        /// The file with the join token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token_file: String,
    },
    /// Read and map what waits in the sources; nothing is sent, moved or kept
    Check {
        #[command(flatten)]
        config: ConfigArg,
        /// Show every statement that is run in the department's databases, the rights it needs, hours and rate, to hand
        /// to whoever runs them; nothing is read
        #[arg(long, conflicts_with = "report")]
        show_access: bool,
        /// Write the problems as CSV, safe to open in a spreadsheet; only its owner may read it
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Watch the sources and publish what changes, until stopped
    Run {
        #[command(flatten)]
        config: ConfigArg,
        /// Work off what waits now, then tell what came of it
        #[arg(long)]
        once: bool,
    },
    /// What is wrong with which line of which file, until it is mended
    Problems {
        #[command(flatten)]
        config: ConfigArg,
        /// Close the open problems of this source whose record cannot be told, once they are settled: of increments and
        /// of what was posted, nothing that comes later can tell
        #[arg(long, value_name = "SOURCE")]
        close: Option<String>,
        /// Of the file or unit of this name alone
        #[arg(long, value_name = "NAME", requires = "close")]
        file: Option<String>,
    },
    /// How the adapter is, whether it runs or not; exits with 0 only while nothing needs a person
    Status {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Read no further, until resumed; outlives a restart
    Pause(life::SourceArgs),
    /// Read again what was paused, or stopped because almost everything failed
    Resume(life::SourceArgs),
    /// Read again what the source has since a time; only what differs is sent
    Resync(life::ResyncArgs),
    /// Compare what was published with what the hub has, and name what differs
    Reconcile(life::ReconcileArgs),
    /// Make the next sealing key: the present one vouches for it, and what is unsent is sealed anew
    RotateKey {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Write state and keys into one encrypted file, also while the adapter works
    Backup(life::BackupArgs),
    /// Bring state and keys back from such a file
    Restore(life::RestoreArgs),
}

/// The configuration's file.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArg {
    /// The adapter's configuration, `adapter.toml`
    #[arg(long, value_name = "FILE", env = "WEFT_ADAPTER_CONFIG")]
    config: PathBuf,
}

impl ConfigArg {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|error| {
            let failure = Failure::usage("适配器配置无法使用", "the adapter's configuration cannot be used");
            failure.because(format!("{}: {}", self.config.display(), crate::failure::chain(&error)))
        })
    }
}

impl AdapterCommand {
    /// Whether it runs until it is stopped.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Run { .. })
    }

    pub(crate) async fn run(self) -> Result<Report, Failure> {
        match self {
            Self::Init(args) => args.run().await,
            Self::Join { config, token_file } => join(&config.load()?, &token_file).await,
            Self::Check { config, show_access: true, .. } => access(&config.load()?),
            Self::Check { config, report, .. } => check(&config.load()?, report.as_deref()).await,
            Self::Run { config, once: false } => run(config.load()?).await,
            Self::Run { config, once: true } => run_once(config.load()?).await,
            Self::Problems { config, close: None, .. } => problems(&config.load()?).await,
            Self::Problems { config, close: Some(source), file } => {
                close_problems(&config.load()?, &source, file.as_deref()).await
            }
            Self::Status { config } => life::status(&config).await,
            Self::Pause(args) => life::of_source(OrderKind::Pause, args).await,
            Self::Resume(args) => life::of_source(OrderKind::Resume, args).await,
            Self::Resync(args) => life::resync(args).await,
            Self::Reconcile(args) => life::reconcile(args).await,
            Self::RotateKey { config } => life::rotate_key(&config).await,
            Self::Backup(args) => life::backup(args).await,
            Self::Restore(args) => life::restore(args).await,
        }
    }
}

async fn join(config: &Config, token_file: &str) -> Result<Report, Failure> {
    let token = files::read_text(token_file, 256 * 1024)?;
    let directory = Directory::new(&config.state_dir);
    let joined = weft_adapter::join(&token, &directory, &Surroundings::system()).await.map_err(join_failed)?;
    let state = joined.sealing_key.as_str_name().trim_start_matches("KEY_STATE_").to_lowercase();
    let fits = (&joined.identity.department, &joined.identity.adapter) == (&config.department, &config.name);
    let mut json = json!({
        "identity": joined.identity.identity,
        "hub_name": joined.identity.hub_name,
        "sealing_key": state,
        "fingerprint": joined.fingerprint,
    });
    let mut table = sheet(&json);
    if state == "pending" {
        table.push_str("\n请由另一人核对指纹后确认：weft admin key confirm\n");
        table.push_str("another person now compares the fingerprint and confirms it: weft admin key confirm\n");
    }
    if !fits {
        json["warning"] = "the configuration names another department or adapter than the identity".into();
        table.push_str("\n配置中的部门或适配器名称与身份不一致，请改正配置\n");
        table.push_str("the configuration names another department or adapter than the identity: correct it\n");
    }
    Ok(Report::both(table, json).with_code(if fits { Code::Done } else { Code::Problems }))
}

fn join_failed(error: weft_adapter::join::Error) -> Failure {
    use weft_adapter::{join, link};
    match error {
        join::Error::Link(link::Error::Status(status)) => Failure::from(*status),
        join::Error::Link(error) => {
            Failure::unreachable("无法连接枢纽的登记端口", "the hub's enrolment port cannot be reached")
                .caused_by(&error)
        }
        error @ join::Error::Answer(_) => {
            Failure::problems("枢纽的答复不符", "the hub's answer does not fit").caused_by(&error)
        }
        error => Failure::usage("无法入网", "joining is not possible").caused_by(&error),
    }
}

/// Where to look for each kind of failure is in its text; a source or hub that is away is none of them.
fn failed(error: weft_adapter::runner::Error) -> Failure {
    match error {
        weft_adapter::runner::Error::Stopped => Failure::unreachable(
            "尚未全部得到答复即停止；已保存的部分下次运行时继续",
            "stopped before everything was answered; what was taken in goes on at the next run",
        ),
        error => Failure::usage("适配器无法运行", "the adapter cannot run").caused_by(&error),
    }
}

const COLUMNS: [&str; 7] = ["file", "line", "column", "value", "reason", "zh", "en"];

fn row(problem: &RowProblem) -> Value {
    json!({
        "file": problem.file, "line": problem.line, "column": problem.column, "reason": problem.reason.as_str(),
        "value": problem.value, "zh": problem.zh, "en": problem.en, "note": problem.note,
    })
}

async fn check(config: &Config, report: Option<&Path>) -> Result<Report, Failure> {
    let reports = weft_adapter::check(config, &Surroundings::system()).await.map_err(failed)?;
    if let Some(path) = report {
        let all: Vec<RowProblem> = reports.iter().flat_map(|report| report.problems.clone()).collect();
        files::write_private(path, weft_adapter::problem::table_csv(&all).as_bytes())?;
    }
    let rows = |problems: &[RowProblem]| problems.iter().map(row).collect::<Vec<_>>();
    let files: Vec<Value> = reports
        .iter()
        .map(|report| {
            json!({
                "source": report.source, "file": report.file, "rows": report.rows, "skipped": report.skipped,
                "mapped": report.mapped, "valid": report.valid, "problems": rows(&report.problems),
            })
        })
        .collect();
    let mut table = listing(&["source", "file", "rows", "skipped", "mapped", "valid"], &files);
    let all: Vec<Value> = reports.iter().flat_map(|report| rows(&report.problems)).collect();
    if !all.is_empty() {
        table.push_str(&format!("\n{}", listing(&COLUMNS, &all)));
    }
    let wrong = reports.iter().any(|report| report.problems.iter().any(|problem| !problem.note));
    Ok(Report::both(table, Value::Array(files)).with_code(if wrong { Code::Problems } else { Code::Done }))
}

fn access(config: &Config) -> Result<Report, Failure> {
    let mut rows = Vec::new();
    let mut texts = String::new();
    for (source, all) in weft_adapter::access(config, &Surroundings::system()).map_err(failed)? {
        for access in all {
            let row = json!({
                "source": source, "purpose": access.purpose, "statement": access.statement, "rights": access.rights,
                "when": access.when, "rate": access.rate,
            });
            texts.push_str(&format!("{}\n", sheet(&row)));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        texts.push_str("没有读取数据库的来源\nno source reads a database\n");
    }
    Ok(Report::both(texts, Value::Array(rows)))
}

async fn run(config: Config) -> Result<Report, Failure> {
    let stop = stop::on_signal()?;
    weft_adapter::run(config, progress::surroundings(), stop).await.map_err(failed)?;
    Ok(Report::nothing())
}

async fn run_once(config: Config) -> Result<Report, Failure> {
    let stop: CancellationToken = stop::on_signal()?;
    let summary = weft_adapter::run_once(config, progress::surroundings(), stop).await.map_err(failed)?;
    Ok(told(&summary))
}

fn told(summary: &Summary) -> Report {
    let rows: Vec<Value> = summary.problems.iter().map(|problem| row(&problem.problem)).collect();
    let mut counts = json!({
        "rows": summary.rows, "skipped": summary.skipped, "mapped": summary.mapped, "published": summary.published, "rejected": summary.rejected,
        "indexed": summary.indexed, "duplicate": summary.duplicate, "quarantined": summary.quarantined,
        "held": summary.held,
    });
    let mut table = sheet(&counts);
    if !rows.is_empty() {
        table.push_str(&format!("\n{}", listing(&COLUMNS, &rows)));
    }
    let failed: Vec<Value> = summary
        .failed
        .iter()
        .map(|failed| json!({"source": failed.source, "zh": failed.zh, "en": failed.en}))
        .collect();
    if !failed.is_empty() {
        table.push_str(&format!("\n{}", listing(&["source", "zh", "en"], &failed)));
    }
    let wrong = !failed.is_empty() || summary.problems.iter().any(|problem| !problem.problem.note);
    counts["problems"] = Value::Array(rows);
    counts["failed"] = Value::Array(failed);
    Report::both(table, counts).with_code(if wrong { Code::Problems } else { Code::Done })
}

async fn close_problems(config: &Config, source: &str, file: Option<&str>) -> Result<Report, Failure> {
    let closed = weft_adapter::close_problems(config, source, file, &Surroundings::system()).await.map_err(failed)?;
    Ok(Report::sheet(json!({"source": source, "closed": closed})))
}

async fn problems(config: &Config) -> Result<Report, Failure> {
    let directory = Directory::new(&config.state_dir);
    let found = weft_adapter::problems(&directory, std::sync::Arc::new(SystemChance)).await.map_err(failed)?;
    let rows: Vec<Value> = found
        .iter()
        .map(|found| {
            let mut row = row(&found.problem);
            row["source"] = found.source.clone().into();
            row["record_id"] = found.record_id.clone().into();
            row["found_at"] = crate::verify::moment(found.found_ms.div_euclid(1000)).into();
            row
        })
        .collect();
    let wrong = found.iter().any(|found| !found.problem.note);
    Ok(Report::listing(&COLUMNS, rows).with_code(if wrong { Code::Problems } else { Code::Done }))
}

#[cfg(test)]
mod tests {
    use weft_adapter::problem::Reason;

    use super::*;
    use crate::report::Format;

    #[tokio::test]
    async fn a_wrong_configuration_is_usage_and_names_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("adapter.toml");
        std::fs::write(&config, "nmae = 1\n").unwrap();
        let check = AdapterCommand::Check { config: ConfigArg { config }, show_access: false, report: None };
        let failure = check.run().await.unwrap_err();
        assert_eq!(failure.code(), Code::Usage);
        assert!(failure.shown(Format::Table).contains("nmae"), "{}", failure.shown(Format::Table));
    }

    #[test]
    fn a_run_with_problems_shows_lines_and_exits_with_1() {
        let problem = RowProblem::new(17, "成立日期", Reason::DateImpossible).in_file("export.csv");
        let problem = weft_adapter::spool::ProblemRow { source: "s".into(), problem, record_id: None, found_ms: 0 };
        let report = told(&Summary { rows: 2, problems: vec![problem], ..Summary::default() });
        assert_eq!((report.code(), &report.json()["problems"][0]["line"]), (Code::Problems, &json!(17)));
        assert!(report.shown(Format::Table).contains("export.csv"));
        assert_eq!(told(&Summary::default()).code(), Code::Done);
        let failed = weft_adapter::FailedSource { source: "s".into(), zh: "无".into(), en: "no folder /in".into() };
        let report = told(&Summary { failed: vec![failed], ..Summary::default() });
        assert_eq!(report.code(), Code::Problems);
        assert!(report.shown(Format::Table).contains("/in"));
    }
}
