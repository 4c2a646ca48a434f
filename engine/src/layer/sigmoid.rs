//! The logistic function, *Deep Learning from Scratch* §3.2.4: `y = 1 / (1 + e^−x)`, `y′ = y·(1 − y)`.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::math;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

impl LayerKind for Sigmoid {
    const ENTRY: Entry = Entry {
        name: "sigmoid",
        aliases: &["logistic"],
        doc: "Logistic function: y = 1 / (1 + exp(-x)).",
        fields: &[],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Sigmoid {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        math::sigmoid(x)
    }

    #[inline(always)]
    fn slope(&self, _x: f32, y: f32) -> f32 {
        y * (1.0 - y)
    }

    fn reference(&self, x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
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
            let network = [LayerSpec::Sigmoid(Sigmoid {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
