//! The samples that training goes over, borrowed from whoever owns them.

use super::processor::{prefetch, wide};

/// Inputs and labels of some samples, in the order of their index.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    inputs: Inputs<'a>,
    labels: &'a [u16],
    width: usize,
}

/// How the inputs lie in memory.
#[derive(Debug, Clone, Copy)]
pub enum Inputs<'a> {
    /// Bytes 0–255, read as 0–1: the book's `normalize=True`, done while a batch is assembled.
    Bytes(&'a [u8]),
    /// Numbers as they are.
    Floats(&'a [f32]),
}

impl<'a> Samples<'a> {
    /// Samples of `width` values each.
    ///
    /// # Panics
    /// If there are not `width` values for every label.
    pub fn new(inputs: Inputs<'a>, labels: &'a [u16], width: usize) -> Self {
        let values = match inputs {
            Inputs::Bytes(values) => values.len(),
            Inputs::Floats(values) => values.len(),
        };
        assert_eq!(Some(values), labels.len().checked_mul(width), "inputs and labels differ in number");
        Self { inputs, labels, width }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of one sample.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The labels.
    pub fn all_labels(&self) -> &'a [u16] {
        self.labels
    }

    /// Writes these samples as the network sees them, one after the other.
    ///
    /// They lie anywhere in a dataset that no cache holds, so each is asked for a few samples ahead.
    ///
    /// # Panics
    /// If there is no room for them, or no such sample.
    pub fn gather(&self, indices: &[u32], x: &mut [f32]) {
        /// Samples on their way.
        const AHEAD: usize = 4;
        indices.iter().take(AHEAD).for_each(|&index| self.prefetch(index as usize));
        for (i, x) in x[..indices.len() * self.width].chunks_exact_mut(self.width.max(1)).enumerate() {
            if let Some(&next) = indices.get(i + AHEAD) {
                self.prefetch(next as usize);
            }
            self.read(indices[i] as usize, x);
        }
    }

    fn prefetch(&self, index: usize) {
        /// What is asked for of a large sample; the processor itself goes on from there.
        const BYTES: usize = 1 << 11;
        let first = index * self.width;
        match self.inputs {
            Inputs::Bytes(values) => prefetch(&values[first..first + self.width.min(BYTES)]),
            Inputs::Floats(values) => prefetch(&values[first..first + self.width.min(BYTES / size_of::<f32>())]),
        }
    }

    /// Writes sample `index` as the network sees it.
    pub fn read(&self, index: usize, x: &mut [f32]) {
        let range = index * self.width..(index + 1) * self.width;
        match self.inputs {
            Inputs::Bytes(values) => {
                let bytes = &values[range];
                wide(|| {
                    for (x, &byte) in x.iter_mut().zip(bytes) {
                        *x = f32::from(byte) * (1.0 / 255.0);
                    }
                });
            }
            Inputs::Floats(values) => x.copy_from_slice(&values[range]),
        }
    }
}
