//! Checkpoints: the newest of each job.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::chunks;
use super::error::StoreError;
use super::from_row::from_row;
use super::open::Store;
use super::row::int;

/// A state of training to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheckpoint {
    /// The state.
    pub bytes: Vec<u8>,
    /// Its SHA-256, in lowercase hexadecimal digits.
    pub sha256: String,
    /// Mini-batches done.
    pub step: u64,
    /// Seconds of training so far, over all attempts.
    pub trained_seconds: f64,
}

/// A state of training as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCheckpoint {
    /// The state.
    pub bytes: Vec<u8>,
    /// Its SHA-256, in lowercase hexadecimal digits.
    pub sha256: String,
    /// Mini-batches done.
    pub step: u64,
    /// Seconds of training so far, over all attempts.
    pub trained_seconds: f64,
}

/// A checkpoint, before its bytes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSize {
    /// SHA-256 of its bytes, in lowercase hexadecimal digits.
    pub sha256: String,
    /// How many there are.
    pub bytes: u64,
}

impl Store {
    /// SHA-256 and size of a job's newest checkpoint, if it has one.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn checkpoint_size(&self, job: Uuid) -> Result<Option<CheckpointSize>, StoreError> {
        let found: Option<(String, i64)> = sqlx::query_as(
            "select checkpoints.sha256, blobs.bytes from checkpoints join blobs on blobs.id = checkpoints.blob
             where checkpoints.job = ?",
        )
        .bind(job)
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.map(|(sha256, bytes)| CheckpointSize { sha256, bytes: u64::try_from(bytes).unwrap_or(0) }))
    }

    /// A job's newest checkpoint, if it has one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its bytes are not what was written; any failure of the database.
    pub async fn checkpoint(&self, job: Uuid) -> Result<Option<StoredCheckpoint>, StoreError> {
        // One moment's state: else the run could replace the chunks while they are read.
        read(&mut *self.read().await?, job).await
    }
}

struct Row {
    step: u64,
    trained_seconds: f64,
    sha256: String,
    blob: i64,
}
from_row!(Row { step: i64, trained_seconds, sha256, blob });

/// The step of a job's checkpoint; 0 without one.
pub(super) async fn step(db: &mut SqliteConnection, job: Uuid) -> Result<i64, StoreError> {
    let step: Option<i64> =
        sqlx::query_scalar("select step from checkpoints where job = ?").bind(job).fetch_optional(db).await?;
    Ok(step.unwrap_or(0))
}

pub(super) async fn read(db: &mut SqliteConnection, job: Uuid) -> Result<Option<StoredCheckpoint>, StoreError> {
    let row: Option<Row> = sqlx::query_as("select step, trained_seconds, sha256, blob from checkpoints where job = ?")
        .bind(job)
        .fetch_optional(&mut *db)
        .await?;
    let Some(Row { step, trained_seconds, sha256, blob }) = row else { return Ok(None) };
    let bytes = chunks::read(db, blob, &sha256, &format!("the checkpoint of job {job}")).await?;
    Ok(Some(StoredCheckpoint { bytes, sha256, step, trained_seconds }))
}

/// Puts a checkpoint in the place of the former one.
pub(super) async fn replace(db: &mut SqliteConnection, job: Uuid, new: &NewCheckpoint) -> Result<(), StoreError> {
    delete(&mut *db, job).await?;
    let blob = chunks::write(&mut *db, &new.bytes).await?;
    sqlx::query("insert into checkpoints (job, step, trained_seconds, sha256, blob) values (?, ?, ?, ?, ?)")
        .bind(job)
        .bind(int(new.step)?)
        .bind(new.trained_seconds)
        .bind(&new.sha256)
        .bind(blob)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes a job's checkpoint; a trigger takes its bytes.
pub(super) async fn delete(db: &mut SqliteConnection, job: Uuid) -> Result<(), StoreError> {
    sqlx::query("delete from checkpoints where job = ?").bind(job).execute(db).await?;
    Ok(())
}
