//! A table or view of a database, read look by look: what sources of SQL and ODBC share.
//!
//! | module | what it is |
//! |---|---|
//! | [`statement`] | every SQL text there is |
//! | [`access`] | the same, told to whoever runs the database |
//! | [`reading`] | what is read, and how gently |
//! | [`names`] | names of a configuration, found in the catalogue |
//! | [`mark`] | values of a watermark column, in order |
//! | [`place`] | how far a table was read |
//! | [`poll`], [`answer`] | one look at it |
//! | [`staging`] | what a look read, until it is in the spool |
//! | [`offer`] | what there is to read, for a proposal |

mod access;
mod answer;
mod mark;
mod names;
pub(crate) mod offer;
mod place;
mod poll;
mod reading;
pub(super) mod staging;
pub(crate) mod statement;

use std::{fmt::Debug, future::Future, io, path::Path, path::PathBuf, pin::Pin};

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};

use super::{Ending, Error, Item, Next, Row, Rows, RowsError, Source, Stamp, Unit, cursor::CursorFile};
use crate::{
    clock::Surroundings,
    config,
    keys::Directory,
    problem::{Reason, Refused, RowProblem},
};
pub use mark::MarkKind;
use names::select;
use offer::Offer;
use place::{Lock, Place, Seen};
use poll::{Found, Page, Poll};
pub(crate) use reading::Reading;
pub use reading::Watermark;
use staging::{Cells, Staging};
use statement::{Dialect, Statement, Table};

/// Rows handed over at a time, and chunks of them that wait.
const CHUNK_ROWS: usize = 128;
const CHUNKS: usize = 4;

/// How a database is reached. One implementation per engine.
#[async_trait]
pub(crate) trait Database: Send + Sync + Debug {
    /// A session that can only read.
    async fn connect(&self, reading: &Reading) -> io::Result<Box<dyn Session>>;
    /// How it writes SQL, as far as that is known without asking it.
    fn dialect(&self) -> Dialect;
    /// What is done at the beginning of each session, for people to read.
    fn preparation(&self, reading: &Reading) -> Vec<String>;
}

/// The reading of a statement, to be driven while its rows are taken.
pub(crate) type Read<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

/// An open session.
#[async_trait]
pub(crate) trait Session: Send + Debug {
    /// How this database writes SQL.
    fn dialect(&self) -> Dialect;
    /// All tables and views whose name is `table` but for upper and lower case, as the catalogue has them.
    async fn tables(&mut self, schema: Option<&str>, table: &str) -> io::Result<Vec<Table>>;
    /// The tables and views that the account can read, of one schema or of all, those that are `named` or all, in the
    /// catalogue's order; columns that hold no text, numbers or times are left out.
    async fn offers(&mut self, schema: Option<&str>, named: &[String]) -> io::Result<Vec<Offer>>;
    /// Begins a transaction that can only read.
    async fn begin(&mut self) -> io::Result<()>;
    /// Ends it.
    async fn end(&mut self) -> io::Result<()>;
    /// Runs a statement and sends its rows; a receiver that is gone ends it. After an error, or when the future was
    /// dropped, the session must not be used again.
    fn rows(&mut self, statement: Statement, sender: mpsc::Sender<Vec<Cells>>) -> Read<'_>;
    /// Rights of the account beyond reading; `None` where that cannot be told.
    async fn rights(&mut self, table: &Table) -> io::Result<Option<Vec<String>>>;
}

/// What a source asks of a database, to hand to whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// What the statement is for.
    pub purpose: &'static str,
    /// The statement; `?` and `$1` stand for values of the watermark and the key.
    pub statement: String,
    /// The rights that it needs.
    pub rights: String,
    /// When it runs, and how often.
    pub when: String,
    /// How many rows a second it reads at most.
    pub rate: String,
}

/// A table or view as a source.
#[derive(Debug)]
pub struct TableSource {
    name: String,
    columns: Vec<String>,
    reading: Reading,
    database: Box<dyn Database>,
    session: Mutex<Option<Box<dyn Session>>>,
    surroundings: Surroundings,
    cursor: CursorFile,
    /// Whether how far it was read outlives this value.
    remembers: bool,
    staging: PathBuf,
    lock: Option<Lock>,
    place: Option<Place>,
    remembered: Seen,
    seen: Seen,
    /// Offered and not finished.
    waiting: Option<(Unit, Page)>,
    /// Refused as a whole; not offered again until it is another.
    refused: Option<[u8; 32]>,
    when: String,
}

