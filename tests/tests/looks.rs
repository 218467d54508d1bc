//! What a window is answered: history, doubt, repeats, pages, the proof that travels – each through a real hub.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::Duration;

use serde_json::{Map, json};
use weft_proto::{
    Reason,
    reason::reason_of,
    v1::{self, Answering, OutcomeKind, Staleness},
};
use weft_record::{
    keys::KeySet,
    seal::Content,
    status::{Event, Status},
    verify::verify_presentation,
};
use weft_tests::{
    department::{Example, Sealed, TestDepartment},
    eventually,
    hub::TestHub,
    process::Launch,
    skipped_by_quick,
    window::{ITEM, TestWindow, grant, look},
};

const TYPE: &str = "business-licence";
const FOOD: &str = "food-business-licence";
const DEPARTMENT: &str = "market-regulation";
const PATIENCE: Duration = Duration::from_secs(60);

struct Hall {
    hub: TestHub,
    department: TestDepartment,
    window: TestWindow,
}

async fn hall() -> Hall {
    let hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE, FOOD]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["uscc", "name", "address"])).await;
    Hall { hub, department, window }
}

fn holder(example: &Example) -> (&str, &str) {
    (&example.holders[0].scheme, &example.holders[0].value)
}

fn field(department: &TestDepartment, answer: &v1::Answer, name: &str) -> String {
    let keys = KeySet::new([department.key.verifying_key().clone()]);
    let verified = verify_presentation(answer.presentation.as_bytes(), &keys).expect("the seal verifies");
    verified.payload["fields"][name].as_str().unwrap_or_default().to_owned()
}

