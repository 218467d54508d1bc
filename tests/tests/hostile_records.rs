//! Hostile inputs, rows 7 to 10, 12 to 25 and 29 to 31, through the door of a running hub: what was submitted, which stage
//! refused it and for which reason. Every refusal is prompt, is in quarantine afterwards, and the hub goes on serving.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod forge;

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use forge::{Parts, signed, with_disclosures};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;
use weft_proto::{
    reason::{Reason, reason_of},
    v1::{self, Answering, OutcomeKind, renewal_client::RenewalClient},
};
use weft_record::{
    keys::Algorithm,
    sdjwt::{Limits, Token, digest_of, encode},
    seal::SealingKey,
    status::{Event, Status},
};
use weft_tests::{
    client::connect,
    department::{Example, Sealed, TestDepartment, publish_at},
    hub::{OPERATOR_NAMES, TestHub},
    window::{ITEM, grant, look},
};

const TYPE: &str = "business-licence";
/// One second is what is asked for; a slow machine that builds beside the test gets more. What hangs takes longer still.
const PROMPT: Duration = Duration::from_secs(10);

/// One hostile submission and what it is to get.
struct Case {
    row: u32,
    what: String,
    bytes: Vec<u8>,
    stage: &'static str,
    reason: &'static str,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        row: u32,
        what: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        stage: &'static str,
        reason: &'static str,
    ) {
        self.0.push(Case { row, what: what.into(), bytes: bytes.into(), stage, reason });
    }

    fn token(&mut self, row: u32, what: impl Into<String>, bytes: impl Into<Vec<u8>>, reason: &'static str) {
        self.add(row, what, bytes, "token", reason);
    }

    /// Submits each alone, and finds each in quarantine afterwards.
    async fn submit(&self, hub: &TestHub, department: &TestDepartment) {
        for Case { row, what, bytes, stage, reason } in &self.0 {
            let begun = tokio::time::Instant::now();
            let heard = department.publish_bytes(vec![bytes.clone()]).await;
            let id = weft_record::verify::submission_id(bytes);
            let rejection = heard.rejection(&id).unwrap_or_else(|| panic!("row {row}, {what}: {:?}", heard.answers));
            assert!(begun.elapsed() < PROMPT, "row {row}, {what}: {:?}", begun.elapsed());
            assert_eq!(rejection.stage, *stage, "row {row}, {what}: {rejection:?}");
            let told = rejection.problems.iter().any(|one| !one.warning && one.reason == *reason);
            assert!(told, "row {row}, {what}: {rejection:?}");
            assert!(rejection.problems.iter().all(|one| !one.zh.is_empty() && !one.en.is_empty()), "row {row}, {what}");
        }
        let ids: Vec<_> =
            self.0.iter().map(|case| hex::encode(weft_record::verify::submission_id(&case.bytes))).collect();
        weft_tests::eventually(Duration::from_secs(60), || async {
            let held = quarantine(hub, &department.code).await;
            let left = ids.iter().filter(|id| !held.contains(id)).count();
            if left == 0 { Ok(()) } else { Err(format!("{left} are not in quarantine")) }
        })
        .await;
    }
}

