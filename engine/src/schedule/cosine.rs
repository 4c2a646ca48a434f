//! Cosine annealing without restarts (I. Loshchilov, F. Hutter, *SGDR: stochastic gradient descent with warm restarts*,
//! 2017, eq. 5), step by step, after a linear warm-up (P. Goyal et al., *Accurate, large minibatch SGD*, 2017, §2.2).
//!
//! With `W` warm-up steps of `T`: `(s + 1) / (W + 1)` while `s < W`, then half a cosine from 1 to `final_factor` in
//! `(s − W) / (T − W)`. The warm-up's line comes from 0 and meets the cosine at 1; step 0 is already above 0, for a step
//! of rate 0 would be lost.

use serde::{Deserialize, Serialize};

use super::{Entry, Field, Kind, Progress, Schedule, ScheduleKind, anneal, share};

/// Spec of cosine annealing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Epochs of linear warm-up.
    pub warmup_epochs: u64,
    /// What is left of the rate at the end.
    pub final_factor: f64,
}

impl ScheduleKind for Cosine {
    const ENTRY: Entry = Entry {
        name: "cosine",
        aliases: &["cosine_annealing"],
        doc: "Cosine annealing: the rate rises linearly from 0 during the warm-up, then falls along half a cosine, step \
              by step.",
        fields: &[
            Field::optional("warmup_epochs", Kind::Count { min: 0, max: 1_000_000 }, "0", "epochs of linear warm-up"),
            share("final_factor", "0.0", "what is left of the rate at the end, as a factor"),
        ],
    };
}

impl Schedule for Cosine {
    fn rate(&self, at: Progress) -> f64 {
        let warmup = self.warmup_epochs.saturating_mul(at.steps_per_epoch);
        if at.step < warmup {
            return (at.step as f64 + 1.0) / (warmup as f64 + 1.0);
        }
        let rest = at.total_steps.saturating_sub(warmup).max(1);
        anneal(1.0, self.final_factor, (at.step - warmup) as f64 / rest as f64)
    }
}
