//! The sixteen filters of a group, as the vectors that a processor has: one of AVX-512, or two of AVX2.

use std::arch::x86_64::*;

use super::super::avx2::Avx2;
use super::super::simd::Simd;
use super::PLACES;
use crate::processor::Path;

/// Values of sixteen filters, and what can be done with them.
///
/// # Safety
/// Whoever calls a method must have made sure that the processor has the implementation's instructions. Pointers must be
/// valid for sixteen values, or for those whose bits in `lanes` are set.
pub(super) trait Group: Copy {
    /// Windows of the pool that are worked on at a time, of one or two: with more, fewer steps can be left out.
    const ABREAST: usize;
    /// Groups that are worked on at a time, one or two: as many as fit the registers.
    const GROUPS: usize;
    /// For each filter, a place in a square.
    type Places: Copy;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Those whose bits are set, zeros elsewhere.
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self;
    /// Of the first filters, whose bits are set.
    unsafe fn store_first(self, to: *mut f32, lanes: u16);
    unsafe fn add(self, other: Self) -> Self;
    /// `self · factor + sum`.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// The largest of four values for each filter, or the floor; what is not a number is passed on.
    unsafe fn largest(floor: Self, places: [Self; PLACES]) -> Self;
    /// Which of four values is the largest one for each filter, the first if several are: whether it is on the right,
    /// whether it is below, and whether it is above the floor.
    unsafe fn which(floor: Self, places: [Self; PLACES]) -> [u16; 3];
    /// The places of the values that were the largest ones.
    unsafe fn places(right: u16, below: u16) -> Self::Places;
    /// The four values of a square, again and again.
    unsafe fn square(from: *const f32) -> Self;
    /// For each filter, the value at its place.
    unsafe fn look_up(self, places: Self::Places) -> Self;
    /// A bit for each value: whether it is not zero.
    unsafe fn nonzero(from: *const f32, lanes: u16) -> u16;
    /// The squares of four columns of two rows: of each column, its two values and those on its right. Of the rows, there
    /// are `n` values; what would come after them is 0.
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize) -> Self;
}

/// A vector of AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Whole(__m512);

impl Group for Whole {
    const ABREAST: usize = 2;
    const GROUPS: usize = 2;
    type Places = __m512i;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked load touches no other values.
        Self(unsafe { _mm512_maskz_loadu_ps(lanes, from) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, lanes: u16) {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked store touches no other values.
        unsafe { _mm512_mask_storeu_ps(to, lanes, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn largest(floor: Self, [p, q, r, s]: [Self; PLACES]) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(p.0, q.0) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(r.0, s.0);
            let largest = _mm512_max_ps(_mm512_max_ps(_mm512_max_ps(p.0, q.0), _mm512_max_ps(r.0, s.0)), floor.0);
            _mm512_mask_mov_ps(largest, nan, _mm512_set1_ps(f32::NAN))
        })
    }

    #[inline(always)]
    unsafe fn which(floor: Self, [p, q, r, s]: [Self; PLACES]) -> [u16; 3] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (upper, lower) = (_mm512_max_ps(p.0, q.0), _mm512_max_ps(r.0, s.0));
            let below = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(lower, upper);
            let (above_right, below_right) =
                (_mm512_cmp_ps_mask::<_CMP_GT_OQ>(q.0, p.0), _mm512_cmp_ps_mask::<_CMP_GT_OQ>(s.0, r.0));
            let lives = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_max_ps(upper, lower), floor.0);
            [above_right & !below | below_right & below, below, lives]
        }
    }

    #[inline(always)]
    unsafe fn places(right: u16, below: u16) -> __m512i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let place = _mm512_maskz_set1_epi32(right, 1);
            _mm512_mask_or_epi32(place, below, place, _mm512_set1_epi32(2))
        }
    }

    #[inline(always)]
    unsafe fn square(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and four values.
        Self(unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(from)) })
    }

    #[inline(always)]
    unsafe fn look_up(self, places: __m512i) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { _mm512_permutevar_ps(self.0, places) })
    }

    #[inline(always)]
    unsafe fn nonzero(from: *const f32, lanes: u16) -> u16 {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked load touches no other values.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(_mm512_maskz_loadu_ps(lanes, from), _mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for the instructions and `n` values; a masked load touches no others.
        Self(unsafe {
            let places = _mm512_setr_epi32(0, 1, 16, 17, 1, 2, 17, 18, 2, 3, 18, 19, 3, 4, 19, 20);
            let lanes = u8::MAX >> (8 - n.min(8));
            let upper = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(lanes, upper));
            let lower = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(lanes, lower));
            _mm512_permutex2var_ps(upper, places, lower)
        })
    }
}

