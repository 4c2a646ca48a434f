//! Whether the store can be written, as runs, workers and probes have met it: for jobs that wait for it, and `/readyz`.
//!
//! It is kept in memory, for a store that cannot be written cannot be told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::Scheduler;
use super::meters::Meters;
use crate::store::{StoreError, WriteFailure};

/// How long what a probe has found holds: each one writes to the disk.
const PROBE_HOLDS: Duration = Duration::from_secs(1);

/// What is known of the store; a clone is another handle of the same.
#[derive(Debug, Clone)]
pub(super) struct StorageHealth {
    state: Arc<Mutex<State>>,
    meters: Meters,
}

#[derive(Debug, Default)]
struct State {
    /// Jobs whose run waits until it can write.
    runs: HashMap<Uuid, WriteFailure>,
    /// Why no waiting job can be claimed.
    claims: Option<WriteFailure>,
    /// What the last probe has found, and when.
    probe: Option<(Instant, Option<WriteFailure>)>,
}

impl StorageHealth {
    pub(super) fn new(meters: Meters) -> Self {
        Self { state: Arc::default(), meters }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failed write, and says why it failed if the store could not be written.
    pub(super) fn count(&self, error: &StoreError) -> Option<WriteFailure> {
        let failure = error.write_failure()?;
        self.meters.write_failures(failure).increment(1);
        Some(failure)
    }

    /// Counts the write of a request, if it has failed.
    pub(super) fn counted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| {
            self.count(error);
        })
    }

    /// A write of a run has failed; it waits to try again.
    pub(super) fn run_waits(&self, job: Uuid, error: &StoreError) {
        if let Some(failure) = self.count(error) {
            self.state().runs.insert(job, failure);
        }
    }

    /// A run no longer waits: it has written, or has ended.
    pub(super) fn run_goes_on(&self, job: Uuid) {
        self.state().runs.remove(&job);
    }

    /// Notes whether waiting jobs can be claimed. The log tells of changes only: each worker tries every second.
    pub(super) fn claimed(&self, error: Option<&StoreError>) {
        let failure = error.and_then(|error| self.count(error));
        let before = std::mem::replace(&mut self.state().claims, failure);
        match error {
            Some(error) if before.is_none() || before != failure => tracing::error!(%error, "failed to claim a job"),
            Some(error) => tracing::debug!(%error, "failed to claim a job"),
            None if before.is_some() => tracing::info!("the store can be written again"),
            None => {}
        }
    }

    /// Whether the run of a job waits until it can write.
    pub(super) fn is_waited_for(&self, job: Uuid) -> bool {
        self.state().runs.contains_key(&job)
    }

    /// Whether no waiting job can be claimed, as the store cannot be written.
    pub(super) fn holds_up_the_queue(&self) -> bool {
        self.state().claims.is_some()
    }
}

impl Scheduler {
    /// Whether the store can be written: no run and no claim waits for it, and a probe writes.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_storage(&self) -> Result<(), WriteFailure> {
        let met = {
            let state = self.storage().state();
            let recent = state.probe.filter(|(at, _)| at.elapsed() < PROBE_HOLDS).map(|(_, found)| found);
            state.runs.values().next().copied().or(state.claims).map(Some).or(recent)
        };
        let found = match met {
            Some(found) => found,
            None => self.probe_storage().await,
        };
        found.map_or(Ok(()), Err)
    }

    async fn probe_storage(&self) -> Option<WriteFailure> {
        let found = match self.store().ping().await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "the store cannot be written");
                Some(self.storage().count(&error).unwrap_or(WriteFailure::Other))
            }
        };
        self.storage().state().probe = Some((Instant::now(), found));
        found
    }
}
