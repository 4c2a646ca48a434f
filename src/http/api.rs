//! What the handlers work with.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::gradient_check;
use super::meters::Meters;
use super::prometheus::Prometheus;
use crate::scheduler::Scheduler;
use crate::serving::Models;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The life of jobs.
    pub scheduler: Scheduler,
    /// Models that predict.
    pub models: Arc<Models>,
    /// Training threads, for `/version`.
    pub threads: usize,
    /// Room for gradient checks.
    pub(super) gradient_checks: Arc<Semaphore>,
    pub(super) prometheus: Prometheus,
    pub(super) meters: Meters,
}

impl Api {
    /// The handlers' world.
    pub fn new(scheduler: Scheduler, models: Arc<Models>, threads: usize, prometheus: Prometheus) -> Self {
        let meters = prometheus.record(Meters::new);
        Self { scheduler, models, threads, gradient_checks: gradient_check::room(), prometheus, meters }
    }

    /// Does what its figures need from time to time, until the server shuts down.
    pub fn keep_up(&self) -> impl Future<Output = ()> + Send + use<> {
        self.prometheus.clone().keep_up(self.scheduler.shutdown_token().clone())
    }
}
