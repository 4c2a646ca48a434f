//! Softmax with cross-entropy, *Deep Learning from Scratch* §3.5, §4.2.2 and §5.6.3, fused: `L = ln Σⱼ eʸʲ − Σⱼ qⱼyⱼ`,
//! `∂L/∂y = softmax(y) − q`. The largest output is subtracted first, so nothing overflows.
//!
//! The target is `q = (1−ε)·onehot(t) + ε/classes`: without smoothing (ε = 0) the label alone, else label smoothing
//! (C. Szegedy et al., *Rethinking the Inception architecture for computer vision*, 2016, §7) as PyTorch defines it.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{Bound, Entry, Field, Kind, Loss, LossKind, Outputs, Score, argmax, row_by_row, width};
use crate::math::exp;
use crate::processor::{Task, wide};

/// Spec of softmax with cross-entropy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxCrossEntropy {
    /// ε in `[0, 1)`; specs from before there was smoothing do not have it.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl LossKind for SoftmaxCrossEntropy {
    const ENTRY: Entry = Entry {
        name: "softmax_cross_entropy",
        aliases: &["cross_entropy"],
        doc: "Softmax over the outputs, then −log of the label's probability: the last layer gives one output a class.",
        fields: &[Field::optional(
            "label_smoothing",
            Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) },
            "0.0",
            "share of the target that is spread evenly over all classes, in the training loss alone: test and validation loss \
             are the plain cross-entropy",
        )],
    };
}

/// Writes `e^(yᵢ − max y)` to `powers` and returns `(max y, their sum)`.
fn powers(outputs: &[f32], powers: &mut [f32]) -> (f32, f32) {
    let largest = largest(outputs);
    wide(Powers { outputs, largest, powers: &mut *powers });
    (largest, powers.iter().sum())
}

struct Powers<'a> {
    outputs: &'a [f32],
    largest: f32,
    powers: &'a mut [f32],
}

impl Task for Powers<'_> {
    #[inline(always)]
    fn run(self) {
        /// Rows are short: a loop over one would mostly be its end, one value at a time.
        const BLOCK: usize = 16;
        for (powers, outputs) in self.powers.chunks_mut(BLOCK).zip(self.outputs.chunks(BLOCK)) {
            let mut block = [self.largest; BLOCK];
            block[..outputs.len()].copy_from_slice(outputs);
            for value in &mut block {
                *value = exp(*value - self.largest);
            }
            powers.copy_from_slice(&block[..powers.len()]);
        }
    }
}

/// Rows that are gone through side by side, and most outputs of each.
const ROWS: usize = 16;
const MOST: usize = 64;

/// What is found of rows side by side.
#[derive(Default)]
struct Found {
    largest: [f32; ROWS],
    /// Of the powers relative to the largest.
    sums: [f32; ROWS],
    /// As [`argmax`] says.
    predicted: [u32; ROWS],
    /// As [`poison`](super::poison) says.
    poison: [f32; ROWS],
}

/// Writes `scale · softmax − spread` of up to [`ROWS`] rows to `gradient`: what each row alone would give, to the last bit.
struct SideBySide<'a> {
    outputs: &'a [f32],
    classes: usize,
    scale: f32,
    spread: f32,
    gradient: &'a mut [f32],
    found: &'a mut Found,
}

