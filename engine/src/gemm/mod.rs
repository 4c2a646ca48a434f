//! The matrix product `C = A·B` or `C += A·B` on strided views, on the calling thread, without taking memory.
//!
//! One call is never cut over threads: the callers cut the work, by the data, or where it changes no bit: into pieces of
//! rows, or into the panels that B lies in.
//! The shapes here are small and their factors lie well for one of two kernels (`kernel`), so nothing is packed;
//! `simd` says what differs between processors.
#![expect(unsafe_code, reason = "the product works on raw strided matrices; every view is checked against its slice")]

mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod broadcast;
mod kernel;
mod pooled;
mod portable;
mod quads;
mod row;
mod sieve;
mod simd;
pub mod sparse;
mod strip;
mod tile;
mod transpose;
mod upright;
mod view;

use super::aligned::LINE;
use super::processor::Path;
use ahead::Ahead;
pub use ahead::MOST_SOON;
use kernel::{Finish, Kind, Product};
pub use pooled::Pooled;
pub use transpose::transpose;
pub use view::{Axis, Grid, Panelled, View, ViewMut};

/// What happens to the values that the result's place held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// What becomes of the values of a product at last.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// They stay as they are.
    Plain,
    /// Each is rectified: 0 unless it is positive, or not a number.
    Rectify,
    /// Each becomes 0 unless the value at its place here is positive: the gradient of what was rectified.
    WherePositive(View<'a>),
}

/// What a product begins with, what it does to it, and what becomes of it.
struct Frame<'a> {
    into: Into,
    bias: Option<&'a [f32]>,
    end: End<'a>,
}

impl From<Into> for Frame<'_> {
    fn from(into: Into) -> Self {
        Self { into, bias: None, end: End::Plain }
    }
}

/// Nothing that is read soon.
pub const NOTHING: [&[f32]; MOST_SOON] = [&[]; MOST_SOON];

/// `C = A·B` or `C += A·B`.
///
/// # Panics
/// If the sizes do not match, or both are transposes: Aᵀ·Bᵀ = (B·A)ᵀ, which no layer needs.
pub fn matmul<'b>(into: Into, c: ViewMut<'_>, a: View<'_>, b: impl std::convert::Into<Panelled<'b>>) {
    multiply(Path::chosen(), into, c, a, b);
}

/// `C = A·B` or `C += A·B` for a grid A and a B that lies row by row; `c` as rows of `b`'s columns, one after the other.
///
/// B's rows may come in as many groups as A's columns have runs. What will be read `soon` afterwards is asked for meanwhile.
///
/// # Panics
/// If the sizes do not match, or a grid reaches beyond its data.
pub fn grid_matmul<'b>(
    into: Into,
    c: &mut [f32],
    a: Grid<'_>,
    b: impl std::convert::Into<Grid<'b>>,
    soon: [&[f32]; MOST_SOON],
) {
    let b: Grid<'_> = b.into();
    let (rows, columns) = (a.groups.count * a.rows.count, b.columns.count);
    let c = ViewMut::rows(c, rows, columns, columns);
    multiply_grid(Path::chosen(), Kind::Broadcast, into.into(), c, (&a, &b.into()), soon);
}

/// `C = A·B`, of which no more is left than the [end](End) says; B lies row by row.
///
/// # Panics
/// If the sizes do not match.
pub fn matmul_to<'a, 'b>(
    end: End<'_>,
    c: ViewMut<'_>,
    a: impl std::convert::Into<Grid<'a>>,
    b: impl std::convert::Into<Panelled<'b>>,
) {
    let frame = Frame { end, ..Into::Replace.into() };
    multiply_grid(Path::chosen(), Kind::Broadcast, frame, c, (&a.into(), &b.into()), NOTHING);
}

/// `C = A·B + bias`, with the bias added to every row, and what the [end](End) says; A is as in [`grid_matmul`], B lies row
/// by row.
///
/// # Panics
/// As [`grid_matmul`], and if the bias is not as long as a row of C.
pub fn biased_matmul<'a, 'b>(
    c: ViewMut<'_>,
    a: impl std::convert::Into<Grid<'a>>,
    b: impl std::convert::Into<Panelled<'b>>,
    bias: &[f32],
    end: End<'_>,
) {
    let frame = Frame { bias: Some(bias), end, ..Into::Replace.into() };
    multiply_grid(Path::chosen(), Kind::Broadcast, frame, c, (&a.into(), &b.into()), NOTHING);
}

/// Matrices of one size that lie row by row, each so many values after the one before.
#[derive(Debug)]
pub struct Each<T> {
    /// All of them.
    pub values: T,
    /// How far one begins from the one before.
    pub apart: usize,
}

/// `C = A·B` for so many matrices of each, A of `m × k` values and B of `k × n`.
///
/// # Panics
/// If there are not so many, or results overlap.
pub fn matmul_each(count: usize, [m, k, n]: [usize; 3], c: Each<&mut [f32]>, a: Each<&[f32]>, b: Each<&[f32]>) {
    multiply_each(Path::chosen(), count, [m, k, n], c, a, b);
}

