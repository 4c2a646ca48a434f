//! The transpose of a matrix that lies row by row, block by block so that both sides stay in the cache.

use rayon::prelude::*;

use super::simd::{Part, QUAD, Simd, run_on};
use crate::processor::Path;
use crate::team;

/// Rows of a block.
const SIDE: usize = 16;
/// Columns that are turned at once.
const GROUP: usize = QUAD;
/// Values that are worth the way to another thread.
const LARGE: usize = 1 << 15;

/// Writes the transpose of `from`, rows of `columns` values, to `to`.
///
/// # Panics
/// If the two are not as long as each other, or `from` has no whole number of rows.
pub fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    transpose_on(Path::chosen(), from, columns, to);
}

fn transpose_on(path: Path, from: &[f32], columns: usize, to: &mut [f32]) {
    assert!(from.len() == to.len() && from.len().is_multiple_of(columns), "a matrix and its transpose");
    let rows = from.len() / columns;
    let strip = |first: usize, to: &mut [f32]| Strip { from, columns, first, rows }.write(path, to);
    if from.len() < LARGE {
        strip(0, to);
    } else {
        let width = SIDE * (LARGE / 2 / SIDE / rows).max(1);
        team::for_each(to.par_chunks_mut(width * rows).enumerate(), |(i, to)| strip(i * width, to));
    }
}

/// Some columns of a matrix, from `first` on, to be written as rows.
#[derive(Debug, Clone, Copy)]
struct Strip<'a> {
    from: &'a [f32],
    columns: usize,
    first: usize,
    rows: usize,
}

impl Strip<'_> {
    fn write(self, path: Path, to: &mut [f32]) {
        let width = to.len() / self.rows;
        for row in (0..self.rows).step_by(SIDE) {
            let down = SIDE.min(self.rows - row);
            let from = &self.from[row * self.columns + self.first..];
            let to = &mut to[row..];
            let done = if down == SIDE { width - width % GROUP } else { 0 };
            groups(path, (from, self.columns), (to, self.rows), done);
            for column in done..width {
                for r in 0..down {
                    to[column * self.rows + r] = from[r * self.columns + column];
                }
            }
        }
    }
}

/// The first `columns` columns, in groups of [`GROUP`], of [`SIDE`] rows, both matrices given with the distance of their
/// rows.
fn groups(path: Path, (from, from_row): (&[f32], usize), (to, to_row): (&mut [f32], usize), columns: usize) {
    if columns == 0 {
        return;
    }
    let (last_from, last_to) = ((SIDE - 1) * from_row + columns, (columns - 1) * to_row + SIDE);
    assert!(columns.is_multiple_of(GROUP) && last_from <= from.len() && last_to <= to.len(), "whole groups");
    let part = Groups { from: from.as_ptr(), from_row, to: to.as_mut_ptr(), to_row, columns };
    // SAFETY: `Path` only gives out what the processor has, and the groups lie within their slices.
    unsafe { run_on(path, part) }
}

/// Some columns of [`SIDE`] rows, and where they go as rows. The vectors take a group's values of every fourth row each, then
/// a group of four by four is turned in each quarter, here of vectors of 16 lanes:
///
/// ```text
///   a0 a1 a2 a3 │ e0 e1 e2 e3 │ …        a0 b0 c0 d0 │ e0 f0 g0 h0 │ …
///   b0 b1 b2 b3 │ f0 f1 f2 f3 │ …   ─►   a1 b1 c1 d1 │ e1 f1 g1 h1 │ …
///   c0 …        │ g0 …        │ …        …
///   d0 …        │ h0 …        │ …        …
/// ```
///
/// # Safety
/// The pointers must be good for [`SIDE`] rows of that many columns, and the other way round.
struct Groups {
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
    columns: usize,
}

impl Part for Groups {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        const { assert!(SIDE.is_multiple_of(S::LANES)) }
        let Self { from, from_row, to, to_row, columns } = self;
        for column in (0..columns).step_by(GROUP) {
            for row in (0..SIDE).step_by(S::LANES) {
                // SAFETY: as the caller vouches: a vector's rows of the group, which become parts of `GROUP` rows.
                unsafe {
                    let rows = S::every_fourth(from.add(row * from_row + column), from_row, S::LANES, GROUP);
                    for (i, &turned) in S::turn(rows).iter().enumerate() {
                        S::store(to.add((column + i) * to_row + row), turned);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_ndarray(rows in 1usize..70, columns in 1usize..70) {
            let from = Array2::from_shape_fn((rows, columns), |(r, c)| (r * columns + c) as f32);
            let mut to = vec![0.0; rows * columns];
            for path in Path::available() {
                to.fill(0.0);
                transpose_on(path, from.as_slice().expect("standard layout"), columns, &mut to);
                prop_assert!(to.iter().eq(from.t().iter()), "{path:?}");
            }
        }
    }

    #[test]
    fn large_ones_are_cut_well() {
        for (rows, columns) in [(1, 40_000), (40_000, 1), (300, 500), (4320, 100)] {
            let from = Array2::from_shape_fn((rows, columns), |(r, c)| (r * columns + c) as f32);
            let mut to = vec![0.0; rows * columns];
            transpose(from.as_slice().expect("standard layout"), columns, &mut to);
            assert!(to.iter().eq(from.t().iter()));
        }
    }
}
