//! The scheduler: takes jobs in, keeps the workers, stops what is to be stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, RwLock, RwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::clock::now;
use super::control::{Control, Stop};
use super::cores::Cores;
use super::hub::Hub;
use crate::data::library::Library;
use crate::data::source::DataError;
use crate::job::fault::{Faults, Pointer};
use crate::job::plan::{Plan, Premises};
use crate::job::spec::TrainSpec;
use crate::job::view::Job;
use crate::store::{ModelVersion, NewJob, NewVersion, Store, StoreError};

/// The life of all jobs of this server.
#[derive(Debug, Clone)]
pub struct Scheduler(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    library: Arc<Library>,
    hub: Hub,
    wake: Notify,
    /// The runs of this process; what the store says is what counts.
    running: Mutex<HashMap<Uuid, Control>>,
    cores: Cores,
    memory_budget: u64,
    /// Held to read while a job is taken in, and to write while a dataset goes: none goes between the look whether it
    /// is there and the moment from which the store says that a job needs it.
    intake: RwLock<()>,
    shutdown: CancellationToken,
    workers: TaskTracker,
}

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
}

/// A dataset that is not to be had, as a fault of the spec that names it.
fn no_dataset(error: &DataError) -> Faults {
    Faults(vec![Pointer::root().at("dataset").at("name").fault(error.to_string())])
}

impl Scheduler {
    /// A scheduler without workers; [`start`](Self::start) adds them.
    pub fn new(store: Store, library: Arc<Library>, threads: usize, memory_budget: u64) -> Self {
        Self(Arc::new(Inner {
            store,
            library,
            hub: Hub::default(),
            wake: Notify::new(),
            running: Mutex::default(),
            cores: Cores::new(threads),
            memory_budget,
            intake: RwLock::default(),
            shutdown: CancellationToken::new(),
            workers: TaskTracker::new(),
        }))
    }

    /// Brings jobs that ran when the process died back into the queue, then starts `slots` workers.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn start(&self, slots: usize) -> Result<(), StoreError> {
        for job in self.store().requeue_running(now()).await? {
            tracing::info!(%job, "was running when the server stopped; goes on from its last checkpoint");
        }
        for _ in 0..slots {
            self.0.workers.spawn(self.clone().work());
        }
        self.0.workers.close();
        Ok(())
    }

    /// Checks a spec against the datasets that are known and the memory there is.
    ///
    /// # Errors
    /// Every fault of the spec.
    pub fn plan(&self, spec: TrainSpec) -> Result<Plan, Faults> {
        let datasets = self.library().infos();
        Plan::new(spec, &Premises { datasets: &datasets, memory_budget: self.0.memory_budget })
    }

    /// Checks a spec, and that its dataset is to be had.
    ///
    /// # Errors
    /// Every fault of the spec.
    pub fn plan_with_data(&self, spec: TrainSpec) -> Result<Plan, Faults> {
        let plan = self.plan(spec)?;
        self.library().check(&plan.spec().dataset.name).map_err(|error| no_dataset(&error))?;
        Ok(plan)
    }

    /// Takes a job in. When this returns, the job is durable.
    ///
    /// # Errors
    /// Every fault of the spec, or why the job cannot be kept.
    pub async fn submit(&self, spec: TrainSpec) -> Result<Job, SubmitError> {
        if self.is_shutting_down() {
            return Err(SubmitError::ShuttingDown);
        }
        let _intake = self.0.intake.read().await;
        let plan = self.plan_with_data(spec)?;
        let new = NewJob { id: Uuid::now_v7(), spec: plan.spec().clone(), plan: plan.summary(), at: now() };
        let job = self.store().insert_job(&new).await?;
        self.hub().publish(self.store().events(job.id, 0, 1).await?);
        self.0.wake.notify_one();
        Ok(job)
    }

    /// Takes weights in that no job has trained, as the next version of their model. When this returns, it is durable.
    ///
    /// # Errors
    /// If their dataset has gone meanwhile, or why they cannot be kept.
    pub async fn take_version(&self, new: NewVersion) -> Result<ModelVersion, SubmitError> {
        if self.is_shutting_down() {
            return Err(SubmitError::ShuttingDown);
        }
        let _intake = self.0.intake.read().await;
        self.plan(new.spec.clone())?;
        Ok(self.store().import_version(&new, now()).await?)
    }

    /// Cancels a job: a waiting one at once, a running one within a mini-batch. Asking again changes nothing.
    ///
    /// # Errors
    /// If the store fails. `None` if there is no such job.
    pub async fn cancel(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        let Some(cancelled) = self.store().cancel(id, now()).await? else { return Ok(None) };
        self.hub().publish(cancelled.events);
        if cancelled.job.cancel_requested {
            self.stop_run(id, Stop::Cancel);
        }
        Ok(Some(cancelled.job))
    }

    /// Stops the workers: running jobs save a checkpoint and go back into the queue.
    pub async fn shutdown(&self) {
        self.0.shutdown.cancel();
        for control in self.running().values() {
            control.stop(Stop::Shutdown);
        }
        self.0.workers.wait().await;
    }

    /// Where events are passed on.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Where everything is kept.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The datasets.
    pub fn library(&self) -> &Arc<Library> {
        &self.0.library
    }

    /// Whether [`shutdown`](Self::shutdown) has been called.
    pub fn is_shutting_down(&self) -> bool {
        self.0.shutdown.is_cancelled()
    }

    /// Is cancelled when the server begins to shut down.
    pub fn shutdown_token(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// While this is held, no job is taken in.
    pub(super) async fn no_new_jobs(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.intake.write().await
    }

    pub(super) fn wake(&self) -> &Notify {
        &self.0.wake
    }

    pub(super) fn cores(&self) -> &Cores {
        &self.0.cores
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Control>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a run of this job begins here.
    pub(super) fn enter(&self, job: Uuid) -> Control {
        let control = Control::default();
        self.running().insert(job, control.clone());
        // A shutdown that came before this line did not see the run.
        if self.is_shutting_down() {
            control.stop(Stop::Shutdown);
        }
        control
    }

    /// Notes that it has ended.
    pub(super) fn leave(&self, job: Uuid) {
        self.running().remove(&job);
    }
}
