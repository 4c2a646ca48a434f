//! What the runs of this process have done, for `/metrics`.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

/// What the runs of this process have done.
#[derive(Debug, Clone)]
pub struct Meters {
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
        Self { steps: counter!(steps), samples: counter!(samples), checkpoints: histogram!(checkpoints) }
    }
}
