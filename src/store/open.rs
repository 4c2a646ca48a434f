//! The database: opened, brought up to date, closed.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};
use tokio::sync::Notify;

use super::error::{Corrupt, StoreError};
use super::faults::Faults;
use super::location::Location;
use super::migrations::MIGRATIONS;
use super::outbox::Outbox;
use crate::clock::Patience;

/// The oldest SQLite that does not corrupt a database in WAL mode (its "WAL-reset bug").
const OLDEST_SQLITE: (&str, [u32; 3]) = ("3.51.3", [3, 51, 3]);

/// How long a writer of another process, or a queue for our own connections, is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The driver's own bound for that, which is only to end at all.
const LONGEST_QUEUE: Duration = Duration::from_secs(600);

const READERS: u32 = 4;

/// The largest file that is checked whenever it is opened, in bytes.
const CHECKED: u64 = 64 << 20;

/// A transaction that writes; dropped without a commit, it never was.
#[derive(Debug)]
pub(super) struct Tx {
    inner: Transaction<'static, Sqlite>,
    faults: Faults,
    location: Location,
    pub(super) outbox: Outbox,
    /// Whether it has written a message.
    pub(super) announced: bool,
}

impl Tx {
    /// Makes all that was written durable.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.faults.at_commit()?;
        self.inner.commit().await?;
        // What was written into files that went meanwhile is not acknowledged.
        self.location.check()?;
        if self.announced {
            self.outbox.tell();
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

/// Jobs, their logs, checkpoints and weights, and models: one SQLite file. A clone is another handle of the same.
///
/// All writes go over one connection, so that they wait for each other in a fair queue instead of failing as busy, and
/// a read never waits for them. What a method has returned from is on the disk.
#[derive(Clone)]
pub struct Store {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// Where the database is.
    pub(super) path: Arc<Path>,
    location: Location,
    /// Told when something was deleted.
    pub(super) freed: Arc<Notify>,
    pub(super) outbox: Outbox,
    sqlite_version: Arc<str>,
    faults: Faults,
    /// Milliseconds that servers were up with this database before this one.
    pub(super) uptime_before: i64,
}

impl Store {
    /// Opens the database in this file; makes the file and its tables where they are missing.
    ///
    /// # Errors
    /// Where it cannot be opened or brought up to date, a look over a small one finds it damaged
    /// ([`StoreError::Corrupt`]), or the SQLite library is too old.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_faults(path, Faults::default()).await
    }

    /// Opens the database as [`open`](Self::open) does; its writes can then be made to fail, for tests.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub async fn open_with_faults(path: &Path, faults: Faults) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).foreign_keys(true);
        let pool = || {
            SqlitePoolOptions::new()
                // It is bounded where it matters, by what a stop of the process does not use up.
                .acquire_timeout(LONGEST_QUEUE)
                // A connection that is kept costs little, and closing the last one folds in the whole log.
                .idle_timeout(None)
                .max_lifetime(None)
                // SQLite itself rolls back on a full or failing disk. The driver's own rollback then fails and leaves it
                // counting a transaction that is no more, and the connection would begin no other: it is replaced.
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let writer = pool()
            .max_connections(1)
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    // Only a database without tables can be told this; pages that deleted checkpoints leave can then
                    // be given back.
                    .auto_vacuum(SqliteAutoVacuum::Incremental)
                    .journal_mode(SqliteJournalMode::Wal)
                    // With less, a power cut can take back what was acknowledged.
                    .synchronous(SqliteSynchronous::Full)
                    // What one large checkpoint has blown the log up to is given back.
                    .pragma("journal_size_limit", "67108864"),
            )
            .await?;
        let sqlite_version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(&writer).await?;
        check_version(&sqlite_version)?;
        check_small(&writer, path).await?;
        MIGRATIONS.run(&writer).await?;
        let uptime_before = sqlx::query_scalar("select ms from uptime").fetch_one(&writer).await?;
        // All at once: where the folder is removed later, none could be opened any more.
        let readers =
            pool().min_connections(READERS).max_connections(READERS).connect_with(options.read_only(true)).await?;
        let (location, path, freed, outbox) = (Location::of(path), Arc::from(path), Arc::default(), Outbox::default());
        let sqlite_version = sqlite_version.into();
        Ok(Self { writer, readers, path, location, freed, outbox, sqlite_version, faults, uptime_before })
    }

    /// The version of the SQLite library.
    pub fn sqlite_version(&self) -> &str {
        &self.sqlite_version
    }

    /// Whether the store can write now: writes what is there already, and makes it durable.
    ///
    /// # Errors
    /// Where it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("update uptime set ms = ms").execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Whether the files of the database are where they were when it was opened.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if they were removed, moved away or replaced; [`StoreError::Closed`].
    pub fn is_in_place(&self) -> Result<(), StoreError> {
        // Whoever closes the database removes its log.
        if self.writer.is_closed() { Err(StoreError::Closed) } else { self.location.check() }
    }

    /// Closes the database, after the transactions under way.
    pub async fn close(&self) {
        // The writer last: the last connection to go folds the log into the database, which a reader cannot.
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins to write. Nothing else may be asked of a pool until this transaction ends.
    pub(super) async fn write(&self) -> Result<Tx, StoreError> {
        self.is_in_place()?;
        // Taking the write lock at once: a reader that turns writer later can find that it read what is gone.
        let mut inner = tokio::select! {
            begun = self.writer.begin_with("BEGIN IMMEDIATE") => begun?,
            () = Patience::new(PATIENCE) => return Err(StoreError::Busy(sqlx::Error::PoolTimedOut)),
        };
        self.faults.at_begin(&mut inner).await?;
        let (faults, location) = (self.faults.clone(), self.location.clone());
        Ok(Tx { inner, faults, location, outbox: self.outbox.clone(), announced: false })
    }

    /// Begins to read from one moment's state.
    pub(super) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("sqlite_version", &self.sqlite_version).finish_non_exhaustive()
    }
}

/// Looks over a database that is small enough for that to take no time.
async fn check_small(db: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) > CHECKED {
        return Ok(());
    }
    match faults(&mut *db.acquire().await?, "pragma integrity_check(1)").await?.first() {
        None => Ok(()),
        Some(fault) => Err(Corrupt::new(format!("{fault}; `dojang doctor` tells more")).into()),
    }
}

/// What one of SQLite's own checks finds; also that the file is too damaged for it.
pub(super) async fn faults(db: &mut SqliteConnection, check: &'static str) -> Result<Vec<String>, StoreError> {
    let lines = sqlx::query_scalar(check).fetch_all(db).await.map_err(StoreError::from);
    let lines: Vec<String> = match lines {
        Err(StoreError::Corrupt(corrupt)) => return Ok(vec![corrupt.what]),
        lines => lines?,
    };
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("the database file: {line}")).collect())
}

fn check_version(found: &str) -> Result<(), StoreError> {
    let mut parts = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let parts = [0; 3].map(|zero| parts.next().unwrap_or(zero));
    let (needed, oldest) = OLDEST_SQLITE;
    if parts < oldest { Err(StoreError::OldSqlite { found: found.into(), needed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_refused() {
        for good in ["3.51.3", "3.51.10", "3.52.0", "4.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["3.51.2", "3.9.9", "3.51", "", "x"] {
            let error = check_version(bad).expect_err(bad).to_string();
            assert!(error.contains("3.51.3 or newer"), "{error}");
        }
    }
}
