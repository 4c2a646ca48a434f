//! Jobs claimed and given back.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::checkpoints::{self, StoredCheckpoint};
use super::error::{Corrupt, StoreError};
use super::moves::{Head, Move};
use super::open::{Store, Tx};
use super::run::RunKey;
use super::{history, row};
use crate::job::event::Event;
use crate::job::hold::{FREE_STARTS, MAX_FAILED_STARTS, hold_back, most_vain_starts};
use crate::job::status::{Status, StopReason};
use crate::job::view::{Job, steps_per_epoch};

/// What the log says of a job that waits again.
const INTERRUPTED: &str = "its run was interrupted; goes on from the last checkpoint";
/// What it says of one that is held back at its next start.
const HELD_BACK: &str = "its runs were interrupted again and again before they saved a checkpoint; waits for a while";

/// What it says of one that is paused, as the server has died at each of its last starts.
fn crash_loop(failed_starts: u32) -> String {
    format!(
        "paused: the server died at each of its last {failed_starts} starts before it saved a checkpoint; resume to try again"
    )
}

/// A job that a worker may now train.
#[derive(Debug)]
pub struct Claim {
    /// What to show with all that the run writes.
    pub run: RunKey,
    /// The job, as it is from now on: at the step of its checkpoint.
    pub job: Job,
    /// The events that were added.
    pub events: Vec<Event>,
    /// The id of the newest event: the run's first is the next.
    pub last_event_id: u64,
    /// Starts before this one at which the server died, since the job's last checkpoint.
    pub failed_starts: u32,
    /// Where to go on from, if it was begun before. Where that cannot be read the run has to fail.
    pub checkpoint: Result<Option<StoredCheckpoint>, Corrupt>,
}

impl Store {
    /// Gives the waiting job of the highest priority that has waited longest to a worker; `None` where none waits.
    ///
    /// A job that has brought servers down at its last starts is left out until this one is `up` for as long as
    /// [`hold_back`] says, and while another such job has not yet saved a checkpoint: where several were running when the
    /// server died, only one of them is to blame. Figures past the job's checkpoint are deleted: those steps will be trained again. A job that
    /// cannot be read fails, and the next one is taken.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn claim(&self, at: Timestamp, up: Duration) -> Result<Option<Claim>, StoreError> {
        loop {
            let mut tx = self.write().await?;
            let id: Option<Uuid> = sqlx::query_scalar(
                "select id from jobs
                 where status = 'queued' and vain_starts <= ?1
                   and (vain_starts < ?2
                        or not exists (select 1 from jobs as suspect
                                       where suspect.status = 'running' and suspect.vain_starts > ?2))
                 order by priority desc, seq limit 1",
            )
            .bind(most_vain_starts(up))
            .bind(FREE_STARTS)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(id) = id else { return Ok(None) };
            let mut head = head(&mut tx, id).await?;
            let failed_starts = head.vain_starts;
            if let Err(StoreError::Corrupt(corrupt)) = row::get(&mut tx, id).await {
                // It would stop the queue for ever.
                let failed = Move::to(Status::Failed, at);
                let failed = Move { stop_reason: Some(StopReason::Error), error: Some(corrupt.to_string()), ..failed };
                failed.make(&mut tx, &mut head).await?;
                tx.commit().await?;
                continue;
            }
            let events = Move::to(Status::Running, at).make(&mut tx, &mut head).await?;
            rewind(&mut tx, &mut head).await?;
            // Read before the commit: a claim that fails later would leave a running job that nobody runs.
            let checkpoint = match checkpoints::read(&mut tx, id).await {
                Ok(checkpoint) => Ok(checkpoint),
                Err(StoreError::Corrupt(corrupt)) => Err(corrupt),
                Err(error) => return Err(error),
            };
            let job = row::get(&mut tx, id).await?;
            tx.commit().await?;
            let run = RunKey { job: id, attempt: head.attempt };
            return Ok(Some(Claim { run, job, events, last_event_id: head.log.last(), failed_starts, checkpoint }));
        }
    }

    /// Puts all running jobs back into the queue, each at its old place: for a server that starts, and so knows that
    /// none is being trained. Those whose client had asked for it are cancelled or paused, and those at whose last
    /// [`MAX_FAILED_STARTS`] starts the server died are paused. Returns those that wait again.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn requeue_running(&self, at: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        let mut tx = self.write().await?;
        let running: Vec<Uuid> =
            sqlx::query_scalar("select id from jobs where status = 'running' order by seq").fetch_all(&mut *tx).await?;
        let mut waiting = Vec::new();
        for id in running {
            let mut head = head(&mut tx, id).await?;
            if head.vain_starts >= MAX_FAILED_STARTS && !head.cancel_requested && !head.pause_requested {
                pause_crash_loop(&mut tx, &mut head, at).await?;
            } else {
                give_back(&mut tx, &mut head, at).await?;
            }
            if head.status == Status::Queued {
                waiting.push(id);
            }
        }
        tx.commit().await?;
        Ok(waiting)
    }

    /// Ends a run that could not write what it had to: its job waits again, or is cancelled or paused where its client has
    /// asked for that, at its last checkpoint. Returns the events that were added.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the run no longer owns the job; any failure of the database.
    pub async fn abandon(&self, run: RunKey, at: Timestamp) -> Result<Vec<Event>, StoreError> {
        let mut tx = self.write().await?;
        let mut head = Head::owned(&mut tx, run).await?;
        head.uncount_start(&mut tx).await?;
        let events = give_back(&mut tx, &mut head, at).await?;
        tx.commit().await?;
        Ok(events)
    }
}