/// The submissions of a department in quarantine, page after page.
async fn quarantine(hub: &TestHub, department: &str) -> Vec<String> {
    let mut operator = hub.operator(OPERATOR_NAMES[0]).await;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListQuarantineRequest { department: department.into(), page_size: 100, page_token };
        let page = operator.list_quarantine(request).await.unwrap().into_inner();
        all.extend(page.entries.into_iter().map(|entry| entry.submission_id));
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

/// Refuses nothing by itself: a right submission of the body `number`.
fn right(department: &TestDepartment, number: u32) -> Sealed {
    department.seal(&Example::business_licence(number), 1, Event::Issue, Status::Valid)
}

async fn still_serves(department: &TestDepartment, number: u32) {
    let sealed = right(department, number);
    let heard = department.publish(std::slice::from_ref(&sealed)).await;
    assert_eq!(heard.outcome(&sealed), OutcomeKind::Indexed);
}

/// A key that the department's present one vouches for: active at once.
async fn second_key(hub: &TestHub, department: &TestDepartment, algorithm: Algorithm) -> SealingKey {
    let key = SealingKey::generate(algorithm, &mut weft_hub::clock::fill_random).unwrap();
    let channel = connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap();
    let signature = department.key.sign(format!("weft-sealing-key:{}", key.kid()).as_bytes()).unwrap();
    let request = v1::ProposeSealingKeyRequest {
        jwk: key.public_jwk().to_string(),
        signature,
        signed_by_kid: department.key.kid().into(),
    };
    let proposed = RenewalClient::new(channel).propose_sealing_key(request).await.unwrap().into_inner();
    assert_eq!(proposed.state(), v1::KeyState::Active);
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn row_7_what_is_anothers_is_refused() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let other = hub.department("civil-affairs", &["marriage-certificate"]).await;
    let theirs =
        other.seal(&Example::of("marriage-certificate", "valid-marriage"), 1, Event::Issue, Status::Valid).token;
    let ours = Parts::of(&right(&department, 700).token);
    let issuer = ours.payload["iss"].as_str().unwrap().replace("market-regulation", "civil-affairs");
    let id = ours.payload["record"]["id"].as_str().unwrap().replace("market-regulation", "civil-affairs");
    let mut cases = Cases::default();
    cases.add(7, "another's record as it is", theirs.clone(), "sender", "not_your_issuer");
    cases.add(7, "another's record, its type", theirs.clone(), "sender", "not_your_type");
    let renamed = ours.clone().claim("iss", json!(issuer));
    cases.add(7, "our content in another's name", renamed.sign(&department.key), "sender", "not_your_issuer");
    cases.add(7, "under another's key", renamed.sign(&other.key), "sender", "not_your_issuer");
    let mut record = ours.payload["record"].clone();
    record["id"] = json!(id);
    let stolen = ours.clone().claim("record", record);
    cases.add(7, "another's record id", stolen.sign(&department.key), "sender", "wrong_record_id");
    let vct = ours.payload["vct"].as_str().unwrap().to_owned();
    for (what, vct, reason) in [
        ("a type of another hub", vct.replace("hub.weft.test", "hub.example"), "unknown_type"),
        ("a version that is not there", vct.replace("/v1", "/v9"), "unknown_type"),
        ("a type that is not there", vct.replace(TYPE, "licence-of-nobody"), "unknown_type"),
    ] {
        cases.add(7, what, ours.clone().claim("vct", json!(vct)).sign(&department.key), "sender", reason);
    }
    // The type of another department; its slots are not those of this token, so the structure is told first.
    let vct = vct.replace(TYPE, "marriage-certificate");
    cases.token(7, "another's type", ours.clone().claim("vct", json!(vct)).sign(&department.key), "profile_violation");
    let forged = ours.sign(&other.key);
    cases.add(7, "our name under another's key", forged, "key", "bad_signature");
    cases.submit(&hub, &department).await;
    still_serves(&department, 701).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_8_to_10_keys_and_signatures() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let ours = Parts::of(&right(&department, 800).token);
    // Where a token says that its key is: nobody may come.
    let lure = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", lure.local_addr().unwrap());
    let mut cases = Cases::default();
    algorithms(&mut cases, &ours, &department.key);
    sources_of_keys(&mut cases, &ours, &department.key, &url);
    let es256 = second_key(&hub, &department, Algorithm::Es256).await;
    let malleable = signatures(&mut cases, &ours, &department.key, &es256);
    cases.submit(&hub, &department).await;

    // High-s is a valid ECDSA signature (Wycheproof); the same content under it is a duplicate, never a second record.
    let first = ours.clone().header("kid", json!(es256.kid())).header("alg", json!("ES256")).sign(&es256);
    for (token, outcome) in [(first, OutcomeKind::Indexed), (malleable, OutcomeKind::Duplicate)] {
        let heard = department.publish_bytes(vec![token.into_bytes()]).await;
        assert_eq!(heard.outcomes.values().next().expect("an outcome").kind(), outcome);
    }
    let came = tokio::time::timeout(Duration::ZERO, lure.accept()).await;
    assert!(came.is_err(), "the hub fetched a key");
    weak_keys(&hub, &department).await;
    still_serves(&department, 801).await;
    hub.stop().await;
}

fn algorithms(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    for name in ["none", "None", "nOnE", "NONE", "", "HS256", "RS256", "PS256", "ES384", "eddsa", "Ed25519"] {
        let token = ours.clone().header("alg", json!(name)).sign(key);
        cases.token(8, format!("alg {name:?}"), token, "unsupported_algorithm");
    }
    let unsigned = ours.clone().header("alg", json!("none"));
    let jwt = format!("{}.{}.", encode(unsigned.header.to_string()), encode(unsigned.payload.to_string()));
    cases.token(8, "alg none without signature", with_disclosures(&jwt, &ours.disclosures), "unsupported_algorithm");
    cases.token(8, "no alg", ours.clone().without(|one| &mut one.header, "alg").sign(key), "unsupported_algorithm");
    cases.token(8, "alg as a list", ours.clone().header("alg", json!(["EdDSA"])).sign(key), "unsupported_algorithm");
    let symmetric = ours.clone().header("alg", json!("HS256"));
    let input = format!("{}.{}", encode(symmetric.header.to_string()), encode(symmetric.payload.to_string()));
    let public = URL_SAFE_NO_PAD.decode(key.public_jwk()["x"].as_str().unwrap()).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), input.as_bytes());
    let token = with_disclosures(&format!("{input}.{}", encode(tag)), &ours.disclosures);
    cases.token(8, "HS256 with the public key as secret", token, "unsupported_algorithm");
    let other = ours.clone().header("alg", json!("ES256")).sign(key);
    cases.add(8, "another key's algorithm", other, "key", "bad_signature");
}

