//! Momentum, *Deep Learning from Scratch* §6.1.4: `v ← α·v − η·∂L/∂W`, `W ← W + v`
//! (B. T. Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964).

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, factor, learning_rate, settled};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of momentum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Momentum {
    /// η.
    pub learning_rate: f64,
    /// α: what is kept of the velocity.
    pub momentum: f64,
}

impl OptimizerKind for Momentum {
    const ENTRY: Entry = Entry {
        name: "momentum",
        aliases: &[],
        doc: "Momentum: v ← α·v − η·g, W ← W + v.",
        fields: &[learning_rate("0.01"), factor("momentum", "0.9", "what is kept of the velocity at each step")],
    };
}

impl Optimizer for Momentum {
    fn slots(&self) -> usize {
        1
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]) {
        let (rate, keep) = (moment.learning_rate as f32, self.momentum as f32);
        let [velocity, _] = slots;
        wide(|| {
            for ((w, v), &g) in parameters.iter_mut().zip(velocity).zip(gradient) {
                *v = settled(keep * *v - rate * g);
                *w += *v;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn velocity_builds_up() {
        let rule = Momentum { learning_rate: 0.1, momentum: 0.5 };
        let (mut w, mut v) = ([1.0], [0.0]);
        for update in 1..=2 {
            rule.update(Moment::of(&rule, update, 0.1), &mut w, &[1.0], [&mut v, &mut []]);
        }
        // v: −0.1, then −0.05 − 0.1 = −0.15.
        assert!((w[0] - 0.75f32).abs() < 1e-6 && (v[0] + 0.15f32).abs() < 1e-6);
    }
}
