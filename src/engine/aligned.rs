//! A buffer that begins at a cache line, as the widest loads want it: one that crosses a line costs two.

use std::ops::{Deref, DerefMut};

/// Values of a cache line.
pub const LINE: usize = 16;

/// So many zeros from the beginning of a cache line on.
#[derive(Debug, Default)]
pub struct Aligned {
    values: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    /// A buffer of so many zeros.
    pub fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LINE - 1];
        // The vector never grows, so it never moves. Where the offset cannot be known, the buffer is merely slower.
        let first = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { values, first, len }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.first..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_at_a_line_and_is_as_long_as_asked() {
        for len in [0, 1, 15, 16, 1000] {
            let mut buffer = Aligned::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            buffer.fill(1.0);
            assert!(buffer.iter().all(|value| *value == 1.0));
        }
    }
}