impl Task for SideBySide<'_> {
    #[inline(always)]
    fn run(self) {
        // Class by class, a row a lane.
        let mut values = [[0.0f32; ROWS]; MOST];
        for (i, row) in self.outputs.chunks_exact(self.classes).enumerate() {
            for (values, &y) in values.iter_mut().zip(row) {
                values[i] = y;
            }
        }
        let values = &mut values[..self.classes];
        let (mut largest, mut poison) = ([f32::NEG_INFINITY; ROWS], [0.0; ROWS]);
        let (mut best, mut predicted) = (values[0], [0u32; ROWS]);
        for (class, values) in (0..).zip(values.iter()) {
            for i in 0..ROWS {
                let y = values[i];
                largest[i] = if y > largest[i] { y } else { largest[i] };
                let wins = y > best[i] || best[i].is_nan();
                best[i] = if wins { y } else { best[i] };
                predicted[i] = if wins { class } else { predicted[i] };
                poison[i] += y * 0.0;
            }
        }
        let mut sums = [0.0; ROWS];
        for values in values.iter_mut() {
            for i in 0..ROWS {
                values[i] = exp(values[i] - largest[i]);
                sums[i] += values[i];
            }
        }
        for values in values.iter_mut() {
            for i in 0..ROWS {
                values[i] = values[i] * (self.scale / sums[i]) - self.spread;
            }
        }
        for (i, row) in self.gradient.chunks_exact_mut(self.classes).enumerate() {
            for (d, values) in row.iter_mut().zip(values.iter()) {
                *d = values[i];
            }
        }
        *self.found = Found { largest, sums, predicted, poison };
    }
}

