//! What all element-wise activations share: `y = f(x)` for every value, no parameters, the shape unchanged.

use std::fmt;

use ndarray::{Array2, ArrayView2};

use super::{Backward, Context, Layer, Reference};
use crate::form::Form;
use crate::processor::{Task, wide};
use crate::team;

/// The formula of an element-wise activation.
///
/// `value` and `slope` are `#[inline(always)]` in every implementation, and choose between values that they have worked
/// out both rather than branch: so the loops over them become vectors.
pub(super) trait Activation: fmt::Debug + Clone + Send + Sync + 'static {
    /// `f(x)`.
    fn value(&self, x: f32) -> f32;

    /// `f′(x)`, given `x` and `y = f(x)`.
    fn slope(&self, x: f32, y: f32) -> f32;

    /// `f(x)` in `f64`, by the textbook formula.
    fn reference(&self, x: f64) -> f64;
}

/// `g(x)` of an activation `y = x·g(x)` with `g(0) = ½`, from what is known already.
#[inline(always)]
pub(super) fn gate(x: f32, y: f32) -> f32 {
    /// Where it is ½ to the last bit, and products may have lost bits of their own.
    const TINY: f32 = 1e-30;
    let gate = y / x;
    if x.abs() < TINY { 0.5 } else { gate }
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

    /// `y = f(x)`, in so many pieces side by side where it pays.
    fn values(&self, pieces: usize, x: &[f32], y: &mut [f32]) {
        if pieces < 2 || x.len() < 2 * LEAST {
            return wide(Values { formula: &self.formula, x, y });
        }
        let ((x0, x1), (y0, y1)) = (x.split_at(x.len() / 2), y.split_at_mut(x.len() / 2));
        team::join(|| self.values(pieces / 2, x0, y0), || self.values(pieces.div_ceil(2), x1, y1));
    }

    /// `dx = dy · f′(x)`, likewise.
    fn slopes(&self, pieces: usize, pass: Backward<'_>) {
        if pieces < 2 || pass.x.len() < 2 * LEAST {
            return wide(Slopes { formula: &self.formula, pass });
        }
        let [left, right] = pass.halves();
        team::join(|| self.slopes(pieces / 2, left), || self.slopes(pieces.div_ceil(2), right));
    }
}

/// Values that are worth the way to another thread.
const LEAST: usize = 1 << 13;

impl Backward<'_> {
    /// Both halves, where no value has to do with another and nothing is kept.
    fn halves(self) -> [Self; 2] {
        let middle = self.x.len() / 2;
        let ((x0, x1), (y0, y1)) = (self.x.split_at(middle), self.y.split_at(middle));
        let ((dy0, dy1), (dx0, dx1)) = (self.dy.split_at(middle), self.dx.split_at_mut(middle));
        let kept = &[];
        [Self { x: x0, y: y0, kept, dy: dy0, dx: dx0 }, Self { x: x1, y: y1, kept, dy: dy1, dx: dx1 }]
    }
}

/// `y = f(x)`.
struct Values<'a, A> {
    formula: &'a A,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<A: Activation> Task for Values<'_, A> {
    #[inline(always)]
    fn run(self) {
        // A copy: the compiler need not fear that writing `y` changes it.
        let formula = self.formula.clone();
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = formula.value(x);
        }
    }
}

/// `dx = dy · f′(x)`.
struct Slopes<'a, A> {
    formula: &'a A,
    pass: Backward<'a>,
}

impl<A: Activation> Task for Slopes<'_, A> {
    #[inline(always)]
    fn run(self) {
        let (formula, Backward { x, y, dy, dx, .. }) = (self.formula.clone(), self.pass);
        for ((dx, &dy), (&x, &y)) in dx.iter_mut().zip(dy).zip(x.iter().zip(y)) {
            *dx = dy * formula.slope(x, y);
        }
    }
}

impl<A: Activation> Layer for Elementwise<A> {
    fn output(&self) -> &Form {
        &self.form
    }

    fn flops(&self) -> usize {
        self.form.shape().len()
    }

    fn forward(&self, at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        self.values(at.pieces, x, y);
    }

    fn backward(&self, at: &Context<'_>, _scratch: &mut [f32], pass: Backward<'_>) {
        self.slopes(at.pieces, pass);
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        x.mapv(|x| self.formula.reference(x))
    }
}
