//! Which rows of a unit speak of one record, and in which order they hold.
//!
//! A unit is read twice: first for the keys alone (16 bytes a row are held), then, where some record stands more than
//! once, for the places of just those. What that found is kept beside the rows that were taken, so that a restart goes on
//! where they end. With that plan the rows are taken as they come, and a row that stands before
//! an older one of its record waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::{
    problem::{Reason, Refused},
    source::Row,
};

/// The most rows that may wait for an older one.
const MAX_WAITING: usize = 20_000;

/// A record within one unit: a digest of its natural key, written encrypted alone.
pub type Key = [u8; 16];

/// The key of a record.
pub fn key(natural_key: &[String]) -> Key {
    hash(natural_key)
}

fn hash(parts: &[String]) -> Key {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&context.finish().as_ref()[..16]);
    key
}

/// The keys of a unit's rows, counted.
#[derive(Debug)]
pub struct Count {
    keys: Vec<Key>,
    limit: usize,
}

impl Count {
    /// Takes up to `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self { keys: Vec::new(), limit }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// There are more rows than the limit.
    pub fn add(&mut self, key: Key, line: u64) -> Result<(), Refused> {
        if self.keys.len() == self.limit {
            return Err(Refused::new(Reason::TooManyRows, Some(line), format!("max_rows = {}", self.limit)));
        }
        self.keys.push(key);
        Ok(())
    }

    /// The records that stand more than once.
    pub fn repeated(mut self) -> HashSet<Key> {
        self.keys.sort_unstable();
        self.keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
    }
}

/// What is to be done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the `rank`-th version of its record in this unit, from 0.
    Version(usize),
    /// The same row stands again further down.
    Duplicate,
    /// Another row of the record stands further down, and nothing says which is newer.
    Superseded,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Place {
    order: i64,
    line: u64,
    row: Key,
}

/// The order of the rows of records that stand more than once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Key, Vec<Place>)>", into = "Vec<(Key, Vec<Place>)>")]
pub struct Plan {
    places: HashMap<Key, Vec<Place>>,
}

impl From<Vec<(Key, Vec<Place>)>> for Plan {
    fn from(places: Vec<(Key, Vec<Place>)>) -> Self {
        Self { places: places.into_iter().collect() }
    }
}

impl From<Plan> for Vec<(Key, Vec<Place>)> {
    fn from(plan: Plan) -> Self {
        plan.places.into_iter().collect()
    }
}

impl Plan {
    /// How many rows stand in it.
    pub fn rows(&self) -> usize {
        self.places.values().map(Vec::len).sum()
    }

    /// Adds a row of a repeated record. Without a column that orders, `order` is nothing for all rows.
    pub fn add(&mut self, key: Key, order: Option<i64>, row: &Row) {
        let place = Place { order: order.unwrap_or(0), line: row.line, row: hash(&row.cells) };
        self.places.entry(key).or_default().push(place);
    }

    /// Puts the rows of each record in order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        for places in self.places.values_mut() {
            places.sort_by_key(|place| (place.order, place.line));
        }
        self
    }

    /// What is to be done with the row at `line`.
    pub fn turn(&self, key: Key, line: u64) -> Turn {
        let Some(places) = self.places.get(&key) else { return Turn::Version(0) };
        let mut rank = 0;
        for (index, place) in places.iter().enumerate() {
            let last_of_order = places[index..].iter().take_while(|later| later.order == place.order).last();
            let last = last_of_order.unwrap_or(place);
            if place.line == line {
                return match (last.line == line, last.row == place.row) {
                    (true, _) => Turn::Version(rank),
                    (false, true) => Turn::Duplicate,
                    (false, false) => Turn::Superseded,
                };
            }
            rank += usize::from(last.line == place.line);
        }
        Turn::Version(0)
    }
}

/// Lets the versions of each record through in order.
#[derive(Debug)]
pub struct Sequence<T> {
    next: HashMap<Key, usize>,
    waiting: HashMap<Key, BTreeMap<usize, Option<T>>>,
    held: usize,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { next: HashMap::new(), waiting: HashMap::new(), held: 0 }
    }
}

impl<T> Sequence<T> {
    /// As it stood when the rows of a unit up to `line` had been offered and none waited.
    pub fn after(plan: &Plan, line: u64) -> Self {
        let is_version = |key, place: &Place| matches!(plan.turn(key, place.line), Turn::Version(_));
        let passed = |(&key, places): (&Key, &Vec<Place>)| {
            (key, places.iter().filter(|place| place.line <= line && is_version(key, place)).count())
        };
        Self { next: plan.places.iter().map(passed).collect(), waiting: HashMap::new(), held: 0 }
    }

