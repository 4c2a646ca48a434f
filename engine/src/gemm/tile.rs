//! A tile of the broadcast kernel: its sums stay in registers while `k` runs, over all steps or over those that a sieve has
//! found.

use super::Into;
use super::ahead::Region;
use super::kernel::{Finish, Product};
use super::sieve::Steps;
use super::simd::{Part, Simd};

/// Most rows whose places fit registers besides all else.
pub(super) const MOST_APART: usize = 9;

/// Where a tile lies: its first row in its group, its columns. Its last rows may be the first ones of the next groups.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) group: usize,
    pub(super) i: usize,
    pub(super) j: usize,
    pub(super) columns: usize,
}

impl Place {
    /// So many rows below, where a group has `m` of them.
    #[inline(always)]
    pub(super) fn below(self, rows: usize, m: usize) -> Self {
        let mut to = Self { i: self.i + rows, ..self };
        while to.i >= m && m > 0 {
            (to.group, to.i) = (to.group + 1, to.i - m);
        }
        to
    }
}

/// A tile of `R` rows and so many columns as its place has in `V` vectors, the last of which may be a part; of all steps,
/// or of some. With `AHEAD`, it asks for its part of a region.
///
/// # Safety
/// It must lie within the product, and the steps be those of its rows.
pub(super) struct Tile<'a, const R: usize, const V: usize, const AHEAD: bool> {
    pub(super) p: &'a Product,
    pub(super) at: Place,
    pub(super) steps: Option<&'a Steps>,
    pub(super) region: Region,
}

impl<const R: usize, const V: usize, const AHEAD: bool> Part for Tile<'_, R, V, AHEAD> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, at: Place { group, i, j, columns }, steps, region } = self;
        let last = columns - (V - 1) * S::LANES;
        // SAFETY: R rows from row i of the group on, columns j..j+columns and all k lie within the views; a part touches
        // `last` values alone.
        unsafe {
            let mut sums = [[S::zero(); V]; R];
            if !p.bias.is_null() {
                for (v, sum) in sums[0].iter_mut().enumerate() {
                    let from = p.bias.add(j + v * S::LANES);
                    *sum = if v + 1 < V || last == S::LANES { S::load(from) } else { S::load_part(from, last) };
                }
                sums = [sums[0]; R];
            } else if p.into == Into::Add {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let c = p.c.add((group * p.m + i + r) * p.c_row + j);
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let from = c.add(v * S::LANES);
                        *sum = if v + 1 < V || last == S::LANES { S::load(from) } else { S::load_part(from, last) };
                    }
                }
            }
            let first = p.a.add(group * p.groups.1 + i * p.a_row);
            let mut rows = [first; R];
            if i + R <= p.m {
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = first.add(r * p.a_row);
                }
            } else {
                let (mut group, mut i) = (group, i);
                for row in &mut rows {
                    *row = p.a.add(group * p.groups.1 + i * p.a_row);
                    i += 1;
                    if i == p.m {
                        (group, i) = (group + 1, 0);
                    }
                }
            }
            // Hidden, or the compiler works each one out from the last at every step, and some processors do that where they
            // multiply: a twentieth more time, a quarter for a tile of one vector.
            let rows = std::hint::black_box(rows);
            // At fixed distances from one place, where they are neighbours: more than some registers hold.
            let side_by_side = || {
                let (first, mut rows) = (std::hint::black_box(first), rows);
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = first.add(r);
                }
                rows
            };
            if let Some(steps) = steps.filter(|_| AHEAD) {
                match p.a_row {
                    1 => sift::<S, R, V, true>(p, &mut sums, &side_by_side(), (j, last), steps, region),
                    _ => sift::<S, R, V, false>(p, &mut sums, &rows, (j, last), steps, region),
                }
            } else if R > MOST_APART && p.a_row == 1 {
                all::<S, R, V, AHEAD>(p, &mut sums, &side_by_side(), (j, last), region);
            } else {
                all::<S, R, V, AHEAD>(p, &mut sums, &rows, (j, last), region);
            }
            if p.may_hold_zeros {
                for sums in &mut sums {
                    for sum in sums {
                        *sum = S::without_sign_of_zero(*sum);
                    }
                }
            }
            end::<S, R, V>(p, &mut sums, (group * p.m + i, j, last));
            for (r, sums) in sums.iter().enumerate() {
                let c = p.c.add((group * p.m + i + r) * p.c_row + j);
                for (v, &sum) in sums.iter().enumerate() {
                    let c = c.add(v * S::LANES);
                    if v + 1 < V || last == S::LANES { S::store(c, sum) } else { S::store_part(c, sum, last) }
                }
            }
        }
    }
}

/// Does all steps.
///
/// # Safety
/// As for [`Tile`].
#[inline(always)]
unsafe fn all<S: Simd, const R: usize, const V: usize, const AHEAD: bool>(
    p: &Product,
    sums: &mut [[S::Vector; V]; R],
    rows: &[*const f32; R],
    (j, last): (usize, usize),
    region: Region,
) {
    // Plain loops: a closure would not take the instructions of its surroundings over.
    for run in 0..p.runs.0 {
        // Twice, so that the question is not asked at every step.
        // SAFETY: as the caller vouches.
        unsafe {
            if last == S::LANES {
                one_run::<S, R, V, AHEAD>(p, sums, rows, (run, j, S::LANES), region);
            } else {
                one_run::<S, R, V, AHEAD>(p, sums, rows, (run, j, last), region);
            }
        }
    }
}

