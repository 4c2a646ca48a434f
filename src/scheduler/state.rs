//! The scheduler: takes jobs in, keeps the workers, stops what is to be stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::control::{Control, Stop};
use super::cores::Cores;
use super::hub::Hub;
use super::meters::Meters;
use super::recovery::WorkerSlot;
use super::storage::StorageHealth;
use crate::clock::{Awake, Wall};
use crate::data::library::Library;
use crate::data::source::DataError;
use crate::job::fault::{Fault, Faults, Pointer};
use crate::job::plan::{Plan, Premises};
use crate::job::spec::TrainSpec;
use crate::job::webhook::{Reach, parse_url};
use crate::memory::MemoryAccount;
use crate::store::{CheckpointRetention, Store, StoreError};
use crate::supervisor::{Supervisor, Task};

/// The life of all jobs of this server.
#[derive(Debug, Clone)]
pub struct Scheduler(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    library: Arc<Library>,
    hub: Hub,
    wake: Notify,
    /// Told when a job has ended.
    job_ended: Notify,
    /// The runs of this process; what the store says is what counts.
    running: Mutex<HashMap<Uuid, Control>>,
    /// How often in a row the worker of a job has panicked.
    panics: Mutex<HashMap<Uuid, u32>>,
    cores: Cores,
    capacity: Capacity,
    /// Since when this process is up: jobs that bring it down are held back from then on.
    awake: Awake,
    instruments: Instruments,
    storage: StorageHealth,
    /// Held to read while a job is taken in, and to write while a dataset or a job goes: none goes between the look whether
    /// it is there and the moment from which the store says that a job needs it.
    intake: RwLock<()>,
    /// Cloned by each run that waits for more memory than a slot has.
    large_runs_waiting: Arc<()>,
    shutdown: CancellationToken,
    workers: TaskTracker,
}

/// What jobs may take of the machine, and of its patience, and what they leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Training threads, of all jobs together.
    pub threads: usize,
    /// Jobs that train at once.
    pub slots: usize,
    /// Bytes that one job may take at its peak.
    pub job_memory: u64,
    /// Most jobs that may wait: no more are accepted then.
    pub max_queued: u64,
    /// Whether jobs that have succeeded or failed keep their last checkpoint.
    pub keep_checkpoints: bool,
    /// Which checkpoints of ended jobs are kept.
    pub checkpoints: CheckpointRetention,
    /// Where jobs may have news of them sent; nowhere, if the server sends none.
    pub webhooks: Option<Reach>,
}

/// What tells the time, what counts, what keeps the tasks alive, and where memory is reserved.
#[derive(Debug, Clone)]
pub struct Instruments {
    /// The clock on the wall.
    pub wall: Wall,
    /// What the runs have done.
    pub meters: Meters,
    /// What restarts tasks that die.
    pub supervisor: Supervisor,
    /// Where the memory of runs is reserved.
    pub memory: MemoryAccount,
}

/// A dataset that is not to be had, as a fault of the spec that names it.
fn no_dataset(error: &DataError) -> Faults {
    Faults(vec![Pointer::root().at("dataset").at("name").fault(error.to_string())])
}

/// Why news of a job cannot be sent where its spec says.
fn wrong_webhook(spec: &TrainSpec, reach: Option<Reach>) -> Option<Fault> {
    let url = parse_url(spec.webhook.as_deref()?);
    let why = match (url, reach) {
        (Err(error), _) => error,
        (Ok(_), None) => {
            "this server sends no webhooks: it has no secret to sign them with (`dojang serve --webhook-secret`)".into()
        }
        (Ok(url), Some(reach)) => reach.refusal(&url)?,
    };
    Some(Pointer::root().at("webhook").fault(why))
}

impl Scheduler {
    /// A scheduler without workers; [`start`](Self::start) adds them.
    pub fn new(store: Store, library: Arc<Library>, capacity: Capacity, instruments: Instruments) -> Self {
        Self(Arc::new(Inner {
            store,
            library,
            hub: Hub::new(instruments.meters.ended.clone()),
            wake: Notify::new(),
            job_ended: Notify::new(),
            running: Mutex::default(),
            panics: Mutex::default(),
            cores: Cores::new(capacity.threads),
            capacity,
            awake: Awake::start(),
            storage: StorageHealth::new(instruments.meters.clone()),
            instruments,
            intake: RwLock::default(),
            large_runs_waiting: Arc::default(),
            shutdown: CancellationToken::new(),
            workers: TaskTracker::new(),
        }))
    }

