//! What of the adapter's life outlives a restart: sources that are halted or are to be read again, when each was last read.

use super::{Error, Spool, Writes};
use crate::life::{Halt, Life};

const RECOVERED: &str = "recovered";

fn fact(halt: &Halt, source: &str) -> String {
    match halt {
        Halt::Paused => format!("paused:{source}"),
        Halt::Stopped { .. } => format!("stopped:{source}"),
    }
}

impl Spool {
    /// Brings back what an earlier run left.
    ///
    /// # Errors
    /// The database failed.
    pub async fn recall(&self, life: &Life) -> Result<(), Error> {
        for beginning in ["paused:", "stopped:"] {
            for (source, text) in self.facts(beginning).await? {
                life.set_halt(&source, Some(serde_json::from_str(&text)?));
            }
        }
        for (source, since) in self.facts("resync:").await? {
            life.set_resync(&source, since.parse().unwrap_or(0));
        }
        for (source, at) in self.facts("read:").await? {
            if let Ok(at_ms) = at.parse() {
                life.remember_read(&source, at_ms);
            }
        }
        if let Some(position) = self.fact("ledger").await?.and_then(|text| text.parse().ok()) {
            life.ledger(position);
        }
        Ok(())
    }

    /// Notes that the state was lost and came back as it stood at a time (milliseconds since 1970): what was read since and never sent,
    /// only the sources still have.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_recovered(&self, as_of_ms: i64) -> Result<(), Error> {
        self.set_fact(RECOVERED, &as_of_ms.to_string()).await
    }

    /// Since when the sources are to be read again, where the state was lost and nobody asked for it yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn recovered(&self) -> Result<Option<i64>, Error> {
        Ok(self.fact(RECOVERED).await?.map(|text| text.parse().unwrap_or(0)))
    }

    /// The sources are to be read again: nobody needs to be told any more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_recovered(&self) -> Result<(), Error> {
        self.forget_fact(RECOVERED).await
    }

    /// Whether nothing was ever taken in here.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_new(&self) -> Result<bool, Error> {
        let sql = "-- is_new\nSELECT EXISTS (SELECT 1 FROM units) OR EXISTS (SELECT 1 FROM readings) OR EXISTS (SELECT 1 FROM submissions)";
        let old: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(old == 0)
    }

    /// Notes when each source was last looked at.
    ///
    /// # Errors
    /// The database failed.
    pub async fn keep_reads(&self, life: &Life) -> Result<(), Error> {
        for source in life.sources() {
            if let Some(at_ms) = source.last_read_ms {
                self.set_fact(&format!("read:{}", source.name), &at_ms.to_string()).await?;
            }
        }
        Ok(())
    }

    /// Halts a source for good, until it is resumed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn halt(&self, source: &str, halt: &Halt) -> Result<(), Error> {
        self.set_fact(&fact(halt, source), &serde_json::to_string(halt)?).await
    }

    /// The same, durable with other writes.
    ///
    /// # Errors
    /// The database failed.
    pub async fn halt_with(&self, writes: &mut Writes, source: &str, halt: &Halt) -> Result<(), Error> {
        let sql = "-- halt_with\nINSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
        let halted = sqlx::query(sql).bind(fact(halt, source)).bind(serde_json::to_string(halt)?);
        halted.execute(&mut **writes).await?;
        Ok(())
    }

    /// Lets a source be read and sent again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resume(&self, source: &str) -> Result<(), Error> {
        self.forget_fact(&format!("paused:{source}")).await?;
        self.forget_fact(&format!("stopped:{source}")).await?;
        self.ready.notify_one();
        Ok(())
    }
}
