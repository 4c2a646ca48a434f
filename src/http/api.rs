//! What the handlers work with.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::gradient_check;
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
}

impl Api {
    /// The handlers' world.
    pub fn new(scheduler: Scheduler, models: Arc<Models>, threads: usize) -> Self {
        Self { scheduler, models, threads, gradient_checks: gradient_check::room() }
    }
}
