//! Weft's profile: what a department's key could sign, and a record must not be.

use serde_json::{Map, Value, json};
use weft_record::sdjwt::{Fault, Limits, Token, profile};
use weft_record::seal::{self, Content, Slots};

use crate::tokens::{
    IAT, ISSUER, SLOTS, VCT, content, decoy, digest, disclosure, holder, key, process, resealed, sealed, seeded,
    signed_texts,
};

/// All faults that the profile finds, of a token that the first layer accepts.
#[track_caller]
fn faults(text: &str, slots: Option<&Slots>) -> Vec<(Fault, String)> {
    process(text).expect("the first layer refuses it already");
    let token = Token::parse(text, Limits::default()).unwrap();
    profile::check(&token, slots).into_iter().map(|error| (error.fault, error.pointer)).collect()
}

type Parts<'p> = (&'p mut Map<String, Value>, &'p mut Map<String, Value>, &'p mut Vec<String>);

#[track_caller]
fn changed(change: impl FnOnce(Parts<'_>)) -> Vec<(Fault, String)> {
    let text = resealed(&sealed(&content()), |header, payload, disclosures| change((header, payload, disclosures)));
    faults(&text, Some(&SLOTS))
}

fn one(fault: Fault, pointer: &str) -> Vec<(Fault, String)> {
    vec![(fault, pointer.to_owned())]
}

/// Puts a disclosure in place of the first decoy of a sorted list of digests.
fn replace_decoy(list: &mut [Value], disclosures: &mut Vec<String>, text: String) {
    let used: Vec<String> = disclosures.iter().map(|text| digest(text)).collect();
    let is_decoy = |entry: &Value| !used.iter().any(|digest| entry == digest || entry["..."] == *digest);
    let position = list.iter().position(is_decoy).expect("a decoy");
    let nested = list[position].is_object();
    list[position] = if nested { json!({"...": digest(&text)}) } else { json!(digest(&text)) };
    list.sort_by_key(|entry| entry["..."].as_str().or(entry.as_str()).map(str::to_owned));
    disclosures.push(text);
}

fn list<'p>(payload: &'p mut Map<String, Value>, pointer: &str) -> &'p mut Vec<Value> {
    let (first, second) = pointer.split_once('/').unwrap_or((pointer, ""));
    let value = payload.get_mut(first).unwrap();
    let value = if second.is_empty() { value } else { value.get_mut(second).unwrap() };
    value.as_array_mut().unwrap()
}

#[test]
fn what_seal_makes_is_in_the_profile() {
    assert_eq!(faults(&sealed(&content()), Some(&SLOTS)), []);
    for holders in 0..20 {
        let numbers = (0..holders).map(|number| holder(&format!("9137032{number}")));
        let content = Content { holders: numbers.collect(), supersedes: Some("x".into()), ..content() };
        assert_eq!(faults(&sealed(&content), Some(&SLOTS)), []);
    }
    let bare = Content { holders: vec![], fields: Map::new(), ..content() };
    assert_eq!(faults(&sealed(&bare), Some(&SLOTS)), []);
}

#[test]
fn the_header_has_alg_typ_and_kid_and_nothing_else() {
    for typ in [
        json!("statuslist+jwt"),
        json!("kb+jwt"),
        json!("JWT"),
        json!("vc+sd-jwt"),
        json!("DC+SD-JWT"),
        json!("application/dc+sd-jwt"),
        json!(null),
    ] {
        assert_eq!(
            changed(|(header, ..)| drop(header.insert("typ".into(), typ.clone()))),
            one(Fault::WrongType, ""),
            "{typ}"
        );
    }
    assert_eq!(changed(|(header, ..)| drop(header.remove("typ"))), one(Fault::WrongType, ""));
    for name in ["jku", "x5u", "jwk", "x5c", "x5t", "crit", "cty", "zip", "b64", "trust_chain", "vctm"] {
        let found = changed(|(header, ..)| drop(header.insert(name.into(), json!("https://attacker.example/keys"))));
        assert_eq!(found, one(Fault::ForbiddenHeader, ""), "{name}");
    }
    for kid in
        [json!("../../k"), json!("' OR 1=1 --"), json!("https://attacker.example/k"), json!(""), json!(1), json!(null)]
    {
        assert_eq!(
            changed(|(header, ..)| drop(header.insert("kid".into(), kid.clone()))),
            one(Fault::BadKid, ""),
            "{kid}"
        );
    }
    assert_eq!(changed(|(header, ..)| drop(header.remove("kid"))), one(Fault::BadKid, ""));
}