fn largest(outputs: &[f32]) -> f32 {
    outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

impl SoftmaxCrossEntropy {
    /// The loss, given the largest output and the sum of the powers relative to it.
    fn loss(&self, outputs: &[f32], label: u16, largest: f32, sum: f32) -> f64 {
        let log_sum = f64::from(largest) + libm::log(f64::from(sum));
        let own = log_sum - f64::from(outputs[usize::from(label)]);
        if self.label_smoothing == 0.0 {
            return own;
        }
        let all = outputs.iter().map(|&y| log_sum - f64::from(y)).sum::<f64>() / outputs.len() as f64;
        (1.0 - self.label_smoothing) * own + self.label_smoothing * all
    }
}

impl Loss for SoftmaxCrossEntropy {
    fn outputs(&self, classes: usize) -> Outputs {
        Outputs::PerClass(classes)
    }

    fn built_in(&self) -> Option<&'static str> {
        Some("softmax")
    }

    fn row_loss(&self, outputs: &[f32], label: u16) -> f64 {
        let largest = largest(outputs);
        let sum = outputs.iter().map(|y| exp(y - largest)).sum();
        self.loss(outputs, label, largest, sum)
    }

    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
        let (largest, sum) = powers(outputs, gradient);
        let factor = scale / sum;
        let spread = scale * (self.label_smoothing / outputs.len() as f64) as f32;
        for d in &mut *gradient {
            *d = *d * factor - spread;
        }
        gradient[usize::from(label)] -= scale * (1.0 - self.label_smoothing) as f32;
        self.loss(outputs, label, largest, sum)
    }

    /// Rows of few outputs are gone through side by side: one alone would leave most of the processor idle.
    fn score_and_gradient(&self, outputs: &[f32], labels: &[u16], scale: f32, gradient: &mut [f32]) -> Score {
        let classes = width(outputs, labels);
        if classes > MOST {
            return row_by_row(self, outputs, labels, scale, gradient);
        }
        let [some, spread] = [1.0 - self.label_smoothing, self.label_smoothing / classes as f64];
        let [some, spread] = [some, spread].map(|share| scale * share as f32);
        let mut total = Score::default();
        let blocks = outputs.chunks(ROWS * classes).zip(gradient.chunks_mut(ROWS * classes)).zip(labels.chunks(ROWS));
        for ((outputs, gradient), labels) in blocks {
            let mut found = Found::default();
            wide(SideBySide { outputs, classes, scale, spread, gradient: &mut *gradient, found: &mut found });
            for (i, &label) in labels.iter().enumerate() {
                let row = &outputs[i * classes..(i + 1) * classes];
                gradient[i * classes + usize::from(label)] -= some;
                let loss = self.loss(row, label, found.largest[i], found.sums[i]) + f64::from(found.poison[i]);
                total.add(Score { loss, correct: u64::from(found.predicted[i] == u32::from(label)), samples: 1 });
            }
        }
        total
    }

    fn predicted_class(&self, outputs: &[f32]) -> usize {
        argmax(outputs)
    }

    /// Probabilities: the softmax.
    fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]) {
        for (row, p) in outputs.chunks_exact(classes).zip(predictions.chunks_exact_mut(classes)) {
            let (_, sum) = powers(row, p);
            for p in p {
                *p /= sum;
            }
        }
    }

    fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64 {
        let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + outputs.mapv(|y| (y - largest).exp()).sum().ln();
        let share = self.label_smoothing / outputs.len() as f64;
        let own = |k| if k == usize::from(label) { 1.0 - self.label_smoothing } else { 0.0 };
        outputs.iter().enumerate().map(|(k, y)| (own(k) + share) * (log_sum - y)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::{Purpose, Rng};

    const LOSS: SoftmaxCrossEntropy = SoftmaxCrossEntropy { label_smoothing: 0.0 };

    #[test]
    fn the_book_example() {
        // §3.5.2: softmax([0.3, 2.9, 4.0]) = [0.01821127, 0.24519181, 0.73659691]
        let mut p = [0.0; 3];
        LOSS.predictions(&[0.3, 2.9, 4.0], 3, &mut p);
        for (value, expected) in p.iter().zip([0.018_211_27, 0.245_191_81, 0.736_596_9]) {
            assert!((value - expected).abs() < 1e-6);
        }
        let score = LOSS.score(&[0.3, 2.9, 4.0], &[2]);
        assert!((score.loss + 0.736_596_91f64.ln()).abs() < 1e-6 && score.correct == 1);
    }

    #[test]
    fn large_outputs_do_not_overflow() {
        let mut p = [0.0; 3];
        LOSS.predictions(&[1010.0, 1000.0, 990.0], 3, &mut p);
        assert!((p[0] - 0.999_954_6).abs() < 1e-6 && p.iter().all(|p| p.is_finite()));
    }

    #[test]
    fn specs_from_before_smoothing_are_read() {
        let old: super::super::LossSpec = serde_json::from_str(r#"{"type":"softmax_cross_entropy"}"#).expect("a spec");
        assert_eq!(old, super::super::LossSpec::SoftmaxCrossEntropy(LOSS));
    }

    proptest! {
        /// Also where a value is not finite.
        #[test]
        fn rows_side_by_side_are_rows_alone(
            classes in 1usize..70, n in 1usize..40, is_smooth: bool, odd in 0usize..9, place: usize, seed: u64,
        ) {
            let loss = SoftmaxCrossEntropy { label_smoothing: if is_smooth { 0.1 } else { 0.0 } };
            let mut rng = Rng::new(seed, Purpose::GradientCheck, 0, 0);
            let mut outputs: Vec<f32> = (0..n * classes).map(|_| 9.0 * rng.normal() as f32).collect();
            let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0].get(odd);
            odd.into_iter().for_each(|&odd| outputs[place % (n * classes)] = odd);
            let labels: Vec<u16> = (0..n).map(|i| (i * 7 % classes) as u16).collect();
            let [mut together, mut alone] = [vec![0.0; n * classes], vec![0.0; n * classes]];
            let score = loss.score_and_gradient(&outputs, &labels, 0.01, &mut together);
            let expected = row_by_row(&loss, &outputs, &labels, 0.01, &mut alone);
            // NaNs have no bits to agree on.
            let bits = |values: &[f32]| -> Vec<_> { values.iter().map(|v| (!v.is_nan()).then(|| v.to_bits())).collect() };
            prop_assert_eq!(bits(&together), bits(&alone));
            prop_assert_eq!((score.correct, score.samples), (expected.correct, expected.samples));
            let same = score.loss == expected.loss || (score.loss.is_nan() && expected.loss.is_nan());
            prop_assert!(same, "{} and {}", score.loss, expected.loss);
        }
    }
}
