//! Hostile inputs, row 11, and what else is tried with sealing keys and join tokens.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod forge;

use std::{fs, time::Duration};

use forge::Parts;
use serde_json::json;
use tonic::{Code, Status as Refused};
use weft_adapter::keys::Directory;
use weft_hub::clock::{Clock, SystemClock};
use weft_proto::{
    reason::{Reason, reason_of},
    v1::{
        self, Answering, KeyState, OutcomeKind, Staleness, enrolment_client::EnrolmentClient,
        renewal_client::RenewalClient,
    },
};
use weft_record::{
    seal::SealingKey,
    status::{Event, Status},
};
use weft_tests::{
    client::connect,
    department::{Example, TestDepartment, confirm, new_key, set_key},
    enrol::{redeem, secret_of},
    folder::scratch,
    hub::{OPERATOR_NAMES, TestHub},
    office::here,
    process::Launch,
    window::{ITEM, grant, look},
};

const TYPE: &str = "business-licence";
const CODE: &str = "market-regulation";
const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;

/// The body `number` in version `version`, sealed by any key and claimed to be sealed at any time.
fn sealed_by(department: &TestDepartment, number: u32, key: &SealingKey, iat: Option<i64>) -> String {
    let sealed = department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid);
    let parts = Parts::of(&sealed.token).header("kid", json!(key.kid()));
    let parts = match iat {
        Some(iat) => parts.claim("iat", json!(iat)),
        None => parts,
    };
    parts.sign(key)
}

/// What the door says: `Ok` of a receipt, or (stage, reasons).
async fn door(department: &TestDepartment, token: String) -> Result<OutcomeKind, (String, Vec<String>)> {
    let id = weft_record::verify::submission_id(token.as_bytes());
    let heard = department.publish_bytes(vec![token.into_bytes()]).await;
    match heard.rejection(&id) {
        Some(rejection) => {
            Err((rejection.stage.clone(), rejection.problems.iter().map(|one| one.reason.clone()).collect()))
        }
        None => Ok(heard.outcomes[id.as_slice()].kind()),
    }
}

fn at_key(reason: &str) -> Result<OutcomeKind, (String, Vec<String>)> {
    Err(("key".into(), vec![reason.into()]))
}

async fn renewal(hub: &TestHub, department: &TestDepartment) -> RenewalClient<tonic::transport::Channel> {
    RenewalClient::new(connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap())
}

