//! Reads an image `[C, H, W]` as one row of `C·H·W` values, *Deep Learning from Scratch* §7.5.
//!
//! The affine layer does so by itself; `flatten` says it, and stands before layers that treat every value by itself.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Backward, Context, Layer, LayerError, LayerKind, Reference};
use crate::describe::Entry;
use crate::form::Form;
use crate::shape::Shape;

/// Spec of the layer; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl LayerKind for Flatten {
    const ENTRY: Entry =
        Entry { name: "flatten", aliases: &[], doc: "Reads any shape as one row of values.", fields: &[] };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let len = input.shape().checked_len().ok_or_else(|| LayerError::new("more values than can be counted"))?;
        Ok(Box::new(FlattenLayer { output: input.reshaped(Shape::new(&[len])) }))
    }
}

#[derive(Debug)]
struct FlattenLayer {
    output: Form,
}

impl Layer for FlattenLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        0
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(x);
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        dx.copy_from_slice(dy);
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        x.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};

    #[test]
    fn agrees_with_finite_differences() {
        assert_forward_agrees(&[LayerSpec::Flatten(Flatten {})], &Shape::new(&[2, 3, 4]), 3, 1);
        assert_gradients_agree(&[LayerSpec::Flatten(Flatten {})], &Shape::new(&[2, 3, 4]), 3, 1);
    }
}
