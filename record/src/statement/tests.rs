use serde_json::json;

use super::*;
use crate::seal::SealingKey;

fn key() -> SealingKey {
    SealingKey::generate(Algorithm::EdDsa, &mut |bytes: &mut [u8]| bytes.fill(7)).unwrap()
}

fn keys() -> KeySet {
    KeySet::new([key().verifying_key().clone()])
}

fn statement() -> Statement {
    Statement {
        iss: "https://hub.example".into(),
        iat: 1,
        record_id: "t.d.x".into(),
        version: 2,
        status: "valid".into(),
        position: ("weft.records.t".into(), 0, 9),
        as_of: None,
        ledger_entry: "e".into(),
        presentation: sha256_base64url(b"p~"),
    }
}

fn sign(header: &Value, payload: &str) -> String {
    let signed = format!("{}.{}", sdjwt::encode(header.to_string()), sdjwt::encode(payload));
    let signature = key().sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", sdjwt::encode(signature))
}

fn signed() -> String {
    let header = json!({"alg": "EdDSA", "kid": key().kid(), "typ": TYPE});
    sign(&header, &serde_json::to_string(&statement()).unwrap())
}

#[test]
fn verifies_until_a_character_changes() {
    let jws = signed();
    assert_eq!(verify(&jws, &keys()).unwrap(), statement());
    for at in 0..jws.len() {
        let mut changed = jws.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(std::str::from_utf8(&changed).unwrap(), &keys()).is_err(), "byte {at}");
    }
}

#[test]
fn is_refused_in_any_other_form() {
    let payload = serde_json::to_string(&statement()).unwrap();
    let kid = key().kid().to_owned();
    for (header, error) in [
        (json!({"alg": "none", "kid": kid, "typ": TYPE}), Error::Header),
        (json!({"alg": "EdDSA", "kid": kid, "typ": "dc+sd-jwt"}), Error::Header),
        (json!({"alg": "EdDSA", "kid": kid, "typ": TYPE, "jku": "https://elsewhere.example"}), Error::Header),
        (json!({"alg": "EdDSA", "typ": TYPE, "crit": []}), Error::Header),
        (json!({"alg": "EdDSA", "kid": "another", "typ": TYPE}), Error::UnknownKey),
    ] {
        assert_eq!(verify(&sign(&header, &payload), &keys()), Err(error), "{header}");
    }
    let header = json!({"alg": "EdDSA", "kid": kid, "typ": TYPE});
    let twice = payload.replacen("\"iat\":1", "\"iat\":1,\"iat\":2", 1);
    let more = payload.replacen("\"iat\":1", "\"iat\":1,\"exp\":2", 1);
    for payload in [twice.as_str(), more.as_str(), "[]", "{}", ""] {
        assert_eq!(verify(&sign(&header, payload), &keys()), Err(Error::Form), "{payload}");
    }
    assert_eq!(verify(&signed(), &KeySet::default()), Err(Error::UnknownKey));
    for text in ["", ".", "..", "a.b", &format!("{}.x", signed()), &format!(" {}", signed())] {
        assert_eq!(verify(text, &keys()), Err(Error::Form), "{text}");
    }
}

#[test]
fn belongs_to_one_presentation() {
    let payload = json!({"iss": "https://hub.example/departments/d", "record": {"id": "t.d.x", "version": 2}});
    let check = |presentation: &str, pointer: &str, value: Value| {
        let mut payload = payload.clone();
        *payload.pointer_mut(pointer).unwrap() = value;
        statement().check_presentation(presentation, payload.as_object().unwrap())
    };
    assert_eq!(check("p~", "/record/version", json!(2)), Ok(()));
    assert_eq!(check("q~", "/record/version", json!(2)), Err(Error::OtherPresentation));
    assert_eq!(check("p~", "/record/version", json!(3)), Err(Error::Disagrees));
    assert_eq!(check("p~", "/record/id", json!("t.d.y")), Err(Error::Disagrees));
    assert_eq!(check("p~", "/iss", json!("https://hub.example.org/departments/d")), Err(Error::Disagrees));
}
