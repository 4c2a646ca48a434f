//! What the handlers work with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use super::gradient_check;
use super::host::AllowedHosts;
use super::meters::Meters;
use super::prometheus::Prometheus;
use crate::memory::MemoryAccount;
use crate::scheduler::Scheduler;
use crate::serving::Models;
use crate::supervisor::{Supervisor, Task};

/// What the handlers know of the process that they run in.
#[derive(Debug, Clone)]
pub struct Process {
    /// Training threads, for `/version`.
    pub threads: usize,
    /// Lines of the log that could not be written, for `/metrics`.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// What restarts the server's tasks, and knows the one that cannot be kept alive.
    pub supervisor: Supervisor,
}

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The life of jobs.
    pub scheduler: Scheduler,
    /// Models that predict.
    pub models: Arc<Models>,
    /// What else is known of the process.
    pub process: Process,
    /// Room for predictions that take much memory, and so much time.
    pub(super) large_predictions: Arc<Semaphore>,
    /// Room for gradient checks.
    pub(super) gradient_checks: Arc<Semaphore>,
    pub(super) hosts: AllowedHosts,
    pub(super) memory: MemoryAccount,
    pub(super) prometheus: Prometheus,
    pub(super) meters: Meters,
}

impl FromRef<Api> for MemoryAccount {
    fn from_ref(api: &Api) -> Self {
        api.memory.clone()
    }
}

/// What a server's HTTP side is set up with.
#[derive(Debug)]
pub struct ApiOptions {
    /// The process that the server runs in.
    pub process: Process,
    /// The names that the server answers to.
    pub hosts: AllowedHosts,
    /// Where the memory of requests is reserved.
    pub memory: MemoryAccount,
    /// The recorder of its metrics.
    pub prometheus: Prometheus,
}

impl Api {
    /// The handlers' world.
    pub fn new(scheduler: Scheduler, models: Arc<Models>, options: ApiOptions) -> Self {
        let ApiOptions { process, hosts, memory, prometheus } = options;
        let meters = prometheus.record(Meters::new);
        let gradient_checks = gradient_check::room();
        let large_predictions = Arc::new(Semaphore::new(process.threads.max(1)));
        Self { scheduler, models, process, large_predictions, gradient_checks, hosts, memory, prometheus, meters }
    }

    /// Does what its figures need from time to time, until the server shuts down.
    pub fn keep_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let (prometheus, shutdown) = (self.prometheus.clone(), self.scheduler.shutdown_token().clone());
        let supervisor = self.process.supervisor.clone();
        async move {
            let upkeep = || prometheus.keep_up(&supervisor, &shutdown);
            supervisor.run(Task::MetricsUpkeep, &shutdown, upkeep).await;
        }
    }
}
