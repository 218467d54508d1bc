//! RFC 9901 section 7.1, steps 2.4 and 3 to 5, over a payload and its disclosures.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Disclosure, Error, Fault, Limits};
use crate::problem::pointer_to;

/// The only hash algorithm; also the one that a missing `_sd_alg` means (section 4.1.1).
pub(super) const SHA_256: &str = "sha-256";

pub(super) fn process(
    payload: &Map<String, Value>,
    disclosures: &[Disclosure<'_>],
    limits: Limits,
) -> Result<Map<String, Value>, Error> {
    if payload.get("_sd_alg").is_some_and(|name| name != SHA_256) {
        return Err(Error::at(Fault::UnknownHashAlgorithm, "/_sd_alg"));
    }
    let mut by_digest = HashMap::with_capacity(disclosures.len());
    for (index, disclosure) in disclosures.iter().enumerate() {
        if by_digest.insert(disclosure.digest.as_str(), index).is_some() {
            return Err(Error::from(Fault::RepeatedDisclosure).about(&format!("disclosure {}", index + 1)));
        }
    }
    let mut walk = Walk { disclosures, by_digest, seen: HashSet::new(), limits };
    let mut processed = walk.object(payload, 0, "")?;
    // Every disclosure left in the table was named by no digest (step 5).
    if let Some(index) = walk.by_digest.values().min() {
        return Err(Error::from(Fault::UnreferencedDisclosure).about(&format!("disclosure {}", index + 1)));
    }
    processed.shift_remove("_sd_alg");
    Ok(processed)
}

struct Walk<'w, 't> {
    disclosures: &'w [Disclosure<'t>],
    /// Disclosures that no digest has named yet.
    by_digest: HashMap<&'w str, usize>,
    /// Every embedded digest met so far, decoys included.
    seen: HashSet<String>,
    limits: Limits,
}

impl<'w, 't> Walk<'w, 't> {
    fn value(&mut self, value: &Value, depth: usize, at: &str) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, depth, at).map(Value::Object),
            Value::Array(elements) => self.array(elements, depth, at).map(Value::Array),
            plain => Ok(plain.clone()),
        }
    }

    /// The object without `_sd`, with a member for every digest in it that has a disclosure.
    fn object(&mut self, members: &Map<String, Value>, depth: usize, at: &str) -> Result<Map<String, Value>, Error> {
        let depth = self.deeper(depth, at)?;
        let mut out = Map::new();
        for (name, value) in members {
            match name.as_str() {
                "_sd" => {}
                "..." => return Err(Error::at(Fault::StrayEllipsis, at)),
                _ => {
                    let value = self.value(value, depth, &pointer_to(at, name))?;
                    out.insert(name.clone(), value);
                }
            }
        }
        for digest in digests_of(members, at)? {
            let Some(disclosure) = self.take(digest, at)? else { continue };
            let (name, value) = disclosure.as_claim().ok_or_else(|| Error::at(Fault::NotAClaim, at))?;
            if name == "_sd" || name == "..." {
                return Err(Error::at(Fault::ReservedName, at));
            }
            let here = pointer_to(at, name);
            if out.contains_key(name) {
                return Err(Error::at(Fault::NameTaken, &here));
            }
            let value = self.value(value, depth, &here)?;
            out.insert(name.to_owned(), value);
        }
        Ok(out)
    }

    /// The array with disclosed elements in place of their digests, and without those that were not disclosed.
    fn array(&mut self, elements: &[Value], depth: usize, at: &str) -> Result<Vec<Value>, Error> {
        let depth = self.deeper(depth, at)?;
        let mut out = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let here = pointer_to(at, &index.to_string());
            match element.as_object().and_then(|members| members.get("...").map(|digest| (members.len(), digest))) {
                None => out.push(self.value(element, depth, &here)?),
                Some((1, Value::String(digest))) => {
                    let Some(disclosure) = self.take(digest, &here)? else { continue };
                    let value = disclosure.as_element().ok_or_else(|| Error::at(Fault::NotAnElement, &here))?;
                    out.push(self.value(value, depth, &here)?);
                }
                Some(_) => return Err(Error::at(Fault::StrayEllipsis, &here)),
            }
        }
        Ok(out)
    }

    /// Counts an embedded digest and gives its disclosure, if it has one. Each digest stands once in all (step 4).
    fn take(&mut self, digest: &str, at: &str) -> Result<Option<&'w Disclosure<'t>>, Error> {
        if self.seen.len() == self.limits.max_digests {
            return Err(Error::at(Fault::TooManyDigests, at));
        }
        if !self.seen.insert(digest.to_owned()) {
            return Err(Error::at(Fault::RepeatedDigest, at));
        }
        Ok(self.by_digest.remove(digest).map(|index| &self.disclosures[index]))
    }

    fn deeper(&self, depth: usize, at: &str) -> Result<usize, Error> {
        if depth >= self.limits.max_depth {
            return Err(Error::at(Fault::TooDeep, at));
        }
        Ok(depth + 1)
    }
}

/// The digests of an object's `_sd`, which must be an array of strings (section 4.2.4.1).
fn digests_of<'m>(members: &'m Map<String, Value>, at: &str) -> Result<Vec<&'m str>, Error> {
    let Some(list) = members.get("_sd") else { return Ok(Vec::new()) };
    list.as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect())
        .ok_or_else(|| Error::at(Fault::BadDigestList, at))
}
