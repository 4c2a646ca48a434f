//! What a product is laid over: its factors and its result, as they lie in memory.

use std::ops::Range;

use ndarray::{ArrayViewMut2, Axis as AxisOf, ShapeBuilder};

/// A matrix laid over a slice: `rows × cols`, element `(i, j)` at `i * row_stride + j * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
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

    /// Some of its columns.
    ///
    /// # Panics
    /// If it has not got them.
    pub fn of_columns(self, some: Range<usize>) -> Self {
        assert!(some.start <= some.end && some.end <= self.cols, "columns {some:?} of {}", self.cols);
        // Without a column there is no value to begin with.
        let first = if some.is_empty() { 0 } else { some.start * self.col_stride };
        Self { data: self.data.get(first..).unwrap_or_default(), cols: some.len(), ..self }
    }

    /// Its rows.
    pub fn row_count(&self) -> usize {
        self.rows
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
pub struct ViewMut<'a>(pub(super) ArrayViewMut2<'a, f32>);

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
    /// Whether many of its values may be zero, as those of images or after a ReLU: a product with it then looks for what
    /// they spare it.
    pub may_hold_zeros: bool,
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
    pub(super) fn is_sound(&self) -> bool {
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
            may_hold_zeros: false,
        }
    }
}

/// A right factor whose columns come in panels of so many, fewer in the last one: each row by row, one after the other. Any
/// other matrix is a single panel.
#[derive(Debug, Clone, Copy)]
pub struct Panelled<'a> {
    pub(super) grid: Grid<'a>,
    /// Columns of a panel.
    pub(super) width: usize,
    /// Rows of a panel, and those of them that come before the matrix's.
    pub(super) depth: usize,
    pub(super) before: usize,
}

impl<'a> Panelled<'a> {
    /// `data` as `rows × cols` values in panels of `width` columns.
    ///
    /// # Panics
    /// If `data` is too short, or panels have no columns.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, width: usize) -> Self {
        assert!(width > 0 && fits(data.len(), rows, cols, cols), "{rows}×{cols} in panels over {} values", data.len());
        // A panel alone stays one of that width, and so is worked on as it is among others.
        let grid = View { data, rows, cols, row_stride: width.min(cols), col_stride: 1 }.into();
        Self { grid, width, depth: rows, before: 0 }
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// If it has not got them.
    pub fn of_rows(self, some: Range<usize>) -> Self {
        let rows = self.grid.rows;
        assert!(
            some.start <= some.end && some.end <= rows.count && self.grid.groups.count == 1,
            "rows {some:?} of {rows:?}"
        );
        let grid = Grid { rows: Axis::new(some.len(), rows.stride), ..self.grid };
        Self { grid, before: self.before + some.start, ..self }
    }
}

impl<'a, T: std::convert::Into<Grid<'a>>> From<T> for Panelled<'a> {
    fn from(grid: T) -> Self {
        let grid = grid.into();
        Self { width: grid.columns.count, depth: grid.rows.count, before: 0, grid }
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (cols <= row_stride && (rows - 1) * row_stride + cols <= len)
}
