//! Softmax with cross-entropy, *Deep Learning from Scratch* §3.5, §4.2.2 and §5.6.3, fused: `L = ln Σⱼ eʸʲ − Σⱼ qⱼyⱼ`,
//! `∂L/∂y = softmax(y) − q`. The largest output is subtracted first, so nothing overflows.
//!
//! The target is `q = (1−ε)·onehot(t) + ε/classes`: without smoothing (ε = 0) the label alone, else label smoothing
//! (C. Szegedy et al., *Rethinking the Inception architecture for computer vision*, 2016, §7) as PyTorch defines it.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{Bound, Entry, Field, Kind, Loss, LossKind, Outputs, argmax};
use crate::engine::math::exp;
use crate::engine::processor::{Task, wide};

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
            "share of the target that is spread evenly over all classes",
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
    use super::*;

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
}
