//! RFC 9901 section 7.1, one test per MUST, named by its step; then the limits that the steps are kept within.

use serde_json::{Value, json};
use weft_record::json as strict;
use weft_record::keys::Algorithm;
use weft_record::sdjwt::{Fault, Limits, Token};

use crate::tokens::{decoy, digest, disclosure, fault, key, process, process_within, signed, signed_texts};

/// A claim disclosure and its digest.
fn claim(name: &str, value: Value) -> (String, String) {
    let encoded = disclosure(json!(["c2FsdHNhbHRzYWx0c2FsdA", name, value]));
    (digest(&encoded), encoded)
}

/// An array element's disclosure and its digest.
fn element(value: Value) -> (String, String) {
    let encoded = disclosure(json!(["c2FsdHNhbHRzYWx0c2FsdA", value]));
    (digest(&encoded), encoded)
}

// Step 1: separate.

#[test]
fn step_1_the_jwt_and_its_disclosures_are_separated() {
    let (a, a_text) = claim("a", json!(1));
    let (b, b_text) = claim("b", json!([2]));
    let token = signed(&json!({"_sd": [a, b, decoy(1)], "c": 3}), &[b_text, a_text]);
    assert_eq!(process(&token).unwrap(), json!({"a": 1, "b": [2], "c": 3}));
    assert_eq!(process(&signed(&json!({"c": 3}), &[])).unwrap(), json!({"c": 3}));
}

#[test]
fn step_1_what_is_no_compact_form_is_refused() {
    let token = signed(&json!({"c": 3}), &[]);
    let jwt = token.trim_end_matches('~');
    assert_eq!(fault(jwt), Fault::NoTilde);
    assert_eq!(fault(&format!("{jwt}~~")), Fault::ExtraTilde);
    assert_eq!(fault(&format!("~{jwt}~")), Fault::BadBase64);
    assert_eq!(fault(&format!("{jwt}~{}", disclosure(json!(["s", "a", 1])))), Fault::NoLastTilde);
    assert_eq!(fault("~"), Fault::NotThreeParts);
    assert_eq!(fault("a.b~"), Fault::NotThreeParts);
    assert_eq!(fault(&format!("{jwt}.e30~")), Fault::NotThreeParts);
    assert_eq!(fault(""), Fault::NoTilde);
    // The JWS JSON serialisation (section 8) is optional, and not read.
    let json = json!({"payload": "e30", "signature": "", "protected": "e30", "header": {"disclosures": []}});
    assert_eq!(fault(&json.to_string()), Fault::NoTilde);
}

