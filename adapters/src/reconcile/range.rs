//! Some records, one after the other in the order of their identifiers, as they stand here and at the hub.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{Context, SHA256};
use weft_proto::v1::Head;
use weft_record::status::Status;

use super::{Difference, RANGE, sides::Side};
use crate::spool::{self, Digest, Known, Spool};

pub(super) struct Range {
    pub(super) here: BTreeMap<String, Known>,
    pub(super) hub: BTreeMap<String, Head>,
}

impl Range {
    /// The records after one identifier up to another: what was found of the hub and of the sources that were read
    /// anew, and what this state knows. `whole`: what no row speaks for is in no source.
    pub(super) async fn of(
        spool: &Spool,
        record_type: &str,
        (after, last): (&str, Option<&str>),
        sides: Vec<Side>,
        whole: bool,
    ) -> Result<Self, spool::Error> {
        let mut known = known(spool, record_type, after, last).await?;
        let mut range = Self { here: BTreeMap::new(), hub: BTreeMap::new() };
        for side in sides {
            range.add(known.remove(&side.record_id), side, whole);
        }
        // What the hub does not have and no row speaks for was published once.
        range.here.extend(known.into_iter().filter(|(_, one)| !one.moving && one.version > 0));
        Ok(range)
    }

    fn add(&mut self, known: Option<Known>, side: Side, whole: bool) {
        let known = known.unwrap_or_else(|| Known {
            record_id: side.record_id.clone(),
            version: 0,
            substance: None,
            moving: false,
        });
        let at_hub = side.head.version > 0;
        let head = substance(&side.head);
        let here = match side.row {
            // A row that cannot be read says nothing of its record; it stands among the problems.
            Some((_, None)) => return,
            _ if known.moving => return,
            Some((_, says)) if says == head && at_hub => {
                Some(Known { version: known.version.max(side.head.version), substance: head, ..known })
            }
            Some((_, says)) => Some(Known { substance: says, ..known }),
            // A record that has ended need not stand in the source any more.
            None if whole && at_hub && has_ended(&side.head) => return,
            None if whole && at_hub => None,
            None => Some(known).filter(|known| known.version > 0),
        };
        if at_hub {
            self.hub.insert(side.record_id.clone(), side.head);
        }
        if let Some(here) = here {
            self.here.insert(side.record_id, here);
        }
    }

    /// By count, then by digest.
    pub(super) fn equal(&self) -> bool {
        let here = self.here.values().map(|one| (one.record_id.as_str(), one.version, one.substance));
        let hub = self.hub.values().map(|head| (head.record_id.as_str(), head.version, substance(head)));
        self.here.len() == self.hub.len() && digest(here) == digest(hub)
    }

    /// Each record that differs, how, and its version here.
    pub(super) fn differences(&self) -> Vec<(String, Difference, u64)> {
        let mut found = Vec::new();
        for one in self.here.values() {
            let head = self.hub.get(&one.record_id);
            let same = |head: &Head| one.substance.is_none() || one.substance == substance(head);
            let difference = match head {
                Some(head) if head.version == one.version && same(head) => continue,
                Some(head) if head.version >= one.version => Difference::Different,
                _ => Difference::Missing,
            };
            found.push((one.record_id.clone(), difference, one.version));
        }
        let extra = self.hub.keys().filter(|id| !self.here.contains_key(*id));
        found.extend(extra.map(|id| (id.clone(), Difference::Extra, 0)));
        found
    }
}

async fn known(
    spool: &Spool,
    record_type: &str,
    after: &str,
    last: Option<&str>,
) -> Result<HashMap<String, Known>, spool::Error> {
    let (mut all, mut at) = (HashMap::new(), after.to_owned());
    loop {
        let some = spool.heads_after(record_type, &at, RANGE.cast_unsigned()).await?;
        let full = some.len() >= RANGE.cast_unsigned() as usize;
        for one in some {
            if last.is_some_and(|last| one.record_id.as_str() > last) {
                return Ok(all);
            }
            at.clone_from(&one.record_id);
            all.insert(one.record_id.clone(), one);
        }
        if !full {
            return Ok(all);
        }
    }
}

fn has_ended(head: &Head) -> bool {
    let ended = [Status::Rescinded, Status::Revoked, Status::Cancelled, Status::Transferred];
    head.status.parse().is_ok_and(|status: Status| ended.contains(&status))
}

