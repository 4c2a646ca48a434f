//! What the runs of this process have done, for `/metrics`.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use crate::job::status::Status;

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
}

impl Default for Meters {
    /// Meters of the recorder that is in force here; without one they count nothing.
    fn default() -> Self {
        let (steps, samples) = ("dojang_training_steps_total", "dojang_training_samples_total");
        let checkpoints = "dojang_checkpoint_write_duration_seconds";
        describe_counter!(steps, "Mini-batches trained since the server started.");
        describe_counter!(samples, "Samples trained since the server started.");
        describe_histogram!(checkpoints, Unit::Seconds, "Time from a state of training to its checkpoint on the disk.");
        Self {
            ended: EndedJobs::new(),
            steps: counter!(steps),
            samples: counter!(samples),
            checkpoints: histogram!(checkpoints),
        }
    }
}
