//! The transpose of a matrix that lies row by row, block by block so that both sides stay in the cache.

use rayon::prelude::*;

use crate::engine::processor::Path;

/// Rows and columns of a block.
const SIDE: usize = 16;
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
        to.par_chunks_mut(width * rows).enumerate().for_each(|(i, to)| strip(i * width, to));
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
        for column in (0..width).step_by(SIDE) {
            let across = SIDE.min(width - column);
            for row in (0..self.rows).step_by(SIDE) {
                let down = SIDE.min(self.rows - row);
                let from = &self.from[row * self.columns + self.first + column..];
                let to = &mut to[column * self.rows + row..];
                if [across, down] == [SIDE; 2] {
                    whole(path, (from, self.columns), (to, self.rows));
                } else {
                    for c in 0..across {
                        for r in 0..down {
                            to[c * self.rows + r] = from[r * self.columns + c];
                        }
                    }
                }
            }
        }
    }
}

/// A block of [`SIDE`] rows and columns, both matrices given with the distance of their rows.
#[inline(always)]
fn whole(path: Path, (from, from_row): (&[f32], usize), (to, to_row): (&mut [f32], usize)) {
    assert!(from.len() >= (SIDE - 1) * from_row + SIDE && to.len() >= (SIDE - 1) * to_row + SIDE, "a whole block");
    match path {
        // SAFETY: the path is given out only where the processor has AVX-512F, and both blocks lie within their slices.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => unsafe { avx512(from.as_ptr(), from_row, to.as_mut_ptr(), to_row) },
        _ => {
            for c in 0..SIDE {
                for r in 0..SIDE {
                    to[c * to_row + r] = from[r * from_row + c];
                }
            }
        }
    }
}

/// Pairs of values, then pairs of pairs, are brought together within quarters of a register; then the quarters.
///
/// # Safety
/// The processor must have AVX-512F, and the pointers must be good for [`SIDE`] rows of [`SIDE`] values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller vouches.
    let mut rows: [__m512d; SIDE] = std::array::from_fn(|_| _mm512_setzero_pd());
    for (r, row) in rows.iter_mut().enumerate() {
        // SAFETY: row `r` of the block.
        *row = unsafe { _mm512_castps_pd(_mm512_loadu_ps(from.add(r * from_row))) };
    }
    let mut quads = rows;
    for i in (0..SIDE).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|r| _mm512_castpd_ps(rows[i + r]));
        let [ab, cd] = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|v| _mm512_castps_pd(v));
        let [ef, gh] = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|v| _mm512_castps_pd(v));
        // Quarter q of quads[i + j] has column 4q + j of rows i to i + 3.
        quads[i] = _mm512_unpacklo_pd(ab, cd);
        quads[i + 1] = _mm512_unpackhi_pd(ab, cd);
        quads[i + 2] = _mm512_unpacklo_pd(ef, gh);
        quads[i + 3] = _mm512_unpackhi_pd(ef, gh);
    }
    for j in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|i| _mm512_castpd_ps(quads[i + j]));
        // Quarters 0 and 1, then 2 and 3, of a and b, of c and d.
        let (ab, cd) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
        let (ef, gh) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
        let columns = [
            _mm512_shuffle_f32x4::<0x88>(ab, cd),
            _mm512_shuffle_f32x4::<0xdd>(ab, cd),
            _mm512_shuffle_f32x4::<0x88>(ef, gh),
            _mm512_shuffle_f32x4::<0xdd>(ef, gh),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: row `4q + j` of the transposed block.
            unsafe { _mm512_storeu_ps(to.add((4 * q + j) * to_row), column) };
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
