//! The hyperbolic tangent: `y = tanh x`, `y′ = 1 − y²` (*Deep Learning from Scratch* §6.2.2 names it beside the sigmoid).

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::math;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

impl LayerKind for Tanh {
    const ENTRY: Entry = Entry { name: "tanh", aliases: &[], doc: "Hyperbolic tangent: y = tanh(x).", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Tanh {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        math::tanh(x)
    }

    #[inline(always)]
    fn slope(&self, _x: f32, y: f32) -> f32 {
        1.0 - y * y
    }

    fn reference(&self, x: f64) -> f64 {
        x.tanh()
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
            let network = [LayerSpec::Tanh(Tanh {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
