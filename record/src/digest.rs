//! Keyed digests of a record's content: two versions are the same if their digests are.
//!
//! The digest is an HMAC-SHA256 under a key of the department over the RFC 8785 form, so that it may stand beside an
//! envelope without telling a value that someone could guess.

use aws_lc_rs::{hkdf, hmac};
use serde_json::{Map, Value};
use std::fmt;

/// The key of one department's digests.
pub struct DigestKey(hmac::Key);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl DigestKey {
    /// A key from secret bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A department's key: HKDF-SHA-256 of its secret, which its adapters and the hub share.
    #[must_use]
    pub fn of_department(secret: &[u8; 32]) -> Self {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(secret)
            .expand(&[b"weft digest v1"], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(key.as_mut_slice()));
        // 32 bytes are within what HKDF-SHA-256 gives (RFC 5869 section 2.3).
        debug_assert!(derived.is_ok());
        Self::new(key.as_slice())
    }

    /// Over the whole processed payload without `iat`: equal digests are the same content.
    #[must_use]
    pub fn content(&self, payload: &Value) -> [u8; 32] {
        let mut content = payload.clone();
        if let Value::Object(claims) = &mut content {
            claims.shift_remove("iat");
            if let Some(holders) = claims.get_mut("holders") {
                sort_holders(holders);
            }
        }
        self.over(&content)
    }

    /// Over holders, fields, status and validity alone: equal digests are the same substance, whatever event and
    /// version say it.
    #[must_use]
    pub fn substance(&self, payload: &Value) -> [u8; 32] {
        let mut substance = Map::new();
        for (name, pointer) in [
            ("holders", "/holders"),
            ("fields", "/fields"),
            ("status", "/record/status"),
            ("valid_from", "/record/valid_from"),
            ("valid_until", "/record/valid_until"),
        ] {
            if let Some(value) = payload.pointer(pointer) {
                substance.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(holders) = substance.get_mut("holders") {
            sort_holders(holders);
        }
        self.over(&Value::Object(substance))
    }

    fn over(&self, value: &Value) -> [u8; 32] {
        let tag = hmac::sign(&self.0, canonical(value).as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }
}

/// [`DigestKey::content`] with a key that is used once.
#[must_use]
pub fn content_digest(key: &[u8], payload: &Value) -> [u8; 32] {
    DigestKey::new(key).content(payload)
}

/// [`DigestKey::substance`] with a key that is used once.
#[must_use]
pub fn substance_digest(key: &[u8], payload: &Value) -> [u8; 32] {
    DigestKey::new(key).substance(payload)
}

/// By role, scheme, value; holders that agree in these keep the order of their canonical forms.
fn sort_holders(holders: &mut Value) {
    if let Value::Array(holders) = holders {
        holders.sort_by_cached_key(|holder| {
            let text = |key: &str| holder.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("role"), text("scheme"), text("value"), canonical(holder))
        });
    }
}

/// The JSON Canonicalization Scheme (RFC 8785). Integers are written exactly; in strict JSON (see [`crate::json`])
/// none is so large that a reader could take it for another.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => text.push_str(&ecmascript_number(float)),
            None => text.push_str(&number.to_string()),
        },
        // serde_json escapes just what RFC 8785 section 3.2.2.2 asks for, in the same forms.
        Value::String(string) => text.push_str(&Value::from(string.as_str()).to_string()),
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            // By UTF-16 code units (section 3.2.3), which is not the order of UTF-8 beyond the basic plane.
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            text.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
    }
}

