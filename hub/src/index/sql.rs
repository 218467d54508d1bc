//! The index in SQL: everything that the two engines share, which is everything but how many rows are handed over at once.
//!
//! - [`statement`]: a statement, its values, the cells of a row
//! - `statements` and `sql/*.sql`: every statement
//! - `cells`: rows to cells and back
//! - `commit`, `rewind`: writing; `look`, `read`: reading
//!
//! [`super::sqlite`] and [`super::postgres`] are the engines.

mod cells;
mod commit;
mod look;
mod read;
mod rewind;
pub mod statement;
mod statements;

use std::fmt;

use async_trait::async_trait;

use self::statement::{Args, Cells, Columns, Statement, broken};
use super::{
    Advance, Counts, DigestScope, Error, Index, Known, KnownQuery, LookUp, Looked,
    rows::{
        AlarmRow, AppendRow, FleetRow, HeadEntry, LedgerRow, OutcomeRow, PositionRow, QuarantineRow, RecentEntry, Rows,
        SubmissionId, VersionRow,
    },
};
use crate::{clock::Millis, log::Partition};

/// A database that keeps the index.
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync {
    /// A transaction that may write, the only one of its kind on an engine that has one writer. Durable when its `commit` returns.
    async fn write(&self) -> Result<Box<dyn Session>, Error>;

    /// A read-only snapshot: every statement in it sees the same state.
    async fn snapshot(&self) -> Result<Box<dyn Session>, Error>;

    /// For one reading statement.
    async fn once(&self) -> Result<Box<dyn Session>, Error>;

    /// Makes sure that what was overwritten or deleted is not kept beside the tables for longer than it must be.
    async fn scrub(&self) -> Result<(), Error> {
        Ok(())
    }

    /// What asks the server for its clock, in milliseconds; `None` where the engine has no clock but this process's.
    fn clock(&self) -> Option<&'static Statement> {
        None
    }
}

/// What is given to each row that was read.
pub type OnRow<'a> = &'a mut (dyn FnMut(Cells) -> Result<(), Error> + Send);

/// Statements on one connection. Dropped without `commit`, a transaction leaves nothing.
#[async_trait]
pub trait Session: Send {
    /// How this engine spells a batch whose values come after `singles` single ones.
    fn source(&self, columns: Columns, singles: usize) -> String;

    /// Runs a statement and hands over its rows one by one.
    async fn each(&mut self, sql: String, columns: Columns, args: Args, on_row: OnRow<'_>) -> Result<(), Error>;

    /// Runs a statement; how many rows it changed.
    async fn execute(&mut self, sql: String, columns: Columns, args: Args) -> Result<u64, Error>;

    /// Ends the transaction; what it wrote is durable when this returns.
    async fn commit(self: Box<Self>) -> Result<(), Error>;
}

impl dyn Session + '_ {
    fn prepare(&self, statement: &Statement, args: &Args) -> Result<String, Error> {
        let widths = args.batch.iter().all(|row| row.len() == statement.batch.len());
        if args.singles.len() != statement.singles || !widths {
            return Err(broken(&format!("{} was given the wrong number of values", statement.name())));
        }
        Ok(statement.sql(&self.source(statement.batch, statement.singles)))
    }

    /// Runs a statement; how many rows it changed. One with an empty batch is not run.
    pub(crate) async fn run(&mut self, statement: &Statement, args: Args) -> Result<u64, Error> {
        if !statement.batch.is_empty() && args.batch.is_empty() {
            return Ok(0);
        }
        let sql = self.prepare(statement, &args)?;
        self.execute(sql, statement.batch, args).await
    }

    /// Runs a statement and decodes its rows. One with an empty batch is not run.
    pub(crate) async fn rows<T: Send>(
        &mut self,
        statement: &Statement,
        args: Args,
        decode: fn(&mut Cells) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        if !statement.batch.is_empty() && args.batch.is_empty() {
            return Ok(rows);
        }
        let sql = self.prepare(statement, &args)?;
        let mut on_row = |mut cells: Cells| {
            rows.push(decode(&mut cells)?);
            Ok(())
        };
        self.each(sql, statement.batch, args, &mut on_row).await?;
        Ok(rows)
    }
}

/// An index on the engine `E`.
#[derive(Debug)]
pub struct SqlIndex<E> {
    pub(super) engine: E,
}

#[async_trait]
impl<E: Engine> Index for SqlIndex<E> {
    async fn positions(&self) -> Result<Vec<PositionRow>, Error> {
        read::positions(&self.engine).await
    }

