//! The way forward: what the convolution gives stays in registers until the largest is known.

use std::arch::x86_64::*;

use super::taps::Filled;
use super::{LANES, Pooled};

/// Most windows of the pool at a time. Three would need fewer loads, but fewer steps could be left out: see `taps`.
const ABREAST: usize = 2;

/// # Safety
/// The sizes must be right.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
pub(super) unsafe fn forward<const K: usize>(
    pooled: &Pooled,
    x: &[f32],
    (w, bias): (&[f32], &[f32]),
    y: &mut [f32],
    bits: Option<&mut [u16]>,
) {
    let (width, groups) = (pooled.output[1], pooled.groups());
    let bits = bits.map(<[u16]>::as_mut_ptr);
    let offsets = Offsets::<K>::new(pooled);
    // SAFETY: as the caller vouches.
    let filled = unsafe { Filled::of(pooled, x.as_ptr()) };
    for i in 0..pooled.output[0] {
        let taps = filled.taps::<K, ABREAST>(i);
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
                    taps: taps.at(j),
                    offsets: &offsets,
                };
                // SAFETY: the windows lie within the image, their places within the result and the bits; there is a
                // second group where one is taken.
                unsafe {
                    match (windows, groups - group) {
                        (2, 1) => tile.run::<2, 1>(),
                        (2, _) => tile.run::<2, 2>(),
                        (_, 1) => tile.run::<1, 1>(),
                        _ => tile.run::<1, 2>(),
                    }
                }
                j += windows;
            }
        }
    }
}

/// Where the values of a tap begin, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct OfTap {
    x: usize,
    w: usize,
}

/// That of each tap, by its bit: to look it up costs less than to work it out.
struct Offsets<const K: usize>([OfTap; u64::BITS as usize]);

impl<const K: usize> Offsets<K> {
    #[inline]
    fn new(pooled: &Pooled) -> Self {
        let mut offsets = [OfTap::default(); u64::BITS as usize];
        for (u, offsets) in offsets.chunks_exact_mut(u8::BITS as usize).take(K).enumerate() {
            for (column, of_tap) in offsets.iter_mut().take(K).enumerate() {
                let [x, w] = [u * pooled.pitch + column, (u * K + column) * pooled.lanes()];
                *of_tap = OfTap { x: x * size_of::<f32>(), w: w * size_of::<f32>() };
            }
        }
        Self(offsets)
    }
}

/// Where some windows of the pool lie, for some groups of filters.
struct Tile<'a, const K: usize> {
    pooled: &'a Pooled,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// If they are wanted.
    bits: Option<*mut u16>,
    group: usize,
    /// The steps that add anything.
    taps: u64,
    offsets: &'a Offsets<K>,
}

impl<const K: usize> Tile<'_, K> {
    /// # Safety
    /// `P` windows and `V` groups must be there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn run<const P: usize, const V: usize>(&self) {
        // SAFETY: as the caller vouches.
        unsafe {
            let biases: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(self.bias.add(v * LANES)));
            if self.taps == 0 {
                // All places are the same, and so are the windows.
                for (v, &bias) in biases.iter().enumerate() {
                    let outcome = self.outcome([bias; 4]);
                    (0..P).for_each(|window| self.write((window, v), outcome));
                }
                return;
            }
            for (window, sums) in self.sums::<P, V>(biases).iter().enumerate() {
                (0..V).for_each(|v| self.write((window, v), self.outcome(sums.map(|sums| sums[v]))));
            }
        }
    }

    /// The largest of the four places of a window, and which one it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    fn outcome(&self, places: [__m512; 4]) -> (__m512, [__mmask16; 3]) {
        let floor = _mm512_set1_ps(if self.pooled.rectified { 0.0 } else { f32::NEG_INFINITY });
        (largest(floor, places), which(floor, places))
    }

    /// Writes what came of a window and a group of filters.
    ///
    /// # Safety
    /// They must be there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn write(&self, (window, v): (usize, usize), (largest, words): (__m512, [__mmask16; 3])) {
        let (filters, groups) = (self.pooled.filters, self.pooled.groups());
        // SAFETY: as the caller vouches; only the lanes are written that are filters.
        unsafe {
            let y = self.y.add(window * filters + v * LANES);
            _mm512_mask_storeu_ps(y, self.pooled.lanes_of(self.group + v), largest);
            if let Some(bits) = self.bits {
                for (row, word) in words.into_iter().enumerate() {
                    bits.add((window * 3 + row) * groups + v).write(word);
                }
            }
        }
    }

    /// What the convolution gives at the four places of each window.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn sums<const P: usize, const V: usize>(&self, biases: [__m512; V]) -> [[[__m512; V]; 4]; P] {
        let mut sums = [[biases; 4]; P];
        let mut taps = self.taps;
        while taps != 0 {
            let of_tap = self.offsets.0[taps.trailing_zeros() as usize];
            taps &= taps - 1;
            // SAFETY: the windows' rows and the vectors of the filters are there, as the caller vouches.
            unsafe {
                let (row, w) = (self.x.byte_add(of_tap.x), self.w.byte_add(of_tap.w));
                let rows = [row, row.add(self.pooled.pitch)];
                let weights: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(w.add(v * LANES)));
                for (window, sums) in sums.iter_mut().enumerate() {
                    for (place, sums) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*rows[place / 2].add(2 * window + place % 2));
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

/// The largest of four values in each lane, or the floor; what is not a number is passed on.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
fn largest(floor: __m512, [p, q, r, s]: [__m512; 4]) -> __m512 {
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(p, q) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(r, s);
    let largest = _mm512_max_ps(_mm512_max_ps(_mm512_max_ps(p, q), _mm512_max_ps(r, s)), floor);
    _mm512_mask_mov_ps(largest, nan, _mm512_set1_ps(f32::NAN))
}

/// Which of four values is the largest one in each lane, the first if several are: whether it is on the right, whether
/// it is below, and whether it is above the floor.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
fn which(floor: __m512, [p, q, r, s]: [__m512; 4]) -> [__mmask16; 3] {
    let greater = |a, b| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
    let (upper, lower) = (_mm512_max_ps(p, q), _mm512_max_ps(r, s));
    let below = greater(lower, upper);
    [greater(q, p) & !below | greater(s, r) & below, below, greater(_mm512_max_ps(upper, lower), floor)]
}
