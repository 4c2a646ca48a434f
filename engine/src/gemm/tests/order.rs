//! The order in which a path sums the steps of an element of a product, in plain loops that leave no step out. The kernels
//! must give the same bits, whichever steps they leave out.

use super::super::broadcast::DEPTH;
use super::super::simd::QUAD;
use crate::processor::Path;

/// How the steps of an element are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One after the other, beginning with what is there.
    Steps,
    /// Every 16th (8th) of them in a sum of its own, and those added up by halves; what is there comes last.
    Lanes,
    /// Every fourth (second) of them, run by run; else as in lanes.
    Quads,
}

/// Where an element lies in its product, as far as its order depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    /// Column, and columns of the product, which is a single panel.
    pub(super) j: usize,
    pub(super) n: usize,
    /// Whether the columns of A lie side by side, and in how many runs they come.
    pub(super) a_lies_by_rows: bool,
    pub(super) runs: usize,
    pub(super) may_hold_zeros: bool,
}

/// What the order depends on in a path.
#[derive(Debug, Clone, Copy)]
struct Arithmetic {
    lanes: usize,
    /// Whether a product is rounded only once, with the sum it is added to.
    is_fused: bool,
    /// Whether tiles leave steps out.
    leaves_out: bool,
}

impl Arithmetic {
    fn of(path: Path) -> Self {
        let lanes = if path.name().ends_with("avx512") { 16 } else { 8 };
        Self { lanes, is_fused: path.is_fused(), leaves_out: path != Path::Portable }
    }

    /// Up to four columns beyond whole vectors do not get a vector of their own if A lies row by row. Products that leave
    /// steps out have to be two vectors wide for that, or else those columns were a good part of the work, done in full.
    fn order(self, at: Element) -> Order {
        let beyond = at.n % self.lanes;
        let is_wide = at.n >= 2 * self.lanes || !(self.leaves_out && at.may_hold_zeros);
        let is_apart = at.a_lies_by_rows && is_wide && beyond <= QUAD && at.j >= at.n - beyond;
        match at.runs {
            _ if !is_apart => Order::Steps,
            1 => Order::Lanes,
            _ => Order::Quads,
        }
    }

    fn multiply_add(self, (a, b): (f32, f32), sum: f32) -> f32 {
        if self.is_fused { a.mul_add(b, sum) } else { a * b + sum }
    }

    /// The steps of each part in so many sums, in turn; then the upper half of the sums added to the lower one, and so on.
    fn in_sums<'a>(self, count: usize, parts: impl Iterator<Item = &'a [(f32, f32)]>) -> f32 {
        let mut sums = vec![0.0; count];
        for (i, &factors) in parts.flat_map(|part| part.iter().enumerate()) {
            sums[i % count] = self.multiply_add(factors, sums[i % count]);
        }
        while sums.len() > 1 {
            let upper = sums.split_off(sums.len() / 2);
            sums.iter_mut().zip(upper).for_each(|(sum, upper)| *sum += upper);
        }
        sums[0]
    }
}

/// The sum of `start` and the products of all `factors`, as `path` works it out for the element `at`; +0 for −0.
pub(super) fn sum(path: Path, at: Element, start: f32, factors: &[(f32, f32)]) -> f32 {
    let arithmetic = Arithmetic::of(path);
    let sum = match arithmetic.order(at) {
        Order::Steps => factors.iter().fold(start, |sum, &factors| arithmetic.multiply_add(factors, sum)),
        Order::Lanes => {
            let pieces = factors.chunks(DEPTH);
            pieces.fold(start, |sum, piece| sum + arithmetic.in_sums(arithmetic.lanes, std::iter::once(piece)))
        }
        Order::Quads => start + arithmetic.in_sums(arithmetic.lanes / QUAD, factors.chunks(factors.len() / at.runs)),
    };
    sum + 0.0
}
