//! Exponential decay: the rate falls by a factor after each epoch, `factor^epoch`; PyTorch's `ExponentialLR`.

use serde::{Deserialize, Serialize};

use super::{Entry, Progress, Schedule, ScheduleKind, decay};

/// Spec of exponential decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// What the rate is multiplied by after each epoch.
    pub factor: f64,
}

impl ScheduleKind for Exponential {
    const ENTRY: Entry = Entry {
        name: "exponential",
        aliases: &["exponential_decay"],
        doc: "Exponential decay: the rate is multiplied by factor after each epoch.",
        fields: &[decay("0.95", "what the rate is multiplied by after each epoch")],
    };
}

impl Schedule for Exponential {
    fn rate(&self, at: Progress) -> f64 {
        libm::pow(self.factor, at.epoch() as f64)
    }
}
