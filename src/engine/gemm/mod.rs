//! The matrix product `C = A·B` or `C += A·B` on strided views, on the calling thread, without taking memory.
//!
//! One call is never cut over threads: the callers cut the work by the data, so the thread count cannot change a bit.
//! The shapes here are small and their factors lie well for one of two kernels (`kernel`), so nothing is packed;
//! `simd` says what differs between processors.
#![expect(unsafe_code, reason = "the product works on raw strided matrices; every view is checked against its slice")]

mod broadcast;
mod kernel;
mod row;
mod simd;
pub mod sparse;
mod strip;
mod transpose;

use ndarray::{ArrayViewMut2, Axis as AxisOf, ShapeBuilder};

use super::processor::Path;
use kernel::{Kind, Product};
pub use transpose::transpose;

/// A matrix laid over a slice: `rows × cols`, element `(i, j)` at `i * row_stride + j * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// `data` as rows of `row_stride` values, of which the first `cols` are looked at.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn rows(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "a {rows}×{cols} view over {} values", data.len());
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without moving a value.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            data: self.data,
        }
    }
}

/// Where a product goes: `rows × cols` values over a slice, row by row.
#[derive(Debug)]
pub struct ViewMut<'a>(ArrayViewMut2<'a, f32>);

impl<'a> ViewMut<'a> {
    /// `data` as rows of `row_stride` values, of which the first `cols` are written to.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn rows(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        let len = data.len();
        let view = match rows.min(cols) {
            0 => ArrayViewMut2::from_shape((rows, cols), &mut data[..0]),
            _ => ArrayViewMut2::from_shape((rows, cols).strides((row_stride, 1)), data),
        };
        Self(view.unwrap_or_else(|_| panic!("a {rows}×{cols} product into {len} values")))
    }

    /// The columns before `column`, and those from there on.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn split_at_column(self, column: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(AxisOf(1), column);
        (Self(left), Self(right))
    }
}

/// A matrix whose rows come in groups and whose columns come in runs, each at a distance of its own.
///
/// Element (row `r` of group `g`, column `k` of run `n`) lies at
/// `g · groups.stride + r · rows.stride + n · runs.stride + k · columns.stride`. The windows of an image are such a
/// matrix, so a convolution is a product with it: im2col (*Deep Learning from Scratch* §7.4.2) without its copies.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// What it is laid over.
    pub data: &'a [f32],
    /// Groups of rows.
    pub groups: Axis,
    /// Rows of a group.
    pub rows: Axis,
    /// Runs of columns.
    pub runs: Axis,
    /// Columns of a run.
    pub columns: Axis,
}

/// So many things, so many values apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// How many.
    pub count: usize,
    /// Distance from one to the next, in values.
    pub stride: usize,
}

impl Axis {
    /// One thing alone.
    pub const ONE: Self = Self { count: 1, stride: 0 };

    /// So many things, so many values apart.
    pub fn new(count: usize, stride: usize) -> Self {
        Self { count, stride }
    }
}

impl Grid<'_> {
    /// Whether every element lies within the data.
    fn is_sound(&self) -> bool {
        let axes = [self.groups, self.rows, self.runs, self.columns];
        axes.iter().any(|axis| axis.count == 0)
            || axes
                .iter()
                .try_fold(0usize, |last, axis| last.checked_add((axis.count - 1).checked_mul(axis.stride)?))
                .is_some_and(|last| last < self.data.len())
    }
}

impl<'a> From<View<'a>> for Grid<'a> {
    fn from(view: View<'a>) -> Self {
        Self {
            data: view.data,
            groups: Axis::ONE,
            rows: Axis::new(view.rows, view.row_stride),
            runs: Axis::ONE,
            columns: Axis::new(view.cols, view.col_stride),
        }
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (cols <= row_stride && (rows - 1) * row_stride + cols <= len)
}

/// What happens to the values that the result's place held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// `C = A·B` or `C += A·B`.
///
/// # Panics
/// If the sizes do not match, or both are transposes: Aᵀ·Bᵀ = (B·A)ᵀ, which no layer needs.
pub fn matmul(into: Into, c: ViewMut<'_>, a: View<'_>, b: View<'_>) {
    multiply(Path::chosen(), into, c, a, b);
}

