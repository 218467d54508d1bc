//! The fleet: how every adapter stands, and what is asked of one.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weft_proto::v1::{
    AdapterState, Command, CommandAdapterRequest, CommandKind, FleetEntry, ListFleetRequest, SourceReport,
};

use super::{moment, operator, timestamp};
use crate::{
    client::ClientArgs,
    failure::Failure,
    report::{Code, Format, Report, listing},
    stop,
};

/// `weft admin fleet`
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// Of this department alone
    #[arg(long, default_value = "")]
    department: String,
    /// Show it again and again, until stopped
    #[arg(long)]
    watch: bool,
    /// Seconds between one and the next
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    #[command(flatten)]
    client: ClientArgs,
}

impl FleetArgs {
    /// Exits with 0 only while nothing needs a person.
    pub(crate) async fn run(self, format: Format) -> Result<Report, Failure> {
        if !self.watch {
            return self.once().await;
        }
        let stop = stop::on_signal()?;
        loop {
            let report = self.once().await;
            if format == Format::Table {
                // Home, and clear what is below: the newest table stands alone.
                print!("\x1b[H\x1b[2J");
            }
            let code = match report {
                Ok(report) => report.print(format),
                Err(failure) => failure.print(format),
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(Report::nothing().with_code(code)),
                () = tokio::time::sleep(Duration::from_secs(self.every)) => {}
            }
        }
    }

    async fn once(&self) -> Result<Report, Failure> {
        let request = self.client.request(ListFleetRequest { department: self.department.clone() });
        let entries = operator(&self.client).await?.list_fleet(request).await?.into_inner().entries;
        Ok(shown(&entries))
    }
}

fn shown(entries: &[FleetEntry]) -> Report {
    let rows: Vec<Value> = entries.iter().map(row).collect();
    let columns = ["adapter", "state", "heard", "unsent", "oldest", "why"];
    let lines: Vec<Value> = entries.iter().zip(&rows).map(|(entry, row)| line(entry, row)).collect();
    let mut table = listing(&columns, &lines);
    for entry in entries.iter().filter(|entry| entry.needs_person) {
        let adapter = format!("{}/{}", entry.department, entry.adapter);
        table.push_str(&format!("\n{adapter}\n  {}；{}\n  {}; {}\n", entry.zh, entry.todo_zh, entry.en, entry.todo_en));
        let problems = entry.heartbeat.iter().flat_map(|beat| &beat.last_problems);
        for problem in problems {
            let at = format!("{}:{} {}", problem.file, problem.line, problem.column);
            table.push_str(&format!("  {} [{}] {} / {}\n", at.trim_end(), problem.reason, problem.zh, problem.en));
        }
    }
    let code = if entries.iter().any(|entry| entry.needs_person) { Code::Problems } else { Code::Done };
    Report::both(crate::report::lines(&table), Value::Array(rows)).with_code(code)
}

/// The name of a state on the wire, as people write it.
fn word(state: AdapterState) -> String {
    state.as_str_name().trim_start_matches("ADAPTER_STATE_").to_lowercase().replace('_', "-")
}

fn line(entry: &FleetEntry, row: &Value) -> Value {
    json!({
        "adapter": format!("{}/{}", entry.department, entry.adapter), "state": row["state"],
        "heard": row["heard_at"], "unsent": row["unsent"], "oldest": row["oldest_unsent"],
        "why": format!("{} / {}", entry.zh, entry.en),
    })
}

fn row(entry: &FleetEntry) -> Value {
    let beat = entry.heartbeat.clone().unwrap_or_default();
    let hello = entry.hello.clone().unwrap_or_default();
    let unsent: u64 = beat.backlog.iter().map(|one| one.unsent).sum();
    let held: u64 = beat.backlog.iter().map(|one| one.held).sum();
    let problems = beat.last_problems.iter().map(|one| {
        json!({
            "source": one.source, "file": one.file, "line": one.line, "column": one.column, "reason": one.reason,
            "zh": one.zh, "en": one.en,
        })
    });
    let reconciled = beat.reconciled.as_ref().map(|one| {
        json!({
            "at": moment(one.at.as_ref()), "here": one.here, "hub": one.hub, "missing": one.missing,
            "extra": one.extra, "different": one.different, "repaired": one.repaired, "told": one.told,
            "sources": one.sources.iter().map(|one| json!({
                "name": one.name, "basis": one.basis, "rows": one.rows, "zh": one.zh, "en": one.en,
            })).collect::<Vec<_>>(),
        })
    });
    let commands = beat.commands.iter().map(|one| json!({"id": one.id, "done": one.done, "zh": one.zh, "en": one.en}));
    json!({
        "department": entry.department, "adapter": entry.adapter, "state": word(entry.state()),
        "needs_person": entry.needs_person, "zh": entry.zh, "en": entry.en, "todo_zh": entry.todo_zh,
        "todo_en": entry.todo_en, "heard_at": moment(entry.heard_at.as_ref()), "unsent": unsent, "held": held,
        "oldest_unsent": moment(entry.oldest_unsent.as_ref()), "awaiting_outcome": beat.awaiting_outcome,
        "version": hello.version, "config_digest": hello.config_digest, "instance": entry.instance,
        "free_disk_bytes": beat.free_disk_bytes, "clock_offset_ms": beat.clock_offset_ms,
        "certificate_expires": moment(beat.certificate_expires.as_ref()), "ledger_position": beat.ledger_position,
        "open_problems": beat.open_problems, "last_problems": problems.collect::<Vec<_>>(),
        "reconciled": reconciled, "sources": beat.sources.iter().map(source).collect::<Vec<_>>(),
        "commands": commands.collect::<Vec<_>>(),
        "pending": entry.pending.iter().map(|command| command.id.clone()).collect::<Vec<_>>(),
    })
}

