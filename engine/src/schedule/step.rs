//! Step decay: the rate falls by a factor every so many epochs, `factor^⌊epoch / every_epochs⌋`; PyTorch's `StepLR`.

use serde::{Deserialize, Serialize};

use super::{Entry, Field, Kind, Progress, Schedule, ScheduleKind, decay};

/// Spec of step decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs between two falls, at least 1.
    pub every_epochs: u64,
    /// What the rate is multiplied by at each.
    pub factor: f64,
}

impl ScheduleKind for Step {
    const ENTRY: Entry = Entry {
        name: "step",
        aliases: &["step_decay"],
        doc: "Step decay: the rate is multiplied by factor every so many epochs.",
        fields: &[
            Field::required("every_epochs", Kind::Count { min: 1, max: 1_000_000 }, "epochs between two falls"),
            decay("0.1", "what the rate is multiplied by each time"),
        ],
    };
}

impl Schedule for Step {
    fn rate(&self, at: Progress) -> f64 {
        libm::pow(self.factor, (at.epoch() / self.every_epochs.max(1)) as f64)
    }
}
