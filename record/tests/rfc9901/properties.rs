//! What holds for any record: it comes back whole, a presentation holds nothing that was not granted, and no character of
//! a token can be changed into another meaning.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use weft_record::keys::Algorithm;
use weft_record::present::{HolderSelection, present};
use weft_record::sdjwt::{Limits, Token};
use weft_record::seal::{Content, Holder};

use crate::tokens::{content, decoy, digest, disclosure, key, process, sealed, sealed_with, signed};

/// A value that cannot occur by chance, so finding it means that it leaked.
fn marked(number: usize, kind: &str) -> String {
    format!("{kind}-{number:04}-标记")
}

fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        "[^\u{0}]{0,20}".prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        prop::collection::vec("[^\u{0}]{0,5}", 0..4).prop_map(Value::from),
        prop::collection::btree_map("[a-z]{1,4}", any::<u32>(), 0..3).prop_map(|map| json!(map)),
    ];
    prop::collection::btree_map("[a-zA-Z]{1,8}|[^\u{0}._]{1,4}", value, 0..=8).prop_map(|map| map.into_iter().collect())
}

fn any_holder() -> impl Strategy<Value = Holder> {
    ("[a-z]{1,6}", "[a-z-]{1,8}", "[^\u{0}]{1,18}", prop::option::of("[^\u{0}]{0,10}"), prop::option::of("[1-9]/[1-9]"))
        .prop_map(|(role, scheme, value, name, share)| Holder { role, scheme, value, name, share })
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::EdDsa), Just(Algorithm::Es256)]
}