fn source(source: &SourceReport) -> Value {
    json!({
        "name": source.name,
        "state": source.state().as_str_name().trim_start_matches("SOURCE_STATE_").to_lowercase().replace('_', "-"),
        "reachable": source.reachable, "last_read_ago_ms": source.last_read_ago_ms, "rows_read": source.rows_read,
        "rows_sent": source.rows_sent, "rows_refused": source.rows_refused, "zh": source.zh, "en": source.en,
    })
}

/// `weft admin adapter`
#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Read no further, until resumed; outlives a restart
    Pause(AskArgs),
    /// Read again what was paused, or stopped because almost everything failed
    Resume(AskArgs),
    /// Read again what the source has since a time; only what differs is sent
    Resync {
        #[command(flatten)]
        ask: AskArgs,
        /// Since when
        #[arg(long, value_name = "TIME")]
        since: jiff::Timestamp,
    },
    /// Compare source and hub
    Reconcile {
        #[command(flatten)]
        ask: AskArgs,
        /// And send again what differs
        #[arg(long)]
        repair: bool,
    },
    /// Renew the certificate now
    Renew(AskArgs),
}

/// Of whom.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// `<department>/<adapter>`
    #[arg(value_name = "ADAPTER", value_parser = place)]
    adapter: Place,
    /// One of its sources; without it, all
    #[arg(long, default_value = "", value_name = "NAME")]
    source: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Clone, Debug)]
struct Place {
    department: String,
    adapter: String,
}

fn place(text: &str) -> Result<Place, String> {
    let (department, adapter) = text.split_once('/').ok_or("an adapter is <department>/<adapter>")?;
    Ok(Place { department: department.to_owned(), adapter: adapter.to_owned() })
}

impl AdapterCommand {
    /// Tells the command's id; what came of it stands in `weft admin fleet -o json`.
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let (kind, ask, since, repair) = match self {
            Self::Pause(ask) => (CommandKind::Pause, ask, None, false),
            Self::Resume(ask) => (CommandKind::Resume, ask, None, false),
            Self::Resync { ask, since } => (CommandKind::Resync, ask, Some(timestamp(since)), false),
            Self::Reconcile { ask, repair } => (CommandKind::Reconcile, ask, None, repair),
            Self::Renew(ask) => (CommandKind::Renew, ask, None, false),
        };
        let command = Command { id: String::new(), kind: kind.into(), source: ask.source, since, repair };
        let Place { department, adapter } = ask.adapter;
        let message = CommandAdapterRequest { department, adapter, command: Some(command) };
        let request = ask.client.request(message);
        let answer = operator(&ask.client).await?.command_adapter(request).await?.into_inner();
        Ok(Report::sheet(json!({"command_id": answer.command_id})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_stands_first_and_its_remedy_below_and_the_code_says_that_a_person_is_needed() {
        let entry = |adapter: &str, state: AdapterState, needs_person| FleetEntry {
            department: "d".into(),
            adapter: adapter.into(),
            state: state.into(),
            needs_person,
            zh: "已有 3 分钟没有心跳".into(),
            en: "it has not been heard of for 3 min".into(),
            todo_zh: "请启动".into(),
            todo_en: "start it".into(),
            ..FleetEntry::default()
        };
        let report = shown(&[entry("a", AdapterState::Silent, true), entry("b", AdapterState::BackFilling, false)]);
        let table = report.shown(Format::Table);
        assert!(table.find("d/a") < table.find("d/b") && table.contains("start it"), "{table}");
        assert_eq!((report.code(), &report.json()[1]["state"]), (Code::Problems, &json!("back-filling")));
        assert_eq!(shown(&[entry("b", AdapterState::Healthy, false)]).code(), Code::Done);
    }
}
