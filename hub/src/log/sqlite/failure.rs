//! What an error of SQLite means for an append. The only place that reads its codes.

/// Where in the transaction it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing can stand yet.
    BeforeCommit,
    /// The commit itself.
    Commit,
}

/// A failed transaction.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    /// What the disk holds is no longer known: nothing may be stored before a restart.
    pub(super) breaks: bool,
    /// The entries may or may not stand.
    pub(super) unknown: bool,
    /// The disk is full.
    pub(super) full: bool,
}

// Primary result codes, https://www.sqlite.org/rescode.html
const ERROR: u32 = 1;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NOMEM: u32 = 7;
const FULL: u32 = 13;
const TOOBIG: u32 = 18;
const CONSTRAINT: u32 = 19;

impl Failure {
    pub(super) fn of(error: sqlx::Error, stage: Stage) -> Self {
        let code = primary_code(&error);
        // A full disk is met while writing frames, before the one that marks the commit: nothing stands. An error of an
        // fsync, of reading, of the file's form, or one that is not known, leaves doubt about the disk.
        let harmless = match stage {
            Stage::BeforeCommit => {
                matches!(code, Some(ERROR | BUSY | LOCKED | NOMEM | FULL | TOOBIG | CONSTRAINT))
                    || matches!(error, sqlx::Error::Encode(_))
            }
            Stage::Commit => matches!(code, Some(BUSY | FULL)),
        };
        Self {
            message: error.to_string(),
            breaks: !harmless,
            unknown: stage == Stage::Commit && !harmless,
            full: code == Some(FULL),
        }
    }

    /// Whether a rollback only failed because SQLite had already done it.
    pub(super) fn no_transaction(error: &sqlx::Error) -> bool {
        primary_code(error) == Some(ERROR)
    }
}

/// The low byte of the extended code.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}
