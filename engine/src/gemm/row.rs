//! The broadcast kernel where A is a single row: reading B is all the work, so its rows are read in runs as long as they
//! are, and of an A that may hold zeros those are left out that a zero makes nothing of. After a ReLU, and in the margins of
//! an image, those are many.
//!
//! It does what the tiles do, in the same order, so a row alone has the bits of a row among others, as long as B is finite.
//! Of any other A no step is left out: its sums keep the sign that they have as zeros, and that depends on every step.

use std::mem::MaybeUninit;

use super::Into;
use super::kernel::Product;
use super::simd::{MOST_LANES, Part, QUAD, Simd};
use super::upright::finish_few;
use crate::processor::second_cache;

/// Most vectors of C's row at once.
const WIDEST: usize = 8;
/// Values of A that are looked through at once; whole vectors.
const STRETCH: usize = 1 << 7;
/// Rows that stream past are asked for so many places ahead of their turn.
const AHEAD: usize = 8;

/// Values of B that are left to the second cache, to be there still when the same product comes again: all, if they fit. If
/// not, the rest streams past it, so as not to drive them out.
fn kept(values: usize) -> usize {
    let cache = second_cache() / size_of::<f32>();
    if values <= cache / 8 * 7 { values } else { cache / 2 }
}

/// C's only row; the last `few` columns apart.
///
/// # Safety
/// As for [`run`](super::kernel::run); A must be one row of contiguous values.
#[inline(always)]
pub(super) unsafe fn row<S: Simd>(p: &Product, few: usize) {
    let (mut j, end) = (0, p.n - few);
    while j < end {
        let columns = (end - j).min(WIDEST * S::LANES);
        let last = if j + columns == end { few } else { 0 };
        // SAFETY: the columns lie within the product and need that many vectors.
        unsafe { vectors::<S>(p, j, columns, last) }
        j += columns;
    }
    if end == 0 {
        // SAFETY: as above.
        unsafe { S::apart(Sweep::<0, true> { p, j: 0, columns: 0, few }) }
    }
}

#[inline(always)]
unsafe fn vectors<S: Simd>(p: &Product, j: usize, columns: usize, few: usize) {
    macro_rules! of {
        ($($V:literal)+) => {
            match (columns.div_ceil(S::LANES), few > 0) {
                // SAFETY: as the caller vouches.
                $(($V, false) => unsafe { S::apart(Sweep::<$V, false> { p, j, columns, few }) },)+
                // SAFETY: as the caller vouches.
                $(($V, true) => unsafe { S::apart(Sweep::<$V, true> { p, j, columns, few }) },)+
                _ => unreachable!("more vectors than {WIDEST}"),
            }
        };
    }
    of!(1 2 3 4 5 6 7 8);
}

/// Writes which of the `n` values are worth a step to `places`, those that are not zero or all, and returns how many those
/// are. What comes after the values is not known yet: to be asked for, all of it.
///
/// # Safety
/// The values must be there, `STRETCH` at most, and room for `STRETCH + AHEAD` places.
#[inline(always)]
unsafe fn look_through<S: Simd>(values: *const f32, n: usize, may_hold_zeros: bool, places: *mut u32) -> usize {
    let (mut count, mut k) = (0, 0);
    // SAFETY: as the caller vouches; there are at most `k` places before those of a vector.
    unsafe {
        if may_hold_zeros {
            while k < n {
                count += S::places(&[values], k, (n - k).min(S::LANES), places.add(count));
                k += S::LANES;
            }
        } else {
            while count < n {
                *places.add(count) = count as u32;
                count += 1;
            }
        }
        for i in 0..AHEAD {
            *places.add(count + i) = (n + i) as u32;
        }
    }
    count
}

/// The columns `j..j + columns` in `V` vectors, the last of which may be a part, and with `FEW` so many after them, whose
/// sums are those of [`upright`](super::upright): only, those of the four columns lie side by side, and beside other columns
/// each lane has a vector for itself, so that nothing need be done for zeros.
struct Sweep<'a, const V: usize, const FEW: bool> {
    p: &'a Product,
    j: usize,
    columns: usize,
    few: usize,
}

