//! The memory of runs: reserved before a run starts, and given back at its end.
//!
//! A worker reserves its slot's part of the training share before it claims a job, so that a job waits in the queue where
//! memory is short. A spec is admitted only if it fits that part; so there is nothing more to wait for. Only a job that was
//! admitted under a larger budget, or fewer slots, takes more: it runs once the others leave it enough, alone at worst.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::control::Control;
use crate::job::view::Job;
use crate::memory::{MemoryUse, Reservation};

/// How often a run that waits for memory looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);

impl Scheduler {
    /// The memory of one slot; `None` while a larger job has it, or waits for it.
    pub(super) fn slot_memory(&self) -> Option<Reservation> {
        if Arc::strong_count(self.large_runs_waiting()) > 1 {
            return None;
        }
        self.instruments().memory.try_reserve(MemoryUse::Training, self.capacity().job_memory)
    }

    /// The memory of a job that was claimed with the memory of a slot; `None` where the run is told to stop while it waits.
    pub(super) async fn run_memory(&self, mut slot: Reservation, job: &Job, control: &Control) -> Option<Reservation> {
        let account = &self.instruments().memory;
        let needed = job.peak_memory_bytes.min(account.shares().training);
        if slot.try_resize(needed) {
            return Some(slot);
        }
        // What it holds while it waits, another such job may wait for.
        drop(slot);
        let _waiting = self.large_runs_waiting().clone();
        tracing::warn!(job = %job.id, needed, "was accepted under a larger memory budget; waits until other jobs leave it enough");
        loop {
            if control.requested().is_some() {
                return None;
            }
            tokio::select! {
                reserved = account.reserve(MemoryUse::Training, needed) => {
                    if let Ok(memory) = reserved {
                        return Some(memory);
                    }
                }
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}
