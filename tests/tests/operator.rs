//! What operators do, through a real hub over real sockets: erasure and its rebuild, corrections by two persons, grants with four eyes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::Duration;

use serde_json::json;
use tonic::Code;
use weft_hub::{
    config::Storage,
    envelope::{self, ContentType},
    log::{Draft, Entry, Partition, ReadLimit, Topic},
};
use weft_proto::{
    Reason,
    reason::reason_of,
    v1::{self, Answering, OutcomeKind},
};
use weft_record::status::{Event, Status};
use weft_tests::{
    department::Example,
    eventually,
    hub::TestHub,
    window::{ITEM, grant, look},
};

const TYPE: &str = "business-licence";
const DEPARTMENT: &str = "market-regulation";

async fn erase(hub: &TestHub, record_id: &str, version: u64) -> Result<v1::Change, tonic::Status> {
    let request = v1::EraseVersionRequest {
        record_id: record_id.into(),
        version,
        why: "依当事人申请".into(),
        legal_basis: "个人信息保护法第四十七条".into(),
    };
    Ok(hub.operator("wang").await.erase_version(request).await?.into_inner())
}

/// Waits until every partition was followed to its end. In a fresh index one has a row only when it is begun.
async fn settled(hub: &TestHub) -> v1::StatusResponse {
    let topics = [Topic::Registry, Topic::Ledger, Topic::Quarantine, Topic::Records(TYPE.into())];
    eventually(Duration::from_secs(60), || async {
        let status = hub.status(true).await;
        let partitions: u32 = topics.iter().map(|topic| hub.stores.log.partitions(topic)).sum();
        if partitions == 0 || status.partitions.len() < partitions as usize {
            return Err(format!("{} of {partitions} partitions are followed", status.partitions.len()));
        }
        let behind = status.partitions.iter().find(|one| one.position.as_ref().is_none_or(|at| at.offset < one.end));
        match behind {
            Some(behind) => Err(format!("{behind:?} is behind")),
            None => Ok(status),
        }
    })
    .await
}

/// Takes the index away and lets the hub rebuild it from the log.
async fn rebuilt(mut hub: TestHub) -> TestHub {
    hub.stop().await;
    let Storage::Embedded { data_dir } = hub.config.storage.clone() else { panic!("an embedded hub") };
    for suffix in ["", "-wal", "-shm"] {
        let file = data_dir.join(format!("index.db{suffix}"));
        if file.exists() {
            std::fs::remove_file(file).expect("the hub answers");
        }
    }
    hub.restart().await
}

