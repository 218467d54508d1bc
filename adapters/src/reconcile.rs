//! Whether source and hub have the same: the source is read anew where it can be, and compared with the hub's heads by
//! count and digest over ranges of record identifiers, then by name.
//!
//! - `anew`: a source read anew, apart from its work
//! - `found`: what is told of it
//! - `sides`: what both have, in a file
//! - `range`: some records of both, compared
//! - `repair`: what differs is sent again

mod anew;
mod found;
mod range;
mod repair;
mod sides;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use tonic::transport::Channel;
use weft_proto::v1::{Head, HeadsRequest, publishing_client::PublishingClient};

use crate::{
    clock::Surroundings,
    intake::{self, Intake},
    link,
    problem::Reason,
    source::{self, RowsError},
    spool,
};
pub(crate) use anew::Origin;
use anew::{Reader, Reread};
pub use found::{Basis, Compared, Difference, Named, Reconciled};
use range::Range;
use sides::Sides;

/// Records of a range.
const RANGE: i32 = 1_000;
/// Records that are named.
const NAMED: usize = 1_000;
/// What differs is looked at again after so long: an outcome may have been on its way.
const SETTLES: Duration = Duration::from_millis(1_500);
/// A row that was read anew may be about to be published: it is waited for two looks at the source, and no longer.
const POLLS: Duration = Duration::from_secs(5);

/// Why source and hub could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub cannot be asked now.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// Sealing.
    #[error(transparent)]
    Intake(#[from] intake::Error),
    /// What was read of a source could not be read once more.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The same, refused.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// A page of the hub's heads, as it was asked for, and the identifier that it ends with; none for the last one.
type Page = (HeadsRequest, Option<String>);

/// A comparison.
pub(crate) struct Comparison<'a> {
    pub(crate) channel: Channel,
    pub(crate) intake: &'a Intake,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) state_dir: &'a Path,
    pub(crate) origins: &'a [Origin],
    /// What differs is sent again.
    pub(crate) repair: bool,
}

