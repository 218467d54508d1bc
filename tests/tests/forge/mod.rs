//! Tokens as a hostile sender makes them: a right one taken apart, changed, and signed anew.

#![allow(dead_code, reason = "each test uses its part")]

use serde_json::{Value, json};
use weft_record::{
    sdjwt::{Limits, Token, digest_of, encode},
    seal::SealingKey,
};

/// A token taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The JOSE header.
    pub(crate) header: Value,
    /// The payload as it is signed.
    pub(crate) payload: Value,
    /// The encoded disclosures.
    pub(crate) disclosures: Vec<String>,
}

impl Parts {
    /// Takes a right token apart.
    pub(crate) fn of(token: &str) -> Self {
        let token = Token::parse(token, Limits::default()).expect("a right token");
        Self {
            header: Value::Object(token.header.clone()),
            payload: Value::Object(token.payload.clone()),
            disclosures: token.disclosures.iter().map(|one| one.encoded.to_owned()).collect(),
        }
    }

    /// With the header changed.
    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    /// With a claim of the payload changed.
    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.payload[name] = value;
        self
    }

    /// Without a member of the header or payload.
    pub(crate) fn without(mut self, part: fn(&mut Self) -> &mut Value, name: &str) -> Self {
        part(&mut self).as_object_mut().expect("an object").shift_remove(name);
        self
    }

    /// The disclosure of a field or claim: its place in the list.
    pub(crate) fn place_of(&self, name: &str) -> usize {
        let is = |encoded: &String| self.read(encoded)[1] == name;
        self.disclosures.iter().position(is).expect("a disclosure of this name")
    }

    /// The disclosure of the first holder: its place in the list.
    pub(crate) fn holder(&self) -> usize {
        let is = |encoded: &String| self.read(encoded).as_array().is_some_and(|elements| elements.len() == 2);
        self.disclosures.iter().position(is).expect("a holder")
    }

    fn read(&self, encoded: &str) -> Value {
        let disclosure = weft_record::sdjwt::parse_disclosure(encoded, Limits::default()).expect("a disclosure");
        json!(disclosure.elements)
    }

    /// The text of the disclosure at a place replaced, with its digest in the payload brought up to date.
    pub(crate) fn instead(mut self, place: usize, text: impl AsRef<[u8]>) -> Self {
        let encoded = encode(text);
        let list = self.payload.to_string().replace(&digest_of(&self.disclosures[place]), &digest_of(&encoded));
        self.payload = serde_json::from_str(&list).expect("JSON stays JSON");
        self.disclosures[place] = encoded;
        self.sorted()
    }

    /// A disclosure more, its digest in the place of a decoy at `pointer` (`/_sd`, `/fields/_sd`).
    pub(crate) fn in_place_of_a_decoy(mut self, pointer: &str, text: &str) -> Self {
        let encoded = encode(text);
        let digest = json!(digest_of(&encoded));
        let known: Vec<Value> = self.disclosures.iter().map(|one| json!(digest_of(one))).collect();
        let list = self.payload.pointer_mut(pointer).and_then(Value::as_array_mut).expect("a list of digests");
        *list.iter_mut().find(|one| !known.contains(one)).expect("a decoy") = digest;
        self.disclosures.push(encoded);
        self.sorted()
    }

    fn sorted(mut self) -> Self {
        for pointer in ["/_sd", "/holders", "/fields/_sd"] {
            if let Some(list) = self.payload.pointer_mut(pointer).and_then(Value::as_array_mut) {
                list.sort_by_key(|one| one["..."].as_str().or(one.as_str()).unwrap_or_default().to_owned());
            }
        }
        self
    }

    /// The compact form under a key.
    pub(crate) fn sign(&self, key: &SealingKey) -> String {
        signed(self.header.to_string(), self.payload.to_string(), &self.disclosures, key)
    }
}

/// The compact form of texts that need not be JSON.
pub(crate) fn signed(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    disclosures: &[String],
    key: &SealingKey,
) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(key.sign(input.as_bytes()).expect("it signs"));
    with_disclosures(&format!("{input}.{signature}"), disclosures)
}

/// The compact form of a JWT and disclosures.
pub(crate) fn with_disclosures(jwt: &str, disclosures: &[String]) -> String {
    let mut text = format!("{jwt}~");
    for disclosure in disclosures {
        text.push_str(disclosure);
        text.push('~');
    }
    text
}
