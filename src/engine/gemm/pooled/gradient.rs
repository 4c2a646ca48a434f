//! The way back: every lane looks the value up that its largest result came from.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::taps::{Filled, Windows};
use super::{LANES, PLACES, Pooled};

/// Windows of the pool that are gone through for one row of taps after the other: what is needed of them stays near.
const CHUNK: usize = 64;
/// Values of half a vector, of which `PLACES` begin a square each.
const HALF: usize = LANES / 2;

/// # Safety
/// The sizes must be right.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
pub(super) unsafe fn gradient<const K: usize>(
    pooled: &Pooled,
    x: &[f32],
    (dy, bits): (&[f32], &[u16]),
    squares: &mut [f32],
    (dw, db): (&mut [f32], &mut [f32]),
) {
    // SAFETY: as the caller vouches: of each row, only the lanes that are filters are touched.
    unsafe {
        fill(pooled, x.as_ptr(), squares.as_mut_ptr());
        let which = Filled::of(pooled, x.as_ptr()).windows::<K>();
        for group in (0..pooled.groups()).step_by(2) {
            let of = Groups { pooled, group, dy: dy.as_ptr(), bits: bits.as_ptr(), squares: squares.as_ptr() };
            let (dw, db) = (dw[group * LANES..].as_mut_ptr(), db[group * LANES..].as_mut_ptr());
            match pooled.groups() - group {
                1 => of.add::<K, 1>(&which, dw, db),
                _ => of.add::<K, 2>(&which, dw, db),
            }
        }
    }
}

/// Fills in the square of each value of the image: it, the one on its right, and the two below them.
///
/// # Safety
/// As [`gradient`].
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
unsafe fn fill(pooled: &Pooled, x: *const f32, squares: *mut f32) {
    let places = _mm512_setr_epi32(0, 1, 16, 17, 1, 2, 17, 18, 2, 3, 18, 19, 3, 4, 19, 20);
    let (pitch, squares_pitch) = (pooled.pitch, pooled.pitch_of_squares());
    for from in (0..squares_pitch).step_by(LANES) {
        let column = from / PLACES;
        let lanes = u8::MAX >> (HALF - (pitch - column).min(HALF));
        for row in 0..pooled.rows_of_squares() {
            // SAFETY: the rows and these columns lie within the image, and their squares within theirs; a masked load
            // touches no others.
            unsafe {
                let upper = x.add(row * pitch + column);
                let [upper, lower] =
                    [upper, upper.add(pitch)].map(|row| _mm512_castps256_ps512(_mm256_maskz_loadu_ps(lanes, row)));
                let of_columns = _mm512_permutex2var_ps(upper, places, lower);
                _mm512_storeu_ps(squares.add(row * squares_pitch + from), of_columns);
            }
        }
    }
}

/// What is needed of a window of the pool, for `V` groups of filters.
#[derive(Clone, Copy)]
struct Window<const V: usize> {
    /// The gradients of the filters that live.
    dy: [__m512; V],
    /// Where in a square each filter's largest result came from.
    place: [__m512i; V],
}

/// Windows one after the other, row by row.
struct Chunk<const V: usize> {
    /// Row and column of the first one in the result.
    first: [usize; 2],
    count: usize,
    windows: [MaybeUninit<Window<V>>; CHUNK],
    /// Where the squares of each one begin.
    squares: [usize; CHUNK],
}

/// One or two groups of filters, and what they need.
struct Groups<'a> {
    pooled: &'a Pooled,
    group: usize,
    dy: *const f32,
    bits: *const u16,
    squares: *const f32,
}

