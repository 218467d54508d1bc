//! How far a table was read: what the cursor's file says, and how a sweep moves it.
//!
//! A *sweep* looks at everything from a lower bound up to the newest watermark that stood there when it began, page by
//! page. The next one begins an overlap before that, so that a row which was committed late, or stamped by a clock
//! that is behind, is still seen; what was seen already is known by its digest and left out.

use std::collections::HashSet;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{Context, SHA256},
};
use serde::{Deserialize, Serialize};

use super::{staging::Cells, statement::At};
use crate::clock::Chance;

/// Rows of the overlap that are known one by one; beyond that whole pages are.
const REMEMBERED: usize = 100_000;
/// Pages known by their sum.
const PAGES: usize = 4_096;

/// A digest of a row, or the sum of the digests of many: the same whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Sum(u128);

impl Sum {
    pub(super) fn of(cells: &Cells) -> Self {
        let mut context = Context::new(&SHA256);
        for cell in cells {
            let text = cell.as_deref().unwrap_or_default();
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        let mut first = [0; 16];
        first.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(u128::from_le_bytes(first))
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        format!("{:032x}", sum.0)
    }
}

impl TryFrom<String> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

/// How far a table was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Units finished; part of a unit's digest, so that content which comes back is no old unit.
    pub(super) generation: u64,
    /// What was read, as a digest: the place in one table is none in another.
    #[serde(default)]
    pub(super) of: String,
    /// Where the next sweep begins.
    pub(super) from: Option<String>,
    /// What need not be told again: sums of pages, or of the whole snapshot.
    pub(super) known: Vec<Sum>,
    /// A sweep under way.
    pub(super) sweep: Option<Sweep>,
}

/// A sweep under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sweep {
    /// It ends here; none where no row has a watermark.
    pub(super) until: Option<String>,
    /// The next one begins here.
    pub(super) next: Option<String>,
    /// The sum of the rows that the next one will see again.
    pub(super) window: Sum,
    /// The sums of the pages so far.
    pub(super) pages: Vec<Sum>,
    /// Where the last page ended; encrypted in the file, as a key may be a person's number.
    #[serde(skip)]
    pub(super) at: Option<At>,
    /// The rows at that place; a few that come again after a restart do no harm.
    #[serde(skip)]
    pub(super) seam: Vec<Sum>,
    /// The place for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed_at: Option<String>,
}

impl Place {
    /// The sweep is over. What it saw of the next one's part is known then.
    pub(super) fn complete(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        self.known = vec![sweep.window];
        if sweep.next == self.from {
            self.known.extend(sweep.pages);
        }
        self.from = sweep.next;
    }

    /// The form for the file. Without a key a sweep begins anew after a restart.
    pub(super) fn sealed(&self, lock: Option<&Lock>, chance: &dyn Chance) -> Self {
        let mut sealed = self.clone();
        if let Some(sweep) = &mut sealed.sweep {
            sweep.sealed_at = sweep.at.as_ref().and_then(|at| lock?.lock(at, chance));
            if sweep.at.is_some() && sweep.sealed_at.is_none() {
                sealed.sweep = None;
            }
        }
        sealed
    }

    /// The beginning, after what was finished.
    pub(super) fn anew(self) -> Self {
        Self { generation: self.generation, of: self.of, ..Self::default() }
    }

    /// The place as far as it is one in `of`: in another table, or with other columns, reading begins anew.
    pub(super) fn within(self, of: &str) -> Self {
        if self.of == of { self } else { Self { of: of.to_owned(), ..self.anew() } }
    }

    /// From the file. What cannot be opened (another key) lets the sweep begin anew, which only reads more.
    pub(super) fn opened(mut self, lock: Option<&Lock>) -> Self {
        if let Some(sweep) = &mut self.sweep {
            let sealed = sweep.sealed_at.take();
            sweep.at = sealed.as_ref().and_then(|text| lock?.unlock(text));
            if sealed.is_some() && sweep.at.is_none() {
                self.sweep = None;
            }
        }
        self
    }
}

