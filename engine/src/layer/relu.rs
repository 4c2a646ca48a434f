//! The rectified linear unit, *Deep Learning from Scratch* §3.2.7: `y = max(0, x)`, `y′ = 1` where `x > 0`, else 0.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

impl LayerKind for Relu {
    const ENTRY: Entry =
        Entry { name: "relu", aliases: &[], doc: "Rectified linear unit: y = max(0, x).", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Relu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x > 0.0 || x.is_nan() { x } else { 0.0 }
    }

    #[inline(always)]
    fn slope(&self, _x: f32, y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { 0.0 }
    }

    fn reference(&self, x: f64) -> f64 {
        x.max(0.0)
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
            let network = [LayerSpec::Relu(Relu {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }

    #[test]
    fn passes_what_is_not_a_number_on() {
        // A NaN must reach the loss, which stops the job; `max` would hide it.
        assert!(Relu {}.value(f32::NAN).is_nan());
        assert_eq!([-2.0, 0.0, 3.0].map(|x| Relu {}.value(x)), [0.0, 0.0, 3.0]);
    }
}
