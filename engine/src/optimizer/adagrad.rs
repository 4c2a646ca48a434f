//! AdaGrad, *Deep Learning from Scratch* §6.1.5 (J. Duchi et al., *Adaptive subgradient methods for online learning and
//! stochastic optimization*, 2011): `h ← h + g²`, `W ← W − η · g / (√h + ε)`.

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, epsilon, felt, learning_rate};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of AdaGrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// η.
    pub learning_rate: f64,
    /// ε: keeps the divisor from zero.
    pub epsilon: f64,
}

impl OptimizerKind for Adagrad {
    const ENTRY: Entry = Entry {
        name: "adagrad",
        aliases: &[],
        doc: "AdaGrad: divides the step by the root of all squared gradients so far.",
        fields: &[learning_rate("0.01"), epsilon("1e-7")],
    };
}

impl Optimizer for Adagrad {
    fn slots(&self) -> usize {
        1
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        let (rate, epsilon) = (moment.learning_rate as f32, self.epsilon as f32);
        let [squares, _] = slots;
        wide(|| {
            for ((w, h), &g) in parameters.iter_mut().zip(squares).zip(gradient) {
                let g = felt(g);
                *h += g * g;
                *w -= rate * g / (h.sqrt() + epsilon);
            }
        });
    }
}
