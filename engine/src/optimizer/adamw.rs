//! AdamW (I. Loshchilov, F. Hutter, *Decoupled weight decay regularization*, 2019): Adam whose weights shrink by
//! `W ← W − η·λ·W` beside its step, not through the gradient. Biases are not decayed.

use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, epsilon, factor, learning_rate};
use crate::describe::{Bound, Entry, Field, Kind};

/// Spec of AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adamw {
    /// η.
    pub learning_rate: f64,
    /// β₁: what is kept of the mean.
    pub beta1: f64,
    /// β₂: what is kept of the mean square.
    pub beta2: f64,
    /// ε: keeps the divisor from zero.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
}

impl OptimizerKind for Adamw {
    const ENTRY: Entry = Entry {
        name: "adamw",
        aliases: &[],
        doc: "Adam with decoupled weight decay: weights also shrink by η·λ·W at each step.",
        fields: &[
            learning_rate("0.001"),
            factor("beta1", "0.9", "what is kept of the gradient's mean at each step"),
            factor("beta2", "0.999", "what is kept of the gradient's mean square at each step"),
            epsilon("1e-8"),
            Field::optional(
                "weight_decay",
                Kind::Number { min: Bound::Included(0.0), max: Bound::Included(1000.0) },
                "0.01",
                "how fast weights shrink; beside the spec's own `weight_decay`, which goes through the gradient",
            ),
        ],
    };
}

impl Optimizer for Adamw {
    fn slots(&self) -> usize {
        2
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn divisors(&self, update: u64) -> [f64; 2] {
        self.adam().divisors(update)
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        let keep = if moment.decays { (1.0 - moment.learning_rate * self.weight_decay) as f32 } else { 1.0 };
        let mut step = self.adam().step(moment);
        step.keep = keep;
        step.run(parameters, gradient, slots);
    }
}

impl Adamw {
    /// The rule without the decay.
    fn adam(&self) -> Adam {
        let Self { learning_rate, beta1, beta2, epsilon, .. } = *self;
        Adam { learning_rate, beta1, beta2, epsilon }
    }
}
