//! A run with everything in it: versions, duplicates, conflicts, gaps, refusals at the door and at apply, and looks.

use std::{collections::HashMap, ops::Range, time::Duration};

use serde_json::json;
use weft_proto::v1::{self, Answering, OutcomeKind, submission_answer};
use weft_record::status::{Event, Status};

use crate::{
    department::{Example, Sealed, TestDepartment, publish_at},
    hub::TestHub,
    window::{ITEM, TestWindow, grant, look},
};

/// The record type of every story.
pub const TYPE: &str = "business-licence";
/// The department of every story.
pub const DEPARTMENT: &str = "market-regulation";
/// The fields that the window may see.
pub const GRANTED: [&str; 2] = ["uscc", "name"];

const PATIENCE: Duration = Duration::from_secs(60);

/// A department, a window with a grant, and what was acknowledged so far.
#[derive(Debug)]
pub struct Story {
    /// Who publishes.
    pub department: TestDepartment,
    /// Who looks.
    pub window: TestWindow,
    /// The window's grant.
    pub grant: String,
    /// Every first version, by the number of its example.
    pub first: HashMap<u32, Sealed>,
    /// What became of every submission that has a receipt.
    pub outcomes: HashMap<Vec<u8>, (OutcomeKind, String, u64)>,
    /// How many submissions were refused at the door.
    pub refused: usize,
}

impl Story {
    /// Registers and enrols everybody.
    pub async fn begin(hub: &TestHub) -> Self {
        let department = hub.department(DEPARTMENT, &[TYPE]).await;
        let window = hub.window("hall-1").await;
        let grant = hub.grant(grant("hall-1", TYPE, DEPARTMENT, &GRANTED)).await;
        Self { department, window, grant, first: HashMap::new(), outcomes: HashMap::new(), refused: 0 }
    }

    /// Publishes the records of these numbers, most with one version, some with whatever else can happen.
    ///
    /// # Panics
    /// When something is neither acknowledged nor refused.
    pub async fn publish(&mut self, hub: &TestHub, numbers: Range<u32>) {
        let mut all: Vec<Sealed> = Vec::new();
        for number in numbers {
            let sealed = self.versions(number);
            self.first.insert(number, sealed[0].clone());
            all.extend(sealed);
        }
        let bytes = all.iter().map(|one| one.token.clone().into_bytes()).collect();
        let heard = publish_at(&mut self.department.at(hub).await, bytes).await.expect("the stream goes through");
        for (id, answer) in heard.answers {
            match answer {
                submission_answer::Kind::Receipt(_) => {
                    let outcome = &heard.outcomes[&id];
                    self.outcomes.insert(id, (outcome.kind(), outcome.record_id.clone(), outcome.version));
                }
                submission_answer::Kind::Rejection(_) => self.refused += 1,
                submission_answer::Kind::Retry(retry) => panic!("to be sent again: {}", retry.reason),
            }
        }
    }

    fn versions(&self, number: u32) -> Vec<Sealed> {
        let example = Example::business_licence(number);
        let seal = |example: &Example, version, event, status| self.department.seal(example, version, event, status);
        let mut sealed = vec![seal(&example, 1, Event::Issue, Status::Valid)];
        if number.is_multiple_of(5) {
            let moved = example.clone().with("address", json!(format!("山东省淄博市高青县示例路{number}号")));
            sealed.push(seal(&moved, 2, Event::Change, Status::Valid));
        }
        if number.is_multiple_of(10) {
            sealed.push(seal(&example, 3, Event::Suspend, Status::Suspended));
        }
        match number % 25 {
            1 => sealed.push(seal(&example, 7, Event::Change, Status::Valid)),
            2 => {
                let other = example.clone().with("name", json!("另一名称有限公司"));
                sealed.push(seal(&other, 1, Event::Issue, Status::Valid));
            }
            3 => sealed.push(seal(&example, 2, Event::Resume, Status::Valid)),
            4 => {
                let wrong = example.clone().with("uscc", json!("91370322MAYY000185"));
                sealed.push(seal(&wrong, 1, Event::Issue, Status::Valid));
            }
            6 => sealed.push(seal(&example, 1, Event::Issue, Status::Valid)),
            _ => {}
        }
        sealed
    }

