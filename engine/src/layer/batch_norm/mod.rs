//! Batch normalisation, *Deep Learning from Scratch* §6.3 (S. Ioffe, C. Szegedy, 2015).
//!
//! `y = γ·x̂ + β` with `x̂ = (x − μ) / √(σ² + ε)`, channel by channel. `x` is `[N, D]`, where every value is a channel, or
//! `[N, C, H, W]`; `γ`, `β` and the statistics are `[D]` or `[C]`. While training, `μ` and `σ²` are mean and (biased)
//! variance over the batch's `m` values of a channel, and the running statistics follow: each step they keep the share
//! `momentum` of themselves and take the rest from `μ` and the unbiased `σ²·m/(m−1)`, as PyTorch does (its `momentum` is
//! one less ours). Predictions use the running statistics.
//!
//! Backward: `dβ = Σ dy`, `dγ = Σ dy·x̂`, `dx = γ/√(σ² + ε) · (dy − dβ/m − x̂·dγ/m)`.
//!
//! A network works a batch normalisation and the ReLU after it out as one layer: `y = max(0, γ·x̂ + β)`, and `dy` is 0 where
//! that is 0.

mod loops;

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::loops::{Affinity, Backprop, Measure, MeasureBackward, Normalise, Statistics};
use super::{
    Backward, Collective, Context, Known, Layer, LayerError, LayerKind, Parameter, Pass, Reference, Role, Storage,
};
use crate::batch::Batch;
use crate::describe::{Bound, Entry, Field, Kind};
use crate::form::Form;
use crate::processor::wide;
use crate::segment::tiles_of;
use crate::shape::Shape;

/// Spec of a batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Share of the running statistics that is kept at each step.
    pub momentum: f64,
    /// ε: keeps the divisor from zero.
    pub epsilon: f64,
}

impl LayerKind for BatchNorm {
    const ENTRY: Entry = Entry {
        name: "batch_norm",
        aliases: &["batch_normalization", "batch_norm2d", "batch_norm1d"],
        doc: "Batch normalisation, a channel of an image or a value of a row at a time: γ·(x − mean)/√(variance + ε) + β.",
        fields: &[
            Field::optional(
                "momentum",
                Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) },
                "0.9",
                "share of the running statistics that is kept at each step (PyTorch's momentum is 1 − this)",
            ),
            Field::optional(
                "epsilon",
                Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1.0) },
                "1e-5",
                "keeps the divisor from zero",
            ),
        ],
    };

    const INTERLEAVED: bool = true;

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.layer(input, false)
    }
}

impl BatchNorm {
    /// The layer together with a ReLU after it.
    pub(crate) fn rectified(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.layer(input, true)
    }

    fn layer(&self, input: &Form, rectified: bool) -> Result<Box<dyn Layer>, LayerError> {
        let (channels, storage) = match (input.as_image(), input.shape().axes()) {
            (Some([channels, ..]), _) => (channels, Storage::Plain),
            (None, &[channels]) => (channels, Storage::following(input, 1)),
            _ => {
                let shape = input.shape();
                return Err(LayerError::new(format!("an image or a row of values is needed, not shape {shape}")));
            }
        };
        let parameter =
            |name, role| Parameter { storage: storage.clone(), ..Parameter::of(name, Shape::new(&[channels]), role) };
        let keep = self.momentum as f32;
        Ok(Box::new(BatchNormLayer {
            channels,
            epsilon: self.epsilon,
            rectified,
            form: input.clone(),
            parameters: [
                parameter("gamma", Role::Scale),
                parameter("beta", Role::Bias),
                parameter("running_mean", Role::Statistic { start: 0.0, keep }),
                parameter("running_var", Role::Statistic { start: 1.0, keep }),
            ],
        }))
    }
}

#[derive(Debug)]
struct BatchNormLayer {
    channels: usize,
    epsilon: f64,
    /// Whether a ReLU comes after it.
    rectified: bool,
    form: Form,
    parameters: [Parameter; 4],
}

impl BatchNormLayer {
    /// Values of a channel in so many rows.
    fn per_channel(&self, rows: usize) -> usize {
        rows * self.form.shape().len() / self.channels
    }

    fn part<'a>(&self, parameters: &'a [f32], which: usize) -> &'a [f32] {
        &parameters[which * self.channels..][..self.channels]
    }

    fn affinity<'a>(&self, parameters: &'a [f32], statistics: Statistics<'a>) -> Affinity<'a> {
        Affinity { statistics, gamma: self.part(parameters, 0), beta: self.part(parameters, 1) }
    }

    /// What a batch is normalised by whose measure is known.
    fn of_batch<'a>(&self, parameters: &'a [f32], whole: &'a [f64]) -> Affinity<'a> {
        let [means, inverses] = [0, 2].map(|which| &whole[which * self.channels..][..self.channels]);
        self.affinity(parameters, Statistics::Batch([means, inverses]))
    }

    fn normalise(&self, affinity: Affinity<'_>, x: &[f32], y: &mut [f32]) {
        if self.rectified {
            wide(Normalise::<true> { affinity, x, y });
        } else {
            wide(Normalise::<false> { affinity, x, y });
        }
    }
}