#[test]
fn step_1_base64url_is_strict() {
    let (a, text) = claim("a", json!("x"));
    let token = signed(&json!({"_sd": [a]}), std::slice::from_ref(&text));
    assert!(process(&token).is_ok());
    let jwt = token.split('~').next().unwrap();
    // The same bytes in another spelling would have another digest, so each is refused before it is compared.
    for other in [
        format!("{text}="),
        format!("{text}=="),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{text}+"),
        format!("{text}/"),
    ] {
        assert_eq!(fault(&format!("{jwt}~{other}~")), Fault::BadBase64, "{other}");
    }
    let [header, payload, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    assert_eq!(fault(&format!("{header}=.{payload}.{signature}~")), Fault::BadBase64);
    assert_eq!(fault(&format!("{header}.{payload}=.{signature}~")), Fault::BadBase64);
    assert_eq!(fault(&format!("{header}.{payload}.{signature}=~")), Fault::BadBase64);
    // 64 bytes end in a character with four bits to spare: A, Q, g or w. Anything else carries bits that nobody reads.
    let last = signature.chars().last().unwrap();
    let with_tail = char::from(last as u8 + 1);
    let tail = format!("{}{with_tail}", &signature[..signature.len() - 1]);
    assert_eq!(fault(&format!("{header}.{payload}.{tail}~")), Fault::BadBase64);
}

// Step 2: the issuer-signed JWT.

#[test]
fn step_2_1_none_must_not_be_accepted() {
    for alg in
        [json!("none"), json!("None"), json!("nOnE"), json!("NONE"), json!(""), json!(null), json!(["EdDSA"]), json!(1)]
    {
        let header = json!({"alg": alg, "typ": "example+sd-jwt"}).to_string();
        assert_eq!(fault(&signed_texts(&header, "{}", &[])), Fault::UnsupportedAlgorithm, "{header}");
    }
    assert_eq!(fault(&signed_texts(r#"{"typ":"example+sd-jwt"}"#, "{}", &[])), Fault::UnsupportedAlgorithm);
    let unsigned = format!("{}.{}.~", disclosure(json!({"alg": "none"})), disclosure(json!({"a": 1})));
    assert_eq!(fault(&unsigned), Fault::UnsupportedAlgorithm);
}

#[test]
fn step_2_1_only_algorithms_on_the_list_are_accepted() {
    for alg in ["HS256", "RS256", "PS256", "ES384", "ES512", "ES256K", "Ed25519", "eddsa", "EDDSA", "es256", " ES256"] {
        let header = json!({"alg": alg}).to_string();
        assert_eq!(fault(&signed_texts(&header, "{}", &[])), Fault::UnsupportedAlgorithm, "{alg}");
    }
}

#[test]
fn step_2_2_the_signature_is_validated() {
    let token = signed(&json!({"a": 1}), &[]);
    let jwt = token.trim_end_matches('~');
    let (input, signature) = jwt.rsplit_once('.').unwrap();
    let other = signed(&json!({"a": 2}), &[]);
    let (other_input, _) = other.trim_end_matches('~').rsplit_once('.').unwrap();
    assert_eq!(fault(&format!("{other_input}.{signature}~")), Fault::BadSignature);
    assert_eq!(fault(&format!("{input}.~")), Fault::BadSignature);
    assert_eq!(fault(&format!("{input}.{}~", disclosure(json!("too short")))), Fault::BadSignature);
}

#[test]
fn step_2_2_the_key_decides_the_algorithm() {
    let text = signed_texts(r#"{"alg":"ES256"}"#, "{}", &[]);
    let token = Token::parse(&text, Limits::default()).unwrap();
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        assert_eq!(token.check_signature(key(algorithm).verifying_key()).unwrap_err().fault, Fault::BadSignature);
    }
}

#[test]
fn step_2_4_sd_alg_must_be_understood() {
    for name in [
        json!("md5"),
        json!("sha-1"),
        json!("sha-256-32"),
        json!("SHA-256"),
        json!("sha256"),
        json!("sha-512"),
        json!(""),
        json!(null),
        json!(["sha-256"]),
    ] {
        assert_eq!(fault(&signed(&json!({"_sd_alg": name}), &[])), Fault::UnknownHashAlgorithm, "{name}");
    }
}

#[test]
fn step_2_4_a_missing_sd_alg_means_sha_256() {
    let (a, text) = claim("a", json!(1));
    assert_eq!(process(&signed(&json!({"_sd": [a]}), std::slice::from_ref(&text))).unwrap(), json!({"a": 1}));
    assert_eq!(process(&signed(&json!({"_sd": [a], "_sd_alg": "sha-256"}), &[text])).unwrap(), json!({"a": 1}));
}

// Step 3: disclosures and digests.

#[test]
fn step_3_1_the_digest_goes_over_the_encoded_text() {
    // The same content with other white space is another disclosure.
    let spaced = weft_record::sdjwt::encode(r#"["c2FsdHNhbHRzYWx0c2FsdA", "a", 1]"#);
    let (a, tight) = claim("a", json!(1));
    assert_ne!(digest(&spaced), a);
    assert_eq!(
        process(&signed(&json!({"_sd": [digest(&spaced)]}), std::slice::from_ref(&spaced))).unwrap(),
        json!({"a": 1})
    );
    assert_eq!(fault(&signed(&json!({"_sd": [digest(&spaced)]}), &[tight])), Fault::UnreferencedDisclosure);
}

#[test]
fn step_3_2_digests_are_found_at_every_level() {
    let (a, a_text) = claim("a", json!(1));
    let (b, b_text) = element(json!(2));
    let (c, c_text) = element(json!([3]));
    let payload = json!({"x": {"y": {"_sd": [a], "z": [{"...": b}, [{"...": c}, {"...": decoy(1)}], {"p": 0}]}}});
    let expected = json!({"x": {"y": {"z": [2, [[3]], {"p": 0}], "a": 1}}});
    assert_eq!(process(&signed(&payload, &[a_text, b_text, c_text])).unwrap(), expected);
}

#[test]
fn step_3_2_an_sd_that_is_no_array_of_strings_is_refused() {
    for list in [json!("x"), json!(null), json!({}), json!([1]), json!([decoy(1), null]), json!([[decoy(1)]])] {
        assert_eq!(fault(&signed(&json!({"_sd": list}), &[])), Fault::BadDigestList, "{list}");
        assert_eq!(fault(&signed(&json!({"a": [{"_sd": list}]}), &[])), Fault::BadDigestList, "{list}");
    }
}

#[test]
fn step_3_2_an_ellipsis_where_no_element_is_concealed_is_refused() {
    for payload in [
        json!({"...": decoy(1)}),
        json!({"a": {"...": decoy(1)}}),
        json!({"a": [{"...": decoy(1), "b": 1}]}),
        json!({"a": [{"...": 1}]}),
        json!({"a": [{"...": [decoy(1)]}]}),
        json!({"a": [{"...": null}]}),
    ] {
        assert_eq!(fault(&signed(&payload, &[])), Fault::StrayEllipsis, "{payload}");
    }
}

#[test]
fn step_3_3_1_a_digest_without_disclosure_must_be_ignored() {
    let payload =
        json!({"_sd": [decoy(1), "not even a digest"], "a": [{"...": decoy(2)}, {"...": ""}], "b": {"_sd": []}});
    assert_eq!(process(&signed(&payload, &[])).unwrap(), json!({"a": [], "b": {}}));
}

#[test]
fn step_3_3_2_1_a_claim_disclosure_must_have_three_elements() {
    for elements in [
        json!([]),
        json!(["s"]),
        json!(["s", "a"]),
        json!(["s", "a", 1, 2]),
        json!(["s", {"a": 1}]),
        json!([1, "a", 1]),
        json!(["s", 1, 1]),
        json!(["s", null, 1]),
    ] {
        let text = disclosure(elements);
        assert_eq!(
            fault(&signed(&json!({"_sd": [digest(&text)]}), std::slice::from_ref(&text))),
            Fault::NotAClaim,
            "{text}"
        );
    }
    for elements in [json!({"a": 1}), json!("a"), json!(null), json!(3)] {
        let text = disclosure(elements);
        assert_eq!(
            fault(&signed(&json!({"_sd": [digest(&text)]}), std::slice::from_ref(&text))),
            Fault::DisclosureNotArray
        );
    }
}

#[test]
fn step_3_3_2_2_a_claim_called_sd_or_ellipsis_must_be_rejected() {
    for name in ["_sd", "..."] {
        let (a, text) = claim(name, json!([decoy(1)]));
        assert_eq!(fault(&signed(&json!({"_sd": [a]}), std::slice::from_ref(&text))), Fault::ReservedName);
        assert_eq!(fault(&signed(&json!({"x": [{"_sd": [a]}]}), &[text])), Fault::ReservedName);
    }
}

#[test]
fn step_3_3_2_3_a_claim_whose_name_exists_must_be_rejected() {
    let (a, a_text) = claim("a", json!(1));
    let (b, b_text) = claim("a", json!(2));
    assert_eq!(fault(&signed(&json!({"_sd": [a], "a": 0}), std::slice::from_ref(&a_text))), Fault::NameTaken);
    assert_eq!(fault(&signed(&json!({"a": null, "_sd": [a]}), std::slice::from_ref(&a_text))), Fault::NameTaken);
    assert_eq!(fault(&signed(&json!({"_sd": [a, b]}), &[a_text.clone(), b_text])), Fault::NameTaken);
    assert_eq!(fault(&signed(&json!({"x": {"a": 1, "_sd": [a]}}), std::slice::from_ref(&a_text))), Fault::NameTaken);
    // Another level is another name.
    assert_eq!(
        process(&signed(&json!({"x": {"_sd": [a]}, "a": 0}), &[a_text])).unwrap(),
        json!({"x": {"a": 1}, "a": 0})
    );
    let (iss, iss_text) = claim("iss", json!("https://elsewhere.example"));
    assert_eq!(fault(&signed(&json!({"iss": "https://hub.example", "_sd": [iss]}), &[iss_text])), Fault::NameTaken);
}

#[test]
fn step_3_3_2_4_the_claim_stands_at_the_level_of_its_sd() {
    let (a, text) = claim("a", json!({"deep": [1]}));
    assert_eq!(process(&signed(&json!({"x": [{"_sd": [a]}]}), &[text])).unwrap(), json!({"x": [{"a": {"deep": [1]}}]}));
}

#[test]
fn step_3_3_2_5_disclosed_values_are_processed_recursively() {
    let (inner, inner_text) = element(json!("in"));
    let (a, a_text) = claim("a", json!({"list": [{"...": inner}, {"...": decoy(1)}], "_sd": [decoy(2)]}));
    assert_eq!(process(&signed(&json!({"_sd": [a]}), &[inner_text, a_text])).unwrap(), json!({"a": {"list": ["in"]}}));
}

#[test]
fn step_3_3_3_1_an_element_disclosure_must_have_two_elements() {
    for elements in
        [json!([]), json!(["s"]), json!(["s", "a", 1]), json!(["s", 1, 2, 3]), json!([1, 1]), json!([null, 1])]
    {
        let text = disclosure(elements);
        assert_eq!(
            fault(&signed(&json!({"a": [{"...": digest(&text)}]}), std::slice::from_ref(&text))),
            Fault::NotAnElement,
            "{text}"
        );
    }
}

#[test]
fn step_3_3_3_2_the_value_takes_the_place_of_the_element() {
    let (b, text) = element(json!(null));
    assert_eq!(process(&signed(&json!({"a": [1, {"...": b}, 3]}), &[text])).unwrap(), json!({"a": [1, null, 3]}));
}

#[test]
fn step_3_3_3_3_disclosed_elements_are_processed_recursively() {
    let (inner, inner_text) = claim("b", json!(1));
    let (outer, outer_text) = element(json!({"_sd": [inner]}));
    assert_eq!(
        process(&signed(&json!({"a": [{"...": outer}]}), &[outer_text, inner_text])).unwrap(),
        json!({"a": [{"b": 1}]})
    );
}

#[test]
fn step_3_4_elements_without_disclosure_are_removed() {
    let payload = json!({"a": [{"...": decoy(1)}, 1, {"...": decoy(2)}], "b": [{"...": decoy(3)}]});
    assert_eq!(process(&signed(&payload, &[])).unwrap(), json!({"a": [1], "b": []}));
}

#[test]
fn step_3_5_sd_is_removed_and_an_empty_object_stays() {
    assert_eq!(process(&signed(&json!({"a": {"_sd": [decoy(1)]}, "_sd": []}), &[])).unwrap(), json!({"a": {}}));
}

#[test]
fn step_3_6_sd_alg_is_removed_from_the_payload() {
    let payload = json!({"_sd_alg": "sha-256", "a": {"_sd_alg": "a claim like any other"}});
    assert_eq!(process(&signed(&payload, &[])).unwrap(), json!({"a": {"_sd_alg": "a claim like any other"}}));
}

// Step 4: no digest twice.

#[test]
fn step_4_a_digest_twice_in_one_sd_must_be_rejected() {
    let (a, text) = claim("a", json!(1));
    assert_eq!(fault(&signed(&json!({"_sd": [a, a]}), &[text])), Fault::RepeatedDigest);
}

#[test]
fn step_4_a_decoy_twice_must_be_rejected_though_nothing_discloses_it() {
    assert_eq!(fault(&signed(&json!({"_sd": [decoy(1), decoy(1)]}), &[])), Fault::RepeatedDigest);
    assert_eq!(fault(&signed(&json!({"a": [{"...": decoy(1)}, {"...": decoy(1)}]}), &[])), Fault::RepeatedDigest);
}

#[test]
fn step_4_a_digest_in_two_objects_must_be_rejected() {
    let (a, text) = claim("a", json!(1));
    assert_eq!(fault(&signed(&json!({"x": {"_sd": [a]}, "y": {"_sd": [a]}}), &[text])), Fault::RepeatedDigest);
    assert_eq!(
        fault(&signed(&json!({"x": {"_sd": [decoy(1)]}, "y": [{"...": decoy(1)}]}), &[])),
        Fault::RepeatedDigest
    );
}

#[test]
fn step_4_a_digest_again_inside_a_disclosure_must_be_rejected() {
    let (a, a_text) = claim("a", json!({"_sd": [decoy(1)]}));
    assert_eq!(fault(&signed(&json!({"_sd": [a, decoy(1)]}), &[a_text])), Fault::RepeatedDigest);
    let (b, b_text) = claim("b", json!(1));
    let (c, c_text) = claim("c", json!({"_sd": [b]}));
    assert_eq!(fault(&signed(&json!({"_sd": [b, c]}), &[b_text, c_text])), Fault::RepeatedDigest);
}

// Step 5: no disclosure without digest.

#[test]
fn step_5_a_disclosure_that_no_digest_names_must_be_rejected() {
    let (a, a_text) = claim("a", json!(1));
    let (_, b_text) = claim("b", json!(2));
    assert_eq!(
        fault(&signed(&json!({"_sd": [a, decoy(1)]}), &[a_text, b_text.clone()])),
        Fault::UnreferencedDisclosure
    );
    assert_eq!(fault(&signed(&json!({"x": 1}), &[b_text])), Fault::UnreferencedDisclosure);
}

#[test]
fn step_5_a_changed_disclosure_is_one_that_no_digest_names() {
    let (a, _) = claim("a", json!(1));
    let (_, changed) = claim("a", json!(2));
    assert_eq!(fault(&signed(&json!({"_sd": [a]}), &[changed])), Fault::UnreferencedDisclosure);
}

#[test]
fn step_5_a_digest_as_a_mere_claim_value_names_nothing() {
    let (a, text) = claim("a", json!(1));
    assert_eq!(fault(&signed(&json!({"x": a, "y": [a], "z": {"_s": [a]}}), &[text])), Fault::UnreferencedDisclosure);
}

#[test]
fn step_5_a_disclosure_named_only_by_one_that_was_left_out_must_be_rejected() {
    let (inner, inner_text) = claim("b", json!(1));
    let (outer, _) = claim("a", json!({"_sd": [inner]}));
    assert_eq!(fault(&signed(&json!({"_sd": [outer]}), &[inner_text])), Fault::UnreferencedDisclosure);
}

#[test]
fn a_disclosure_must_not_be_sent_twice() {
    // Section 4.2: the sender must not; strictly read here.
    let (a, text) = claim("a", json!(1));
    assert_eq!(fault(&signed(&json!({"_sd": [a]}), &[text.clone(), text])), Fault::RepeatedDisclosure);
}

// Strict JSON everywhere, and limits.

#[test]
fn json_is_strict_in_header_payload_and_disclosures() {
    let header = r#"{"alg":"EdDSA"}"#;
    let twice = Fault::Json(strict::Fault::DuplicateName);
    assert_eq!(fault(&signed_texts(r#"{"alg":"none","alg":"EdDSA"}"#, "{}", &[])), twice);
    assert_eq!(fault(&signed_texts(header, r#"{"iss":"a","iss":"b"}"#, &[])), twice);
    let text = weft_record::sdjwt::encode(r#"["s","a",{"b":1,"b":2}]"#);
    assert_eq!(fault(&signed(&json!({"_sd": [digest(&text)]}), &[text])), twice);
    for number in ["0.1", "-0", "1e400", "9007199254740992", "9223372036854775808"] {
        assert_eq!(
            fault(&signed_texts(header, &format!("{{\"a\":{number}}}"), &[])),
            Fault::Json(strict::Fault::Number)
        );
        let text = weft_record::sdjwt::encode(format!(r#"["s","a",{number}]"#));
        assert_eq!(fault(&signed(&json!({"_sd": [digest(&text)]}), &[text])), Fault::Json(strict::Fault::Number));
    }
    assert_eq!(fault(&signed_texts(header, r#"{"a":"\ud800"}"#, &[])), Fault::Json(strict::Fault::Text));
    assert_eq!(fault(&signed_texts(header, "[]", &[])), Fault::NotAnObject);
    assert_eq!(fault(&signed_texts("[]", "{}", &[])), Fault::NotAnObject);
    assert_eq!(fault(&signed_texts(header, "", &[])), Fault::Json(strict::Fault::Syntax));
}

#[test]
fn digests_are_limited_wherever_they_stand() {
    let decoys: Vec<String> = (0..513).map(decoy).collect();
    assert!(process(&signed(&json!({"_sd": decoys[..512]}), &[])).is_ok());
    assert_eq!(fault(&signed(&json!({"_sd": decoys}), &[])), Fault::TooManyDigests);
    let (a, text) = claim("a", json!({"_sd": decoys[..512]}));
    assert_eq!(fault(&signed(&json!({"_sd": [a]}), &[text])), Fault::TooManyDigests);
    let many: Vec<String> = (0..10_000).map(decoy).collect();
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    assert_eq!(process_within(&signed(&json!({"_sd": many}), &[]), limits).unwrap_err().fault, Fault::TooManyDigests);
    let few = Limits { max_digests: 2, ..Limits::default() };
    assert_eq!(
        process_within(&signed(&json!({"_sd": decoys[..3]}), &[]), few).unwrap_err().fault,
        Fault::TooManyDigests
    );
}

#[test]
fn disclosures_are_limited_before_they_are_read() {
    let token = signed(&json!({}), &vec!["IiI".to_owned(); 513]);
    assert!(matches!(fault(&token), Fault::DisclosureNotArray | Fault::TooManyDigests));
    let arrays = vec![disclosure(json!([])); 513];
    assert_eq!(fault(&signed(&json!({}), &arrays)), Fault::TooManyDigests);
}

#[test]
fn depth_is_limited_in_each_part_and_in_the_whole() {
    // Disclosures nested in one another, each of them flat.
    let (mut inner, text) = claim("a", json!(1));
    let mut texts = vec![text];
    for _ in 0..200 {
        let (outer, text) = claim("a", json!({"_sd": [inner]}));
        inner = outer;
        texts.push(text);
    }
    let chain = |levels: usize| {
        let top = digest(&texts[levels]);
        signed(&json!({"_sd": [top]}), &texts[..=levels])
    };
    assert!(process(&chain(15)).is_ok());
    assert_eq!(fault(&chain(16)), Fault::TooDeep);
    assert_eq!(fault(&chain(200)), Fault::TooDeep);
    let mut deep = json!(1);
    for _ in 0..15 {
        deep = json!([deep]);
    }
    assert!(process(&signed(&json!({"a": deep}), &[])).is_ok());
    let (b, text) = claim("b", deep.clone());
    assert!(process(&signed(&json!({"_sd": [b]}), std::slice::from_ref(&text))).is_ok());
    assert_eq!(fault(&signed(&json!({"x": {"_sd": [b]}}), &[text])), Fault::TooDeep);
    assert_eq!(fault(&signed(&json!({"a": [deep]}), &[])), Fault::Json(strict::Fault::TooDeep));
}

#[test]
fn size_is_limited() {
    let (a, text) = claim("a", json!("x".repeat(1 << 20)));
    assert_eq!(fault(&signed(&json!({"_sd": [a]}), &[text])), Fault::TooLarge);
    let long = signed(&json!({"a": "x".repeat(48_000)}), &[]);
    assert!(long.len() < 64 * 1024 + 1 && process(&long).is_ok());
    let exact = Limits { max_bytes: long.len(), ..Limits::default() };
    assert!(process_within(&long, exact).is_ok());
    let short = Limits { max_bytes: long.len() - 1, ..Limits::default() };
    assert_eq!(process_within(&long, short).unwrap_err().fault, Fault::TooLarge);
}
