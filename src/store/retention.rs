//! Checkpoints of jobs that have ended: the newest are kept, within bounds.
//!
//! One of a job that waits, runs or is paused is never removed, nor one that a job which waits, runs or is paused was
//! forked from.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::from_row::from_row;
use super::open::Store;
use super::row;

/// How many checkpoints of ended jobs are kept: those of the jobs that ended last, within every bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointRetention {
    /// Most checkpoints.
    pub max_count: u64,
    /// Most bytes of all of them together.
    pub max_bytes: u64,
    /// Longest time since the end of the job.
    pub max_age: Option<Duration>,
}

impl Default for CheckpointRetention {
    /// A hundred checkpoints, and a gibibyte.
    fn default() -> Self {
        Self { max_count: 100, max_bytes: 1 << 30, max_age: None }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedCheckpoints {
    /// Checkpoints.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The checkpoint of a job that has ended.
struct Kept {
    job: Uuid,
    bytes: i64,
    finished_at: String,
    is_needed: bool,
}
from_row!(Kept { job, bytes, finished_at, is_needed });

/// Whether a job that has not ended was forked from the one of this checkpoint.
macro_rules! is_needed {
    () => {
        "exists (select 1 from jobs as fork
                 where fork.forked_from = checkpoints.job and fork.status in ('queued', 'running', 'paused'))"
    };
}

impl Store {
    /// Removes the checkpoints of ended jobs that are beyond the bounds, those of the jobs that ended first before others,
    /// each in a transaction of its own. Their jobs say since when they are gone.
    ///
    /// # Errors
    /// Any failure of the database; some may have been removed already.
    pub async fn remove_old_checkpoints(
        &self,
        bounds: CheckpointRetention,
        at: Timestamp,
    ) -> Result<RemovedCheckpoints, StoreError> {
        let newest_first: Vec<Kept> = sqlx::query_as(concat!(
            "select checkpoints.job, blobs.bytes, jobs.finished_at, ",
            is_needed!(),
            " as is_needed
             from checkpoints join jobs on jobs.id = checkpoints.job join blobs on blobs.id = checkpoints.blob
             where jobs.finished_at is not null
             order by jobs.ended_seq desc"
        ))
        .fetch_all(&self.readers)
        .await?;
        let mut removed = RemovedCheckpoints::default();
        for kept in beyond(bounds, newest_first, at).into_iter().rev() {
            if self.remove_checkpoint(kept.job, at).await? {
                removed.count += 1;
                removed.bytes += u64::try_from(kept.bytes).unwrap_or(0);
            }
        }
        if removed.count > 0 {
            self.freed.notify_one();
        }
        Ok(removed)
    }

    /// Removes a checkpoint, unless its job goes on or is needed by now.
    async fn remove_checkpoint(&self, job: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let deleted = sqlx::query(concat!(
            "delete from checkpoints where job = ? and not ",
            is_needed!(),
            " and exists (select 1 from jobs where jobs.id = checkpoints.job and jobs.finished_at is not null)"
        ))
        .bind(job)
        .execute(&mut *tx)
        .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        note_removed(&mut tx, job, at).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The checkpoints that are beyond the bounds.
fn beyond(bounds: CheckpointRetention, newest_first: Vec<Kept>, at: Timestamp) -> Vec<Kept> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let mut is_full = false;
    let mut keep = |kept: &Kept| {
        let size = u64::try_from(kept.bytes).unwrap_or(u64::MAX);
        // One that is too large by itself does not cost the others their place.
        let is_too_large = size > bounds.max_bytes;
        let is_too_old = bounds.max_age.is_some_and(|max| kept.age(at).is_some_and(|age| max.is_zero() || age > max));
        if !kept.is_needed && (is_full || is_too_large || is_too_old) {
            return false;
        }
        is_full |= count + 1 > bounds.max_count || bytes.saturating_add(size) > bounds.max_bytes;
        if is_full && !kept.is_needed {
            return false;
        }
        count += 1;
        bytes = bytes.saturating_add(size);
        true
    };
    newest_first.into_iter().filter(|kept| !keep(kept)).collect()
}

impl Kept {
    /// Time since the end of its job; `None` where the clock says that it is yet to come, or the time cannot be read.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        let finished = row::time(&self.finished_at, "finished_at").ok()?;
        Duration::try_from(now.duration_since(finished)).ok()
    }
}

/// Notes in a job that its checkpoint is gone.
pub(super) async fn note_removed(db: &mut SqliteConnection, job: Uuid, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update jobs set checkpoint_removed_at = ? where id = ?")
        .bind(at.to_string())
        .bind(job)
        .execute(db)
        .await?;
    Ok(())
}
