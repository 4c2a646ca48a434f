//! Sums of a few rows of a matrix, each times a number: what the gradients of a convolution are where most of what comes
//! down from above is zero.
//!
//! Below a ReLU half of `dy` is zero, below a ReLU with a pool of 2×2 three quarters and more. So the values that are not
//! zero are listed first, each with the [place](Places) of the row it multiplies; then a window's worth of sums stays in
//! registers while the list goes by:
//!
//! ```text
//!            SLOT values                      from: rows at the listed places
//!          ┌──────┬──────┬──────┐             ┌──────┬──────┬──────┐
//!   into   │ += Σ value · from  │  ◄── place ─┤      │      │      │   V vectors wide
//!   R rows ├──────┼──────┼──────┤             ├──────┼──────┼──────┤
//!    │     │      │      │      │             │      │      │      │
//!    ▼     └──────┴──────┴──────┘             └──────┴──────┴──────┘
//!   pitch                                     pitch
//! ```
//!
//! The list is gone through in order, and every sum begins with what is there: how a window is cut into blocks changes no
//! bit. Nor does it that zeros are left out, if what they multiply is finite: a sum that is zero is always +0, unless nothing
//! is listed for it.

mod lists;

use super::simd::{Part, Simd, run_on};
use crate::processor::Path;
pub use lists::{Lists, Places};

/// Values that a row is a multiple of: the widest vector.
pub const SLOT: usize = 16;

/// A window of some rows of some slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// How many rows.
    pub count: usize,
    /// Slots of a row.
    pub slots: usize,
}

impl Rows {
    /// Values from the first one to the end of the last one, for rows so far apart.
    fn reach(self, pitch: usize) -> usize {
        (self.count - 1) * pitch + self.slots * SLOT
    }

    /// The window in blocks whose sums fit so many registers, and for which so many rows of `from` stay in the cache:
    /// first row, first slot, rows, slots.
    fn blocks(self, registers: usize, listed: usize) -> impl Iterator<Item = [usize; 4]> {
        let most = (CACHE / listed.max(1)).clamp(FEWEST.min(registers), registers);
        let blocks = (1..=MOST_HIGH.min(most)).map(|high| {
            let down = self.count.div_ceil(high);
            let across = self.slots.div_ceil((most / high).min(MOST_WIDE));
            (down * across, self.count.div_ceil(down), self.slots.div_ceil(across))
        });
        let (_, high, wide) = blocks.min_by_key(|(blocks, ..)| *blocks).expect("one row at least");
        (0..self.count).step_by(high).flat_map(move |row| {
            let slots = (0..self.slots).step_by(wide);
            slots.map(move |slot| [row, slot, high.min(self.count - row), wide.min(self.slots - slot)])
        })
    }
}

/// Most rows of a block, and most slots of a row of it.
const MOST_HIGH: usize = 3;
const MOST_WIDE: usize = 12;
/// Slots that stay in the first cache, and fewest of a block: as many sums keep the multipliers busy.
const CACHE: usize = 640;
const FEWEST: usize = 8;

/// For each list, `into[target..] += Σ value · from[place..]` over a window.
#[derive(Debug)]
pub struct AddMultiples<'a> {
    /// The window.
    pub rows: Rows,
    /// What is added up.
    pub lists: Lists<'a>,
    /// What is multiplied.
    pub from: &'a [f32],
    /// Distance of its rows.
    pub from_pitch: usize,
    /// The sums.
    pub into: &'a mut [f32],
    /// Distance of their rows.
    pub into_pitch: usize,
    /// Where the sums of each list begin.
    pub targets: &'a Places,
}

impl AddMultiples<'_> {
    /// Adds.
    ///
    /// # Panics
    /// If the window is empty or reaches beyond either side, or a list has no target.
    pub fn run(self) {
        self.run_on(Path::chosen());
    }

    fn run_on(self, path: Path) {
        let Self { rows, lists, from, from_pitch, into, into_pitch, targets } = self;
        assert!(rows.count > 0 && rows.slots > 0, "an empty window");
        assert!(lists.lengths.len() <= targets.all.len(), "a target for each list");
        assert!(targets.most + rows.reach(into_pitch) <= into.len(), "the window reaches beyond its sums");
        assert!(lists.most + rows.reach(from_pitch) <= from.len(), "the window reaches beyond the rows");
        let overlap = from.len() < lists.room * rows.count * rows.slots * SLOT / 2;
        let listed = if overlap { 0 } else { lists.room };
        let targets = &targets.all;
        let sums =
            Sums { lists, listed, targets, from: from.as_ptr(), from_pitch, into: into.as_mut_ptr(), into_pitch };
        // SAFETY: the asserts have checked that the window lies within `into` at every target, and within `from` at every
        // place of a list, of which none lies beyond `most`; `into` is borrowed mutably, so it does not overlap `from`;
        // `Path` only gives out what the processor has.
        unsafe { run_on(path, Blocks { rows, sums }) }
    }
}