fn substance(head: &Head) -> Option<Digest> {
    head.substance_digest.as_slice().try_into().ok()
}

fn digest<'a>(entries: impl Iterator<Item = (&'a str, u64, Option<Digest>)>) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for (record_id, version, substance) in entries {
        context.update(&(record_id.len() as u64).to_be_bytes());
        context.update(record_id.as_bytes());
        context.update(&version.to_be_bytes());
        context.update(&substance.unwrap_or_default());
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, version: u64, byte: u8) -> Known {
        Known { record_id: id.to_owned(), version, substance: Some([byte; 32]), moving: false }
    }

    fn head(id: &str, version: u64, byte: u8) -> Head {
        let substance_digest = vec![byte; 32];
        Head { record_id: id.to_owned(), version, status: "valid".into(), substance_digest, iat: 0 }
    }

    fn range(here: &[(&str, u64, u8)], hub: &[(&str, u64, u8)]) -> Range {
        Range {
            here: here.iter().map(|&(id, version, byte)| (id.to_owned(), known(id, version, byte))).collect(),
            hub: hub.iter().map(|&(id, version, byte)| (id.to_owned(), head(id, version, byte))).collect(),
        }
    }

    #[test]
    fn what_differs_is_told_by_what_is_wrong_with_it() {
        let same = [("a", 1, 1), ("b", 2, 2)];
        assert!(range(&same, &same).equal());
        assert_eq!(range(&same, &same).differences(), []);
        let here = [("a", 1, 1), ("b", 2, 2), ("c", 3, 3), ("d", 1, 4)];
        let hub = [("b", 2, 9), ("c", 2, 3), ("d", 2, 4), ("e", 1, 5)];
        let range = range(&here, &hub);
        assert!(!range.equal(), "four and four, and not the same");
        let expected = [
            ("a", Difference::Missing, 1),
            ("b", Difference::Different, 2),
            ("c", Difference::Missing, 3),
            ("d", Difference::Different, 1),
            ("e", Difference::Extra, 0),
        ];
        assert_eq!(range.differences(), expected.map(|(id, difference, here)| (id.to_owned(), difference, here)));
    }

    /// What is said of record `a`: version and content here, at the hub, and of the row.
    fn said(here: Option<Known>, hub: Head, row: Option<Option<u8>>, whole: bool) -> Vec<Difference> {
        let row = row.map(|says| ((0, 0, 1), says.map(|byte| [byte; 32])));
        let side = Side { record_id: "a".into(), head: hub, row, here_version: 0, differs: None };
        let mut range = Range { here: BTreeMap::new(), hub: BTreeMap::new() };
        range.add(here, side, whole);
        assert_eq!(range.equal(), range.differences().is_empty());
        range.differences().into_iter().map(|(_, difference, _)| difference).collect()
    }

    #[test]
    fn a_row_that_was_read_anew_outweighs_what_is_believed_here() {
        use Difference::{Different, Extra, Missing};
        let v1 = || Some(known("a", 1, 1));
        let none = || head("a", 0, 0);
        let ended = || Head { status: "revoked".into(), ..head("a", 1, 1) };
        let moving = || Some(Known { moving: true, ..known("a", 1, 1) });
        for (here, hub, row, whole, expected) in [
            (v1(), head("a", 1, 1), Some(Some(1)), true, vec![]),
            (v1(), head("a", 1, 1), Some(Some(2)), true, vec![Different]),
            (v1(), head("a", 1, 9), Some(Some(1)), true, vec![Different]),
            (None, head("a", 3, 1), Some(Some(1)), true, vec![]),
            (None, none(), Some(Some(1)), true, vec![Missing]),
            (v1(), none(), None, true, vec![Missing]),
            (Some(known("a", 3, 1)), head("a", 1, 1), Some(Some(1)), true, vec![Missing]),
            (v1(), head("a", 1, 1), None, true, vec![Extra]),
            (v1(), head("a", 1, 1), None, false, vec![]),
            (v1(), ended(), None, true, vec![]),
            (v1(), head("a", 1, 1), Some(None), true, vec![]),
            (moving(), head("a", 1, 1), Some(Some(2)), true, vec![]),
        ] {
            let told = format!("{here:?} {hub:?} {row:?} {whole}");
            assert_eq!(said(here, hub, row, whole), expected, "{told}");
        }
    }
}
