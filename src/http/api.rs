//! What the handlers work with.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::gradient_check;
use super::host::AllowedHosts;
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
    pub(super) hosts: AllowedHosts,
    pub(super) prometheus: Prometheus,
    pub(super) meters: Meters,
}

/// What a server's HTTP side is set up with.
#[derive(Debug)]
pub struct ApiOptions {
    /// Training threads, for `/version`.
    pub threads: usize,
    /// The names that the server answers to.
    pub hosts: AllowedHosts,
    /// The recorder of its metrics.
    pub prometheus: Prometheus,
}

impl Api {
    /// The handlers' world.
    pub fn new(scheduler: Scheduler, models: Arc<Models>, options: ApiOptions) -> Self {
        let ApiOptions { threads, hosts, prometheus } = options;
        let meters = prometheus.record(Meters::new);
        Self { scheduler, models, threads, gradient_checks: gradient_check::room(), hosts, prometheus, meters }
    }

    /// Does what its figures need from time to time, until the server shuts down.
    pub fn keep_up(&self) -> impl Future<Output = ()> + Send + use<> {
        self.prometheus.clone().keep_up(self.scheduler.shutdown_token().clone())
    }
}
