//! Records pulled as JSON over HTTP: page after page within bounds, from allowed addresses alone, into an encrypted
//! inbox, and worked off from there.
//!
//! - `config`: what can be configured
//! - `address`: which addresses may be asked
//! - `fetch`: one request within its bounds
//! - `answer`, `pull`: pages and what is remembered from one pull to the next
//! - `since`: the column that grows

mod address;
mod answer;
mod config;
mod fetch;
mod pull;
mod since;

use std::{io, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

pub use config::{Cursor, Page, RestConfig, Since, SinceKind};

use super::{
    Ending, Error, Next, Rows, RowsError, Source, Unit,
    inbox::{self, Inbox},
    keeping::Keeping,
};
use fetch::{Failure, Fetcher};
use pull::{Memory, Pull};

/// The longest pause after failures.
const LONGEST_REST: Duration = Duration::from_secs(900);
const FIRST_REST: Duration = Duration::from_secs(1);

/// The first answer of the system that `config` describes, as a pull would ask for it.
pub(crate) async fn first(config: &RestConfig) -> io::Result<Vec<u8>> {
    let failed = |failure: Failure| io::Error::other(failure.to_string());
    let url = config.parsed_url().map_err(io::Error::other)?;
    Fetcher::new(config).map_err(failed)?.get(url).await.map_err(failed)
}

/// A system that is asked for its records.
#[derive(Debug)]
pub struct RestSource {
    name: String,
    config: RestConfig,
    keeping: Keeping,
    /// Under which its inbox and its cursor are kept.
    key: String,
    /// Pulls everything once, and remembers nothing.
    anew: bool,
    /// The unit that waits, and what was noted with it.
    waiting: Option<(Unit, String)>,
    failures: u32,
    /// After a failure: not asked again before, and why.
    resting: Option<(Instant, String)>,
}

impl RestSource {
    /// Asks as `config` says; keeps its inbox and cursor in the state directory.
    pub(crate) fn new(name: impl Into<String>, config: RestConfig, keeping: Keeping) -> Self {
        let name = name.into();
        let key = name.clone();
        Self { name, config, keeping, key, anew: false, waiting: None, failures: 0, resting: None }
    }

    /// The same, asked for everything once, as at the first pull, beside its work: nothing is remembered of it.
    pub(crate) fn anew(name: &str, config: RestConfig, keeping: Keeping) -> Self {
        Self { key: format!("{name}\0anew"), anew: true, ..Self::new(name, config, keeping) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        super::blocking(&self.name, what, work).await
    }

    fn refused(&self, what: String) -> Error {
        Error { source_name: self.name.clone(), what: "asking the department's system", cause: io::Error::other(what) }
    }

    /// Pulls everything into a new unit. `None` when it is what the last pull brought.
    async fn pull(&self, memory: Memory, inbox: &Inbox) -> Result<Option<String>, Failure> {
        let fetcher = Fetcher::new(&self.config)?;
        inbox.tidy()?;
        let name = Inbox::fresh_name(self.keeping.clock.as_ref(), self.keeping.chance.as_ref())?;
        let pull = Pull::new(&self.config, fetcher, memory.clone(), inbox.write(&name)?);
        let pulled = tokio::time::timeout(self.config.pull_timeout(), pull.all());
        let (writer, new) = pulled.await.map_err(|_| Failure::TimedOut)??;
        let known = new.rows == memory.rows;
        if known || (writer.rows() == 0 && !self.config.snapshot) {
            return Ok(None);
        }
        let note = serde_json::to_string(&new).map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || writer.finish(&note))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(Some(name))
    }

    /// Pauses grow from a second to a quarter of an hour, with a random part, and are never shorter than asked for.
    fn rest(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        let grown = FIRST_REST.saturating_mul(1 << self.failures.min(12)).min(LONGEST_REST);
        let mut byte = [0];
        // Without randomness the pause is merely longer.
        let part = self.keeping.chance.fill(&mut byte).map_or(255, |()| u32::from(byte[0]));
        let mut pause = grown / 2 + grown * part / 512;
        if let Failure::Busy(_, Some(asked)) = failure {
            pause = pause.max(*asked).min(LONGEST_REST.max(grown) * 4);
        }
        self.resting = Some((Instant::now() + pause, failure.to_string()));
    }

    /// The unit that waits; its rows are read for it once.
    async fn unit(&mut self, inbox: &Inbox, name: String) -> Result<Unit, Error> {
        if let Some((unit, _)) = self.waiting.as_ref().filter(|(unit, _)| unit.name == name) {
            return Ok(unit.clone());
        }
        let (inbox, at) = (inbox.clone(), name.clone());
        let survey = self.blocking("reading the inbox", move || inbox.read(&at)?.survey()).await?;
        let unit = inbox::unit(&self.name, name, &survey, self.config.snapshot && self.config.since.is_none());
        self.waiting = Some((unit.clone(), survey.note));
        Ok(unit)
    }

    /// What waits. What a comparison left behind is of no use to the next one.
    async fn inbox(&self) -> Result<(Inbox, Vec<String>), Error> {
        let (keeping, key, fresh) = (self.keeping.clone(), self.key.clone(), self.anew && self.waiting.is_none());
        self.blocking("opening the inbox", move || {
            let inbox = keeping.inbox(&key)?;
            for left in inbox.waiting()?.iter().filter(|_| fresh) {
                inbox.remove(left)?;
            }
            let waiting = inbox.waiting()?;
            Ok((inbox, waiting))
        })
        .await
    }
}

#[async_trait]
impl Source for RestSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&mut self) -> Result<Next, Error> {
        let (inbox, waiting) = self.inbox().await?;
        if let Some(name) = waiting.into_iter().next() {
            return self.unit(&inbox, name).await.map(Next::Unit);
        }
        if let Some((until, why)) = &self.resting
            && Instant::now() < *until
        {
            return Err(self.refused(why.clone()));
        }
        let file = self.keeping.cursor(&self.key);
        let known =
            if self.anew { None } else { self.blocking("reading the cursor", move || file.load::<Memory>()).await? };
        let memory = known.unwrap_or_default();
        match self.pull(memory, &inbox).await {
            Ok(pulled) => {
                (self.failures, self.resting) = (0, None);
                match pulled {
                    Some(name) => self.unit(&inbox, name).await.map(Next::Unit),
                    None => Ok(Next::Nothing),
                }
            }
            Err(failure) => {
                self.rest(&failure);
                Err(self.refused(failure.to_string()))
            }
        }
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        let (keeping, key) = (self.keeping.clone(), self.key.clone());
        let inbox = self.blocking("opening the inbox", move || keeping.inbox(&key)).await?;
        Ok(inbox::rows(&self.name, inbox, &unit.name, columns))
    }

    async fn finish(&mut self, unit: &Unit, _: Ending) -> Result<(), Error> {
        let (keeping, key, name, anew) = (self.keeping.clone(), self.key.clone(), unit.name.clone(), self.anew);
        let note = self.waiting.take_if(|(waiting, _)| waiting == unit).map(|(_, note)| note);
        let finish = move || {
            let inbox = keeping.inbox(&key)?;
            // Finished before: a crash came between the removal and the answer.
            if !inbox.waiting()?.contains(&name) {
                return Ok(());
            }
            if !anew {
                let note = match note {
                    Some(note) => note,
                    None => inbox.read(&name)?.survey()?.note,
                };
                keeping.cursor(&key).store(&serde_json::from_str::<Memory>(&note)?)?;
            }
            inbox.remove(&name)
        };
        self.blocking("finishing a pull", finish).await
    }

    /// The next pull asks as the first one did: the system's own clock is not compared with ours.
    async fn rewind(&mut self, _since_ms: i64) -> Result<bool, Error> {
        let file = self.keeping.cursor(&self.key);
        self.blocking("setting the cursor back", move || file.store(&Memory::default())).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
