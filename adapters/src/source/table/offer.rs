//! What a database has to offer to an account, with what its catalogue says of it, and a few rows of it: for a
//! proposal. What is proposed is then read by the names alone.

use std::io;

use super::{
    Database, Reading, Session,
    answer::Answer,
    statement::{Column, Select, Table},
};

/// So many tables are looked at.
pub(crate) const OFFERED: usize = 60;

/// A table or view that the account can read.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) table: Table,
    /// What people wrote of it.
    pub(crate) comment: Option<String>,
    /// The same of its columns, in the same order.
    pub(crate) told: Vec<Told>,
}

/// What the catalogue says of a column beside its name and type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) comment: Option<String>,
    /// An index begins with it.
    pub(crate) indexed: bool,
    /// It is part of the primary key.
    pub(crate) key: bool,
}

impl Offer {
    pub(crate) fn new(schema: Option<String>, name: String, comment: Option<String>) -> Self {
        let comment = comment.filter(|comment| !comment.trim().is_empty());
        Self { table: Table { schema, name, columns: Vec::new() }, comment, told: Vec::new() }
    }

    pub(crate) fn add(&mut self, column: Column, told: Told) {
        self.table.columns.push(column);
        self.told.push(Told { comment: told.comment.filter(|comment| !comment.trim().is_empty()), ..told });
    }

    /// Notes what is said of a column.
    pub(crate) fn comment(&mut self, column: &str, comment: &str) {
        let named = self.table.columns.iter().position(|known| known.name == column);
        if let Some(told) = named.and_then(|at| self.told.get_mut(at)) {
            told.comment = Some(comment.to_owned()).filter(|comment| !comment.trim().is_empty());
        }
    }

    /// Whether it is `schema`.`name`.
    pub(crate) fn is(&self, schema: &Option<String>, name: &str) -> bool {
        self.table.schema == *schema && self.table.name == name
    }
}

/// Whether a table is among those that are `named`, upper and lower case aside; all are where none is.
pub(crate) fn is_named(table: &str, named: &[String]) -> bool {
    named.is_empty() || named.iter().any(|name| name.to_lowercase() == table.to_lowercase())
}

/// What a database offers: with [`Offers::rows`] the first rows of each.
#[derive(Debug)]
pub(crate) struct Offers<'a> {
    database: &'a dyn Database,
    reading: &'a Reading,
    session: Option<Box<dyn Session>>,
}

impl<'a> Offers<'a> {
    pub(crate) fn new(database: &'a dyn Database, reading: &'a Reading) -> Self {
        Self { database, reading, session: None }
    }

    /// A session that can only read, within a transaction that can only read.
    async fn session(&mut self) -> io::Result<Box<dyn Session>> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut session = self.database.connect(self.reading).await?;
        session.begin().await?;
        Ok(session)
    }

    /// The tables and views that the account can read, of one schema where `reading` names one, those that are `named`
    /// or all.
    pub(crate) async fn all(&mut self, named: &[String]) -> io::Result<Vec<Offer>> {
        let mut session = self.session().await?;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the database's catalogue did not answer in time");
        let asked = session.offers(self.reading.schema.as_deref(), named);
        let offers = tokio::time::timeout(self.reading.statement_timeout(), asked).await.map_err(late)??;
        self.session = Some(session);
        Ok(offers)
    }

    /// The first rows of a table, all its columns as text.
    pub(crate) async fn rows(&mut self, table: &Table, rows: u64) -> io::Result<Vec<Vec<String>>> {
        // After an error the session is gone, and the next table has a new one.
        let mut session = self.session().await?;
        let select = Select {
            dialect: session.dialect(),
            columns: table.columns.clone(),
            table: table.clone(),
            mark: None,
            keys: Vec::new(),
        };
        let statement = select.first(rows)?;
        let mut all: Vec<Vec<String>> = Vec::new();
        let mut answer = Answer::to(session.as_mut(), statement, self.reading);
        while let Some(chunk) = answer.next().await? {
            // What is no text tells nothing of a column.
            let text = |cell: Option<String>| cell.filter(|cell| !super::staging::unreadable(cell)).unwrap_or_default();
            all.extend(chunk.into_iter().map(|cells| cells.into_iter().map(text).collect()));
        }
        drop(answer);
        all.truncate(usize::try_from(rows).unwrap_or(usize::MAX));
        self.session = Some(session);
        Ok(all)
    }

    /// Ends the transaction.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        match self.session.take() {
            Some(mut session) => session.end().await,
            None => Ok(()),
        }
    }
}
