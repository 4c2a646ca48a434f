//! Sigmoid with binary cross-entropy, fused on the logit `z`: `L = −t·ln σ(z) − (1−t)·ln(1 − σ(z))`, worked out as
//! `max(z, 0) − z·t + ln(1 + e^−|z|)`, which never overflows; `∂L/∂z = σ(z) − t` (C. M. Bishop, *Pattern recognition and
//! machine learning*, 2006, §5.2).
//!
//! One output tells two classes apart. One output a class is one-vs-rest: each is asked for itself and the losses are
//! added.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{Entry, Loss, LossKind, Outputs, argmax, target, write_two};
use crate::math::sigmoid;

/// Spec of sigmoid with binary cross-entropy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {}

impl LossKind for BinaryCrossEntropy {
    const ENTRY: Entry = Entry {
        name: "binary_cross_entropy",
        aliases: &["sigmoid_cross_entropy", "bce"],
        doc: "Sigmoid of the outputs, then −log of the probability of what is true, added over the outputs: one output \
              for two classes, or one a class (one-vs-rest). The last layer needs no sigmoid of its own.",
        fields: &[],
    };
}

impl Loss for BinaryCrossEntropy {
    fn outputs(&self, classes: usize) -> Outputs {
        Outputs::one_for_two(classes)
    }

    fn built_in(&self) -> Option<&'static str> {
        Some("sigmoid")
    }

    fn row_loss(&self, outputs: &[f32], label: u16) -> f64 {
        let losses = outputs.iter().enumerate().map(|(k, &z)| {
            let (z, t) = (f64::from(z), f64::from(target(k, outputs.len(), label)));
            z.max(0.0) - z * t + libm::log1p(libm::exp(-z.abs()))
        });
        losses.sum()
    }

    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
        for (k, (d, &z)) in gradient.iter_mut().zip(outputs).enumerate() {
            *d = scale * (sigmoid(z) - target(k, outputs.len(), label));
        }
        self.row_loss(outputs, label)
    }

    /// Of one output, class 1 if its probability is above one half.
    fn predicted_class(&self, outputs: &[f32]) -> usize {
        match outputs {
            [z] => usize::from(*z > 0.0),
            _ => argmax(outputs),
        }
    }

    /// Of one output `[1 − p, p]` with `p = σ(z)`; else each class's own probability against the rest, which need not
    /// add up to 1.
    fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]) {
        if outputs.len() == predictions.len() {
            for (p, &z) in predictions.iter_mut().zip(outputs) {
                *p = sigmoid(z);
            }
        } else {
            debug_assert_eq!(classes, 2, "one output tells two classes apart");
            write_two(outputs.iter().map(|&z| sigmoid(z)), predictions);
        }
    }

    fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64 {
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let losses = outputs.indexed_iter().map(|(k, &z)| {
            let t = f64::from(target(k, outputs.len(), label));
            // 1 − σ(z) = σ(−z), which does not cancel.
            -t * sigmoid(z).ln() - (1.0 - t) * sigmoid(-z).ln()
        });
        losses.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_and_one_a_class() {
        let one = BinaryCrossEntropy {}.score(&[0.0, 2.0], &[1, 0]);
        assert!((one.loss - (2f64.ln() + 2.0 + (1.0 + (-2f64).exp()).ln())).abs() < 1e-12 && one.correct == 0);
        let each = BinaryCrossEntropy {}.score(&[0.0, 2.0, -1.0], &[1]);
        let expected = 2f64.ln() + (1.0 + (-2f64).exp()).ln() + (1.0 + (-1f64).exp()).ln();
        assert!((each.loss - expected).abs() < 1e-12 && each.correct == 1);
    }

    #[test]
    fn predictions_are_probabilities() {
        let mut p = [0.0; 4];
        BinaryCrossEntropy {}.predictions(&[0.0, 1e30], 2, &mut p);
        assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
        BinaryCrossEntropy {}.predictions(&[0.0, 1e30, -1e30, 0.0], 4, &mut p);
        assert_eq!(p, [0.5, 1.0, 0.0, 0.5]);
    }
}
