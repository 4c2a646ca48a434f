//! How a run is told to stop: a word that the training thread reads after every mini-batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stop {
    /// The server shuts down: the job goes on at the next start.
    Shutdown = 1,
    /// The client has cancelled the job.
    Cancel = 2,
    /// Another worker owns the job now: nothing more may be written.
    Fenced = 3,
}

/// Tells one run to stop. The gravest word stays: what is fenced is never merely cancelled again.
#[derive(Debug, Clone, Default)]
pub(super) struct Control(Arc<AtomicU8>);

impl Control {
    pub(super) fn stop(&self, why: Stop) {
        self.0.fetch_max(why as u8, Ordering::Relaxed);
    }

    pub(super) fn requested(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::Shutdown),
            2 => Some(Stop::Cancel),
            _ => Some(Stop::Fenced),
        }
    }
}
