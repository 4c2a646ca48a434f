//! Dropout, *Deep Learning from Scratch* §6.4.3 (N. Srivastava et al., 2014), inverted: while training each value is
//! dropped with probability `rate` and the others are divided by `1 − rate`; predictions leave all as they are.
//!
//! Backward: `dx = dy / (1 − rate)` where the value stayed, else 0. Which ones stay is a pure function of the job's seed,
//! the mini-batch, the layer and the row, so nothing of it is kept: the backward pass draws it again.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Backward, Context, Layer, LayerError, LayerKind, Pass, Reference};
use crate::describe::{Bound, Entry, Field, Kind};
use crate::form::Form;
use crate::processor::{Task, wide};
use crate::rng::{Purpose, Rng};

/// Spec of a dropout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Share of the values that are dropped.
    pub rate: f64,
}

impl LayerKind for Dropout {
    const ENTRY: Entry = Entry {
        name: "dropout",
        aliases: &[],
        doc: "While training, drops each value with probability `rate` and divides the others by 1 − rate.",
        fields: &[Field::optional(
            "rate",
            Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) },
            "0.5",
            "share of the values that are dropped",
        )],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let threshold = (self.rate * (1u64 << 32) as f64).round() as u64;
        Ok(Box::new(DropoutLayer { form: input.clone(), threshold, scale: 1.0 / (1.0 - self.rate) }))
    }
}

#[derive(Debug)]
struct DropoutLayer {
    form: Form,
    /// A value is dropped where 32 random bits are less.
    threshold: u64,
    /// What the others are multiplied with.
    scale: f64,
}

impl DropoutLayer {
    /// The draws of a row.
    fn draws(seed: u64, step: u64, layer: usize, row: usize) -> Rng {
        Rng::new(seed, Purpose::Dropout, step, (layer as u64) << 32 | row as u64)
    }

    fn apply(&self, at: &Context<'_>, from: &[f32], to: &mut [f32]) {
        let Pass::Train { seed, step } = at.pass else { return to.copy_from_slice(from) };
        let (width, scale) = (self.form.shape().len(), self.scale as f32);
        for (i, (from, to)) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)).enumerate() {
            let mut draws = Self::draws(seed, step, at.layer, at.first_row + i);
            let mut bits = [0; 256];
            for (from, to) in from.chunks(bits.len()).zip(to.chunks_mut(bits.len())) {
                let bits = &mut bits[..from.len()];
                draws.fill(bits);
                wide(Apply { threshold: self.threshold, scale, bits, from, to });
            }
        }
    }
}

/// Leaves out the values whose bits are below the threshold.
struct Apply<'a> {
    threshold: u64,
    scale: f32,
    bits: &'a [u32],
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Task for Apply<'_> {
    #[inline(always)]
    fn run(self) {
        for ((to, from), &bits) in self.to.iter_mut().zip(self.from).zip(self.bits) {
            *to = if u64::from(bits) >= self.threshold { from * self.scale } else { 0.0 };
        }
    }
}

impl Layer for DropoutLayer {
    fn output(&self) -> &Form {
        &self.form
    }

    fn flops(&self) -> usize {
        self.form.shape().len()
    }

    fn forward(&self, at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        self.apply(at, x, y);
    }

    fn backward(&self, at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        self.apply(at, dy, dx);
    }

    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut y = x.to_owned();
        if let Pass::Train { seed, step } = at.pass {
            for (row, mut y) in y.rows_mut().into_iter().enumerate() {
                let mut draws = Self::draws(seed, step, at.layer, row);
                for y in &mut y {
                    *y *= if u64::from(draws.bits()) >= self.threshold { self.scale } else { 0.0 };
                }
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::super::affine::Affine;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use crate::shape::Shape;

    fn apply(rate: f64, pass: Pass, layer: usize, first_row: usize) -> Vec<f32> {
        let shape = Shape::new(&[10_000]);
        let dropout = Dropout { rate }.build(&Form::planar(shape)).expect("any shape");
        let at = Context { parameters: &[], prepared: &[], transformed: &[], pass, layer, first_row, pieces: 1 };
        let mut y = vec![9.0; 20_000];
        dropout.forward(&at, &mut [], &vec![1.0; 20_000], &mut y);
        y
    }

    #[test]
    fn agrees_with_finite_differences() {
        // The layers around it make sure that the way back drops what the way there dropped.
        let network = [
            LayerSpec::Affine(Affine::of(9)),
            LayerSpec::Dropout(Dropout { rate: 0.4 }),
            LayerSpec::Affine(Affine::of(4)),
        ];
        for n in [1, 40] {
            assert_forward_agrees(&network, &Shape::new(&[5]), n, 3);
            assert_gradients_agree(&network, &Shape::new(&[5]), n, 3);
        }
    }

    #[test]
    fn drops_its_share_and_keeps_the_mean() {
        for rate in [0.0, 0.25, 0.5, 0.9] {
            let y = apply(rate, Pass::Train { seed: 1, step: 2 }, 0, 0);
            let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
            let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / y.len() as f64;
            assert!((dropped - rate).abs() < 0.015 && (mean - 1.0).abs() < 0.08, "{rate}: {dropped}, {mean}");
        }
        assert_eq!(apply(0.5, Pass::Infer, 0, 0), vec![1.0; 20_000]);
    }

    #[test]
    fn a_draw_depends_on_seed_step_layer_and_row_alone() {
        let pass = Pass::Train { seed: 1, step: 2 };
        let y = apply(0.5, pass, 3, 4);
        assert_eq!(y, apply(0.5, pass, 3, 4));
        // Row 5 is the same, whether it comes second or first.
        assert_eq!(y[10_000..], apply(0.5, pass, 3, 5)[..10_000]);
        assert_ne!(y, apply(0.5, pass, 4, 4));
        assert_ne!(y, apply(0.5, Pass::Train { seed: 1, step: 3 }, 3, 4));
        assert_ne!(y[..10_000], y[10_000..]);
    }
}
