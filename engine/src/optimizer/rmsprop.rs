//! RMSProp (G. Hinton, *Neural networks for machine learning*, lecture 6e, 2012; *Deep Learning from Scratch* §6.1.5 names
//! it as AdaGrad that forgets): `h ← ρ·h + (1 − ρ)·g²`, `W ← W − η · g / (√h + ε)`.

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, epsilon, factor, felt, learning_rate, settled};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of RMSProp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rmsprop {
    /// η.
    pub learning_rate: f64,
    /// ρ: what is kept of the mean square.
    pub decay: f64,
    /// ε: keeps the divisor from zero.
    pub epsilon: f64,
}

impl OptimizerKind for Rmsprop {
    const ENTRY: Entry = Entry {
        name: "rmsprop",
        aliases: &[],
        doc: "RMSProp: divides the step by the root of the gradient's running mean square.",
        fields: &[
            learning_rate("0.01"),
            factor("decay", "0.99", "what is kept of the mean square at each step"),
            epsilon("1e-7"),
        ],
    };
}

impl Optimizer for Rmsprop {
    fn slots(&self) -> usize {
        1
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        let (rate, epsilon) = (moment.learning_rate as f32, self.epsilon as f32);
        let (keep, rest) = (self.decay as f32, (1.0 - self.decay) as f32);
        let [squares, _] = slots;
        wide(|| {
            for ((w, h), &g) in parameters.iter_mut().zip(squares).zip(gradient) {
                let g = felt(g);
                *h = settled(keep * *h + rest * (g * g));
                *w -= rate * g / (h.sqrt() + epsilon);
            }
        });
    }
}
