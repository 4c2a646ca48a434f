//! The way forward: what the convolution gives stays in registers until the largest is known.

use std::arch::x86_64::*;

use super::{LANES, Pooled};

/// Most windows of the pool at a time: with two vectors each, their sums fill 24 of 32 registers.
const ABREAST: usize = 3;

/// # Safety
/// The sizes must be right.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
pub(super) unsafe fn forward<const K: usize>(
    pooled: &Pooled,
    x: &[f32],
    (w, bias): (&[f32], &[f32]),
    y: &mut [f32],
    bits: Option<&mut [u16]>,
) {
    let (width, groups) = (pooled.output[1], pooled.groups());
    let bits = bits.map(<[u16]>::as_mut_ptr);
    for i in 0..pooled.output[0] {
        for group in (0..groups).step_by(2) {
            let mut j = 0;
            while j < width {
                let windows = (width - j).min(ABREAST);
                let tile = Tile {
                    pooled,
                    x: x[2 * i * pooled.pitch + 2 * j..].as_ptr(),
                    w: w[group * LANES..].as_ptr(),
                    bias: bias[group * LANES..].as_ptr(),
                    y: y[(i * width + j) * pooled.filters + group * LANES..].as_mut_ptr(),
                    bits: bits.map(|bits| bits.wrapping_add((i * width + j) * 3 * groups + group)),
                    group,
                };
                // SAFETY: the windows lie within the image, their places within the result and the bits; there is a
                // second group where one is taken.
                unsafe {
                    match (windows, groups - group) {
                        (3, 1) => tile.run::<K, 3, 1>(),
                        (3, _) => tile.run::<K, 3, 2>(),
                        (2, 1) => tile.run::<K, 2, 1>(),
                        (2, _) => tile.run::<K, 2, 2>(),
                        (_, 1) => tile.run::<K, 1, 1>(),
                        _ => tile.run::<K, 1, 2>(),
                    }
                }
                j += windows;
            }
        }
    }
}

/// Where some windows of the pool lie, for some groups of filters.
struct Tile<'a> {
    pooled: &'a Pooled,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// If they are wanted.
    bits: Option<*mut u16>,
    group: usize,
}

impl Tile<'_> {
    /// # Safety
    /// `P` windows and `V` groups must be there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn run<const K: usize, const P: usize, const V: usize>(&self) {
        // SAFETY: as the caller vouches.
        let sums = unsafe { self.sums::<K, P, V>() };
        match self.bits {
            // SAFETY: as the caller vouches.
            None => unsafe { self.write::<P, V>(&sums) },
            Some(bits) => {
                // SAFETY: as the caller vouches.
                unsafe { self.write::<P, V>(&sums) };
                let groups = self.pooled.groups();
                for (window, sums) in sums.iter().enumerate() {
                    for v in 0..V {
                        let words = which(self.floor(), sums.map(|sums| sums[v]));
                        for (row, word) in words.into_iter().enumerate() {
                            // SAFETY: as the caller vouches.
                            unsafe { bits.add((window * 3 + row) * groups + v).write(word) };
                        }
                    }
                }
            }
        }
    }

    /// What no result is below.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn floor(&self) -> __m512 {
        _mm512_set1_ps(if self.pooled.rectified { 0.0 } else { f32::NEG_INFINITY })
    }

    /// Writes the largest of the four places of each window.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn write<const P: usize, const V: usize>(&self, sums: &[[[__m512; V]; 4]; P]) {
        for v in 0..V {
            let lanes = self.pooled.lanes_of(self.group + v);
            for (window, sums) in sums.iter().enumerate() {
                let y = self.y.wrapping_add(window * self.pooled.filters + v * LANES);
                // SAFETY: as the caller vouches; only the lanes that are filters are written.
                unsafe { _mm512_mask_storeu_ps(y, lanes, largest(self.floor(), sums.map(|sums| sums[v]))) };
            }
        }
    }

    /// What the convolution gives at the four places of each window.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "the block is empty: it reads and writes nothing")]
    unsafe fn sums<const K: usize, const P: usize, const V: usize>(&self) -> [[[__m512; V]; 4]; P] {
        let (pitch, lanes) = (self.pooled.pitch, self.pooled.lanes());
        let mut weights = [_mm512_setzero_ps(); V];
        // SAFETY: the windows' rows and the vectors of the filters are there, as the caller vouches.
        unsafe {
            for (v, bias) in weights.iter_mut().enumerate() {
                *bias = _mm512_loadu_ps(self.bias.add(v * LANES));
            }
            let mut sums = [[weights; 4]; P];
            for u in 0..K {
                let mut rows = [self.x.add(u * pitch), self.x.add((u + 1) * pitch)];
                for column in 0..K {
                    for row in &mut rows {
                        // Hidden, or the compiler keeps each value of the image for its next place, for which the
                        // registers do not suffice.
                        std::arch::asm!("/* {} */", inout(reg) * row, options(nomem, nostack, preserves_flags));
                    }
                    let w = self.w.add((u * K + column) * lanes);
                    for (v, weights) in weights.iter_mut().enumerate() {
                        *weights = _mm512_loadu_ps(w.add(v * LANES));
                    }
                    for (window, sums) in sums.iter_mut().enumerate() {
                        for (place, sums) in sums.iter_mut().enumerate() {
                            let x = _mm512_set1_ps(*rows[place / 2].add(2 * window + place % 2 + column));
                            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                                *sum = _mm512_fmadd_ps(x, weights, *sum);
                            }
                        }
                    }
                }
            }
            sums
        }
    }
}

/// The largest of four values in each lane, or the floor; what is not a number is passed on.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn largest(floor: __m512, [p, q, r, s]: [__m512; 4]) -> __m512 {
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(p, q) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(r, s);
    let largest = _mm512_max_ps(_mm512_max_ps(_mm512_max_ps(p, q), _mm512_max_ps(r, s)), floor);
    _mm512_mask_mov_ps(largest, nan, _mm512_set1_ps(f32::NAN))
}

/// Which of four values is the largest one in each lane, the first if several are: whether it is on the right, whether
/// it is below, and whether it is above the floor.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn which(floor: __m512, [p, q, r, s]: [__m512; 4]) -> [__mmask16; 3] {
    let greater = |a, b| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
    let (upper, lower) = (_mm512_max_ps(p, q), _mm512_max_ps(r, s));
    let below = greater(lower, upper);
    [greater(q, p) & !below | greater(s, r) & below, below, greater(_mm512_max_ps(upper, lower), floor)]
}
