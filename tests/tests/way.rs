//! The way of a record through a real hub over real sockets: published, indexed, looked at, proved.

use serde_json::json;
use weft_proto::v1::{self, Answering, OutcomeKind, submission_answer};
use weft_record::{
    keys::KeySet,
    status::{Event, Status},
};
use weft_tests::{
    department::{Example, TestDepartment},
    hub::TestHub,
    window::{ITEM, grant, look},
};

const TYPE: &str = "business-licence";

fn keys_of(department: &TestDepartment) -> KeySet {
    KeySet::new([department.key.verifying_key().clone()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_travels_from_its_department_to_a_window() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, "market-regulation", &["uscc", "name"])).await;

    let example = Example::business_licence(1);
    let sealed = department.seal(&example, 1, Event::Issue, Status::Valid);
    let heard = department.publish(std::slice::from_ref(&sealed)).await;
    assert_eq!(heard.outcome(&sealed), OutcomeKind::Indexed);

    let holder = example.holders[0].value.clone();
    let answer = window.get(&sealed.record_id, look(ITEM, Some(("uscc", &holder)))).await.expect("an answer");
    assert_eq!(answer.answering(), Answering::Satisfied);
    assert_eq!((answer.version, answer.status.as_str()), (1, "valid"));

    // The seal verifies offline, and just the granted fields are there.
    let verified =
        weft_record::verify::verify_presentation(answer.presentation.as_bytes(), &keys_of(&department)).unwrap();
    let fields = verified.payload["fields"].as_object().unwrap();
    assert_eq!(fields.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), ["name", "uscc"].into());
    assert!(!answer.presentation.contains("legalRep"));

    // The hub's statement belongs to this presentation, and its ledger entry stands.
    let hub_key = weft_hub::keys::Keys::open(&hub.config.keys_dir).unwrap().signing.public_jwk();
    let hub_keys = weft_record::keys::KeySet::new([weft_record::keys::VerifyingKey::from_jwk(&hub_key).unwrap()]);
    let statement = weft_record::statement::verify(&answer.statement, &hub_keys).unwrap();
    statement.check_presentation(&answer.presentation, &verified.payload).unwrap();
    assert_eq!(statement.presentation, weft_hub::statement::sha256_base64url(answer.presentation.as_bytes()));
    assert_eq!(statement.ledger_entry, answer.receipt.as_ref().unwrap().entry_id);
    weft_tests::eventually(std::time::Duration::from_secs(60), || async {
        let status = hub.status(false).await;
        if status.ledger_entries == 1 { Ok(()) } else { Err(format!("{} ledger entries", status.ledger_entries)) }
    })
    .await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_say_what_became_of_each_submission() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let example = Example::business_licence(2);
    let first = department.seal(&example, 1, Event::Issue, Status::Valid);
    let same = department.seal(&example, 1, Event::Issue, Status::Valid);
    let other =
        department.seal(&example.clone().with("name", json!("另一名称有限公司")), 1, Event::Issue, Status::Valid);
    let far = department.seal(&example, 5, Event::Change, Status::Valid);
    let wrong_step = department.seal(&example, 2, Event::Resume, Status::Valid);
    let all = [first, same, other, far, wrong_step];
    let heard = department.publish(&all).await;
    let outcomes: Vec<OutcomeKind> = all.iter().map(|one| heard.outcome(one)).collect();
    assert_eq!(
        outcomes,
        [
            OutcomeKind::Indexed,
            OutcomeKind::Duplicate,
            OutcomeKind::Conflict,
            OutcomeKind::Gap,
            OutcomeKind::Quarantined
        ]
    );

    // A repeat of the very bytes gets the very outcome.
    let again = department.publish(&all).await;
    assert_eq!(all.iter().map(|one| again.outcome(one)).collect::<Vec<_>>(), outcomes);

    // Heads are what an adapter with an empty state starts from.
    let request = v1::HeadsRequest { record_type: TYPE.into(), ..Default::default() };
    let heads = department.client.clone().heads(request).await.unwrap().into_inner().heads;
    assert_eq!(heads.iter().map(|head| (head.version, head.status.as_str())).collect::<Vec<_>>(), [(1, "valid")]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_at_the_door_waits_in_quarantine_until_a_right_one_comes() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let good = Example::business_licence(3);
    let bad = good.clone().with("uscc", json!("91370322MAYY000185"));
    let refused =
        department.seal(&Example { fields: bad.fields.clone(), ..good.clone() }, 1, Event::Issue, Status::Valid);
    let heard = department.publish(std::slice::from_ref(&refused)).await;
    let rejection = heard.rejection(&refused.id()).expect("it is rejected");
    assert_eq!(rejection.stage, "content");
    assert!(rejection.problems.iter().any(|one| one.pointer == "/fields/uscc" && one.reason == "identifier_wrong"));
    assert!(rejection.problems.iter().all(|one| !one.zh.is_empty() && !one.en.is_empty()));

    let list = || async {
        let request = v1::ListQuarantineRequest { department: "market-regulation".into(), ..Default::default() };
        hub.operator("wang").await.list_quarantine(request).await.unwrap().into_inner().entries
    };
    weft_tests::eventually(std::time::Duration::from_secs(60), || async {
        let entries = list().await;
        if entries.len() == 1 && !entries[0].closed { Ok(()) } else { Err(format!("{} entries", entries.len())) }
    })
    .await;
    // The right one has another natural key, so the record is another; the same record's right version closes it.
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_hub_remembers_everything() {
    let hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let examples: Vec<_> = (10..40)
        .map(|number| department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid))
        .collect();
    let heard = department.publish(&examples).await;
    assert!(examples.iter().all(|one| heard.outcome(one) == OutcomeKind::Indexed));
    let before = hub.status(true).await;
    let mut hub = hub.restart().await;
    let after = hub.status(true).await;
    assert_eq!(after.indexed, 30);
    assert_eq!(after.content_digest, before.content_digest);
    let bytes = examples.iter().map(|one| one.token.clone().into_bytes()).collect();
    let again = weft_tests::department::publish_at(&mut department.at(&hub).await, bytes).await.unwrap();
    for one in &examples {
        let answer = &again.answers[one.id().as_slice()];
        assert!(
            matches!(answer, submission_answer::Kind::Receipt(receipt) if receipt.record_id == one.record_id && receipt.version == 1)
        );
        assert_eq!(again.outcome(one), OutcomeKind::Indexed);
    }
    assert_eq!(hub.status(false).await.indexed, 30);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_deleted_is_rebuilt_to_the_same_digest() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let example = Example::business_licence(50);
    let versions = [
        department.seal(&example, 1, Event::Issue, Status::Valid),
        department.seal(
            &example.clone().with("address", json!("山东省淄博市高青县示例路2号")),
            2,
            Event::Change,
            Status::Valid,
        ),
        department.seal(&example, 3, Event::Suspend, Status::Suspended),
        department.seal(&example, 9, Event::Resume, Status::Valid),
    ];
    department.publish(&versions).await;
    let before = hub.status(true).await;
    hub.stop().await;
    let data_dir = hub.data_dir();
    let (config, folder) = (hub.config.clone(), hub.folder.clone());
    drop(hub);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let path = data_dir.join(file);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let stores = weft_tests::hub::reopen(&config).await;
    let mut hub = TestHub::run(config, stores, folder).await;
    weft_tests::eventually(std::time::Duration::from_secs(60), || async {
        let after = hub.status(true).await;
        if after.index_digest == before.index_digest { Ok(()) } else { Err("the digests differ".to_owned()) }
    })
    .await;
    hub.stop().await;
}