/// Everything readable in a token: itself, and each part between dots and tildes decoded, and the base64url in those.
fn readable(token: &str) -> Vec<String> {
    let mut texts = vec![token.to_owned()];
    let mut start = 0;
    while start < texts.len() {
        let parts: Vec<String> =
            texts[start].split(['.', '~', '"', ',', '[', ']', '{', '}', ':']).map(str::to_owned).collect();
        for part in parts.iter().filter(|part| part.len() >= 4) {
            if let Ok(bytes) = URL_SAFE_NO_PAD.decode(part) {
                texts.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        start += 1;
    }
    texts
}

fn occurs(token: &str, needle: &str) -> bool {
    readable(token).iter().any(|text| text.contains(needle))
}

#[test]
fn the_search_finds_what_is_there() {
    let sealed = sealed(&content());
    for present in [
        "91370322MAYY000184",
        "1000000.00",
        "示例乙",
        "floors",
        "licensee",
        "business-licence.market",
        "certificateNumber",
    ] {
        assert!(occurs(&sealed, present), "{present}");
    }
    assert!(!occurs(&sealed, "91370322MAYY000185"));
}

#[test]
fn no_position_of_a_token_can_be_changed() {
    let whole = sealed(&content());
    let key = key(Algorithm::EdDsa);
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let verified = Token::parse(&changed, Limits::default()).and_then(|token| {
            token.process()?;
            token.check_signature(key.verifying_key())
        });
        assert!(verified.is_err(), "accepted with another character at {at}");
    }
}

/// Payloads and disclosures full of the names and shapes that processing acts on.
fn any_hostile() -> impl Strategy<Value = Value> {
    let digest = prop_oneof![(0_usize..6).prop_map(decoy), (0_usize..4).prop_map(|number| digest(&nested(number)))];
    let leaf = prop_oneof![Just(json!(1)), Just(json!("x")), digest.clone().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let names = prop_oneof![Just("_sd"), Just("..."), Just("_sd_alg"), Just("a"), Just("b"), Just("iss")];
        let list = prop::collection::vec(digest.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            list.clone().prop_map(|digests| json!({"_sd": digests})),
            list.prop_map(|digests| digests
                .into_iter()
                .map(|digest| json!({"...": digest}))
                .collect::<Vec<_>>()
                .into()),
            prop::collection::btree_map(names, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

/// A few disclosures that name one another.
fn nested(number: usize) -> String {
    match number {
        0 => disclosure(json!(["s", "a", 1])),
        1 => disclosure(json!(["s", "b", {"_sd": [digest(&nested(0))]}])),
        2 => disclosure(json!(["s", [{"...": digest(&nested(1))}]])),
        _ => disclosure(json!(["s", {"_sd": [decoy(0), digest(&nested(1))]}])),
    }
}

fn has_reserved(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(has_reserved),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name == "_sd" || name == "..." || has_reserved(value))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn whatever_is_processed_has_no_digests_left(payload in any_hostile(), sent in prop::collection::vec(0_usize..4, 0..4)) {
        let disclosures: Vec<String> = sent.into_iter().map(nested).collect();
        if let Ok(processed) = process(&signed(&json!({"x": payload}), &disclosures)) {
            prop_assert!(!has_reserved(&processed), "{}", processed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_record_comes_back_whole(fields in any_fields(), holders in prop::collection::vec(any_holder(), 0..6), algorithm in algorithm(), seed: u64) {
        let content = Content { fields: fields.clone(), holders: holders.clone(), ..content() };
        let text = sealed_with(&content, algorithm, seed);
        let token = Token::parse(&text, Limits::default()).unwrap();
        token.check_signature(key(algorithm).verifying_key()).unwrap();
        let processed = token.process().unwrap();
        prop_assert_eq!(&processed["fields"], &Value::Object(fields));
        let mut back: Vec<Holder> = serde_json::from_value(processed["holders"].clone()).unwrap();
        let mut expected = holders;
        back.sort();
        expected.sort();
        prop_assert_eq!(back, expected);
        prop_assert_eq!(&processed["event"], "change");
        prop_assert!(processed.get("_sd").is_none() && processed.get("_sd_alg").is_none());
    }

    #[test]
    fn a_presentation_holds_what_was_granted_and_nothing_else(
        granted in prop::collection::btree_set(0_usize..8, 0..8), holder in prop::option::of(0_usize..5), algorithm in algorithm(), seed: u64,
    ) {
        let fields: Map<String, Value> = (0..8).map(|number| (marked(number, "name"), json!([marked(number, "value")]))).collect();
        let holders: Vec<Holder> = (0..5).map(|number| Holder {
            role: marked(number, "role"), scheme: "uscc".into(), value: marked(number, "holder"), name: Some(marked(number, "called")), share: None,
        }).collect();
        let content = Content { fields, holders, supersedes: Some("superseded-标记".into()), ..content() };
        let whole = sealed_with(&content, algorithm, seed);
        let wanted: BTreeSet<String> = granted.iter().map(|number| marked(*number, "name")).collect();
        let selection = match holder {
            None => HolderSelection::None,
            Some(number) => HolderSelection::Only { scheme: "uscc".into(), value: marked(number, "holder") },
        };
        let presentation = present(&whole, &wanted, &selection).unwrap();
        for number in 0..8 {
            for kind in ["name", "value"] {
                prop_assert!(occurs(&whole, &marked(number, kind)));
                prop_assert_eq!(occurs(&presentation.token, &marked(number, kind)), granted.contains(&number));
            }
        }
        for number in 0..5 {
            for kind in ["role", "holder", "called"] {
                prop_assert!(occurs(&whole, &marked(number, kind)));
                prop_assert_eq!(occurs(&presentation.token, &marked(number, kind)), holder == Some(number));
            }
        }
        prop_assert!(occurs(&whole, "superseded-标记") && !occurs(&presentation.token, "superseded-标记"));
        let token = Token::parse(&presentation.token, Limits::default()).unwrap();
        token.check_signature(key(algorithm).verifying_key()).unwrap();
        let processed = token.process().unwrap();
        prop_assert_eq!(&processed["fields"], &Value::Object(presentation.fields.clone()));
        prop_assert_eq!(presentation.fields.keys().cloned().collect::<BTreeSet<_>>(), wanted);
        prop_assert_eq!(presentation.holders.len(), usize::from(holder.is_some()));
    }

    #[test]
    fn shape_tells_nothing(number in 0_usize..=8, holders in 0_usize..=2, superseding: bool, seed: u64) {
        let content = Content {
            fields: (0..number).map(|number| (format!("f{number}"), json!(number))).collect(),
            holders: (0..holders).map(|number| crate::tokens::holder(&number.to_string())).collect(),
            supersedes: superseding.then(|| "x".into()),
            ..content()
        };
        let whole = sealed_with(&content, Algorithm::EdDsa, seed);
        let nothing = present(&whole, &BTreeSet::new(), &HolderSelection::None).unwrap().token;
        let reference = present(&sealed(&crate::tokens::content()), &BTreeSet::new(), &HolderSelection::None).unwrap().token;
        prop_assert_eq!(nothing.len(), reference.len());
        let digests = |token: &str| {
            let token = Token::parse(token, Limits::default()).unwrap();
            (token.payload["_sd"].as_array().unwrap().len(), token.payload["holders"].as_array().unwrap().len(),
             token.payload["fields"]["_sd"].as_array().unwrap().len())
        };
        prop_assert_eq!(digests(&nothing), (2, 2, 8));
    }

    #[test]
    fn no_changed_character_verifies_to_another_payload(position: prop::sample::Index, replacement in 0_u8..128, algorithm in algorithm()) {
        let whole = sealed_with(&content(), algorithm, 1);
        let mut bytes = whole.clone().into_bytes();
        let at = position.index(bytes.len());
        prop_assume!(bytes[at] != replacement);
        bytes[at] = replacement;
        let changed = String::from_utf8(bytes).unwrap();
        let verified = Token::parse(&changed, Limits::default()).and_then(|token| {
            token.check_signature(key(algorithm).verifying_key())?;
            token.process()
        });
        prop_assert!(verified.is_err(), "accepted with {replacement} at {at}");
    }

    #[test]
    fn no_text_panics(text in "[A-Za-z0-9_.~-]{0,200}|\\PC{0,100}") {
        let _ = Token::parse(&text, Limits::default()).and_then(|token| token.process());
    }
}
