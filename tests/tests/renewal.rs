//! How an identity stays: a certificate renews itself, a sealing key is followed by the next.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use weft_proto::{
    Reason,
    reason::reason_of,
    v1::{self, KeyState, OutcomeKind, publishing_client::PublishingClient, renewal_client::RenewalClient},
};
use weft_record::{
    seal::{Content, SealingKey},
    status::{Event, Status},
};
use weft_tests::{
    client::{Credentials, connect},
    department::{Example, Sealed, TestDepartment, new_key, set_key},
    hub::TestHub,
};

const TYPE: &str = "business-licence";
const DEPARTMENT: &str = "market-regulation";

async fn renewal(hub: &TestHub, credentials: &Credentials) -> RenewalClient<tonic::transport::Channel> {
    RenewalClient::new(connect(hub.api, &hub.ca(), Some(credentials)).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_the_same_identity_under_a_new_key() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let mut client = renewal(&hub, &department.credentials).await;
    let renewed = client.renew(v1::RenewRequest { csr }).await.unwrap().into_inner();
    let credentials = Credentials { certificate: renewed.certificate_pem, key: key.serialize_pem() };
    let heads = v1::HeadsRequest { record_type: TYPE.into(), ..Default::default() };
    for credentials in [&credentials, &department.credentials] {
        let channel = connect(hub.api, &hub.ca(), Some(credentials)).await.unwrap();
        PublishingClient::new(channel)
            .heads(heads.clone())
            .await
            .expect("both certificates are in force until they end");
    }
    let nonsense = client.renew(v1::RenewRequest { csr: vec![1, 2, 3] }).await.unwrap_err();
    assert_eq!(reason_of(&nonsense), Some(Reason::BadRequest));

    // Cut off, the identity is cut off under every certificate.
    let identity = format!("spiffe://weft.test/department/{DEPARTMENT}/adapter/main");
    let revoke = v1::RevokeIdentityRequest { identity, why: "test".into(), ..Default::default() };
    hub.operator("wang").await.revoke_identity(revoke).await.unwrap();
    for credentials in [&credentials, &department.credentials] {
        let channel = connect(hub.api, &hub.ca(), Some(credentials)).await.unwrap();
        let refused = PublishingClient::new(channel).heads(heads.clone()).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::IdentityRevoked));
    }
    hub.stop().await;
}

fn version_one(department: &TestDepartment, number: u32, key: &SealingKey) -> Sealed {
    let example = Example::business_licence(number);
    let by_own_key = department.seal(&example, 1, Event::Issue, Status::Valid);
    let content = Content {
        record_id: by_own_key.record_id.clone(),
        version: 1,
        status: Status::Valid,
        valid_from: example.valid_from,
        valid_until: example.valid_until,
        event: Event::Issue,
        supersedes: None,
        holders: example.holders,
        fields: example.fields,
    };
    Sealed { token: department.seal_content(&content, TYPE, key), ..by_own_key }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_sealing_key_is_active_by_the_previous_ones_word_or_by_a_second_person() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let mut client = renewal(&hub, &department.credentials).await;
    let propose = |key: &SealingKey, signature: Vec<u8>| v1::ProposeSealingKeyRequest {
        jwk: key.public_jwk().to_string(),
        signed_by_kid: if signature.is_empty() { String::new() } else { department.key.kid().to_owned() },
        signature,
    };

    let vouched = new_key();
    let signature = department.key.sign(format!("weft-sealing-key:{}", vouched.kid()).as_bytes()).unwrap();
    let answer = client.propose_sealing_key(propose(&vouched, signature.clone())).await.unwrap().into_inner();
    assert_eq!((answer.state(), answer.fingerprint.as_str()), (KeyState::Active, vouched.kid()));
    let sealed = version_one(&department, 200, &vouched);
    let heard = department.publish(std::slice::from_ref(&sealed)).await;
    assert_eq!(heard.outcome(&sealed), OutcomeKind::Indexed, "sealed with the new key");
    let overlap = version_one(&department, 201, &department.key);
    let heard = department.publish(std::slice::from_ref(&overlap)).await;
    assert_eq!(heard.outcome(&overlap), OutcomeKind::Indexed, "and with the old one, which is not retired by that");

    // Another key's signature does not vouch; without one a second person must.
    let waiting = new_key();
    let wrong = client.propose_sealing_key(propose(&waiting, signature)).await.unwrap_err();
    assert_eq!(reason_of(&wrong), Some(Reason::BadRequest));
    let answer = client.propose_sealing_key(propose(&waiting, Vec::new())).await.unwrap().into_inner();
    assert_eq!(answer.state(), KeyState::Pending);
    let early = version_one(&department, 202, &waiting);
    let heard = department.publish(std::slice::from_ref(&early)).await;
    assert_eq!(heard.rejection(&early.id()).map(|one| one.stage.as_str()), Some("key"));
    set_key(&hub, "li", DEPARTMENT, waiting.kid(), KeyState::Active).await.unwrap();
    let heard = department.publish(std::slice::from_ref(&early)).await;
    assert_eq!(heard.outcome(&early), OutcomeKind::Indexed, "the very bytes that were refused are taken now");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_adapters_to_send_again_what_a_restore_may_have_lost() {
    let mut hub = TestHub::start().await;
    let department = hub.department(DEPARTMENT, &[TYPE]).await;
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = department.client.clone().publish(requests).await.unwrap().into_inner();
    let since = prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 };
    let ask =
        v1::RequestResendRequest { department: DEPARTMENT.into(), record_types: vec![TYPE.into()], since: Some(since) };
    hub.operator("wang").await.request_resend(ask).await.unwrap();
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), answers.message()).await;
    let told = told.expect("the open stream is told").unwrap().unwrap();
    let expected = v1::Resend { record_types: vec![TYPE.into()], since: Some(since) };
    assert_eq!(told.kind, Some(v1::publish_response::Kind::Resend(expected)));
    drop(sender);
    hub.stop().await;
}
