//! Whether the hub has what this adapter published: by count and digest over ranges of record identifiers, then by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;
use weft_proto::v1::{Head, HeadsRequest, publishing_client::PublishingClient};

use crate::{
    heads, link,
    spool::{self, Digest, Known, Spool},
};

/// Records of a range.
const RANGE: i32 = 1_000;
/// Records that are named.
const NAMED: usize = 1_000;
/// What differs is looked at again after so long: an outcome may have been on its way.
const SETTLES: Duration = Duration::from_millis(1_500);
const FACT: &str = "reconciled";

/// Why source and hub could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub cannot be asked now.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The hub does not have it, or not its last version.
    Missing,
    /// The hub has it, and nothing is known of it here.
    Extra,
    /// The hub has another content, or a higher version.
    Different,
}

/// One record that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The record.
    pub record_id: String,
    /// What is wrong.
    pub difference: Difference,
    /// Its highest version here; 0 for none.
    pub here: u64,
    /// And at the hub.
    pub hub: u64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Records compared, here.
    pub here: u64,
    /// And at the hub.
    pub hub: u64,
    /// Of those that differ.
    pub missing: u64,
    /// Of those that differ.
    pub extra: u64,
    /// Of those that differ.
    pub different: u64,
    /// Sent again, or taken over from the hub.
    pub repaired: u64,
    /// The first thousand that differ.
    pub named: Vec<Named>,
}

impl Reconciled {
    /// The last one.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub async fn last(spool: &Spool) -> Result<Option<Self>, spool::Error> {
        let text = spool.fact(FACT).await?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// Whether something still differs.
    pub fn differs(&self) -> bool {
        self.missing + self.extra + self.different > self.repaired
    }

    /// In Chinese and English.
    pub fn sentence(&self) -> (String, String) {
        let Self { here, hub, missing, extra, different, repaired, .. } = self;
        (
            format!("本地 {here} 条，枢纽 {hub} 条；缺 {missing}、多 {extra}、不同 {different}，已补救 {repaired}"),
            format!(
                "{here} records here, {hub} at the hub; {missing} missing, {extra} extra, {different} different, {repaired} repaired"
            ),
        )
    }
}

/// A range: what both have between two identifiers.
struct Range {
    here: BTreeMap<String, Known>,
    hub: BTreeMap<String, Head>,
}

/// Compares every record of the types; with `repair`, sends again what the spool still has, and tells the types whose source must be
/// read again for the rest.
///
/// # Errors
/// The hub cannot be asked, or the spool failed.
pub(crate) async fn run(
    channel: Channel,
    spool: &Spool,
    record_types: &[&str],
    repair: bool,
    now_ms: i64,
) -> Result<(Reconciled, BTreeSet<String>), Error> {
    let mut client = PublishingClient::new(channel).max_decoding_message_size(4 * 1024 * 1024);
    let mut found = Reconciled { at_ms: now_ms, ..Reconciled::default() };
    let mut to_read = BTreeSet::new();
    for record_type in record_types {
        // The same page asked twice must end where it ended: tokens are kept, not positions.
        let (mut page_token, mut after) = (String::new(), String::new());
        loop {
            let request = HeadsRequest {
                record_type: (*record_type).to_owned(),
                page_size: RANGE,
                page_token: page_token.clone(),
            };
            let mut page = client.heads(request.clone()).await.map_err(link::Error::from)?.into_inner();
            let mut range = Range::read(spool, record_type, &after, &page).await?;
            if !range.equal() {
                tokio::time::sleep(SETTLES).await;
                page = client.heads(request).await.map_err(link::Error::from)?.into_inner();
                range = Range::read(spool, record_type, &after, &page).await?;
            }
            range.judge(&mut found);
            if repair && !range.equal() && range.repair(spool, record_type, now_ms, &mut found).await? {
                to_read.insert((*record_type).to_owned());
            }
            if page.next_page_token.is_empty() {
                break;
            }
            after = page.heads.last().map(|head| head.record_id.clone()).unwrap_or_default();
            page_token = page.next_page_token;
        }
    }
    spool.set_fact(FACT, &serde_json::to_string(&found).map_err(spool::Error::from)?).await?;
    Ok((found, to_read))
}

