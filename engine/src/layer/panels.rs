//! A matrix cut into upright panels, which lie one after the other, each row by row:
//!
//! ```text
//!   ┌────────┬────────┬───┐
//!   │ 0 →    │ r·w →  │   │     w columns a panel, fewer in the last one
//!   │ w →    │        │   │     r rows
//!   └────────┴────────┴───┘
//! ```
//!
//! The product goes over a wide matrix panel by panel, so each is read from its beginning to its end, as caches like it
//! best; row by row, every row would be elsewhere.

use std::ops::Range;

use crate::gemm::{Panelled, View, ViewMut};
use crate::team;

/// Columns of a panel: as many as the product's widest tile has.
const WIDTH: usize = 64;

/// How a matrix is cut into panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panels {
    rows: usize,
    columns: usize,
    width: usize,
}

/// One of them, or some side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Panel {
    /// Its columns of the matrix.
    pub(super) columns: Range<usize>,
    /// Where its values lie.
    pub(super) values: Range<usize>,
}

impl Panel {
    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }
}

impl Panels {
    /// The panels of a matrix.
    pub fn of(rows: usize, columns: usize) -> Self {
        Self { rows, columns, width: columns.clamp(1, WIDTH) }
    }

    /// Columns of the matrix.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// Columns of each panel but the last.
    pub fn width(self) -> usize {
        self.width
    }

    /// How many there are.
    pub(super) fn count(self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// From left to right.
    pub(super) fn iter(self) -> impl Iterator<Item = Panel> {
        (0..self.count()).map(move |index| self.panel(index))
    }

    /// The single ones of some.
    pub(super) fn within(self, some: &Panel) -> impl Iterator<Item = Panel> {
        (some.columns.start / self.width..some.columns.end.div_ceil(self.width)).map(move |index| self.panel(index))
    }

    /// The one that holds the value at this place.
    pub(super) fn holding(self, place: usize) -> Panel {
        self.panel(place / (self.rows * self.width))
    }

    /// The one at this place from the left.
    pub(super) fn panel(self, index: usize) -> Panel {
        self.some(index..index + 1)
    }

    /// Those at these places from the left, as one matrix.
    pub(super) fn some(self, places: Range<usize>) -> Panel {
        let columns = (places.start * self.width).min(self.columns)..(places.end * self.width).min(self.columns);
        Panel { values: columns.start * self.rows..columns.end * self.rows, columns }
    }

    /// Some of them, of all values of the matrix, for a product.
    pub(super) fn view<'a>(self, values: &'a [f32], some: &Panel) -> Panelled<'a> {
        Panelled::new(&values[some.values.clone()], self.rows, some.width(), self.width)
    }

    /// The matrix row by row.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn to_rows<T: Copy + Default>(self, values: &[T]) -> Vec<T> {
        let mut rows = vec![T::default(); values.len()];
        self.pairs(|in_rows, in_panels| rows[in_rows].copy_from_slice(&values[in_panels]));
        rows
    }

    /// The matrix in panels, from its rows.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn from_rows<T: Copy + Default>(self, rows: &[T]) -> Vec<T> {
        let mut values = vec![T::default(); rows.len()];
        self.pairs(|in_rows, in_panels| values[in_panels].copy_from_slice(&rows[in_rows]));
        values
    }

    /// Where each row of each panel lies in rows, and where in panels.
    fn pairs(self, mut pair: impl FnMut(Range<usize>, Range<usize>)) {
        for Panel { columns, values } in self.iter() {
            for row in 0..self.rows {
                let (in_rows, in_panels) = (row * self.columns + columns.start, values.start + row * columns.len());
                pair(in_rows..in_rows + columns.len(), in_panels..in_panels + columns.len());
            }
        }
    }
}

/// Operations that are worth the way to another thread, and least rows that share a reading of the matrix.
const WORTH: usize = 1 << 18;
const LEAST_ROWS: usize = 16;

/// A product with some panels: the index of `A`'s first row, `A`, the panels, and their columns of the result.
pub(super) type OfPanels<'a> = &'a (dyn Fn(usize, View<'_>, Panel, ViewMut<'_>) + Sync);

/// The product of `x`, rows of so many values, with a matrix in panels, in so many pieces side by side: panels where
/// there are enough, for no thread reads the weights of another then; rows otherwise. Neither changes a bit.
pub(super) fn over_panels(pieces: usize, panels: Panels, x: (&[f32], usize), y: &mut [f32], product: OfPanels<'_>) {
    over_rows(pieces, panels, 0, x, y, product);
}

/// The same of the rows from `first` on.
fn over_rows(
    pieces: usize,
    panels: Panels,
    first: usize,
    (x, inputs): (&[f32], usize),
    y: &mut [f32],
    product: OfPanels<'_>,
) {
    let n = x.len() / inputs;
    let pieces = pieces.min(x.len() * panels.columns / WORTH);
    if pieces > 1 && panels.count() < 2 * pieces && n >= 2 * LEAST_ROWS {
        let half = n / 2;
        let ((x0, x1), (y0, y1)) = (x.split_at(half * inputs), y.split_at_mut(half * panels.columns));
        team::join(
            || over_rows(pieces / 2, panels, first, (x0, inputs), y0, product),
            || over_rows(pieces.div_ceil(2), panels, first + half, (x1, inputs), y1, product),
        );
    } else {
        let (x, y) = (View::rows(x, n, inputs, inputs), ViewMut::rows(y, n, panels.columns, panels.columns));
        let product = |x: View<'_>, panel: Panel, y: ViewMut<'_>| product(first, x, panel, y);
        over_some(pieces, panels, 0..panels.count(), x, y, &product);
    }
}

/// The same of some of the panels.
fn over_some(
    pieces: usize,
    panels: Panels,
    some: Range<usize>,
    x: View<'_>,
    y: ViewMut<'_>,
    product: &(dyn Fn(View<'_>, Panel, ViewMut<'_>) + Sync),
) {
    if pieces > 1 && some.len() > 1 {
        let middle = some.start + some.len() / 2;
        let (left, right) = y.split_at_column((middle - some.start) * panels.width);
        team::join(
            || over_some(pieces / 2, panels, some.start..middle, x, left, product),
            || over_some(pieces.div_ceil(2), panels, middle..some.end, x, right, product),
        );
        return;
    }
    product(x, panels.some(some), y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_every_value_once() {
        for (rows, columns) in [(3, 1), (4, 64), (4, 65), (3, 129), (2, 200), (1, 512), (5, 192)] {
            let panels = Panels::of(rows, columns);
            let matrix: Vec<usize> = (0..rows * columns).collect();
            let values = panels.from_rows(&matrix);
            assert_eq!(panels.to_rows(&values), matrix);
            let mut next = 0;
            for panel in panels.iter() {
                assert_eq!(panel.values.start, next);
                next = panel.values.end;
                assert!(panel.values.clone().all(|place| panels.holding(place) == panel));
                // Column c of row 1.
                if rows > 1 {
                    let row: Vec<_> = panel.columns.clone().map(|c| columns + c).collect();
                    assert_eq!(values[panel.values.start + panel.width()..][..panel.width()], row);
                }
            }
            assert_eq!(next, rows * columns);
        }
        assert_eq!(Panels::of(4, 64).iter().count(), 1);
        assert_eq!(Panels::of(4, 200).iter().map(|panel| panel.width()).collect::<Vec<_>>(), [64, 64, 64, 8]);
    }
}
