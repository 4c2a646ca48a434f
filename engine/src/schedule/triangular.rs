//! A triangle over the whole training: one cycle of L. N. Smith, *Cyclical learning rates for training neural networks*,
//! 2017, between 0 and the optimizer's rate, with its peak where one wants it.
//!
//! With `x = (s + 1) / (T + 1)`: `x / peak_fraction` up to the peak, then `(1 − x) / (1 − peak_fraction)`. The zeros lie
//! just before the first step and just after the last, for a step of rate 0 would be lost.

use serde::{Deserialize, Serialize};

use super::{Bound, Entry, Field, Kind, Progress, Schedule, ScheduleKind};

/// Spec of a triangular learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triangular {
    /// Where in training the rate is largest, in `(0, 1)`.
    pub peak_fraction: f64,
}

impl ScheduleKind for Triangular {
    const ENTRY: Entry = Entry {
        name: "triangular",
        aliases: &["linear_one_cycle"],
        doc: "A triangle: the rate rises linearly from 0 to the optimizer's rate, then falls linearly to 0, step by \
              step.",
        fields: &[Field::optional(
            "peak_fraction",
            Kind::Number { min: Bound::Excluded(0.0), max: Bound::Excluded(1.0) },
            "0.3",
            "where in training the rate is largest, as a share of the steps",
        )],
    };
}

impl Schedule for Triangular {
    fn rate(&self, at: Progress) -> f64 {
        let x = ((at.step as f64 + 1.0) / (at.total_steps as f64 + 1.0)).min(1.0);
        (x / self.peak_fraction).min((1.0 - x) / (1.0 - self.peak_fraction))
    }
}
