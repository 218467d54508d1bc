//! The RFC's example tokens process to the RFC's payloads.

use serde_json::Value;
use weft_record::json;
use weft_record::keys::VerifyingKey;
use weft_record::sdjwt::{Fault, Limits, Token, parse_disclosure, process_payload};

fn examples() -> Value {
    let bytes = include_bytes!("examples.json");
    json::parse(bytes, json::Limits { max_bytes: bytes.len(), max_depth: 32 }).unwrap()
}

fn list(examples: &Value, name: &str) -> Vec<Value> {
    examples[name].as_array().unwrap().clone()
}

#[test]
fn the_signed_examples_verify_and_process_to_their_payloads() {
    let examples = examples();
    let key = VerifyingKey::from_jwk(&examples["issuer_key"]).unwrap();
    let signed = list(&examples, "signed");
    assert_eq!(signed.len(), 5);
    for example in &signed {
        let token = Token::parse(example["token"].as_str().unwrap(), Limits::default()).unwrap();
        token.check_signature(&key).unwrap();
        let processed = Value::Object(token.process().unwrap());
        assert_eq!(processed, example["payload"], "section {}", example["section"]);
    }
}

#[test]
fn the_signed_examples_do_not_verify_when_a_character_of_the_jwt_changes() {
    let examples = examples();
    let key = VerifyingKey::from_jwk(&examples["issuer_key"]).unwrap();
    let text = list(&examples, "signed")[0]["token"].as_str().unwrap().replacen(".eyJfc2Qi", ".eyJfc2Qj", 1);
    let outcome = Token::parse(&text, Limits::default()).and_then(|token| token.check_signature(&key));
    assert!(outcome.is_err());
}

#[test]
fn the_example_with_key_binding_is_refused_with_it_and_accepted_without() {
    let example = list(&examples(), "signed").into_iter().find(|example| example["key_binding"].is_string()).unwrap();
    let with = format!("{}{}", example["token"].as_str().unwrap(), example["key_binding"].as_str().unwrap());
    assert_eq!(Token::parse(&with, Limits::default()).unwrap_err().fault, Fault::KeyBinding);
}

#[test]
fn the_unsigned_examples_process_to_their_payloads() {
    let unsigned = list(&examples(), "unsigned");
    assert_eq!(unsigned.len(), 6);
    for example in &unsigned {
        let encoded: Vec<&str> =
            example["disclosures"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let limits = Limits::default();
        let disclosures: Vec<_> = encoded.iter().map(|text| parse_disclosure(text, limits).unwrap()).collect();
        let processed = process_payload(example["signed"].as_object().unwrap(), &disclosures, limits).unwrap();
        assert_eq!(Value::Object(processed), example["payload"], "{}", example["name"]);
    }
}
