//! What a dataset is, wherever it comes from.

use std::fmt;

use serde::Serialize;

use crate::engine::samples::{Inputs, Samples};
use crate::engine::shape::Shape;

/// What is known of a dataset before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetInfo {
    /// The name that a spec uses.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Shape of one sample, `[C, H, W]` for images.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
    /// A name for each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Samples to learn from.
    pub train_samples: usize,
    /// Samples to measure on.
    pub test_samples: usize,
}

/// A dataset in memory, shared by all jobs: inputs stay bytes until a batch is assembled.
#[derive(Debug)]
pub struct Dataset {
    /// What it is.
    pub info: DatasetInfo,
    /// What is learned from.
    pub train: Split,
    /// What is only measured on.
    pub test: Split,
}

/// One part of a dataset.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    /// Inputs `[N, …]`, 0–255.
    pub inputs: Vec<u8>,
    /// One label for each input.
    pub labels: Vec<u16>,
}

impl fmt::Debug for Split {
    /// Its size: millions of numbers in a log help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("samples", &self.len()).finish_non_exhaustive()
    }
}

impl Split {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The first `limit` samples as training sees them, or all of them.
    pub fn samples(&self, limit: Option<usize>) -> Samples<'_> {
        let n = limit.unwrap_or(usize::MAX).min(self.len());
        let width = if n == 0 { 0 } else { self.inputs.len() / self.len() };
        Samples::new(Inputs::Bytes(&self.inputs[..n * width]), &self.labels[..n], width)
    }
}