impl Layer for BatchNormLayer {
    fn output(&self) -> &Form {
        &self.form
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn flops(&self) -> usize {
        self.form.shape().len().saturating_mul(4)
    }

    fn collective(&self) -> Option<&dyn Collective> {
        Some(self)
    }

    /// With the running statistics.
    fn forward(&self, at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let running = Statistics::Running([2, 3].map(|which| self.part(at.parameters, which)), self.epsilon);
        self.normalise(self.affinity(at.parameters, running), x, y);
    }

    /// With the running statistics, which are constants.
    fn backward(&self, at: &Context<'_>, _scratch: &mut [f32], pass: Backward<'_>) {
        let Backward { y, dy, dx, .. } = pass;
        let (gamma, variance) = (self.part(at.parameters, 0), self.part(at.parameters, 3));
        for (i, (dx, (y, dy))) in dx.iter_mut().zip(y.iter().zip(dy)).enumerate() {
            let c = i % self.channels;
            let slope = f64::from(gamma[c]) / (f64::from(variance[c]) + self.epsilon).sqrt();
            *dx = if self.rectified && *y <= 0.0 { 0.0 } else { dy * slope as f32 };
        }
    }

    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        let known = batch.known();
        let count = self.per_channel(known.rows) as f64;
        let (which, first) = (range.start / self.channels, range.start % self.channels);
        for (c, gradient) in (first..).zip(gradient) {
            *gradient = match which {
                0 => known.sums[self.channels + c],
                1 => known.sums[c],
                2 => known.whole[c],
                _ => known.whole[self.channels + c] * count / (count - 1.0).max(1.0),
            } as f32;
        }
    }

    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        (0..4).flat_map(|which| tiles_of(which * self.channels..(which + 1) * self.channels)).collect()
    }

    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut y = x.to_owned();
        let [gamma, beta, mean, variance] =
            [0, 1, 2, 3].map(|which| &at.parameters[which * self.channels..][..self.channels]);
        for c in 0..self.channels {
            let of_channel = || x.indexed_iter().filter(|((_, i), _)| i % self.channels == c).map(|(_, x)| *x);
            let (mean, variance) = if at.pass == Pass::Infer {
                (mean[c], variance[c])
            } else {
                let count = of_channel().count() as f64;
                let mean = of_channel().sum::<f64>() / count;
                (mean, of_channel().map(|x| (x - mean).powi(2)).sum::<f64>() / count)
            };
            for ((_, i), y) in y.indexed_iter_mut() {
                if i % self.channels == c {
                    *y = gamma[c] * (*y - mean) / (variance + self.epsilon).sqrt() + beta[c];
                    *y = if self.rectified { y.max(0.0) } else { *y };
                }
            }
        }
        y
    }
}

/// A shard's measure is the mean and the sum of squared deviations of each channel; the whole's is mean, variance and
/// `1/√(σ² + ε)`. The backward sums are `Σ dy` and `Σ dy·x̂`.
impl Collective for BatchNormLayer {
    fn measure_len(&self) -> usize {
        2 * self.channels
    }

    fn whole_len(&self) -> usize {
        3 * self.channels
    }

    fn measure(&self, x: &[f32], seen: usize, measure: &mut [f64]) {
        if seen == 0 {
            measure.fill(0.0);
        }
        let (means, deviations) = measure.split_at_mut(self.channels);
        wide(Measure { channels: self.channels, x, seen: self.per_channel(seen), means, deviations });
    }

    /// By T. F. Chan et al., *Updating formulae and a pairwise algorithm for computing sample variances*, 1979.
    fn combine(&self, shards: &mut dyn Iterator<Item = (usize, &[f64])>, whole: &mut [f64]) {
        let (means, rest) = whole.split_at_mut(self.channels);
        let (variances, inverses) = rest.split_at_mut(self.channels);
        means.fill(0.0);
        variances.fill(0.0);
        let mut count = 0.0;
        for (rows, measure) in shards {
            let (other_means, other_deviations) = measure.split_at(self.channels);
            let other = self.per_channel(rows) as f64;
            let total = count + other;
            let (share, weight) = (other / total, count * other / total);
            for c in 0..self.channels {
                let distance = other_means[c] - means[c];
                means[c] += distance * share;
                variances[c] += other_deviations[c] + distance * distance * weight;
            }
            count = total;
        }
        for (variance, inverse) in variances.iter_mut().zip(inverses) {
            // Below zero it is rounding; what is not a number stays.
            *variance = if *variance < 0.0 { 0.0 } else { *variance / count };
            *inverse = 1.0 / (*variance + self.epsilon).sqrt();
        }
    }

