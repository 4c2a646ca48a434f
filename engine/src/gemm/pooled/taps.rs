//! Which steps of such a convolution add anything.
//!
//! A step multiplies one value of each filter, a tap, by the values of the image that it meets in some windows of the pool.
//! Where all of those are zero, it adds nothing: so are three in five of them for pairs of windows over MNIST's digits, and
//! one window of three meets nothing at all.
//!
//! ```text
//!   image, K = 3       taps of the window at ▒, two rows and columns for each
//!   . . . . . .        . . .
//!   . ▒ ▒ . . .        . . x    one of the four values that it meets from there on is not zero
//!   . ▒ ▒ . 7 4        . x x
//!   . . . 9 8 .
//! ```
//!
//! With finite filters the sums are the same to the bit, but for the sign of one that is zero: so what they end in is +0 for
//! −0, the results and the gradients of the filters.

use super::group::Group;
use super::{LANES, Pooled};

/// Height and width up to which an image's zeros are looked for; larger ones are taken to be full.
const MOST: usize = u64::BITS as usize;

/// What is not zero of an image: of each row, a bit for each column. Of an image that is taken to be full all of them are
/// set, so rows and columns may be counted round and round.
pub(super) struct Filled([u64; MOST]);

impl Filled {
    /// # Safety
    /// The image must have the size, and the processor the instructions of `G`.
    #[inline(always)]
    pub(super) unsafe fn of<G: Group>(pooled: &Pooled, image: *const f32) -> Self {
        let (height, pitch) = (pooled.height(), pooled.pitch);
        if height > MOST || pitch > MOST {
            return Self([u64::MAX; MOST]);
        }
        let mut rows = [0; MOST];
        for from in (0..pitch).step_by(LANES) {
            let lanes = u16::MAX >> (LANES - (pitch - from).min(LANES));
            for (row, columns) in rows.iter_mut().enumerate().take(height) {
                // SAFETY: these values are of the row.
                *columns |= u64::from(unsafe { G::nonzero(image.add(row * pitch + from), lanes) }) << from;
            }
        }
        Self(rows)
    }

    /// Where a tap of row `u` meets something, in row `i` of the pool: a bit for each of the image's columns that the tap
    /// lies on, for so many windows from there on.
    #[inline(always)]
    fn met(&self, i: usize, u: usize, abreast: usize) -> u64 {
        let columns = self.0[(2 * i + u) % MOST] | self.0[(2 * i + u + 1) % MOST];
        let columns = columns | columns.rotate_right(1);
        (1..abreast as u32).fold(columns, |met, window| met | columns.rotate_right(2 * window))
    }

    /// The taps that count in row `i` of the pool, for windows that are looked at so many together.
    #[inline(always)]
    pub(super) fn taps<const K: usize>(&self, i: usize, abreast: usize) -> Taps<K> {
        Taps(std::array::from_fn(|u| self.met(i, u, abreast)))
    }

    /// Where windows begin that a row of the image counts for.
    #[inline(always)]
    pub(super) fn windows<const K: usize>(&self) -> Windows {
        Windows(self.0.map(|row| (1..=K as u32).fold(row, |any, column| any | row.rotate_right(column))))
    }
}

/// Which windows of the pool a row of the image counts for: a bit for each column that they may begin at.
pub(super) struct Windows([u64; MOST]);

impl Windows {
    /// Those that a tap of row `u` counts for: of `count` windows, one after the other from `[i, j]` of the pool on, whose
    /// rows have `width`, a bit each.
    ///
    /// # Safety
    /// The processor must have the instructions of `G`.
    #[inline(always)]
    pub(super) unsafe fn of_taps<G: Group>(
        &self,
        [mut i, mut j]: [usize; 2],
        count: usize,
        width: usize,
        u: usize,
    ) -> u64 {
        let (mut windows, mut at) = (0, 0);
        while at < count {
            let part = (width - j).min(count - at).min(MOST / 2);
            let columns = self.0[(2 * i + u) % MOST] | self.0[(2 * i + u + 1) % MOST];
            let every_other = (u64::MAX / 3) >> (MOST - 2 * part);
            // SAFETY: as the caller vouches.
            windows |= unsafe { G::extract_bits(columns.rotate_right(2 * j as u32), every_other) } << at;
            at += part;
            (i, j) = if j + part == width { (i + 1, 0) } else { (i, j + part) };
        }
        windows
    }
}

/// The taps that count in a row of the pool: for each row of them where they meet something.
pub(super) struct Taps<const K: usize>([u64; K]);

impl<const K: usize> Taps<K> {
    /// Those for the windows from column `j` of the pool on: a byte for each row of taps, a bit for each column.
    #[inline(always)]
    pub(super) fn at(&self, j: usize) -> u64 {
        let of_row = |met: u64| met.rotate_right(2 * j as u32) & ((1 << K) - 1);
        self.0.iter().rev().fold(0, |taps, &met| taps << u8::BITS | of_row(met))
    }
}
