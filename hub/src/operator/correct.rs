//! A correction of a record that has ended waits until two persons confirmed it. Then it goes into the log once more, under a registry
//! position that covers both confirmations: so every rebuild sees it confirmed, and the first writing not.

use weft_proto::{Reason, Refusal, v1};
use weft_record::record_id::RecordId;

use super::{OperatorService, check::Faults};
use crate::{
    apply::outcome,
    envelope::{self, ContentType, DataKeys, Header, Place},
    index::rows::{AppendRow, OutcomeRow, SubmissionId},
    log::{Draft, EntryId, Topic},
    registry::{Administered, Registry, event::After},
};

impl OperatorService {
    pub(super) async fn confirm(
        &self,
        who: &str,
        request: v1::ConfirmCorrectionRequest,
    ) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        let submission: SubmissionId = request.submission_id.as_slice().try_into().unwrap_or_else(|_| {
            faults.add("submission_id", "must be 32 bytes, the SHA-256 of the sealed record");
            [0; 32]
        });
        faults.done()?;
        let pending = self.pending(&submission, &request.department).await?;
        let hex = hex::encode(submission);
        let make = |registry: &Registry| {
            let confirmed = registry.corrections.get(&hex).map(Vec::as_slice).unwrap_or_default();
            if confirmed.len() < 2 && confirmed.iter().any(|(one, _)| one == who) {
                return Err(Refusal::new(Reason::FourEyes));
            }
            let after = After::Correction { submission_id: hex.clone(), department: request.department.clone() };
            Ok((format!("correction/{hex}/{who}"), after))
        };
        let administered = self.registry.administer(who, make).await?;
        // Repeated after a failure, a confirmation writes the entry again: apply takes it once.
        let registry = self.registry.snapshot();
        if registry.correction_confirmed(&hex, registry.position) {
            self.append_confirmed(&registry, &pending).await?;
        }
        Ok(administered)
    }

    async fn pending(&self, submission: &SubmissionId, department: &str) -> Result<OutcomeRow, Refusal> {
        let outcomes = self.index.outcomes(&[*submission]).await?;
        let row = outcomes.into_iter().next();
        let row =
            row.ok_or_else(|| Refusal::new(Reason::NotFound).field("submission_id", "there is no such submission"))?;
        let owner = row.record_id.parse::<RecordId>().map(|id| id.department().to_owned()).unwrap_or_default();
        if owner != department {
            return Err(Refusal::new(Reason::NotFound).field("department", "did not hand in this submission"));
        }
        if row.outcome != outcome::PENDING {
            return Err(Refusal::new(Reason::WrongState).detail(format!("its outcome is {}", row.outcome)));
        }
        Ok(row)
    }

    async fn append_confirmed(&self, registry: &Registry, pending: &OutcomeRow) -> Result<(), Refusal> {
        let appends = self.index.appends_of(&pending.record_id, pending.version).await?;
        let ours = |row: &&AppendRow| {
            row.submission_id == Some(pending.submission_id) && matches!(row.partition.topic, Topic::Records(_))
        };
        let append = appends.iter().find(ours);
        let append =
            append.ok_or_else(|| Refusal::new(Reason::Internal).detail("a pending submission has no append"))?;
        let draft = self.confirmed_draft(registry, pending, append)?;
        self.partitions.open_to_appends(&draft.partition)?;
        for appended in self.log.append(vec![draft]).await {
            appended?;
        }
        Ok(())
    }

    fn confirmed_draft(&self, registry: &Registry, pending: &OutcomeRow, append: &AppendRow) -> Result<Draft, Refusal> {
        let unreadable = |what: &str| Refusal::new(Reason::Internal).detail(format!("a pending submission {what}"));
        let value = append.envelope.as_ref().ok_or_else(|| unreadable("has no envelope"))?;
        let topic = &append.partition.topic;
        let place = Place { topic, key: &append.key, entry_id: append.entry_id };
        let (header, text) = envelope::open(place, registry, value).map_err(|error| unreadable(&error.to_string()))?;
        if header.content != ContentType::Record {
            return Err(unreadable("is no record any more"));
        }
        let data_key = registry.data_key(&header.key_id).ok_or_else(|| unreadable("has an unknown data key"))?;
        let header = Header { accepted_at: self.clock.now(), registry_position: registry.position, ..header };
        let entry_id = EntryId::new();
        let key = format!("{}@{}@{entry_id}", pending.record_id, pending.version);
        let value = envelope::seal(Place { topic, key: &key, entry_id }, &header, &data_key, &text);
        Ok(Draft { partition: append.partition.clone(), key, entry_id, headers: Vec::new(), value })
    }
}
