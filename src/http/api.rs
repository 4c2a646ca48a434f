//! What the handlers work with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Semaphore;

use super::gradient_check;
use super::meters::Meters;
use super::prometheus::Prometheus;
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
    /// Room for gradient checks.
    pub(super) gradient_checks: Arc<Semaphore>,
    pub(super) prometheus: Prometheus,
    pub(super) meters: Meters,
}

impl Api {
    /// The handlers' world.
    pub fn new(scheduler: Scheduler, models: Arc<Models>, process: Process, prometheus: Prometheus) -> Self {
        let meters = prometheus.record(Meters::new);
        Self { scheduler, models, process, gradient_checks: gradient_check::room(), prometheus, meters }
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
