//! Records and the log: quarantine, erasure, corrections, alarms, state, sending again.

use clap::Subcommand;
use serde_json::{Value, json};
use weft_proto::v1::{
    ConfirmCorrectionRequest, EraseVersionRequest, ListAlarmsRequest, ListQuarantineRequest, Problem, Quarantined,
    RequestResendRequest, StatusRequest,
};

use super::{changed, moment, operator, position, timestamp};
use crate::{
    client::ClientArgs,
    failure::Failure,
    report::{Code, Report, listing, sheet},
};

/// `weft admin quarantine`
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// What was refused at the door and waits for a right one
    List {
        /// Of this department alone
        #[arg(long, default_value = "")]
        department: String,
        /// As many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        client: ClientArgs,
    },
}

impl QuarantineCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let Self::List { department, limit, client } = self;
        let mut operator = operator(&client).await?;
        let (mut rows, mut page_token) = (Vec::new(), String::new());
        while rows.len() < limit {
            let page_size = i32::try_from((limit - rows.len()).min(500)).unwrap_or(500);
            let message = ListQuarantineRequest { department: department.clone(), page_size, page_token };
            let page = operator.list_quarantine(client.request(message)).await?.into_inner();
            rows.extend(page.entries.iter().map(quarantined));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(Report::listing(&["at", "department", "adapter", "record_type", "record_id", "version", "reasons"], rows))
    }
}

fn quarantined(entry: &Quarantined) -> Value {
    let reasons: Vec<String> =
        entry.problems.iter().map(|problem| format!("{}{}", problem.reason, at(problem))).collect();
    let problems = entry.problems.iter().map(|problem| {
        json!({
            "pointer": problem.pointer, "reason": problem.reason, "rule": problem.rule, "zh": problem.zh,
            "en": problem.en, "warning": problem.warning,
        })
    });
    json!({
        "submission_id": entry.submission_id, "department": entry.department, "adapter": entry.adapter,
        "record_type": entry.record_type, "record_id": entry.record_id, "version": entry.version,
        "at": moment(entry.at.as_ref()), "stage": entry.stage, "reasons": reasons, "closed": entry.closed,
        "position": entry.position.as_ref().map(position), "problems": problems.collect::<Vec<_>>(),
    })
}

fn at(problem: &Problem) -> String {
    if problem.pointer.is_empty() { String::new() } else { format!(" {}", problem.pointer) }
}

/// `weft admin erase`
#[derive(Debug, clap::Args)]
pub(crate) struct EraseArgs {
    /// The record
    record_id: String,
    /// The version
    version: u64,
    /// Why
    #[arg(long)]
    why: String,
    /// The legal basis
    #[arg(long)]
    legal_basis: String,
    /// It cannot be undone: say so
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl EraseArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let message = EraseVersionRequest {
            record_id: self.record_id,
            version: self.version,
            why: self.why,
            legal_basis: self.legal_basis,
        };
        let request = self.client.request(message);
        Ok(changed(operator(&self.client).await?.erase_version(request).await?.get_ref()))
    }
}

/// `weft admin correction`
#[derive(Debug, Subcommand)]
pub(crate) enum CorrectionCommand {
    /// Confirm a correction of a record that has ended, as one of two persons of its department
    Confirm {
        /// The submission that corrects it (hex)
        submission: String,
        /// The department
        #[arg(long)]
        department: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

impl CorrectionCommand {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let Self::Confirm { submission, department, client } = self;
        let submission_id = hex::decode(&submission).map_err(|error| {
            Failure::usage("提交标识须为十六进制", "a submission's identifier is hexadecimal").because(error)
        })?;
        let request = client.request(ConfirmCorrectionRequest { submission_id, department });
        Ok(changed(operator(&client).await?.confirm_correction(request).await?.get_ref()))
    }
}

/// `weft admin alarms`
#[derive(Debug, clap::Args)]
pub(crate) struct AlarmsArgs {
    #[command(flatten)]
    client: ClientArgs,
}

impl AlarmsArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let request = self.client.request(ListAlarmsRequest {});
        let listed = operator(&self.client).await?.list_alarms(request).await?.into_inner().alarms;
        let rows: Vec<Value> = listed
            .iter()
            .map(|alarm| {
                json!({
                    "at": moment(alarm.at.as_ref()), "alarm": alarm.alarm, "detail": alarm.detail,
                    "position": alarm.position.as_ref().map(position),
                })
            })
            .collect();
        let code = if rows.is_empty() { Code::Done } else { Code::Problems };
        Ok(Report::listing(&["at", "alarm", "position", "detail"], rows).with_code(code))
    }
}

/// `weft admin status`
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Also compute the index's digests: reads every row
    #[arg(long)]
    digest: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl StatusArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let request = self.client.request(StatusRequest { with_index_digest: self.digest });
        let status = operator(&self.client).await?.status(request).await?.into_inner();
        let partitions: Vec<Value> = status
            .partitions
            .iter()
            .map(|partition| {
                let at = partition.position.clone().unwrap_or_default();
                json!({
                    "topic": at.topic, "partition": at.partition, "offset": at.offset, "end": partition.end,
                    "lag": partition.end.saturating_sub(at.offset), "current": partition.current,
                    "owner": partition.owner,
                })
            })
            .collect();
        let mut json = json!({
            "indexed": status.indexed, "ledger_entries": status.ledger_entries,
            "registry_position": status.registry_position, "registry_floor": status.registry_floor,
        });
        if self.digest {
            json["index_digest"] = status.index_digest.into();
            json["content_digest"] = status.content_digest.into();
        }
        let columns = ["topic", "partition", "offset", "end", "lag", "current", "owner"];
        let table = format!("{}\n{}", sheet(&json), listing(&columns, &partitions));
        let stuck = status.partitions.iter().any(|partition| !partition.current);
        json["partitions"] = Value::Array(partitions);
        Ok(Report::both(table, json).with_code(if stuck { Code::Problems } else { Code::Done }))
    }
}

/// `weft admin resend`
#[derive(Debug, clap::Args)]
pub(crate) struct ResendArgs {
    /// The department whose adapters send again
    #[arg(long)]
    department: String,
    /// A record type; may be repeated; without any, all of the department's
    #[arg(long = "record-type", value_name = "TYPE")]
    record_types: Vec<String>,
    /// Since when they released it; they keep it seven days
    #[arg(long, value_name = "TIME")]
    since: jiff::Timestamp,
    #[command(flatten)]
    client: ClientArgs,
}

impl ResendArgs {
    pub(crate) async fn run(self) -> Result<Report, Failure> {
        let message = RequestResendRequest {
            department: self.department,
            record_types: self.record_types,
            since: Some(timestamp(self.since)),
        };
        let request = self.client.request(message);
        Ok(changed(operator(&self.client).await?.request_resend(request).await?.get_ref()))
    }
}
