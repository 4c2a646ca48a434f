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
//! bit.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
use super::simd::{Portable, Simd};
use crate::engine::processor::Path;

/// Values that a row is a multiple of: the widest vector.
pub const SLOT: usize = 16;

/// Where rows begin, one for each value of a dense vector.
#[derive(Debug, Clone)]
pub struct Places {
    all: Vec<u32>,
    most: usize,
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

    fn lists_on<'a>(&self, path: Path, dense: &[f32], memory: &'a mut [f32]) -> Lists<'a> {
        let (count, room) = (dense.len() / self.all.len(), self.all.len().next_multiple_of(SLOT));
        assert_eq!(count * self.all.len(), dense.len(), "a value for each place");
        let (values, rest) = memory.split_at_mut(count * room);
        let (places, rest) = rest.split_at_mut(count * room);
        let lengths = &mut rest[..count];
        let mut lists = Filling { places: &self.all, dense, room, values, found: places, lengths: &mut *lengths };
        // SAFETY: there is a place for each value, and each list has room for whole vectors of them; `Path` only gives out
        // what the processor has.
        unsafe {
            match path {
                Path::Portable => lists.fill::<Portable>(),
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => lists.avx2(),
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => lists.avx512(),
            }
        }
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

impl Filling<'_> {
    /// Goes through the dense values row by row.
    ///
    /// # Safety
    /// The processor must have the instructions of `S`, and the sizes must match.
    #[inline(always)]
    unsafe fn fill<S: Simd>(&mut self) {
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

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
    unsafe fn avx2(&mut self) {
        // SAFETY: as the caller vouches.
        unsafe { self.fill::<Avx2>() }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq,popcnt,bmi1,bmi2")]
    unsafe fn avx512(&mut self) {
        // SAFETY: as the caller vouches.
        unsafe { self.fill::<Avx512>() }
    }
}

/// Lists of values that are not zero, and of the places of the rows they multiply.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    values: &'a [f32],
    /// Their bits are the places.
    places: &'a [f32],
    /// Their bits are how many.
    lengths: &'a [f32],
    /// Values from the beginning of one list to the next.
    room: usize,
    /// No place is beyond.
    most: usize,
}

