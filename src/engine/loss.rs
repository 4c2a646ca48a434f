//! Losses: how wrong the outputs are, and which way is better.

use std::fmt;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::describe::Entry;
use super::math::exp;

/// A loss over class labels.
pub trait Loss: fmt::Debug + Send + Sync {
    /// Loss and hits of `[N, classes]` outputs.
    fn score(&self, outputs: &[f32], labels: &[u16]) -> Score;

    /// Like [`score`](Self::score), and writes `scale · ∂(Σ loss)/∂outputs` to `gradient`.
    fn score_and_gradient(&self, outputs: &[f32], labels: &[u16], scale: f32, gradient: &mut [f32]) -> Score;

    /// Turns outputs into class probabilities, in place.
    fn probabilities(&self, outputs: &mut [f32], classes: usize);

    /// Sum of the losses in `f64`, by the textbook formula: the oracle.
    fn reference(&self, outputs: ArrayView2<'_, f64>, labels: &[u16]) -> f64;
}

/// Sums over some samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Sum of the samples' losses.
    pub loss: f64,
    /// Samples whose largest output is their label's.
    pub correct: u64,
    /// Number of samples.
    pub samples: u64,
}

impl Score {
    /// Adds the sums of further samples.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.samples += other.samples;
    }

    /// Mean loss of a sample; `None` if there is none.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.loss / self.samples as f64)
    }

    /// Share of correct samples; `None` if there is none.
    pub fn accuracy(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.correct as f64 / self.samples as f64)
    }
}

/// A loss as a spec names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LossSpec {
    /// Softmax and cross-entropy in one.
    SoftmaxCrossEntropy(SoftmaxCrossEntropy),
}

impl LossSpec {
    /// The loss.
    pub fn rule(&self) -> &dyn Loss {
        match self {
            Self::SoftmaxCrossEntropy(loss) => loss,
        }
    }
}

/// The registered losses.
pub fn entries() -> &'static [Entry] {
    &[Entry {
        name: "softmax_cross_entropy",
        aliases: &["cross_entropy"],
        doc: "Softmax over the outputs, then −log of the label's probability: the last layer gives one output a class.",
        fields: &[],
    }]
}

/// Softmax with cross-entropy, *Deep Learning from Scratch* §3.5, §4.2.2 and §5.6.3, fused: `L = ln Σⱼ eʸʲ − yₜ`,
/// `∂L/∂y = softmax(y) − onehot(t)`. The largest output is subtracted first, so nothing overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxCrossEntropy {}

/// Index of the largest value; the first of equals; a NaN never wins.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] || values[best].is_nan() {
            best = i;
        }
    }
    best
}

/// Writes `e^(yᵢ − max y)` to `powers` and returns `(max y, their sum)`.
fn powers(outputs: &[f32], powers: &mut [f32]) -> (f32, f32) {
    let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (p, &y) in powers.iter_mut().zip(outputs) {
        *p = exp(y - largest);
    }
    (largest, powers.iter().sum())
}

impl SoftmaxCrossEntropy {
    fn score_row(outputs: &[f32], label: usize, largest: f32, sum: f32) -> Score {
        let loss = f64::from(largest) + libm::log(f64::from(sum)) - f64::from(outputs[label]);
        Score { loss, correct: u64::from(argmax(outputs) == label), samples: 1 }
    }
}

impl Loss for SoftmaxCrossEntropy {
    fn score(&self, outputs: &[f32], labels: &[u16]) -> Score {
        let classes = outputs.len() / labels.len().max(1);
        let mut total = Score::default();
        for (row, &label) in outputs.chunks_exact(classes.max(1)).zip(labels) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = row.iter().map(|y| exp(y - largest)).sum();
            total.add(Self::score_row(row, usize::from(label), largest, sum));
        }
        total
    }

    fn score_and_gradient(&self, outputs: &[f32], labels: &[u16], scale: f32, gradient: &mut [f32]) -> Score {
        let classes = outputs.len() / labels.len().max(1);
        let mut total = Score::default();
        let rows = outputs.chunks_exact(classes.max(1)).zip(gradient.chunks_exact_mut(classes.max(1)));
        for ((row, d), &label) in rows.zip(labels) {
            let (largest, sum) = powers(row, d);
            total.add(Self::score_row(row, usize::from(label), largest, sum));
            let factor = scale / sum;
            for d in &mut *d {
                *d *= factor;
            }
            d[usize::from(label)] -= scale;
        }
        total
    }

    fn probabilities(&self, outputs: &mut [f32], classes: usize) {
        for row in outputs.chunks_exact_mut(classes) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for y in &mut *row {
                *y = exp(*y - largest);
            }
            let sum: f32 = row.iter().sum();
            for y in row {
                *y /= sum;
            }
        }
    }

    fn reference(&self, outputs: ArrayView2<'_, f64>, labels: &[u16]) -> f64 {
        let rows = outputs.axis_iter(Axis(0)).zip(labels);
        rows.map(|(row, &label)| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest + row.mapv(|y| (y - largest).exp()).sum().ln() - row[usize::from(label)]
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: SoftmaxCrossEntropy = SoftmaxCrossEntropy {};

    #[test]
    fn the_book_example() {
        // §3.5.2: softmax([0.3, 2.9, 4.0]) = [0.01821127, 0.24519181, 0.73659691]
        let mut y = [0.3, 2.9, 4.0];
        LOSS.probabilities(&mut y, 3);
        for (value, expected) in y.iter().zip([0.018_211_27, 0.245_191_81, 0.736_596_9]) {
            assert!((value - expected).abs() < 1e-6);
        }
        let score = LOSS.score(&[0.3, 2.9, 4.0], &[2]);
        assert!((score.loss + 0.736_596_91f64.ln()).abs() < 1e-6 && score.correct == 1);
    }

    #[test]
    fn large_outputs_do_not_overflow() {
        let mut y = [1010.0, 1000.0, 990.0];
        LOSS.probabilities(&mut y, 3);
        assert!((y[0] - 0.999_954_6).abs() < 1e-6 && y.iter().all(|p| p.is_finite()));
        let mut d = [0.0; 3];
        let score = LOSS.score_and_gradient(&[1e30, -1e30, 0.0], &[1], 1.0, &mut d);
        assert!(score.loss.is_finite() && d.iter().all(|d| d.is_finite()));
    }

    #[test]
    fn gradient_and_score_agree_with_the_reference() {
        let outputs = [0.5f32, -1.0, 2.0, 0.1, 0.2, -0.3];
        let labels = [2u16, 0];
        let mut gradient = [0.0; 6];
        let score = LOSS.score_and_gradient(&outputs, &labels, 0.5, &mut gradient);
        let y = ndarray::Array2::from_shape_fn((2, 3), |(i, j)| f64::from(outputs[i * 3 + j]));
        assert_eq!(score, LOSS.score(&outputs, &labels));
        assert!((score.loss - LOSS.reference(y.view(), &labels)).abs() < 1e-6);
        for i in 0..6 {
            let shifted = |h: f64| {
                let mut y = y.clone();
                y[[i / 3, i % 3]] += h;
                LOSS.reference(y.view(), &labels)
            };
            let numeric = 0.5 * (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((numeric - f64::from(gradient[i])).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_not_a_number_shows_in_the_loss() {
        assert!(!LOSS.score(&[f32::NAN, 0.0], &[1]).loss.is_finite());
        assert!(!LOSS.score(&[f32::INFINITY, 0.0], &[1]).loss.is_finite());
    }
}
