//! The shape of one sample, without the batch axis: `[784]`, `[1, 28, 28]` (channels, height, width).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Sizes of one sample's axes, outermost first; a batch of it is `[N, …]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape of these axes.
    pub fn new(axes: &[usize]) -> Self {
        Self(axes.to_vec())
    }

    /// The axes.
    pub fn axes(&self) -> &[usize] {
        &self.0
    }

    /// Number of values, or `None` where it overflows.
    pub fn checked_len(&self) -> Option<usize> {
        self.0.iter().try_fold(1, |len: usize, axis| len.checked_mul(*axis))
    }

    /// Number of values.
    ///
    /// # Panics
    /// On overflow; shapes of a built network have been checked.
    pub fn len(&self) -> usize {
        self.checked_len().expect("shapes are checked when the network is built")
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.0.contains(&0)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, axis) in self.0.iter().enumerate() {
            write!(f, "{}{axis}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "]")
    }
}
