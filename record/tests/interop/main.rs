//! Records against the reference library for SD-JWT (PyPI `sd-jwt`), both ways and with both algorithms.
//!
//! `WEFT_PYTHON` names a Python that has it; `tests/run` sets it. Without it these tests fail, unless `WEFT_QUICK` is
//! set: then they say so and check nothing.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail it")]

#[path = "../rfc9901/tokens.rs"]
#[allow(dead_code, reason = "the other test uses the rest")]
mod tokens;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use weft_record::keys::{Algorithm, VerifyingKey};
use weft_record::present::{HolderSelection, present};
use weft_record::sdjwt::{Limits, Token};
use weft_record::seal::{Content, SealingKey};

use tokens::{content, holder, key, object, sealed_with, seeded};

const BOTH: [Algorithm; 2] = [Algorithm::EdDsa, Algorithm::Es256];

/// What the library answers to each request; nothing in a quick run, in which it is not there.
fn ask(requests: &Value) -> Option<Vec<Value>> {
    let Ok(python) = std::env::var("WEFT_PYTHON") else {
        assert!(
            std::env::var_os("WEFT_QUICK").is_some(),
            "WEFT_PYTHON does not name a python with sd-jwt: run tests/run, or set WEFT_QUICK to go without"
        );
        eprintln!("quick run: nothing was checked against the reference library");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/interop.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    child.stdin.take().unwrap().write_all(requests.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn record() -> Content {
    let mut content = content();
    content.holders.push(holder("91370322MAYY000192"));
    content.holders.push(holder("91370322MAYY000205"));
    content.supersedes = Some("business-licence.market-regulation.bbbbbbbbbbbbbbbbbbbbbbbbbb".into());
    content
}

fn processed(token: &str, key: &VerifyingKey) -> Map<String, Value> {
    let token = Token::parse(token, Limits::default()).unwrap();
    token.check_signature(key).unwrap();
    token.process().unwrap()
}

#[test]
fn the_library_verifies_our_records_and_presentations() {
    let mut expected = Vec::new();
    let mut requests = Vec::new();
    let mut ask_for = |token: &str, key: &SealingKey| {
        requests.push(json!({"do": "verify", "token": token, "jwk": key.public_jwk()}));
        expected.push(Value::Object(processed(token, key.verifying_key())));
    };
    for algorithm in BOTH {
        let key = key(algorithm);
        let whole = sealed_with(&record(), algorithm, 1);
        ask_for(&whole, &key);
        for holders in
            [HolderSelection::None, HolderSelection::Only { scheme: "uscc".into(), value: "91370322MAYY000192".into() }]
        {
            for fields in [&[][..], &["floors"], &["certificateNumber", "partners", "not a field"]] {
                let fields: BTreeSet<String> = fields.iter().map(|name| (*name).to_owned()).collect();
                ask_for(&present(&whole, &fields, &holders).unwrap().token, &key);
            }
        }
    }
    let Some(answers) = ask(&Value::Array(requests)) else { return };
    assert_eq!(answers.len(), 14);
    for (answer, expected) in answers.iter().zip(expected) {
        assert_eq!(answer["payload"], expected, "{answer}");
    }
}

#[test]
fn the_library_refuses_what_was_changed() {
    let mut requests = Vec::new();
    for algorithm in BOTH {
        let whole = sealed_with(&record(), algorithm, 1);
        let other = sealed_with(&Content { version: 3, ..record() }, algorithm, 2);
        let (body, _) = whole.split_once('~').unwrap().0.rsplit_once('.').unwrap();
        let (_, signature) = other.split_once('~').unwrap().0.rsplit_once('.').unwrap();
        let jwk = key(algorithm).public_jwk();
        requests.push(json!({"do": "verify", "token": format!("{body}.{signature}~"), "jwk": jwk}));
    }
    let Some(answers) = ask(&Value::Array(requests)) else { return };
    assert!(answers.iter().all(|answer| answer["error"].is_string()), "{answers:?}");
}

#[test]
fn we_process_what_the_library_issues_and_presents() {
    let claims = json!({
        "iss": "https://issuer.example", "iat": 1_683_000_000, "sd:given_name": "示例", "sd:floors": 3,
        "address": {"sd:town": "芦湖街道", "county": "高青县"}, "sd:whole": {"sd:inner": [{"sd:": "deep"}, "plain"]},
        "list": [{"sd:": "US"}, {"sd:": {"sd:a": 1, "b": 2}}, "plain"],
    });
    let plain = json!({
        "iss": "https://issuer.example", "iat": 1_683_000_000, "given_name": "示例", "floors": 3,
        "address": {"town": "芦湖街道", "county": "高青县"}, "whole": {"inner": ["deep", "plain"]},
        "list": ["US", {"a": 1, "b": 2}, "plain"],
    });
    let mut requests = Vec::new();
    for alg in ["EdDSA", "ES256"] {
        for decoys in [false, true] {
            requests.push(
                json!({"do": "issue", "alg": alg, "decoys": decoys, "claims": claims, "header": {"typ": "dc+sd-jwt"}}),
            );
        }
    }
    let Some(issued) = ask(&Value::Array(requests)) else { return };
    let disclose = json!({"given_name": true, "address": {"town": true}, "list": [false, {"a": false}, false]});
    let presents: Vec<Value> =
        issued.iter().map(|answer| json!({"do": "present", "token": answer["token"], "disclose": disclose})).collect();
    let presented = ask(&Value::Array(presents)).unwrap();
    let shown = json!({
        "iss": "https://issuer.example", "iat": 1_683_000_000, "given_name": "示例",
        "address": {"town": "芦湖街道", "county": "高青县"}, "list": [{"b": 2}, "plain"],
    });
    assert_eq!(issued.len(), 4);
    for (issued, presented) in issued.iter().zip(presented) {
        let key = VerifyingKey::from_jwk(&issued["jwk"]).unwrap();
        assert_eq!(processed(issued["token"].as_str().unwrap(), &key), object(plain.clone()));
        assert_eq!(processed(presented["token"].as_str().unwrap(), &key), object(shown.clone()), "{presented}");
    }
}

#[test]
fn a_foreign_library_reads_our_private_keys() {
    let keys = BOTH.map(|algorithm| SealingKey::generate(algorithm, &mut seeded(5)).unwrap());
    let requests: Vec<Value> =
        keys.iter().map(|key| json!({"do": "key", "pem": key.to_pkcs8_pem().unwrap().as_str()})).collect();
    let Some(answers) = ask(&Value::Array(requests)) else { return };
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(answer["thumbprint"], key.kid(), "{answer}");
        let signature = URL_SAFE_NO_PAD.decode(answer["signature"].as_str().unwrap()).unwrap();
        key.verifying_key().verify(answer["input"].as_str().unwrap().as_bytes(), &signature).unwrap();
    }
}
