//! Jobs and weights taken in.

use uuid::Uuid;

use super::Scheduler;
use crate::job::fault::Faults;
use crate::job::plan::Plan;
use crate::job::spec::TrainSpec;
use crate::job::view::Job;
use crate::store::{Admitted, Fork, Keyed, ModelVersion, NewJob, NewVersion, RequestKey, StoreError, Terms};

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The spec cannot be trained.
    #[error("the spec has faults: {0}")]
    Faults(#[from] Faults),
    /// The job could not be kept.
    #[error("failed to keep the job: {0}")]
    Store(#[from] StoreError),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// So many jobs wait already.
    #[error("{0} jobs wait already; try again when some have begun")]
    QueueFull(u64),
    /// Another request has used the same key.
    #[error("another request has used this `Idempotency-Key`; a new request needs a new one")]
    KeyTaken,
    /// There is no such job to begin from.
    #[error("there is no job {0}")]
    NoSource(Uuid),
    /// The job that is to be gone on with, or done again, is not in a state for that.
    #[error("{0}")]
    Conflict(String),
}

impl Scheduler {
    /// Takes a job in. When this returns, the job is durable. A request whose key has made a job before gets that job, as
    /// it is now.
    ///
    /// # Errors
    /// Every fault of the spec, or why the job cannot be kept.
    pub async fn submit(&self, spec: TrainSpec, key: Option<&RequestKey>) -> Result<Job, SubmitError> {
        if let Some(job) = self.known(key).await? {
            return Ok(job);
        }
        let _intake = self.no_removal().await;
        let plan = self.plan_with_data(spec)?;
        self.admit(self.new_job(&plan, None, None), key).await
    }

    /// Takes weights in that no job has trained, as the next version of their model. When this returns, it is durable.
    ///
    /// # Errors
    /// If their dataset has gone meanwhile, or why they cannot be kept.
    pub async fn take_version(&self, new: NewVersion) -> Result<ModelVersion, SubmitError> {
        if self.is_shutting_down() {
            return Err(SubmitError::ShuttingDown);
        }
        let _intake = self.no_removal().await;
        self.plan(new.spec.clone())?;
        Ok(self.storage().counted(self.store().import_version(&new, self.now()).await)?)
    }

    /// The job that a request with this key has made. Asked before anything is checked: what was accepted once stays so,
    /// though the queue is full now or the dataset gone.
    pub(super) async fn known(&self, key: Option<&RequestKey>) -> Result<Option<Job>, SubmitError> {
        if self.is_shutting_down() {
            return Err(SubmitError::ShuttingDown);
        }
        let Some(key) = key else { return Ok(None) };
        match self.store().keyed(key, self.up()).await? {
            None => Ok(None),
            Some(Keyed::Job(job)) => Ok(Some(self.estimated(*job).await?)),
            Some(Keyed::Other) => Err(SubmitError::KeyTaken),
        }
    }

    /// Keeps a job that is checked, tells of it and wakes a worker.
    pub(super) async fn admit(&self, new: NewJob, key: Option<&RequestKey>) -> Result<Job, SubmitError> {
        let terms = Terms { max_queued: Some(self.capacity().max_queued), key, up: self.up() };
        let job = match self.storage().counted(self.store().admit(&new, terms).await)? {
            Admitted::New(job, events) => {
                self.hub().publish(events);
                self.wake().notify_one();
                *job
            }
            Admitted::Known(job) => *job,
            Admitted::KeyTaken => return Err(SubmitError::KeyTaken),
            Admitted::QueueFull(waiting) => return Err(SubmitError::QueueFull(waiting)),
        };
        // It is accepted, whether or not its turn can be estimated.
        Ok(self.estimated(job.clone()).await.unwrap_or(job))
    }

    /// A job of this plan, new from now on.
    pub(super) fn new_job(&self, plan: &Plan, fork: Option<Fork>, reproduces: Option<Uuid>) -> NewJob {
        let (spec, plan) = (plan.spec().clone(), plan.summary());
        NewJob { spec, plan, at: self.now(), fork, reproduces }
    }
}
