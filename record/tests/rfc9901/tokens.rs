//! Tokens by hand: right ones to begin with, and every wrong one.

use serde_json::{Map, Value, json};
use weft_record::keys::Algorithm;
use weft_record::sdjwt::{self, Error, Fault, Limits, Token};
use weft_record::seal::{self, Content, Holder, SealingKey, Slots};
use weft_record::status::{Event, Status};

/// Bytes that look random and are the same in every run.
pub(crate) fn seeded(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    move |bytes: &mut [u8]| {
        for byte in bytes {
            // xorshift64*: enough for salts that nobody attacks.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            *byte = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    }
}

pub(crate) fn key(algorithm: Algorithm) -> SealingKey {
    SealingKey::generate(algorithm, &mut seeded(7)).unwrap()
}

/// An encoded disclosure of any JSON.
pub(crate) fn disclosure(elements: Value) -> String {
    sdjwt::encode(elements.to_string())
}

pub(crate) fn digest(encoded: &str) -> String {
    sdjwt::digest_of(encoded)
}

/// A digest that has no disclosure.
pub(crate) fn decoy(number: usize) -> String {
    sdjwt::digest_of(&format!("decoy {number}"))
}

/// A signed token of header and payload texts exactly as given.
pub(crate) fn signed_texts(header: &str, payload: &str, disclosures: &[String]) -> String {
    let mut token = format!("{}.{}", sdjwt::encode(header), sdjwt::encode(payload));
    let signature = key(Algorithm::EdDsa).sign(token.as_bytes()).unwrap();
    token.push('.');
    token.push_str(&sdjwt::encode(signature));
    for disclosure in disclosures {
        token.push('~');
        token.push_str(disclosure);
    }
    token.push('~');
    token
}

/// A signed token of a payload.
pub(crate) fn signed(payload: &Value, disclosures: &[String]) -> String {
    signed_texts(r#"{"alg":"EdDSA","typ":"example+sd-jwt"}"#, &payload.to_string(), disclosures)
}

/// The processed payload of a token: taken apart, signature checked, disclosures put back.
pub(crate) fn process(token: &str) -> Result<Value, Error> {
    process_within(token, Limits::default())
}

pub(crate) fn process_within(token: &str, limits: Limits) -> Result<Value, Error> {
    let token = Token::parse(token, limits)?;
    token.check_signature(key(Algorithm::EdDsa).verifying_key())?;
    token.process().map(Value::Object)
}

/// The fault for which a token is refused.
#[track_caller]
pub(crate) fn fault(token: &str) -> Fault {
    process(token).expect_err("the token was accepted").fault
}

pub(crate) const SLOTS: Slots = Slots { holders: 2, fields: 8 };
pub(crate) const ISSUER: &str = "https://hub.example/departments/market-regulation";
pub(crate) const VCT: &str = "https://hub.example/types/business-licence/v1";
pub(crate) const IAT: i64 = 1_795_442_400;

pub(crate) fn holder(value: &str) -> Holder {
    Holder {
        role: "licensee".into(),
        scheme: "uscc".into(),
        value: value.into(),
        name: Some("高青示例商贸有限公司".into()),
        share: None,
    }
}

pub(crate) fn content() -> Content {
    let fields = json!({
        "certificateName": "营业执照", "certificateNumber": "91370322MAYY000184", "registeredCapital": "1000000.00",
        "partners": [{"name": "示例甲"}, {"name": "示例乙"}], "floors": 3, "chain": false,
    });
    Content {
        record_id: "business-licence.market-regulation.aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        version: 2,
        status: Status::Valid,
        valid_from: Some("2018-06-12".into()),
        valid_until: None,
        event: Event::Change,
        supersedes: None,
        holders: vec![holder("91370322MAYY000184")],
        fields: object(fields),
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn sealed_with(content: &Content, algorithm: Algorithm, seed: u64) -> String {
    seal::seal(content, &SLOTS, ISSUER, VCT, IAT, &key(algorithm), &mut seeded(seed)).unwrap()
}

pub(crate) fn sealed(content: &Content) -> String {
    sealed_with(content, Algorithm::EdDsa, 1)
}

/// The sealed token with header and payload changed, and signed anew: what a department's key could also sign.
pub(crate) fn resealed(
    sealed: &str,
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>, &mut Vec<String>),
) -> String {
    let token = Token::parse(sealed, Limits::default()).unwrap();
    let (mut header, mut payload) = (token.header.clone(), token.payload.clone());
    let mut disclosures = token.disclosures.iter().map(|disclosure| disclosure.encoded.to_owned()).collect();
    change(&mut header, &mut payload, &mut disclosures);
    signed_texts(&Value::Object(header).to_string(), &Value::Object(payload).to_string(), &disclosures)
}
