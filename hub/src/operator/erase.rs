//! Erasure: every copy of a version's text in the log is overwritten by a stub under the same key. The version keeps its number, event
//! and status; what a rebuild needs after compaction stands in the registry.

use std::time::Duration;

use weft_proto::{Reason, Refusal, v1};
use weft_record::record_id::RecordId;

use super::{OperatorService, check::Faults};
use crate::{
    body::Stub,
    envelope::{self, ContentType, Header},
    follow::stub_draft,
    index::rows::{AppendRow, VersionRow},
    log::{Draft, Partition, Topic},
    registry::{
        Administered, Registry,
        event::{After, Erasure},
    },
};

/// How long an erasure may take until every stub is applied.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often positions are asked for while it waits: another instance may work the partition.
const ASK_EVERY: Duration = Duration::from_millis(50);

impl OperatorService {
    pub(super) async fn erase(&self, who: &str, request: v1::EraseVersionRequest) -> Result<Administered, Refusal> {
        let mut faults = Faults::default();
        if request.record_id.parse::<RecordId>().is_err() {
            faults.add("record_id", "is no record identifier");
        }
        if request.version == 0 {
            faults.add("version", "begins at 1");
        }
        faults.sentence("why", &request.why);
        faults.sentence("legal_basis", &request.legal_basis);
        faults.done()?;
        let late = |_| {
            Err(Refusal::new(Reason::DeadlineExceeded)
                .detail("not every stub is applied yet; ask again, what was done is not done twice"))
        };
        tokio::time::timeout(DEADLINE, self.erase_all(who, request)).await.unwrap_or_else(late)
    }

    async fn erase_all(&self, who: &str, request: v1::EraseVersionRequest) -> Result<Administered, Refusal> {
        let (record_id, version) = (request.record_id.clone(), request.version);
        let row = self.version(&record_id, version).await?;
        let quarantine = Partition { topic: Topic::Quarantine, number: 0 };
        for partition in [&row.partition, &quarantine] {
            let end = self.log.end(partition).await?;
            self.followed(partition, end).await?;
        }
        let row = self.version(&record_id, version).await?;
        let copies = self.copies(&row).await?;
        if row.erased && copies.is_empty() {
            return Err(Refusal::new(Reason::WrongState).detail("this version is erased already"));
        }
        let make = |registry: &Registry| {
            let known = registry.erasures.get(&(record_id.clone(), version)).cloned();
            let erasure = known.unwrap_or_else(|| erasure_of(&row, &request));
            let erasure = Erasure { keys: keys_of(&erasure, &copies), ..erasure };
            Ok((format!("erasure/{record_id}@{version}"), After::Erasure(erasure)))
        };
        let administered = self.registry.administer(who, make).await?;
        let mut copies = copies;
        while !copies.is_empty() {
            self.overwrite(&row, &copies).await?;
            // What was handed in again meanwhile is a copy too.
            copies = self.copies(&row).await?;
        }
        Ok(administered)
    }

    async fn version(&self, record_id: &str, version: u64) -> Result<VersionRow, Refusal> {
        let row = self.index.version(record_id, version).await?;
        row.ok_or_else(|| Refusal::new(Reason::NotFound).detail("there is no such version"))
    }

    /// Every entry that still has the version's text, whatever became of it.
    async fn copies(&self, row: &VersionRow) -> Result<Vec<AppendRow>, Refusal> {
        let mut appends = self.index.appends_of(&row.record_id, row.version).await?;
        appends.retain(|append| {
            let header = append.envelope.as_deref().map(envelope::header);
            !matches!(header, Some(Ok(Header { content: ContentType::Stub | ContentType::Again, .. })))
        });
        Ok(appends)
    }

    /// Writes a stub under each key, and waits until they are applied.
    async fn overwrite(&self, row: &VersionRow, copies: &[AppendRow]) -> Result<(), Refusal> {
        let registry = self.registry.snapshot();
        let stub = Stub {
            record_id: row.record_id.clone(),
            version: row.version,
            event: row.event.clone(),
            status: row.status.clone(),
            digest: hex::encode(row.content_digest),
        };
        let mut drafts: Vec<Draft> = Vec::with_capacity(copies.len());
        for copy in copies {
            let again = drafts.iter().any(|draft| draft.key == copy.key && draft.partition == copy.partition);
            if again {
                continue;
            }
            self.partitions.open_to_appends(&copy.partition)?;
            let place = (&copy.partition, copy.key.as_str());
            drafts.push(stub_draft(&registry, &row.department, &stub, place, self.clock.now())?);
        }
        let places: Vec<Partition> = drafts.iter().map(|draft| draft.partition.clone()).collect();
        let appended = self.log.append(drafts).await;
        for (partition, offset) in places.iter().zip(appended) {
            let offset = offset?;
            self.followed(partition, offset + 1).await?;
        }
        Ok(())
    }

    /// Waits until the index has followed a partition to `end`. The caller's deadline bounds it.
    async fn followed(&self, partition: &Partition, end: u64) -> Result<(), Refusal> {
        loop {
            let row = self.index.position(partition).await?;
            if end == 0 || row.is_some_and(|row| row.current && row.next >= end) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

fn erasure_of(row: &VersionRow, request: &v1::EraseVersionRequest) -> Erasure {
    Erasure {
        record_id: row.record_id.clone(),
        version: row.version,
        record_type: row.record_type.clone(),
        department: row.department.clone(),
        event: row.event.clone(),
        status: row.status.clone(),
        frozen: row.frozen,
        suspended: row.suspended,
        iat: row.iat,
        accepted_at: row.accepted_at,
        kid: row.kid.clone(),
        submission_id: hex::encode(row.submission_id),
        offset: row.offset,
        content_digest: hex::encode(row.content_digest),
        substance_digest: hex::encode(row.substance_digest),
        keys: vec![row.key.clone()],
        why: request.why.clone(),
        legal_basis: request.legal_basis.clone(),
    }
}

/// The version's own key first: a rebuild stands the version up under it.
fn keys_of(erasure: &Erasure, copies: &[AppendRow]) -> Vec<String> {
    let mut keys = erasure.keys.clone();
    for copy in copies {
        if !keys.contains(&copy.key) {
            keys.push(copy.key.clone());
        }
    }
    keys
}
