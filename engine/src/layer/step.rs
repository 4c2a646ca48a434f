//! The step function of the perceptron, *Deep Learning from Scratch* §3.2.2: `y = 1` where `x > 0`, else 0.
//!
//! Its derivative is 0 wherever it has one, so nothing below it learns by backpropagation (§4.2.5): the loss
//! `perceptron` trains a step unit, by Rosenblatt's rule.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {}

impl LayerKind for Step {
    const ENTRY: Entry = Entry {
        name: "step",
        aliases: &["heaviside"],
        doc: "Step function: y = 1 where x > 0, else 0. Its derivative is 0: layers below it do not learn.",
        fields: &[],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Step {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x.is_nan() { x } else { f32::from(u8::from(x > 0.0)) }
    }

    #[inline(always)]
    fn slope(&self, _x: f32, _y: f32) -> f32 {
        0.0
    }

    fn reference(&self, x: f64) -> f64 {
        f64::from(u8::from(x > 0.0))
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
        let network = [LayerSpec::Step(Step {})];
        assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), 5, 7);
        assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), 5, 7);
    }

    #[test]
    fn zero_does_not_fire() {
        assert_eq!([-1.0, 0.0, 1e-30].map(|x| Step {}.value(x)), [0.0, 0.0, 1.0]);
        assert!(Step {}.value(f32::NAN).is_nan());
    }
}
