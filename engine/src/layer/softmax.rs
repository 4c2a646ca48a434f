//! Softmax, *Deep Learning from Scratch* §3.5: `yᵢ = e^{xᵢ} / Σⱼ e^{xⱼ}` over the values of a sample; the largest is
//! subtracted first, so nothing overflows.
//!
//! Backward: `dxᵢ = yᵢ · (dyᵢ − Σⱼ dyⱼ yⱼ)`.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Backward, Context, Layer, LayerError, LayerKind, Reference};
use crate::describe::Entry;
use crate::form::Form;
use crate::math::exp;

/// Spec of the layer; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

impl LayerKind for Softmax {
    const ENTRY: Entry = Entry {
        name: "softmax",
        aliases: &[],
        doc: "Softmax over the values of a sample: y = eˣ / Σ eˣ. The loss softmax_cross_entropy has it built in.",
        fields: &[],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        Ok(Box::new(SoftmaxLayer { form: input.clone() }))
    }
}

#[derive(Debug)]
struct SoftmaxLayer {
    form: Form,
}

impl Layer for SoftmaxLayer {
    fn output(&self) -> &Form {
        &self.form
    }

    fn flops(&self) -> usize {
        self.form.shape().len().saturating_mul(4)
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let width = self.form.shape().len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp(x - largest);
            }
            let sum: f32 = y.iter().sum();
            for y in y {
                *y /= sum;
            }
        }
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { y, dy, dx, .. }: Backward<'_>) {
        let width = self.form.shape().len();
        for ((y, dy), dx) in y.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
            let mean: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
            for ((dx, dy), y) in dx.iter_mut().zip(dy).zip(y) {
                *dx = y * (dy - mean);
            }
        }
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut y = x.to_owned();
        for mut row in y.rows_mut() {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|x| (x - largest).exp());
            let sum = row.sum();
            row.mapv_inplace(|y| y / sum);
        }
        y
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
        assert_forward_agrees(&[LayerSpec::Softmax(Softmax {})], &Shape::new(&[7]), 3, 1);
        assert_gradients_agree(&[LayerSpec::Softmax(Softmax {})], &Shape::new(&[7]), 3, 1);
    }
}
