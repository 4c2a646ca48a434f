//! A convolution of one-channel images with the 2×2 maximum pool above it, as one; for AVX-512.
//!
//! The four results of a pool's window stay in registers until the largest of each filter is known, so what the
//! convolution gives is never in memory. The lanes are the filters:
//!
//! ```text
//!   image          p q      sums p, q, r, s of up to 3 windows of the pool, 16 or 32 filters:
//!   ┌─┬─┬─┬─┬─┬─┐  r s      += x · w, a value of the image times a vector of the filters, K·K times
//!   ├─┼─┼─┼─┼─┼─┤
//!   ├─┼─┼─┼─┼─┼─┤           y = max(p, q, r, s), and per filter three bits: whether the largest is on the right,
//!   └─┴─┴─┴─┴─┴─┘               whether it is below, and whether it lives, as a ReLU sees it
//! ```
//!
//! On the way back only the window of that largest one counts. It is another one for each filter, but all four lie within
//! `K + 1` rows and columns: two rows of them are a table of 16 values, in which every lane looks its own value up. So a
//! window of the pool costs `K·K` multiplications and look-ups instead of `4·K·K` multiplications.
//!
//! ```text
//!   table:  row r      x₀ x₁ … x_K · ·      lane's place in it: 8 if below + 1 if on the right + v
//!           row r + 1  x₀ x₁ … x_K · ·
//! ```

use super::super::processor::Path;

/// Filters that are worked on at once; their bits are a word.
const LANES: usize = 16;
/// Values of half a table: `K + 1` at most.
const HALF: usize = 8;

/// Sizes of such a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Pooled {
    /// Height and width of a filter.
    pub kernel: usize,
    /// Filters.
    pub filters: usize,
    /// Height and width of the pooled result.
    pub output: [usize; 2],
    /// Width of the padded image.
    pub pitch: usize,
    /// Whether a ReLU stands before the pool.
    pub rectified: bool,
}

impl Pooled {
    /// Whether there are kernels for it, and this processor has their instructions.
    pub fn is_possible(kernel: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        return Path::chosen() == Path::Avx512 && matches!(kernel, 3 | 5);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Vectors of filters.
    fn groups(&self) -> usize {
        self.filters.div_ceil(LANES)
    }

    /// Filters in whole vectors: the width of a row of `w`, and of the biases.
    pub fn lanes(&self) -> usize {
        self.groups() * LANES
    }

    /// Words of a sample's bits: of each pixel of the result a row for "right", one for "below", one for "lives".
    pub fn words(&self) -> usize {
        self.pixels() * 3 * self.groups()
    }

    /// Values of a sample's look-up tables.
    pub fn tables(&self) -> usize {
        self.table_rows() * self.output[1] * 2 * HALF
    }

    /// Pixels of the result.
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The rows of the image that a table begins with.
    fn table_rows(&self) -> usize {
        2 * self.output[0] + self.kernel - 2
    }

    /// Values of a padded image.
    fn image(&self) -> usize {
        (2 * self.output[0] + self.kernel - 1) * self.pitch
    }

    /// The result `[OH, OW, F]` of a padded image, and the bits for the way back if they are wanted; `w` is
    /// `[K·K, lanes]` and `bias` `[lanes]`.
    ///
    /// # Panics
    /// If it is not [possible](Self::is_possible), or a size is wrong.
    pub fn forward(&self, x: &[f32], (w, bias): (&[f32], &[f32]), y: &mut [f32], bits: Option<&mut [u16]>) {
        let (k, lanes) = (self.kernel, self.lanes());
        assert!(x.len() >= self.image() && self.pitch + 1 >= 2 * self.output[1] + k, "an image");
        assert!(w.len() == k * k * lanes && bias.len() == lanes, "filters");
        assert!(y.len() == self.pixels() * self.filters, "a result");
        assert!(bits.as_ref().is_none_or(|bits| bits.len() == self.words()), "bits");
        assert!(Self::is_possible(k), "no kernel for it");
        // SAFETY: the sizes are right, and the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match k {
                3 => avx512::forward::<3>(self, x, (w, bias), y, bits),
                _ => avx512::forward::<5>(self, x, (w, bias), y, bits),
            }
        }
    }

    /// Adds a sample's gradients to `dw` `[K·K, F]` and `db` `[F]`, from the padded image, `dy` `[OH, OW, F]` and the
    /// bits.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn gradient(
        &self,
        x: &[f32],
        (dy, bits): (&[f32], &[u16]),
        tables: &mut [f32],
        (dw, db): (&mut [f32], &mut [f32]),
    ) {
        let k = self.kernel;
        assert!(x.len() >= self.image() && self.pitch + 1 >= 2 * self.output[1] + k, "an image");
        assert!(dy.len() == self.pixels() * self.filters && bits.len() == self.words(), "gradients and bits");
        assert!(tables.len() == self.tables(), "room for tables");
        assert!(dw.len() == k * k * self.filters && db.len() == self.filters, "filters");
        assert!(Self::is_possible(k), "no kernel for it");
        // SAFETY: the sizes are right, and the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match k {
                3 => avx512::gradient::<3>(self, x, (dy, bits), tables, (dw, db)),
                _ => avx512::gradient::<5>(self, x, (dy, bits), tables, (dw, db)),
            }
        }
    }

    /// Writes `dy` to those of the `[2·OH, 2·OW, F]` values that were the largest, and zeros to the others.
    ///
    /// # Panics
    /// If a size is wrong.
    pub fn spread(&self, dy: &[f32], bits: &[u16], spread: &mut [f32]) {
        let (filters, width) = (self.filters, self.output[1]);
        spread.fill(0.0);
        for (pixel, (dy, bits)) in dy.chunks_exact(filters).zip(bits.chunks_exact(3 * self.groups())).enumerate() {
            let [right, below, lives] = [0, 1, 2].map(|which| &bits[which * self.groups()..]);
            for (filter, dy) in dy.iter().enumerate() {
                let bit = |words: &[u16]| usize::from(words[filter / LANES] >> (filter % LANES) & 1);
                let (i, j) = (2 * (pixel / width) + bit(below), 2 * (pixel % width) + bit(right));
                if bit(lives) == 1 {
                    spread[(i * 2 * width + j) * filters + filter] = *dy;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{HALF, LANES, Pooled};

    /// Most windows of the pool at a time: with two vectors each, their sums fill 24 of 32 registers.
    const ABREAST: usize = 3;

    /// The first lanes of a group of filters, as many as there are.
    fn lanes_of(pooled: &Pooled, group: usize) -> __mmask16 {
        u16::MAX >> (LANES - (pooled.filters - group * LANES).min(LANES))
    }

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
                let lanes = lanes_of(self.pooled, self.group + v);
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
        let (lanes, filters, groups) = (lanes_of(pooled, group), pooled.filters, pooled.groups());
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
}
