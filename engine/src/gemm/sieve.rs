//! Steps of a tile that are left out.
//!
//! A step of the broadcast kernel takes one value from each of a tile's rows of A. Where all of them are zero, it adds
//! nothing: in the margins of images, and where a ReLU gives nothing for a whole group of them. So a tile first looks
//! which steps are worth doing, then does those alone, as do the tiles beside it over the same rows:
//!
//! ```text
//!           k →
//!   A  i   . . 3 1 . . . 2 .
//!      ↓   . . . 4 . . . . .        steps 2, 3, 7
//!          . . 5 . . . . . .
//! ```
//!
//! With a finite B it is the same, to the bit, but for the sign of a sum that is zero: so a product whose A may hold zeros
//! gives +0 for −0, however it is worked out. In the digits of MNIST, one value of five is not zero; two steps of five are
//! worth doing for six images, one of three for six neighbouring pixels.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::broadcast::DEPTH;
use super::kernel::Product;
use super::simd::{MOST_LANES, Offsets, Simd};

/// Most steps of a tile that are looked through: all of a piece of a product.
const MOST: usize = DEPTH;

/// Rows that are looked through at once, of an A that lies upright.
const WINDOW: usize = u64::BITS as usize;
/// Steps that are looked at first: where they are full, the others are taken to be.
const SAMPLE: usize = 16;
/// Most tiles that are spared the look by one for which it did not pay.
const MOST_SPARED: usize = 16;

/// How tiles look: all of them as long as it pays, few of them where A turns out to be full.
#[derive(Debug)]
pub(super) struct Sieve {
    /// Tiles that do not look, now and after the next one for which it does not pay.
    spared: usize,
    spares: usize,
    /// For an A that lies upright, some rows from one to another: a bit each, of every step, unless they are full.
    window: Range<usize>,
    is_full: bool,
    bits: [MaybeUninit<u64>; MOST],
}

impl Sieve {
    /// Whether the tiles of a product can leave steps out: its A may hold zeros, and lies well for looking.
    #[inline(always)]
    pub(super) fn fits<S: Simd>(p: &Product) -> bool {
        let (a_end, b_end) = (p.runs.0 * p.runs.1 + p.k * p.a_col, p.runs.0 * p.b_run + p.k * p.b_row);
        let lies_well = p.groups.0 == 1 && (p.a_row == 1 || (p.a_col == 1 && p.runs.0 == 1));
        let is_near = a_end.max(b_end) <= i32::MAX as usize;
        S::CAREFUL > 0 && p.may_hold_zeros && lies_well && is_near && p.runs.0 * p.k <= MOST
    }

    /// That of a product which it fits.
    #[inline(always)]
    pub(super) fn new() -> Self {
        let bits = [const { MaybeUninit::uninit() }; MOST];
        Self { spared: 0, spares: 1, window: 0..0, is_full: false, bits }
    }

    /// Finds the steps of `R` rows from the `i`-th on, if it pays to do those alone.
    ///
    /// # Safety
    /// The sieve must fit the product, which must have the rows.
    #[inline(always)]
    pub(super) unsafe fn find<S: Simd, const R: usize>(&mut self, p: &Product, i: usize, steps: &mut Steps) -> bool {
        if self.spared > 0 {
            self.spared -= 1;
            return false;
        }
        // SAFETY: as the caller vouches.
        let pays = unsafe {
            let first = p.a.add(i * p.a_row);
            match p.a_row {
                1 => self.find_upright::<S, R>(p, (first, i), steps),
                _ => steps.find_across::<S, R>(p, first),
            }
        };
        (self.spared, self.spares) = if pays { (0, 1) } else { (self.spares, (2 * self.spares).min(MOST_SPARED)) };
        pays
    }

