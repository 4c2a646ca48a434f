//! The way back: every lane looks the value up that its largest result came from.

use std::arch::x86_64::*;

use super::{HALF, LANES, Pooled};

/// # Safety
/// The sizes must be right.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) unsafe fn gradient<const K: usize>(
    pooled: &Pooled,
    x: &[f32],
    (dy, bits): (&[f32], &[u16]),
    tables: &mut [f32],
    (dw, db): (&mut [f32], &mut [f32]),
) {
    // SAFETY: as the caller vouches.
    unsafe { fill::<K>(pooled, x, tables) };
    for group in 0..pooled.groups() {
        // SAFETY: as the caller vouches: of each row, only the lanes that are filters are touched.
        unsafe { gradient_of::<K>(pooled, group, (dy, bits), tables, (dw, db)) };
    }
}

/// Fills the tables: of each row with the next one, for each column of the result.
///
/// # Safety
/// As [`gradient`].
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn fill<const K: usize>(pooled: &Pooled, x: &[f32], tables: &mut [f32]) {
    let columns: __mmask8 = (1 << (K + 1)) - 1;
    let width = pooled.output[1];
    for (row, tables) in tables.chunks_exact_mut(width * 2 * HALF).enumerate() {
        let upper = x[row * pooled.pitch..].as_ptr();
        for (j, table) in tables.chunks_exact_mut(2 * HALF).enumerate() {
            // SAFETY: the rows and these columns lie within the image; a masked load touches no others.
            unsafe {
                let [upper, lower] = [0, pooled.pitch].map(|row| upper.add(row + 2 * j));
                _mm256_storeu_ps(table.as_mut_ptr(), _mm256_maskz_loadu_ps(columns, upper));
                _mm256_storeu_ps(table.as_mut_ptr().add(HALF), _mm256_maskz_loadu_ps(columns, lower));
            }
        }
    }
}

/// Adds the gradients of a group of filters.
///
/// # Safety
/// As [`gradient`].
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn gradient_of<const K: usize>(
    pooled: &Pooled,
    group: usize,
    (dy, bits): (&[f32], &[u16]),
    tables: &[f32],
    (dw, db): (&mut [f32], &mut [f32]),
) {
    let (lanes, filters, groups) = (pooled.lanes_of(group), pooled.filters, pooled.groups());
    let (height, width) = (pooled.output[0], pooled.output[1]);
    let dw = dw[group * LANES..].as_mut_ptr();
    let mut sums = [[_mm512_setzero_ps(); K]; K];
    // SAFETY: the rows of `dw`, `dy`, the bits and the tables are there, as the caller vouches; masked loads and stores
    // touch the lanes alone that are filters.
    unsafe {
        for (u, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_maskz_loadu_ps(lanes, dw.add((u * K + v) * filters));
            }
        }
        let mut bias = _mm512_maskz_loadu_ps(lanes, db[group * LANES..].as_ptr());
        for i in 0..height {
            for j in 0..width {
                let pixel = i * width + j;
                let bits = bits.as_ptr().add(pixel * 3 * groups + group);
                let [right, below, lives] = [0, 1, 2].map(|which| *bits.add(which * groups));
                let dy = _mm512_maskz_loadu_ps(lives & lanes, dy.as_ptr().add(pixel * filters + group * LANES));
                bias = _mm512_add_ps(bias, dy);
                let place = _mm512_maskz_set1_epi32(right, 1);
                let place = _mm512_mask_or_epi32(place, below, place, _mm512_set1_epi32(HALF as i32));
                let mut places = [place; K];
                for (v, place) in places.iter_mut().enumerate() {
                    *place = _mm512_add_epi32(*place, _mm512_set1_epi32(v as i32));
                }
                let table = tables.as_ptr().add((2 * i * width + j) * 2 * HALF);
                for (u, sums) in sums.iter_mut().enumerate() {
                    let table = _mm512_loadu_ps(table.add(u * width * 2 * HALF));
                    for (sum, &place) in sums.iter_mut().zip(&places) {
                        *sum = _mm512_fmadd_ps(_mm512_permutexvar_ps(place, table), dy, *sum);
                    }
                }
            }
        }
        _mm512_mask_storeu_ps(db[group * LANES..].as_mut_ptr(), lanes, bias);
        for (u, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                _mm512_mask_storeu_ps(dw.add((u * K + v) * filters), lanes, sum);
            }
        }
    }
}