    fn forward(&self, parameters: &[f32], whole: &[f64], x: &[f32], y: &mut [f32]) {
        self.normalise(self.of_batch(parameters, whole), x, y);
    }

    fn forward_plain(&self, parameters: &[f32], whole: &[f64], x: &[f32], y: &mut [f32]) {
        wide(Normalise::<false> { affinity: self.of_batch(parameters, whole), x, y });
    }

    fn measure_backward(&self, parameters: &[f32], whole: &[f64], x: &[f32], dy: &[f32], sums: &mut [f64]) {
        let affinity = self.of_batch(parameters, whole);
        let (shifts, scales) = sums.split_at_mut(self.channels);
        if self.rectified {
            wide(MeasureBackward::<true> { affinity, x, dy, shifts, scales });
        } else {
            wide(MeasureBackward::<false> { affinity, x, dy, shifts, scales });
        }
    }

    fn backward(&self, parameters: &[f32], batch: Known<'_>, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let affinity = self.of_batch(parameters, batch.whole);
        let (shifts, scales) = batch.sums.split_at(self.channels);
        let count = self.per_channel(batch.rows) as f64;
        if self.rectified {
            wide(Backprop::<true> { affinity, shifts, scales, count, x, dy, dx });
        } else {
            wide(Backprop::<false> { affinity, shifts, scales, count, x, dy, dx });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::super::identity::Identity;
    use super::super::relu::Relu;
    use super::super::sigmoid::Sigmoid;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree, assert_same_gradients};
    use proptest::prelude::*;

    const SPEC: BatchNorm = BatchNorm { momentum: 0.9, epsilon: 1e-5 };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn agrees_with_finite_differences(
            image in (1usize..20, 1usize..4, 1usize..4), n in 3usize..70, seed: u64,
        ) {
            // What follows makes the gradients differ from row to row, else a normalised batch would have none.
            let network = [LayerSpec::BatchNorm(SPEC), LayerSpec::Sigmoid(Sigmoid {})];
            let shape = Shape::new(&[image.0, image.1, image.2]);
            assert_forward_agrees(&network, &shape, n, seed);
            assert_gradients_agree(&network, &shape, n, seed);
        }

        #[test]
        fn a_relu_may_be_taken_in(image in (1usize..40, 1usize..4, 1usize..4), n in 3usize..40, seed: u64) {
            let [norm, relu, sigmoid] =
                [LayerSpec::BatchNorm(SPEC), LayerSpec::Relu(Relu {}), LayerSpec::Sigmoid(Sigmoid {})];
            let apart = [norm.clone(), LayerSpec::Identity(Identity {}), relu.clone(), sigmoid.clone()];
            let together = [norm, relu, sigmoid];
            let shape = Shape::new(&[image.0, image.1, image.2]);
            assert_forward_agrees(&together, &shape, n, seed);
            assert_same_gradients([&together, &apart], &shape, n, seed);
        }
    }

    #[test]
    fn shards_combine_to_the_whole() {
        let layer = BatchNormLayer {
            channels: 2,
            epsilon: 1e-5,
            rectified: false,
            form: Form::planar(Shape::new(&[2])),
            parameters: std::array::from_fn(|_| Parameter::biases(2)),
        };
        let x: Vec<f32> = (0..20u8).map(|i| f32::from(u16::from(i) * u16::from(i)) + 1000.0).collect();
        let measures: Vec<(usize, Vec<f64>)> = [&x[..6], &x[6..8], &x[8..]]
            .map(|x| {
                let mut measure = vec![0.0; 4];
                layer.measure(&x[..2], 0, &mut measure);
                layer.measure(&x[2..], 1, &mut measure);
                (x.len() / 2, measure)
            })
            .into();
        let mut whole = vec![0.0; 6];
        layer.combine(&mut measures.iter().map(|(rows, m)| (*rows, m.as_slice())), &mut whole);
        for c in 0..2 {
            let values: Vec<f64> = x.iter().skip(c).step_by(2).map(|x| f64::from(*x)).collect();
            let mean = values.iter().sum::<f64>() / 10.0;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 10.0;
            assert!((whole[c] - mean).abs() < 1e-3 && (whole[2 + c] / variance - 1.0).abs() < 1e-5);
        }
    }
}