fn sources_of_keys(cases: &mut Cases, ours: &Parts, key: &SealingKey, url: &str) {
    let stranger = weft_tests::department::new_key();
    let unknown = ours.clone().header("kid", json!(stranger.kid())).sign(&stranger);
    cases.add(9, "a key nobody registered", unknown, "key", "unknown_key");
    for kid in ["../../k", "' OR 1=1 --", url, "", "k", "\u{0}"] {
        let token = ours.clone().header("kid", json!(kid)).sign(&stranger);
        cases.token(9, format!("kid {kid:?}"), token, if kid == "\u{0}" { "bad_text" } else { "profile_violation" });
    }
    let token = ours.clone().header("kid", json!(7)).sign(key);
    cases.token(9, "kid as a number", token, "profile_violation");
    cases.token(9, "no kid", ours.clone().without(|one| &mut one.header, "kid").sign(key), "profile_violation");
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", stranger.public_jwk()),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
    ] {
        cases.token(9, name, ours.clone().header(name, value.clone()).sign(&stranger), "forbidden_header");
        cases.token(9, format!("{name}, well sealed"), ours.clone().header(name, value).sign(key), "forbidden_header");
    }
}

/// The order of P-256's base point (SEC 2 section 2.4.2), and that of Ed25519's (RFC 8032 section 5.1), both big-endian.
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const ED25519_ORDER: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

fn order(hexadecimal: &str) -> [u8; 32] {
    hex::decode(hexadecimal).unwrap().try_into().unwrap()
}

/// `a - b`, big-endian.
fn minus(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let (mut out, mut borrow) = ([0; 32], 0);
    for at in (0..32).rev() {
        let difference = i32::from(a[at]) - i32::from(b[at]) - borrow;
        borrow = i32::from(difference < 0);
        out[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    out
}

/// `a + b`, big-endian, without what does not fit.
fn plus(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let (mut out, mut carry) = ([0; 32], 0);
    for at in (0..32).rev() {
        let sum = u16::from(a[at]) + u16::from(b[at]) + carry;
        carry = sum >> 8;
        out[at] = (sum & 0xff) as u8;
    }
    out
}

/// A positive integer of DER.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign = if digits.first().is_some_and(|byte| *byte & 0x80 != 0) { vec![0] } else { Vec::new() };
    [vec![2, u8::try_from(sign.len() + digits.len()).unwrap()], sign, digits].concat()
}

/// Signatures that are not what they should be; the high-s twin of a right one is returned.
fn signatures(cases: &mut Cases, ours: &Parts, eddsa: &SealingKey, es256: &SealingKey) -> String {
    let parts = ours.clone().header("kid", json!(es256.kid())).header("alg", json!("ES256"));
    let input = format!("{}.{}", encode(parts.header.to_string()), encode(parts.payload.to_string()));
    let right = es256.sign(input.as_bytes()).unwrap();
    let (r, s): ([u8; 32], [u8; 32]) = (right[..32].try_into().unwrap(), right[32..].try_into().unwrap());
    let n = order(P256_ORDER);
    let with = |signature: &[u8]| with_disclosures(&format!("{input}.{}", encode(signature)), &parts.disclosures);
    let der = [der_integer(&r), der_integer(&s)].concat();
    let der = [vec![0x30, u8::try_from(der.len()).unwrap()], der].concat();
    for (what, signature) in [
        ("ES256 in DER", der),
        ("r = 0", [[0; 32], s].concat()),
        ("s = 0", [r, [0; 32]].concat()),
        ("r = s = 0", vec![0; 64]),
        ("r = n", [n, s].concat()),
        ("s = n", [r, n].concat()),
        ("s = 2^256 - 1", [r, [0xff; 32]].concat()),
        ("swapped", [s, r].concat()),
        ("a byte more", [right.as_slice(), &[0]].concat()),
        ("a byte less", right[..63].to_vec()),
        ("empty", Vec::new()),
    ] {
        cases.add(10, what, with(&signature), "key", "bad_signature");
    }
    let input = format!("{}.{}", encode(ours.header.to_string()), encode(ours.payload.to_string()));
    let right = eddsa.sign(input.as_bytes()).unwrap();
    let mut s: [u8; 32] = right[32..].try_into().unwrap();
    s.reverse();
    let mut beyond = plus(s, order(ED25519_ORDER));
    beyond.reverse();
    let with_ours = |signature: &[u8]| with_disclosures(&format!("{input}.{}", encode(signature)), &ours.disclosures);
    // S + L is the same scalar: RFC 8032 section 5.1.7 refuses it.
    let twin = [&right[..32], &beyond].concat();
    cases.add(10, "Ed25519 with S + L", with_ours(&twin), "key", "bad_signature");
    let mut identity = [0; 64];
    identity[0] = 1;
    cases.add(10, "Ed25519 with R = identity, S = 0", with_ours(&identity), "key", "bad_signature");
    high_s(&parts, es256)
}

/// A right ES256 token whose s lies in the upper half of the order, whichever half the signer chose.
fn high_s(parts: &Parts, key: &SealingKey) -> String {
    let input = format!("{}.{}", encode(parts.header.to_string()), encode(parts.payload.to_string()));
    let signature = key.sign(input.as_bytes()).unwrap();
    let (r, s): ([u8; 32], [u8; 32]) = (signature[..32].try_into().unwrap(), signature[32..].try_into().unwrap());
    let other = minus(order(P256_ORDER), s);
    with_disclosures(&format!("{input}.{}", encode([r, s.max(other)].concat())), &parts.disclosures)
}

/// Keys for which anybody could sign never reach a signature.
async fn weak_keys(hub: &TestHub, department: &TestDepartment) {
    let channel = connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap();
    let mut client = RenewalClient::new(channel);
    let small = |first: u8| {
        let mut point = [0; 32];
        point[0] = first;
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(point)})
    };
    let private = json!({"kty": "OKP", "crv": "Ed25519", "x": encode([9; 32]), "d": encode([9; 32])});
    let off = json!({"kty": "EC", "crv": "P-256", "x": encode([1; 32]), "y": encode([1; 32])});
    for (what, jwk) in [
        ("the identity", small(1).to_string()),
        ("order two or four", small(0).to_string()),
        ("private", private.to_string()),
        ("off the curve", off.to_string()),
        ("symmetric", json!({"kty": "oct", "k": encode([7; 32])}).to_string()),
        ("no JSON", "{".into()),
    ] {
        let request = v1::ProposeSealingKeyRequest { jwk, ..Default::default() };
        let status = client.propose_sealing_key(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason_of(&status)),
            (Code::InvalidArgument, Some(Reason::BadRequest)),
            "row 10, {what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_12_to_20_disclosures_digests_and_claims() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let ours = Parts::of(&right(&department, 1200).token);
    let mut cases = Cases::default();
    disclosures(&mut cases, &ours, &department.key);
    repeated_digests(&mut cases, &ours, &department.key);
    elements(&mut cases, &ours, &department.key);
    limits(&mut cases, &ours, &department.key);
    claims(&mut cases, &ours, &department.key);
    cases.submit(&hub, &department).await;

    // Row 15: a missing `_sd_alg` means sha-256.
    let missing = ours.clone().without(|one| &mut one.payload, "_sd_alg").sign(&department.key);
    let heard = department.publish_bytes(vec![missing.into_bytes()]).await;
    assert_eq!(heard.outcomes.values().next().expect("an outcome").kind(), OutcomeKind::Indexed);
    still_serves(&department, 1201).await;
    hub.stop().await;
}

