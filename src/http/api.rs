//! What the handlers work with.

use std::sync::Arc;

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
}