#[test]
fn claims_that_a_record_does_not_have_are_refused() {
    for name in ["exp", "nbf", "status", "sub", "aud", "jti", "vct#integrity", "supersedes"] {
        let found = changed(|(_, payload, _)| drop(payload.insert(name.into(), json!(1))));
        assert_eq!(found, one(Fault::ForbiddenClaim, &format!("/{name}")), "{name}");
    }
    let plain_event = changed(|(_, payload, disclosures)| {
        payload.insert("event".into(), json!("change"));
        // Without the disclosed one, with which it would collide in the first layer.
        let event = disclosures.iter().position(|text| list(payload, "_sd").contains(&json!(digest(text)))).unwrap();
        disclosures.remove(event);
    });
    assert_eq!(plain_event, one(Fault::ForbiddenClaim, "/event"));
    assert_eq!(
        changed(|(_, payload, _)| drop(payload.insert("cnf".into(), json!({"jwk": {}})))),
        one(Fault::KeyBindingClaim, "/cnf")
    );
    assert_eq!(
        changed(|(_, payload, _)| payload["record"]["note"] = json!("x")),
        one(Fault::ForbiddenClaim, "/record/note")
    );
}

#[test]
fn plain_claims_stand_in_plain_with_their_types() {
    for name in ["iss", "vct", "iat", "record"] {
        assert_eq!(
            changed(|(_, payload, _)| drop(payload.shift_remove(name))),
            one(Fault::PlainClaim, &format!("/{name}")),
            "{name}"
        );
    }
    for (name, value) in [
        ("iss", json!(1)),
        ("vct", json!(["x"])),
        ("iat", json!("1795442400")),
        ("iat", json!(-1)),
        ("record", json!("x")),
    ] {
        let found = changed(|(_, payload, _)| drop(payload.insert(name.into(), value.clone())));
        assert_eq!(found, one(Fault::PlainClaim, &format!("/{name}")), "{name}");
    }
    for (name, value) in [
        ("id", json!(1)),
        ("version", json!(0)),
        ("version", json!("2")),
        ("status", json!(null)),
        ("valid_from", json!(20180612)),
    ] {
        let found = changed(|(_, payload, _)| payload["record"][name] = value.clone());
        assert_eq!(found, one(Fault::PlainClaim, &format!("/record/{name}")), "{name}");
    }
    assert_eq!(changed(|(_, payload, _)| drop(payload.shift_remove("_sd_alg"))), []);
}

#[test]
fn plain_claims_as_disclosures_are_refused() {
    for name in ["iss", "vct", "iat", "record", "exp", "nbf", "status", "cnf", "_sd_alg", "anything"] {
        let found = changed(|(_, payload, disclosures)| {
            payload.shift_remove(name);
            replace_decoy(list(payload, "_sd"), disclosures, disclosure(json!(["s", name, "x"])));
        });
        assert!(found.contains(&(Fault::ForbiddenDisclosure, format!("/{name}"))), "{name}: {found:?}");
    }
    let found = changed(|(_, payload, disclosures)| {
        let text = disclosure(json!(["s", "status", "valid"]));
        payload["record"].as_object_mut().unwrap().shift_remove("status");
        payload["record"]["_sd"] = json!([digest(&text)]);
        disclosures.push(text);
    });
    assert_eq!(found, [(Fault::ForbiddenClaim, "/record/_sd".into()), (Fault::PlainClaim, "/record/status".into())]);
}

#[test]
fn fields_and_holders_stand_behind_digests() {
    assert_eq!(
        changed(|(_, payload, _)| payload["fields"]["extra"] = json!("x")),
        one(Fault::NotHidden, "/fields/extra")
    );
    let found = changed(|(_, payload, disclosures)| {
        let used: Vec<String> = disclosures.iter().map(|text| digest(text)).collect();
        let holders = list(payload, "holders");
        let decoy = holders.iter().position(|entry| !used.iter().any(|digest| entry["..."] == *digest)).unwrap();
        holders[decoy] = json!({"role": "licensee"});
        holders.rotate_left(decoy);
    });
    assert_eq!(found, [(Fault::NotHidden, "/holders/0".into()), (Fault::WrongSlots, "/holders".into())]);
    let text = resealed(&sealed(&content()), |_, payload, disclosures| {
        payload.shift_remove("fields");
        payload.shift_remove("holders");
        payload.insert("_sd".into(), json!([decoy(1), decoy(2)]));
        disclosures.clear();
    });
    let found = faults(&text, None);
    assert!(
        found.contains(&(Fault::NotHidden, "/fields".into())) && found.contains(&(Fault::NotHidden, "/holders".into()))
    );
}

#[test]
fn slots_are_filled_exactly() {
    let less = changed(|(_, payload, disclosures)| {
        let used: Vec<String> = disclosures.iter().map(|text| digest(text)).collect();
        let fields = list(payload, "fields/_sd");
        let position = fields.iter().position(|entry| !used.iter().any(|digest| entry == digest)).unwrap();
        fields.remove(position);
    });
    assert_eq!(less, one(Fault::WrongSlots, "/fields/_sd"));
    let sorted_push = |list: &mut Vec<Value>, entry: Value| {
        list.push(entry);
        list.sort_by_key(|entry| entry["..."].as_str().or(entry.as_str()).map(str::to_owned));
    };
    assert_eq!(
        changed(|(_, payload, _)| sorted_push(list(payload, "fields/_sd"), json!(decoy(1)))),
        one(Fault::WrongSlots, "/fields/_sd")
    );
    assert_eq!(
        changed(|(_, payload, _)| sorted_push(list(payload, "_sd"), json!(decoy(1)))),
        one(Fault::WrongSlots, "/_sd")
    );
    assert_eq!(
        changed(|(_, payload, _)| sorted_push(list(payload, "holders"), json!({"...": decoy(1)}))),
        one(Fault::WrongSlots, "/holders")
    );
    // A power of two that the holders do not need says something, so it is refused too.
    let four = changed(|(_, payload, _)| {
        sorted_push(list(payload, "holders"), json!({"...": decoy(1)}));
        sorted_push(list(payload, "holders"), json!({"...": decoy(2)}));
    });
    assert_eq!(four, one(Fault::WrongSlots, "/holders"));
}

