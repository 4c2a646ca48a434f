//! The losses: one file each, one line in the registry below. How wrong the outputs are, and which way is better.
//!
//! A loss is given the outputs of the last layer as they are: what belongs to it (softmax, sigmoid, step) it does
//! itself, so that loss and gradient are worked out together and nothing overflows.

use std::fmt;

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::describe::{Bound, Entry, Field, Kind};

pub mod binary_cross_entropy;
pub mod mean_squared_error;
pub mod perceptron;
mod score;
pub mod softmax_cross_entropy;

pub use score::Score;

/// A loss over class labels. A row is the last layer's output for one sample.
pub trait Loss: fmt::Debug + Send + Sync {
    /// How many outputs the last layer may have, to tell `classes` classes apart.
    fn outputs(&self, classes: usize) -> Outputs;

    /// The activation that the loss does itself, so that the last layer must not.
    fn built_in(&self) -> Option<&'static str> {
        None
    }

    /// Loss of one row.
    fn row_loss(&self, outputs: &[f32], label: u16) -> f64;

    /// Like [`row_loss`](Self::row_loss), and writes `scale · ∂loss/∂outputs` to `gradient`.
    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64;

    /// The class that a row speaks for: of several outputs the largest one's.
    fn predicted_class(&self, outputs: &[f32]) -> usize;

    /// Writes what `[N, outputs]` says of each class to `predictions`, `[N, classes]`.
    fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]);

    /// Loss of one row in `f64`, by the textbook formula: the oracle.
    fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64;

    /// Loss and hits of `[N, outputs]`; an output that is not finite makes the loss not finite.
    fn score(&self, outputs: &[f32], labels: &[u16]) -> Score {
        let mut total = Score::default();
        for (row, &label) in rows(outputs, labels).zip(labels) {
            let loss = self.row_loss(row, label) + poison(row);
            total.add(Score { loss, correct: u64::from(self.predicted_class(row) == usize::from(label)), samples: 1 });
        }
        total
    }

    /// Like [`score`](Self::score), and writes `scale · ∂(Σ loss)/∂outputs` to `gradient`.
    fn score_and_gradient(&self, outputs: &[f32], labels: &[u16], scale: f32, gradient: &mut [f32]) -> Score {
        row_by_row(self, outputs, labels, scale, gradient)
    }

    /// Sum of the losses of `[N, outputs]` by [`row_reference`](Self::row_reference).
    fn reference(&self, outputs: ArrayView2<'_, f64>, labels: &[u16]) -> f64 {
        outputs.rows().into_iter().zip(labels).map(|(row, &label)| self.row_reference(row, label)).sum()
    }
}

/// [`Loss::score_and_gradient`] of one row after the other.
fn row_by_row<L: Loss + ?Sized>(loss: &L, outputs: &[f32], labels: &[u16], scale: f32, gradient: &mut [f32]) -> Score {
    let mut total = Score::default();
    let gradients = gradient.chunks_exact_mut(width(outputs, labels));
    for ((row, d), &label) in rows(outputs, labels).zip(gradients).zip(labels) {
        let correct = u64::from(loss.predicted_class(row) == usize::from(label));
        let loss = loss.row_loss_and_gradient(row, label, scale, d) + poison(row);
        total.add(Score { loss, correct, samples: 1 });
    }
    total
}

/// Outputs of one sample.
fn width(outputs: &[f32], labels: &[u16]) -> usize {
    (outputs.len() / labels.len().max(1)).max(1)
}

fn rows<'a>(outputs: &'a [f32], labels: &[u16]) -> std::slice::ChunksExact<'a, f32> {
    outputs.chunks_exact(width(outputs, labels))
}

/// Zero, or NaN if an output is not finite: a loss may not depend on that output, but must show it.
fn poison(outputs: &[f32]) -> f64 {
    f64::from(outputs.iter().map(|y| y * 0.0).sum::<f32>())
}

/// How many outputs of the last layer a loss can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// Exactly one for each of so many classes.
    PerClass(usize),
    /// Exactly one.
    One,
    /// One, or one for each of so many classes.
    OneOrPerClass(usize),
    /// No number will do: the loss cannot tell so many classes apart.
    Unfit {
        /// Number of classes.
        classes: usize,
        /// What it can tell apart, such as "exactly two classes".
        needed: &'static str,
    },
}

impl Outputs {
    /// Whether so many outputs will do.
    pub fn accepts(self, count: usize) -> bool {
        match self {
            Self::PerClass(classes) => count == classes,
            Self::One => count == 1,
            Self::OneOrPerClass(classes) => count == 1 || count == classes,
            Self::Unfit { .. } => false,
        }
    }

    /// A number of outputs that will do, to propose; `None` if there is none.
    pub fn example(self) -> Option<usize> {
        match self {
            Self::PerClass(classes) => Some(classes),
            Self::One | Self::OneOrPerClass(_) => Some(1),
            Self::Unfit { .. } => None,
        }
    }

    /// What a loss takes that tells two classes apart with one output, and `classes` with one output each.
    fn one_for_two(classes: usize) -> Self {
        match classes {
            0 | 1 => Self::Unfit { classes, needed: "at least two classes" },
            2 => Self::OneOrPerClass(2),
            _ => Self::PerClass(classes),
        }
    }
}

/// Follows "the loss needs".
impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerClass(classes) => write!(f, "one output for each of the {classes} classes"),
            Self::One => write!(f, "exactly one output"),
            Self::OneOrPerClass(classes) => write!(f, "one output, or one for each of the {classes} classes"),
            Self::Unfit { classes, needed } => write!(f, "{needed}, not {classes}"),
        }
    }
}

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

/// The target of output `k` in a row of `outputs`: the label as a number for one output, else 1 for the label's own.
fn target(k: usize, outputs: usize, label: u16) -> f32 {
    if outputs == 1 { f32::from(label) } else { f32::from(u8::from(k == usize::from(label))) }
}

/// What one output says of two classes: `p` for the second, the rest for the first.
fn write_two(shares: impl Iterator<Item = f32>, predictions: &mut [f32]) {
    for (row, p) in predictions.chunks_exact_mut(2).zip(shares) {
        row.copy_from_slice(&[1.0 - p, p]);
    }
}

/// What a loss's spec can do.
trait LossKind: Loss {
    /// Name, fields and words.
    const ENTRY: Entry;
}

/// Makes the enum of loss specs and its registry from one line a loss.
macro_rules! registry {
    ($($variant:ident => $module:ident),+ $(,)?) => {
        /// A loss as a spec names it.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum LossSpec {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $variant($module::$variant),
            )+
        }

        impl LossSpec {
            /// The loss.
            pub fn rule(&self) -> &dyn Loss {
                match self { $(Self::$variant(spec) => spec,)+ }
            }
        }

        /// The registered losses.
        pub fn entries() -> &'static [Entry] {
            const { &[$($module::$variant::ENTRY),+] }
        }
    };
}

registry! {
    SoftmaxCrossEntropy => softmax_cross_entropy,
    MeanSquaredError => mean_squared_error,
    BinaryCrossEntropy => binary_cross_entropy,
    Perceptron => perceptron,
}

impl LossSpec {
    /// The loss that evaluations report and early stopping monitors: without label smoothing, so that runs with and without
    /// it compare.
    #[must_use]
    pub fn evaluated(self) -> Self {
        match self {
            Self::SoftmaxCrossEntropy(_) => {
                Self::SoftmaxCrossEntropy(softmax_cross_entropy::SoftmaxCrossEntropy::default())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