fn disclosures(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let mut changed = ours.clone();
    let place = changed.place_of("name");
    changed.disclosures[place] = encode(json!(["c2FsdHNhbHRzYWx0c2FsdA", "name", "另一名称"]).to_string());
    cases.token(12, "a value changed", changed.sign(key), "disclosure_mismatch");
    let mut added = ours.clone();
    added.disclosures.push(encode(json!(["c2FsdHNhbHRzYWx0c2FsdA", "extra", "x"]).to_string()));
    cases.token(12, "one that no digest names", added.sign(key), "disclosure_mismatch");
    let mut twice = ours.clone();
    twice.disclosures.push(twice.disclosures[0].clone());
    cases.token(12, "one sent twice", twice.sign(key), "disclosure_mismatch");
    for name in ["md5", "sha-256-32", "SHA-256", "sha-512", ""] {
        let token = ours.clone().claim("_sd_alg", json!(name)).sign(key);
        cases.token(15, format!("_sd_alg {name:?}"), token, "unknown_hash_algorithm");
    }
    let token = ours.clone().claim("_sd_alg", Value::Null).sign(key);
    cases.token(15, "_sd_alg null", token, "unknown_hash_algorithm");
}

fn repeated_digests(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let mut twice = ours.clone();
    let list = twice.payload["fields"]["_sd"].as_array_mut().unwrap();
    let first = list[0].clone();
    list[1] = first;
    cases.token(13, "a digest twice in one list", twice.sign(key), "duplicate_digest");
    let mut apart = ours.clone();
    apart.payload["_sd"][1] = apart.payload["fields"]["_sd"][0].clone();
    cases.token(13, "a digest in two objects", apart.sign(key), "duplicate_digest");
    let place = ours.place_of("name");
    let digest = ours.payload["_sd"][0].clone();
    let inside = ours.clone().instead(place, json!(["c2FsdA", "name", {"_sd": [digest]}]).to_string());
    cases.token(13, "a digest inside a disclosure", inside.sign(key), "duplicate_digest");
    let known: Vec<Value> = ours.disclosures.iter().map(|one| json!(digest_of(one))).collect();
    let mut decoy = ours.clone();
    let list = decoy.payload["fields"]["_sd"].as_array_mut().unwrap();
    let decoys: Vec<usize> = (0..list.len()).filter(|at| !known.contains(&list[*at])).collect();
    list[decoys[1]] = list[decoys[0]].clone();
    cases.token(13, "a decoy twice", decoy.sign(key), "duplicate_digest");
}

