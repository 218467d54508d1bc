//! RFC 9901 section 7.1, steps 2.4 and 3 to 5, over a payload and its disclosures.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Disclosure, Error, Fault, Limits};
use crate::json::{Step, pointer};

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
    let mut walk = Walk { disclosures, by_digest, seen: HashSet::new(), path: Vec::new(), limits };
    let mut processed = walk.object(payload, 0)?;
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
    seen: HashSet<&'w str>,
    /// Where the walk is. Left as it is when a fault ends it.
    path: Vec<Step<'w>>,
    limits: Limits,
}

impl<'w, 't> Walk<'w, 't> {
    fn value(&mut self, value: &'w Value, depth: usize) -> Result<Value, Error> {
        match value {
            Value::Object(members) => self.object(members, depth).map(Value::Object),
            Value::Array(elements) => self.array(elements, depth).map(Value::Array),
            plain => Ok(plain.clone()),
        }
    }

    fn value_at(&mut self, step: Step<'w>, value: &'w Value, depth: usize) -> Result<Value, Error> {
        self.path.push(step);
        let value = self.value(value, depth)?;
        self.path.pop();
        Ok(value)
    }

    /// The object without `_sd`, with a member for every digest in it that has a disclosure.
    fn object(&mut self, members: &'w Map<String, Value>, depth: usize) -> Result<Map<String, Value>, Error> {
        let depth = self.deeper(depth)?;
        let mut out = Map::new();
        for (name, value) in members {
            match name.as_str() {
                "_sd" => {}
                "..." => return Err(self.fault(Fault::StrayEllipsis)),
                _ => {
                    let value = self.value_at(Step::Name(name.into()), value, depth)?;
                    out.insert(name.clone(), value);
                }
            }
        }
        for digest in self.digests_of(members)? {
            let Some(disclosure) = self.take(digest)? else { continue };
            let (name, value) = disclosure.as_claim().ok_or_else(|| self.fault(Fault::NotAClaim))?;
            if name == "_sd" || name == "..." {
                return Err(self.fault(Fault::ReservedName));
            }
            if out.contains_key(name) {
                self.path.push(Step::Name(name.into()));
                return Err(self.fault(Fault::NameTaken));
            }
            let value = self.value_at(Step::Name(name.into()), value, depth)?;
            out.insert(name.to_owned(), value);
        }
        Ok(out)
    }

    /// The array with disclosed elements in place of their digests, and without those that were not disclosed.
    fn array(&mut self, elements: &'w [Value], depth: usize) -> Result<Vec<Value>, Error> {
        let depth = self.deeper(depth)?;
        let mut out = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            self.path.push(Step::Index(index));
            match element.as_object().and_then(|members| members.get("...").map(|digest| (members.len(), digest))) {
                None => out.push(self.value(element, depth)?),
                Some((1, Value::String(digest))) => {
                    if let Some(disclosure) = self.take(digest)? {
                        let value = disclosure.as_element().ok_or_else(|| self.fault(Fault::NotAnElement))?;
                        out.push(self.value(value, depth)?);
                    }
                }
                Some(_) => return Err(self.fault(Fault::StrayEllipsis)),
            }
            self.path.pop();
        }
        Ok(out)
    }

    /// Counts an embedded digest and gives its disclosure, if it has one. Each digest stands once in all (step 4).
    fn take(&mut self, digest: &'w str) -> Result<Option<&'w Disclosure<'t>>, Error> {
        if self.seen.len() == self.limits.max_digests {
            return Err(self.fault(Fault::TooManyDigests));
        }
        if !self.seen.insert(digest) {
            return Err(self.fault(Fault::RepeatedDigest));
        }
        Ok(self.by_digest.remove(digest).map(|index| &self.disclosures[index]))
    }

    fn deeper(&self, depth: usize) -> Result<usize, Error> {
        if depth >= self.limits.max_depth {
            return Err(self.fault(Fault::TooDeep));
        }
        Ok(depth + 1)
    }

    /// The digests of an object's `_sd`, which must be an array of strings (section 4.2.4.1).
    fn digests_of(&self, members: &'w Map<String, Value>) -> Result<Vec<&'w str>, Error> {
        let Some(list) = members.get("_sd") else { return Ok(Vec::new()) };
        list.as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect())
            .ok_or_else(|| self.fault(Fault::BadDigestList))
    }

    fn fault(&self, fault: Fault) -> Error {
        Error::at(fault, &pointer(&self.path))
    }
}
