//! One pull: page after page into the inbox, within the bounds of the whole.

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, value},
    config::RestConfig,
    fetch::{Failure, Fetcher},
    since::{Moment, parse},
};
use crate::source::inbox::Writer;

/// What the source remembers from one pull to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    /// The greatest value of the column that grows, as the department wrote it.
    pub(super) since: Option<String>,
    /// SHA-256 of the rows of the last pull, hex: the same again is nothing new.
    pub(super) rows: Option<String>,
}

/// Pages of one pull on their way into a unit.
pub(super) struct Pull<'a> {
    config: &'a RestConfig,
    fetcher: Fetcher,
    greatest: Option<Moment>,
    memory: Memory,
    writer: Writer,
    bytes: u64,
}

impl<'a> Pull<'a> {
    pub(super) fn new(config: &'a RestConfig, fetcher: Fetcher, memory: Memory, writer: Writer) -> Self {
        let kind = config.since.as_ref().map(|since| since.kind);
        let greatest = kind.zip(memory.since.as_deref()).and_then(|(kind, text)| parse(kind, text));
        Self { config, fetcher, greatest, memory, writer, bytes: 0 }
    }

    /// Pulls all pages. Returns the unit, unfinished, and what is to be remembered once it was worked off.
    pub(super) async fn all(mut self) -> Result<(Writer, Memory), Failure> {
        let base = self.base()?;
        if let Some(cursor) = &self.config.cursor {
            self.by_cursor(&base, &cursor.parameter, &cursor.next).await?;
        } else if self.config.page.is_some() {
            self.by_number(&base).await?;
        } else {
            let bytes = self.fetcher.get(base).await?;
            self.take(&Answer::parse(&bytes)?)?;
        }
        self.memory.rows = Some(hex::encode(self.writer.digest()));
        Ok((self.writer, self.memory))
    }

    /// The address, with the value from which this pull asks.
    fn base(&self) -> Result<Url, Failure> {
        let mut url = self.config.parsed_url().map_err(Failure::Set)?;
        if let Some(since) = &self.config.since {
            let from = self.greatest.map(|greatest| greatest.less(since.overlap)).or_else(|| since.first.clone());
            if let Some(from) = from {
                url.query_pairs_mut().append_pair(&since.parameter, &from);
            }
        }
        Ok(url)
    }

    async fn by_number(&mut self, base: &Url) -> Result<(), Failure> {
        let Some(page) = &self.config.page else { return Ok(()) };
        let mut last = None;
        for number in page.first.. {
            let mut url = base.clone();
            url.query_pairs_mut().append_pair(&page.parameter, &number.to_string());
            if let (Some(parameter), Some(size)) = (&page.size_parameter, page.size) {
                url.query_pairs_mut().append_pair(parameter, &size.to_string());
            }
            let bytes = self.fetcher.get(url).await?;
            let seen = digest(&SHA256, &bytes);
            let count = self.take(&Answer::parse(&bytes)?)?;
            let short = page.size_parameter.is_some() && page.size.is_some_and(|size| count < size);
            if count == 0 || short {
                break;
            }
            // A server that does not know the parameter gives the first page for ever.
            if last.as_ref() == Some(&seen.as_ref().to_vec()) {
                return Err(Failure::Form(format!("page {number} is the page before it: is {} right", page.parameter)));
            }
            last = Some(seen.as_ref().to_vec());
        }
        Ok(())
    }

    async fn by_cursor(&mut self, base: &Url, parameter: &str, next: &str) -> Result<(), Failure> {
        let mut cursor: Option<String> = None;
        loop {
            let mut url = base.clone();
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair(parameter, cursor);
            }
            let bytes = self.fetcher.get(url).await?;
            let answer = Answer::parse(&bytes)?;
            self.take(&answer)?;
            match answer.next(next)? {
                None => return Ok(()),
                Some(same) if cursor.as_ref() == Some(&same) => {
                    return Err(Failure::Form(format!("{next} names the same page again")));
                }
                following => cursor = following,
            }
        }
    }

    /// Takes the records of one answer; returns how many there are.
    fn take(&mut self, answer: &Answer<'_>) -> Result<u64, Failure> {
        let records = answer.records(&self.config.records)?;
        for record in &records {
            let text = record.get();
            self.bytes += text.len() as u64;
            if self.bytes > self.config.max_pull_bytes {
                return Err(Failure::TooLong(self.config.max_pull_bytes));
            }
            self.grow(text);
            self.writer.add(text.as_bytes())?;
        }
        Ok(records.len() as u64)
    }

    /// Notes the column that grows. A record without it, or with another form, is pulled like any other and moves
    /// nothing.
    fn grow(&mut self, record: &str) {
        let Some(since) = &self.config.since else { return };
        let Some(text) = value(record, &since.column) else { return };
        let Some(moment) = parse(since.kind, &text) else { return };
        if self.greatest.is_none_or(|greatest| moment.after(greatest)) {
            self.greatest = Some(moment);
            self.memory.since = Some(text);
        }
    }
}
