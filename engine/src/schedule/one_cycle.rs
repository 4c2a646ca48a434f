//! The one-cycle policy (L. N. Smith, N. Topin, *Super-convergence: very fast training of neural networks using large
//! learning rates*, 2018), with cosine annealing both ways as PyTorch's `OneCycleLR` has it by default.
//!
//! From `start_factor` up to 1 at step `warmup_fraction·T − 1`, then down to `final_factor` at the last step. All are
//! factors of the optimizer's rate, which so is the largest; PyTorch's `div_factor` is `1 / start_factor`, its
//! `final_div_factor` is `start_factor / final_factor`.

use serde::{Deserialize, Serialize};

use super::{Bound, Entry, Field, Kind, Progress, Schedule, ScheduleKind, anneal, share};

/// Spec of the one-cycle policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// Share of the steps on which the rate rises, in `[0, 1)`.
    pub warmup_fraction: f64,
    /// The rate at the first step, as a factor.
    pub start_factor: f64,
    /// The rate at the last step, as a factor.
    pub final_factor: f64,
}

impl ScheduleKind for OneCycle {
    const ENTRY: Entry = Entry {
        name: "one_cycle",
        aliases: &["onecycle"],
        doc: "One cycle: the rate rises along half a cosine to the optimizer's rate, then falls along another, step by \
              step.",
        fields: &[
            Field::optional(
                "warmup_fraction",
                Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) },
                "0.3",
                "share of the steps on which the rate rises",
            ),
            share("start_factor", "0.04", "the rate at the first step, as a factor"),
            share("final_factor", "0.0001", "the rate at the last step, as a factor"),
        ],
    };
}

impl Schedule for OneCycle {
    fn rate(&self, at: Progress) -> f64 {
        let (step, last) = (at.step as f64, at.total_steps as f64 - 1.0);
        let peak = (self.warmup_fraction * at.total_steps as f64 - 1.0).clamp(0.0, last.max(0.0));
        if step < peak {
            anneal(self.start_factor, 1.0, step / peak)
        } else if step > peak {
            anneal(1.0, self.final_factor, (step - peak) / (last - peak).max(f64::MIN_POSITIVE))
        } else {
            1.0
        }
    }
}
