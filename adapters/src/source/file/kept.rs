//! Files that were done with and are still kept, read once more: to be compared with what was published.

use std::{collections::VecDeque, io};

use async_trait::async_trait;

use super::{
    FileConfig, FileSource,
    keep::{self, DONE, Waiting},
};
use crate::{
    clock::Surroundings,
    source::{Ending, Error, Next, Rows, RowsError, Source, Unit},
};

/// What of `done/` is a source's. Each file is offered once, in the order in which they were done with.
#[derive(Debug)]
pub(in crate::source) struct KeptFiles {
    source: FileSource,
    files: VecDeque<Waiting>,
}

impl KeptFiles {
    /// Of snapshots the last one alone: it says all that the earlier ones said.
    pub(in crate::source) fn new(name: &str, config: &FileConfig, surroundings: &Surroundings) -> io::Result<Self> {
        let mut files = VecDeque::from(keep::kept(config)?);
        if config.snapshot {
            files = files.pop_back().into_iter().collect();
        }
        let config = FileConfig { folder: config.folder.join(DONE), ..config.clone() };
        Ok(Self { source: FileSource::new(name, config, surroundings), files })
    }
}

#[async_trait]
impl Source for KeptFiles {
    fn name(&self) -> &str {
        self.source.name()
    }

    async fn next(&mut self) -> Result<Next, Error> {
        let Some(file) = self.files.pop_front() else { return Ok(Next::Nothing) };
        // One that was removed meanwhile is kept no longer.
        Ok(self.source.survey(&file).await?.unwrap_or(Next::Later(std::time::Duration::ZERO)))
    }

    async fn rows(&self, unit: &Unit, columns: &[String]) -> Result<Rows, RowsError> {
        self.source.rows(unit, columns).await
    }

    async fn finish(&mut self, _: &Unit, _: Ending) -> Result<(), Error> {
        Ok(())
    }
}