/// `C = A·B` or `C += A·B` for a grid A and a B that lies row by row; `c` as rows of `b`'s columns, one after the other.
///
/// B's rows may come in as many groups as A's columns have runs.
///
/// # Panics
/// If the sizes do not match, or a grid reaches beyond its data.
pub fn grid_matmul<'b>(into: Into, c: &mut [f32], a: Grid<'_>, b: impl std::convert::Into<Grid<'b>>) {
    let b = b.into();
    let (rows, columns) = (a.groups.count * a.rows.count, b.columns.count);
    let c = ViewMut::rows(c, rows, columns, columns);
    multiply_grid(Path::chosen(), Kind::Broadcast, into, c, (&a, &b), None);
}

/// `C = A·B + bias`, with the bias added to every row; A is as in [`grid_matmul`], and B lies row by row.
///
/// # Panics
/// As [`grid_matmul`], and if the bias is not as long as a row of C.
pub fn biased_matmul<'a>(c: ViewMut<'_>, a: impl std::convert::Into<Grid<'a>>, b: View<'_>, bias: &[f32]) {
    multiply_grid(Path::chosen(), Kind::Broadcast, Into::Replace, c, (&a.into(), &b.into()), Some(bias));
}

fn multiply(path: Path, into: Into, c: ViewMut<'_>, a: View<'_>, b: View<'_>) {
    let kind = match (b.col_stride, a.col_stride) {
        (1, _) => Kind::Broadcast,
        (_, 1) => Kind::Dot,
        _ => panic!("one of the factors must lie row by row"),
    };
    multiply_grid(path, kind, into, c, (&a.into(), &b.into()), None);
}

