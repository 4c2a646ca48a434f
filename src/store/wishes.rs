//! What clients wish of a job's life: that it stop, for now or for good, or go on.
//!
//! A wish is on the disk before it is acknowledged. A job that waits is moved at once; the run of one that is trained finds
//! the wish and gives the job back (`run`), as does the next server after a crash (`queue`).

use jiff::Timestamp;
use uuid::Uuid;

use super::error::StoreError;
use super::moves::{Head, Move};
use super::open::{Store, Tx};
use super::row;
use crate::job::event::Event;
use crate::job::status::Status;
use crate::job::view::Job;

/// What the log says of a job that its client lets go on.
const RESUMED: &str = "resumed; goes on from the last checkpoint";

/// What came of a client's wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// The job, as it is now.
    pub job: Job,
    /// The events that were added: none unless the job was moved at once.
    pub events: Vec<Event>,
}

/// Why a wish is refused: the job's state does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A job that has ended cannot be paused.
    #[error("the job is {0}: only one that waits or runs can be paused")]
    Ended(Status),
    /// A job that is being cancelled cannot be paused.
    #[error("the job is being cancelled: a pause would come too late")]
    Cancelling,
    /// A job that waits, runs or is paused cannot be deleted.
    #[error("the job is {0}: cancel it first, and delete it when it has ended")]
    NotEnded(Status),
    /// A cancelled job whose checkpoint was removed cannot go on.
    #[error(
        "the job's checkpoint was removed at {0}, by this server's bounds on checkpoints of ended jobs (--keep-checkpoints, --checkpoints-max-count, -bytes, -age): it cannot go on; submit a new job"
    )]
    CheckpointRemoved(Timestamp),
    /// A job that has ended by itself cannot go on.
    #[error("the job has {0}: only one that was paused or cancelled can be resumed; fork it to train on from its end")]
    Over(Status),
}

impl Store {
    /// Cancels a job that waits or is paused, and tells the run of one that is trained to stop. One that has ended, or is
    /// told already, stays as it is. `None` where there is no such job.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn cancel(&self, id: Uuid, at: Timestamp) -> Result<Option<Granted>, StoreError> {
        let mut tx = self.write().await?;
        let Some(mut head) = Head::find(&mut tx, id).await? else { return Ok(None) };
        if !head.status.is_final() && !head.cancel_requested {
            sqlx::query("update jobs set cancel_requested = 1 where id = ?").bind(id).execute(&mut *tx).await?;
            head.cancel_requested = true;
        }
        let waits = matches!(head.status, Status::Queued | Status::Paused);
        grant(tx, head, waits.then(|| Move::cancel(at))).await.map(Some)
    }

    /// Pauses a job that waits, and tells the run of one that is trained to stop. A paused one stays as it is. `None`
    /// where there is no such job.
    ///
    /// # Errors
    /// Any failure of the database. The inner error is a refusal: of a job that has ended, or is being cancelled.
    pub async fn pause(&self, id: Uuid, at: Timestamp) -> Result<Option<Result<Granted, Refused>>, StoreError> {
        let mut tx = self.write().await?;
        let Some(head) = Head::find(&mut tx, id).await? else { return Ok(None) };
        if head.status.is_final() {
            return Ok(Some(Err(Refused::Ended(head.status))));
        }
        if head.cancel_requested {
            return Ok(Some(Err(Refused::Cancelling)));
        }
        if head.status == Status::Running {
            sqlx::query("update jobs set pause_requested = 1 where id = ?").bind(id).execute(&mut *tx).await?;
        }
        let waits = head.status == Status::Queued;
        grant(tx, head, waits.then(|| Move::to(Status::Paused, at))).await.map(|granted| Some(Ok(granted)))
    }

    /// Lets a job go on that was paused or cancelled: it waits at its old place, or, where its run has not stopped yet,
    /// the wish that it stop is taken back. One that waits or runs stays as it is. `None` where there is no such job.
    ///
    /// # Errors
    /// Any failure of the database. The inner error is a refusal: of a job that has ended by itself, or whose checkpoint was
    /// removed.
    pub async fn resume(&self, id: Uuid, at: Timestamp) -> Result<Option<Result<Granted, Refused>>, StoreError> {
        let mut tx = self.write().await?;
        let Some(mut head) = Head::find(&mut tx, id).await? else { return Ok(None) };
        let back = match head.status {
            Status::Succeeded | Status::Failed => return Ok(Some(Err(Refused::Over(head.status)))),
            Status::Queued => None,
            Status::Running => {
                // Its run may have heard of it: then it gives the job back, which finds no wish and waits again.
                sqlx::query("update jobs set cancel_requested = 0, pause_requested = 0 where id = ?")
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
                None
            }
            Status::Paused | Status::Cancelled => {
                if let Some(at) = row::get(&mut tx, id).await?.checkpoint_removed_at {
                    return Ok(Some(Err(Refused::CheckpointRemoved(at))));
                }
                head.forgive(&mut tx).await?;
                Some(Move { detail: Some(RESUMED.into()), ..Move::to(Status::Queued, at) })
            }
        };
        grant(tx, head, back).await.map(|granted| Some(Ok(granted)))
    }
}

/// Moves the job, if it is to be moved, and commits.
async fn grant(mut tx: Tx, mut head: Head, to: Option<Move>) -> Result<Granted, StoreError> {
    let events = match to {
        Some(to) => to.make(&mut tx, &mut head).await?,
        None => vec![],
    };
    let job = row::get(&mut tx, head.id).await?;
    tx.commit().await?;
    Ok(Granted { job, events })
}
