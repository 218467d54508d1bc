use crate::keys::{Algorithm, VerifyingKey};

use super::*;

fn constant(byte: u8) -> impl FnMut(&mut [u8]) {
    move |bytes: &mut [u8]| bytes.fill(byte)
}

fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u64;
    move |bytes: &mut [u8]| {
        bytes.fill(0);
        bytes[..8].copy_from_slice(&next.to_le_bytes());
        next += 1;
    }
}

fn content() -> Content {
    Content {
        record_id: "t.d.x".into(),
        version: 1,
        status: Status::Valid,
        valid_from: None,
        valid_until: Some("2028-06-11".into()),
        event: Event::Issue,
        supersedes: None,
        holders: vec![],
        fields: Map::new(),
    }
}

const SLOTS: Slots = Slots { holders: 2, fields: 3 };

fn seal_it(content: &Content, key: &SealingKey) -> String {
    seal(
        content,
        &SLOTS,
        "https://hub.example/departments/d",
        "https://hub.example/types/t/v1",
        1,
        key,
        &mut counting(),
    )
    .unwrap()
}

#[test]
fn the_payload_has_the_shape_of_the_design() {
    let key = SealingKey::generate(Algorithm::EdDsa, &mut constant(1)).unwrap();
    let text = seal_it(&content(), &key);
    let token = sdjwt::Token::parse(&text, Limits::default()).unwrap();
    assert_eq!(Value::Object(token.header.clone()), json!({"alg": "EdDSA", "typ": "dc+sd-jwt", "kid": key.kid()}));
    let names: Vec<&String> = token.payload.keys().collect();
    assert_eq!(names, ["iss", "iat", "vct", "_sd_alg", "record", "_sd", "holders", "fields"]);
    let record = json!({"id": "t.d.x", "version": 1, "status": "valid", "valid_until": "2028-06-11"});
    assert_eq!(token.payload["record"], record);
    assert_eq!(token.disclosures.len(), 1);
    let sorted: Vec<&str> = token.disclosures.iter().map(|disclosure| disclosure.digest.as_str()).collect();
    assert!(sorted.is_sorted());
    assert!(text.ends_with('~') && !text.ends_with("~~"));
}

#[test]
fn the_same_random_bytes_make_the_same_token_and_others_another() {
    let key = SealingKey::generate(Algorithm::EdDsa, &mut constant(1)).unwrap();
    assert_eq!(seal_it(&content(), &key), seal_it(&content(), &key));
    let other = seal(&content(), &SLOTS, "i", "v", 1, &key, &mut constant(9)).unwrap();
    assert_ne!(seal_it(&content(), &key), other);
}

#[test]
fn a_salt_has_128_bits() {
    let key = SealingKey::generate(Algorithm::EdDsa, &mut constant(1)).unwrap();
    let text = seal_it(&content(), &key);
    let token = sdjwt::Token::parse(&text, Limits::default()).unwrap();
    assert_eq!(token.disclosures[0].elements[0].as_str().unwrap().len(), 22);
}

#[test]
fn holders_beyond_the_slots_take_the_next_power_of_two() {
    let counts = [(0, 2), (1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16)];
    for (holders, slots) in counts {
        assert_eq!(holder_slots(holders, 2), slots);
    }
    assert_eq!(holder_slots(3, 3), 3);
    assert_eq!(holder_slots(4, 3), 4);
}

#[test]
fn too_many_holders_for_the_door_are_told_before_it_refuses() {
    let key = SealingKey::generate(Algorithm::EdDsa, &mut constant(1)).unwrap();
    let holder = Holder { role: "r".into(), scheme: "s".into(), value: "v".into(), name: None, share: None };
    let content = Content { holders: vec![holder; 300], ..content() };
    let refused = seal(&content, &SLOTS, "i", "v", 1, &key, &mut counting()).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { digests: 517, .. }), "{refused}");
}

#[test]
fn keys_read_back_from_pkcs8() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let key = SealingKey::generate(algorithm, &mut constant(3)).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let again = SealingKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
        assert_eq!(again.verifying_key(), key.verifying_key());
        let pem = key.to_pkcs8_pem().unwrap();
        assert!(pem.lines().all(|line| line.len() <= 64) && pem.ends_with("-----END PRIVATE KEY-----\n"));
        let again = SealingKey::from_pkcs8_pem(&pem).unwrap();
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        key.verifying_key().verify(b"message", &signature).unwrap();
        assert_eq!(VerifyingKey::from_jwk(&key.public_jwk()).unwrap(), *key.verifying_key());
        assert!(SealingKey::from_pkcs8_pem(&pem.replace('\n', "\r\n")).is_ok());
    }
}

#[test]
fn the_rfc_key_is_read() {
    // RFC 8410 section 10.3.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = SealingKey::from_pkcs8_pem(pem).unwrap();
    let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    assert_eq!(key.public_jwk()["x"], sdjwt::encode(hex::decode(public).unwrap()));
    assert_eq!(*key.to_pkcs8_pem().unwrap(), pem);
}

#[test]
fn what_is_no_private_key_is_refused() {
    let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    for text in [
        String::new(),
        "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC".into(),
        pem("ENCRYPTED PRIVATE KEY", "MC4CAQ=="),
        pem("PUBLIC KEY", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="),
        pem("PRIVATE KEY", "***"),
    ] {
        assert_eq!(SealingKey::from_pkcs8_pem(&text).unwrap_err(), KeyError::NotPem, "{text}");
    }
    let public = pem("PRIVATE KEY", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
    assert_eq!(SealingKey::from_pkcs8_pem(&public).unwrap_err(), KeyError::NotPkcs8);
    assert_eq!(SealingKey::from_pkcs8_der(&[]).unwrap_err(), KeyError::NotPkcs8);
}

#[test]
fn a_random_source_without_a_usable_number_makes_no_key() {
    for byte in [0x00, 0xff] {
        assert_eq!(SealingKey::generate(Algorithm::Es256, &mut constant(byte)).unwrap_err(), KeyError::Unusable);
    }
}

#[test]
fn a_private_key_is_never_printed() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let key = SealingKey::generate(algorithm, &mut constant(3)).unwrap();
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("SealingKey({} {}, secret)", algorithm.name(), key.kid()));
    }
}