impl Range {
    async fn read(
        spool: &Spool,
        record_type: &str,
        after: &str,
        page: &weft_proto::v1::HeadsResponse,
    ) -> Result<Self, spool::Error> {
        let last = page.heads.last().filter(|_| !page.next_page_token.is_empty()).map(|head| head.record_id.clone());
        let mut hub: BTreeMap<String, Head> =
            page.heads.iter().map(|head| (head.record_id.clone(), head.clone())).collect();
        let (mut here, mut at) = (BTreeMap::new(), after.to_owned());
        'pages: loop {
            let known = spool.heads_after(record_type, &at, RANGE.cast_unsigned()).await?;
            let full = known.len() >= RANGE.cast_unsigned() as usize;
            for one in known {
                if last.as_ref().is_some_and(|last| one.record_id > *last) {
                    break 'pages;
                }
                at.clone_from(&one.record_id);
                if one.moving {
                    hub.remove(&one.record_id);
                } else if one.version > 0 {
                    here.insert(one.record_id.clone(), one);
                }
            }
            if !full {
                break;
            }
        }
        Ok(Self { here, hub })
    }

    /// By count, then by digest.
    fn equal(&self) -> bool {
        let here = self.here.values().map(|one| (one.record_id.as_str(), one.version, one.substance));
        let hub = self.hub.values().map(|head| (head.record_id.as_str(), head.version, substance(head)));
        self.here.len() == self.hub.len() && digest(here) == digest(hub)
    }

    fn differences(&self) -> Vec<Named> {
        let mut named = Vec::new();
        for one in self.here.values() {
            let head = self.hub.get(&one.record_id);
            let hub = head.map_or(0, |head| head.version);
            let same = |head: &Head| one.substance.is_none() || one.substance == substance(head);
            let difference = match head {
                Some(head) if head.version == one.version && same(head) => continue,
                Some(head) if head.version >= one.version => Difference::Different,
                _ => Difference::Missing,
            };
            named.push(Named { record_id: one.record_id.clone(), difference, here: one.version, hub });
        }
        let extra = self.hub.values().filter(|head| !self.here.contains_key(&head.record_id));
        named.extend(extra.map(|head| Named {
            record_id: head.record_id.clone(),
            difference: Difference::Extra,
            here: 0,
            hub: head.version,
        }));
        named
    }

    fn judge(&self, found: &mut Reconciled) {
        found.here += self.here.len() as u64;
        found.hub += self.hub.len() as u64;
        if self.equal() {
            return;
        }
        for named in self.differences() {
            match named.difference {
                Difference::Missing => found.missing += 1,
                Difference::Extra => found.extra += 1,
                Difference::Different => found.different += 1,
            }
            if found.named.len() < NAMED {
                found.named.push(named);
            }
        }
    }

    /// Sends again what the hub lost and the spool still has. For everything else the hub's word is taken: what the source says
    /// then becomes the next version, if it says something else. Whether the source must be read again for that.
    async fn repair(
        &self,
        spool: &Spool,
        record_type: &str,
        now_ms: i64,
        found: &mut Reconciled,
    ) -> Result<bool, spool::Error> {
        let mut must_read = false;
        let mut writes = spool.begin().await?;
        for named in self.differences() {
            let lost = named.here.saturating_sub(named.hub);
            if lost > 0 && spool.resend_above(&mut writes, &named.record_id, named.hub, now_ms).await? >= lost {
                found.repaired += 1;
                continue;
            }
            let head = self.hub.get(&named.record_id).map(heads::standing).unwrap_or_default();
            spool.believe(&mut writes, &named.record_id, record_type, head).await?;
            must_read = true;
            found.repaired += 1;
        }
        spool.commit(writes).await?;
        Ok(must_read)
    }
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

    fn range(here: &[(&str, u64, u8)], hub: &[(&str, u64, u8)]) -> Range {
        let known = |(id, version, byte): &(&str, u64, u8)| {
            let one =
                Known { record_id: (*id).to_owned(), version: *version, substance: Some([*byte; 32]), moving: false };
            ((*id).to_owned(), one)
        };
        let head = |(id, version, byte): &(&str, u64, u8)| {
            let head = Head {
                record_id: (*id).to_owned(),
                version: *version,
                substance_digest: vec![*byte; 32],
                ..Head::default()
            };
            ((*id).to_owned(), head)
        };
        Range { here: here.iter().map(known).collect(), hub: hub.iter().map(head).collect() }
    }

    #[test]
    fn what_differs_is_named_by_what_is_wrong_with_it() {
        let same = [("a", 1, 1), ("b", 2, 2)];
        assert!(range(&same, &same).equal());
        assert_eq!(range(&same, &same).differences(), []);
        let here = [("a", 1, 1), ("b", 2, 2), ("c", 3, 3), ("d", 1, 4)];
        let hub = [("b", 2, 9), ("c", 2, 3), ("d", 2, 4), ("e", 1, 5)];
        let range = range(&here, &hub);
        assert!(!range.equal(), "four and four, and not the same");
        let named: Vec<_> =
            range.differences().into_iter().map(|one| (one.record_id, one.difference, one.here, one.hub)).collect();
        let expected = [
            ("a", Difference::Missing, 1, 0),
            ("b", Difference::Different, 2, 2),
            ("c", Difference::Missing, 3, 2),
            ("d", Difference::Different, 1, 2),
            ("e", Difference::Extra, 0, 1),
        ];
        assert_eq!(named, expected.map(|(id, difference, here, hub)| (id.to_owned(), difference, here, hub)));
        let mut found = Reconciled::default();
        range.judge(&mut found);
        assert_eq!((found.missing, found.different, found.extra, found.here, found.hub), (2, 2, 1, 4, 4));
        assert!(found.differs());
    }
}