/// A finite double as ECMAScript writes it (ECMA-262 section Number::toString, RFC 8785 section 3.2.2.3), from the
/// shortest digits that read back as the same double.
fn ecmascript_number(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.replace('.', "");
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exponent + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let unsigned = if (length..=21).contains(&point) {
        format!("{digits}{}", zeros(point - length))
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
        format!("{whole}.{fraction}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let fraction = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        format!("{first}{fraction}e{exponent:+}")
    };
    if number < 0.0 { format!("-{unsigned}") } else { unsigned }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_sorting_example_of_rfc_8785_comes_out_in_its_order() {
        let value = json!({
            "\u{20ac}": "Euro Sign",
            "\r": "Carriage Return",
            "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\u{1f600}": "Emoji: Grinning Face",
            "\u{0080}": "Control",
            "\u{00f6}": "Latin Small Letter O With Diaeresis"
        });
        assert_eq!(
            canonical(&value),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
             \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
             \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
    }

    #[test]
    fn the_example_of_rfc_8785_section_3_2_comes_out_as_there() {
        let value: Value = serde_json::from_str(
            r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn doubles_are_written_as_in_rfc_8785_appendix_b() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(ecmascript_number(f64::from_bits(bits)), text);
        }
    }

    fn payload() -> Value {
        json!({"iss": "https://hub.example/departments/d", "iat": 1, "vct": "v",
            "record": {"id": "a", "version": 1, "status": "valid", "valid_from": "2020-01-01"},
            "event": "issue",
            "holders": [{"role": "a", "scheme": "uscc", "value": "2"}, {"role": "a", "scheme": "uscc", "value": "1"}],
            "fields": {"x": "1", "y": [1, 2]}})
    }

    /// Payload and both digests after an edit of the payload.
    fn digests(edit: impl FnOnce(&mut Value)) -> ([u8; 32], [u8; 32]) {
        let mut payload = payload();
        edit(&mut payload);
        (content_digest(b"key", &payload), substance_digest(b"key", &payload))
    }

    #[test]
    fn the_time_of_sealing_and_the_order_of_holders_and_members_do_not_count() {
        let before = digests(|_| {});
        assert_eq!(before, digests(|p| p["iat"] = json!(2)));
        assert_eq!(before, digests(|p| p["holders"].as_array_mut().unwrap().reverse()));
        assert_eq!(before, digests(|p| p["fields"] = json!({"y": [1, 2], "x": "1"})));
    }

    #[test]
    fn substance_leaves_out_event_version_and_names_of_the_record() {
        let before = digests(|_| {});
        for edit in [
            (|p: &mut Value| p["event"] = json!("change")) as fn(&mut Value),
            |p| p["record"]["version"] = json!(2),
            |p| p["record"]["id"] = json!("b"),
            |p| p["iss"] = json!("x"),
            |p| p["supersedes"] = json!("x"),
        ] {
            let after = digests(edit);
            assert_ne!(before.0, after.0);
            assert_eq!(before.1, after.1);
        }
        for edit in [
            (|p: &mut Value| p["fields"]["x"] = json!("2")) as fn(&mut Value),
            |p| p["fields"]["y"] = json!([2, 1]),
            |p| p["holders"][0]["value"] = json!("3"),
            |p| p["record"]["status"] = json!("frozen"),
            |p| p["record"]["valid_from"] = json!("2020-01-02"),
            |p| p["record"]["valid_until"] = json!("2020-01-02"),
        ] {
            let after = digests(edit);
            assert_ne!(before.0, after.0);
            assert_ne!(before.1, after.1);
        }
    }

    #[test]
    fn another_key_gives_another_digest_and_the_two_kinds_differ() {
        let (content, substance) = digests(|_| {});
        assert_ne!(content, substance);
        assert_ne!(content, content_digest(b"other", &payload()));
        assert_eq!(format!("{:?}", DigestKey::new(b"key")), "DigestKey");
    }

    /// HMAC-SHA256 of the text `{"a":1}`.
    #[test]
    fn the_digest_is_an_hmac_of_the_canonical_text() {
        let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"k"), b"{\"a\":1}");
        assert_eq!(DigestKey::new(b"k").content(&json!({"iat": 5, "a": 1})), expected.as_ref());
    }

    proptest::proptest! {
        #[test]
        fn canonical_forms_read_back_as_the_same_value(text in "\\PC{0,20}", number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991) {
            let value = json!({"t": text, "n": number, text.clone(): [null, true]});
            assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
        }
    }
}
