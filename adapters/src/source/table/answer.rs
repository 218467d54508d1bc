//! The rows of a statement on their way: no faster than the rate, and not waited for longer than it may take.

use std::{future::Future, io, pin::Pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::{Reading, Session, staging::Cells, statement::Statement};

/// Waiting longer than the statement may take is waiting for a dead connection.
const SLACK: Duration = Duration::from_secs(15);

pub(super) struct Answer<'a> {
    read: Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>,
    reading: bool,
    receiver: mpsc::Receiver<Vec<Cells>>,
    patience: Duration,
    rate: Option<u32>,
    began: Instant,
    rows: u64,
}

impl<'a> Answer<'a> {
    pub(super) fn to(session: &'a mut dyn Session, statement: Statement, reading: &Reading) -> Self {
        // Two chunks wait at most: the database is read as fast as its rows are taken.
        let (sender, receiver) = mpsc::channel(2);
        Self {
            read: session.rows(statement, sender),
            reading: true,
            receiver,
            patience: reading.statement_timeout() + SLACK,
            rate: reading.rows_per_second,
            began: Instant::now(),
            rows: 0,
        }
    }

    /// The next rows; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<Cells>>> {
        if let Some(rate) = self.rate {
            sleep_until(self.began + Duration::from_secs_f64(self.rows as f64 / f64::from(rate))).await;
        }
        let more = async {
            loop {
                tokio::select! {
                    done = &mut self.read, if self.reading => {
                        done?;
                        self.reading = false;
                    }
                    chunk = self.receiver.recv() => return io::Result::Ok(chunk),
                }
            }
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time");
        let chunk = timeout(self.patience, more).await.map_err(late)??;
        if chunk.is_none() && self.reading {
            // It ends with an error, or is about to end.
            let read = &mut self.read;
            timeout(self.patience, read).await.map_err(late)??;
            self.reading = false;
        }
        self.rows += chunk.as_ref().map_or(0, |rows| rows.len() as u64);
        Ok(chunk)
    }

    /// The first cell of the first row.
    pub(super) async fn one(mut self) -> io::Result<Option<String>> {
        let mut first = None;
        while let Some(chunk) = self.next().await? {
            first = first.or(chunk.into_iter().next().and_then(|cells| cells.into_iter().next().flatten()));
        }
        Ok(first)
    }
}