/// Two vectors of AVX2.
#[derive(Clone, Copy)]
pub(super) struct Halves([__m256; 2]);

impl Halves {
    /// Where bits are set, lanes whose bits are all set.
    #[inline(always)]
    unsafe fn mask(bits: u16) -> [__m256i; 2] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let of_lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let (low, high) = (_mm256_set1_epi32(i32::from(bits & 0xff)), _mm256_set1_epi32(i32::from(bits >> 8)));
            [
                _mm256_cmpeq_epi32(_mm256_and_si256(low, of_lane), of_lane),
                _mm256_cmpeq_epi32(_mm256_and_si256(high, of_lane), of_lane),
            ]
        }
    }

    /// A bit for each lane where a value is greater than the other one.
    #[inline(always)]
    unsafe fn greater(self, Self([c, d]): Self) -> u16 {
        let Self([a, b]) = self;
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (low, high) = (_mm256_cmp_ps::<_CMP_GT_OQ>(a, c), _mm256_cmp_ps::<_CMP_GT_OQ>(b, d));
            (_mm256_movemask_ps(low) | _mm256_movemask_ps(high) << 8) as u16
        }
    }

    /// The greater ones; the others' where one is not a number.
    #[inline(always)]
    unsafe fn max(self, Self([c, d]): Self) -> Self {
        let Self([a, b]) = self;
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { [_mm256_max_ps(a, c), _mm256_max_ps(b, d)] })
    }
}

