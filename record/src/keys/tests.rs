use super::*;

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

// RFC 8032 section 7.1, test 2; the key of test 1 is that of RFC 8037 appendix A.
const ED_KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const ED_MESSAGE: &[u8] = &[0x72];
const ED_SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                            085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

fn ed_key() -> VerifyingKey {
    VerifyingKey::ed25519(&hex32(ED_KEY)).unwrap()
}

fn ed_signature() -> Vec<u8> {
    hex::decode(ED_SIGNATURE).unwrap()
}

// RFC 6979 appendix A.2.5, message "sample" with SHA-256.
const EC_X: &str = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
const EC_Y: &str = "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
const EC_R: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
const EC_S: &str = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
const EC_N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn ec_point(x: &str, y: &str) -> [u8; 65] {
    hex::decode(format!("04{x}{y}")).unwrap().try_into().unwrap()
}

fn ec_key() -> VerifyingKey {
    VerifyingKey::p256(&ec_point(EC_X, EC_Y)).unwrap()
}

fn ec_verifies(r: &[u8], s: &[u8]) -> bool {
    ec_key().verify(b"sample", &[r, s].concat()).is_ok()
}

/// Big-endian a − b, for a ≥ b.
fn minus(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut borrow = 0;
    for index in (0..32).rev() {
        let digit = i16::from(a[index]) - i16::from(b[index]) - borrow;
        borrow = i16::from(digit < 0);
        out[index] = (digit + 256 * borrow) as u8;
    }
    out
}