/// Sums whose windows have been checked.
#[derive(Debug, Clone, Copy)]
struct Sums<'a> {
    lists: Lists<'a>,
    /// Rows that must stay in the cache while the lists go by: none where their windows overlap.
    listed: usize,
    targets: &'a [u32],
    from: *const f32,
    from_pitch: usize,
    into: *mut f32,
    into_pitch: usize,
}

/// The sums of a window, block by block.
///
/// # Safety
/// The window must lie within both sides, at every place.
struct Blocks<'a> {
    rows: Rows,
    sums: Sums<'a>,
}

impl Part for Blocks<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { rows, sums } = self;
        // A slot is one vector of 16 lanes or two of 8: in either case half of the registers or so, with two sums a slot there.
        let registers = if S::LANES == SLOT { 24 } else { 6 };
        for [row, slot, high, wide] in rows.blocks(registers, sums.listed) {
            let part = Sums {
                from: sums.from.wrapping_add(row * sums.from_pitch + slot * SLOT),
                into: sums.into.wrapping_add(row * sums.into_pitch + slot * SLOT),
                ..sums
            };
            macro_rules! of {
                ($($high:literal: $($wide:literal)+;)+) => {
                    match (high, wide) {
                        // SAFETY: the block lies within the window.
                        $($(($high, $wide) => unsafe { block::<S, $high, $wide>(part) },)+)+
                        _ => unreachable!("blocks fit the registers"),
                    }
                };
            }
            of! {
                1: 1 2 3 4 5 6 7 8 9 10 11 12;
                2: 1 2 3 4 5 6 7 8 9 10 11 12;
                3: 1 2 3 4 5 6 7 8;
            }
        }
    }
}

/// # Safety
/// As for [`Blocks`], of a block.
#[inline(always)]
unsafe fn block<S: Simd, const R: usize, const W: usize>(sums: Sums<'_>) {
    // More are never asked for; said so that the compiler leaves them out.
    if const { S::LANES == SLOT || R * W <= 6 } {
        // SAFETY: as the caller vouches.
        unsafe { S::apart(Block::<R, W>(sums)) }
    }
}

/// A block of `R` rows of `W` slots, in registers from the first value of a list to the last; list by list.
struct Block<'a, const R: usize, const W: usize>(Sums<'a>);

impl<const R: usize, const W: usize> Part for Block<'_, R, W> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self(sums) = self;
        let halves = SLOT / S::LANES;
        for (index, &target) in sums.targets.iter().enumerate().take(sums.lists.lengths.len()) {
            let (values, places) = sums.lists.list(index);
            if values.is_empty() {
                continue;
            }
            let into = sums.into.wrapping_add(target as usize);
            // SAFETY: as the caller vouches: each access is within row `r`, slot `w` of the window.
            unsafe {
                // Of a slot the first vector, and the second one if it takes two.
                let mut totals = [[[S::zero(); 2]; W]; R];
                for (r, totals) in totals.iter_mut().enumerate() {
                    for (w, totals) in totals.iter_mut().enumerate() {
                        for (h, total) in totals.iter_mut().enumerate().take(halves) {
                            *total = S::load(into.add(r * sums.into_pitch + w * SLOT + h * S::LANES));
                        }
                    }
                }
                for (&value, place) in values.iter().zip(places) {
                    let (value, from) = (S::splat(value), sums.from.add(place.to_bits() as usize));
                    for (r, totals) in totals.iter_mut().enumerate() {
                        let from = from.add(r * sums.from_pitch);
                        for (w, totals) in totals.iter_mut().enumerate() {
                            for (h, total) in totals.iter_mut().enumerate().take(halves) {
                                *total = S::multiply_add(value, S::load(from.add(w * SLOT + h * S::LANES)), *total);
                            }
                        }
                    }
                }
                for (r, totals) in totals.iter().enumerate() {
                    for (w, totals) in totals.iter().enumerate() {
                        for (h, &total) in totals.iter().enumerate().take(halves) {
                            let to = into.add(r * sums.into_pitch + w * SLOT + h * S::LANES);
                            S::store(to, S::without_sign_of_zero(total));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
