//! The exponential linear unit (D.-A. Clevert et al., *Fast and accurate deep network learning by exponential linear units*,
//! 2016): `y = x` where `x > 0`, else `alpha · (eˣ − 1)`.

use serde::{Deserialize, Serialize};

use super::activation::{Activation, Elementwise};
use super::{Layer, LayerError, LayerKind};
use crate::describe::{Bound, Entry, Field, Kind};
use crate::form::Form;
use crate::math;

/// Spec of the activation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elu {
    /// How far below zero it goes.
    pub alpha: f64,
}

impl LayerKind for Elu {
    const ENTRY: Entry = Entry {
        name: "elu",
        aliases: &[],
        doc: "Exponential linear unit: y = x where x > 0, else alpha·(exp(x) − 1).",
        fields: &[Field::optional(
            "alpha",
            Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(100.0) },
            "1.0",
            "how far below zero it goes",
        )],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Elementwise::boxed(self, input))
    }
}

impl Activation for Elu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.alpha as f32 * math::exp_m1(x) }
    }

    #[inline(always)]
    fn slope(&self, x: f32, y: f32) -> f32 {
        if x > 0.0 { 1.0 } else { y + self.alpha as f32 }
    }

    fn reference(&self, x: f64) -> f64 {
        if x > 0.0 { x } else { self.alpha * x.exp_m1() }
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
            let network = [LayerSpec::Elu(Elu { alpha: 1.5 })];
            assert_forward_agrees(&network, &Shape::new(&[2, 3, 3]), n, 7);
            assert_gradients_agree(&network, &Shape::new(&[2, 3, 3]), n, 7);
        }
    }
}
