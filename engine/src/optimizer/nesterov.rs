//! Nesterov's accelerated gradient, in the form that looks ahead from the moved weights (Y. Bengio et al., *Advances in
//! optimizing recurrent networks*, 2013; the notes' code): `v ← α·v − η·g`, `W ← W + α·v − η·g`.

use serde::{Deserialize, Serialize};

use super::{MAX_SLOTS, Moment, Optimizer, OptimizerKind, factor, learning_rate, settled};
use crate::describe::Entry;
use crate::processor::wide;

/// Spec of Nesterov's accelerated gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nesterov {
    /// η.
    pub learning_rate: f64,
    /// α: what is kept of the velocity.
    pub momentum: f64,
}

impl OptimizerKind for Nesterov {
    const ENTRY: Entry = Entry {
        name: "nesterov",
        aliases: &[],
        doc: "Nesterov's accelerated gradient: momentum that looks one step ahead.",
        fields: &[learning_rate("0.01"), factor("momentum", "0.9", "what is kept of the velocity at each step")],
    };
}

impl Optimizer for Nesterov {
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
                *w += keep * *v - rate * g;
            }
        });
    }
}