impl Group for Halves {
    // One window of one group takes eight registers of sixteen, and the filters two.
    const ABREAST: usize = 1;
    const GROUPS: usize = 1;
    type Places = [__m256i; 2];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self([unsafe { _mm256_set1_ps(value) }; 2])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer.
        Self(unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] })
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked load touches no other values.
        Self(unsafe {
            let [low, high] = Self::mask(lanes);
            [_mm256_maskload_ps(from, low), _mm256_maskload_ps(from.wrapping_add(8), high)]
        })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, lanes: u16) {
        let (n, Self([low, high])) = (lanes.count_ones() as usize, self);
        // SAFETY: the caller vouches for the instructions and `n` values.
        unsafe {
            if n < 8 {
                Avx2::store_part(to, low, n);
            } else {
                Avx2::store(to, low);
                if n == 16 { Avx2::store(to.add(8), high) } else { Avx2::store_part(to.add(8), high, n - 8) }
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, Self([c, d]): Self) -> Self {
        let Self([a, b]) = self;
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { [_mm256_add_ps(a, c), _mm256_add_ps(b, d)] })
    }

    #[inline(always)]
    unsafe fn multiply_add(self, Self([c, d]): Self, Self([e, f]): Self) -> Self {
        let Self([a, b]) = self;
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { [_mm256_fmadd_ps(a, c, e), _mm256_fmadd_ps(b, d, f)] })
    }

    #[inline(always)]
    unsafe fn largest(floor: Self, [p, q, r, s]: [Self; PLACES]) -> Self {
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe {
            let Self(mut largest) = p.max(q).max(r.max(s)).max(floor);
            for (half, largest) in largest.iter_mut().enumerate() {
                let above = _mm256_cmp_ps::<_CMP_UNORD_Q>(p.0[half], q.0[half]);
                let nan = _mm256_or_ps(above, _mm256_cmp_ps::<_CMP_UNORD_Q>(r.0[half], s.0[half]));
                *largest = _mm256_blendv_ps(*largest, _mm256_set1_ps(f32::NAN), nan);
            }
            largest
        })
    }

    #[inline(always)]
    unsafe fn which(floor: Self, [p, q, r, s]: [Self; PLACES]) -> [u16; 3] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (upper, lower) = (p.max(q), r.max(s));
            let below = lower.greater(upper);
            [q.greater(p) & !below | s.greater(r) & below, below, upper.max(lower).greater(floor)]
        }
    }

    #[inline(always)]
    unsafe fn places(right: u16, below: u16) -> [__m256i; 2] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let ([a, b], [c, d]) = (Self::mask(right), Self::mask(below));
            let (one, two) = (_mm256_set1_epi32(1), _mm256_set1_epi32(2));
            [
                _mm256_or_si256(_mm256_and_si256(a, one), _mm256_and_si256(c, two)),
                _mm256_or_si256(_mm256_and_si256(b, one), _mm256_and_si256(d, two)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn square(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and four values.
        unsafe {
            let values = _mm_loadu_ps(from);
            Self([_mm256_set_m128(values, values); 2])
        }
    }

    #[inline(always)]
    unsafe fn look_up(self, [c, d]: [__m256i; 2]) -> Self {
        let Self([a, b]) = self;
        // SAFETY: the caller vouches for the instructions.
        Self(unsafe { [_mm256_permutevar_ps(a, c), _mm256_permutevar_ps(b, d)] })
    }

    #[inline(always)]
    unsafe fn nonzero(from: *const f32, lanes: u16) -> u16 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe {
            let (Self([low, high]), zero) = (Self::load_some(from, lanes), _mm256_setzero_ps());
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(low, zero));
            (low | _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(high, zero)) << 8) as u16
        }
    }

    #[inline(always)]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for the instructions and `n` values.
        Self(unsafe {
            let (u, v) = (Avx2::quarter(upper, n), Avx2::quarter(upper.wrapping_add(1), n.saturating_sub(1)));
            let (l, m) = (Avx2::quarter(lower, n), Avx2::quarter(lower.wrapping_add(1), n.saturating_sub(1)));
            let (above, below) = (_mm_unpacklo_ps(u, v), _mm_unpacklo_ps(l, m));
            let low = _mm256_set_m128(_mm_movehl_ps(below, above), _mm_movelh_ps(above, below));
            let (above, below) = (_mm_unpackhi_ps(u, v), _mm_unpackhi_ps(l, m));
            [low, _mm256_set_m128(_mm_movehl_ps(below, above), _mm_movelh_ps(above, below))]
        })
    }
}

/// Work on an image.
pub(super) trait Work {
    /// Does it with such groups, for filters of `K·K` taps.
    ///
    /// # Safety
    /// The processor must have the instructions of `G`, and the sizes be right.
    unsafe fn run<G: Group, const K: usize>(self);
}

/// Does some work with the vectors of a path, for filters of 3·3 or 5·5 taps.
///
/// # Safety
/// The processor must have the path's instructions, and the sizes be right.
///
/// # Panics
/// If the path has no such vectors.
pub(super) unsafe fn run_on(path: Path, kernel: usize, work: impl Work) {
    // SAFETY: as the caller vouches.
    unsafe {
        match path {
            Path::Avx512 => avx512(kernel, work),
            Path::Avx2 => avx2(kernel, work),
            _ => unreachable!("there is no kernel for it"),
        }
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq,popcnt,bmi1,bmi2")]
unsafe fn avx512(kernel: usize, work: impl Work) {
    // SAFETY: as the caller vouches.
    unsafe { if kernel == 3 { work.run::<Whole, 3>() } else { work.run::<Whole, 5>() } }
}

#[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
unsafe fn avx2(kernel: usize, work: impl Work) {
    // SAFETY: as the caller vouches.
    unsafe { if kernel == 3 { work.run::<Halves, 3>() } else { work.run::<Halves, 5>() } }
}
