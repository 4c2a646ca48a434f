//! The broadcast kernel where A is a single row: reading B is all the work, so its rows are read in runs as long as they
//! are, and those that a zero of A makes nothing of are left out. After a ReLU, and in the margins of an image, those are
//! many.
//!
//! It does what the tiles do, in the same order, so a row alone has the bits of a row among others, as long as B is finite.

use std::mem::MaybeUninit;

use super::Into;
use super::broadcast::{add_quads, finish_quads};
use super::kernel::Product;
use super::simd::{QUAD, Simd};
use crate::engine::processor::second_cache;

/// Most vectors of C's row at once.
const WIDEST: usize = 8;
/// Values of A that are looked through at once.
const STRETCH: usize = 1 << 7;
/// Rows that stream past are asked for so many places ahead of their turn.
const AHEAD: usize = 8;

/// Values of B that are left to the second cache, to be there still when the same product comes again: all, if they fit. If
/// not, the rest streams past it, so as not to drive them out.
fn kept(values: usize) -> usize {
    let cache = second_cache() / size_of::<f32>();
    if values <= cache / 8 * 7 { values } else { cache / 2 }
}

/// C's only row; the last `quads` columns in quads.
///
/// # Safety
/// As for [`run`](super::kernel::run); A must be one row of contiguous values.
#[inline(always)]
pub(super) unsafe fn row<S: Simd>(p: &Product, quads: usize) {
    let (mut j, end) = (0, p.n - quads);
    while j < end {
        let columns = (end - j).min(WIDEST * S::LANES);
        let last = if j + columns == end { quads } else { 0 };
        // SAFETY: the columns lie within the product and need that many vectors.
        unsafe { vectors::<S>(p, j, columns, last) }
        j += columns;
    }
    if end == 0 {
        // SAFETY: as above.
        unsafe { sweep::<S, 0, true>(p, 0, 0, quads) }
    }
}

#[inline(always)]
unsafe fn vectors<S: Simd>(p: &Product, j: usize, columns: usize, quads: usize) {
    macro_rules! of {
        ($($V:literal)+) => {
            match (columns.div_ceil(S::LANES), quads > 0) {
                // SAFETY: as the caller vouches.
                $(($V, false) => unsafe { sweep::<S, $V, false>(p, j, columns, quads) },)+
                // SAFETY: as the caller vouches.
                $(($V, true) => unsafe { sweep::<S, $V, true>(p, j, columns, quads) },)+
                _ => unreachable!("more vectors than {WIDEST}"),
            }
        };
    }
    of!(1 2 3 4 5 6 7 8);
}

/// Writes where the `n` values are not zero to `places` and returns how many those are. What comes after the values is
/// not known yet: to be asked for, all of it.
///
/// # Safety
/// The values must be there, `STRETCH` at most, and room for `STRETCH + AHEAD` places.
#[inline(always)]
unsafe fn look_through<S: Simd>(values: *const f32, n: usize, places: *mut u32) -> usize {
    let (mut count, mut k) = (0, 0);
    // SAFETY: as the caller vouches; there are at most `k` places before those of a vector.
    unsafe {
        while k < n {
            count += S::places(&[values], k, (n - k).min(S::LANES), places.add(count));
            k += S::LANES;
        }
        for i in 0..AHEAD {
            *places.add(count + i) = (n + i) as u32;
        }
    }
    count
}

/// The columns `j..j + columns` in `V` vectors, the last of which may be a part, and with `QUADS` so many after them.
#[inline(always)]
unsafe fn sweep<S: Simd, const V: usize, const QUADS: bool>(p: &Product, j: usize, columns: usize, quads: usize) {
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
        let mut sum_of_quads = [S::zero()];
        let mut places = MaybeUninit::<[u32; STRETCH + AHEAD]>::uninit();
        let places = places.as_mut_ptr().cast::<u32>();
        let (mut first, end, b_row) = (0, p.k, p.b_row);
        let kept = kept(p.of_b);
        while first < end {
            let (a, b, n) = (p.a.add(first), p.b.add(first * b_row + j), (end - first).min(STRETCH));
            let count = look_through::<S>(a, n, places);
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
            }
            if QUADS {
                let (b, most, mut k) = (b.add(columns), S::LANES / QUAD, 0);
                while k + most <= n {
                    add_quads::<S, 1>(&mut sum_of_quads, (a.add(k), 0), (b.add(k * b_row), b_row), most, quads);
                    k += most;
                }
                if k < n {
                    add_quads::<S, 1>(&mut sum_of_quads, (a.add(k), 0), (b.add(k * b_row), b_row), n - k, quads);
                }
            }
            first += n;
        }
        for (v, &sum) in sums.iter().enumerate() {
            let c = c.add(v * S::LANES);
            let sum = if p.may_hold_zeros { S::without_sign_of_zero(sum) } else { sum };
            if is_whole(v) { S::store(c, sum) } else { S::store_part(c, sum, last) }
        }
        if QUADS {
            finish_quads::<S>(p, 0, j + columns, quads, sum_of_quads[0]);
        }
    }
}
