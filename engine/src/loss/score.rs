//! What a loss adds up over samples.

use serde::{Deserialize, Serialize};

/// Sums over some samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Sum of the samples' losses.
    pub loss: f64,
    /// Samples whose outputs speak for their label.
    pub correct: u64,
    /// Number of samples.
    pub samples: u64,
}

impl Score {
    /// Adds the sums of further samples.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.samples += other.samples;
    }

    /// Mean loss of a sample; `None` if there is none.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.loss / self.samples as f64)
    }

    /// Share of correct samples; `None` if there is none.
    pub fn accuracy(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.correct as f64 / self.samples as f64)
    }
}
