//! The perceptron criterion (F. Rosenblatt, *The perceptron*, 1958; as a loss: C. M. Bishop, *Pattern recognition and
//! machine learning*, 2006, §4.1.7): `L = max(0, −s·t)` with `t = ±1`, on the input `s` of the step unit of *Deep
//! Learning from Scratch* ch. 2, `y = 1` if `s > 0`, else 0.
//!
//! Its subgradient `∂L/∂s = y − t` (now `t` is 0 or 1) makes a step of gradient descent on one sample Rosenblatt's rule
//! `Δw = η·(t − y)·x`. At `s = 0` the unit says 0, so a sample of class 1 is wrong there: its loss is 0, its gradient −1.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{Entry, Loss, LossKind, Outputs, write_two};

/// Spec of the perceptron criterion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perceptron {}

impl LossKind for Perceptron {
    const ENTRY: Entry = Entry {
        name: "perceptron",
        aliases: &["perceptron_criterion"],
        doc: "max(0, −s·t), t = ±1: with `sgd` and batches of one sample it is Rosenblatt's learning rule. Two classes, \
              one output, which the loss itself puts through a step function.",
        fields: &[],
    };
}

/// The step unit's output.
fn step(s: f32) -> f32 {
    if s > 0.0 { 1.0 } else { 0.0 }
}

/// How far `s` lies on the wrong side.
fn criterion(s: f64, label: u16) -> f64 {
    let wrong = if label == 0 { s } else { -s };
    // Unlike `max`, the comparison lets a NaN through.
    if wrong <= 0.0 { 0.0 } else { wrong }
}

impl Loss for Perceptron {
    fn outputs(&self, classes: usize) -> Outputs {
        if classes == 2 { Outputs::One } else { Outputs::Unfit { classes, needed: "exactly two classes" } }
    }

    fn built_in(&self) -> Option<&'static str> {
        Some("step")
    }

    fn row_loss(&self, outputs: &[f32], label: u16) -> f64 {
        criterion(f64::from(outputs[0]), label)
    }

    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
        gradient[0] = scale * (step(outputs[0]) - f32::from(label));
        self.row_loss(outputs, label)
    }

    fn predicted_class(&self, outputs: &[f32]) -> usize {
        usize::from(outputs[0] > 0.0)
    }

    /// `[1, 0]` or `[0, 1]`: a perceptron knows no doubt.
    fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]) {
        debug_assert_eq!(classes, 2, "one output tells two classes apart");
        write_two(outputs.iter().map(|&s| step(s)), predictions);
    }

    fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64 {
        (-outputs[0] * (2.0 * f64::from(label) - 1.0)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_rosenblatts_rule() {
        // (s, label) → y − t
        for (s, label, expected) in
            [(0.5, 1, 0.0), (-0.5, 1, -1.0), (0.5, 0, 1.0), (-0.5, 0, 0.0), (0.0, 1, -1.0), (0.0, 0, 0.0)]
        {
            let mut d = [9.0];
            let score = Perceptron {}.score_and_gradient(&[s], &[label], 1.0, &mut d);
            assert_eq!((d[0], score.correct == 1), (expected, expected == 0.0), "s = {s}, label {label}");
        }
    }

    #[test]
    fn learns_and_and_stops_when_nothing_is_wrong() {
        // Ch. 2's AND gate, from zero, sample by sample, with η = 0.5; the weights are w1, w2 and the bias.
        let samples = [([0.0, 0.0, 1.0], 0), ([0.0, 1.0, 1.0], 0), ([1.0, 0.0, 1.0], 0), ([1.0, 1.0, 1.0], 1)];
        let (mut w, mut mistakes) = ([0.0f32; 3], vec![]);
        for _ in 0..10 {
            let mut wrong = 0;
            for (x, label) in samples {
                let s: f32 = w.iter().zip(x).map(|(w, x)| w * x).sum();
                let mut d = [0.0];
                wrong += 1 - Perceptron {}.score_and_gradient(&[s], &[label], 1.0, &mut d).correct;
                for (w, x) in w.iter_mut().zip(x) {
                    *w -= 0.5 * d[0] * x;
                }
            }
            mistakes.push(wrong);
        }
        assert!(mistakes[0] > 0 && mistakes.ends_with(&[0, 0]), "{mistakes:?}");
    }

    #[test]
    fn predictions_are_one_or_the_other() {
        let mut p = [9.0; 6];
        Perceptron {}.predictions(&[-1.0, 0.0, 1e-9], 2, &mut p);
        assert_eq!(p, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    }
}