impl TableSource {
    pub(crate) fn new(
        config: &config::SourceConfig,
        columns: &[String],
        (reading, database): (Reading, Box<dyn Database>),
        state_dir: &Path,
        surroundings: &Surroundings,
    ) -> Self {
        let name = config.name.clone();
        let directory = Directory::new(state_dir);
        let key = directory.spool_key().ok();
        let hours = if config.hours.is_empty() { "at any hour".to_owned() } else { config.hours.join(", ") };
        Self {
            columns: columns.to_vec(),
            reading,
            database,
            session: Mutex::default(),
            surroundings: surroundings.clone(),
            cursor: CursorFile::new(state_dir, &name),
            remembers: true,
            // Before it joined an adapter has no state directory, and a dry run makes none.
            staging: if state_dir.is_dir() { state_dir.to_owned() } else { std::env::temp_dir() },
            lock: key.and_then(|key| Lock::new(&key, &name)),
            place: None,
            remembered: Seen::default(),
            seen: Seen::default(),
            waiting: None,
            refused: None,
            when: format!("{hours}; every {} ms at most", config.poll_ms),
            name,
        }
    }

    /// The whole table, read once from its beginning: to be compared with what was published. Nothing is remembered of it.
    pub(crate) fn anew(
        config: &config::SourceConfig,
        columns: &[String],
        (reading, database): (Reading, Box<dyn Database>),
        state_dir: &Path,
        surroundings: &Surroundings,
    ) -> Self {
        let reading = Reading { watermark: None, ..reading };
        let fresh = Self::new(config, columns, (reading, database), state_dir, surroundings);
        Self { remembers: false, place: Some(Place::default()), ..fresh }
    }

    fn error(&self, what: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
        let source_name = self.name.clone();
        move |cause| Error { source_name, what, cause }
    }

    /// One look; also whether it went on with a sweep that began before.
    async fn look(&mut self) -> io::Result<(Found, bool)> {
        let place = match &self.place {
            Some(place) => place.clone(),
            None => self.load().await?,
        };
        let mut held = self.session.lock().await;
        let mut session = match held.take() {
            Some(session) => session,
            None => self.database.connect(&self.reading).await?,
        };
        session.begin().await?;
        let select = select(session.as_mut(), &self.reading, &self.columns).await?;
        let poll = Poll {
            source: &self.name,
            reading: &self.reading,
            select: &select,
            session: session.as_mut(),
            remembered: &self.remembered,
            seen: &mut self.seen,
            now: self.surroundings.clock.now(),
        };
        let staging = || Staging::create(&self.staging, self.surroundings.chance.as_ref());
        let found = poll.look(&place, staging).await?;
        session.end().await?;
        *held = Some(session);
        Ok((found, place.sweep.is_some()))
    }

    /// The account's rights beyond reading.
    async fn rights(&self) -> io::Result<Option<Vec<String>>> {
        let mut session = self.database.connect(&self.reading).await?;
        session.begin().await?;
        let select = select(session.as_mut(), &self.reading, &self.columns).await?;
        let rights = session.rights(&select.table).await?;
        session.end().await?;
        Ok(rights)
    }

    async fn load(&self) -> io::Result<Place> {
        let cursor = self.cursor.clone();
        let loaded = tokio::task::spawn_blocking(move || cursor.load::<Place>()).await.map_err(io::Error::other)??;
        Ok(loaded.unwrap_or_default().within(&self.reading.digest(&self.columns)).opened(self.lock.as_ref()))
    }

    async fn store(&mut self, place: Place) -> io::Result<()> {
        if self.remembers && self.place.as_ref() != Some(&place) {
            let (cursor, chance) = (self.cursor.clone(), self.surroundings.chance.as_ref());
            let sealed = place.sealed(self.lock.as_ref(), chance);
            tokio::task::spawn_blocking(move || cursor.store(&sealed)).await.map_err(io::Error::other)??;
            self.place = Some(place);
        }
        Ok(())
    }
}