impl<const V: usize, const FEW: bool> Part for Sweep<'_, V, FEW> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, j, columns, few } = self;
        let last = columns - V.saturating_sub(1) * S::LANES;
        let is_whole = |v: usize| v + 1 < V || last == S::LANES;
        // SAFETY: the columns lie within the views, and so do the rows of B at the places; a part touches `last` values alone.
        unsafe {
            let c = p.c.add(j);
            let mut sums = [S::zero(); V];
            if !p.bias.is_null() || p.into == Into::Add {
                let start = if p.bias.is_null() { c.cast_const() } else { p.bias.add(j) };
                for (v, sum) in sums.iter_mut().enumerate() {
                    let from = start.add(v * S::LANES);
                    *sum = if is_whole(v) { S::load(from) } else { S::load_part(from, last) };
                }
            }
            let mut quads_of_few = [S::zero(); QUAD];
            let mut lanes_of_few = [S::zero(); MOST_LANES];
            let mut places = MaybeUninit::<[u32; STRETCH + AHEAD]>::uninit();
            let places = places.as_mut_ptr().cast::<u32>();
            let (mut first, end, b_row) = (0, p.k, p.b_row);
            let kept = kept(p.of_b);
            while first < end {
                let (a, b, n) = (p.a.add(first), p.b.add(first * b_row + j), (end - first).min(STRETCH));
                let count = look_through::<S>(a, n, p.may_hold_zeros, places);
                let streams = V > S::VECTORS && p.before + first * b_row >= kept;
                for i in 0..count {
                    let k = *places.add(i);
                    if streams {
                        let ahead = *places.add(i + AHEAD);
                        for v in 0..V {
                            S::prefetch(b.wrapping_add(ahead as usize * b_row + v * S::LANES));
                        }
                    }
                    let (value, b) = (S::splat(*a.add(k as usize)), b.add(k as usize * b_row));
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let from = b.add(v * S::LANES);
                        let row = if is_whole(v) { S::load(from) } else { S::load_part(from, last) };
                        *sum = S::multiply_add(value, row, *sum);
                    }
                    if FEW && V > 0 {
                        let (row, sum) = (S::load_part(b.add(columns), few), &mut lanes_of_few[k as usize % S::LANES]);
                        *sum = S::multiply_add(value, row, *sum);
                    }
                }
                if FEW && V == 0 {
                    for k in (0..n).step_by(S::LANES) {
                        let part = (n - k).min(S::LANES);
                        let quads = S::every_fourth(b.add(columns + k * b_row), b_row, part, few);
                        let a = if part == S::LANES { S::load(a.add(k)) } else { S::load_part(a.add(k), part) };
                        let a = S::spread(a);
                        for (i, sum) in quads_of_few.iter_mut().enumerate() {
                            *sum = S::multiply_add(a[i], quads[i], *sum);
                        }
                    }
                }
                first += n;
            }
            for (v, &sum) in sums.iter().enumerate() {
                let c = c.add(v * S::LANES);
                let sum = if p.may_hold_zeros { S::without_sign_of_zero(sum) } else { sum };
                if is_whole(v) { S::store(c, sum) } else { S::store_part(c, sum, last) }
            }
            if FEW {
                let columns_of_few = if V == 0 { S::turn(quads_of_few) } else { upright::<S>(&lanes_of_few) };
                let mut totals = [0.0; QUAD];
                for (total, &sum) in totals.iter_mut().zip(&columns_of_few) {
                    *total = S::sum(sum);
                }
                finish_few(p, 0, (j + columns, few), &totals);
            }
        }
    }
}

/// Of a vector a lane, in which the columns lie side by side, a vector a column.
///
/// # Safety
/// The processor must have the instructions of `S`.
#[inline(always)]
unsafe fn upright<S: Simd>(lanes: &[S::Vector; MOST_LANES]) -> [S::Vector; QUAD] {
    let mut columns = [[0.0; MOST_LANES]; QUAD];
    // SAFETY: the caller vouches for the instructions; no vector has more than `MOST_LANES` values.
    unsafe {
        for (lane, &vector) in lanes.iter().enumerate().take(S::LANES) {
            let mut values = [0.0; MOST_LANES];
            S::store(values.as_mut_ptr(), vector);
            for (column, value) in columns.iter_mut().zip(values) {
                column[lane] = value;
            }
        }
        let mut vectors = [S::zero(); QUAD];
        for (vector, column) in vectors.iter_mut().zip(&columns) {
            *vector = S::load(column.as_ptr());
        }
        vectors
    }
}
