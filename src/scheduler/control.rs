//! How a run is told to stop: a word that the training thread reads after every mini-batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stop {
    /// The server shuts down, or the client has asked to cancel or to pause the job: the run saves a checkpoint and gives
    /// the job back to the store, which knows what becomes of it.
    GiveBack = 1,
    /// Another worker owns the job now: nothing more may be written.
    Fenced = 2,
}

/// Tells one run to stop. The gravest word stays: what is fenced is never merely to give its job back again.
#[derive(Debug, Clone, Default)]
pub(super) struct Control(Arc<AtomicU8>);

impl Control {
    pub(super) fn stop(&self, why: Stop) {
        self.0.fetch_max(why as u8, Ordering::Relaxed);
    }

    pub(super) fn requested(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::GiveBack),
            _ => Some(Stop::Fenced),
        }
    }
}
