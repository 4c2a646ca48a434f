//! The last few columns of a product whose A lies row by row, in runs that may be short: the windows of an image. Here a
//! vector holds those columns of several rows of B, a quad each, so that one operation does several `k` at once; the quads
//! are added up at the end (`fold`):
//!
//! ```text
//!  A_ik   A_ik   A_ik   A_ik  │ A_ik+1 A_ik+1 A_ik+1 A_ik+1 │ …
//!    ×      ×      ×      ×
//!  B_kj   B_kj+1 B_kj+2 B_kj+3│ B_k+1j …                    │ …
//! ```

use super::kernel::Product;
use super::simd::{Part, QUAD, Simd};
use super::tile::Place;
use super::upright::finish_few;

/// A tile of `R` rows and up to four columns, of a product whose A has contiguous columns.
///
/// # Safety
/// It must lie within the product.
pub(super) struct Quads<'a, const R: usize> {
    pub(super) p: &'a Product,
    pub(super) at: Place,
}

impl<const R: usize> Part for Quads<'_, R> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, at: Place { group, i, j, columns } } = self;
        // SAFETY: rows i..i+R of the group, columns j..j+columns and all k lie within the views; parts touch those alone.
        unsafe {
            let mut sums = [S::zero(); R];
            let (first, most) = (p.a.add(group * p.groups.1 + i * p.a_row), S::LANES / QUAD);
            for run in 0..p.runs.0 {
                let (a, mut b) = (first.add(run * p.runs.1), p.b.add(run * p.b_run + j));
                let mut k = 0;
                while k + most <= p.k {
                    add_quads::<S, R>(&mut sums, (a.add(k), p.a_row), (b, p.b_row), most, columns);
                    (b, k) = (b.wrapping_add(most * p.b_row), k + most);
                }
                if k < p.k {
                    add_quads::<S, R>(&mut sums, (a.add(k), p.a_row), (b, p.b_row), p.k - k, columns);
                }
            }
            for (r, &sum) in sums.iter().enumerate() {
                finish_few(p, group * p.m + i + r, (j, columns), &S::fold(sum));
            }
        }
    }
}

/// Adds the next `n` values of `R` rows times as many rows of B, each with the distance of its rows.
///
/// # Safety
/// The values and rows must be there, of the rows of B so many columns.
#[inline(always)]
unsafe fn add_quads<S: Simd, const R: usize>(
    sums: &mut [S::Vector; R],
    (a, a_row): (*const f32, usize),
    (b, b_row): (*const f32, usize),
    n: usize,
    columns: usize,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let rows = S::quads(b, b_row, n, columns);
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = S::multiply_add(S::splat_quads(a.add(r * a_row), n), rows, *sum);
        }
    }
}