fn multiply_each(
    path: Path,
    count: usize,
    [m, k, n]: [usize; 3],
    Each { values: c, apart: c_apart }: Each<&mut [f32]>,
    Each { values: a, apart: a_apart }: Each<&[f32]>,
    Each { values: b, apart: b_apart }: Each<&[f32]>,
) {
    let Some(last) = count.checked_sub(1) else { return };
    // The last ones; the first ones are checked with their product.
    let fits = |len: usize, apart: usize, size: usize| {
        last.checked_mul(apart).and_then(|first| first.checked_add(size)).is_some_and(|end| end <= len)
    };
    assert!(fits(a.len(), a_apart, m * k) && fits(b.len(), b_apart, k * n), "{count} factors");
    assert!(fits(c.len(), c_apart, m * n) && (last == 0 || c_apart >= m * n), "{count} results, side by side");
    let factors = (&View::rows(a, m, k, k).into(), &View::rows(b, k, n, n).into());
    let first = product(Kind::Broadcast, Into::Replace.into(), ViewMut::rows(c, m, n, n), factors, NOTHING);
    let product = Product { each: (count, [a_apart, b_apart, c_apart]), ..first };
    // SAFETY: as in `multiply_grid` for the first ones; the last matrix of each lies in its slice, too, and so do those
    // between. No two of C's overlap.
    unsafe { kernel::run(path, Kind::Broadcast, &product) }
}

fn multiply<'b>(path: Path, into: Into, c: ViewMut<'_>, a: View<'_>, b: impl std::convert::Into<Panelled<'b>>) {
    let b = b.into();
    let kind = match (b.grid.columns.stride, a.col_stride) {
        (1, _) => Kind::Broadcast,
        (_, 1) => Kind::Dot,
        _ => panic!("one of the factors must lie row by row"),
    };
    multiply_grid(path, kind, into.into(), c, (&a.into(), &b), NOTHING);
}

fn multiply_grid(
    path: Path,
    kind: Kind,
    frame: Frame<'_>,
    c: ViewMut<'_>,
    factors: (&Grid<'_>, &Panelled<'_>),
    soon: [&[f32]; MOST_SOON],
) {
    let product = product(kind, frame, c, factors, soon);
    // SAFETY: `product` has checked that all elements of A, B, the gate and C lie in their slices, which are borrowed until
    // the end of this function, C mutably. The broadcast kernel is chosen only where B's columns are contiguous, the dot
    // kernel only for a plain matrix A with contiguous columns; `Path` only gives out what the processor has.
    unsafe { kernel::run(path, kind, &product) }
}

/// The product of these, whose pointers are sound: `Grid::is_sound` checks that every element of A and B lies in its slice,
/// `Panelled::new` that those of several panels do, and `View::rows` that those of the gate do, which is as large as C. C is a
/// view of as many rows and columns, whose columns are neighbours, as `ViewMut` makes no others; it is borrowed mutably,
/// so it overlaps none of them.
///
/// # Panics
/// If they do not fit each other.
fn product(
    kind: Kind,
    Frame { into, bias, end }: Frame<'_>,
    ViewMut(mut c): ViewMut<'_>,
    (a, panelled): (&Grid<'_>, &Panelled<'_>),
    soon: [&[f32]; MOST_SOON],
) -> Product {
    let Panelled { grid: b, width, depth, before } = *panelled;
    let (rows, columns) = (a.groups.count * a.rows.count, b.columns.count);
    assert_eq!(a.runs.count * a.columns.count, b.groups.count * b.rows.count, "inner sizes differ");
    // With the rows that come before B's.
    let whole = Grid { rows: Axis::new(depth, b.rows.stride), ..b };
    assert!(a.is_sound() && whole.is_sound(), "a grid reaches beyond its data");
    assert_eq!(c.dim(), (rows, columns), "the sizes of the product");
    let begins_with = |bias: &[f32]| bias.len() == columns && kind == Kind::Broadcast && into == Into::Replace;
    assert!(bias.is_none_or(begins_with), "a bias for every column, in the place of what was there");
    let end = match end {
        End::Plain => Finish::Plain,
        _ if kind == Kind::Dot => panic!("a product with a transpose stays as it is"),
        End::Rectify => Finish::Rectify,
        End::WherePositive(gate) => {
            assert!((gate.rows, gate.cols, gate.col_stride) == (rows, columns, 1), "a gate for every value");
            Finish::WherePositive { gate: gate.data.as_ptr(), row: gate.row_stride }
        }
    };
    let (b_row, b_column) = match kind {
        Kind::Broadcast => (b.rows.stride, b.columns.stride),
        Kind::Dot => (b.columns.stride, b.rows.stride),
    };
    assert!(before == 0 || kind == Kind::Broadcast, "some rows of a transpose");
    assert!(b.runs.count == 1 && (b_column == 1 || columns <= 1), "B must lie row by row");
    let b_run = match b.groups.count {
        1 => a.columns.count * b_row,
        _ => {
            assert!(kind == Kind::Broadcast && b.groups.count == a.runs.count, "A's runs and B's groups differ");
            b.groups.stride
        }
    };
    Product {
        a: a.data.as_ptr(),
        a_row: a.rows.stride,
        a_col: a.columns.stride,
        b: b.data.as_ptr(),
        b_row,
        b_run,
        c: c.as_mut_ptr(),
        // Of one row, the distance to the next is any.
        c_row: c.strides()[0].unsigned_abs(),
        m: a.rows.count,
        k: a.columns.count,
        n: columns,
        groups: (a.groups.count, a.groups.stride),
        runs: (a.runs.count, a.runs.stride),
        into,
        bias: bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
        end,
        panel: width,
        depth,
        skipped: before,
        of_b: b.groups.count * depth * if width < columns { columns } else { b_row },
        before: 0,
        may_hold_zeros: a.may_hold_zeros,
        ahead: Ahead::of(a, soon),
        each: (1, [0; 3]),
    }
}

#[cfg(test)]
mod tests;