    /// Whether no row waits for an older one.
    pub fn is_clear(&self) -> bool {
        self.held == 0
    }

    /// Offers a version of a record (nothing where the row could not be mapped): those whose turn it is come back.
    ///
    /// # Errors
    /// Too many rows wait.
    pub fn offer(&mut self, plan: &Plan, key: Key, rank: usize, item: Option<T>) -> Result<Vec<(usize, T)>, Refused> {
        if !plan.places.contains_key(&key) {
            return Ok(item.map(|item| (rank, item)).into_iter().collect());
        }
        let next = self.next.entry(key).or_default();
        let waiting = self.waiting.entry(key).or_default();
        waiting.insert(rank, item);
        self.held += 1;
        let mut ready = Vec::new();
        while let Some(item) = waiting.remove(next) {
            ready.extend(item.map(|item| (*next, item)));
            *next += 1;
            self.held -= 1;
        }
        if self.held > MAX_WAITING {
            return Err(Refused::new(Reason::OutOfOrder, None, format!("more than {MAX_WAITING} rows wait")));
        }
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: &[(&str, Option<i64>, &str)]) -> Plan {
        let mut plan = Plan::default();
        for (index, (name, order, text)) in rows.iter().enumerate() {
            let row = Row { line: index as u64 + 1, cells: vec![(*text).to_owned()] };
            plan.add(key(&[(*name).to_owned()]), *order, &row);
        }
        plan.sorted()
    }

    fn a() -> Key {
        key(&["a".to_owned()])
    }

    #[test]
    fn repeated_keys_are_found_and_the_limit_holds() {
        let mut count = Count::new(3);
        for (line, name) in ["a", "b", "a"].iter().enumerate() {
            count.add(key(&[(*name).to_owned()]), line as u64).unwrap();
        }
        assert_eq!(count.add(a(), 4).unwrap_err().reason, Reason::TooManyRows);
        assert_eq!(count.repeated(), HashSet::from([a()]));
        assert_ne!(key(&["ab".into(), "c".into()]), key(&["a".into(), "bc".into()]));
    }

    #[test]
    fn without_an_order_the_later_line_wins_and_the_earlier_is_told() {
        let plan = plan(&[("a", None, "old"), ("a", None, "same"), ("a", None, "same")]);
        assert_eq!(plan.turn(a(), 1), Turn::Superseded);
        assert_eq!(plan.turn(a(), 2), Turn::Duplicate);
        assert_eq!(plan.turn(a(), 3), Turn::Version(0));
        assert_eq!(plan.turn(key(&["b".into()]), 9), Turn::Version(0));
    }

    #[test]
    fn versions_go_in_the_order_of_their_column_wherever_they_stand() {
        let plan = plan(&[("a", Some(30), "c"), ("a", Some(10), "a"), ("a", Some(20), "x"), ("a", Some(20), "b")]);
        assert_eq!(plan.turn(a(), 1), Turn::Version(2));
        assert_eq!(plan.turn(a(), 2), Turn::Version(0));
        assert_eq!(plan.turn(a(), 3), Turn::Superseded);
        assert_eq!(plan.turn(a(), 4), Turn::Version(1));
        let mut sequence = Sequence::default();
        assert!(sequence.offer(&plan, a(), 2, Some("c")).unwrap().is_empty());
        assert_eq!(sequence.offer(&plan, a(), 0, Some("a")).unwrap(), [(0, "a")]);
        assert_eq!(sequence.offer(&plan, key(&["z".into()]), 0, Some("z")).unwrap(), [(0, "z")]);
        assert_eq!(sequence.offer(&plan, a(), 1, None).unwrap(), [(2, "c")], "a row that failed holds up nothing");
        assert!(sequence.is_clear());
    }

    #[test]
    fn a_sequence_goes_on_behind_a_line() {
        let plan = plan(&[("a", Some(10), "a"), ("a", Some(20), "x"), ("a", Some(20), "b"), ("a", Some(30), "c")]);
        let kept: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
        assert_eq!((kept.rows(), kept.turn(a(), 3)), (4, Turn::Version(1)));
        let mut sequence = Sequence::after(&kept, 2);
        assert_eq!(sequence.offer(&kept, a(), 1, Some("b")).unwrap(), [(1, "b")]);
        assert_eq!(sequence.offer(&kept, a(), 2, Some("c")).unwrap(), [(2, "c")]);
    }
}
