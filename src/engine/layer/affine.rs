//! The fully connected layer, *Deep Learning from Scratch* §5.6.
//!
//! `y = x·W + b` with `x` `[N, I]`, `W` `[I, O]`, `b` `[O]`, `y` `[N, O]`; any input shape is read as `I` values.
//!
//! Backward: `dx = dy·Wᵀ`, `dW = xᵀ·dy`, `db = Σₙ dy`.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Backward, Context, Layer, LayerError, LayerKind, Memory, Parameter, Reference, Role, Storage};
use crate::engine::batch::Batch;
use crate::engine::describe::{Entry, Field, Kind};
use crate::engine::form::Form;
use crate::engine::gemm::{Axis, Grid, Into, View, biased_matmul, grid_matmul, matmul, transpose};
use crate::engine::init::{self, Init};
use crate::engine::processor::add_rows;
use crate::engine::segment::tiles_of_rows;
use crate::engine::shape::Shape;

/// Spec of a fully connected layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Number of outputs.
    pub units: usize,
    /// Initial weights, if not the job's.
    #[serde(default)]
    pub init: Option<Init>,
}

impl Affine {
    /// A layer of so many outputs.
    pub fn of(units: usize) -> Self {
        Self { units, init: None }
    }
}

impl LayerKind for Affine {
    const ENTRY: Entry = Entry {
        name: "affine",
        aliases: &["linear", "dense"],
        doc: "Fully connected: y = x·W + b, with W [inputs, units] and b [units].",
        fields: &[Field::required("units", Kind::Count { min: 1, max: 1 << 20 }, "number of outputs"), init::FIELD],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let shape = input.shape();
        let too_large = || {
            let detail =
                format!("{} units on an input of shape {shape} give more weights than can be counted", self.units);
            LayerError::at("units", detail)
        };
        let inputs = shape.checked_len().ok_or_else(too_large)?;
        // Twice the weights must be countable too: a step is that many operations.
        inputs.checked_mul(self.units).and_then(|weights| weights.checked_mul(16)).ok_or_else(too_large)?;
        Ok(Box::new(AffineLayer::new(inputs, self.units, Storage::following(input, self.units), self.init.clone())))
    }
}

#[derive(Debug)]
struct AffineLayer {
    inputs: usize,
    units: usize,
    output: Form,
    parameters: [Parameter; 2],
}

impl AffineLayer {
    fn new(inputs: usize, units: usize, storage: Storage, init: Option<Init>) -> Self {
        let weight = Role::Weight { fan_in: inputs, fan_out: units };
        Self {
            inputs,
            units,
            output: Form::planar(Shape::new(&[units])),
            parameters: [
                Parameter { storage, init, ..Parameter::of("W", Shape::new(&[inputs, units]), weight) },
                Parameter::biases(units),
            ],
        }
    }

    fn weights(&self) -> usize {
        self.inputs * self.units
    }
}

impl Layer for AffineLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn flops(&self) -> usize {
        2 * self.weights()
    }

    fn memory(&self) -> Memory {
        Memory { prepared: self.weights(), can_do_without: true, ..Memory::default() }
    }

    fn likes_many_rows(&self) -> bool {
        true
    }

    /// `Wᵀ` `[O, I]`: row by row it makes a faster product than by its columns.
    fn prepare(&self, parameters: &[f32], prepared: &mut [f32]) {
        transpose(&parameters[..self.weights()], self.units, prepared);
    }

    fn forward(&self, at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let n = x.len() / self.inputs;
        let (w, b) = at.parameters.split_at(self.weights());
        let x = View::rows(x, n, self.inputs, self.inputs); // [N, I]
        let w = View::rows(w, self.inputs, self.units, self.units); // [I, O]
        biased_matmul(y, x, w, b);
    }

    fn backward(&self, at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        let n = dy.len() / self.units;
        let dy = View::rows(dy, n, self.units, self.units); // [N, O]
        let transposed = if at.prepared.is_empty() {
            View::rows(at.parameters, self.inputs, self.units, self.units).transposed()
        } else {
            View::rows(at.prepared, self.units, self.inputs, self.inputs)
        }; // [O, I]
        matmul(Into::Replace, dx, self.inputs, dy, transposed);
    }

    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        if range.start >= self.weights() {
            gradient.fill(0.0);
            for (_, dy) in batch.pieces() {
                add_rows(dy, gradient);
            }
            return;
        }
        let (first, rows) = (range.start / self.units, range.len() / self.units);
        let columns = Axis::new(self.units, 1);
        for (i, stack) in batch.stacks().enumerate() {
            let (x, dy) = (Axis::new(stack.rows, self.inputs), Axis::new(stack.rows, self.units));
            let of_inputs = Axis::new(rows, 1);
            // [rows of I, N]
            let x =
                Grid { data: &stack.x[first..], groups: Axis::ONE, rows: of_inputs, runs: stack.shards, columns: x };
            let dy = Grid { data: stack.dy, groups: stack.shards, rows: dy, runs: Axis::ONE, columns }; // [N, O]
            grid_matmul(if i == 0 { Into::Replace } else { Into::Add }, gradient, x, dy);
        }
    }

    /// Blocks of whole rows of `W`, then `b`.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        let mut tiles = tiles_of_rows(self.inputs, self.units);
        tiles.push(self.weights()..self.weights() + self.units);
        tiles
    }

    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let (w, b) = at.parameters.split_at(self.weights());
        let w = ArrayView2::from_shape((self.inputs, self.units), w).expect("the network gives W its size");
        x.dot(&w) + ArrayView1::from(b)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LayerSpec, Pass};
    use super::*;
    use crate::engine::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use proptest::prelude::*;

    #[test]
    fn the_book_example() {
        // §5.6.2: X·W + B with two samples; the gradient of b is the column sum of dy.
        let layer = AffineLayer::new(3, 2, Storage::Plain, None);
        let parameters = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5];
        let x = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
        let mut y = [0.0; 4];
        let at = Context { parameters: &parameters, prepared: &[], pass: Pass::Infer, layer: 0, first_row: 0 };
        layer.forward(&at, &mut [], &x, &mut y);
        assert_eq!(y, [11.5, 13.5, 8.5, 9.5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn agrees_with_finite_differences(inputs in 1usize..20, units in 1usize..20, n in 1usize..9, seed: u64) {
            let network = [LayerSpec::Affine(Affine::of(units))];
            assert_forward_agrees(&network, &Shape::new(&[inputs]), n, seed);
            assert_gradients_agree(&network, &Shape::new(&[inputs]), n, seed);
        }
    }

    #[test]
    fn weights_beyond_counting_are_an_error() {
        let error = Affine::of(1 << 20).build(&Form::planar(Shape::new(&[1 << 40]))).expect_err("2^60 weights");
        assert_eq!(error.field, Some("units"));
    }

    #[test]
    fn tiles_cover_every_parameter_once() {
        for (inputs, units) in [(784, 50), (1, 1), (3, 100_000), (7, 8193)] {
            let layer = AffineLayer::new(inputs, units, Storage::Plain, None);
            let mut next = 0;
            for tile in layer.gradient_tiles() {
                assert_eq!(tile.start, next);
                next = tile.end;
            }
            assert_eq!(next, inputs * units + units);
        }
    }
}
