//! The fully connected layer, *Deep Learning from Scratch* §5.6.
//!
//! `y = x·W + b` with `x` `[N, I]`, `W` `[I, O]`, `b` `[O]`, `y` `[N, O]`; any input shape is read as `I` values.
//!
//! Backward: `dx = dy·Wᵀ`, `dW = xᵀ·dy`, `db = Σₙ dy`.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Layer, LayerError, LayerKind, Parameter, Role};
use crate::engine::describe::{Entry, Field, Kind};
use crate::engine::gemm::{Into, View, matmul};
use crate::engine::shape::Shape;
use crate::engine::shard::Pieces;

/// Spec of a fully connected layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Number of outputs.
    pub units: usize,
}

impl LayerKind for Affine {
    const ENTRY: Entry = Entry {
        name: "affine",
        aliases: &["linear", "dense"],
        doc: "Fully connected: y = x·W + b, with W [inputs, units] and b [units].",
        fields: &[Field::required("units", Kind::Count { min: 1, max: 1 << 20 }, "number of outputs")],
    };

    fn build(&self, input: &Shape) -> Result<Box<dyn Layer>, LayerError> {
        let too_large = || LayerError {
            field: Some("units"),
            detail: format!("{} units on an input of shape {input} give more weights than can be counted", self.units),
        };
        let inputs = input.checked_len().ok_or_else(too_large)?;
        // Twice the weights must be countable too: a step is that many operations.
        inputs.checked_mul(self.units).and_then(|weights| weights.checked_mul(16)).ok_or_else(too_large)?;
        Ok(Box::new(AffineLayer::new(inputs, self.units)))
    }
}

#[derive(Debug)]
struct AffineLayer {
    inputs: usize,
    units: usize,
    output: Shape,
    parameters: [Parameter; 2],
}

impl AffineLayer {
    fn new(inputs: usize, units: usize) -> Self {
        let weight = Role::Weight { fan_in: inputs, fan_out: units };
        Self {
            inputs,
            units,
            output: Shape::new(&[units]),
            parameters: [
                Parameter { name: "W", shape: Shape::new(&[inputs, units]), role: weight },
                Parameter { name: "b", shape: Shape::new(&[units]), role: Role::Bias },
            ],
        }
    }

    fn weights(&self) -> usize {
        self.inputs * self.units
    }
}

impl Layer for AffineLayer {
    fn output(&self) -> &Shape {
        &self.output
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn flops(&self) -> usize {
        2 * self.weights()
    }

    fn forward(&self, parameters: &[f32], x: &[f32], y: &mut [f32]) {
        let n = x.len() / self.inputs;
        let (w, b) = parameters.split_at(self.weights());
        for row in y.chunks_exact_mut(self.units) {
            row.copy_from_slice(b);
        }
        let x = View::rows(x, n, self.inputs, self.inputs); // [N, I]
        let w = View::rows(w, self.inputs, self.units, self.units); // [I, O]
        matmul(Into::Add, y, self.units, x, w);
    }

    fn backward(&self, parameters: &[f32], _x: &[f32], _y: &[f32], dy: &[f32], dx: &mut [f32]) {
        let n = dy.len() / self.units;
        let w = View::rows(parameters, self.inputs, self.units, self.units); // [I, O]
        let dy = View::rows(dy, n, self.units, self.units); // [N, O]
        matmul(Into::Replace, dx, self.inputs, dy, w.transposed());
    }

    fn gradient(&self, range: Range<usize>, pieces: Pieces<'_>, gradient: &mut [f32]) {
        if range.start >= self.weights() {
            gradient.fill(0.0);
            for (_, dy) in pieces {
                for row in dy.chunks_exact(self.units) {
                    for (sum, value) in gradient.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            }
            return;
        }
        let (first, rows) = (range.start / self.units, range.len() / self.units);
        for (i, (x, dy)) in pieces.enumerate() {
            let n = dy.len() / self.units;
            let x = View::rows(&x[first..], n, rows, self.inputs); // [N, rows of I]
            let dy = View::rows(dy, n, self.units, self.units); // [N, O]
            matmul(if i == 0 { Into::Replace } else { Into::Add }, gradient, self.units, x.transposed(), dy);
        }
    }

    /// Blocks of whole rows of `W`, then `b`.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        const TILE: usize = 1 << 13;
        let rows = (TILE / self.units).clamp(1, self.inputs);
        let mut tiles: Vec<_> = (0..self.inputs)
            .step_by(rows)
            .map(|first| first * self.units..(first + rows).min(self.inputs) * self.units)
            .collect();
        tiles.push(self.weights()..self.weights() + self.units);
        tiles
    }

    fn reference(&self, parameters: &[f64], x: ArrayView2<'_, f64>) -> Array2<f64> {
        let (w, b) = parameters.split_at(self.weights());
        let w = ArrayView2::from_shape((self.inputs, self.units), w).expect("the network gives W its size");
        x.dot(&w) + ArrayView1::from(b)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::*;
    use crate::engine::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use proptest::prelude::*;

    #[test]
    fn the_book_example() {
        // §5.6.2: X·W + B with two samples; the gradient of b is the column sum of dy.
        let layer = AffineLayer::new(3, 2);
        let parameters = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5];
        let x = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
        let mut y = [0.0; 4];
        layer.forward(&parameters, &x, &mut y);
        assert_eq!(y, [11.5, 13.5, 8.5, 9.5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn agrees_with_finite_differences(inputs in 1usize..20, units in 1usize..20, n in 1usize..9, seed: u64) {
            let network = [LayerSpec::Affine(Affine { units })];
            assert_forward_agrees(&network, &Shape::new(&[inputs]), n, seed);
            assert_gradients_agree(&network, &Shape::new(&[inputs]), n, seed);
        }
    }

    #[test]
    fn weights_beyond_counting_are_an_error() {
        let error = Affine { units: 1 << 20 }.build(&Shape::new(&[1 << 40])).expect_err("2^60 weights");
        assert_eq!(error.field, Some("units"));
    }

    #[test]
    fn tiles_cover_every_parameter_once() {
        for (inputs, units) in [(784, 50), (1, 1), (3, 100_000), (7, 8193)] {
            let layer = AffineLayer::new(inputs, units);
            let mut next = 0;
            for tile in layer.gradient_tiles() {
                assert_eq!(tile.start, next);
                next = tile.end;
            }
            assert_eq!(next, inputs * units + units);
        }
    }
}
