//! The smooth rectifier: `y = ln(1 + eˣ)`, `y′ = σ(x)`; computed as `max(x, 0) + ln(1 + e^−|x|)`, which does not overflow.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::math;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softplus {}

impl LayerKind for Softplus {
    const ENTRY: Entry =
        Entry { name: "softplus", aliases: &[], doc: "Smooth rectifier: y = ln(1 + exp(x)).", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Softplus {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        // `max` hides a NaN; the logarithm does not.
        x.max(0.0) + math::ln_1p(math::exp(-x.abs()))
    }

    #[inline(always)]
    fn slope(&self, x: f32, _y: f32) -> f32 {
        math::sigmoid(x)
    }

    fn reference(&self, x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
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
            let network = [LayerSpec::Softplus(Softplus {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
