use std::{collections::BTreeSet, fs};

use weft_record::{
    keys::{Algorithm, KeySet},
    present::{HolderSelection, present},
    seal::{Content, Holder, SealingKey, Slots, seal},
    statement::{Statement, TYPE, sha256_base64url},
    status::{Event, Status},
};

use super::*;
use crate::report::Format;

fn key(algorithm: Algorithm, byte: u8) -> SealingKey {
    SealingKey::generate(algorithm, &mut |bytes: &mut [u8]| bytes.fill(byte)).unwrap()
}

fn presentation(key: &SealingKey) -> String {
    let content = Content {
        record_id: "business-licence.market-regulation.aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        version: 2,
        status: Status::Valid,
        valid_from: Some("2023-06-12".into()),
        valid_until: None,
        event: Event::Change,
        supersedes: None,
        holders: vec![Holder {
            role: "holder".into(),
            scheme: "uscc".into(),
            value: "91370302MA3TEST01X".into(),
            name: Some("示例公司".into()),
            share: None,
        }],
        fields: json!({"name": "示例公司", "capital": "100.00"}).as_object().unwrap().clone(),
    };
    let mut next = 0_u64;
    let mut random = |bytes: &mut [u8]| {
        bytes.fill(0);
        bytes[..8].copy_from_slice(&next.to_le_bytes());
        next += 1;
    };
    let issuer = "https://hub.example/departments/market-regulation";
    let slots = Slots { holders: 2, fields: 4 };
    let vct = "https://hub.example/types/business-licence/v1";
    let sealed = seal(&content, &slots, issuer, vct, 1_795_442_400, key, &mut random).unwrap();
    let holder = HolderSelection::Only { scheme: "uscc".into(), value: "91370302MA3TEST01X".into() };
    present(&sealed, &BTreeSet::from(["name".to_owned()]), &holder).unwrap().token
}

fn stated(presentation: &str, key: &SealingKey) -> String {
    let statement = Statement {
        iss: "https://hub.example".into(),
        iat: 1_795_442_460,
        record_id: "business-licence.market-regulation.aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        version: 2,
        status: "valid".into(),
        position: ("weft.records.business-licence".into(), 3, 41),
        as_of: None,
        ledger_entry: "look-1".into(),
        presentation: sha256_base64url(presentation.as_bytes()),
    };
    let encode = |bytes: &[u8]| weft_record::sdjwt::encode(bytes);
    let header = json!({"alg": "EdDSA", "kid": key.kid(), "typ": TYPE}).to_string();
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(&serde_json::to_vec(&statement).unwrap()));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}

struct Saved {
    folder: tempfile::TempDir,
}

impl Saved {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn keys(&self, name: &str, key: &SealingKey) -> Vec<String> {
        let set = KeySet::new([key.verifying_key().clone()]);
        vec![self.file(name, &set.to_json().to_string())]
    }
}

#[test]
fn seal_and_statement_verify_from_files_under_both_algorithms() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (department, hub) = (key(algorithm, 1), key(Algorithm::EdDsa, 2));
        let presentation = presentation(&department);
        let saved = Saved::new();
        let args = VerifyArgs {
            file: saved.file("p", &format!("{presentation}\n")),
            keys: saved.keys("k", &department),
            statement: Some(saved.file("s", &stated(&presentation, &hub))),
            hub_keys: saved.keys("h", &hub),
        };
        let report = args.run().unwrap();
        assert_eq!(report.code(), Code::Done);
        let json = report.json();
        assert_eq!(json["seal"]["state"], "verified");
        assert_eq!(json["statement"]["state"], "verified");
        assert_eq!(json["statement"]["ledger_entry"], "look-1");
        assert_eq!(json["fields"], json!({"name": "示例公司"}));
        assert_eq!(json["holders"][0]["scheme"], "uscc");
        assert_eq!(json["record"]["version"], 2);
        let table = report.shown(Format::Table);
        assert!(table.contains("statement.position") && table.contains("签章有效"), "{table}");
    }
}

#[test]
fn without_a_statement_it_is_said_that_nothing_is_known_about_being_current() {
    let department = key(Algorithm::EdDsa, 1);
    let saved = Saved::new();
    let file = saved.file("p", &presentation(&department));
    let args = VerifyArgs { file, keys: saved.keys("k", &department), statement: None, hub_keys: vec![] };
    let report = args.run().unwrap();
    assert_eq!((report.code(), &report.json()["statement"]["state"]), (Code::Done, &json!("absent")));
    assert!(report.shown(Format::Table).contains("nothing is said about whether the version is still current"));
}

#[test]
fn another_key_a_changed_byte_and_a_foreign_statement_fail_with_reasons() {
    let (department, other, hub) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 3), key(Algorithm::EdDsa, 2));
    let good = presentation(&department);
    let saved = Saved::new();
    let sets = |key: &SealingKey| Keys::from_files(&saved.keys("keys", key)).unwrap();
    let proof = Proof::examine(&good, Some(&sets(&other)), None);
    assert_eq!((proof.seal, proof.holds()), (Standing::Failed, false));
    assert_eq!(proof.seal_json()["problems"][0]["reason"], "unknown_key");
    assert!(proof.seal_json()["problems"][0]["zh"].as_str().is_some_and(|zh| !zh.is_ascii()));
    assert_eq!(proof.report().code(), Code::Problems);
    let changed = good.replacen("eyJhbGciOi", "eyJhbGciOj", 1);
    assert_eq!(Proof::examine(&changed, Some(&sets(&department)), None).seal, Standing::Failed);
    let less = good.split_inclusive('~').take(2).collect::<String>();
    let statement = stated(&good, &hub);
    let proof = Proof::examine(&less, Some(&sets(&department)), Some((&statement, Some(&sets(&hub)))));
    assert_eq!((proof.seal, proof.statement), (Standing::Verified, Standing::Failed));
    let proof = Proof::examine(&good, Some(&sets(&department)), Some((&statement, Some(&sets(&other)))));
    assert_eq!(proof.statement, Standing::Failed);
    assert_eq!(proof.report().code(), Code::Problems);
}

#[test]
fn what_is_no_presentation_is_a_problem_and_a_missing_file_is_usage() {
    let saved = Saved::new();
    let department = key(Algorithm::EdDsa, 1);
    for text in ["", "hello", "a.b.c~", "{}"] {
        let file = saved.file("p", text);
        let args = VerifyArgs { file, keys: saved.keys("k", &department), statement: None, hub_keys: vec![] };
        assert_eq!(args.run().unwrap().code(), Code::Problems, "{text}");
    }
    let args = VerifyArgs { file: "no/such/file".into(), keys: vec![], statement: None, hub_keys: vec![] };
    assert_eq!(args.run().unwrap_err().code(), Code::Usage);
}
