//! RFC 9901 section 7.2: who receives a token from its issuer – the hub does – and how a presentation is made of it.

use std::collections::BTreeSet;

use serde_json::json;
use weft_record::keys::Algorithm;
use weft_record::present::{self, HolderSelection, present};
use weft_record::sdjwt::{Fault, Limits, Token};

use crate::tokens::{content, disclosure, fault, holder, key, sealed, signed};

#[test]
fn an_sd_jwt_with_key_binding_must_be_rejected() {
    let token = signed(&json!({"a": 1}), &[]);
    let good_form =
        format!("{}.{}.c2ln", disclosure(json!({"alg": "EdDSA", "typ": "kb+jwt"})), disclosure(json!({"nonce": "1"})));
    for binding in [good_form.as_str(), "a.b.c", "..", "."] {
        assert_eq!(fault(&format!("{token}{binding}")), Fault::KeyBinding, "{binding}");
    }
    assert_eq!(fault(&format!("{token}{good_form}~")), Fault::BadBase64);
}

#[test]
fn each_disclosure_of_a_presentation_is_named_by_a_digest_of_the_jwt() {
    let mut content = content();
    content.holders.push(holder("91370322MAYY000192"));
    let sealed = sealed(&content);
    let wanted: BTreeSet<String> = ["floors", "partners"].map(String::from).into();
    let selection = HolderSelection::Only { scheme: "uscc".into(), value: "91370322MAYY000184".into() };
    let presentation = present(&sealed, &wanted, &selection).unwrap();
    let token = Token::parse(&presentation.token, Limits::default()).unwrap();
    // Section 7.1 step 5 refuses a disclosure that no digest names, so processing proves it.
    let processed = token.process().unwrap();
    token.check_signature(key(Algorithm::EdDsa).verifying_key()).unwrap();
    assert_eq!(processed["fields"], json!({"floors": 3, "partners": [{"name": "示例甲"}, {"name": "示例乙"}]}));
    assert_eq!(processed["event"], "change");
    assert_eq!(processed["holders"].as_array().unwrap().len(), 1);
    assert_eq!(token.disclosures.len(), 4);
    assert_eq!(token.jwt, sealed.split('~').next().unwrap());
}

#[test]
fn a_presentation_is_sent_without_key_binding_and_ends_in_one_tilde() {
    let presentation = present(&sealed(&content()), &BTreeSet::new(), &HolderSelection::None).unwrap();
    assert!(presentation.token.ends_with('~') && !presentation.token.ends_with("~~"));
    assert!(presentation.fields.is_empty() && presentation.holders.is_empty());
    let token = Token::parse(&presentation.token, Limits::default()).unwrap();
    assert_eq!(token.process().unwrap()["holders"], json!([]));
}

#[test]
fn a_presentation_of_a_presentation_is_cut_down_further() {
    let selection = HolderSelection::None;
    let all: BTreeSet<String> = content().fields.keys().cloned().collect();
    let first = present(&sealed(&content()), &all, &selection).unwrap();
    let one: BTreeSet<String> = ["floors".to_owned()].into();
    let second = present(&first.token, &one, &selection).unwrap();
    assert_eq!(second, present(&sealed(&content()), &one, &selection).unwrap());
}

#[test]
fn a_stranger_is_no_holder_and_gets_nothing() {
    for (scheme, value) in [("uscc", "91370322MAYY000185"), ("citizen-id", "91370322MAYY000184"), ("uscc", "")] {
        let selection = HolderSelection::Only { scheme: scheme.into(), value: value.into() };
        let refused = present(&sealed(&content()), &BTreeSet::new(), &selection).unwrap_err();
        assert_eq!(refused, present::Error::NoSuchHolder);
    }
}

#[test]
fn what_is_no_record_is_not_presented() {
    for text in ["", "~", "a.b.c~"] {
        assert!(matches!(present(text, &BTreeSet::new(), &HolderSelection::None), Err(present::Error::NotARecord(_))));
    }
    let token = signed(
        &json!({"x": {"_sd": [weft_record::sdjwt::digest_of(&disclosure(json!(["s", "a", 1])))]}}),
        &[disclosure(json!(["s", "a", 1]))],
    );
    assert_eq!(
        present(&token, &BTreeSet::new(), &HolderSelection::None).unwrap_err(),
        present::Error::UnknownDisclosure
    );
}
