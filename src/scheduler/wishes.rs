//! What clients wish of a job's life: cancelled, paused, resumed.

use uuid::Uuid;

use super::Scheduler;
use super::control::Stop;
use crate::job::fault::Faults;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::store::{Granted, Refused, StoreError};

/// Why a wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// The job's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What a cancelled job needs is no longer there.
    #[error("the job can no longer be trained: {0}")]
    Faults(#[from] Faults),
    /// The store failed.
    #[error("failed to keep the wish: {0}")]
    Store(#[from] StoreError),
}

impl Scheduler {
    /// Cancels a job: one that waits or is paused at once, a running one within a mini-batch. Its last checkpoint is kept.
    /// Asking again changes nothing. When this returns, the wish is durable.
    ///
    /// # Errors
    /// If the store fails. `None` if there is no such job.
    pub async fn cancel(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        let Some(granted) = self.storage().counted(self.store().cancel(id, self.now()).await)? else { return Ok(None) };
        Ok(Some(self.see_to(granted).await))
    }

    /// Pauses a job: a waiting one at once, a running one within a mini-batch, with a checkpoint. Asking again changes
    /// nothing. When this returns, the wish is durable.
    ///
    /// # Errors
    /// If the job has ended or is being cancelled, or the store fails. `None` if there is no such job.
    pub async fn pause(&self, id: Uuid) -> Result<Option<Job>, WishError> {
        let Some(granted) = self.storage().counted(self.store().pause(id, self.now()).await)? else { return Ok(None) };
        Ok(Some(self.see_to(granted?).await))
    }

    /// Lets a job go on that was paused or cancelled, or takes the wish back that it stop. Asking again changes nothing.
    ///
    /// # Errors
    /// If the job has ended by itself, a cancelled one can no longer be trained, or the store fails. `None` if there is no
    /// such job.
    pub async fn resume(&self, id: Uuid) -> Result<Option<Job>, WishError> {
        let _intake = self.no_removal().await;
        let Some(job) = self.store().job(id).await? else { return Ok(None) };
        if job.status == Status::Cancelled {
            // Nothing has kept its dataset for it.
            self.plan_with_data(job.spec)?;
        }
        let Some(granted) = self.storage().counted(self.store().resume(id, self.now()).await)? else { return Ok(None) };
        let job = self.see_to(granted?).await;
        self.wake().notify_one();
        Ok(Some(job))
    }

    /// Tells of what was done at once, and the run of what it has to do.
    async fn see_to(&self, granted: Granted) -> Job {
        let Granted { job, events } = granted;
        self.hub().publish(events);
        if job.status == Status::Running && (job.cancel_requested || job.pause_requested) {
            self.stop_run(job.id, Stop::GiveBack);
        }
        if job.status.is_final() {
            self.job_ended().notify_one();
        }
        // The wish is granted, whether or not the job's turn can be estimated.
        self.estimated(job.clone()).await.unwrap_or(job)
    }
}