/// The rows that were seen in the part that the next sweep sees again.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<Sum>);

impl Seen {
    pub(super) fn add(&mut self, row: Sum) {
        if self.0.len() < REMEMBERED {
            self.0.insert(row);
        }
    }

    pub(super) fn has(&self, row: &Sum) -> bool {
        self.0.contains(row)
    }
}

impl Sweep {
    pub(super) fn page(&mut self, sum: Sum) {
        if self.pages.len() < PAGES {
            self.pages.push(sum);
        }
    }
}

/// Encrypts where a page ended, under the spool's key.
pub(super) struct Lock {
    key: LessSafeKey,
    source: String,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock(secret)")
    }
}

impl Lock {
    pub(super) fn new(key: &[u8; 32], source: &str) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some(Self { key, source: format!("cursor\0{source}") })
    }

    fn lock(&self, at: &At, chance: &dyn Chance) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        chance.fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(at).ok()?;
        let place = Aad::from(self.source.as_bytes());
        let sealed = self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut text);
        sealed.ok().map(|()| hex::encode([nonce.as_slice(), &text].concat()))
    }

    fn unlock(&self, text: &str) -> Option<At> {
        let bytes = hex::decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.open_in_place(nonce, Aad::from(self.source.as_bytes()), &mut sealed).ok()?;
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemChance;

    fn sum(text: &str) -> Sum {
        Sum::of(&vec![Some(text.to_owned())])
    }

    #[test]
    fn a_sum_does_not_depend_on_order_and_tells_cells_apart() {
        let (mut one, mut other) = (sum("a"), sum("b"));
        one.add(sum("b"));
        other.add(sum("a"));
        assert_eq!(one, other);
        let cells = |texts: [&str; 2]| Sum::of(&texts.map(|text| Some(text.to_owned())).to_vec());
        assert_ne!(cells(["ab", "c"]), cells(["a", "bc"]));
        assert_eq!(serde_json::from_str::<Sum>(&serde_json::to_string(&one).unwrap()).unwrap(), one);
    }

    #[test]
    fn where_a_page_ended_is_secret_in_the_file() {
        let at = At { mark: "2026-01-01".into(), keys: vec![Some("370321199001010014".into()), None] };
        let sweep = Sweep { until: Some("2026-02-01".into()), at: Some(at), ..Sweep::default() };
        let place = Place { generation: 4, sweep: Some(sweep), ..Place::default() };
        let lock = Lock::new(&[7; 32], "marriages").unwrap();
        let text = serde_json::to_string(&place.sealed(Some(&lock), &SystemChance)).unwrap();
        assert!(!text.contains("3703"), "{text}");
        let read: Place = serde_json::from_str(&text).unwrap();
        assert_eq!(read.clone().opened(Some(&lock)), place);
        let other = Lock::new(&[8; 32], "marriages").unwrap();
        assert_eq!(read.opened(Some(&other)).sweep, None, "it begins anew");
        assert_eq!(place.sealed(None, &SystemChance).sweep, None);
    }

    #[test]
    fn a_place_in_another_table_is_none() {
        let place = Place { generation: 4, of: "a".into(), from: Some("5".into()), ..Place::default() };
        assert_eq!(place.clone().within("a"), place);
        assert_eq!(place.within("b"), Place { generation: 4, of: "b".into(), ..Place::default() });
    }

    #[test]
    fn what_the_next_sweep_sees_again_is_known_when_one_is_over() {
        let sweep = Sweep { next: Some("5".into()), window: sum("w"), pages: vec![sum("p")], ..Sweep::default() };
        let mut place = Place { sweep: Some(sweep.clone()), ..Place::default() };
        place.complete();
        assert_eq!((place.from.as_deref(), &place.known), (Some("5"), &vec![sum("w")]));
        place.sweep = Some(sweep);
        place.complete();
        assert_eq!(place.known, [sum("w"), sum("p")], "the same bound gives the same pages");
    }
}
