//! Lists of the values of a dense matrix that are not zero.

use super::super::simd::{Part, Simd, run_on};
use super::SLOT;
use crate::processor::Path;

/// Where rows begin, one for each value of a dense vector.
#[derive(Debug, Clone)]
pub struct Places {
    pub(super) all: Vec<u32>,
    pub(super) most: usize,
}

impl Places {
    /// Rows that begin there; `None` if one lies too far off.
    pub fn new(all: impl Iterator<Item = usize>) -> Option<Self> {
        let all: Vec<u32> = all.map(|place| u32::try_from(place).ok()).collect::<Option<_>>()?;
        let most = all.iter().copied().max().unwrap_or(0) as usize;
        Some(Self { all, most })
    }

    /// Memory of so many lists; `None` where it overflows.
    pub fn memory(&self, lists: usize) -> Option<usize> {
        self.all.len().checked_next_multiple_of(SLOT)?.checked_mul(2)?.checked_add(1)?.checked_mul(lists)
    }

    /// Lists the values that are not zero of each row of `dense`, in order. Those that are not numbers count.
    ///
    /// # Panics
    /// If the rows do not have a value for each place, or the memory is too small.
    pub fn lists<'a>(&self, dense: &[f32], memory: &'a mut [f32]) -> Lists<'a> {
        self.lists_on(Path::chosen(), dense, memory)
    }

    pub(super) fn lists_on<'a>(&self, path: Path, dense: &[f32], memory: &'a mut [f32]) -> Lists<'a> {
        let (count, room) = (dense.len() / self.all.len(), self.all.len().next_multiple_of(SLOT));
        assert_eq!(count * self.all.len(), dense.len(), "a value for each place");
        let (values, rest) = memory.split_at_mut(count * room);
        let (places, rest) = rest.split_at_mut(count * room);
        let lengths = &mut rest[..count];
        let filling = Filling { places: &self.all, dense, room, values, found: places, lengths: &mut *lengths };
        // SAFETY: there is a place for each value, and each list has room for whole vectors of them; `Path` only gives out
        // what the processor has.
        unsafe { run_on(path, filling) }
        Lists { values, places, lengths, room, most: self.most }
    }
}

/// Lists that are being filled: each has `room` values, and as many places, of which the first are taken.
struct Filling<'a> {
    places: &'a [u32],
    dense: &'a [f32],
    room: usize,
    values: &'a mut [f32],
    found: &'a mut [f32],
    lengths: &'a mut [f32],
}

impl Part for Filling<'_> {
    /// Goes through the dense values row by row. The sizes must match.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let n = self.places.len();
        for (row, length) in self.lengths.iter_mut().enumerate() {
            let (dense, at) = (&self.dense[row * n..][..n], row * self.room);
            let values = self.values[at..at + self.room].as_mut_ptr();
            let found = self.found[at..at + self.room].as_mut_ptr().cast::<u32>();
            let (mut count, mut first) = (0, 0);
            while first < n {
                // SAFETY: the part's values lie within both slices; no more than have been read are written before `count`,
                // so a whole vector there ends within the list's room.
                count += unsafe {
                    let from = (dense.as_ptr().add(first), self.places.as_ptr().add(first));
                    S::pick_nonzero(from, (n - first).min(S::LANES), (values.add(count), found.add(count)))
                };
                first += S::LANES;
            }
            *length = f32::from_bits(count as u32);
        }
    }
}

/// Lists of values that are not zero, and of the places of the rows they multiply.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    values: &'a [f32],
    /// Their bits are the places.
    places: &'a [f32],
    /// Their bits are how many.
    pub(super) lengths: &'a [f32],
    /// Values from the beginning of one list to the next.
    pub(super) room: usize,
    /// No place is beyond.
    pub(super) most: usize,
}

impl Lists<'_> {
    /// The values and the places of a list.
    #[inline(always)]
    pub(super) fn list(&self, index: usize) -> (&[f32], &[f32]) {
        let length = self.lengths[index].to_bits() as usize;
        let at = index * self.room;
        (&self.values[at..at + length], &self.places[at..at + length])
    }
}