#[test]
fn ed25519_verifies_the_rfc_vector_and_nothing_near_it() {
    assert!(ed_key().verify(ED_MESSAGE, &ed_signature()).is_ok());
    assert!(ed_key().verify(b"s", &ed_signature()).is_err());
    for byte in 0..64 {
        for bit in 0..8 {
            let mut changed = ed_signature();
            changed[byte] ^= 1 << bit;
            assert!(ed_key().verify(ED_MESSAGE, &changed).is_err(), "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn ed25519_refuses_a_signature_whose_s_is_not_canonical() {
    // S + L verifies the same equation; RFC 8032 section 5.1.7 asks for S < L.
    const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = hex32(L);
    let mut signature = ed_signature();
    let mut carry = 0;
    for index in 0..32 {
        let sum = u16::from(signature[32 + index]) + u16::from(order[index]) + carry;
        signature[32 + index] = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(ed_key().verify(ED_MESSAGE, &signature).is_err());
    signature[32..].copy_from_slice(&[0xff; 32]);
    assert!(ed_key().verify(ED_MESSAGE, &signature).is_err());
}

#[test]
fn ed25519_refuses_a_signature_whose_r_is_of_small_order() {
    for s in [[0; 32], hex32("0100000000000000000000000000000000000000000000000000000000000000")] {
        for r in SMALL_ORDER {
            assert!(ed_key().verify(ED_MESSAGE, &[hex32(r), s].concat()).is_err());
        }
    }
}

const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn ed25519_keys_of_small_order_are_refused_at_construction() {
    for key in SMALL_ORDER {
        assert_eq!(VerifyingKey::ed25519(&hex32(key)).unwrap_err(), Error::Weak, "{key}");
    }
}

#[test]
fn ed25519_keys_that_are_not_canonical_or_not_on_the_curve_are_refused() {
    for key in [
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0200000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert_eq!(VerifyingKey::ed25519(&hex32(key)).unwrap_err(), Error::BadPoint, "{key}");
    }
}

#[test]
fn es256_verifies_the_rfc_vector_with_high_and_low_s() {
    let (r, s, n) = (hex32(EC_R), hex32(EC_S), hex32(EC_N));
    // Wycheproof counts both as valid: ECDSA alone does not ask for the low one.
    assert!(ec_verifies(&r, &s));
    assert!(ec_verifies(&r, &minus(n, s)));
    assert!(!ec_verifies(&s, &r));
    assert!(ec_key().verify(b"Sample", &[r, s].concat()).is_err());
}

#[test]
fn es256_refuses_r_or_s_of_zero_or_beyond_the_order() {
    let (r, s, n) = (hex32(EC_R), hex32(EC_S), hex32(EC_N));
    let (zero, all) = ([0; 32], [0xff; 32]);
    for wrong in [zero, n, all] {
        assert!(!ec_verifies(&wrong, &s));
        assert!(!ec_verifies(&r, &wrong));
        for other in [zero, n, all] {
            assert!(!ec_verifies(&wrong, &other));
        }
    }
    let one = hex32("0000000000000000000000000000000000000000000000000000000000000001");
    assert!(!ec_verifies(&one, &one));
}

#[test]
fn es256_refuses_every_form_but_the_fixed_one() {
    let (r, s) = (hex::decode(EC_R).unwrap(), hex::decode(EC_S).unwrap());
    let der = [&[0x30, 0x46, 0x02, 0x21, 0x00][..], &r, &[0x02, 0x21, 0x00], &s].concat();
    let fixed = [r.clone(), s.clone()].concat();
    let longer = [&fixed[..], &[0]].concat();
    let padded = [&[0][..], &r, &[0], &s].concat();
    for form in [&der[..], &fixed[..63], &longer, &padded, &[], &r] {
        assert!(ec_key().verify(b"sample", form).is_err(), "{} bytes", form.len());
    }
    assert!(ec_key().verify(b"sample", &fixed).is_ok());
}

#[test]
fn es256_keys_off_the_curve_are_refused() {
    let zero = "0".repeat(64);
    let p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    for (x, y) in [(EC_Y, EC_X), (&zero[..], &zero[..]), (p, EC_Y), (EC_X, p), (EC_X, EC_N)] {
        assert_eq!(VerifyingKey::p256(&ec_point(x, y)).unwrap_err(), Error::BadPoint);
    }
    for form in [0, 2, 3, 6, 7] {
        let mut point = ec_point(EC_X, EC_Y);
        point[0] = form;
        assert_eq!(VerifyingKey::p256(&point).unwrap_err(), Error::BadPoint);
    }
}

#[test]
fn the_thumbprint_is_that_of_the_rfc() {
    // RFC 8037 appendix A.3.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let key = VerifyingKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key.algorithm(), Algorithm::EdDsa);
    assert_eq!(format!("{key:?}"), "VerifyingKey(EdDSA kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)");
}

#[test]
fn a_jwk_reads_back_and_nothing_foreign_is_read() {
    for key in [ed_key(), ec_key()] {
        let jwk = key.to_jwk();
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap(), key);
        let changed = |name: &str, value: Value| {
            let mut jwk = jwk.clone();
            jwk[name] = value;
            VerifyingKey::from_jwk(&jwk).unwrap_err()
        };
        assert_eq!(changed("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")), Error::Private);
        assert_eq!(changed("k", json!("")), Error::Private);
        for name in ["x5c", "x5u", "jku", "key_ops", "x5t#S256", "ext", "iss", "Kid"] {
            assert_eq!(changed(name, json!("x")), Error::Member, "{name}");
        }
        assert_eq!(changed("kid", json!("other")), Error::Member);
        assert_eq!(changed("use", json!("enc")), Error::Member);
        assert_eq!(changed("alg", json!("none")), Error::Member);
        assert_eq!(changed("kty", json!("RSA")), Error::Unsupported);
        assert_eq!(changed("kty", json!("oct")), Error::Unsupported);
        assert_eq!(changed("crv", json!("X25519")), Error::Unsupported);
        assert_eq!(changed("crv", json!("P-384")), Error::Unsupported);
        let x = jwk["x"].as_str().unwrap();
        for wrong in [json!(format!("{x}=")), json!(&x[1..]), json!(format!("{x}A")), json!(1), json!(null), json!("")]
        {
            assert_eq!(changed("x", wrong.clone()), Error::BadPoint, "{wrong}");
        }
    }
    assert_eq!(VerifyingKey::from_jwk(&json!("x")).unwrap_err(), Error::NotAKey);
    assert_eq!(VerifyingKey::from_jwk(&json!({})).unwrap_err(), Error::Unsupported);
}

#[test]
fn a_key_set_reads_back_and_has_each_key_once() {
    let set = KeySet::new([ed_key(), ec_key(), ed_key()]);
    assert_eq!(set.iter().count(), 2);
    assert_eq!(KeySet::parse(set.to_json().to_string().as_bytes()).unwrap(), set);
    assert_eq!(set.get(ec_key().kid()), Some(&ec_key()));
    assert_eq!(set.get("other"), None);
    let twice = json!({"keys": [ed_key().to_jwk(), ed_key().to_jwk()]}).to_string();
    assert_eq!(KeySet::parse(twice.as_bytes()).unwrap_err(), Error::BadSet);
    assert_eq!(KeySet::parse(b"{}").unwrap_err(), Error::BadSet);
    assert_eq!(KeySet::parse(b"{\"keys\":[],\"keys\":[]}").unwrap_err(), Error::NotAKey);
}

#[test]
fn only_names_on_the_list_are_algorithms() {
    assert_eq!(Algorithm::from_name("EdDSA"), Some(Algorithm::EdDsa));
    assert_eq!(Algorithm::from_name("ES256"), Some(Algorithm::Es256));
    for name in ["none", "None", "nOnE", "HS256", "eddsa", "ES256 ", "", "Ed25519"] {
        assert_eq!(Algorithm::from_name(name), None, "{name}");
    }
    assert_eq!(serde_json::to_value(Algorithm::EdDsa).unwrap(), "EdDSA");
}

#[test]
fn a_key_is_judged_by_its_state_and_the_time_of_acceptance() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let now = 1_795_442_400_000;
    assert_eq!(KeyState::Active.accepts(now), Ok(()));
    assert_eq!(KeyState::Pending.accepts(now), Err(Reason::UnknownKey));
    assert_eq!(KeyState::Retired { at_ms: now - 30 * DAY }.accepts(now), Ok(()));
    assert_eq!(KeyState::Retired { at_ms: now - 30 * DAY - 1 }.accepts(now), Err(Reason::KeyRetired));
    assert_eq!(KeyState::Retired { at_ms: i64::MAX }.accepts(now), Ok(()));
    assert_eq!(KeyState::Compromised { since_ms: now + DAY }.accepts(now), Err(Reason::KeyCompromised));
    let state = KeyState::Retired { at_ms: 5 };
    assert_eq!(serde_json::to_value(state).unwrap(), json!({"state": "retired", "at_ms": 5}));
    assert_eq!(serde_json::from_value::<KeyState>(json!({"state": "retired", "at_ms": 5})).unwrap(), state);
}