fn multiply_grid(
    path: Path,
    kind: Kind,
    into: Into,
    ViewMut(mut c): ViewMut<'_>,
    (a, b): (&Grid<'_>, &Grid<'_>),
    bias: Option<&[f32]>,
) {
    let (rows, columns) = (a.groups.count * a.rows.count, b.columns.count);
    assert_eq!(a.runs.count * a.columns.count, b.groups.count * b.rows.count, "inner sizes differ");
    assert!(a.is_sound() && b.is_sound(), "a grid reaches beyond its data");
    assert_eq!(c.dim(), (rows, columns), "the sizes of the product");
    let begins_with = |bias: &[f32]| bias.len() == columns && kind == Kind::Broadcast && into == Into::Replace;
    assert!(bias.is_none_or(begins_with), "a bias for every column, in the place of what was there");
    let (b_row, b_column) = match kind {
        Kind::Broadcast => (b.rows.stride, b.columns.stride),
        Kind::Dot => (b.columns.stride, b.rows.stride),
    };
    assert!(b.runs.count == 1 && (b_column == 1 || columns <= 1), "B must lie row by row");
    let b_run = match b.groups.count {
        1 => a.columns.count * b_row,
        _ => {
            assert!(kind == Kind::Broadcast && b.groups.count == a.runs.count, "A's runs and B's groups differ");
            b.groups.stride
        }
    };
    let product = Product {
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
        done: 0,
    };
    // SAFETY: `Grid::is_sound` has checked that every element of A and B lies in its slice, and C is a view of as
    // many rows and columns, whose columns are neighbours, as `ViewMut` makes no others; it is borrowed mutably, so it
    // overlaps neither A nor B; the broadcast kernel is chosen only where B's columns are
    // contiguous, the dot kernel only for a plain matrix A with contiguous columns; `Path` only gives out what the
    // processor has.
    unsafe { kernel::run(path, kind, &product) }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayView2};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::rng::{Purpose, Rng};

    fn random(rows: usize, cols: usize, stream: u64) -> Array2<f32> {
        let mut rng = Rng::new(1, Purpose::GradientCheck, stream, 0);
        Array2::from_shape_fn((rows, cols), |_| rng.normal() as f32)
    }

    fn view(a: &Array2<f32>) -> View<'_> {
        View::rows(a.as_slice().expect("standard layout"), a.nrows(), a.ncols(), a.ncols())
    }

    fn exact(a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Array2<f64> {
        a.mapv(f64::from).dot(&b.mapv(f64::from))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn agrees_with_ndarray_on_every_path(
            m in 1usize..90, k in 0usize..70, n in 1usize..140, pad in 0usize..5, transposed in 0..3, add: bool,
        ) {
            let (ta, tb) = (transposed == 1, transposed == 2);
            let a = if ta { random(k, m, 0) } else { random(m, k, 0) };
            let b = if tb { random(n, k, 1) } else { random(k, n, 1) };
            let (va, vb) = (view(&a), view(&b));
            let truth = exact(&if ta { a.t() } else { a.view() }, &if tb { b.t() } else { b.view() });
            let stride = n + pad;
            for path in Path::available() {
                let mut c = vec![2.0f32; m * stride];
                let into = if add { Into::Add } else { Into::Replace };
                let (va, vb) = (if ta { va.transposed() } else { va }, if tb { vb.transposed() } else { vb });
                multiply(path, into, ViewMut::rows(&mut c, m, n, stride), va, vb);
                for i in 0..m {
                    for j in 0..n {
                        let expected = truth[[i, j]] + if add { 2.0 } else { 0.0 };
                        let error = (f64::from(c[i * stride + j]) - expected).abs();
                        prop_assert!(error < 1e-4, "{path:?}");
                    }
                    let beside = &c[i * stride + n..(i + 1) * stride];
                    prop_assert!(beside.iter().all(|v| *v == 2.0), "{path:?} wrote beside the result");
                }
            }
        }

        /// Windows of an image, as a convolution takes them.
        #[test]
        fn grids_agree_with_plain_matrices_on_every_path(
            groups in 1usize..4, rows in 1usize..20, runs in 1usize..4, columns in 1usize..20, n in 1usize..70,
            strides in (1usize..9, 1usize..9, 1usize..9, 1usize..9), add: bool,
        ) {
            let data = random(1, 3 * 9 + 19 * 9 + 3 * 9 + 19 * 9 + 1, 0);
            let data = data.as_slice().expect("standard layout");
            let a = Grid {
                data,
                groups: Axis::new(groups, strides.0),
                rows: Axis::new(rows, strides.1),
                runs: Axis::new(runs, strides.2),
                columns: Axis::new(columns, strides.3),
            };
            let plain = Array2::from_shape_fn((groups * rows, runs * columns), |(i, k)| {
                let (g, r, run, column) = (i / rows, i % rows, k / columns, k % columns);
                data[g * strides.0 + r * strides.1 + run * strides.2 + column * strides.3]
            });
            let b = random(runs * columns, n, 1);
            let truth = exact(&plain.view(), &b.view());
            for path in Path::available() {
                let mut c = vec![2.0f32; groups * rows * n];
                let into = if add { Into::Add } else { Into::Replace };
                let bias = (n % 2 == 0 && !add).then(|| vec![0.5; n]);
                let into_c = ViewMut::rows(&mut c, groups * rows, n, n);
                multiply_grid(path, Kind::Broadcast, into, into_c, (&a, &Grid::from(view(&b))), bias.as_deref());
                for (value, truth) in c.iter().zip(&truth) {
                    let start = if add { 2.0 } else { 0.0 } + if bias.is_some() { 0.5 } else { 0.0 };
                    let error = (f64::from(*value) - truth - start).abs();
                    prop_assert!(error < 1e-4, "{path:?}");
                }
            }
        }

        /// More rows of B than are gone through at once.
        #[test]
        fn deep_products_agree_on_every_path(m in 1usize..12, k in 1000usize..2200, n in 1usize..70, add: bool) {
            let (a, b) = (random(m, k, 0), random(k, n, 1));
            let truth = exact(&a.view(), &b.view());
            for path in Path::available() {
                let mut c = vec![2.0f32; m * n];
                let into = if add { Into::Add } else { Into::Replace };
                let bias = (!add && n % 2 == 0).then(|| vec![2.0; n]);
                let views = (&Grid::from(view(&a)), &Grid::from(view(&b)));
                multiply_grid(path, Kind::Broadcast, into, ViewMut::rows(&mut c, m, n, n), views, bias.as_deref());
                let start = if add || bias.is_some() { 2.0 } else { 0.0 };
                for (value, truth) in c.iter().zip(&truth) {
                    prop_assert!((f64::from(*value) - truth - start).abs() < 1e-3, "{path:?}");
                }
            }
        }

        /// Shards of a batch, each with its rows of x and dy: in one product, or one after the other.
        #[test]
        fn runs_apart_are_one_product(
            shards in 1usize..5, k in 1usize..20, m in 1usize..90, n in 1usize..70, apart in 0usize..9, add: bool,
        ) {
            let (x_stride, y_stride) = (k * m + apart, k * n + apart);
            let (x, y) = (random(1, shards * x_stride, 0), random(1, shards * y_stride, 1));
            let (x, y) = (x.as_slice().expect("standard layout"), y.as_slice().expect("standard layout"));
            let (runs, columns) = (Axis::new(shards, x_stride), Axis::new(k, m));
            let a = Grid { data: x, groups: Axis::ONE, rows: Axis::new(m, 1), runs, columns };
            let groups = Axis::new(shards, y_stride);
            let b = Grid { data: y, groups, rows: Axis::new(k, n), runs: Axis::ONE, columns: Axis::new(n, 1) };
            for path in Path::available() {
                let (mut whole, mut steps) = (vec![2.0; m * n], vec![2.0; m * n]);
                let begin = if add { Into::Add } else { Into::Replace };
                multiply_grid(path, Kind::Broadcast, begin, ViewMut::rows(&mut whole, m, n, n), (&a, &b), None);
                for shard in 0..shards {
                    let (x, y) = (&x[shard * x_stride..], &y[shard * y_stride..]);
                    let into = if shard == 0 { begin } else { Into::Add };
                    let (x, y) = (View::rows(x, k, m, m).transposed(), View::rows(y, k, n, n));
                    multiply(path, into, ViewMut::rows(&mut steps, m, n, n), x, y);
                }
                // A single row takes quads, whose lanes are added up once in the whole and once a step.
                prop_assert!(m == 1 || whole == steps, "{path:?}");
                prop_assert!(whole.iter().zip(&steps).all(|(a, b)| (a - b).abs() < 1e-4), "{path:?}");
            }
        }

        /// Whole or in pieces of rows, with zeros among the values as a ReLU leaves them: the same bits.
        #[test]
        fn cutting_the_rows_changes_no_bit(
            m in 1usize..30, cut in 0usize..30, k in 1usize..300, n in 1usize..150, transposed: bool, zeros: bool,
        ) {
            let cut = cut.min(m);
            let a = random(m, k, 0).mapv(|value| if zeros { value.max(0.0) } else { value });
            let b = if transposed { random(n, k, 1) } else { random(k, n, 1) };
            let vb = if transposed { view(&b).transposed() } else { view(&b) };
            let data = a.as_slice().expect("standard layout");
            for path in Path::available() {
                let (mut whole, mut pieces) = (vec![0.0; m * n], vec![0.0; m * n]);
                multiply(path, Into::Replace, ViewMut::rows(&mut whole, m, n, n), View::rows(data, m, k, k), vb);
                let (first, second) = pieces.split_at_mut(cut * n);
                multiply(path, Into::Replace, ViewMut::rows(first, cut, n, n), View::rows(&data[..cut * k], cut, k, k), vb);
                let second = ViewMut::rows(second, m - cut, n, n);
                multiply(path, Into::Replace, second, View::rows(&data[cut * k..], m - cut, k, k), vb);
                prop_assert_eq!(whole, pieces);
            }
        }

        /// The same where A lies column by column.
        #[test]
        fn cutting_upright_rows_changes_no_bit(m in 1usize..150, cut in 0usize..150, k in 1usize..40, n in 1usize..70) {
            let cut = cut.min(m);
            let (a, b) = (random(k, m, 0), random(k, n, 1));
            let data = a.as_slice().expect("standard layout");
            let rows = |first: usize, count: usize| View::rows(&data[first.min(data.len())..], k, count, m).transposed();
            for path in Path::available() {
                let (mut whole, mut pieces) = (vec![0.0; m * n], vec![0.0; m * n]);
                multiply(path, Into::Replace, ViewMut::rows(&mut whole, m, n, n), rows(0, m), view(&b));
                let (first, second) = pieces.split_at_mut(cut * n);
                multiply(path, Into::Replace, ViewMut::rows(first, cut, n, n), rows(0, cut), view(&b));
                multiply(path, Into::Replace, ViewMut::rows(second, m - cut, n, n), rows(cut, m - cut), view(&b));
                prop_assert_eq!(whole, pieces);
            }
        }
    }

    #[test]
    #[should_panic(expected = "A's runs and B's groups differ")]
    fn groups_that_do_not_match_are_refused() {
        let (two, one) = (Axis::new(2, 1), Axis::new(1, 1));
        let a = Grid { data: &[0.0; 4], groups: Axis::ONE, rows: one, runs: Axis::ONE, columns: Axis::new(4, 1) };
        let b = Grid { data: &[0.0; 4], groups: Axis::new(2, 2), rows: two, runs: Axis::ONE, columns: one };
        grid_matmul(Into::Replace, &mut [0.0; 4], a, b);
    }

    #[test]
    #[should_panic(expected = "beyond its data")]
    fn a_grid_beyond_its_data_is_refused() {
        let axis = Axis::new(2, 2);
        let a = Grid { data: &[0.0; 4], groups: axis, rows: axis, runs: Axis::ONE, columns: Axis::ONE };
        grid_matmul(Into::Replace, &mut [0.0; 4], a, View::rows(&[1.0], 1, 1, 1));
    }
}