fn elements(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let (field, holder) = (ours.place_of("phone"), ours.holder());
    for (what, place, text) in [
        ("named _sd", field, r#"["c2FsdA","_sd","x"]"#),
        ("named ...", field, r#"["c2FsdA","...","x"]"#),
        ("two elements in an object", field, r#"["c2FsdA","x"]"#),
        ("four elements", field, r#"["c2FsdA","phone","x","y"]"#),
        ("no element", field, "[]"),
        ("not an array", field, r#"{"salt":"x"}"#),
        ("a text", field, r#""phone""#),
        ("a name that is no text", field, r#"["c2FsdA",7,"x"]"#),
        ("a salt that is no text", field, r#"[7,"phone","x"]"#),
        ("three elements in an array", holder, r#"["c2FsdA","holder",{}]"#),
        ("a name that is there already", field, r#"["c2FsdA","uscc","x"]"#),
    ] {
        cases.token(14, what, ours.clone().instead(place, text).sign(key), "bad_disclosure");
    }
    let taken = ours.clone().in_place_of_a_decoy("/_sd", r#"["c2FsdA","iat",0]"#);
    cases.token(14, "a name that stands beside _sd", taken.sign(key), "bad_disclosure");
    let nested = ours.clone().instead(field, json!(["c2FsdA", "phone", {"...": "x"}]).to_string());
    cases.token(14, "... inside a disclosure", nested.sign(key), "bad_disclosure");
}

fn limits(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let decoys = |count: usize| -> Vec<Value> {
        let mut all: Vec<String> = (0..count).map(|at| digest_of(&encode(at.to_be_bytes()))).collect();
        all.sort_unstable();
        all.into_iter().map(Value::from).collect()
    };
    let mut many = ours.clone();
    many.payload["fields"]["_sd"] = json!(decoys(600));
    many.disclosures.clear();
    cases.token(16, "600 decoys", many.sign(key), "too_many_digests");
    many.payload["fields"]["_sd"] = json!(decoys(10_000));
    cases.add(16, "10,000 decoys", many.sign(key), "shape", "too_large");
    let mut deep = ours.clone();
    let mut inner = encode(json!(["c2FsdA", "name", "x"]).to_string());
    for _ in 0..200 {
        deep.disclosures.push(inner.clone());
        inner = encode(json!(["c2FsdA", "name", {"_sd": [digest_of(&inner)]}]).to_string());
    }
    let place = deep.place_of("name");
    deep.payload = serde_json::from_str(
        &deep.payload.to_string().replace(&digest_of(&deep.disclosures[place]), &digest_of(&inner)),
    )
    .unwrap();
    deep.disclosures[place] = inner;
    cases.token(16, "disclosures nested 200 deep", deep.sign(key), "too_deep");
    // A digest cannot name itself; what pretends to is named by nothing.
    let mut cycle = ours.clone();
    let end = encode(json!(["c2FsdA", "a", {"_sd": [digest_of("b")]}]).to_string());
    cycle.disclosures.push(encode(json!(["c2FsdA", "b", {"_sd": [digest_of(&end)]}]).to_string()));
    cycle.disclosures.push(end);
    cases.token(16, "disclosures that name one another", cycle.sign(key), "disclosure_mismatch");
    let place = ours.place_of("scope");
    let large = ours.clone().instead(place, json!(["c2FsdA", "scope", "x".repeat(1 << 20)]).to_string());
    cases.add(16, "a disclosure of 1 MB", large.sign(key), "shape", "too_large");
}

fn claims(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    for (name, value) in [
        ("exp", json!(4_000_000_000_i64)),
        ("nbf", json!(0)),
        ("status", json!({"status_list": {"idx": 0, "uri": "https://example.test"}})),
        ("aud", json!("x")),
    ] {
        let hidden = ours.clone().in_place_of_a_decoy("/_sd", &json!(["c2FsdA", name, value]).to_string());
        cases.token(17, format!("{name} behind a digest"), hidden.sign(key), "profile_violation");
        cases.token(17, format!("{name} in plain"), ours.clone().claim(name, value).sign(key), "profile_violation");
    }
    for name in ["iss", "vct", "iat", "record"] {
        let value = ours.payload[name].clone();
        let hidden = ours.clone().without(|one| &mut one.payload, name);
        let hidden = hidden.in_place_of_a_decoy("/_sd", &json!(["c2FsdA", name, value]).to_string());
        cases.token(17, format!("{name} behind a digest"), hidden.sign(key), "profile_violation");
    }
    let token = ours.sign(key);
    let binding = encode(json!({"alg": "EdDSA", "typ": "kb+jwt"}).to_string());
    let said = json!({"iat": 0, "aud": "x", "nonce": "x", "sd_hash": digest_of(&token)});
    let good = format!("{binding}.{}", encode(said.to_string()));
    let good = format!("{token}{good}.{}", encode(key.sign(good.as_bytes()).unwrap()));
    cases.token(18, "a good KB-JWT", good, "key_binding_refused");
    cases.token(18, "a bad KB-JWT", format!("{token}a.b.c"), "key_binding_refused");
    let bound = ours.clone().claim("cnf", json!({"jwk": key.public_jwk()}));
    cases.token(19, "cnf", bound.sign(key), "key_binding_refused");
    for typ in ["statuslist+jwt", "JWT", "kb+jwt", "vc+sd-jwt", "DC+SD-JWT", "application/dc+sd-jwt", ""] {
        cases.token(20, format!("typ {typ:?}"), ours.clone().header("typ", json!(typ)).sign(key), "wrong_token_type");
    }
    cases.token(20, "no typ", ours.clone().without(|one| &mut one.header, "typ").sign(key), "wrong_token_type");
    let jwt = signed(r#"{"alg":"EdDSA","typ":"JWT"}"#, r#"{"sub":"x","aud":"y","exp":1}"#, &[], key);
    cases.token(20, "an ID token", jwt.trim_end_matches('~'), "malformed_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_21_to_25_encodings_numbers_depth_and_text() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let ours = Parts::of(&right(&department, 2100).token);
    let mut cases = Cases::default();
    encodings(&mut cases, &ours, &department.key);
    json_texts(&mut cases, &ours, &department.key);
    texts(&mut cases, &department);
    cases.submit(&hub, &department).await;
    still_serves(&department, 2101).await;
    hub.stop().await;
}

fn encodings(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let token = ours.sign(key);
    let jwt = token.split('~').next().unwrap();
    let (start, signature) = jwt.rsplit_once('.').unwrap();
    let with = |signature: &str| with_disclosures(&format!("{start}.{signature}"), &ours.disclosures);
    cases.token(21, "padding", with(&format!("{signature}==")), "malformed_token");
    cases.token(21, "white space", with(&format!("{signature}\n")), "malformed_token");
    cases.token(21, "a space", with(&format!(" {signature}")), "malformed_token");
    let standard = format!("+/{}", &signature[2..]);
    cases.token(21, "the other alphabet", with(&standard), "malformed_token");
    // 64 bytes end in two characters, the last of which has four bits to spare.
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = *signature.as_bytes().last().unwrap();
    let at = ALPHABET.iter().position(|one| *one == last).unwrap();
    let tail = format!("{}{}", &signature[..signature.len() - 1], char::from(ALPHABET[at + 1]));
    cases.token(21, "bits left over", with(&tail), "malformed_token");
    let mut padded = ours.clone();
    padded.disclosures[0].push('=');
    cases.token(21, "padding of a disclosure", padded.sign(key), "malformed_token");
    cases.token(21, "no last tilde", token.trim_end_matches('~'), "malformed_token");
    cases.token(21, "a tilde more at the end", format!("{token}~"), "malformed_token");
    cases.token(21, "a tilde more in between", token.replacen('~', "~~", 1), "malformed_token");
    cases.token(21, "nothing", "", "malformed_token");
    cases.token(21, "tildes alone", "~~~", "malformed_token");
    cases.token(21, "two parts", token.replacen('.', "", 1), "malformed_token");
    cases.token(21, "a line end behind it", format!("{token}\n"), "malformed_token");
}

fn json_texts(cases: &mut Cases, ours: &Parts, key: &SealingKey) {
    let (header, payload) = (ours.header.to_string(), ours.payload.to_string());
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    let token = signed(twice(&header, r#""alg":"none""#), &payload, &ours.disclosures, key);
    cases.token(22, "a key twice in the header", token, "bad_json");
    let token = signed(&header, twice(&payload, r#""iss":"https://example.test""#), &ours.disclosures, key);
    cases.token(22, "a key twice in the payload", token, "bad_json");
    let escaped = twice(&payload, r#""\u0069ss":"https://example.test""#);
    cases.token(22, "a key twice, once escaped", signed(&header, escaped, &ours.disclosures, key), "bad_json");
    let place = ours.place_of("capital");
    let disclosed = |text: &str| ours.clone().instead(place, format!(r#"["c2FsdA","capital",{text}]"#)).sign(key);
    cases.token(22, "a key twice in a disclosure", disclosed(r#"{"a":1,"a":2}"#), "bad_json");
    for (number, reason) in [
        ("1e400", "bad_number"),
        ("1E2", "bad_number"),
        ("9223372036854775808", "bad_number"),
        ("9007199254740993", "bad_number"),
        ("-9007199254740993", "bad_number"),
        ("-0", "bad_number"),
        ("0.1", "bad_number"),
        ("0.1000000000000000055511151231257827", "bad_number"),
        ("NaN", "bad_json"),
        ("Infinity", "bad_json"),
        ("01", "bad_json"),
        ("0x10", "bad_json"),
    ] {
        cases.token(23, format!("{number} as an amount"), disclosed(number), reason);
        let iat = ours.payload["iat"].to_string();
        let payload = payload.replace(&format!(r#""iat":{iat}"#), &format!(r#""iat":{number}"#));
        cases.token(23, format!("{number} as iat"), signed(&header, payload, &ours.disclosures, key), reason);
    }
    for depth in [129, 10_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        cases.token(24, format!("{depth} deep"), disclosed(&text), "too_deep");
        let objects = format!("{}1{}", r#"{"a":"#.repeat(depth.min(4000)), "}".repeat(depth.min(4000)));
        cases.token(24, format!("{depth} deep in objects"), disclosed(&objects), "too_deep");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    cases.add(24, "100,000 deep", disclosed(&deep), "shape", "too_large");
    cases.add(24, "65 KiB", vec![b'a'; 65 * 1024], "shape", "too_large");
}

fn texts(cases: &mut Cases, department: &TestDepartment) {
    let key = &department.key;
    let ours = Parts::of(&right(department, 2500).token);
    let place = ours.place_of("name");
    let disclosed = |text: &[u8]| ours.clone().instead(place, text).sign(key);
    for (what, text) in [
        ("an unpaired surrogate", br#"["c2FsdA","name","\ud800x"]"#.as_slice()),
        ("a lone low surrogate", br#"["c2FsdA","name","\udc00"]"#),
        ("a byte order mark", b"\xef\xbb\xbf[\"c2FsdA\",\"name\",\"x\"]"),
        ("invalid UTF-8", b"[\"c2FsdA\",\"name\",\"\xff\xfe\"]"),
        ("an overlong form", b"[\"c2FsdA\",\"name\",\"\xc0\xaf\"]"),
        ("NUL", br#"["c2FsdA","name","a\u0000b"]"#),
        ("a bare control character", b"[\"c2FsdA\",\"name\",\"a\x07b\"]"),
    ] {
        cases.token(25, what, disclosed(text), "bad_text");
    }
    cases.add(25, "bytes that are no text", vec![0xff, 0xfe, b'~'], "token", "malformed_token");
    for (what, text) in [
        ("right-to-left override", "高青\u{202e}示例"),
        ("an isolate", "\u{2066}高青"),
        ("a byte order mark within", "高\u{feff}青"),
        ("an escape", "\u{1b}[31m"),
    ] {
        let example = Example::business_licence(2501).with("name", json!(text));
        let sealed = department.seal(&example, 1, Event::Issue, Status::Valid);
        cases.add(25, what, sealed.token, "content", "bad_text");
    }
    // Letters that look like others: Cyrillic А and М for A and M.
    let mut twin = Example::business_licence(2502);
    let value = twin.holders[0].value.replace('A', "\u{410}").replace('M', "\u{41c}");
    twin.holders[0].value.clone_from(&value);
    let twin = twin.with("uscc", json!(value));
    let sealed = department.seal(&twin, 1, Event::Issue, Status::Valid);
    cases.add(25, "an identifier of look-alikes", sealed.token, "content", "identifier_wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_messages_beyond_the_limits_end_their_call_alone() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let window = hub.window("hall-1").await;
    let mut client = department.client.clone();
    let refused = |result: Result<_, tonic::Status>| result.map(|_: weft_tests::department::Heard| ()).unwrap_err();

    let begun = tokio::time::Instant::now();
    let status = refused(publish_at(&mut client, vec![vec![b'a'; (4 << 20) + 1]]).await);
    assert_eq!(status.code(), Code::ResourceExhausted, "4 MiB + 1: {status}");
    let array = format!("[{}0]", "0,".repeat(10_000_000));
    let status = refused(publish_at(&mut client, vec![array.into_bytes()]).await);
    assert_eq!(status.code(), Code::ResourceExhausted, "an array of 10 million: {status}");
    // Within a message, but not within a batch.
    let status = refused(publish_at(&mut client, vec![vec![b'a'; 3 << 20], vec![b'b'; 1000]]).await);
    assert_eq!((status.code(), reason_of(&status)), (Code::ResourceExhausted, Some(Reason::TooLarge)));
    // One that does not fit the 64 KiB of a look.
    let status = window.get(&"x".repeat(70_000), look(ITEM, None)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");

    let channel = connect(hub.api, &hub.ca(), Some(&department.credentials)).await.unwrap();
    for (what, body, headers, code) in [
        ("1 GiB declared", "\0\u{40}\0\0\0abc", &[][..], Code::ResourceExhausted),
        ("no message of ours", "\0\0\0\0\u{1}\u{f}", &[], Code::InvalidArgument),
        ("a compressed message", "\u{1}\0\0\0\u{3}abc", &[("grpc-encoding", "gzip")], Code::Unimplemented),
        ("compressed, and not said so", "\u{1}\0\0\0\u{3}abc", &[], Code::InvalidArgument),
    ] {
        let status = raw(&channel, "/weft.v1.Publishing/Publish", body, headers).await;
        assert_eq!(status, Some(code), "row 24, {what}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    still_serves(&department, 2400).await;
    hub.stop().await;
}

/// A call whose message is these very bytes; its status.
async fn raw(
    channel: &tonic::transport::Channel,
    path: &str,
    body: &'static str,
    headers: &[(&'static str, &'static str)],
) -> Option<Code> {
    use tonic::codegen::{Body as _, Service as _, http};
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(tonic::body::Body::new(body.to_owned())).unwrap();
    let answer = async {
        let mut channel = channel.clone();
        std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let response = channel.call(request).await.unwrap();
        let status =
            |headers: &http::HeaderMap| headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
        if let Some(code) = status(response.headers()) {
            return Some(code);
        }
        let mut body = std::pin::pin!(response.into_body());
        while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            if let Some(code) = frame.unwrap().trailers_ref().and_then(status) {
                return Some(code);
            }
        }
        None
    };
    tokio::time::timeout(PROMPT, answer).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn row_29_wrong_content_is_quarantined_by_its_rule_and_its_neighbours_go_through() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let issue = |example: &Example| department.seal(example, 1, Event::Issue, Status::Valid);
    let licence = Example::business_licence;
    let mut check_digit = licence(2901);
    check_digit.holders[0].value = "91370322MAYY000185".into();
    let mut backwards = licence(2902);
    (backwards.valid_from, backwards.valid_until) = (Some("2030-01-02".into()), Some("2030-01-01".into()));
    let ahead = licence(2903).with("issuedDate", json!("2099-01-01"));
    let unreal = licence(2904).with("established", json!("2018-02-30"));
    let other_holder = {
        let mut one = licence(2905);
        one.holders[0].value = weft_tests::department::synthetic_uscc(2906);
        one
    };
    let bad = [
        (issue(&check_digit), "identifier_wrong", "", "/holders/0/value"),
        (issue(&backwards), "rule_broken", "validity-in-order", "/record/valid_from"),
        (issue(&ahead), "rule_broken", "issued-not-in-future", "/fields/issuedDate"),
        (issue(&unreal), "impossible_date", "", "/fields/established"),
        (issue(&other_holder), "rule_broken", "holder-is-uscc", "/fields/uscc"),
    ];
    let good = [issue(&licence(2910)), issue(&licence(2911))];
    let mut all = vec![good[0].token.clone().into_bytes()];
    all.extend(bad.iter().map(|(sealed, ..)| sealed.token.clone().into_bytes()));
    all.push(good[1].token.clone().into_bytes());
    let heard = department.publish_bytes(all).await;
    for (sealed, reason, rule, pointer) in &bad {
        let rejection = heard.rejection(&sealed.id()).unwrap_or_else(|| panic!("{pointer} is not refused"));
        assert_eq!(rejection.stage, "content");
        let told = rejection.problems.iter().any(|one| {
            one.reason == *reason && (rule.is_empty() || one.rule == *rule) && one.pointer.starts_with(pointer)
        });
        assert!(told, "{reason} {rule} {pointer}: {rejection:?}");
    }
    // What is sealed ahead of the hub's clock.
    let early = Parts::of(&issue(&licence(2907)).token);
    let iat = early.payload["iat"].as_i64().unwrap() + 3600;
    let early = early.claim("iat", json!(iat)).sign(&department.key);
    let mut cases = Cases::default();
    cases.add(29, "sealed in the future", early, "content", "issued_in_future");
    cases.submit(&hub, &department).await;
    for sealed in &good {
        assert_eq!(heard.outcome(sealed), OutcomeKind::Indexed);
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_30_and_31_a_number_that_is_taken_changes_nothing() {
    let mut hub = TestHub::start().await;
    let department = hub.department("market-regulation", &[TYPE]).await;
    let window = hub.window("hall-1").await;
    hub.grant(grant("hall-1", TYPE, "market-regulation", &["uscc", "name"])).await;
    let example = Example::business_licence(3000);
    let holder = example.holders[0].value.clone();
    let other = |name: &str| example.clone().with("name", json!(name));
    let seal = |example: &Example, version, event, status| department.seal(example, version, event, status);
    let first = seal(&example, 1, Event::Issue, Status::Valid);
    let outcome = async |sealed: &Sealed| {
        let heard = department.publish(std::slice::from_ref(sealed)).await;
        heard.outcome(sealed)
    };
    assert_eq!(outcome(&first).await, OutcomeKind::Indexed);

    // Row 30: the same number, other content: a receipt (publish asserts it), then the conflict, with an alarm.
    let conflict = seal(&other("另一名称有限公司"), 1, Event::Issue, Status::Valid);
    assert_eq!(outcome(&conflict).await, OutcomeKind::Conflict);
    let ids = v1::OutcomeOfRequest { submission_ids: vec![conflict.id().to_vec()] };
    let told = department.client.clone().outcome_of(ids).await.unwrap().into_inner().outcomes;
    let standing = hub.stores.index.version(&first.record_id, 1).await.unwrap().unwrap().content_digest;
    assert_eq!(told[0].standing_digest, standing, "the first's digest stands beside the conflict");
    let alarms = hub.operator("wang").await.list_alarms(v1::ListAlarmsRequest {}).await.unwrap().into_inner().alarms;
    assert_eq!(alarms.iter().filter(|one| one.alarm == "conflict").count(), 1, "{alarms:?}");
    let answer = window.get(&first.record_id, look(ITEM, Some(("uscc", &holder)))).await.unwrap();
    assert_eq!((answer.version, answer.answering()), (1, Answering::Satisfied));
    let token = Token::parse(&answer.presentation, Limits::default()).unwrap();
    assert_eq!(token.process().unwrap()["fields"]["name"], example.fields["name"], "the first content stands");

    // Row 31: behind a revocation, whatever is older, repeated or not allowed changes nothing.
    let revoked = seal(&example, 2, Event::Revoke, Status::Revoked);
    assert_eq!(outcome(&revoked).await, OutcomeKind::Indexed);
    for (sealed, expected) in [
        (seal(&example, 1, Event::Issue, Status::Valid), OutcomeKind::Duplicate),
        (seal(&other("第三名称有限公司"), 1, Event::Issue, Status::Valid), OutcomeKind::Conflict),
        (seal(&example, 2, Event::Change, Status::Valid), OutcomeKind::Conflict),
        (seal(&example, 3, Event::Change, Status::Valid), OutcomeKind::Quarantined),
        (seal(&example, 3, Event::Issue, Status::Valid), OutcomeKind::Quarantined),
        (seal(&example, 9, Event::Change, Status::Valid), OutcomeKind::Gap),
    ] {
        assert_eq!(outcome(&sealed).await, expected, "version {}", sealed.version);
        let answer = window.get(&first.record_id, look(ITEM, Some(("uscc", &holder)))).await.unwrap();
        assert_eq!((answer.version, answer.answering(), answer.status.as_str()), (2, Answering::Revoked, "revoked"));
    }
    hub.stop().await;
}