    /// What a look at a record of the story asks.
    #[must_use]
    pub fn question(&self, number: u32) -> v1::GetRecordRequest {
        let holder = Example::business_licence(number).holders[0].value.clone();
        v1::GetRecordRequest {
            look: Some(look(ITEM, Some(("uscc", &holder)))),
            by: Some(v1::get_record_request::By::RecordId(self.first[&number].record_id.clone())),
        }
    }

    /// Looks at a record of the story.
    ///
    /// # Errors
    /// The hub's refusal.
    ///
    /// # Panics
    /// When the response is empty.
    pub async fn look(&self, hub: &TestHub, number: u32) -> Result<v1::Answer, tonic::Status> {
        let response = self.window.at(hub).await.get_record(self.question(number)).await?;
        Ok(response.into_inner().answer.expect("an answer"))
    }

    /// Looks at these records; each is there.
    ///
    /// # Panics
    /// When one is not.
    pub async fn look_at(&self, hub: &TestHub, numbers: Range<u32>) {
        for number in numbers {
            let answer = crate::eventually(PATIENCE, || async {
                match self.look(hub, number).await {
                    Err(status) if status.code() == tonic::Code::Unavailable => Err(status.to_string()),
                    answer => Ok(answer.expect("an answer")),
                }
            });
            let answer = answer.await;
            assert!(answer.version > 0, "record {number}: {:?}", answer.answering());
        }
    }

    /// Asks about a record until it is answered as current, and holds every answer on the way against the truth: a refusal to
    /// answer, or the record with doubt said; never that there is none.
    ///
    /// # Panics
    /// When an answer is wrong, or none comes.
    pub async fn look_until_current(&self, hub: &TestHub, number: u32) -> usize {
        let doubted = std::sync::atomic::AtomicUsize::new(0);
        crate::eventually(PATIENCE, || async {
            let why = match self.look(hub, number).await {
                Ok(answer) if answer.answering() == Answering::Satisfied => return Ok(()),
                Ok(answer) => {
                    assert_eq!(answer.answering(), Answering::Stale, "record {number}");
                    format!("{:?}", answer.staleness)
                }
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
                    status.to_string()
                }
            };
            doubted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err(why)
        })
        .await;
        doubted.into_inner()
    }

    /// Every submission with a receipt still has the outcome that it had.
    ///
    /// # Panics
    /// When one has not.
    pub async fn assert_outcomes(&self, hub: &TestHub) {
        let mut client = self.department.at(hub).await;
        let ids: Vec<&Vec<u8>> = self.outcomes.keys().collect();
        for chunk in ids.chunks(500) {
            let submission_ids = chunk.iter().map(|id| id.to_vec()).collect();
            let asked = client.outcome_of(v1::OutcomeOfRequest { submission_ids }).await.expect("outcomes");
            let told = asked.into_inner().outcomes;
            assert_eq!(told.len(), chunk.len(), "each submission has an outcome");
            for outcome in told {
                let now = (outcome.kind(), outcome.record_id.clone(), outcome.version);
                assert_eq!(now, self.outcomes[&outcome.submission_id], "{}", hex::encode(&outcome.submission_id));
            }
        }
    }
}

/// Waits until the index has followed every partition of a story's topics to its end and each is current; returns the hub's
/// status with digests.
pub async fn settled(hub: &TestHub) -> v1::StatusResponse {
    let topics = [&format!("weft.records.{TYPE}"), "weft.ledger", "weft.quarantine", "weft.registry"];
    crate::eventually(PATIENCE, || async {
        let status = hub.try_status(false).await.map_err(|status| status.to_string())?;
        let place = |one: &v1::PartitionStatus| one.position.clone().unwrap_or_default();
        let behind = status.partitions.iter().find(|one| place(one).offset != one.end || !one.current);
        if let Some(behind) = behind {
            return Err(format!("not settled: {behind:?}"));
        }
        if let Some(topic) = topics.iter().find(|topic| status.partitions.iter().all(|one| place(one).topic != **topic))
        {
            return Err(format!("{topic} is not followed yet"));
        }
        // A status is no snapshot: this one begins when all is followed.
        hub.try_status(true).await.map_err(|status| status.to_string())
    })
    .await
}
