//! Gradient clipping (R. Pascanu, T. Mikolov, Y. Bengio, *On the difficulty of training recurrent neural networks*, 2013,
//! §3.2), over the gradient of a whole network.
//!
//! The gradient that is clipped is the loss's and the weight decay's together (Keras' order; PyTorch's optimizers add the
//! decay after clipping).
//!
//! It takes two looks at the gradient: the sum of its squares, which parts of it can work out for themselves and add in
//! index order, then a [`Limit`] for each of its values.

use serde::{Deserialize, Serialize};

use super::describe::{Bound, Entry, Field, Kind};

/// A way of clipping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClipSpec {
    /// By the L2 norm of the whole gradient.
    Norm(Norm),
    /// Each value for itself.
    Value(Value),
}

/// Scales a gradient whose L2 norm is above `max_norm` down to it: PyTorch's `clip_grad_norm_`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Norm {
    /// The largest norm, above 0.
    pub max_norm: f64,
}

/// Brings each value into ±`max_value`: PyTorch's `clip_grad_value_`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The largest absolute value, above 0.
    pub max_value: f64,
}

/// A bound above 0.
const LARGEST: Kind = Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1e6) };

/// The registered ways.
pub fn entries() -> &'static [Entry] {
    const ENTRIES: &[Entry] = &[
        Entry {
            name: "norm",
            aliases: &["clip_grad_norm"],
            doc: "Scales the whole gradient, weight decay included, down where its L2 norm is larger than max_norm.",
            fields: &[Field::optional("max_norm", LARGEST, "1.0", "the largest L2 norm of the whole gradient")],
        },
        Entry {
            name: "value",
            aliases: &["clip_grad_value"],
            doc: "Brings each value of the gradient, weight decay included, into ±max_value.",
            fields: &[Field::optional("max_value", LARGEST, "1.0", "the largest absolute value")],
        },
    ];
    ENTRIES
}

/// Keeps PyTorch's divisor from zero.
const EPSILON: f64 = 1e-6;

impl ClipSpec {
    /// Whether [`limit`](Self::limit) depends on the sum of squares, so that it has to be worked out.
    pub fn needs_norm(&self) -> bool {
        matches!(self, Self::Norm(_))
    }

    /// What to do to each value of a gradient whose squares add up to `sum_of_squares`.
    pub fn limit(&self, sum_of_squares: f64) -> Limit {
        match self {
            Self::Norm(Norm { max_norm }) => {
                Limit::Scale((max_norm / (sum_of_squares.sqrt() + EPSILON)).min(1.0) as f32)
            }
            Self::Value(Value { max_value }) => Limit::Clamp(*max_value as f32),
        }
    }
}

/// The squares of some values, added in index order.
pub fn sum_of_squares(gradient: &[f32]) -> f64 {
    gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum()
}

/// What happens to each value of a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It is multiplied by this factor, at most 1.
    Scale(f32),
    /// It is brought into ± this bound.
    Clamp(f32),
}

impl Limit {
    /// Clips a gradient or a part of it. What is not a number stays so, that the divergence is seen.
    pub fn apply(self, gradient: &mut [f32]) {
        match self {
            Self::Scale(1.0) => {}
            Self::Scale(factor) => gradient.iter_mut().for_each(|g| *g *= factor),
            Self::Clamp(bound) => gradient.iter_mut().for_each(|g| *g = g.clamp(-bound, bound)),
        }
    }
}

#[cfg(test)]
#[path = "clip_tests.rs"]
mod tests;
