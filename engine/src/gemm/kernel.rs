//! The two kernels of the matrix product, written once for every processor.
//!
//! **Broadcast kernel**, where B's rows lie contiguous (`X·W`, `Xᵀ·dY`): a tile of C stays in registers while `k` runs;
//! each step takes a vector or more of B's row `k` and the tile's values of A's column `k`, one by one:
//!
//! ```text
//!            j → vectors of B's row k
//!          ┌──────┬──────┬──────┬──────┐
//!   i  A_ik│ C += A_ik · B_kj          │   up to ROWS rows × VECTORS vectors
//!   ↓      └──────┴──────┴──────┴──────┘
//! ```
//!
//! A's rows may come in groups and its columns in runs, each at a distance of its own: so a convolution is a product with
//! the windows of an image, and none of them is ever copied (see `Grid`). Runs of B's rows may lie apart, too: so the
//! gradient over all shards of a batch is one product.
//!
//! **Dot kernel**, where B is a transpose (`dY·Wᵀ`): rows of A and of Bᵀ both lie contiguous along `k`, so the lanes run
//! along `k` and are added up at the end: 4 × 4 dot products at a time.
//!
//! An element of C is computed by the same operations in the same order whatever rows are beside it, so cutting a product
//! into pieces of rows changes no bit. Cut into columns it may, where the last columns come to lie elsewhere.

use super::Into;
use super::ahead::Ahead;
use super::broadcast::broadcast;
use super::simd::{Part, Simd, run_on};
use crate::processor::Path;

/// A product whose views have been checked: pointers, sizes and strides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_col: usize,
    pub(super) b: *const f32,
    /// Distance of B's rows (broadcast) or of Bᵀ's rows (dot); the other stride is 1.
    pub(super) b_row: usize,
    /// Distance of B's first rows of two runs.
    pub(super) b_run: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    /// Rows of a group.
    pub(super) m: usize,
    /// Columns of a run.
    pub(super) k: usize,
    pub(super) n: usize,
    /// Groups of rows: how many, and the distance of their first rows in A.
    pub(super) groups: (usize, usize),
    /// Runs of columns: how many, and the distance of their first columns in A.
    pub(super) runs: (usize, usize),
    pub(super) into: Into,
    /// What every row of C begins with, or null.
    pub(super) bias: *const f32,
    pub(super) end: Finish,
    /// Columns of a panel of B, all if there is one; rows of all panels, and those that come before B's.
    pub(super) panel: usize,
    pub(super) depth: usize,
    pub(super) skipped: usize,
    /// Values of B, and those that lie before the ones at hand.
    pub(super) of_b: usize,
    pub(super) before: usize,
    /// Whether tiles look for zeros of A.
    pub(super) may_hold_zeros: bool,
    /// What its tiles ask for.
    pub(super) ahead: Ahead,
    /// How many products there are like this one, and the distances of their factors and results.
    pub(super) each: (usize, [usize; 3]),
}

/// An [`End`](super::End) whose gate has been checked: it has as many rows and columns as C.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    Plain,
    Rectify,
    WherePositive { gate: *const f32, row: usize },
}

impl Product {
    /// One of the products like this one.
    #[inline(always)]
    pub(super) fn nth(&self, nth: usize) -> Self {
        let (_, [a, b, c]) = self.each;
        let (a, b) = (self.a.wrapping_add(nth * a), self.b.wrapping_add(nth * b));
        Self { a, b, c: self.c.wrapping_add(nth * c), ..*self }
    }

    /// The part that `k` columns of A from `first` on add to the columns of the `index`-th panel: what follows the first one
    /// begins with C's values.
    #[inline(always)]
    pub(super) fn piece(&self, (first, k): (usize, usize), index: usize) -> Self {
        let column = index * self.panel;
        let n = self.panel.min(self.n - column);
        let b_row = if self.panel < self.n { n } else { self.b_row };
        let before = column * self.depth + (self.skipped + first) * b_row;
        let (into, bias) = match first {
            0 if !self.bias.is_null() => (self.into, self.bias.wrapping_add(column)),
            0 => (self.into, self.bias),
            _ => (Into::Add, std::ptr::null()),
        };
        let end = match self.end {
            _ if first + k < self.k => Finish::Plain,
            Finish::WherePositive { gate, row } => Finish::WherePositive { gate: gate.wrapping_add(column), row },
            end => end,
        };
        let (a, b) = (self.a.wrapping_add(first * self.a_col), self.b.wrapping_add(before));
        Self { a, b, b_row, c: self.c.wrapping_add(column), k, n, into, bias, end, before, ..*self }
    }
}

