//! What can go wrong in the store.

use sqlx::migrate::MigrateError;

use crate::job::status::Status;

/// Why the store did not do what was asked. Nothing was written, unless the method says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The run no longer owns its job; it must stop and write nothing more.
    #[error("the run no longer owns its job")]
    Fenced,
    /// What is stored is not what was written.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The disk is full, or fails, or has become read-only.
    #[error("the disk is full or fails: {0}")]
    Full(#[source] sqlx::Error),
    /// The files of the database are no longer where they were when it was opened: what is written is lost.
    #[error("the data folder was removed or replaced while the server runs; restart it")]
    Replaced,
    /// Others hold the database for too long.
    #[error("the database is busy: {0}")]
    Busy(#[source] sqlx::Error),
    /// The store is closed, or closes.
    #[error("the store is closed")]
    Closed,
    /// The SQLite library is older than what this store trusts its data to.
    #[error("SQLite {found} can corrupt a database in WAL mode; {needed} or newer is needed")]
    OldSqlite {
        /// The version that was found.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The database's tables could not be brought up to date.
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[source] MigrateError),
    /// A job may not go from one of these states to the other.
    #[error("a job may not go from {from} to {to}")]
    IllegalMove {
        /// Where the job is.
        from: Status,
        /// Where it was to go.
        to: Status,
    },
    /// The caller broke the store's rules: a bug of ours.
    #[error("internal error: {0}")]
    Internal(String),
    /// Any other failure of the database.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Why the database cannot be written; `None` of errors that say nothing of that.
    pub fn write_failure(&self) -> Option<WriteFailure> {
        match self {
            Self::Full(error) => Some(match primary_code(error) {
                Some(FULL) => WriteFailure::Full,
                Some(READONLY) => WriteFailure::ReadOnly,
                _ => WriteFailure::Io,
            }),
            Self::Busy(_) => Some(WriteFailure::Busy),
            Self::Replaced => Some(WriteFailure::Replaced),
            Self::Database(_) => Some(WriteFailure::Other),
            _ => None,
        }
    }
}

/// Why the database cannot be written, as its clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailure {
    /// The disk has no room.
    #[error("the disk is full")]
    Full,
    /// The disk takes no writes.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The disk reports an error.
    #[error("the disk fails")]
    Io,
    /// Another process holds the database.
    #[error("another process holds the database")]
    Busy,
    /// The files of the database are no longer in their place.
    #[error("the data folder was removed or replaced while the server runs; restart it")]
    Replaced,
    /// Any other failure.
    #[error("the database fails; the server's log has more")]
    Other,
}

impl WriteFailure {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Full, Self::ReadOnly, Self::Io, Self::Busy, Self::Replaced, Self::Other];

    /// Its name in `/metrics`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Io => "io",
            Self::Busy => "busy",
            Self::Replaced => "replaced",
            Self::Other => "other",
        }
    }
}

/// SQLite's primary result code.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}

/// What is stored is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt data: {what}")]
pub struct Corrupt {
    /// What, and how it shows.
    pub what: String,
}

impl Corrupt {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) => match primary_code(&error) {
                Some(FULL | IOERR | READONLY) => Self::Full(error),
                Some(BUSY | LOCKED) => Self::Busy(error),
                Some(CORRUPT | NOTADB) => Self::Corrupt(Corrupt::new(format!("the database file: {e}"))),
                _ => Self::Database(error),
            },
            sqlx::Error::PoolTimedOut => Self::Busy(error),
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::ColumnDecode { .. } => Self::Corrupt(Corrupt::new(error.to_string())),
            _ => Self::Database(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => match error.into() {
                Self::Database(error) => Self::Migrate(MigrateError::ExecuteMigration(error, version)),
                other => other,
            },
            other => Self::Migrate(other),
        }
    }
}

// SQLite's primary result codes: the low byte of what its driver reports.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOTADB: u32 = 26;