impl Groups<'_> {
    /// Adds their gradients.
    ///
    /// # Safety
    /// As [`gradient`]; there must be `V` groups.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn add<const K: usize, const V: usize>(&self, which: &Windows, dw: *mut f32, db: *mut f32) {
        let (pixels, width, filters) = (self.pooled.pixels(), self.pooled.output[1], self.pooled.filters);
        let windows = [const { MaybeUninit::uninit() }; CHUNK];
        let mut chunk = Chunk::<V> { first: [0; 2], count: 0, windows, squares: [0; CHUNK] };
        let mut sums = [[[_mm512_setzero_ps(); V]; K]; K];
        // SAFETY: as the caller vouches.
        unsafe {
            for (tap, sums) in sums.as_flattened_mut().iter_mut().enumerate() {
                *sums = self.load(dw.add(tap * filters));
            }
        }
        for first in (0..pixels).step_by(CHUNK) {
            chunk.first = [first / width, first % width];
            chunk.count = (pixels - first).min(CHUNK);
            // SAFETY: as the caller vouches.
            unsafe {
                self.fill_in(first, &mut chunk, db);
                let windows: [u64; K] = std::array::from_fn(|u| which.of_taps(chunk.first, chunk.count, width, u));
                for (u, sums) in sums.iter_mut().enumerate() {
                    self.add_row(&chunk, windows[u], u, sums);
                }
            }
        }
        // SAFETY: as the caller vouches.
        unsafe {
            for (tap, &sums) in sums.as_flattened().iter().enumerate() {
                self.store(dw.add(tap * filters), sums);
            }
        }
    }

    /// Fills in the windows of a chunk that begins with the `first` one of all, and adds their gradients to the biases'.
    ///
    /// # Safety
    /// As [`add`](Self::add).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn fill_in<const V: usize>(&self, first: usize, chunk: &mut Chunk<V>, db: *mut f32) {
        let (groups, pitch) = (self.pooled.groups(), self.pooled.pitch_of_squares());
        let [mut i, mut j] = chunk.first;
        // SAFETY: as the caller vouches; a masked load touches the lanes alone that are filters.
        unsafe {
            let mut bias = self.load::<V>(db);
            let mut bits = self.bits.add(first * 3 * groups + self.group);
            let mut dy = self.dy.add(first * self.pooled.filters + self.group * LANES);
            for (window, square) in chunk.windows.iter_mut().zip(&mut chunk.squares).take(chunk.count) {
                let window = window.as_mut_ptr();
                for (v, bias) in bias.iter_mut().enumerate() {
                    let [right, below, lives] = [0, 1, 2].map(|row| *bits.add(row * groups + v));
                    let dy = _mm512_maskz_loadu_ps(lives & self.pooled.lanes_of(self.group + v), dy.add(v * LANES));
                    let place = _mm512_maskz_set1_epi32(right, 1);
                    (*window).dy[v] = dy;
                    (*window).place[v] = _mm512_mask_or_epi32(place, below, place, _mm512_set1_epi32(2));
                    *bias = _mm512_add_ps(*bias, dy);
                }
                *square = 2 * i * pitch + 2 * j * PLACES;
                j += 1;
                if j == self.pooled.output[1] {
                    (i, j) = (i + 1, 0);
                }
                bits = bits.add(3 * groups);
                dy = dy.add(self.pooled.filters);
            }
            self.store(db, bias);
        }
    }

    /// Adds what the windows of a chunk give to the gradients of a row of taps.
    ///
    /// # Safety
    /// As [`add`](Self::add); the chunk must be filled in.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn add_row<const K: usize, const V: usize>(
        &self,
        chunk: &Chunk<V>,
        mut windows: u64,
        u: usize,
        of_row: &mut [[__m512; V]; K],
    ) {
        let mut all = *of_row;
        // SAFETY: as the caller vouches; the squares are those of the windows.
        unsafe {
            let row = self.squares.add(u * self.pooled.pitch_of_squares());
            while windows != 0 {
                let at = windows.trailing_zeros() as usize;
                windows &= windows - 1;
                let (window, squares) = (chunk.windows[at].assume_init_ref(), row.add(chunk.squares[at]));
                for (v, sums) in all.iter_mut().enumerate() {
                    let square = _mm512_broadcast_f32x4(_mm_loadu_ps(squares.add(v * PLACES)));
                    for ((sum, &place), &dy) in sums.iter_mut().zip(&window.place).zip(&window.dy) {
                        *sum = _mm512_fmadd_ps(_mm512_permutevar_ps(square, place), dy, *sum);
                    }
                }
            }
        }
        *of_row = all;
    }

    /// A row of the filters.
    ///
    /// # Safety
    /// It must be there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn load<const V: usize>(&self, row: *const f32) -> [__m512; V] {
        // SAFETY: as the caller vouches; a masked load touches the lanes alone that are filters.
        std::array::from_fn(|v| unsafe {
            _mm512_maskz_loadu_ps(self.pooled.lanes_of(self.group + v), row.add(v * LANES))
        })
    }

    /// # Safety
    /// As [`load`](Self::load).
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,bmi1,bmi2")]
    unsafe fn store<const V: usize>(&self, row: *mut f32, values: [__m512; V]) {
        for (v, values) in values.into_iter().enumerate() {
            // SAFETY: as the caller vouches; a masked store touches the lanes alone that are filters.
            unsafe { _mm512_mask_storeu_ps(row.add(v * LANES), self.pooled.lanes_of(self.group + v), values) };
        }
    }
}
