//! The leaky rectifier (A. L. Maas et al., *Rectifier nonlinearities improve neural network acoustic models*, 2013):
//! `y = x` where `x > 0`, else `slope · x`.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::{Bound, Entry, Field, Kind};
use crate::form::Form;

/// Spec of the activation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// Slope where the input is negative.
    pub slope: f64,
}

impl LayerKind for LeakyRelu {
    const ENTRY: Entry = Entry {
        name: "leaky_relu",
        aliases: &[],
        doc: "Leaky rectified linear unit: y = x where x > 0, else slope·x.",
        fields: &[Field::optional(
            "slope",
            Kind::Number { min: Bound::Included(0.0), max: Bound::Included(1.0) },
            "0.01",
            "slope where the input is negative",
        )],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for LeakyRelu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.slope as f32 * x }
    }

    #[inline(always)]
    fn slope(&self, x: f32, _y: f32) -> f32 {
        if x > 0.0 { 1.0 } else { self.slope as f32 }
    }

    fn reference(&self, x: f64) -> f64 {
        if x > 0.0 { x } else { self.slope * x }
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
            let network = [LayerSpec::LeakyRelu(LeakyRelu { slope: 0.2 })];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