    async fn lease(
        &self,
        partition: &Partition,
        owner: &str,
        now: Millis,
        until: Millis,
    ) -> Result<Option<PositionRow>, Error> {
        commit::lease(&self.engine, partition, owner, now, until).await
    }

    async fn release(&self, owner: &str) -> Result<(), Error> {
        commit::release(&self.engine, owner).await
    }

    async fn known(&self, queries: &[KnownQuery]) -> Result<Known, Error> {
        read::known(&self.engine, queries).await
    }

    async fn commit(&self, advance: &Advance, rows: &Rows) -> Result<(), Error> {
        commit::commit(&self.engine, advance, rows).await
    }

    async fn look(&self, look_ups: &[LookUp]) -> Result<Looked, Error> {
        look::look(&self.engine, look_ups).await
    }

    async fn outcomes(&self, submissions: &[SubmissionId]) -> Result<Vec<OutcomeRow>, Error> {
        read::outcomes(&self.engine, submissions).await
    }

    async fn heads(
        &self,
        department: &str,
        record_type: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<HeadEntry>, Error> {
        read::heads(&self.engine, department, record_type, after, limit).await
    }

    async fn raise_registry_floor(&self, floor: u64) -> Result<(), Error> {
        commit::raise_registry_floor(&self.engine, floor).await
    }

    async fn registry_floor(&self) -> Result<u64, Error> {
        read::registry_floor(&self.engine).await
    }

    async fn ledger_of_requests(&self, requests: &[(String, String)]) -> Result<Vec<LedgerRow>, Error> {
        read::ledger_of_requests(&self.engine, requests).await
    }

    async fn ledger(&self, from: u64, limit: u32) -> Result<Vec<LedgerRow>, Error> {
        read::ledger(&self.engine, from, limit).await
    }

    async fn quarantine(&self, department: &str, after: Option<&str>, limit: u32) -> Result<Vec<QuarantineRow>, Error> {
        read::quarantine(&self.engine, department, after, limit).await
    }

    async fn quarantine_open(&self, sender: &str) -> Result<u64, Error> {
        read::quarantine_open(&self.engine, sender).await
    }

    async fn refused_senders(&self, submissions: &[SubmissionId]) -> Result<Vec<(SubmissionId, String)>, Error> {
        read::refused_senders(&self.engine, submissions).await
    }

    async fn raise_alarms(&self, alarms: &[AlarmRow]) -> Result<(), Error> {
        commit::raise_alarms(&self.engine, alarms).await
    }

    async fn alarms(&self, limit: u32) -> Result<Vec<AlarmRow>, Error> {
        read::alarms(&self.engine, limit).await
    }

    async fn appends_of(&self, record_id: &str, version: u64) -> Result<Vec<AppendRow>, Error> {
        read::appends_of(&self.engine, record_id, version).await
    }

    async fn appends_in_quarantine(&self, key: &str) -> Result<Vec<AppendRow>, Error> {
        read::appends_in_quarantine(&self.engine, key).await
    }

    async fn version(&self, record_id: &str, version: u64) -> Result<Option<VersionRow>, Error> {
        read::version(&self.engine, record_id, version).await
    }

    async fn rewind(&self, partition: &Partition, owner: &str, to: u64, recent: &[RecentEntry]) -> Result<u64, Error> {
        rewind::rewind(&self.engine, partition, owner, to, recent).await
    }

    async fn lost(&self, partition: &Partition, limit: u32) -> Result<Vec<AppendRow>, Error> {
        read::lost(&self.engine, partition, limit).await
    }

    async fn settle_lost(&self, lost: &AppendRow) -> Result<(), Error> {
        commit::settle_lost(&self.engine, lost).await
    }

    async fn set_current(&self, partition: &Partition, owner: &str, current: bool) -> Result<(), Error> {
        commit::set_current(&self.engine, partition, owner, current).await
    }

    async fn position(&self, partition: &Partition) -> Result<Option<PositionRow>, Error> {
        read::position(&self.engine, partition).await
    }

    async fn digest(&self, scope: DigestScope) -> Result<[u8; 32], Error> {
        super::digest::digest(&self.engine, scope).await
    }

    async fn put_fleet(&self, row: &FleetRow) -> Result<(), Error> {
        commit::put_fleet(&self.engine, row).await
    }

    async fn fleet(&self) -> Result<Vec<FleetRow>, Error> {
        read::fleet(&self.engine).await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        read::counts(&self.engine).await
    }

    async fn clock(&self) -> Result<Option<Millis>, Error> {
        match self.engine.clock() {
            Some(statement) => read::clock(&self.engine, statement).await.map(Some),
            None => Ok(None),
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        commit::probe(&self.engine).await
    }
}
