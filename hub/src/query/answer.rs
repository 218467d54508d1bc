//! The ledger entry of a look, and the answer with its proof: seal, statement, position.

use weft_proto::{Refusal, v1};

use super::{Allowed, Query, answering, authorise::Checked, present::Presented, timestamp};
use crate::{
    body::{Given, Look},
    clock::random,
    decode::holder_hash,
    index::Found,
    log::EntryId,
    registry::Registry,
};

impl Query {
    pub(super) fn entry(&self, window: &str, checked: &Checked, registry: &Registry) -> Look {
        let holder = checked.holder.as_ref().map(|(scheme, value)| hex::encode(holder_hash(&self.keys, scheme, value)));
        Look {
            look_id: EntryId::new().to_string(),
            kind: "look".into(),
            at: self.clock.now(),
            window: window.to_owned(),
            clerk: checked.clerk.clone(),
            case_number: checked.case.number.clone(),
            service_item: checked.case.service_item.clone(),
            party_role: checked.case.party_role.clone(),
            purpose: checked.purpose.clone(),
            request_id: checked.request_id.clone(),
            grant: String::new(),
            department: String::new(),
            record_type: String::new(),
            holder: holder.unwrap_or_default(),
            question: String::new(),
            given: Vec::new(),
            as_of: checked.as_of,
            registry_position: registry.position,
            salt: hex::encode(random::<16>()),
        }
    }

    pub(super) fn look_entry(
        &self,
        window: &str,
        checked: &Checked,
        allowed: &Allowed,
        presented: &[Presented],
    ) -> Look {
        let given = presented.iter().map(|one| Given {
            record_id: one.found.row.record_id.clone(),
            version: one.found.row.version,
            answering: one.word.answering.as_str_name().trim_start_matches("ANSWERING_").to_lowercase(),
            fields: one.cut.as_ref().map(|cut| cut.fields.keys().cloned().collect()).unwrap_or_default(),
        });
        Look {
            grant: allowed.grant.clone(),
            department: allowed.department.clone(),
            record_type: allowed.record_type.clone(),
            question: allowed.question.clone(),
            given: given.collect(),
            ..self.entry(window, checked, &allowed.registry)
        }
    }

    pub(super) fn one_answer(
        &self,
        one: Presented,
        checked: &Checked,
        allowed: &Allowed,
        entry: &Look,
        receipt: &v1::LookReceipt,
    ) -> Result<v1::Answer, Refusal> {
        let position = self.position_of(&one.found);
        let presentation = one.cut.map(|cut| cut.token).unwrap_or_default();
        let statement = crate::statement::Statement {
            iss: format!("https://{}", allowed.registry.hub_name.as_deref().unwrap_or_default()),
            iat: entry.at.div_euclid(1000),
            record_id: one.found.row.record_id.clone(),
            version: one.found.row.version,
            status: one.word.status.clone(),
            position: position.clone(),
            as_of: checked.as_of.map(|at| at.div_euclid(1000)),
            ledger_entry: entry.look_id.clone(),
            presentation: crate::statement::sha256_base64url(presentation.as_bytes()),
        };
        let (zh, en) = answering::sentence(one.word.answering);
        Ok(v1::Answer {
            answering: one.word.answering.into(),
            status: one.word.status,
            staleness: one.word.staleness.into_iter().map(Into::into).collect(),
            record_id: one.found.row.record_id,
            version: one.found.row.version,
            presentation,
            statement: self.keys.signer()?.sign(&statement),
            position: Some(v1::Position { topic: position.0, partition: position.1, offset: position.2 }),
            as_of: Some(timestamp(entry.at)),
            receipt: Some(receipt.clone()),
            zh: zh.into(),
            en: en.into(),
        })
    }

    /// A position up to which the index had followed before the look: the version was the highest there.
    fn position_of(&self, found: &Found) -> (String, u32, u64) {
        let partition = &found.row.partition;
        let rows = self.partitions.rows();
        let followed = rows.iter().find(|row| row.partition == *partition).map_or(0, |row| row.next);
        (partition.topic.name(), partition.number, followed.max(found.row.offset + 1))
    }
}
