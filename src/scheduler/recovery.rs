//! Runs that their worker has left behind: it panicked while it recorded one.
//!
//! The supervisor starts the worker again, and the first thing that does is to settle its last run: the training thread is
//! stopped, and the job goes back into the queue, from its last checkpoint. A job whose runs do this again and again fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::Scheduler;
use super::control::{Control, Stop};
use super::worker::{POLL, ended};
use crate::job::event::Event;
use crate::job::status::{Status, StopReason};
use crate::store::{RunKey, StoreError};

/// Runs of one job in a row whose worker panics, after which the job fails: with one more, the job would be requeued for
/// ever, or take the whole server down.
const MOST_PANICS: u32 = 3;

/// What one worker is working on; outlives its panics.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkerSlot(Arc<Mutex<Option<UnfinishedRun>>>);

/// A run that was begun and has not been settled.
#[derive(Debug, Clone)]
struct UnfinishedRun {
    run: RunKey,
    /// Cancelled once the run's training thread has ended, or if it was never started.
    thread_ended: CancellationToken,
}

/// A run under way. Dropped, also by a panic, it stops the training thread and takes the job out of the running ones.
#[derive(Debug)]
pub(super) struct ActiveRun {
    scheduler: Scheduler,
    job: Uuid,
    pub(super) control: Control,
    /// Held by the training thread, once there is one.
    pub(super) thread: Option<DropGuard>,
}

impl Drop for ActiveRun {
    fn drop(&mut self) {
        // Of no consequence for a run that has ended.
        self.control.stop(Stop::Fenced);
        self.scheduler.leave(self.job);
    }
}

impl WorkerSlot {
    fn lock(&self) -> MutexGuard<'_, Option<UnfinishedRun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a run begins.
    pub(super) fn begin(&self, scheduler: &Scheduler, run: RunKey) -> ActiveRun {
        let thread_ended = CancellationToken::new();
        let thread = Some(thread_ended.clone().drop_guard());
        *self.lock() = Some(UnfinishedRun { run, thread_ended });
        ActiveRun { scheduler: scheduler.clone(), job: run.job, control: scheduler.enter(run.job), thread }
    }

    /// Notes that it is settled.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }
}

impl Scheduler {
    /// Settles the run that a worker has left behind, if it has. Where the server shuts down first, the next start does.
    pub(super) async fn recover(&self, slot: &WorkerSlot) {
        let Some(UnfinishedRun { run, thread_ended }) = slot.lock().clone() else { return };
        // Its job must not be trained by two threads, though the old one can write nothing any more.
        tokio::select! {
            () = thread_ended.cancelled() => {}
            () = self.shutdown_token().cancelled() => return,
        }
        let panics = self.count_panic(run.job);
        tracing::error!(job = %run.job, attempt = run.attempt, panics, "the worker of this job panicked");
        if panics < MOST_PANICS {
            self.settle(run, || self.store().abandon(run, self.now())).await;
        } else {
            self.settle(run, || self.fail(run)).await;
            self.forget_panics(run.job);
        }
        // Some of its events may have been committed, but not passed on.
        self.hub().resync(run.job);
        slot.end();
    }

    /// Tries to end a run until that is done, or it no longer owns its job; only once where the server shuts down.
    pub(super) async fn settle<W, F>(&self, run: RunKey, mut write: W)
    where
        W: FnMut() -> F,
        F: Future<Output = Result<Vec<Event>, StoreError>>,
    {
        loop {
            match write().await {
                Ok(events) => {
                    self.hub().publish(events);
                    break;
                }
                Err(StoreError::Fenced) => break,
                Err(error) => {
                    tracing::warn!(job = %run.job, %error, "failed to write the end of a run");
                    self.storage().run_waits(run.job, &error);
                }
            }
            if self.is_shutting_down() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.shutdown_token().cancelled() => {}
            }
        }
        self.storage().run_goes_on(run.job);
    }

    async fn fail(&self, run: RunKey) -> Result<Vec<Event>, StoreError> {
        let job = self.store().job(run.job).await?.ok_or(StoreError::Fenced)?;
        let error = format!(
            "an internal error stopped {MOST_PANICS} runs of this job one after the other; the server's log has more"
        );
        let finish = ended(Status::Failed, StopReason::Error, Some(error), None, None, &job);
        self.store().finish(run, &finish, self.now()).await
    }
}
