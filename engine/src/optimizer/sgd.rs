//! Stochastic gradient descent, *Deep Learning from Scratch* §6.1.2: `W ← W − η·∂L/∂W`.

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, learning_rate};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// η.
    pub learning_rate: f64,
}

impl OptimizerKind for Sgd {
    const ENTRY: Entry = Entry {
        name: "sgd",
        aliases: &[],
        doc: "Stochastic gradient descent: W ← W − η·g.",
        fields: &[learning_rate("0.01")],
    };
}

impl Optimizer for Sgd {
    fn slots(&self) -> usize {
        0
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], _slots: [&mut [f32]; MAX_SLOTS]) {
        let rate = moment.learning_rate as f32;
        wide(|| {
            for (w, &g) in parameters.iter_mut().zip(gradient) {
                *w -= rate * g;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_against_the_gradient() {
        let mut w = [1.0, -2.0];
        Sgd { learning_rate: 0.5 }.update(
            Moment::of(&Sgd { learning_rate: 0.5 }, 1, 0.5),
            &mut w,
            &[2.0, 4.0],
            [&mut [], &mut []],
        );
        assert_eq!(w, [0.0, -4.0]);
    }
}
