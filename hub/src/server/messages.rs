//! Answers and outcomes as the wire has them.

use weft_proto::v1::{self, OutcomeKind, submission_answer};
use weft_record::problem::Problem;

use crate::{
    apply::outcome,
    index::rows::{OutcomeRow, SubmissionId},
    publish::Answer,
    query::timestamp,
};

/// A door's answer as the wire has it.
pub(super) fn submission_answer(id: SubmissionId, answer: Answer) -> v1::SubmissionAnswer {
    let kind = match answer {
        Answer::Receipt { record_id, version, warnings } => {
            let warnings = warnings.into_iter().map(problem_message).collect();
            submission_answer::Kind::Receipt(v1::Receipt { record_id, version, warnings })
        }
        Answer::Rejected(rejection) => submission_answer::Kind::Rejection(v1::Rejection {
            stage: rejection.stage.as_str().into(),
            problems: rejection.problems.into_iter().map(problem_message).collect(),
            quarantine_id: hex::encode(id),
        }),
        Answer::Retry(refusal) => submission_answer::Kind::Retry(v1::Retry {
            reason: refusal.reason.as_str().into(),
            retry_after_ms: refusal
                .retry_after
                .map_or(1000, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }),
    };
    v1::SubmissionAnswer { submission_id: id.to_vec(), kind: Some(kind) }
}

/// A problem as the wire has it.
fn problem_message(problem: Problem) -> v1::Problem {
    v1::Problem {
        pointer: problem.pointer,
        reason: problem.reason.as_str().into(),
        rule: problem.rule.unwrap_or_default(),
        zh: problem.zh,
        en: problem.en,
        warning: problem.warning,
    }
}

/// An outcome as the wire has it.
pub(super) fn outcome_message(row: OutcomeRow) -> v1::Outcome {
    let kind = match row.outcome.as_str() {
        outcome::PENDING => OutcomeKind::Pending,
        outcome::INDEXED => OutcomeKind::Indexed,
        outcome::DUPLICATE => OutcomeKind::Duplicate,
        outcome::CONFLICT => OutcomeKind::Conflict,
        outcome::GAP => OutcomeKind::Gap,
        outcome::QUARANTINED => OutcomeKind::Quarantined,
        _ => OutcomeKind::Unspecified,
    };
    let (reason, standing) = match kind {
        OutcomeKind::Conflict => (None, row.reason.and_then(|digest| hex::decode(digest).ok())),
        _ => (row.reason, None),
    };
    let problems = reason.map(|reason| v1::Problem { reason, ..v1::Problem::default() });
    v1::Outcome {
        submission_id: row.submission_id.to_vec(),
        kind: kind.into(),
        record_id: row.record_id,
        version: row.version,
        head: row.head,
        position: Some(v1::Position {
            topic: row.partition.topic.name(),
            partition: row.partition.number,
            offset: row.offset,
        }),
        problems: problems.into_iter().collect(),
        decided_at: Some(timestamp(row.at)),
        standing_digest: standing.unwrap_or_default(),
    }
}