impl Lists<'_> {
    /// The values and the places of a list.
    #[inline(always)]
    fn list(&self, index: usize) -> (&[f32], &[f32]) {
        let length = self.lengths[index].to_bits() as usize;
        let at = index * self.room;
        (&self.values[at..at + length], &self.places[at..at + length])
    }
}

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
        unsafe {
            match path {
                Path::Portable => blocks::<Portable>(rows, &sums),
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => avx2(rows, &sums),
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => avx512(rows, &sums),
            }
        }
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
unsafe fn avx2(rows: Rows, sums: &Sums<'_>) {
    // SAFETY: as the caller vouches.
    unsafe { blocks::<Avx2>(rows, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(rows: Rows, sums: &Sums<'_>) {
    // SAFETY: as the caller vouches.
    unsafe { blocks::<Avx512>(rows, sums) }
}

/// # Safety
/// The window must lie within both sides, at every place, and the processor must have the instructions of `S`.
#[inline(always)]
unsafe fn blocks<S: Simd>(rows: Rows, sums: &Sums<'_>) {
    // A slot is one vector of 16 lanes or two of 8: in either case half of the registers or so, with two sums a slot there.
    let registers = if S::LANES == SLOT { 24 } else { 6 };
    for [row, slot, high, wide] in rows.blocks(registers, sums.listed) {
        let part = Sums {
            from: sums.from.wrapping_add(row * sums.from_pitch + slot * SLOT),
            into: sums.into.wrapping_add(row * sums.into_pitch + slot * SLOT),
            ..*sums
        };
        macro_rules! of {
            ($($high:literal: $($wide:literal)+;)+) => {
                match (high, wide) {
                    // SAFETY: the block lies within the window.
                    $($(($high, $wide) => unsafe { block::<S, $high, $wide>(&part) },)+)+
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

/// A block of `R` rows of `W` slots, in registers from the first value of a list to the last; list by list.
///
/// # Safety
/// As [`blocks`], for the block.
#[inline(always)]
unsafe fn block<S: Simd, const R: usize, const W: usize>(sums: &Sums<'_>) {
    if S::LANES < SLOT && R * W > 6 {
        // Never asked for; said so that the compiler leaves it out.
        return;
    }
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
                        S::store(into.add(r * sums.into_pitch + w * SLOT + h * S::LANES), total);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::rng::{Purpose, Rng};

    fn random(len: usize, stream: u64) -> Vec<f32> {
        let mut rng = Rng::new(1, Purpose::GradientCheck, stream, 0);
        (0..len).map(|_| rng.normal() as f32).collect()
    }

    /// So many values of which some are zero.
    fn sparse(len: usize, zeros: f64) -> Vec<f32> {
        let mut rng = Rng::new(2, Purpose::GradientCheck, 0, 0);
        (0..len).map(|_| if rng.uniform() < zeros { 0.0 } else { rng.normal() as f32 }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn sums_agree_with_the_formula_on_every_path(
            number in 1usize..6, len in 1usize..80, count in 1usize..8, slots in 1usize..20, spare in 0usize..9,
            step in 0usize..40, zeros in 0f64..1.0,
        ) {
            let rows = Rows { count, slots };
            let (from_pitch, into_pitch) = (slots * SLOT + spare, slots * SLOT + 2 * spare);
            let places = Places::new((0..len).map(|i| i * step)).expect("near");
            let targets = Places::new((0..number).map(|i| i * (count * into_pitch))).expect("near");
            let dense = sparse(number * len, zeros);
            let from = random((len - 1) * step + rows.reach(from_pitch), 0);
            let start = random((number - 1) * count * into_pitch + rows.reach(into_pitch), 1);
            let mut expected: Vec<f64> = start.iter().map(|value| f64::from(*value)).collect();
            for (l, dense) in dense.chunks(len).enumerate() {
                for (i, value) in dense.iter().enumerate() {
                    for (u, k) in (0..count).flat_map(|u| (0..slots * SLOT).map(move |k| (u, k))) {
                        expected[l * count * into_pitch + u * into_pitch + k] +=
                            f64::from(*value) * f64::from(from[i * step + u * from_pitch + k]);
                    }
                }
            }
            for path in Path::available() {
                let mut memory = vec![f32::NAN; places.memory(number).expect("small")];
                let lists = places.lists_on(path, &dense, &mut memory);
                let mut into = start.clone();
                let (from, into, targets) = (&from, &mut into[..], &targets);
                AddMultiples { rows, lists, from, from_pitch, into, into_pitch, targets }.run_on(path);
                for (value, expected) in into.iter().zip(&expected) {
                    prop_assert!((f64::from(*value) - expected).abs() < 1e-4, "{path:?}");
                }
            }
        }

        #[test]
        fn lists_have_what_is_not_zero_in_order_on_every_path(len in 1usize..100, zeros in 0f64..1.0) {
            let mut dense = sparse(2 * len, zeros);
            dense[len / 2] = f32::NAN;
            let places = Places::new((0..len).map(|i| 3 * i)).expect("near");
            for path in Path::available() {
                let mut memory = vec![7.0; places.memory(2).expect("small")];
                let lists = places.lists_on(path, &dense, &mut memory);
                for (index, dense) in dense.chunks(len).enumerate() {
                    let (values, at) = lists.list(index);
                    let found = values.iter().zip(at).map(|(value, place)| (value.to_bits(), place.to_bits() as usize));
                    let expected = dense.iter().enumerate().filter(|(_, value)| **value != 0.0);
                    prop_assert!(found.eq(expected.map(|(i, value)| (value.to_bits(), 3 * i))), "{path:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "beyond the rows")]
    fn a_window_beyond_its_rows_is_refused() {
        let (places, targets) =
            (Places::new([1].into_iter()).expect("near"), Places::new([0].into_iter()).expect("near"));
        let mut memory = vec![0.0; places.memory(1).expect("small")];
        let lists = places.lists(&[1.0], &mut memory);
        let rows = Rows { count: 1, slots: 1 };
        let (from, into, targets) = (&[0.0; SLOT], &mut [0.0; SLOT], &targets);
        AddMultiples { rows, lists, from, from_pitch: SLOT, into, into_pitch: SLOT, targets }.run();
    }
}
