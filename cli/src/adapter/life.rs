//! The adapter's life: how it is, what is asked of it, its backup.

use std::path::PathBuf;

use serde_json::{Value, json};
use weft_adapter::{
    Surroundings,
    ask::{Asked, ask},
    backup,
    life::SourceLife,
    spool::OrderKind,
    status::Status,
};

use super::{ConfigArg, failed};
use crate::{
    failure::Failure,
    files,
    report::{Code, Report, listing, sheet},
    stop,
};

/// Of which source.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// One source; without it, all
    #[arg(long, default_value = "", value_name = "NAME")]
    source: String,
}

/// `weft adapter resync`
#[derive(Debug, clap::Args)]
pub(crate) struct ResyncArgs {
    #[command(flatten)]
    of: SourceArgs,
    /// Since when
    #[arg(long, value_name = "TIME")]
    since: jiff::Timestamp,
}

/// `weft adapter reconcile`
#[derive(Debug, clap::Args)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// And send again what differs
    #[arg(long)]
    repair: bool,
}

/// `weft adapter backup`
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The file to write; keep it away from this machine, and the passphrase away from the file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The file with the passphrase, at least 12 characters; `-` is standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: String,
}

/// `weft adapter restore`
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The file that `backup` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The file with the passphrase; `-` is standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: String,
}

/// Exits with 0 only while nothing needs a person.
pub(crate) async fn status(config: &ConfigArg) -> Result<Report, Failure> {
    let status = weft_adapter::status::status(&config.load()?, &Surroundings::system()).await.map_err(failed)?;
    Ok(shown(&status))
}

fn shown(status: &Status) -> Report {
    let json = serde_json::to_value(status).unwrap_or_default();
    let moment = |ms: i64| crate::verify::moment(ms.div_euclid(1_000));
    let snapshot = &status.snapshot;
    let unsent: u64 = snapshot.backlog.iter().map(|one| one.unsent).sum();
    let held: u64 = snapshot.backlog.iter().map(|one| one.held).sum();
    let oldest = snapshot.backlog.iter().filter(|one| one.unsent > 0).map(|one| one.oldest_ms).min();
    let head = json!({
        "state": status.state, "zh": status.zh, "en": status.en, "running": status.running,
        "hub": if snapshot.link.connected { "connected".to_owned() } else { snapshot.link.error.clone() },
        "unsent": unsent, "held": held, "oldest_unsent": oldest.map(moment),
        "awaiting_outcome": snapshot.backlog.iter().map(|one| one.awaiting).sum::<u64>(),
        "open_problems": snapshot.open_problems, "free_disk_mib": snapshot.free_disk_bytes >> 20,
        "clock_offset_ms": snapshot.clock_offset_ms,
        "certificate_expires": snapshot.certificate_expires.map(crate::verify::moment),
        "reconciled": snapshot.reconciled.as_ref().map(|found| format!("{} {}", moment(found.at_ms), found.sentence().1)),
        "troubles": snapshot.troubles.iter().map(|one| one.trouble.clone()).collect::<Vec<_>>(),
    });
    let source = |source: &SourceLife| {
        json!({
            "source": source.name, "kind": source.kind, "state": serde_json::to_value(source.state).unwrap_or_default(),
            "last_read": source.last_read_ms.map(moment), "rows_read": source.rows_read,
            "rows_sent": source.rows_sent, "rows_refused": source.rows_refused,
            "why": if source.en.is_empty() { String::new() } else { format!("{} / {}", source.zh, source.en) },
        })
    };
    let sources: Vec<Value> = snapshot.sources.iter().map(source).collect();
    let columns = ["source", "kind", "state", "last_read", "rows_read", "rows_sent", "rows_refused", "why"];
    let table = format!("{}\n{}", sheet(&head), listing(&columns, &sources));
    Report::both(table, json).with_code(if status.needs_person { Code::Problems } else { Code::Done })
}

pub(crate) async fn of_source(kind: OrderKind, args: SourceArgs) -> Result<Report, Failure> {
    let asked = Asked { kind, source: args.source, since_ms: None, repair: false };
    order(&args.config, asked).await
}

pub(crate) async fn resync(args: ResyncArgs) -> Result<Report, Failure> {
    let since_ms = Some(args.since.as_millisecond());
    order(&args.of.config, Asked { kind: OrderKind::Resync, source: args.of.source, since_ms, repair: false }).await
}

pub(crate) async fn rotate_key(config: &ConfigArg) -> Result<Report, Failure> {
    let asked = Asked { kind: OrderKind::RotateKey, source: String::new(), since_ms: None, repair: false };
    order(config, asked).await
}

async fn order(config: &ConfigArg, asked: Asked) -> Result<Report, Failure> {
    let told = ask(config.load()?, asked, Surroundings::system(), stop::on_signal()?).await.map_err(failed)?;
    let report = Report::sheet(json!({"done": told.done, "zh": told.zh, "en": told.en}));
    Ok(report.with_code(if told.done { Code::Done } else { Code::Problems }))
}

/// Exits with 0 only where nothing differs any more.
pub(crate) async fn reconcile(args: ReconcileArgs) -> Result<Report, Failure> {
    let asked = Asked { kind: OrderKind::Reconcile, source: String::new(), since_ms: None, repair: args.repair };
    let config = args.config.load()?;
    let told = ask(config.clone(), asked, Surroundings::system(), stop::on_signal()?).await.map_err(failed)?;
    if !told.done {
        return Err(Failure::unreachable("未能与枢纽核对", "source and hub could not be compared").because(told.en));
    }
    let found = weft_adapter::status::status(&config, &Surroundings::system()).await.map_err(failed)?;
    let Some(found) = found.snapshot.reconciled else { return Ok(Report::nothing()) };
    let json = serde_json::to_value(&found).unwrap_or_default();
    let named = json["named"].as_array().cloned().unwrap_or_default();
    let mut table = format!("{}\n{}\n", told.zh, told.en);
    if !named.is_empty() {
        table.push_str(&format!(
            "\n{}",
            listing(&["record_id", "difference", "here", "hub", "key", "from", "told"], &named)
        ));
    }
    let code = if found.differs() { Code::Problems } else { Code::Done };
    Ok(Report::both(table, json).with_code(code))
}

fn backup_failed(error: backup::Error) -> Failure {
    Failure::usage("备份文件或状态目录无法使用", "the backup or the state directory cannot be used").caused_by(&error)
}

pub(crate) async fn backup(args: BackupArgs) -> Result<Report, Failure> {
    let passphrase = files::read_text(&args.passphrase_file, 4_096)?;
    let made = backup::backup(&args.config.load()?, &args.to, passphrase.trim(), &Surroundings::system()).await;
    let made = made.map_err(backup_failed)?;
    Ok(Report::sheet(json!({
        "file": args.to, "identity": made.identity.identity, "files": made.files, "bytes": made.bytes,
    })))
}

pub(crate) async fn restore(args: RestoreArgs) -> Result<Report, Failure> {
    let passphrase = files::read_text(&args.passphrase_file, 4_096)?;
    let config = args.config.load()?;
    let made = backup::restore(&config, &args.from, passphrase.trim(), &Surroundings::system()).await;
    let made = made.map_err(backup_failed)?;
    Ok(Report::sheet(json!({
        "state_dir": config.state_dir, "identity": made.identity.identity, "files": made.files,
    })))
}