async fn propose(
    hub: &TestHub,
    department: &TestDepartment,
    key: &SealingKey,
    by: Option<&SealingKey>,
) -> Result<KeyState, Refused> {
    let over = format!("weft-sealing-key:{}", key.kid());
    let request = v1::ProposeSealingKeyRequest {
        jwk: key.public_jwk().to_string(),
        signature: by.map(|by| by.sign(over.as_bytes()).unwrap()).unwrap_or_default(),
        signed_by_kid: by.map(|by| by.kid().to_owned()).unwrap_or_default(),
    };
    Ok(renewal(hub, department).await.propose_sealing_key(request).await?.into_inner().state())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_a_key_is_judged_by_the_time_of_acceptance_and_never_by_iat() {
    let mut hub = TestHub::start().await;
    let department = hub.department(CODE, &[TYPE]).await;
    let stranger = new_key();
    assert_eq!(door(&department, sealed_by(&department, 1100, &stranger, None)).await, at_key("unknown_key"));

    // A key that waits for a second person is as unknown; nobody who proposed it confirms it.
    let second = new_key();
    assert_eq!(propose(&hub, &department, &second, None).await.unwrap(), KeyState::Pending);
    assert_eq!(door(&department, sealed_by(&department, 1100, &second, None)).await, at_key("unknown_key"));
    let forged = propose(&hub, &department, &new_key(), Some(&stranger)).await.unwrap_err();
    assert_eq!(reason_of(&forged), Some(Reason::BadRequest), "vouched for by a stranger");
    confirm(&hub, CODE, second.kid()).await.expect("a second person confirms it");
    assert_eq!(door(&department, sealed_by(&department, 1100, &second, None)).await, Ok(OutcomeKind::Indexed));

    // Retired: 30 days more, by the hub's clock alone.
    set_key(&hub, OPERATOR_NAMES[0], CODE, department.key.kid(), KeyState::Retired).await.expect("it is retired");
    let now = SystemClock.now() / 1000;
    let old = department.key.clone_by_pkcs8();
    assert_eq!(door(&department, sealed_by(&department, 1101, &old, None)).await, Ok(OutcomeKind::Indexed));
    hub.clock.shift_to(29 * DAY_MS);
    assert_eq!(door(&department, sealed_by(&department, 1102, &old, None)).await, Ok(OutcomeKind::Indexed));
    hub.clock.shift_to(31 * DAY_MS);
    for iat in [None, Some(now - 86_400 * 365), Some(0), Some(now + 86_400 * 31)] {
        assert_eq!(door(&department, sealed_by(&department, 1103, &old, iat)).await, at_key("key_retired"), "{iat:?}");
    }
    assert_eq!(door(&department, sealed_by(&department, 1103, &second, None)).await, Ok(OutcomeKind::Indexed));
    let vouched = propose(&hub, &department, &new_key(), Some(&old)).await.unwrap_err();
    assert_eq!(reason_of(&vouched), Some(Reason::BadRequest), "a retired key vouches for nothing");
    let back = set_key(&hub, OPERATOR_NAMES[1], CODE, old.kid(), KeyState::Active).await.unwrap_err();
    assert_eq!(reason_of(&back), Some(Reason::WrongState));
    hub.stop().await;
}

/// A copy of a key, through its file form.
trait Copied {
    fn clone_by_pkcs8(&self) -> SealingKey;
}

impl Copied for SealingKey {
    fn clone_by_pkcs8(&self) -> SealingKey {
        SealingKey::from_pkcs8_der(&self.to_pkcs8_der().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_what_a_compromised_key_sealed_since_is_stale_until_it_is_sealed_anew() {
    let mut hub = TestHub::start().await;
    let mut department = hub.department(CODE, &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, CODE, &["uscc", "name"])).await;
    let examples = [Example::business_licence(1110), Example::business_licence(1111)];
    let seal = |department: &TestDepartment, at: usize, version, event| {
        department.seal(&examples[at], version, event, Status::Valid)
    };
    let look_at = async |at: usize, id: &str| {
        window.get(id, look(ITEM, Some(("uscc", &examples[at].holders[0].value)))).await.expect("an answer")
    };
    let before = seal(&department, 0, 1, Event::Issue);
    department.publish(std::slice::from_ref(&before)).await;
    let since = SystemClock.now();
    let after = seal(&department, 1, 1, Event::Issue);
    department.publish(std::slice::from_ref(&after)).await;
    assert_eq!(look_at(1, &after.record_id).await.answering(), Answering::Satisfied);

    let request = v1::SetSealingKeyStateRequest {
        department: CODE.into(),
        kid: department.key.kid().into(),
        state: KeyState::Compromised.into(),
        since: Some(weft_hub::query::timestamp(since)),
    };
    hub.operator(OPERATOR_NAMES[0]).await.set_sealing_key_state(request).await.expect("it is marked");
    let (first, second) = (look_at(0, &before.record_id).await, look_at(1, &after.record_id).await);
    assert_eq!(first.answering(), Answering::Satisfied, "accepted before");
    assert_eq!(second.answering(), Answering::Stale, "accepted since");
    assert_eq!(second.staleness().collect::<Vec<_>>(), [Staleness::KeyCompromised]);

    // Nothing more is accepted, whatever its date says, and it brings in no successor.
    let old = department.key.clone_by_pkcs8();
    for iat in [None, Some(0), Some(since / 1000 - 86_400)] {
        let token = sealed_by(&department, 1112, &old, iat);
        assert_eq!(door(&department, token).await, at_key("key_compromised"), "{iat:?}");
    }
    let vouched = propose(&hub, &department, &new_key(), Some(&old)).await.unwrap_err();
    assert_eq!(reason_of(&vouched), Some(Reason::BadRequest));

    let fresh = new_key();
    assert_eq!(propose(&hub, &department, &fresh, None).await.unwrap(), KeyState::Pending);
    confirm(&hub, CODE, fresh.kid()).await.expect("a second person confirms it");
    department.key = fresh;
    let anew = seal(&department, 1, 2, Event::Change);
    let heard = department.publish(std::slice::from_ref(&anew)).await;
    assert_eq!(heard.outcome(&anew), OutcomeKind::Indexed);
    let answer = look_at(1, &after.record_id).await;
    assert_eq!((answer.version, answer.answering()), (2, Answering::Satisfied));
    hub.stop().await;
}

async fn redeem_csr(hub: &TestHub, secret: &str, csr: Vec<u8>, jwk: &str) -> Result<v1::RedeemResponse, Refused> {
    let channel = connect(hub.enrolment, &hub.ca(), None).await.unwrap();
    let request = v1::RedeemRequest { secret: secret.into(), csr, sealing_jwk: jwk.into() };
    Ok(EnrolmentClient::new(channel).redeem(request).await?.into_inner())
}

fn csr() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

async fn sealing_keys(hub: &TestHub) -> Vec<v1::SealingKeyInfo> {
    let request = v1::ListSealingKeysRequest { department: CODE.into() };
    hub.operator(OPERATOR_NAMES[0]).await.list_sealing_keys(request).await.unwrap().into_inner().keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_is_for_one_identity_once_and_not_for_long() {
    let mut hub = TestHub::start().await;
    hub.register(CODE, &[TYPE], true).await;
    let invalid = |result: Result<_, Refused>| {
        let status = result.map(|_: v1::RedeemResponse| ()).expect_err("it is refused");
        assert_eq!((status.code(), reason_of(&status)), (Code::PermissionDenied, Some(Reason::JoinTokenInvalid)));
    };
    let bad = |result: Result<_, Refused>| {
        let status = result.map(|_: v1::RedeemResponse| ()).expect_err("it is refused");
        assert_eq!((status.code(), reason_of(&status)), (Code::InvalidArgument, Some(Reason::BadRequest)));
    };
    for secret in ["", "x", "' OR 1=1 --", &"a".repeat(10_000)] {
        invalid(redeem_csr(&hub, secret, csr(), "").await);
    }
    // What is wrong in the request leaves the token as it was.
    let adapter = format!("department/{CODE}/adapter/main");
    let secret = secret_of(&hub.join_token(&adapter).await);
    let key = new_key();
    let jwk = key.public_jwk().to_string();
    bad(redeem_csr(&hub, &secret, csr(), "").await);
    bad(redeem_csr(&hub, &secret, csr(), "{}").await);
    bad(redeem_csr(&hub, &secret, b"no request".to_vec(), &jwk).await);
    let mut cut = csr();
    let last = cut.len() - 1;
    cut[last] ^= 1;
    bad(redeem_csr(&hub, &secret, cut, &jwk).await);

    // Once: the same request again gets the same certificate's serial, another one nothing.
    let request = csr();
    let first = redeem_csr(&hub, &secret, request.clone(), &jwk).await.expect("it is redeemed");
    assert_eq!(first.sealing_key_state(), KeyState::Pending);
    let again = redeem_csr(&hub, &secret, request, &jwk).await.expect("the same request again");
    assert_eq!(again.identity, first.identity);
    invalid(redeem_csr(&hub, &secret, csr(), &jwk).await);
    invalid(redeem_csr(&hub, &secret, csr(), &new_key().public_jwk().to_string()).await);
    assert_eq!(sealing_keys(&hub).await.len(), 1);

    // Four eyes: who made the token does not confirm the key that came with it.
    let own = set_key(&hub, OPERATOR_NAMES[0], CODE, key.kid(), KeyState::Active).await.unwrap_err();
    assert_eq!((own.code(), reason_of(&own)), (Code::PermissionDenied, Some(Reason::FourEyes)));
    confirm(&hub, CODE, key.kid()).await.expect("another one confirms it");
    // A key that is registered is not taken a second time.
    let other = secret_of(&hub.join_token(&format!("department/{CODE}/adapter/second")).await);
    bad(redeem_csr(&hub, &other, csr(), &jwk).await);

    // Not for long, and not for longer than a day.
    let late = secret_of(&hub.join_token(&adapter).await);
    hub.clock.shift_to(601_000);
    invalid(redeem_csr(&hub, &late, csr(), &new_key().public_jwk().to_string()).await);
    hub.clock.shift_to(0);
    let request = v1::CreateJoinTokenRequest { identity: adapter, valid_seconds: 86_401 };
    let status = hub.operator(OPERATOR_NAMES[0]).await.create_join_token(request).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::BadRequest));
    hub.stop().await;
}

/// The hub took the token, and what it answered is lost: something stands where the authority's certificate is to be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_joining_whose_answer_was_lost_goes_on_with_the_same_token() {
    let mut hub = TestHub::start().await;
    hub.register(CODE, &[TYPE], true).await;
    let folder = scratch("joining");
    let state = folder.path().join("state");
    let in_the_way = state.join("ca.pem");
    fs::create_dir_all(&in_the_way).unwrap();
    let token = here(&hub.join_token(&format!("department/{CODE}/adapter/main")).await, hub.enrolment);
    let directory = Directory::new(&state);
    let surroundings = weft_adapter::Surroundings::system();
    let join = || weft_adapter::join(&token, &directory, &surroundings);
    join().await.expect_err("the answer cannot be kept");
    assert_eq!(sealing_keys(&hub).await.len(), 1, "the hub took the token");
    fs::remove_dir(&in_the_way).unwrap();
    let joined = join().await.expect("the same request again");
    assert_eq!(joined.fingerprint, sealing_keys(&hub).await[0].kid);
    let pending = fs::read_dir(&state).unwrap().any(|entry| entry.unwrap().file_name() == "joining.pem");
    assert!(!pending, "nothing is left of the request");

    let window =
        v1::RegisterWindowRequest { window: "hall-1".into(), name_zh: "示例窗口".into(), hall: "gaoqing".into() };
    hub.operator(OPERATOR_NAMES[0]).await.register_window(window).await.unwrap();
    let token = here(&hub.join_token("window/hall-1").await, hub.enrolment);
    fs::write(folder.path().join("token"), token).unwrap();
    let join = async || {
        let weft = Launch::weft("window", folder.path());
        weft.args(["window", "join", "--dir", "window", "--token-file", "token"]).start().wait(PATIENCE).await.success()
    };
    let in_the_way = folder.path().join("window/ca.pem");
    fs::create_dir_all(&in_the_way).unwrap();
    assert!(!join().await);
    fs::remove_dir(&in_the_way).unwrap();
    assert!(join().await, "the same request again");
    assert!(!folder.path().join("window/joining.pem").exists() && folder.path().join("window/window.key.pem").exists());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_windows_token_brings_no_sealing_key_and_ends_with_its_identity() {
    let mut hub = TestHub::start().await;
    let department = hub.department(CODE, &[TYPE]).await;
    let window = hub.window("hall-1").await;
    let token = hub.join_token("window/hall-1").await;
    let key = new_key();
    let (response, credentials) = redeem(&hub, &token, &key.public_jwk().to_string()).await.expect("it is redeemed");
    assert_eq!((response.sealing_key_state(), response.department_secret.len()), (KeyState::Unspecified, 0));
    assert_eq!(sealing_keys(&hub).await.len(), 1, "the adapter's alone");
    let channel = connect(hub.api, &hub.ca(), Some(&credentials)).await.unwrap();
    // A window proposes no key, publishes nothing and administers nothing.
    let request = v1::ProposeSealingKeyRequest { jwk: key.public_jwk().to_string(), ..Default::default() };
    let status = RenewalClient::new(channel.clone()).propose_sealing_key(request).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::WrongRole));
    let request = v1::HeadsRequest { record_type: TYPE.into(), ..Default::default() };
    let mut publishing = v1::publishing_client::PublishingClient::new(channel.clone());
    assert_eq!(reason_of(&publishing.heads(request).await.unwrap_err()), Some(Reason::WrongRole));
    let mut operator = v1::operator_client::OperatorClient::new(channel);
    let status = operator.list_departments(v1::ListDepartmentsRequest {}).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::WrongRole));
    drop(window);
    // An adapter looks at nothing.
    let channel = connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap();
    let request = v1::GetRecordRequest { look: Some(look(ITEM, None)), by: None };
    let status = v1::query_client::QueryClient::new(channel).get_record(request).await.unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::WrongRole));

    // A token that was made before its identity was cut off does not bring it back.
    let token = hub.join_token("window/hall-1").await;
    let request =
        v1::RevokeIdentityRequest { identity: "window/hall-1".into(), why: "taken away".into(), ..Default::default() };
    hub.operator(OPERATOR_NAMES[0]).await.revoke_identity(request).await.expect("it is revoked");
    let status = redeem(&hub, &token, "").await.map(|_| ()).unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::JoinTokenInvalid));
    hub.stop().await;
}