    /// Brings jobs that ran when the process died back into the queue, then starts a worker for each slot, and what
    /// removes old checkpoints and gives freed disk space back.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn start(&self) -> Result<(), StoreError> {
        for job in self.store().requeue_running(self.now()).await? {
            tracing::info!(%job, "was running when the server stopped; goes on from its last checkpoint");
        }
        for _ in 0..self.0.capacity.slots {
            let slot = WorkerSlot::default();
            self.keep(Task::Worker, move |scheduler| scheduler.work(slot.clone()));
        }
        self.keep(Task::SpaceReclaimer, Self::give_back_space);
        self.keep(Task::CheckpointRetention, Self::bound_checkpoints);
        self.0.workers.close();
        Ok(())
    }

    /// Runs a task until shutdown, which waits for it; it is restarted when it dies.
    fn keep<F>(&self, task: Task, mut make: impl FnMut(Self) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let scheduler = self.clone();
        self.0.workers.spawn(async move {
            scheduler.supervisor().run(task, scheduler.shutdown_token(), || make(scheduler.clone())).await;
        });
    }

    /// Checks a spec against the datasets that are known and the memory there is.
    ///
    /// # Errors
    /// Every fault of the spec.
    pub fn plan(&self, spec: TrainSpec) -> Result<Plan, Faults> {
        let datasets = self.library().infos();
        let webhook = wrong_webhook(&spec, self.0.capacity.webhooks);
        let plan = Plan::new(spec, &Premises { datasets: &datasets, memory_budget: self.0.capacity.job_memory });
        match webhook {
            None => plan,
            // Every fault at once.
            Some(fault) => {
                Err(Faults(plan.err().into_iter().flat_map(|Faults(faults)| faults).chain([fault]).collect()))
            }
        }
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

    /// Stops the workers: running jobs save a checkpoint and go back into the queue.
    pub async fn shutdown(&self) {
        self.0.shutdown.cancel();
        for control in self.running().values() {
            control.stop(Stop::GiveBack);
        }
        self.0.workers.wait().await;
        if let Err(error) = self.0.store.keep_uptime(self.up()).await {
            // Keys of requests are then remembered for somewhat longer.
            tracing::debug!(%error, "failed to write down how long the server was up");
        }
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

    /// What jobs may take.
    pub(super) fn capacity(&self) -> Capacity {
        self.0.capacity
    }

    /// How many jobs train in this process.
    pub fn runs(&self) -> usize {
        self.running().len()
    }

    /// How long this process has been up.
    pub fn up(&self) -> Duration {
        self.0.awake.up()
    }

    pub(super) fn awake(&self) -> &Awake {
        &self.0.awake
    }

    /// Now, as events and jobs show it.
    pub(super) fn now(&self) -> Timestamp {
        self.0.instruments.wall.now()
    }

    /// What restarts tasks that die.
    pub(super) fn supervisor(&self) -> &Supervisor {
        &self.0.instruments.supervisor
    }

    pub(super) fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    /// Whether the store can be written.
    pub(super) fn storage(&self) -> &StorageHealth {
        &self.0.storage
    }

    pub(super) fn large_runs_waiting(&self) -> &Arc<()> {
        &self.0.large_runs_waiting
    }

    /// While this is held, no dataset and no job is removed.
    pub(super) async fn no_removal(&self) -> RwLockReadGuard<'_, ()> {
        self.0.intake.read().await
    }

    /// While this is held, no job is taken in.
    pub(super) async fn no_new_jobs(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.intake.write().await
    }

    pub(super) fn wake(&self) -> &Notify {
        &self.0.wake
    }

    pub(super) fn job_ended(&self) -> &Notify {
        &self.0.job_ended
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
            control.stop(Stop::GiveBack);
        }
        control
    }

    /// Notes that it has ended.
    pub(super) fn leave(&self, job: Uuid) {
        self.storage().run_goes_on(job);
        self.running().remove(&job);
    }
    /// Notes that the worker of this job has panicked; returns how often in a row.
    pub(super) fn count_panic(&self, job: Uuid) -> u32 {
        let mut panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        let count = panics.entry(job).or_default();
        *count += 1;
        *count
    }

    /// Notes that a run of this job has ended without a panic of its worker, or that the job has ended.
    pub(super) fn forget_panics(&self, job: Uuid) {
        self.0.panics.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}
