//! Adam, *Deep Learning from Scratch* §6.1.6 (D. P. Kingma, J. Ba, *Adam: a method for stochastic optimization*, 2015):
//! `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `W ← W − η · m̂ / (√v̂ + ε)` with `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)`.

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, epsilon, factor, felt, learning_rate, settled};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// η.
    pub learning_rate: f64,
    /// β₁: what is kept of the mean.
    pub beta1: f64,
    /// β₂: what is kept of the mean square.
    pub beta2: f64,
    /// ε: keeps the divisor from zero.
    pub epsilon: f64,
}

impl OptimizerKind for Adam {
    const ENTRY: Entry = Entry {
        name: "adam",
        aliases: &[],
        doc: "Adam: steps by the running mean of the gradient over the root of its running mean square, both freed \
              from their bias towards zero.",
        fields: &[
            learning_rate("0.001"),
            factor("beta1", "0.9", "what is kept of the gradient's mean at each step"),
            factor("beta2", "0.999", "what is kept of the gradient's mean square at each step"),
            epsilon("1e-8"),
        ],
    };
}

impl Optimizer for Adam {
    fn slots(&self) -> usize {
        2
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// `1 − β₁ᵗ` and `√(1 − β₂ᵗ)`; in f64, since `1 − β₂ᵗ` starts near 0.001.
    fn divisors(&self, update: u64) -> [f64; 2] {
        let biased = |beta: f64| 1.0 - libm::pow(beta, update as f64);
        [biased(self.beta1), biased(self.beta2).sqrt()]
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        self.step(moment).run(parameters, gradient, slots);
    }
}

impl Adam {
    /// The update at a moment.
    pub(super) fn step(&self, moment: Moment) -> Step {
        let [correct_mean, correct_square] = moment.divisors;
        Step {
            keep: 1.0,
            rate: (moment.learning_rate / correct_mean) as f32,
            root_scale: (1.0 / correct_square) as f32,
            beta: [self.beta1 as f32, self.beta2 as f32],
            rest: [(1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32],
            epsilon: self.epsilon as f32,
        }
    }
}

/// An update's numbers, worked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// What parameters are multiplied with beforehand.
    pub(super) keep: f32,
    rate: f32,
    root_scale: f32,
    beta: [f32; 2],
    /// 1 − β.
    rest: [f32; 2],
    epsilon: f32,
}

impl Step {
    pub(super) fn run(self, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        let Self { keep, rate, root_scale, beta, rest, epsilon } = self;
        let [mean, square] = slots;
        wide(|| {
            for (((w, m), v), &g) in parameters.iter_mut().zip(mean).zip(square).zip(gradient) {
                let g = felt(g);
                *m = settled(beta[0] * *m + rest[0] * g);
                *v = settled(beta[1] * *v + rest[1] * (g * g));
                *w = keep * *w - rate * *m / (v.sqrt() * root_scale + epsilon);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_formula_in_f64() {
        let rule = Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let (mut w, mut m, mut v) = ([0.5f32], [0.0f32], [0.0f32]);
        let (mut w64, mut m64, mut v64) = (0.5f64, 0.0f64, 0.0f64);
        for update in 1..=50u64 {
            let g = (update as f32 * 0.7).sin();
            rule.update(Moment::of(&rule, update, 0.01), &mut w, &[g], [&mut m, &mut v]);
            m64 = 0.9 * m64 + 0.1 * f64::from(g);
            v64 = 0.999 * v64 + 0.001 * f64::from(g).powi(2);
            let (mean, square) = (m64 / (1.0 - 0.9f64.powi(update as i32)), v64 / (1.0 - 0.999f64.powi(update as i32)));
            w64 -= 0.01 * mean / (square.sqrt() + 1e-8);
        }
        assert!((f64::from(w[0]) - w64).abs() < 1e-6);
    }

    #[test]
    fn the_first_step_is_the_learning_rate() {
        let rule = Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let (mut w, mut m, mut v) = ([0.0f32; 2], [0.0; 2], [0.0; 2]);
        rule.update(Moment::of(&rule, 1, 0.01), &mut w, &[5.0, -1e-3], [&mut m, &mut v]);
        assert!((w[0] + 0.01).abs() < 1e-6 && (w[1] - 0.01).abs() < 1e-6);
    }
}