#[test]
fn lists_are_sorted_and_every_digest_is_a_sha_256() {
    for at in ["_sd", "holders", "fields/_sd"] {
        assert_eq!(changed(|(_, payload, _)| list(payload, at).reverse()), one(Fault::BadDigest, &format!("/{at}")));
    }
    for wrong in ["", "~", "short", &"A".repeat(42), &"A".repeat(44), &format!("{}B", "A".repeat(42))] {
        let found = changed(|(_, payload, disclosures)| {
            let used: Vec<String> = disclosures.iter().map(|text| digest(text)).collect();
            let fields = list(payload, "fields/_sd");
            let position = fields.iter().position(|entry| !used.iter().any(|digest| entry == digest)).unwrap();
            fields[position] = json!(wrong);
            fields.sort_by_key(|entry| entry.as_str().map(str::to_owned));
        });
        assert_eq!(found, one(Fault::BadDigest, "/fields/_sd"), "{wrong}");
    }
}

#[test]
fn no_disclosure_has_digests_of_its_own() {
    let inner = disclosure(json!(["s", "b", 1]));
    for value in [json!({"_sd": [digest(&inner)]}), json!([{"x": {"_sd": [digest(&inner)]}}])] {
        let found = changed(|(_, payload, disclosures)| {
            replace_decoy(list(payload, "fields/_sd"), disclosures, disclosure(json!(["s", "nested", value])));
            disclosures.push(inner.clone());
        });
        assert_eq!(found, one(Fault::NestedDigests, "/fields/nested"));
    }
    let found = changed(|(_, payload, disclosures)| {
        replace_decoy(
            list(payload, "fields/_sd"),
            disclosures,
            disclosure(json!(["s", "nested", [{"...": decoy(9)}]])),
        );
    });
    assert_eq!(found, one(Fault::NestedDigests, "/fields/nested"));
}

#[test]
fn all_faults_are_told_at_once() {
    let found = changed(|(header, payload, _)| {
        header.insert("typ".into(), json!("JWT"));
        header.insert("jku".into(), json!("https://attacker.example"));
        payload.insert("exp".into(), json!(1));
        payload["fields"]["plain"] = json!(1);
    });
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_header_name_is_shown_short_and_plain() {
    let name = format!("\u{202e}x\n{}", "y".repeat(100));
    let text = resealed(&sealed(&content()), |header, _, _| drop(header.insert(name, json!(1))));
    let token = Token::parse(&text, Limits::default()).unwrap();
    let about = profile::check(&token, None)[0].about.clone().unwrap();
    assert!(about.len() == 32 && about.starts_with("xyy"));
}

#[test]
fn a_plain_jwt_of_another_kind_is_no_record() {
    let text =
        signed_texts(r#"{"alg":"EdDSA","typ":"statuslist+jwt"}"#, r#"{"status_list":{"bits":1,"lst":"x"}}"#, &[]);
    assert!(faults(&text, None).len() > 5);
}

#[test]
fn seal_refuses_what_the_door_would_refuse() {
    let try_seal = |fields: Value| {
        let content = Content { fields: crate::tokens::object(fields), ..content() };
        seal::seal(&content, &SLOTS, ISSUER, VCT, IAT, &key(weft_record::keys::Algorithm::EdDsa), &mut seeded(1))
    };
    for value in [
        json!(0.5),
        json!(9_007_199_254_740_992_i64),
        json!("a\u{0}b"),
        json!({"_sd": []}),
        json!([{"...": "x"}]),
        json!({"a": {"b\u{0}": 1}}),
    ] {
        assert_eq!(
            try_seal(json!({"bad": value})),
            Err(seal::Error::UnsealableField { name: "bad".into() }),
            "{value}"
        );
    }
    for name in ["_sd", "...", "a\u{0}"] {
        assert_eq!(try_seal(json!({name: 1})), Err(seal::Error::UnsealableField { name: name.into() }));
    }
    let mut deep = json!(1);
    for _ in 0..14 {
        deep = json!([deep]);
    }
    assert!(process(&try_seal(json!({"deep": deep})).unwrap()).is_ok());
    assert!(try_seal(json!({"deep": [deep]})).is_err());
    let many: Map<String, Value> = (0..9).map(|number| (format!("f{number}"), json!(1))).collect();
    assert_eq!(try_seal(Value::Object(many)), Err(seal::Error::TooManyFields { have: 9, slots: 8 }));
    assert!(matches!(try_seal(json!({"long": "x".repeat(70_000)})), Err(seal::Error::TooLarge { .. })));
}
