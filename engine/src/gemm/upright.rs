//! The last few columns of a product whose A lies row by row (`X·W`): they would leave most lanes of a vector along a row
//! of C idle, so here the lanes run along `k` instead, and are added up at the end. B's columns are turned upright first,
//! once for all rows:
//!
//! ```text
//!        k → lanes          turned
//!       ┌──────┬──────     ┌──────┬──────
//!  A_i  │      │       ·   │ B_j  │        = C_ij     ROWS rows × QUAD columns
//!       └──────┴──────     └──────┴──────
//! ```
//!
//! For short runs of `k` that would be mostly reading B: they are for `quads`.

use std::mem::MaybeUninit;

use super::Into;
use super::broadcast::DEPTH;
use super::kernel::Product;
use super::simd::{MOST_LANES, Part, QUAD, Simd};

/// Rows of a tile.
const ROWS: usize = 4;

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
            for group in 0..p.groups.0 {
                for i in (0..p.m).step_by(ROWS) {
                    match p.m - i {
                        1 => tile::<S, 1>(p, turned, (group, i), (j, columns)),
                        2 => tile::<S, 2>(p, turned, (group, i), (j, columns)),
                        3 => tile::<S, 3>(p, turned, (group, i), (j, columns)),
                        _ => tile::<S, ROWS>(p, turned, (group, i), (j, columns)),
                    }
                }
            }
        }
    }
}

/// Rows i..i+R of a group.
///
/// # Safety
/// As for [`Upright`]; the columns must have been turned.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize>(
    p: &Product,
    turned: *const f32,
    (group, i): (usize, usize),
    (j, columns): (usize, usize),
) {
    // SAFETY: the rows and all k lie within the views; a part touches the rest of `k` alone.
    unsafe {
        let mut sums = [[S::zero(); QUAD]; ROWS];
        let a = p.a.add(group * p.groups.1 + i * p.a_row);
        let mut k = 0;
        while k < p.k {
            let part = p.k - k;
            let mut of_b = [S::zero(); QUAD];
            for (column, vector) in of_b.iter_mut().enumerate() {
                *vector = S::load(turned.add(column * (DEPTH + MOST_LANES) + k));
            }
            for (r, sums) in sums.iter_mut().enumerate().take(R) {
                let from = a.add(r * p.a_row + k);
                let row = if part >= S::LANES { S::load(from) } else { S::load_part(from, part) };
                for (sum, &column) in sums.iter_mut().zip(&of_b) {
                    *sum = S::multiply_add(row, column, *sum);
                }
            }
            k += S::LANES;
        }
        let totals = S::sums(&sums);
        for (r, totals) in totals.iter().enumerate().take(R) {
            finish_few(p, group * p.m + i + r, (j, columns), totals);
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
