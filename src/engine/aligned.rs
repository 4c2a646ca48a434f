//! Buffers that begin where a line of the cache does.
//!
//! A vector of 64 bytes that straddles two lines costs two loads; a `Vec` begins anywhere.

use std::ops::{Deref, DerefMut};

/// Values of a line.
pub(super) const LINE: usize = 64 / size_of::<f32>();

/// Values whose first one begins a line.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    /// With room for the values wherever the first line begins.
    room: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    /// So many zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let room = vec![0.0f32; len + LINE - 1];
        // Off by more than that only where pointers have no address, as in an interpreter: slower, not wrong.
        let first = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { room, first, len }
    }
}

impl From<&[f32]> for Aligned {
    fn from(values: &[f32]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.room[self.first..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.room[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_line_and_holds_what_it_was_given() {
        for len in [0, 1, 15, 16, 17, 100_000] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let aligned = Aligned::from(values.as_slice());
            assert_eq!(*aligned, values[..]);
            let moved = Box::new(aligned);
            assert!(moved.as_ptr().addr().is_multiple_of(64), "{len} values");
        }
    }
}
