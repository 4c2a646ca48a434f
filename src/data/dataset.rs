//! What a dataset is, wherever it comes from.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::engine::aligned::Aligned;
use crate::engine::samples::{Inputs, Samples};
use crate::engine::shape::Shape;

/// What is known of a dataset before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The name that a spec uses.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Shape of one sample, `[C, H, W]` for images.
    pub input: Shape,
    /// What its values are.
    pub dtype: Dtype,
    /// Number of classes.
    pub classes: usize,
    /// A name for each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Samples to learn from.
    pub train_samples: usize,
    /// Samples to measure on.
    pub test_samples: usize,
}

impl DatasetInfo {
    /// Bytes it takes in memory once it is loaded; `None` where that overflows.
    pub fn memory_bytes(&self) -> Option<usize> {
        let inputs = self.input.checked_len()?.checked_mul(self.dtype.size())?;
        let sample = inputs.checked_add(size_of::<u16>())?;
        self.train_samples.checked_add(self.test_samples)?.checked_mul(sample)
    }
}

/// What the values of a dataset's inputs are, by NumPy's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Bytes 0–255, which a network sees as 0–1.
    Uint8,
    /// Numbers, which a network sees as they are.
    Float32,
}

impl Dtype {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::Uint8 => size_of::<u8>(),
            Self::Float32 => size_of::<f32>(),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uint8 => "uint8",
            Self::Float32 => "float32",
        })
    }
}

/// A dataset in memory, shared by all jobs: inputs that came as bytes stay bytes until a batch is assembled.
#[derive(Debug)]
pub struct Dataset {
    /// What it is.
    pub info: DatasetInfo,
    /// What is learned from.
    pub train: Split,
    /// What is only measured on.
    pub test: Split,
}

/// Inputs `[N, …]` of some samples, row by row.
#[derive(Clone, PartialEq)]
pub enum Values {
    /// Bytes 0–255.
    Bytes(Aligned<u8>),
    /// Numbers as they are, all of them finite.
    Floats(Aligned<f32>),
}

impl fmt::Debug for Values {
    /// Kind and number: millions of values in a log help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values of {:?}", self.len(), self.dtype())
    }
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Bytes(_) => Dtype::Uint8,
            Self::Floats(_) => Dtype::Float32,
        }
    }

    /// Some of them.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn part(&self, range: Range<usize>) -> Inputs<'_> {
        match self {
            Self::Bytes(values) => Inputs::Bytes(&values[range]),
            Self::Floats(values) => Inputs::Floats(&values[range]),
        }
    }
}

/// One part of a dataset.
#[derive(Clone, PartialEq)]
pub struct Split {
    /// Inputs `[N, …]`.
    pub inputs: Values,
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
        let width = self.width();
        Samples::new(self.inputs.part(0..n * width), &self.labels[..n], width)
    }

    /// The input of sample `index`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn input(&self, index: usize) -> Inputs<'_> {
        let width = self.width();
        self.inputs.part(index * width..(index + 1) * width)
    }

    /// Cuts off the samples from `at` on, and returns them.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let value = at * self.width();
        let inputs = match &mut self.inputs {
            Values::Bytes(values) => Values::Bytes(values.split_off(value)),
            Values::Floats(values) => Values::Floats(values.split_off(value)),
        };
        Self { inputs, labels: self.labels.split_off(at) }
    }

    /// Values of one sample.
    fn width(&self) -> usize {
        self.inputs.len().checked_div(self.len()).unwrap_or(0)
    }
}