/// A running job waits again, unless its client has asked to cancel or to pause it: the former counts for more.
pub(super) async fn give_back(tx: &mut Tx, head: &mut Head, at: Timestamp) -> Result<Vec<Event>, StoreError> {
    let back = match (head.cancel_requested, head.pause_requested) {
        (true, _) => Move::cancel(at),
        (false, true) => Move::to(Status::Paused, at),
        (false, false) => {
            let held_back = !hold_back(head.vain_starts).is_zero();
            Move {
                detail: Some(if held_back { HELD_BACK } else { INTERRUPTED }.into()),
                ..Move::to(Status::Queued, at)
            }
        }
    };
    back.make(tx, head).await
}

/// Pauses a job at whose every start the server dies. Its client resumes it when the cause is cured.
async fn pause_crash_loop(tx: &mut Tx, head: &mut Head, at: Timestamp) -> Result<Vec<Event>, StoreError> {
    let why = crash_loop(head.vain_starts);
    tracing::warn!(job = %head.id, "{why}");
    let pause = Move {
        stop_reason: Some(StopReason::CrashLoop),
        error: Some(why.clone()),
        detail: Some(why.into()),
        ..Move::to(Status::Paused, at)
    };
    pause.make(tx, head).await
}

async fn head(db: &mut SqliteConnection, id: Uuid) -> Result<Head, StoreError> {
    Head::find(db, id).await?.ok_or_else(|| StoreError::Internal(format!("job {id} is gone")))
}

/// Takes a claimed job back to its checkpoint: what was done after it is lost.
async fn rewind(db: &mut SqliteConnection, head: &mut Head) -> Result<(), StoreError> {
    let step = checkpoints::step(db, head.id).await?;
    let job = row::get(db, head.id).await?;
    let metrics = history::rewind(db, head.id, step, &job.metrics).await?;
    let step = u64::try_from(step).unwrap_or(0);
    if job.progress.step > step {
        let per_epoch = steps_per_epoch(job.train_samples, job.spec.batch_size);
        head.record(db, &history::progress_at(&job.progress, step, per_epoch), &metrics).await?;
    }
    Ok(())
}
