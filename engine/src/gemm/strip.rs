//! The last few columns of a product whose A lies column by column (`Xᵀ·dY`): they would leave most lanes of a vector
//! along a row of C idle, so here the lanes run along A's rows instead:
//!
//! ```text
//!               B_kj  B_kj+1          up to STRIP columns
//!            ┌──────┬──────┐
//!   i  A_ik  │ C += A_ik · B_kj      up to VECTORS vectors of rows, from A's contiguous column k
//!   ↓        └──────┴──────┘
//! ```
//!
//! Every element takes the operations that a tile would do, in the same order.

use super::Into;
use super::kernel::Product;
use super::simd::{MOST_LANES, Part, Simd};

/// Most columns of a strip.
pub(super) const STRIP: usize = 4;

/// Columns j..j+columns of all rows.
///
/// # Safety
/// As for [`run`](super::kernel::run); A's rows must be neighbours, and there must be at most [`STRIP`] columns.
#[inline(always)]
pub(super) unsafe fn strip<S: Simd>(p: &Product, j: usize, columns: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        match columns {
            1 => of_width::<S, 1>(p, j),
            2 => of_width::<S, 2>(p, j),
            3 => of_width::<S, 3>(p, j),
            _ => of_width::<S, STRIP>(p, j),
        }
    }
}

#[inline(always)]
unsafe fn of_width<S: Simd, const C: usize>(p: &Product, j: usize) {
    for group in 0..p.groups.0 {
        let mut i = 0;
        while i < p.m {
            let rows = (p.m - i).min(S::VECTORS * S::LANES);
            // SAFETY: the rows lie within the group and need that many vectors.
            unsafe {
                match rows.div_ceil(S::LANES) {
                    1 => stack::<S, 1, C>(Stack { p, group, i, rows, j }),
                    2 => stack::<S, 2, C>(Stack { p, group, i, rows, j }),
                    3 => stack::<S, 3, C>(Stack { p, group, i, rows, j }),
                    _ => stack::<S, 4, C>(Stack { p, group, i, rows, j }),
                }
            }
            i += rows;
        }
    }
}

#[inline(always)]
unsafe fn stack<S: Simd, const V: usize, const C: usize>(stack: Stack<'_, V, C>) {
    // Higher ones are never asked for; said so that the compiler leaves them out.
    if const { V <= S::VECTORS } {
        // SAFETY: as the caller vouches.
        unsafe { S::apart(stack) }
    }
}

/// `rows` rows from `i` on, in `V` vectors, the last of which may be a part, of `C` columns.
struct Stack<'a, const V: usize, const C: usize> {
    p: &'a Product,
    group: usize,
    i: usize,
    rows: usize,
    j: usize,
}

impl<const V: usize, const C: usize> Part for Stack<'_, V, C> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        const { assert!(S::LANES <= MOST_LANES) }
        let Self { p, group, i, rows, j } = self;
        let last = rows - (V - 1) * S::LANES;
        // SAFETY: rows i..i+rows of the group, columns j..j+C and all k lie within the views; a part touches `last` values
        // alone. No vector has more than `MOST_LANES` values.
        unsafe {
            let c = p.c.add((group * p.m + i) * p.c_row + j);
            // Lane by lane, for here an index is none that the compiler knows: of `sums` it would make memory.
            let mut values = [[[0.0; MOST_LANES]; C]; V];
            let mut sums = [[S::zero(); C]; V];
            if !p.bias.is_null() {
                for (column, sum) in sums[0].iter_mut().enumerate() {
                    *sum = S::splat(*p.bias.add(j + column));
                }
                sums = [sums[0]; V];
            } else if p.into == Into::Add {
                for row in 0..rows {
                    for (column, values) in values[row / S::LANES].iter_mut().enumerate() {
                        values[row % S::LANES] = *c.add(row * p.c_row + column);
                    }
                }
                for (sums, values) in sums.iter_mut().zip(&values) {
                    for (sum, values) in sums.iter_mut().zip(values) {
                        *sum = S::load(values.as_ptr());
                    }
                }
            }
            let first = p.a.add(group * p.groups.1 + i);
            for run in 0..p.runs.0 {
                let (mut a, mut b) = (first.add(run * p.runs.1), p.b.add(run * p.b_run + j));
                for _ in 0..p.k {
                    let mut column = [S::zero(); V];
                    for (v, vector) in column.iter_mut().enumerate() {
                        let from = a.wrapping_add(v * S::LANES);
                        *vector = if v + 1 < V || last == S::LANES { S::load(from) } else { S::load_part(from, last) };
                    }
                    for c in 0..C {
                        let value = S::splat(*b.add(c));
                        for (sums, &a) in sums.iter_mut().zip(&column) {
                            sums[c] = S::multiply_add(a, value, sums[c]);
                        }
                    }
                    (a, b) = (a.wrapping_add(p.a_col), b.wrapping_add(p.b_row));
                }
            }
            for (sums, values) in sums.iter().zip(&mut values) {
                for (&sum, values) in sums.iter().zip(values) {
                    S::store(values.as_mut_ptr(), if p.may_hold_zeros { S::without_sign_of_zero(sum) } else { sum });
                }
            }
            for row in 0..rows {
                for (column, values) in values[row / S::LANES].iter().enumerate() {
                    *c.add(row * p.c_row + column) = values[row % S::LANES];
                }
            }
        }
    }
}