/// The digests after the partitions were followed as far as before.
async fn digests(hub: &TestHub, indexed: u64) -> (String, String) {
    eventually(Duration::from_secs(60), || async {
        let status = settled(hub).await;
        if status.indexed >= indexed {
            Ok((status.index_digest, status.content_digest))
        } else {
            Err(format!("{} of {indexed} versions", status.indexed))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_version_is_the_same_after_a_rebuild() {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name"])).await;
    let example = Example::business_licence(31);
    let changed = example.clone().with("name", json!("更名示例商贸有限公司"));
    let first = department.seal(&example, 1, Event::Issue, Status::Valid);
    let same = department.seal(&example, 1, Event::Issue, Status::Valid);
    let other = department.seal(&example.clone().with("name", json!("他名有限公司")), 1, Event::Issue, Status::Valid);
    let refused =
        department.seal(&example.clone().with("established", json!("2018-02-30")), 1, Event::Issue, Status::Valid);
    let second = department.seal(&changed, 2, Event::Change, Status::Valid);
    let third = department.seal(&changed, 3, Event::Suspend, Status::Suspended);
    let all = [first.clone(), same, other, refused.clone(), second, third];
    let heard = department.publish(&all).await;
    assert!(heard.rejection(&refused.id()).is_some());
    assert_eq!(heard.outcome(&first), OutcomeKind::Indexed);

    erase(&hub, &first.record_id, 1).await.expect("the first version is erased");
    let again = erase(&hub, &first.record_id, 1).await.unwrap_err();
    assert_eq!(reason_of(&again), Some(Reason::WrongState));
    let absent = erase(&hub, &first.record_id, 9).await.unwrap_err();
    assert_eq!(reason_of(&absent), Some(Reason::NotFound));

    // Nothing of the text is left, and what stands still answers.
    let appends = hub.stores.index.appends_of(&first.record_id, 1).await.unwrap();
    let contents = appends.iter().map(|row| content(row.envelope.as_ref().unwrap()));
    assert!(contents.clone().count() >= 4, "the version, its double, other content, and what the door refused");
    assert!(contents.clone().all(|content| content == ContentType::Stub));
    let holder = example.holders[0].value.clone();
    let answer = window.get(&first.record_id, look(ITEM, Some(("uscc", &holder)))).await.unwrap();
    assert_eq!((answer.answering(), answer.version), (Answering::Suspended, 3));

    let before = digests(&hub, 3).await;
    let hub = rebuilt(hub).await;
    assert_eq!(digests(&hub, 3).await, before, "after the first was erased");

    // The others too, the head last.
    erase(&hub, &first.record_id, 2).await.expect("the second version is erased");
    erase(&hub, &first.record_id, 3).await.expect("the third version is erased");
    let before = digests(&hub, 3).await;
    let mut hub = rebuilt(hub).await;
    assert_eq!(digests(&hub, 3).await, before, "after all were erased");
    hub.stop().await;
}

/// Everything that stands in a partition from an offset on.
async fn entries(hub: &TestHub, partition: &Partition, from: u64) -> Vec<Entry> {
    let log = &hub.stores.log;
    if log.end(partition).await.unwrap() <= from {
        return Vec::new();
    }
    log.read(partition, from, ReadLimit::default(), Duration::ZERO).await.unwrap()
}

fn content(value: &[u8]) -> ContentType {
    envelope::header(value).unwrap().content
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_version_that_is_handed_in_again_brings_no_text_back() {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let example = Example::business_licence(35);
    let first = department.seal(&example, 1, Event::Issue, Status::Valid);
    department.publish(std::slice::from_ref(&first)).await;
    let row = hub.stores.index.version(&first.record_id, 1).await.unwrap().unwrap();
    let original = entries(&hub, &row.partition, row.offset).await.remove(0);
    let quarantine = Partition { topic: Topic::Quarantine, number: 0 };
    erase(&hub, &first.record_id, 1).await.expect("the version is erased");
    let from = [(row.partition.clone(), hub.stores.log.end(&row.partition).await.unwrap()), (quarantine.clone(), 0)];

    let same = department.seal(&example, 1, Event::Issue, Status::Valid);
    let other = department.seal(&example.clone().with("name", json!("他名有限公司")), 1, Event::Issue, Status::Valid);
    let wrong =
        department.seal(&example.clone().with("established", json!("2018-02-30")), 1, Event::Issue, Status::Valid);
    let heard = department.publish(&[first.clone(), same.clone(), other.clone(), wrong.clone()]).await;
    assert_eq!(heard.outcome(&first), OutcomeKind::Indexed, "the outcome of its first append stays");
    assert_eq!(heard.outcome(&same), OutcomeKind::Duplicate);
    assert_eq!(heard.outcome(&other), OutcomeKind::Conflict);
    assert!(heard.rejection(&wrong.id()).is_some());
    settled(&hub).await;
    let mut came = Vec::new();
    for (partition, from) in &from {
        for value in entries(&hub, partition, *from).await.into_iter().filter_map(|entry| entry.value) {
            assert!(value.len() < first.token.len(), "{:?} has no room for a text", content(&value));
            came.push(content(&value));
        }
    }
    assert_eq!(came, [ContentType::Again, ContentType::Again, ContentType::Again, ContentType::Refused]);

    // A copy of the old entry, written past the hub behind its stub, is overwritten.
    let value = original.value.clone().unwrap();
    assert_eq!(content(&value), ContentType::Record);
    let (key, entry_id) = (original.key.clone().unwrap(), original.entry_id.unwrap());
    let copy = Draft { partition: row.partition.clone(), key: key.clone(), entry_id, headers: Vec::new(), value };
    let at = hub.stores.log.append(vec![copy]).await.remove(0).unwrap();
    eventually(Duration::from_secs(30), || async {
        let later = entries(&hub, &row.partition, at + 1).await;
        let stub = later.iter().find(|entry| entry.key.as_ref() == Some(&key)).and_then(|entry| entry.value.clone());
        match stub.map(|value| content(&value)) {
            Some(ContentType::Stub) => Ok(()),
            other => Err(format!("{other:?} stands behind the copy")),
        }
    })
    .await;
    settled(&hub).await;
    for append in hub.stores.index.appends_of(&first.record_id, 1).await.unwrap() {
        assert_ne!(append.envelope.as_deref().map(content), Some(ContentType::Record), "{}", append.offset);
    }

    let before = digests(&hub, 1).await;
    let mut hub = rebuilt(hub).await;
    assert_eq!(digests(&hub, 1).await, before);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_persons_confirm_a_correction_of_what_has_ended() {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let example = Example::business_licence(32);
    let issued = department.seal(&example, 1, Event::Issue, Status::Valid);
    let ended = department.seal(&example, 2, Event::Revoke, Status::Revoked);
    department.publish(&[issued, ended]).await;
    let correction = department.seal(&example, 3, Event::Correct, Status::Valid);
    let department_publishes = tokio::spawn({
        let token = correction.token.clone().into_bytes();
        let mut client = department.client.clone();
        async move { weft_tests::department::publish_at(&mut client, vec![token]).await }
    });
    let outcome = |hub: &TestHub| {
        let index = hub.stores.index.clone();
        let id = correction.id();
        async move { index.outcomes(&[id]).await.unwrap().pop().map(|row| row.outcome).unwrap_or_default() }
    };
    eventually(Duration::from_secs(60), || async {
        match outcome(&hub).await.as_str() {
            "pending" => Ok(()),
            other => Err(format!("outcome {other:?}")),
        }
    })
    .await;

    let request =
        v1::ConfirmCorrectionRequest { submission_id: correction.id().to_vec(), department: DEPARTMENT.into() };
    let mut wang = hub.operator("wang").await;
    wang.confirm_correction(request.clone()).await.expect("the first confirmation");
    let alone = wang.confirm_correction(request.clone()).await.unwrap_err();
    assert_eq!(reason_of(&alone), Some(Reason::FourEyes));
    let elsewhere = v1::ConfirmCorrectionRequest { department: "natural-resources".into(), ..request.clone() };
    assert_eq!(wang.confirm_correction(elsewhere).await.unwrap_err().code(), Code::NotFound);
    hub.operator("li").await.confirm_correction(request.clone()).await.expect("the second confirmation");

    let heard = department_publishes.await.unwrap().expect("the stream goes through");
    assert_eq!(heard.outcome(&correction), OutcomeKind::Indexed);
    let late = wang.confirm_correction(request).await.unwrap_err();
    assert_eq!(reason_of(&late), Some(Reason::WrongState));

    let before = digests(&hub, 3).await;
    let mut hub = rebuilt(hub).await;
    assert_eq!(digests(&hub, 3).await, before);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_the_registry_is_checked_whole() {
    let mut hub = TestHub::start().await;
    hub.register(DEPARTMENT, &[TYPE], true).await;
    hub.window("hall-1").await;
    let mut wang = hub.operator("wang").await;

    let wrong = v1::RegisterDepartmentRequest {
        department: "X".into(),
        name_zh: String::new(),
        name_en: String::new(),
        record_types: vec!["no-such-type".into()],
        coverage: vec![v1::Coverage { record_type: TYPE.into(), since: "2024-02-30".into(), ..Default::default() }],
    };
    let status = wang.register_department(wrong).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    let fields: Vec<&str> = details.field_violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["department", "name_zh", "record_types[0]", "coverage[0].record_type", "coverage[0].since"]);

    let taken = v1::RegisterDepartmentRequest {
        department: "natural-resources".into(),
        name_zh: "示例部门".into(),
        record_types: vec![TYPE.into()],
        ..Default::default()
    };
    assert_eq!(wang.register_department(taken).await.unwrap_err().code(), Code::AlreadyExists);

    // A conditional field waits for another person; the one who asked may not decide.
    let conditional = grant("hall-1", TYPE, DEPARTMENT, &["legalRepId"]);
    let asked = wang.request_grant(v1::RequestGrantRequest { grant: Some(conditional) }).await.unwrap().into_inner();
    let grant_id = asked.entity.strip_prefix("grant/").unwrap().to_owned();
    let decide = v1::DecideGrantRequest { grant_id: grant_id.clone(), state: "active".into(), why: String::new() };
    let alone = wang.decide_grant(decide.clone()).await.unwrap_err();
    assert_eq!(reason_of(&alone), Some(Reason::FourEyes));
    hub.operator("li").await.decide_grant(decide).await.expect("another person decides");
    let unknown = grant("hall-1", TYPE, DEPARTMENT, &["noSuchField"]);
    let status = wang.request_grant(v1::RequestGrantRequest { grant: Some(unknown) }).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::BadRequest));

    let itself =
        v1::RevokeIdentityRequest { identity: "operator/wang".into(), why: "试".into(), ..Default::default() };
    assert_eq!(reason_of(&wang.revoke_identity(itself).await.unwrap_err()), Some(Reason::FourEyes));
    let long = v1::CreateJoinTokenRequest { identity: "window/hall-1".into(), valid_seconds: 86_401 };
    assert_eq!(wang.create_join_token(long).await.unwrap_err().code(), Code::InvalidArgument);
    hub.stop().await;
}