/// Which kernel a product takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Broadcast,
    Dot,
}

/// Runs a product.
///
/// # Safety
/// The bias must be null or as long as C's rows, the views of `p` must lie within their slices, C must overlap neither A nor
/// B, for [`Kind::Dot`] A's columns must lie contiguous, and the processor must have the instructions of `path`.
pub(super) unsafe fn run(path: Path, kind: Kind, p: &Product) {
    // SAFETY: as the caller vouches.
    unsafe { run_on(path, Whole { kind, p }) }
}

/// A product from its first value to its last.
struct Whole<'a> {
    kind: Kind,
    p: &'a Product,
}

impl Part for Whole<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as the caller vouches.
        unsafe {
            match self.kind {
                Kind::Broadcast => broadcast::<S>(self.p),
                Kind::Dot => S::apart(Dot(self.p)),
            }
        }
    }
}

/// Blocks of 4 × 4 dot products, smaller ones at the edges.
struct Dot<'a>(&'a Product);

impl Part for Dot<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self(p) = self;
        let mut j = 0;
        while j < p.n {
            let columns = if p.n - j >= 4 { 4 } else { 1 };
            let mut i = 0;
            while i < p.m {
                let rows = if p.m - i >= 4 { 4 } else { 1 };
                // SAFETY: the block lies within the product.
                unsafe {
                    match (rows, columns) {
                        (4, 4) => dots::<S, 4, 4>(p, i, j),
                        (4, _) => dots::<S, 4, 1>(p, i, j),
                        (_, 4) => dots::<S, 1, 4>(p, i, j),
                        _ => dots::<S, 1, 1>(p, i, j),
                    }
                }
                i += rows;
            }
            j += columns;
        }
    }
}

#[inline(always)]
unsafe fn dots<S: Simd, const R: usize, const C: usize>(p: &Product, i: usize, j: usize) {
    // SAFETY: R rows of A, C rows of Bᵀ and all k lie within the views; a part touches the rest of `k` alone.
    unsafe {
        let mut sums = [[S::zero(); C]; R];
        let (a, b) = (p.a.add(i * p.a_row), p.b.add(j * p.b_row));
        let mut k = 0;
        while k < p.k {
            let part = p.k - k;
            let mut columns = [S::zero(); C];
            for (c, vector) in columns.iter_mut().enumerate() {
                let from = b.add(c * p.b_row + k);
                *vector = if part >= S::LANES { S::load(from) } else { S::load_part(from, part) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let from = a.add(r * p.a_row + k);
                let row = if part >= S::LANES { S::load(from) } else { S::load_part(from, part) };
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = S::multiply_add(row, column, *sum);
                }
            }
            k += S::LANES;
        }
        let mut totals = [[0.0; C]; R];
        if R == 4 && C == 4 {
            let mut block = [[S::zero(); 4]; 4];
            for (to, from) in block.iter_mut().zip(&sums) {
                to.copy_from_slice(from);
            }
            for (to, from) in totals.iter_mut().zip(&S::sums(&block)) {
                to.copy_from_slice(from);
            }
        } else {
            for (totals, sums) in totals.iter_mut().zip(&sums) {
                for (total, &sum) in totals.iter_mut().zip(sums) {
                    *total = S::sum(sum);
                }
            }
        }
        for (r, totals) in totals.iter().enumerate() {
            for (c, total) in totals.iter().enumerate() {
                let to = p.c.add((i + r) * p.c_row + j + c);
                *to = if p.into == Into::Add { *to + total } else { *total };
            }
        }
    }
}