impl Comparison<'_> {
    /// Compares every record of the sources' types, and keeps what was found.
    ///
    /// # Errors
    /// The hub cannot be asked, or the spool failed.
    pub(crate) async fn run(&self) -> Result<Reconciled, Error> {
        let mut found = Reconciled { at_ms: self.now_ms(), ..Reconciled::default() };
        let types: BTreeSet<&str> = self.origins.iter().map(|origin| origin.mapper.record_type()).collect();
        for record_type in types {
            self.of_type(record_type, &mut found).await?;
        }
        found.keep(&self.intake.spool).await?;
        Ok(found)
    }

    fn now_ms(&self) -> i64 {
        self.surroundings.clock.now().as_millisecond()
    }

    async fn of_type(&self, record_type: &str, found: &mut Reconciled) -> Result<(), Error> {
        let mut sides = Sides::new(self.state_dir).await?;
        let pages = match self.pull(record_type, &mut sides).await {
            Err(Error::Link(error)) if error.is_not_your_type() => {
                found.compared.extend(self.not_ours(record_type));
                return Ok(());
            }
            pages => pages?,
        };
        let (reader, mut rereads) = (self.reader(), Vec::new());
        let (mut whole, mut wait) = (true, SETTLES);
        for (at, origin) in self.origins.iter().enumerate() {
            if origin.mapper.record_type() != record_type {
                continue;
            }
            let (compared, reread) = reader.read((at, origin), &mut sides).await?;
            whole &= compared.basis == Basis::Source;
            if reread.is_some() {
                wait = wait.max((origin.config.poll() * 2).min(POLLS));
            }
            if compared.basis == Basis::Source && compared.nameless == 0 {
                // Every row of it has a key now.
                self.intake.spool.close_nameless(&compared.source, None, self.now_ms()).await?;
            }
            found.compared.push(compared);
            rereads.extend(reread);
        }
        let differs = self.walk(record_type, whole, &mut sides, found).await?;
        if differs {
            tokio::time::sleep(wait).await;
            self.settle(&pages, &mut sides).await?;
            self.judge(record_type, &mut sides, found).await?;
            self.rows_again(&rereads, &mut sides, found).await?;
        }
        for reread in rereads {
            reread.end().await?;
        }
        Ok(())
    }

    /// What is said of the sources of a type that the hub does not have as the department's.
    fn not_ours(&self, record_type: &str) -> impl Iterator<Item = Compared> {
        let of_type = self.origins.iter().filter(move |origin| origin.mapper.record_type() == record_type);
        of_type.map(|origin| Compared {
            zh: Reason::TypeNotYours.zh().to_owned(),
            en: Reason::TypeNotYours.en().to_owned(),
            ..Compared::published(&origin.config.name)
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader { intake: self.intake, surroundings: self.surroundings, state_dir: self.state_dir }
    }

    fn client(&self) -> PublishingClient<Channel> {
        PublishingClient::new(self.channel.clone()).max_decoding_message_size(4 * 1024 * 1024)
    }

    /// Takes down all heads of the hub.
    async fn pull(&self, record_type: &str, sides: &mut Sides) -> Result<Vec<Page>, Error> {
        let (mut client, mut pages) = (self.client(), Vec::new());
        let mut page_token = String::new();
        loop {
            let request = HeadsRequest { record_type: record_type.to_owned(), page_size: RANGE, page_token };
            let page = client.heads(request.clone()).await.map_err(link::Error::from)?.into_inner();
            sides.add_heads(&page.heads).await?;
            let goes_on = !page.next_page_token.is_empty();
            pages.push((request, page.heads.last().filter(|_| goes_on).map(|head| head.record_id.clone())));
            if !goes_on {
                return Ok(pages);
            }
            page_token = page.next_page_token;
        }
    }

    /// Compares range by range, and notes what differs; tells whether anything does.
    async fn walk(
        &self,
        record_type: &str,
        whole: bool,
        sides: &mut Sides,
        found: &mut Reconciled,
    ) -> Result<bool, Error> {
        let (mut after, mut differs) = (String::new(), false);
        loop {
            let some = sides.after(&after, RANGE.cast_unsigned(), false).await?;
            let full = some.len() >= RANGE.cast_unsigned() as usize;
            let last = some.last().filter(|_| full).map(|side| side.record_id.clone());
            let range = Range::of(&self.intake.spool, record_type, (&after, last.as_deref()), some, whole).await?;
            (found.here, found.hub) = (found.here + range.here.len() as u64, found.hub + range.hub.len() as u64);
            if !range.equal() {
                differs = true;
                sides.note(&range.differences()).await?;
            }
            match last {
                Some(last) => after = last,
                None => return Ok(differs),
            }
        }
    }

    /// Looks once more at the pages of the hub that hold a difference: a record that moved meanwhile is compared the next time.
    async fn settle(&self, pages: &[Page], sides: &mut Sides) -> Result<(), Error> {
        let (mut client, mut after) = (self.client(), String::new());
        for (request, last) in pages {
            let mut some = sides.after(&after, 1, true).await?;
            some.retain(|side| last.as_ref().is_none_or(|last| side.record_id <= *last));
            if !some.is_empty() {
                let page = client.heads(request.clone()).await.map_err(link::Error::from)?.into_inner();
                self.moved(&page.heads, (&after, last.as_deref()), sides).await?;
            }
            if let Some(last) = last {
                after.clone_from(last);
            }
        }
        Ok(())
    }

    async fn moved(&self, heads: &[Head], (after, last): (&str, Option<&str>), sides: &mut Sides) -> Result<(), Error> {
        let heads: HashMap<&str, &Head> = heads.iter().map(|head| (head.record_id.as_str(), head)).collect();
        let mut at = after.to_owned();
        loop {
            let some = sides.after(&at, RANGE.cast_unsigned(), true).await?;
            let full = some.len() >= RANGE.cast_unsigned() as usize;
            let mut moved = Vec::new();
            for side in some.iter().filter(|side| last.is_none_or(|last| side.record_id.as_str() <= last)) {
                let head = heads.get(side.record_id.as_str());
                let now = head.map_or((0, [].as_slice()), |head| (head.version, &head.substance_digest));
                if now != (side.head.version, &side.head.substance_digest[..]) {
                    moved.push(side.record_id.clone());
                }
            }
            sides.forget(&moved).await?;
            let Some(end) = some.last().filter(|_| full) else { return Ok(()) };
            at.clone_from(&end.record_id);
            if last.is_some_and(|last| at.as_str() >= last) {
                return Ok(());
            }
        }
    }

    /// Counts and names what differs.
    async fn judge(&self, record_type: &str, sides: &mut Sides, found: &mut Reconciled) -> Result<(), Error> {
        let ruled = self.origins.iter().filter(|origin| origin.mapper.record_type() == record_type);
        let ruled = ruled.filter_map(|origin| origin.mapper.vanished().event).count() > 0;
        let mut after = String::new();
        loop {
            let some = sides.after(&after, RANGE.cast_unsigned(), true).await?;
            let Some(last) = some.last() else { return Ok(()) };
            after.clone_from(&last.record_id);
            let mut left = Vec::new();
            let mut writes = self.intake.spool.begin().await?;
            for side in &some {
                let Some(difference) = side.differs else { continue };
                let (moving, vanished) = self.intake.spool.how_it_is(&mut writes, &side.record_id).await?;
                // A version is on its way, or a rule has made an event of the row's absence.
                if moving || (ruled && vanished && difference == Difference::Extra) {
                    left.push(side.record_id.clone());
                    continue;
                }
                found.count(difference);
                let repaired = self.repair && self.send_again(&mut writes, record_type, side, difference).await?;
                let told = !repaired && self.intake.spool.is_told(&mut writes, &side.record_id).await?;
                found.repaired += u64::from(repaired);
                found.told += u64::from(told);
                if found.named.len() < NAMED {
                    found.named.push(Named::of(side, difference, told));
                }
            }
            self.intake.spool.commit(writes).await?;
            sides.forget(&left).await?;
        }
    }

    async fn rows_again(&self, rereads: &[Reread], sides: &mut Sides, found: &mut Reconciled) -> Result<(), Error> {
        if sides.after("", 1, true).await?.is_empty() {
            return Ok(());
        }
        for reread in rereads {
            self.take_rows(reread, sides, found).await?;
        }
        Ok(())
    }
}
