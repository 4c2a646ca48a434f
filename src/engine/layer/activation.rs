//! What all element-wise activations share: `y = f(x)` for every value, no parameters, the shape unchanged.

use std::fmt;

use ndarray::{Array2, ArrayView2};

use super::{Backward, Context, Layer, Reference};
use crate::engine::form::Form;
use crate::engine::processor::wide;

/// The formula of an element-wise activation.
pub(super) trait Activation: fmt::Debug + Clone + Send + Sync + 'static {
    /// `f(x)`.
    fn value(&self, x: f32) -> f32;

    /// `f′(x)`, given `x` and `y = f(x)`.
    fn slope(&self, x: f32, y: f32) -> f32;

    /// `f(x)` in `f64`, by the textbook formula.
    fn reference(&self, x: f64) -> f64;
}

/// An element-wise activation for one shape.
#[derive(Debug)]
pub(super) struct Elementwise<A> {
    form: Form,
    formula: A,
}

impl<A: Activation> Elementwise<A> {
    pub(super) fn boxed(formula: &A, form: &Form) -> Box<dyn Layer> {
        Box::new(Self { form: form.clone(), formula: formula.clone() })
    }
}

impl<A: Activation> Layer for Elementwise<A> {
    fn output(&self) -> &Form {
        &self.form
    }

    fn flops(&self) -> usize {
        self.form.shape().len()
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        wide(|| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = self.formula.value(x);
            }
        });
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], pass: Backward<'_>) {
        let Backward { x, y, dy, dx } = pass;
        wide(|| {
            for ((dx, &dy), (&x, &y)) in dx.iter_mut().zip(dy).zip(x.iter().zip(y)) {
                *dx = dy * self.formula.slope(x, y);
            }
        });
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        x.mapv(|x| self.formula.reference(x))
    }
}
