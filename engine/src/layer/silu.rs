//! The sigmoid linear unit, also called swish (S. Elfwing et al., 2017; P. Ramachandran et al., 2017): `y = x·σ(x)`,
//! `y′ = σ(x)·(1 + x·(1 − σ(x)))`.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise, gate};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::math;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silu {}

impl LayerKind for Silu {
    const ENTRY: Entry =
        Entry { name: "silu", aliases: &["swish"], doc: "Sigmoid linear unit: y = x / (1 + exp(-x)).", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Silu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * math::sigmoid(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32, y: f32) -> f32 {
        let s = gate(x, y);
        s * (1.0 + x * (1.0 - s))
    }

    fn reference(&self, x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use crate::shape::Shape;

    #[test]
    fn agrees_with_finite_differences() {
        for n in [1, 5] {
            let network = [LayerSpec::Silu(Silu {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
