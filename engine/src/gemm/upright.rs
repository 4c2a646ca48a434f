//! The last few columns of a product whose A lies row by row (`X·W`): they would leave most lanes of a vector along a row
//! of C idle, so here the lanes run along `k` instead, and are added up at the end. B's columns are turned upright first,
//! once for all rows:
//!
//! ```text
//!        k → lanes          turned
//!       ┌──────┬──────     ┌──────┬──────
//!  A_i  │      │       ·   │ B_j  │        = C_ij     a few rows × columns
//!       └──────┴──────     └──────┴──────
//! ```
//!
//! For short runs of `k` that would be mostly reading B: they are for `quads`.

use std::mem::MaybeUninit;

use super::Into;
use super::broadcast::DEPTH;
use super::kernel::Product;
use super::simd::{MOST_LANES, Part, QUAD, Simd};

/// Sums of a tile: as many as keep the multipliers busy, and as leave registers for the factors.
const SUMS: usize = 8;

/// Memory of the turned columns.
type Turned = [[f32; DEPTH + MOST_LANES]; QUAD];

/// Columns j..j+columns of all rows.
///
/// # Safety
/// As for [`run`](super::kernel::run); A's columns must be neighbours and come in one run of at most [`DEPTH`], and there
/// must be at most [`QUAD`] columns.
pub(super) struct Upright<'a> {
    pub(super) p: &'a Product,
    pub(super) j: usize,
    pub(super) columns: usize,
}

impl Part for Upright<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        const { assert!(S::LANES <= MOST_LANES) }
        let Self { p, j, columns } = self;
        let mut turned = MaybeUninit::<Turned>::uninit();
        let turned = turned.as_mut_ptr();
        // SAFETY: as the caller vouches; a vector that begins before `DEPTH` ends within the memory, and all that is read of it
        // has been written.
        unsafe {
            for k in (0..p.k).step_by(S::LANES) {
                let rows = (p.k - k).min(S::LANES);
                let upright = S::turn(S::every_fourth(p.b.add(k * p.b_row + j), p.b_row, rows, columns));
                for (column, &values) in upright.iter().enumerate() {
                    S::store((&raw mut (*turned)[column]).cast::<f32>().add(k), values);
                }
            }
            let turned = turned.cast::<f32>().cast_const();
            if columns > 2 {
                all::<S, QUAD>(p, turned, (j, columns));
            } else {
                all::<S, 2>(p, turned, (j, columns));
            }
        }
    }
}

/// All rows, in tiles of `C` turned columns.
///
/// # Safety
/// As for [`Upright`]; there must be at most `C` columns, which must have been turned.
#[inline(always)]
unsafe fn all<S: Simd, const C: usize>(p: &Product, turned: *const f32, columns: (usize, usize)) {
    for group in 0..p.groups.0 {
        let mut i = 0;
        // SAFETY: as the caller vouches; the rows lie within the group.
        unsafe {
            while i < p.m {
                let at = (group, i);
                i += match (p.m - i).min(SUMS / C) {
                    1 => tile::<S, 1, C>(p, turned, at, columns),
                    2 => tile::<S, 2, C>(p, turned, at, columns),
                    3 => tile::<S, 3, C>(p, turned, at, columns),
                    _ => tile::<S, 4, C>(p, turned, at, columns),
                };
            }
        }
    }
}

/// Rows i..i+R of a group; returns how many.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const C: usize>(
    p: &Product,
    turned: *const f32,
    (group, i): (usize, usize),
    (j, columns): (usize, usize),
) -> usize {
    // Higher ones are never asked for; said so that the compiler leaves them out.
    if const { R * C > SUMS } {
        return R;
    }
    // SAFETY: the rows and all k lie within the views; a part touches the rest of `k` alone.
    unsafe {
        let a = p.a.add(group * p.groups.1 + i * p.a_row);
        let mut sums = [[S::zero(); C]; R];
        let whole = p.k / S::LANES * S::LANES;
        for k in (0..whole).step_by(S::LANES) {
            step::<S, R, C>(&mut sums, turned.add(k), (a.add(k), p.a_row), S::LANES);
        }
        if whole < p.k {
            step::<S, R, C>(&mut sums, turned.add(whole), (a.add(whole), p.a_row), p.k - whole);
        }
        let mut quads = [[S::zero(); QUAD]; 4];
        for (quad, sums) in quads.iter_mut().zip(&sums) {
            quad[..C].copy_from_slice(sums);
        }
        let totals = S::sums(&quads);
        for (r, totals) in totals.iter().enumerate().take(R) {
            finish_few(p, group * p.m + i + r, (j, columns), totals);
        }
    }
    R
}

/// Adds the products of `n` values of each row, which lie so far apart, with those of the turned columns.
///
/// # Safety
/// As for [`tile`], of values of its.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const C: usize>(
    sums: &mut [[S::Vector; C]; R],
    turned: *const f32,
    (a, a_row): (*const f32, usize),
    n: usize,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut of_b = [S::zero(); C];
        for (column, vector) in of_b.iter_mut().enumerate() {
            *vector = S::load(turned.add(column * (DEPTH + MOST_LANES)));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let from = a.add(r * a_row);
            let row = if n == S::LANES { S::load(from) } else { S::load_part(from, n) };
            for (sum, &column) in sums.iter_mut().zip(&of_b) {
                *sum = S::multiply_add(row, column, *sum);
            }
        }
    }
}

/// Writes the sums of a few columns to row `i` of C.
///
/// # Safety
/// Columns j..j+columns of the row must lie within C and the bias.
#[inline(always)]
pub(super) unsafe fn finish_few(p: &Product, i: usize, (j, columns): (usize, usize), sums: &[f32; QUAD]) {
    // SAFETY: as the caller vouches.
    unsafe {
        let c = p.c.add(i * p.c_row + j);
        for (column, sum) in sums.iter().enumerate().take(columns) {
            let c = c.add(column);
            let value = match (p.bias.is_null(), p.into) {
                (false, _) => *p.bias.add(j + column) + sum,
                (_, Into::Add) => *c + sum,
                (_, Into::Replace) => *sum,
            };
            *c = if p.may_hold_zeros { value + 0.0 } else { value };
        }
    }
}
