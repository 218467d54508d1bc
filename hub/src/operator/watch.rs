//! What an operator sees: what was refused, what is wrong, how far each partition is. Never a value of a record.

use serde::Deserialize;
use weft_proto::{Reason, Refusal, v1};

use super::{OperatorService, check::is_department};
use crate::{
    index::{
        DigestScope,
        rows::{AlarmRow, PositionRow, QuarantineRow},
    },
    log::Partition,
    query::{page, timestamp},
};

const PAGE: u32 = 100;
const MOST_PAGE: u32 = 1000;
const MOST_ALARMS: u32 = 1000;

impl OperatorService {
    pub(super) async fn quarantine(
        &self,
        who: &str,
        request: v1::ListQuarantineRequest,
    ) -> Result<v1::ListQuarantineResponse, Refusal> {
        if !request.department.is_empty() && !is_department(&request.department) {
            return Err(Refusal::new(Reason::BadRequest).field("department", "is no code of a department"));
        }
        let limit = page::size(request.page_size, PAGE, MOST_PAGE)?;
        let question = format!("quarantine/{}", request.department);
        let after = page::after(&self.keys, who, &question, &request.page_token)?;
        let rows = self.index.quarantine(&request.department, after.as_deref(), limit).await;
        let rows = rows?;
        let full = rows.len() >= limit as usize;
        let last = rows.last().filter(|_| full);
        let next_page_token = last.map(|row| page::token(&self.keys, who, &question, &row.id)).unwrap_or_default();
        Ok(v1::ListQuarantineResponse { entries: rows.into_iter().map(quarantined).collect(), next_page_token })
    }

    pub(super) async fn alarms(&self) -> Result<Vec<v1::Alarm>, Refusal> {
        let rows = self.index.alarms(MOST_ALARMS).await?;
        Ok(rows.into_iter().map(alarm).collect())
    }

    pub(super) async fn state(&self, with_digest: bool) -> Result<v1::StatusResponse, Refusal> {
        let counts = self.index.counts().await?;
        let mut partitions = Vec::new();
        for row in self.index.positions().await? {
            let end = self.log.end(&row.partition).await?;
            partitions.push(partition_status(row, end));
        }
        let (mut index_digest, mut content_digest) = (String::new(), String::new());
        if with_digest {
            index_digest = self.digest(DigestScope::Everything).await?;
            content_digest = self.digest(DigestScope::Content).await?;
        }
        Ok(v1::StatusResponse {
            partitions,
            registry_floor: self.index.registry_floor().await?,
            registry_position: self.registry.snapshot().position,
            index_digest,
            content_digest,
            indexed: counts.versions,
            ledger_entries: counts.ledger,
        })
    }

    async fn digest(&self, scope: DigestScope) -> Result<String, Refusal> {
        Ok(hex::encode(self.index.digest(scope).await?))
    }
}

fn position(partition: &Partition, offset: u64) -> Option<v1::Position> {
    Some(v1::Position { topic: partition.topic.name(), partition: partition.number, offset })
}

fn partition_status(row: PositionRow, end: u64) -> v1::PartitionStatus {
    v1::PartitionStatus {
        position: position(&row.partition, row.next),
        end,
        current: row.current,
        owner: row.owner.unwrap_or_default(),
    }
}

fn alarm(row: AlarmRow) -> v1::Alarm {
    let of_the_log = crate::alarms::is_of_the_log(&row);
    v1::Alarm {
        position: position(&row.partition, row.offset).filter(|_| of_the_log),
        alarm: row.alarm,
        at: Some(timestamp(row.at)),
        detail: row.detail,
    }
}

/// A problem as the index keeps it.
#[derive(Deserialize)]
struct Kept {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    zh: String,
    #[serde(default)]
    en: String,
    #[serde(default)]
    warning: bool,
}

fn quarantined(row: QuarantineRow) -> v1::Quarantined {
    let kept: Vec<Kept> = serde_json::from_str(&row.problems).unwrap_or_else(|error| {
        tracing::error!(%error, id = row.id, "problems of a quarantine row cannot be read");
        Vec::new()
    });
    let problem = |kept: Kept| v1::Problem {
        pointer: kept.pointer,
        reason: kept.reason,
        rule: kept.rule.unwrap_or_default(),
        zh: kept.zh,
        en: kept.en,
        warning: kept.warning,
    };
    v1::Quarantined {
        adapter: row.sender.rsplit('/').next().unwrap_or_default().to_owned(),
        at: (row.at > 0).then(|| timestamp(row.at)),
        problems: kept.into_iter().map(problem).collect(),
        position: position(&row.partition, row.offset),
        submission_id: row.id,
        department: row.department,
        record_type: row.record_type,
        record_id: row.record_id,
        version: row.version,
        stage: row.stage,
        closed: row.closed,
    }
}
