//! The vectors of AVX2 with FMA.

use std::arch::x86_64::*;

use super::simd::{Offsets, Part, QUAD, Simd, Tiles};

/// 16 registers of 8 values.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// The first `8 − n` entries of a window at `n` are all ones.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Which bits of a number are set, one after the other, and zeros beyond: for lanes, and for places of half as many.
static LANES_OF: [[u8; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let (mut bits, mut count, mut lane) = (0, 0, 0);
    while bits < 256 {
        if lane == 8 {
            (bits, count, lane) = (bits + 1, 0, 0);
            continue;
        }
        if bits >> lane & 1 == 1 {
            all[bits][count] = lane as u8;
            count += 1;
        }
        lane += 1;
    }
    all
};
static HALVES_OF: [[u8; 8]; 16] = {
    let mut all = [[0; 8]; 16];
    let mut bits = 0;
    while bits < 16 {
        let mut i = 0;
        while i < 8 {
            all[bits][i] = 2 * LANES_OF[bits][i / 2] + i as u8 % 2;
            i += 1;
        }
        bits += 1;
    }
    all
};

impl Avx2 {
    /// Eight bytes, each to a lane.
    #[inline(always)]
    unsafe fn lanes(bytes: &[u8; 8]) -> __m256i {
        // SAFETY: the caller vouches for the instructions; the bytes are eight.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast())) }
    }

    /// The first `n` values, four at most.
    #[inline(always)]
    unsafe fn quarter(from: *const f32, n: usize) -> __m128 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm_maskload_ps(from, _mm256_castsi256_si128(Self::mask(n))) }
    }

    #[inline(always)]
    unsafe fn mask(n: usize) -> __m256i {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n.min(8)).cast()) }
    }

    /// Where bits are set, lanes whose bits are all set.
    #[inline(always)]
    unsafe fn mask_of(bits: u16) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let of_lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), of_lane), of_lane)
        }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const VECTORS: usize = Tiles::AVX2.vectors;
    const ROWS: [usize; 4] = Tiles::AVX2.rows;
    const CAREFUL: usize = Tiles::AVX2.careful;
    type Vector = __m256;
    type Places = __m256i;
    type Narrow = Self;

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,popcnt,bmi1,bmi2")]
    unsafe fn apart(part: impl Part) {
        // SAFETY: as the caller vouches.
        unsafe { part.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm256_maskload_ps(from, Self::mask(n)) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m256, n: usize) {
        // Bit by bit of `n`: some processors take some dozen cycles for a store with a mask.
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe {
            let (mut to, mut quarter) = (to, _mm256_castps256_ps128(v));
            if n & 4 != 0 {
                _mm_storeu_ps(to, quarter);
                (to, quarter) = (to.add(4), _mm256_extractf128_ps::<1>(v));
            }
            if n & 2 != 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(quarter));
                (to, quarter) = (to.add(2), _mm_movehl_ps(quarter, quarter));
            }
            if n & 1 != 0 {
                _mm_store_ss(to, quarter);
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn where_positive(v: __m256, gate: __m256, or_nan: bool) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let zero = _mm256_setzero_ps();
            let these = match or_nan {
                true => _mm256_cmp_ps::<_CMP_NLE_UQ>(gate, zero),
                false => _mm256_cmp_ps::<_CMP_GT_OQ>(gate, zero),
            };
            _mm256_and_ps(these, v)
        }
    }

    #[inline(always)]
    unsafe fn splat_quads(from: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller vouches for the instructions and `n` values.
        unsafe {
            let second = if n == 2 { _mm_set1_ps(*from.add(1)) } else { _mm_setzero_ps() };
            _mm256_set_m128(second, _mm_set1_ps(*from))
        }
    }

    #[inline(always)]
    unsafe fn quads(from: *const f32, row: usize, n: usize, columns: usize) -> __m256 {
        // SAFETY: the caller vouches for the instructions and these values of `n` rows.
        unsafe {
            let first = if n > 0 { Self::quarter(from, columns) } else { _mm_setzero_ps() };
            let second = if n == 2 { Self::quarter(from.add(row), columns) } else { _mm_setzero_ps() };
            _mm256_set_m128(second, first)
        }
    }

    #[inline(always)]
    unsafe fn spread(v: __m256) -> [__m256; QUAD] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (a, b) = (_mm256_permute_ps::<0x00>(v), _mm256_permute_ps::<0x55>(v));
            [a, b, _mm256_permute_ps::<0xaa>(v), _mm256_permute_ps::<0xff>(v)]
        }
    }

    #[inline(always)]
    unsafe fn turn([a, b, c, d]: [__m256; QUAD]) -> [__m256; QUAD] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (ab, of_ab) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, of_cd) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let (ab, of_ab) = (_mm256_castps_pd(ab), _mm256_castps_pd(of_ab));
            let (cd, of_cd) = (_mm256_castps_pd(cd), _mm256_castps_pd(of_cd));
            [
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpacklo_pd(of_ab, of_cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(of_ab, of_cd)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn fold(v: __m256) -> [f32; QUAD] {
        let mut sums = [0.0; QUAD];
        // SAFETY: the caller vouches for the instructions; the sums are four values.
        unsafe {
            let sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            _mm_storeu_ps(sums.as_mut_ptr(), sum);
        }
        sums
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_NTA>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn prefetch_later(from: *const f32) {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn places<const R: usize>(rows: &[*const f32; R], first: usize, n: usize, to: *mut u32) -> usize {
        // SAFETY: the caller vouches for the instructions and the pointers.
        unsafe {
            // Only zeros have no bit set, but for the sign.
            let mut values = _mm256_setzero_ps();
            for row in rows {
                let from = row.add(first);
                values = _mm256_or_ps(values, if n == 8 { _mm256_loadu_ps(from) } else { Self::load_part(from, n) });
            }
            let found = usize::from(Self::nonzero(values));
            let places = _mm256_add_epi32(Self::lanes(&LANES_OF[found]), _mm256_set1_epi32(first as i32));
            _mm256_storeu_si256(to.cast(), places);
            found.count_ones() as usize
        }
    }

    #[inline(always)]
    unsafe fn pick_nonzero(from: (*const f32, *const u32), n: usize, to: (*mut f32, *mut u32)) -> usize {
        // SAFETY: the caller vouches for the instructions and the pointers.
        unsafe {
            let (values, others) = match n {
                8 => (_mm256_loadu_ps(from.0), _mm256_loadu_si256(from.1.cast())),
                _ => (Self::load_part(from.0, n), _mm256_maskload_epi32(from.1.cast(), Self::mask(n))),
            };
            let found = usize::from(Self::nonzero(values));
            let lanes = Self::lanes(&LANES_OF[found]);
            _mm256_storeu_ps(to.0, _mm256_permutevar8x32_ps(values, lanes));
            _mm256_storeu_si256(to.1.cast(), _mm256_permutevar8x32_epi32(others, lanes));
            found.count_ones() as usize
        }
    }

    #[inline(always)]
    unsafe fn occupied(from: *const f32, n: usize, (steps, step): (usize, usize), bits: *mut u64) {
        let (eighths, rest) = (n / 8, n % 8);
        for k in 0..steps {
            // SAFETY: the caller vouches for the instructions and the pointers; none but these values are read.
            unsafe {
                let (from, to) = (from.add(k * step), bits.add(k));
                if eighths < 8 {
                    *to = 0;
                }
                let to = to.cast::<u8>();
                for eighth in 0..eighths {
                    *to.add(eighth) = Self::nonzero(_mm256_loadu_ps(from.add(8 * eighth))) as u8;
                }
                if rest > 0 {
                    *to.add(eighths) = Self::nonzero(Self::load_part(from.add(8 * eighths), rest)) as u8;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn steps(
        words: *const u64,
        n: usize,
        mask: u64,
        (first, step): (Offsets, Offsets),
        to: *mut Offsets,
    ) -> usize {
        let pair = |at: Offsets| (u64::from(at[0]) | u64::from(at[1]) << 32).cast_signed();
        let (mut count, mut k) = (0, 0);
        // SAFETY: the caller vouches for the instructions and the pointers.
        unsafe {
            // Places stay below 2³¹, so neither half of a lane runs over into the other.
            let (mut places, one) = (_mm256_set1_epi64x(pair(first)), _mm256_set1_epi64x(pair(step)));
            let lanes = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
            places = _mm256_add_epi32(places, _mm256_mullo_epi32(lanes, one));
            let (four, mask) = (_mm256_slli_epi32::<2>(one), _mm256_set1_epi64x(mask.cast_signed()));
            while k < n {
                let words = _mm256_maskload_epi64(words.add(k).cast(), Self::mask(2 * (n - k).min(4)));
                let none = _mm256_cmpeq_epi64(_mm256_and_si256(words, mask), _mm256_setzero_si256());
                let found = !_mm256_movemask_pd(_mm256_castsi256_pd(none)) as usize & 0xf;
                let found_places = _mm256_permutevar8x32_epi32(places, Self::lanes(&HALVES_OF[found]));
                _mm256_storeu_si256(to.add(count).cast(), found_places);
                count += found.count_ones() as usize;
                (places, k) = (_mm256_add_epi32(places, four), k + 4);
            }
        }
        count
    }

    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> __m256 {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked load touches no other values.
        unsafe { _mm256_maskload_ps(from, Self::mask_of(lanes)) }
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, v: __m256, lanes: u16) {
        // SAFETY: the caller vouches for the instructions and the values whose bits are set.
        unsafe {
            match (lanes & 0xff).count_ones() as usize {
                8 => Self::store(to, v),
                n => Self::store_part(to, v, n),
            }
        }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn greater(a: __m256, b: __m256) -> u16 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) as u16 }
    }

    #[inline(always)]
    unsafe fn or_nan(v: __m256, [p, q, r, s]: [__m256; QUAD]) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let nan = _mm256_or_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(p, q), _mm256_cmp_ps::<_CMP_UNORD_Q>(r, s));
            _mm256_blendv_ps(v, _mm256_set1_ps(f32::NAN), nan)
        }
    }

    #[inline(always)]
    unsafe fn nonzero(v: __m256) -> u16 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(v, _mm256_setzero_ps())) as u16 }
    }

    #[inline(always)]
    unsafe fn splat_quad(from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the instructions and four values.
        unsafe {
            let values = _mm_loadu_ps(from);
            _mm256_set_m128(values, values)
        }
    }

    #[inline(always)]
    unsafe fn places_in_quads(low: u16, high: u16) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let low = _mm256_and_si256(Self::mask_of(low), _mm256_set1_epi32(1));
            _mm256_or_si256(low, _mm256_and_si256(Self::mask_of(high), _mm256_set1_epi32(2)))
        }
    }

    #[inline(always)]
    unsafe fn look_up(v: __m256, places: __m256i) -> __m256 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_permutevar_ps(v, places) }
    }

    #[inline(always)]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32) {
        // SAFETY: the caller vouches for the instructions, `n` values of each row, and room for sixteen.
        unsafe {
            let (u, v) = (Self::quarter(upper, n), Self::quarter(upper.wrapping_add(1), n.saturating_sub(1)));
            let (l, m) = (Self::quarter(lower, n), Self::quarter(lower.wrapping_add(1), n.saturating_sub(1)));
            let (above, below) = (_mm_unpacklo_ps(u, v), _mm_unpacklo_ps(l, m));
            Self::store(to, _mm256_set_m128(_mm_movehl_ps(below, above), _mm_movelh_ps(above, below)));
            let (above, below) = (_mm_unpackhi_ps(u, v), _mm_unpackhi_ps(l, m));
            Self::store(to.add(8), _mm256_set_m128(_mm_movehl_ps(below, above), _mm_movelh_ps(above, below)));
        }
    }

    #[inline(always)]
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _pext_u64(bits, mask) }
    }
}