    /// Those of a tile of `R` rows from row `i` on, whose first values lie at `first` side by side.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn find_upright<S: Simd, const R: usize>(
        &mut self,
        p: &Product,
        (first, i): (*const f32, usize),
        steps: &mut Steps,
    ) -> bool {
        let bits = self.bits.as_mut_ptr().cast::<u64>();
        if i < self.window.start || i + R > self.window.end {
            self.window = i..(i + WINDOW).min(p.m);
            // SAFETY: the rows of the window lie within A; there are at most `MOST` steps.
            unsafe {
                let sample = p.k.min(SAMPLE);
                S::occupied(first, self.window.len(), (sample, p.a_col), bits);
                self.is_full = is_full(std::slice::from_raw_parts(bits, sample), self.window.len());
                for run in (0..p.runs.0).filter(|_| !self.is_full) {
                    let known = if run == 0 { sample } else { 0 };
                    let (from, bits) = (first.add(run * p.runs.1 + known * p.a_col), bits.add(run * p.k + known));
                    S::occupied(from, self.window.len(), (p.k - known, p.a_col), bits);
                }
            }
        }
        if self.is_full {
            return false;
        }
        let (pairs, mask) = (steps.places.as_mut_ptr().cast::<Offsets>(), ((1 << R) - 1) << (i - self.window.start));
        steps.count = 0;
        for run in 0..p.runs.0 {
            let first = [(run * p.runs.1) as u32, (run * p.b_run) as u32];
            let step = [p.a_col as u32, p.b_row as u32];
            // SAFETY: there are at most `MOST` steps, each written at most once, and room for a vector behind them.
            unsafe {
                let (words, pairs) = (bits.add(run * p.k), pairs.add(steps.count));
                steps.count += S::steps(words, p.k, mask, (first, step), pairs);
            }
        }
        steps.count <= p.runs.0 * p.k / 8 * 7
    }
}

/// Whether most groups of eight bits are not zero, of some words' lowest bits.
fn is_full(words: &[u64], bits: usize) -> bool {
    let groups = bits.div_ceil(8);
    let occupied: usize = words.iter().map(|word| word.to_le_bytes().iter().filter(|byte| **byte != 0).count()).sum();
    occupied > words.len() * groups / 8 * 7
}

/// The steps of a tile that are worth doing, in order.
pub(super) struct Steps {
    /// Of a tile that lies upright, where each step's values lie in the rows of A, and where its row of B; of one that
    /// lies along `k`, which steps they are, two in a place,
    places: [MaybeUninit<Offsets>; MOST + MOST_LANES],
    /// and where the row of B of each of those is.
    rows: [MaybeUninit<u32>; MOST],
    count: usize,
}

impl Steps {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self {
            places: [const { MaybeUninit::uninit() }; MOST + MOST_LANES],
            rows: [const { MaybeUninit::uninit() }; MOST],
            count: 0,
        }
    }

    /// Finds those of `R` rows from the first one on that lie along `k`, if it pays.
    ///
    /// # Safety
    /// As for [`Sieve::find`].
    #[inline(always)]
    unsafe fn find_across<S: Simd, const R: usize>(&mut self, p: &Product, first: *const f32) -> bool {
        let mut rows = [first; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = first.wrapping_add(r * p.a_row);
        }
        let places = self.places.as_mut_ptr().cast::<u32>();
        let (mut count, mut k) = (0, 0);
        // SAFETY: there are at most `MOST` steps, each written at most once, and room for a vector behind them.
        unsafe {
            while k < p.k {
                count += S::places(&rows, k, (p.k - k).min(S::LANES), places.add(count));
                k += S::LANES;
                if k == 8 * SAMPLE && count > 7 * SAMPLE {
                    return false;
                }
            }
        }
        self.count = count;
        if count > p.k / 8 * 7 {
            return false;
        }
        for (i, row) in self.rows[..count].iter_mut().enumerate() {
            // SAFETY: so many places have been written.
            row.write(unsafe { *places.add(i) } * p.b_row as u32);
        }
        true
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Where the `i`-th one lies in the rows of A, and where in B, of a tile that lies upright or not.
    ///
    /// # Safety
    /// There must be as many, found in a tile that lies so.
    #[inline(always)]
    pub(super) unsafe fn at<const UPRIGHT: bool>(&self, i: usize) -> (usize, usize) {
        // SAFETY: they have been found.
        unsafe {
            if UPRIGHT {
                let [a, b] = self.places.get_unchecked(i).assume_init();
                (a as usize, b as usize)
            } else {
                let k = *self.places.as_ptr().cast::<u32>().add(i);
                (k as usize, self.rows.get_unchecked(i).assume_init() as usize)
            }
        }
    }
}
