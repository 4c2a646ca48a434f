//! What the runs of this process have done, for `/metrics`.

use std::sync::Arc;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use crate::job::status::Status;
use crate::store::WriteFailure;

/// Counts of jobs that have ended in this process, by status.
#[derive(Debug, Clone)]
pub(super) struct EndedJobs([(Status, Counter); 3]);

impl EndedJobs {
    fn new() -> Self {
        let name = "dojang_jobs_ended_total";
        describe_counter!(name, "Jobs that have ended since the server started, by status.");
        let ends = [Status::Succeeded, Status::Failed, Status::Cancelled];
        Self(ends.map(|status| (status, counter!(name, "status" => status.as_str()))))
    }

    /// Counts one more.
    pub(super) fn count(&self, status: Status) {
        if let Some((_, ended)) = self.0.iter().find(|(of, _)| *of == status) {
            ended.increment(1);
        }
    }
}

/// What the runs of this process have done.
#[derive(Debug, Clone)]
pub struct Meters {
    pub(super) ended: EndedJobs,
    /// Mini-batches trained.
    pub(super) steps: Counter,
    /// Samples trained.
    pub(super) samples: Counter,
    /// Times that checkpoints took, from encoding to commit.
    pub(super) checkpoints: Histogram,
    /// Checkpoints of ended jobs that were removed, as the server keeps only so many.
    pub(super) checkpoints_removed: Counter,
    /// Writes that have failed, by why.
    write_failures: Arc<[(WriteFailure, Counter)]>,
}

impl Meters {
    /// Writes that have failed for this reason.
    pub(super) fn write_failures(&self, failure: WriteFailure) -> Counter {
        let found = self.write_failures.iter().find(|(kind, _)| *kind == failure);
        found.map_or_else(Counter::noop, |(_, counter)| counter.clone())
    }
}

impl Default for Meters {
    /// Meters of the recorder that is in force here; without one they count nothing.
    fn default() -> Self {
        let (steps, samples) = ("dojang_training_steps_total", "dojang_training_samples_total");
        let checkpoints = "dojang_checkpoint_write_duration_seconds";
        describe_counter!(steps, "Mini-batches trained since the server started.");
        describe_counter!(samples, "Samples trained since the server started.");
        let removed = "dojang_checkpoints_removed_total";
        describe_counter!(removed, "Checkpoints of ended jobs removed, as the server keeps only so many.");
        let failures = "dojang_store_write_failures_total";
        describe_counter!(failures, "Writes of jobs, claims and requests that the store has failed, by why.");
        let failure = |kind: WriteFailure| (kind, counter!(failures, "kind" => kind.as_str()));
        describe_histogram!(checkpoints, Unit::Seconds, "Time from a state of training to its checkpoint on the disk.");
        Self {
            ended: EndedJobs::new(),
            steps: counter!(steps),
            samples: counter!(samples),
            checkpoints: histogram!(checkpoints),
            checkpoints_removed: counter!(removed),
            write_failures: WriteFailure::ALL.map(failure).into(),
        }
    }
}