#[async_trait]
impl Source for TableSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&mut self) -> Result<Next, Error> {
        if let Some((unit, _)) = &self.waiting {
            return Ok(Next::Unit(unit.clone()));
        }
        loop {
            let (found, continued) = self.look().await.map_err(self.error("reading the table"))?;
            match found {
                Found::Nothing(place, seen) => {
                    // Only what is finished is made durable: a dry run leaves no trace, and reading a little more
                    // after a start does no harm.
                    self.place = Some(*place);
                    self.remembered = seen.unwrap_or_else(|| std::mem::take(&mut self.remembered));
                    // The end of a sweep that began before says nothing of what has changed since.
                    if !continued {
                        return Ok(Next::Nothing);
                    }
                }
                Found::Page(page) if self.refused == Some(page.digest) => return Ok(Next::Nothing),
                Found::Page(page) => {
                    let unit = Unit {
                        name: format!("{} #{}", self.reading.table, page.place.generation),
                        digest: page.digest,
                        whole: self.reading.watermark.is_none(),
                        stamp: Stamp::default(),
                    };
                    self.waiting = Some((unit.clone(), *page));
                    return Ok(Next::Unit(unit));
                }
            }
        }
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        let Some((_, page)) = self.waiting.as_ref().filter(|(waiting, _)| waiting == unit) else {
            return Err(RowsError::Failed(self.error("reading the table")(io::Error::other("the unit is not there"))));
        };
        let mut places = Vec::with_capacity(columns.len());
        for column in columns {
            let place = self.columns.iter().position(|known| known == column);
            let missing = || Refused { column: Some(column.clone()), ..Refused::new(Reason::ColumnMissing, None, "") };
            places.push(place.ok_or_else(missing)?);
        }
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (staged, width, columns) = (page.staged.clone(), self.columns.len(), columns.to_vec());
        let error = self.error("reading what was staged");
        tokio::task::spawn_blocking(move || {
            if let Err(cause) = hand_over(&staged, width, (&columns, &places), &sender) {
                // Nobody listens any more: the reading was stopped, which is no failure.
                let _ = sender.blocking_send(Err(RowsError::Failed(error(cause))));
            }
        });
        Ok(Rows::new(receiver))
    }

    async fn finish(&mut self, unit: &Unit, ending: Ending) -> Result<(), Error> {
        let Some((_, page)) = self.waiting.take_if(|(waiting, _)| waiting == unit) else { return Ok(()) };
        if matches!(ending, Ending::Failed { .. }) {
            self.refused = Some(page.digest);
            return Ok(());
        }
        if let Err(cause) = self.store(page.place.clone()).await {
            self.waiting = Some((unit.clone(), page));
            return Err(self.error("storing the cursor")(cause));
        }
        self.remembered = page.seen.unwrap_or_else(|| std::mem::take(&mut self.remembered));
        Ok(())
    }

    /// All of the table is offered again: a row's watermark is when it changed, not when it was told.
    async fn rewind(&mut self, _: i64) -> Result<bool, Error> {
        let place = match self.place.take() {
            Some(place) => place,
            None => self.load().await.map_err(self.error("reading the cursor"))?,
        };
        self.store(place.anew()).await.map_err(self.error("storing the cursor"))?;
        (self.remembered, self.seen) = (Seen::default(), Seen::default());
        (self.waiting, self.refused) = (None, None);
        Ok(true)
    }

    async fn warnings(&mut self) -> Result<Vec<RowProblem>, Error> {
        let rights = self.rights().await.map_err(self.error("asking for the account's rights"))?;
        let note = |reason| RowProblem::new(0, "", reason).as_note();
        Ok(match rights {
            None => vec![note(Reason::RightsUnknown)],
            Some(rights) if rights.is_empty() => Vec::new(),
            Some(rights) => vec![note(Reason::AccountCanWrite).because(&rights.join("、"), &rights.join(", "))],
        })
    }

    fn access(&self) -> Vec<Access> {
        access::of(self.database.as_ref(), &self.reading, &self.columns, &self.when)
    }
}

/// Sends the staged rows with the cells asked for; a row without a watermark is followed by a note that says so.
fn hand_over(
    staged: &staging::Staged,
    width: usize,
    (columns, places): (&[String], &[usize]),
    sender: &mpsc::Sender<Result<Vec<Item>, RowsError>>,
) -> io::Result<()> {
    let mut line = 0;
    let mut items = Vec::with_capacity(CHUNK_ROWS);
    for chunk in staged.chunks(width) {
        for row in chunk? {
            line += 1;
            let cells: Vec<String> = places.iter().map(|&place| row.cells[place].clone()).collect();
            items.push(match cells.iter().position(|cell| staging::unreadable(cell)) {
                Some(at) => Item::Bad(RowProblem::new(line, &columns[at], Reason::TextUnreadable)),
                None => Item::Row(Row { line, cells }),
            });
            if row.unmarked {
                items.push(Item::Note(RowProblem::new(line, "", Reason::WatermarkMissing).as_note()));
            }
            if items.len() >= CHUNK_ROWS && sender.blocking_send(Ok(std::mem::take(&mut items))).is_err() {
                return Ok(());
            }
        }
    }
    if !items.is_empty() {
        // Nobody listens any more: the reading was stopped.
        let _ = sender.blocking_send(Ok(items));
    }
    Ok(())
}