async fn indexed(department: &TestDepartment, sealed: &[Sealed]) {
    let heard = department.publish(sealed).await;
    for one in sealed {
        assert_eq!(heard.outcome(one), OutcomeKind::Indexed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_looked_at_by_the_time_of_acceptance_and_a_repeat_is_pinned() {
    let mut hall = hall().await;
    let first = Example::business_licence(100);
    let second = first.clone().with("address", json!("山东省淄博市高青县示例路9号"));
    let one = hall.department.seal(&first, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&one)).await;
    let asked = look(ITEM, Some(holder(&first)));
    let before = hall.window.get(&one.record_id, asked.clone()).await.unwrap();
    let then = before.as_of.unwrap();
    eventually(PATIENCE, || async {
        // The next acceptance is a later one, and the ledger view holds the first look.
        let now = weft_hub::clock::Clock::now(&weft_hub::clock::SystemClock);
        let later = now > then.seconds * 1000 + i64::from(then.nanos) / 1_000_000;
        let ledger = hall.hub.status(false).await.ledger_entries;
        if later && ledger == 1 { Ok(()) } else { Err(format!("{ledger} ledger entries")) }
    })
    .await;
    indexed(&hall.department, &[hall.department.seal(&second, 2, Event::Change, Status::Valid)]).await;

    let now = hall.window.get(&one.record_id, look(ITEM, Some(holder(&first)))).await.unwrap();
    assert_eq!((now.version, field(&hall.department, &now, "address").as_str()), (2, "山东省淄博市高青县示例路9号"));
    let history = v1::Look { as_of: Some(then), ..look(ITEM, Some(holder(&first))) };
    let history = hall.window.get(&one.record_id, history).await.unwrap();
    assert_eq!(history.version, 1);
    assert_eq!(field(&hall.department, &history, "address"), first.fields["address"].as_str().unwrap());
    let repeat = hall.window.get(&one.record_id, asked).await.unwrap();
    assert_eq!(repeat.version, 1, "a repeat is answered from the version that the first entry pins");
    assert_ne!(repeat.receipt.unwrap().entry_id, before.receipt.unwrap().entry_id, "and has an entry of its own");
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_reads_what_was_just_published_or_is_told_that_it_is_not_there_yet() {
    let mut hall = hall().await;
    let example = Example::business_licence(101);
    let sealed = hall.department.seal(&example, 1, Event::Issue, Status::Valid);
    let waiting = v1::Look { after_submission: sealed.id().to_vec(), ..look(ITEM, Some(holder(&example))) };
    let mut client = hall.window.client.clone();
    let request = |look: v1::Look, deadline: Duration| {
        let by = Some(v1::get_record_request::By::RecordId(sealed.record_id.clone()));
        let mut request = tonic::Request::new(v1::GetRecordRequest { look: Some(look), by });
        request.set_timeout(deadline);
        request
    };
    let early = eventually(PATIENCE, || async {
        let early = client.clone().get_record(request(waiting.clone(), Duration::from_secs(1))).await.unwrap_err();
        // On a busy machine the client's own clock may end the call first.
        if early.code() == tonic::Code::Cancelled { Err(early) } else { Ok(early) }
    });
    assert_eq!(reason_of(&early.await), Some(Reason::NotYetIndexed));
    // A window without a grant is denied, and not by way of waiting for what it may not know of.
    let stranger = hall.hub.window("hall-2").await;
    let denied = stranger.get(&sealed.record_id, waiting.clone()).await.unwrap_err();
    assert_eq!(denied.code(), tonic::Code::PermissionDenied);
    let (answer, _) = tokio::join!(
        client.get_record(request(waiting, Duration::from_secs(30))),
        hall.department.publish(std::slice::from_ref(&sealed))
    );
    assert_eq!(answer.unwrap().into_inner().answer.unwrap().answering(), Answering::Satisfied);
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_is_said() {
    let mut hall = hall().await;
    // A version waits behind a gap.
    let gap = Example::business_licence(102);
    let one = hall.department.seal(&gap, 1, Event::Issue, Status::Valid);
    let three = hall.department.seal(&gap, 3, Event::Change, Status::Valid);
    hall.department.publish(&[one.clone(), three]).await;
    let answer = hall.window.get(&one.record_id, look(ITEM, Some(holder(&gap)))).await.unwrap();
    assert_eq!(answer.answering(), Answering::Stale);
    assert_eq!(answer.staleness().collect::<Vec<_>>(), [Staleness::HigherBehindGap]);

    // A higher version waits in quarantine; the right one lifts the doubt and closes the entry.
    let refused = Example::business_licence(103);
    let one = hall.department.seal(&refused, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&one)).await;
    let wrong = refused.clone().with("established", json!("2018-02-30"));
    let wrong = hall.department.seal(&wrong, 2, Event::Change, Status::Valid);
    let heard = hall.department.publish(std::slice::from_ref(&wrong)).await;
    assert!(heard.rejection(&wrong.id()).is_some());
    eventually(PATIENCE, || async {
        let answer = hall.window.get(&one.record_id, look(ITEM, Some(holder(&refused)))).await.unwrap();
        let doubt = answer.staleness().collect::<Vec<_>>();
        if doubt == [Staleness::HigherInQuarantine] { Ok(()) } else { Err(format!("{doubt:?}")) }
    })
    .await;
    let right = refused.clone().with("scope", json!("日用百货销售。"));
    indexed(&hall.department, &[hall.department.seal(&right, 2, Event::Change, Status::Valid)]).await;
    let answer = hall.window.get(&one.record_id, look(ITEM, Some(holder(&refused)))).await.unwrap();
    assert_eq!((answer.answering(), answer.version), (Answering::Satisfied, 2));
    let request = v1::ListQuarantineRequest { department: DEPARTMENT.into(), ..Default::default() };
    let entries = hall.hub.operator("wang").await.list_quarantine(request).await.unwrap().into_inner().entries;
    assert!(entries.iter().all(|entry| entry.closed), "the right version closed the entry");

    // A licence whose last day has passed.
    let old = Example { valid_until: Some("2020-01-01".into()), ..Example::business_licence(104) }
        .with("termTo", json!("2020-01-01"));
    let sealed = hall.department.seal(&old, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&sealed)).await;
    let answer = hall.window.get(&sealed.record_id, look(ITEM, Some(holder(&old)))).await.unwrap();
    assert_eq!((answer.answering(), answer.status.as_str()), (Answering::Expired, "expired"));
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_without_holders_is_answered_as_such_and_never_as_missing() {
    let mut hall = hall().await;
    let example = Example::business_licence(105);
    let one = hall.department.seal(&example, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&one)).await;
    let content = Content {
        record_id: one.record_id.clone(),
        version: 2,
        status: Status::Revoked,
        valid_from: example.valid_from.clone(),
        valid_until: None,
        event: Event::Revoke,
        supersedes: None,
        holders: Vec::new(),
        fields: Map::new(),
    };
    let token = hall.department.seal_content(&content, TYPE, &hall.department.key);
    indexed(&hall.department, &[Sealed { record_id: one.record_id.clone(), version: 2, token }]).await;
    let request = v1::ListHolderRecordsRequest {
        look: Some(look(ITEM, Some(holder(&example)))),
        record_type: TYPE.into(),
        ..Default::default()
    };
    let listed = hall.window.client.clone().list_holder_records(request).await.unwrap().into_inner();
    assert_eq!(listed.answers.len(), 1);
    assert_eq!((listed.answers[0].answering(), listed.answers[0].status.as_str()), (Answering::Revoked, "revoked"));

    // Somebody else's number: the same answer as where there is nothing.
    let stranger = Example::business_licence(106);
    let answer = hall.window.get(&one.record_id, look(ITEM, Some(holder(&stranger)))).await.unwrap();
    assert_eq!((answer.answering(), answer.presentation.as_str()), (Answering::Missing, ""));
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_through_all_of_a_holders_records_once() {
    let mut hall = hall().await;
    hall.hub.grant(grant("hall-1", FOOD, DEPARTMENT, &["certificateNumber"])).await;
    let shop = Example::of(FOOD, "valid-shop");
    let numbers = ["JY13703229900018", "JY13703229900147", "JY23703229900027", "JY33703229900039", "JY23703229907772"];
    let sealed: Vec<Sealed> = numbers
        .iter()
        .map(|number| {
            let one = shop.clone().with("certificateNumber", json!(number));
            let one = Example {
                fields: {
                    let mut fields = one.fields;
                    fields.remove("certificateIdentifier");
                    fields
                },
                ..one
            };
            hall.department.seal(&one, 1, Event::Issue, Status::Valid)
        })
        .collect();
    indexed(&hall.department, &sealed).await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::ListHolderRecordsRequest {
            look: Some(look(ITEM, Some(holder(&shop)))),
            record_type: FOOD.into(),
            page_size: 2,
            page_token: token.clone(),
        };
        let page = hall.window.client.clone().list_holder_records(request).await.unwrap().into_inner();
        assert!(page.answers.len() <= 2);
        seen.extend(page.answers.into_iter().map(|answer| answer.record_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut all: Vec<String> = sealed.iter().map(|one| one.record_id.clone()).collect();
    all.sort();
    assert_eq!(seen, all);
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_where_nobody_declared_to_cover_it() {
    let mut hub = TestHub::start().await;
    hub.register(DEPARTMENT, &[TYPE], false).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, DEPARTMENT, &["name"])).await;
    let request = || v1::ListHolderRecordsRequest {
        look: Some(look(ITEM, Some(("uscc", "91370322MAYY000184")))),
        record_type: TYPE.into(),
        ..Default::default()
    };
    let listed = window.client.clone().list_holder_records(request()).await.unwrap().into_inner();
    assert_eq!(listed.answering(), Answering::NotCovered);
    hub.register(DEPARTMENT, &[TYPE], true).await;
    let listed = window.client.clone().list_holder_records(request()).await.unwrap().into_inner();
    assert_eq!(listed.answering(), Answering::Missing);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_by_record_alone_discloses_no_holder() {
    let mut hall = hall().await;
    let window = hall.hub.window("hall-2").await;
    let by_record = v1::GrantInfo { by_record: true, ..grant("hall-2", TYPE, DEPARTMENT, &["name"]) };
    hall.hub.grant(by_record).await;
    let example = Example::business_licence(107);
    let sealed = hall.department.seal(&example, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&sealed)).await;
    let answer = window.get(&sealed.record_id, look(ITEM, None)).await.unwrap();
    let keys = KeySet::new([hall.department.key.verifying_key().clone()]);
    let verified = verify_presentation(answer.presentation.as_bytes(), &keys).unwrap();
    assert_eq!(verified.payload["holders"].as_array().map(Vec::len), Some(0));
    assert!(!answer.presentation.contains(holder(&example).1));
    // The other window's grant names a holder: without one it is denied.
    let denied = hall.window.get(&sealed.record_id, look(ITEM, None)).await.unwrap_err();
    assert_eq!(reason_of(&denied), Some(Reason::Denied));
    hall.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_presentation_verifies_offline_with_weft_and_with_the_reference_library() {
    if skipped_by_quick("the reference library") {
        return;
    }
    let mut hall = hall().await;
    let example = Example::business_licence(108);
    let sealed = hall.department.seal(&example, 1, Event::Issue, Status::Valid);
    indexed(&hall.department, std::slice::from_ref(&sealed)).await;
    let answer = hall.window.get(&sealed.record_id, look(ITEM, Some(holder(&example)))).await.unwrap();
    hall.hub.stop().await;

    let folder = weft_tests::folder::scratch("offline");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("answer"), &answer.presentation).unwrap();
    let jwk = hall.department.key.public_jwk();
    std::fs::write(path("keys.json"), json!({"keys": [jwk]}).to_string()).unwrap();
    let weft =
        Launch::weft("verify", folder.path()).arg("verify").arg(path("answer")).arg("--keys").arg(path("keys.json"));
    let weft = weft.start();
    assert!(weft.wait(PATIENCE).await.success(), "{}", weft.stderr());
    assert!(weft.stdout().contains("verified"));

    let script = "import json,sys\nfrom jwcrypto.jwk import JWK\nfrom sd_jwt.verifier import SDJWTVerifier\n\
        key=JWK(**json.load(open(sys.argv[2]))['keys'][0])\n\
        print(json.dumps(SDJWTVerifier(open(sys.argv[1]).read(), lambda i, h: key).get_verified_payload()))\n";
    std::fs::write(path("verify.py"), script).unwrap();
    let python =
        Launch::python("python", folder.path()).arg(path("verify.py")).arg(path("answer")).arg(path("keys.json"));
    let python = python.start();
    assert!(python.wait(PATIENCE).await.success(), "{}", python.stderr());
    let payload: serde_json::Value = serde_json::from_str(&python.stdout()).unwrap();
    let fields = payload["fields"].as_object().unwrap();
    assert_eq!(fields["uscc"], json!(holder(&example).1));
    assert!(fields.get("legalRepId").is_none());
}
