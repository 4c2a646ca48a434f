//! Buffers for much reading: they begin where a line of the cache does, and large ones lie on large pages.
//!
//! A vector of 64 bytes that straddles two lines costs two loads; a `Vec` begins anywhere. And a processor remembers
//! where only so many pages lie: a step that walks through megabytes of weights, or picks its samples from all over a
//! dataset, waits at every page of 4 KiB, in a virtual machine twice as long. Of 2 MiB there are few.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Bytes of a line.
const LINE_BYTES: usize = 64;
/// Values of a line.
pub(super) const LINE: usize = LINE_BYTES / size_of::<f32>();
/// Bytes of a large page.
const LARGE: usize = 1 << 21;
/// Bytes that are worth one, though they fill but a part of it: a matrix of a training step that is read down its columns
/// meets more small pages than a processor remembers.
const WORTH: usize = 1 << 18;

/// Values whose first one begins a line.
pub struct Aligned<T = f32> {
    room: Room<T>,
    /// Place of the first value in the room.
    first: usize,
    len: usize,
}

/// Room for the values wherever the first line, or the first large page, begins.
enum Room<T> {
    Heap(Vec<T>),
    Pages(MmapMut),
}

impl<T: Pod> Aligned<T> {
    /// So many zeros.
    pub fn zeros(len: usize) -> Self {
        Self::with_line_at(0, len)
    }

    /// So many zeros, of which the one at `place` begins a line.
    pub(super) fn with_line_at(place: usize, len: usize) -> Self {
        let line = LINE_BYTES / size_of::<T>();
        let before = place.next_multiple_of(line) - place;
        if let Some((map, first)) = pages((before + len).saturating_mul(size_of::<T>())) {
            return Self { room: Room::Pages(map), first: first / size_of::<T>() + before, len };
        }
        let room = vec![T::zeroed(); line - 1 + before + len];
        // Off by more than that only where pointers have no address, as in an interpreter: slower, not wrong.
        let first = room.as_ptr().align_offset(LINE_BYTES).min(line - 1) + before;
        Self { room: Room::Heap(room), first, len }
    }

    /// Cuts off the values from `at` on, and returns them.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let rest = Self::from(&self[at..]);
        self.len = at;
        rest
    }
}

/// A mapping of zeros, with the place of the first of so many bytes; `None` if they are not [worth](WORTH) a large page, or
/// the system has none to give.
fn pages(bytes: usize) -> Option<(MmapMut, usize)> {
    if bytes < WORTH {
        return None;
    }
    let map = MmapMut::map_anon(bytes.checked_next_multiple_of(LARGE)?.checked_add(LARGE)?).ok()?;
    let first = map.as_ptr().align_offset(LARGE);
    if first > LARGE {
        return None;
    }
    // Where it is refused, the pages are small ones. So are those of what is left over, if that is not worth a large one.
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::HugePage, first, (bytes + LARGE - WORTH) / LARGE * LARGE);
    Some((map, first))
}

impl<T> fmt::Debug for Aligned<T> {
    /// How many they are: millions of values in a log help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} aligned values", self.len)
    }
}

impl<T: Pod> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<T: Pod> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T: Pod + PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + Eq> Eq for Aligned<T> {}

impl<T: Pod> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<T: Pod> From<Vec<T>> for Aligned<T> {
    fn from(values: Vec<T>) -> Self {
        Self::from(values.as_slice())
    }
}

impl<T: Pod> FromIterator<T> for Aligned<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<_>>().into()
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let room = match &self.room {
            Room::Heap(room) => room,
            Room::Pages(map) => bytemuck::cast_slice(&map[..(self.first + self.len) * size_of::<T>()]),
        };
        &room[self.first..][..self.len]
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let room = match &mut self.room {
            Room::Heap(room) => room,
            Room::Pages(map) => bytemuck::cast_slice_mut(&mut map[..(self.first + self.len) * size_of::<T>()]),
        };
        &mut room[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_line_and_holds_what_it_was_given() {
        for len in [0, 1, 15, 16, 17, 100_000, 600_000, 1 << 20] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let aligned = Aligned::from(values.as_slice());
            assert_eq!(*aligned, values[..]);
            let moved = Box::new(aligned);
            assert!(moved.as_ptr().addr().is_multiple_of(LINE_BYTES), "{len} values");
        }
    }

    #[test]
    fn the_place_asked_for_begins_a_line() {
        for (place, len) in [(0, 5), (3, 20), (780, 1000), (780, 1 << 20), (16, 16)] {
            let mut aligned = Aligned::<f32>::with_line_at(place, len);
            assert!(aligned.len() == len && aligned.iter().all(|value| *value == 0.0));
            aligned.fill(1.0);
            assert!(aligned[place.min(len)..].as_ptr().addr().is_multiple_of(LINE_BYTES), "{place} of {len}");
        }
    }

    #[test]
    fn bytes_are_aligned_too() {
        for len in [7, 5 << 20] {
            let aligned = Aligned::from(vec![9u8; len]);
            assert!(aligned.as_ptr().addr().is_multiple_of(LINE_BYTES) && *aligned.clone() == [9u8][..].repeat(len));
        }
    }
}