/// Does the steps of a run.
///
/// # Safety
/// As for [`Tile`].
#[inline(always)]
unsafe fn one_run<S: Simd, const R: usize, const V: usize, const AHEAD: bool>(
    p: &Product,
    sums: &mut [[S::Vector; V]; R],
    rows: &[*const f32; R],
    (run, j, last): (usize, usize, usize),
    region: Region,
) {
    /// Steps between two jumps back.
    const STRIDE: usize = 4;
    // SAFETY: as the caller vouches.
    unsafe {
        let (mut at, mut b, mut left) = (run * p.runs.1, p.b.add(run * p.b_run + j), p.k);
        let mut ahead = region.start.wrapping_add(run * region.run);
        if !AHEAD && p.a_col == 1 {
            // Several steps on the way of one: the instructions beside the multiplications are a limit, too.
            for _ in 0..p.k / STRIDE {
                for i in 0..STRIDE {
                    step::<S, R, V>(sums, rows, at + i, b.wrapping_add(i * p.b_row), last);
                }
                (at, b) = (at + STRIDE, b.wrapping_add(STRIDE * p.b_row));
            }
            left %= STRIDE;
        }
        for _ in 0..left {
            if AHEAD {
                S::prefetch_later(ahead);
                ahead = ahead.wrapping_add(region.step);
            }
            step::<S, R, V>(sums, rows, at, b, last);
            (at, b) = (at + p.a_col, b.wrapping_add(p.b_row));
        }
    }
}

/// Does the steps that are worth doing.
///
/// # Safety
/// As for [`Tile`]; the steps must be its own.
#[inline(always)]
unsafe fn sift<S: Simd, const R: usize, const V: usize, const UPRIGHT: bool>(
    p: &Product,
    sums: &mut [[S::Vector; V]; R],
    rows: &[*const f32; R],
    (j, last): (usize, usize),
    steps: &Steps,
    region: Region,
) {
    /// Steps between two looks ahead.
    const STRIDE: usize = 8;
    let count = steps.len();
    let mut lines = region.lines((p.runs.0, p.k), count.div_ceil(STRIDE));
    let mut i = 0;
    // SAFETY: as the caller vouches.
    unsafe {
        let b = p.b.add(j);
        while i < count {
            lines.ask::<S>();
            let end = (i + STRIDE).min(count);
            // Twice, so that the question is not asked at every step.
            if last == S::LANES {
                while i < end {
                    let (at, of_b) = steps.at::<UPRIGHT>(i);
                    step::<S, R, V>(sums, rows, at, b.add(of_b), S::LANES);
                    i += 1;
                }
            } else {
                while i < end {
                    let (at, of_b) = steps.at::<UPRIGHT>(i);
                    step::<S, R, V>(sums, rows, at, b.add(of_b), last);
                    i += 1;
                }
            }
        }
    }
}

/// Adds the products of the values at `at` in each row with the row of B at `b`.
///
/// # Safety
/// As for [`Tile`], of a step of its.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const V: usize>(
    sums: &mut [[S::Vector; V]; R],
    rows: &[*const f32; R],
    at: usize,
    b: *const f32,
    last: usize,
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut row = [S::zero(); V];
        for (v, vector) in row.iter_mut().enumerate() {
            let from = b.wrapping_add(v * S::LANES);
            *vector = if v + 1 < V || last == S::LANES { S::load(from) } else { S::load_part(from, last) };
        }
        for (sums, a) in sums.iter_mut().zip(rows) {
            let value = S::splat(*a.add(at));
            for (sum, &b) in sums.iter_mut().zip(&row) {
                *sum = S::multiply_add(value, b, *sum);
            }
        }
    }
}

/// Does what the product ends with to the sums of a tile, whose last vectors hold `last` columns.
///
/// # Safety
/// As for [`Tile`], whose first value is that of row `i` and column `j`.
#[inline(always)]
unsafe fn end<S: Simd, const R: usize, const V: usize>(
    p: &Product,
    sums: &mut [[S::Vector; V]; R],
    (i, j, last): (usize, usize, usize),
) {
    // SAFETY: as the caller vouches; the gate is as large as C.
    unsafe {
        match p.end {
            Finish::Plain => {}
            Finish::Rectify => {
                for sums in sums {
                    for sum in sums {
                        *sum = S::where_positive(*sum, *sum, true);
                    }
                }
            }
            Finish::WherePositive { gate, row } => {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let gate = gate.add((i + r) * row + j);
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let gate = gate.add(v * S::LANES);
                        let gate = if v + 1 < V || last == S::LANES { S::load(gate) } else { S::load_part(gate, last) };
                        *sum = S::where_positive(*sum, gate, false);
                    }
                }
            }
        }
    }
}
