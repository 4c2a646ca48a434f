//! Panics on purpose: for tests of what the death of a task does to jobs.
//!
//! A server that runs for real has none of it: one look at an `Option` a point.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A place in a task where a test can make it panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failpoint {
    /// In a worker, before it claims a job.
    Claim,
    /// In a worker, after a job was claimed and before its training thread is started.
    BeforeTraining,
    /// In the recorder of a run, before it writes what the training thread tells.
    BeforeCommit,
    /// In the recorder of a run, between a commit and the moment when readers of events hear of it.
    AfterCommit,
    /// In a worker, after the end of a job was committed and before readers of events hear of it.
    AfterFinish,
    /// On a training thread, before it trains.
    TrainingThread,
    /// In the task that gives disk space back.
    SpaceReclaimer,
    /// In the task that removes old checkpoints.
    CheckpointRetention,
    /// In the task that looks for webhooks to send.
    WebhookDispatcher,
    /// In the attempt to send one webhook.
    WebhookAttempt,
    /// In the task that compacts the figures of `/metrics`.
    MetricsUpkeep,
    /// In the task that accepts connections.
    AcceptLoop,
}

/// Says where tasks panic, and how often. A clone is another handle of the same. The default never does.
#[derive(Debug, Clone, Default)]
pub struct Failpoints(Option<Arc<Mutex<HashMap<Failpoint, u32>>>>);

impl Failpoints {
    /// Panics nowhere until it is told to.
    pub fn armed() -> Self {
        Self(Some(Arc::default()))
    }

    /// Makes the next `times` passes of this point panic.
    pub fn panic_at(&self, point: Failpoint, times: u32) {
        if let Some(left) = &self.0 {
            left.lock().unwrap_or_else(PoisonError::into_inner).insert(point, times);
        }
    }

    /// Panics that this point is still to cause.
    pub fn left(&self, point: Failpoint) -> u32 {
        let left = self.0.as_ref().map(|left| left.lock().unwrap_or_else(PoisonError::into_inner));
        left.and_then(|left| left.get(&point).copied()).unwrap_or(0)
    }

    pub(super) fn pass(&self, point: Failpoint) {
        let Some(armed) = &self.0 else { return };
        let mut left = armed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = left.get_mut(&point).filter(|times| **times > 0) {
            *times -= 1;
            drop(left);
            panic!("on purpose, at {point:?}");
        }
    }
}
