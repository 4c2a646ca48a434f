//! The vectors of AVX-512.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::simd::{Offsets, Part, QUAD, Simd, Tiles};

/// 32 registers of 16 values.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

impl Simd for Avx512 {
    const LANES: usize = 16;
    const VECTORS: usize = Tiles::AVX512.vectors;
    const ROWS: [usize; 4] = Tiles::AVX512.rows;
    const CAREFUL: usize = Tiles::AVX512.careful;
    type Vector = __m512;
    type Places = __m512i;
    type Narrow = Avx2;

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq,popcnt,bmi1,bmi2")]
    unsafe fn apart(part: impl Part) {
        // SAFETY: as the caller vouches.
        unsafe { part.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm512_maskz_loadu_ps((1u16 << n).wrapping_sub(1), from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: __m512, n: usize) {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe { _mm512_mask_storeu_ps(to, (1u16 << n).wrapping_sub(1), v) }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn where_positive(v: __m512, gate: __m512, or_nan: bool) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let zero = _mm512_setzero_ps();
            let these = match or_nan {
                true => _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(gate, zero),
                false => _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, zero),
            };
            _mm512_maskz_mov_ps(these, v)
        }
    }

    #[inline(always)]
    unsafe fn splat_quads(from: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller vouches for the instructions and `n` values.
        unsafe {
            let values = if n == 4 { _mm_loadu_ps(from) } else { _mm_maskz_loadu_ps((1 << n) - 1, from) };
            let places = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
            _mm512_permutevar_ps(_mm512_broadcast_f32x4(values), places)
        }
    }

    #[inline(always)]
    unsafe fn quads(from: *const f32, row: usize, n: usize, columns: usize) -> __m512 {
        // SAFETY: the caller vouches for the instructions and these values of `n` rows; no others are touched.
        unsafe {
            let mask = |k: usize| if k < n { (1u8 << columns) - 1 } else { 0 };
            let at = |k: usize| from.wrapping_add(k * row);
            let v = _mm512_castps128_ps512(_mm_maskz_loadu_ps(mask(0), at(0)));
            let v = _mm512_insertf32x4::<1>(v, _mm_maskz_loadu_ps(mask(1), at(1)));
            let v = _mm512_insertf32x4::<2>(v, _mm_maskz_loadu_ps(mask(2), at(2)));
            _mm512_insertf32x4::<3>(v, _mm_maskz_loadu_ps(mask(3), at(3)))
        }
    }

