//! The identity, *Deep Learning from Scratch* §3.4.3: the output of a regression, and a place to look at values.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {}

impl LayerKind for Identity {
    const ENTRY: Entry = Entry { name: "identity", aliases: &[], doc: "Identity: y = x.", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Identity {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn slope(&self, _x: f32, _y: f32) -> f32 {
        1.0
    }

    fn reference(&self, x: f64) -> f64 {
        x
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
            let network = [LayerSpec::Identity(Identity {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
