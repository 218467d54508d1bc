//! Records that the department's system posts to a loopback address: one or many as JSON, accepted when they are on
//! disk, encrypted.
//!
//! - `config`: what can be configured
//! - `server`: the endpoint
//! - `status`: what became of what was posted

mod config;
mod server;
mod status;

use std::{io, path::Path};

use async_trait::async_trait;
use tokio::{net::TcpListener, task::JoinHandle};

pub use config::PushConfig;

use super::{
    Ending, Error, Next, Rows, RowsError, Source, Unit,
    inbox::{self, Inbox},
    keeping::Keeping,
};
use crate::clock::Surroundings;
use server::Endpoint;

const SHORTEST_TOKEN: usize = 16;

/// An endpoint that takes records in.
#[derive(Debug)]
pub struct PushSource {
    name: String,
    config: PushConfig,
    keeping: Keeping,
    serving: Option<JoinHandle<()>>,
}

/// How many posts to a source wait to be worked off.
pub(crate) fn waiting(source: &str, state_dir: &Path, surroundings: &Surroundings) -> io::Result<usize> {
    Ok(Keeping::new(state_dir, surroundings)?.inbox(source)?.waiting()?.len())
}

impl PushSource {
    /// Listens as `config` says from the first [`Source::next`] on, as long as it lives.
    pub(crate) fn new(name: impl Into<String>, config: PushConfig, keeping: Keeping) -> Self {
        Self { name: name.into(), config, keeping, serving: None }
    }

    fn error(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let source_name = self.name.clone();
        move |cause| Error { source_name, what, cause }
    }

    /// Listens, unless it does already. The address goes into the state directory, for those who configured port 0.
    async fn listen(&mut self, inbox: &Inbox) -> Result<(), Error> {
        if self.serving.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let unfinished = inbox.clone();
        super::blocking(&self.name, "tidying the inbox", move || unfinished.tidy()).await?;
        let token = crate::secret::read(&self.config.token_file).map_err(self.error("reading push.token_file"))?;
        if token.len() < SHORTEST_TOKEN {
            let short = format!("push.token_file: at least {SHORTEST_TOKEN} characters");
            return Err(self.error("reading push.token_file")(std::io::Error::other(short)));
        }
        let listener = TcpListener::bind(self.config.listen).await.map_err(self.error("listening"))?;
        let address = listener.local_addr().map_err(self.error("listening"))?;
        let file = self.keeping.folder(&self.name).with_extension("address");
        tokio::fs::write(file, address.to_string()).await.map_err(self.error("noting the address"))?;
        tracing::info!(source = %self.name, %address, "taking records in");
        let endpoint = Endpoint {
            source: self.name.clone(),
            config: self.config.clone(),
            keeping: self.keeping.clone(),
            inbox: inbox.clone(),
            spool: self.keeping.spool().await.map_err(self.error("opening the spool"))?,
            token,
        };
        let source = self.name.clone();
        self.serving = Some(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, server::router(endpoint)).await {
                tracing::error!(%source, %error, "the endpoint ended");
            }
        }));
        Ok(())
    }
}

impl Drop for PushSource {
    fn drop(&mut self) {
        if let Some(task) = self.serving.take() {
            task.abort();
        }
    }
}

#[async_trait]
impl Source for PushSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn next(&mut self) -> Result<Next, Error> {
        let (keeping, name) = (self.keeping.clone(), self.name.clone());
        let inbox = super::blocking(&self.name, "opening the inbox", move || keeping.inbox(&name)).await?;
        self.listen(&inbox).await?;
        let at = inbox.clone();
        let Some(name) =
            super::blocking(&self.name, "listing the inbox", move || at.waiting()).await?.into_iter().next()
        else {
            return Ok(Next::Nothing);
        };
        let at = name.clone();
        let survey = super::blocking(&self.name, "reading the inbox", move || inbox.read(&at)?.survey()).await?;
        Ok(Next::Unit(inbox::unit(&self.name, name, &survey, false)))
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        let (keeping, name) = (self.keeping.clone(), self.name.clone());
        let inbox = super::blocking(&self.name, "opening the inbox", move || keeping.inbox(&name)).await?;
        Ok(inbox::rows(&self.name, inbox, &unit.name, columns))
    }

    async fn finish(&mut self, unit: &Unit, _: Ending) -> Result<(), Error> {
        let (keeping, source, name) = (self.keeping.clone(), self.name.clone(), unit.name.clone());
        super::blocking(&self.name, "finishing", move || keeping.inbox(&source)?.remove(&name)).await
    }
}

#[cfg(test)]
mod tests;