    #[inline(always)]
    unsafe fn spread(v: __m512) -> [__m512; QUAD] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (a, b) = (_mm512_permute_ps::<0x00>(v), _mm512_permute_ps::<0x55>(v));
            [a, b, _mm512_permute_ps::<0xaa>(v), _mm512_permute_ps::<0xff>(v)]
        }
    }

    #[inline(always)]
    unsafe fn turn([a, b, c, d]: [__m512; QUAD]) -> [__m512; QUAD] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (ab, of_ab) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd, of_cd) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, of_ab) = (_mm512_castps_pd(ab), _mm512_castps_pd(of_ab));
            let (cd, of_cd) = (_mm512_castps_pd(cd), _mm512_castps_pd(of_cd));
            [
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpacklo_pd(of_ab, of_cd)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(of_ab, of_cd)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn fold(v: __m512) -> [f32; QUAD] {
        let mut sums = [0.0; QUAD];
        // SAFETY: the caller vouches for the instructions; the sums are four values.
        unsafe {
            let v = _mm512_add_ps(v, _mm512_shuffle_f32x4::<0x4e>(v, v));
            let v = _mm512_add_ps(v, _mm512_shuffle_f32x4::<0xb1>(v, v));
            _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(v));
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
        const LANES: [i32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        // SAFETY: the caller vouches for the instructions and the pointers.
        unsafe {
            // Only zeros have no bit set, but for the sign.
            let mut values = _mm512_setzero_ps();
            for row in rows {
                let from = row.add(first);
                values = _mm512_or_ps(values, if n == 16 { _mm512_loadu_ps(from) } else { Self::load_part(from, n) });
            }
            let found = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, _mm512_setzero_ps());
            let places = _mm512_add_epi32(_mm512_loadu_si512(LANES.as_ptr().cast()), _mm512_set1_epi32(first as i32));
            _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(found, places));
            found.count_ones() as usize
        }
    }

    #[inline(always)]
    unsafe fn pick_nonzero(from: (*const f32, *const u32), n: usize, to: (*mut f32, *mut u32)) -> usize {
        let part = ((1u32 << n) - 1) as u16;
        // SAFETY: the caller vouches for the instructions and the pointers.
        unsafe {
            let (values, others) = (_mm512_maskz_loadu_ps(part, from.0), _mm512_maskz_loadu_epi32(part, from.1.cast()));
            let found = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, _mm512_setzero_ps());
            _mm512_storeu_ps(to.0, _mm512_maskz_compress_ps(found, values));
            _mm512_storeu_epi32(to.1.cast(), _mm512_maskz_compress_epi32(found, others));
            found.count_ones() as usize
        }
    }

    #[inline(always)]
    unsafe fn occupied(from: *const f32, n: usize, (steps, step): (usize, usize), bits: *mut u64) {
        let of_quarter = |quarter: usize| ((1u32 << n.saturating_sub(16 * quarter).min(16)) - 1) as u16;
        let masks = [of_quarter(0), of_quarter(1), of_quarter(2), of_quarter(3)];
        for k in 0..steps {
            // SAFETY: the caller vouches for the instructions and the pointers; none but these values are read.
            unsafe {
                let (from, bits) = (from.add(k * step), bits.add(k).cast::<u16>());
                // Each written for itself: put together in a register, they would take twice as long.
                for (quarter, &mask) in masks.iter().enumerate() {
                    let values = _mm512_maskz_loadu_ps(mask, from.wrapping_add(16 * quarter));
                    *bits.add(quarter) = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, _mm512_setzero_ps());
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
            let (mut places, one) = (_mm512_set1_epi64(pair(first)), _mm512_set1_epi64(pair(step)));
            let lanes = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
            places = _mm512_add_epi32(places, _mm512_mullo_epi32(lanes, one));
            let (eight, mask) = (_mm512_slli_epi32::<3>(one), _mm512_set1_epi64(mask.cast_signed()));
            while k < n {
                let left = n - k;
                let these = if left < 8 { (1u8 << left) - 1 } else { u8::MAX };
                let found = _mm512_test_epi64_mask(_mm512_maskz_loadu_epi64(these, words.add(k).cast()), mask);
                _mm512_storeu_si512(to.add(count).cast(), _mm512_maskz_compress_epi64(found, places));
                count += found.count_ones() as usize;
                (places, k) = (_mm512_add_epi32(places, eight), k + 8);
            }
        }
        count
    }

    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    /// Halves, quarters, pairs and neighbours are added as `_mm512_reduce_add_ps` does it, but of several vectors at
    /// once, which halves their number each time:
    ///
    /// ```text
    /// a, b       → a₀+a₈ … a₇+a₁₅ | b₀+b₈ … b₇+b₁₅
    /// ab, cd     → a … | b … | c … | d …             quarters of 4 lanes, a row of C each
    /// four such  → row 0 | row 1 | row 2 | row 3
    /// ```
    #[inline(always)]
    unsafe fn sums(v: &[[__m512; 4]; 4]) -> [[f32; 4]; 4] {
        let mut columns = v[0];
        for (c, column) in columns.iter_mut().enumerate() {
            let (a, b, c, d) = (v[0][c], v[1][c], v[2][c], v[3][c]);
            // SAFETY: the caller vouches for the instructions.
            *column = unsafe {
                let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
                let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
                _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
            };
        }
        let [a, b, c, d] = columns;
        let mut rows = [[0.0; 4]; 4];
        // SAFETY: the caller vouches for the instructions; the rows are sixteen values.
        unsafe {
            let ab = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xee>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(c, d), _mm512_shuffle_ps::<0xee>(c, d));
            let sums = _mm512_add_ps(_mm512_shuffle_ps::<0x88>(ab, cd), _mm512_shuffle_ps::<0xdd>(ab, cd));
            _mm512_storeu_ps(rows.as_mut_ptr().cast(), sums);
        }
        rows
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> __m512 {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked load touches no other values.
        unsafe { _mm512_maskz_loadu_ps(lanes, from) }
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, v: __m512, lanes: u16) {
        // SAFETY: the caller vouches for the instructions and the pointer; a masked store touches no other values.
        unsafe { _mm512_mask_storeu_ps(to, lanes, v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn greater(a: __m512, b: __m512) -> u16 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    unsafe fn or_nan(v: __m512, [p, q, r, s]: [__m512; QUAD]) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(p, q) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(r, s);
            _mm512_mask_mov_ps(v, nan, _mm512_set1_ps(f32::NAN))
        }
    }

    #[inline(always)]
    unsafe fn nonzero(v: __m512) -> u16 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(v, _mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn splat_quad(from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the instructions and four values.
        unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn places_in_quads(low: u16, high: u16) -> __m512i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let place = _mm512_maskz_set1_epi32(low, 1);
            _mm512_mask_or_epi32(place, high, place, _mm512_set1_epi32(2))
        }
    }

    #[inline(always)]
    unsafe fn look_up(v: __m512, places: __m512i) -> __m512 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm512_permutevar_ps(v, places) }
    }

    #[inline(always)]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32) {
        // SAFETY: the caller vouches for the instructions, `n` values of each row, and room for sixteen; a masked load touches
        // no other values.
        unsafe {
            let places = _mm512_setr_epi32(0, 1, 16, 17, 1, 2, 17, 18, 2, 3, 18, 19, 3, 4, 19, 20);
            let lanes = u8::MAX >> (8 - n.min(8));
            let upper = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(lanes, upper));
            let lower = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(lanes, lower));
            Self::store(to, _mm512_permutex2var_ps(upper, places, lower));
        }
    }

    #[inline(always)]
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64 {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _pext_u64(bits, mask) }
    }
}
