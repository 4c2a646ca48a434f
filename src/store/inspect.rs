//! A database cared for from outside, whether a server has it open or not: copied, looked over, made compact.

use std::path::Path;

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use super::chunks;
use super::error::StoreError;
use super::open::{PATIENCE, faults};

/// What SQLite calls `auto_vacuum = incremental`.
const INCREMENTAL: i64 = 2;

/// A database that is only read.
#[derive(Debug)]
pub struct Inspection(SqliteConnection);

/// What a look over a database has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is damaged.
    pub faults: Vec<String>,
    /// Weights that were read.
    pub weights: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
}

impl Findings {
    /// Takes a fault from what a check ends with; passes on that it could not be made at all.
    fn take<T>(&mut self, checked: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match checked {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Corrupt(corrupt)) => {
                self.faults.push(corrupt.what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Inspection {
    /// Opens the database in this file, which must be there.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).read_only(true);
        Ok(Self(options.connect().await?))
    }

    /// Writes the state of one moment as a database of its own, which must not be there yet. Others write meanwhile.
    ///
    /// # Errors
    /// Any failure of the database, and where the file is there or cannot be written.
    pub async fn copy_to(&mut self, file: &Path) -> Result<(), StoreError> {
        let name = file.to_str().ok_or_else(|| StoreError::Internal(format!("{} is not UTF-8", file.display())))?;
        sqlx::query("vacuum into ?").bind(name).execute(&mut self.0).await?;
        Ok(())
    }

    /// Lets go of the database.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.0.close().await?)
    }

    /// Whether freed pages can be given back to the disk piece by piece: not in a database that another program has made
    /// otherwise. [`vacuum`] changes it.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn gives_space_back(&mut self) -> Result<bool, StoreError> {
        let mode: i64 = sqlx::query_scalar("select auto_vacuum from pragma_auto_vacuum").fetch_one(&mut self.0).await?;
        Ok(mode == INCREMENTAL)
    }

    /// Looks over everything: SQLite's own checks, and the SHA-256 of all weights and checkpoints.
    ///
    /// # Errors
    /// Where it cannot be read at all; what is damaged is a finding.
    pub async fn look_over(&mut self) -> Result<Findings, StoreError> {
        let own = faults(&mut self.0, "pragma integrity_check").await?;
        let mut findings = Findings { faults: own, ..Findings::default() };
        let orphans = self.orphans().await;
        let orphans = findings.take(orphans)?.unwrap_or_default();
        findings.faults.extend(orphans);
        // The list first, and then each as it is then: a server may replace or delete them meanwhile, and one long look
        // would keep its log from being folded in.
        let weights = sqlx::query_scalar("select sha256 from weights").fetch_all(&mut self.0).await;
        for sha256 in findings.take(weights.map_err(StoreError::from))?.unwrap_or_default() {
            let checked = self.check_weights(sha256).await;
            findings.weights += 1;
            findings.take(checked)?;
        }
        let jobs = sqlx::query_scalar("select job from checkpoints").fetch_all(&mut self.0).await;
        for job in findings.take(jobs.map_err(StoreError::from))?.unwrap_or_default() {
            let checked = self.check_checkpoint(job).await;
            findings.checkpoints += 1;
            findings.take(checked)?;
        }
        Ok(findings)
    }

    /// Rows that refer to others which are not there.
    async fn orphans(&mut self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String, Option<i64>, String)> =
            sqlx::query_as("select \"table\", rowid, parent from pragma_foreign_key_check")
                .fetch_all(&mut self.0)
                .await?;
        let tell = |(table, row, parent): (String, Option<i64>, String)| {
            let row = row.map_or_else(String::new, |row| format!(" {row}"));
            format!("row{row} of {table} refers to one of {parent} that is missing")
        };
        Ok(rows.into_iter().map(tell).collect())
    }

    async fn check_weights(&mut self, sha256: String) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        let blob = sqlx::query_scalar("select blob from weights where sha256 = ?").bind(&sha256);
        let Some(blob) = blob.fetch_optional(&mut *tx).await? else { return Ok(()) };
        chunks::walk(&mut tx, blob, &sha256, &format!("weights {sha256}"), |_| {}).await
    }

    async fn check_checkpoint(&mut self, job: Uuid) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        let row: Option<(String, i64)> = sqlx::query_as("select sha256, blob from checkpoints where job = ?")
            .bind(job)
            .fetch_optional(&mut *tx)
            .await?;
        let Some((sha256, blob)) = row else { return Ok(()) };
        chunks::walk(&mut tx, blob, &sha256, &format!("the checkpoint of job {job}"), |_| {}).await
    }
}

/// Writes a database anew, without free pages and such that later ones can be given back. Takes as much space again while
/// it lasts; no server may have it open.
///
/// # Errors
/// Any failure of the database; it is then as it was.
pub async fn vacuum(path: &Path) -> Result<(), StoreError> {
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).auto_vacuum(SqliteAutoVacuum::Incremental);
    let mut connection = options.connect().await?;
    sqlx::query("vacuum").execute(&mut connection).await?;
    sqlx::query("pragma wal_checkpoint(truncate)").fetch_all(&mut connection).await?;
    Ok(connection.close().await?)
}
