//! The Gaussian error linear unit (D. Hendrycks, K. Gimpel, 2016): `y = x·Φ(x)`, with the normal distribution function
//! `Φ(x) = ½(1 + erf(x/√2))`; `y′ = Φ(x) + x·φ(x)`.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise, gate};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::math;

/// Spec of the activation; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gelu {}

impl LayerKind for Gelu {
    const ENTRY: Entry = Entry {
        name: "gelu",
        aliases: &[],
        doc: "Gaussian error linear unit: y = x·Φ(x), with the exact normal distribution function.",
        fields: &[],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Gelu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * math::normal_cdf(x)
    }

    #[inline(always)]
    fn slope(&self, x: f32, y: f32) -> f32 {
        /// 1/√(2π)
        const DENSITY: f32 = 0.398_942_3;
        gate(x, y) + x * DENSITY * math::exp(-0.5 * x * x)
    }

    fn reference(&self, x: f64) -> f64 {
        0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
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
            let network = [LayerSpec::Gelu(Gelu {})];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
