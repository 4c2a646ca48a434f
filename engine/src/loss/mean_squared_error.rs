//! The sum of squared errors, *Deep Learning from Scratch* §4.2.1: `L = ½ Σₖ (yₖ − tₖ)²`, `∂L/∂y = y − t`; of a batch
//! the mean over its samples (not over its outputs, as PyTorch's `MSELoss` takes it, and with the book's ½).

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use super::{Entry, Loss, LossKind, Outputs, argmax, target, write_two};

/// Spec of the squared error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanSquaredError {}

impl LossKind for MeanSquaredError {
    const ENTRY: Entry = Entry {
        name: "mean_squared_error",
        aliases: &["mse", "sum_of_squares"],
        doc: "½ Σ (y − t)² with one-hot targets, averaged over the samples: the last layer gives one output a class, or \
              a single one that is to be 0 or 1, the number of one of two classes.",
        fields: &[],
    };
}

impl Loss for MeanSquaredError {
    fn outputs(&self, classes: usize) -> Outputs {
        Outputs::one_for_two(classes)
    }

    fn row_loss(&self, outputs: &[f32], label: u16) -> f64 {
        let errors = outputs.iter().enumerate().map(|(k, &y)| {
            let error = f64::from(y) - f64::from(target(k, outputs.len(), label));
            error * error
        });
        0.5 * errors.sum::<f64>()
    }

    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
        for (k, (d, &y)) in gradient.iter_mut().zip(outputs).enumerate() {
            *d = scale * (y - target(k, outputs.len(), label));
        }
        self.row_loss(outputs, label)
    }

    /// Of one output, class 1 if it is nearer to 1 than to 0.
    fn predicted_class(&self, outputs: &[f32]) -> usize {
        match outputs {
            [y] => usize::from(*y > 0.5),
            _ => argmax(outputs),
        }
    }

    /// The outputs as they are, of one output `[1 − y, y]`: no probabilities unless the last layer makes them such.
    fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]) {
        if outputs.len() == predictions.len() {
            predictions.copy_from_slice(outputs);
        } else {
            debug_assert_eq!(classes, 2, "one output tells two classes apart");
            write_two(outputs.iter().copied(), predictions);
        }
    }

    fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64 {
        let errors = outputs.indexed_iter().map(|(k, y)| y - f64::from(target(k, outputs.len(), label)));
        0.5 * errors.map(|error| error.powi(2)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_example() {
        // §4.2.1: sum_squares_error of these with the label 2 is 0.0975.
        let y = [0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0];
        assert!((MeanSquaredError {}.row_loss(&y, 2) - 0.0975).abs() < 1e-8);
    }

    #[test]
    fn one_output_is_the_label_as_a_number() {
        let mut d = [0.0; 2];
        let score = MeanSquaredError {}.score_and_gradient(&[0.75, 0.75], &[1, 0], 2.0, &mut d);
        assert_eq!((score.loss, score.correct, d), (0.5 * (0.0625 + 0.5625), 1, [-0.5, 1.5]));
        let mut p = [0.0; 4];
        MeanSquaredError {}.predictions(&[0.75, -0.5], 2, &mut p);
        assert_eq!(p, [0.25, 0.75, 1.5, -0.5]);
    }
}
