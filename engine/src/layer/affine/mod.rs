//! The fully connected layer, *Deep Learning from Scratch* §5.6.
//!
//! `y = x·W + b` with `x` `[N, I]`, `W` `[I, O]`, `b` `[O]`, `y` `[N, O]`; any input shape is read as `I` values.
//!
//! Backward: `dx = dy·Wᵀ`, `dW = xᵀ·dy`, `db = Σₙ dy`.

mod packed;

use std::cell::RefCell;
use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::panels::{Panel, Panels, over_panels};
use super::{
    Backward, Context, Layer, LayerError, LayerKind, MOST_ABREAST, Memory, Parameter, Reference, Relus, Role, Storage,
};
use crate::aligned::{Aligned, LINE};
use crate::batch::Batch;
use crate::describe::{Entry, Field, Kind};
use crate::form::Form;
use crate::gemm::{
    Axis, End, Grid, Into, NOTHING, View, ViewMut, biased_matmul, grid_matmul, matmul, matmul_to, transpose,
};
use crate::init::{self, Init};
use crate::processor::{add_rows, wide};
use crate::segment::tiles_of_rows;
use crate::shape::Shape;
use crate::team;

/// Spec of a fully connected layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Number of outputs.
    pub units: usize,
    /// Initial weights, if not the job's.
    #[serde(default)]
    pub init: Option<Init>,
}

impl Affine {
    /// A layer of so many outputs.
    pub fn of(units: usize) -> Self {
        Self { units, init: None }
    }
}

impl LayerKind for Affine {
    const ENTRY: Entry = Entry {
        name: "affine",
        aliases: &["linear", "dense"],
        doc: "Fully connected: y = x·W + b, with W [inputs, units] and b [units].",
        fields: &[Field::required("units", Kind::Count { min: 1, max: 1 << 20 }, "number of outputs"), init::FIELD],
    };

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.with(Relus::default(), input)
    }
}

impl Affine {
    /// The layer for inputs of this form, with these ReLUs.
    ///
    /// # Errors
    /// As any layer's.
    pub(crate) fn with(&self, relus: Relus, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let shape = input.shape();
        let too_large = || {
            let detail =
                format!("{} units on an input of shape {shape} give more weights than can be counted", self.units);
            LayerError::at("units", detail)
        };
        let inputs = shape.checked_len().ok_or_else(too_large)?;
        // Twice the weights must be countable too: a step is that many operations.
        inputs.checked_mul(self.units).and_then(|weights| weights.checked_mul(16)).ok_or_else(too_large)?;
        let storage = Storage::following(input, self.units);
        let layer = || AffineLayer::new(inputs, self.units, storage.clone(), self.init.clone());
        let plain = relus.above.then(|| Box::new(layer()));
        Ok(Box::new(AffineLayer { relus, plain, ..layer() }))
    }
}

#[derive(Debug)]
struct AffineLayer {
    inputs: usize,
    units: usize,
    /// How `W` lies, and `Wᵀ` where it is prepared.
    panels: Panels,
    transposed: Panels,
    relus: Relus,
    /// The layer without a ReLU above, where there is one.
    plain: Option<Box<AffineLayer>>,
    output: Form,
    parameters: [Parameter; 2],
}

impl AffineLayer {
    fn new(inputs: usize, units: usize, storage: Storage, init: Option<Init>) -> Self {
        let weight = Role::Weight { fan_in: inputs, fan_out: units };
        let panels = Panels::of(inputs, units);
        let storage = Storage::Panels(panels, Box::new(storage));
        Self {
            inputs,
            units,
            panels,
            transposed: Panels::of(units, inputs),
            relus: Relus::default(),
            plain: None,
            output: Form::planar(Shape::new(&[units])),
            parameters: [
                Parameter { storage, init, ..Parameter::of("W", Shape::new(&[inputs, units]), weight) },
                Parameter::biases(units),
            ],
        }
    }

    fn weights(&self) -> usize {
        self.inputs * self.units
    }

    /// Whether a step works `x·W` out as a sum of two halves, over the first inputs and over the others.
    ///
    /// If a large `W` has but a few panels, threads that shared the rows of `x` would each read all of it, though the other
    /// one has just written half. In halves, each reads the rows that it updates, and no more goes to and fro than sums.
    fn goes_in_halves(&self) -> bool {
        self.panels.count() <= MOST_ABREAST && self.weights() >= WORTH_HALVING
    }

    /// Writes a panel of `Wᵀ`.
    fn turn(&self, parameters: &[f32], to: &Panel, turned: &mut [f32]) {
        for from in self.panels.iter() {
            // Some rows of the one panel become some rows of the other, all of each contiguous.
            let first = from.values.start + to.columns.start * from.width();
            let rows = &parameters[first..first + to.width() * from.width()];
            transpose(rows, from.width(), &mut turned[from.columns.start * to.width()..from.columns.end * to.width()]);
        }
    }

    /// The gradient of some rows of a narrow `W`, by way of its transpose `dyᵀ·x`: its rows are long, and `x` is read in the
    /// order in which it lies. The products are added in the same order, so no bit differs.
    fn narrow_gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        let (first, rows) = (range.start / self.units, range.len() / self.units);
        TURNED.with_borrow_mut(|memory| {
            let turned = at_least(memory, range.len());
            for (i, stack) in batch.stacks().enumerate() {
                // [O, N]
                let dy = Grid {
                    data: stack.dy,
                    groups: Axis::ONE,
                    rows: Axis::new(self.units, 1),
                    runs: stack.shards,
                    columns: Axis::new(stack.rows, self.units),
                    may_hold_zeros: false,
                };
                // [N, rows of I]
                let x = Grid {
                    data: &stack.x[first..],
                    groups: stack.shards,
                    rows: Axis::new(stack.rows, self.inputs),
                    runs: Axis::ONE,
                    columns: Axis::new(rows, 1),
                    may_hold_zeros: false,
                };
                grid_matmul(if i == 0 { Into::Replace } else { Into::Add }, turned, dy, x, NOTHING);
            }
            transpose(turned, rows, gradient);
        });
    }
}

impl Layer for AffineLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn flops(&self) -> usize {
        2 * self.weights()
    }

    fn memory(&self) -> Memory {
        let kept = if self.goes_in_halves() { self.units } else { 0 };
        Memory { prepared: self.weights(), can_do_without: true, kept, ..Memory::default() }
    }

    fn likes_many_rows(&self) -> bool {
        true
    }

    /// `Wᵀ` `[O, I]`, in panels too: row by row it makes a faster product than by its columns.
    fn prepare(&self, parameters: &[f32], prepared: &mut [f32]) {
        let size = self.units * self.transposed.width();
        let panels = prepared.par_chunks_mut(size).enumerate().with_min_len(WORTH_A_TASK.div_ceil(size));
        team::for_each(panels, |(index, prepared)| self.turn(parameters, &self.transposed.panel(index), prepared));
    }

    fn forward(&self, at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let (w, b) = at.parameters.split_at(self.weights());
        let end = self.relus.end();
        over_panels(at.pieces, self.panels, (x, self.inputs), y, &|_, x, some, y| {
            let w = self.panels.view(w, &some); // [I, part of O]
            biased_matmul(y, Grid { may_hold_zeros: true, ..x.into() }, w, &b[some.columns], end);
        });
    }

    /// In [halves](AffineLayer::goes_in_halves) where it pays: the second one's sums are what is kept.
    fn forward_keeping(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32], kept: &mut [f32]) {
        if !self.goes_in_halves() {
            return self.forward(at, scratch, x, y);
        }
        let (w, b) = at.parameters.split_at(self.weights());
        let middle = self.inputs / 2 / LINE * LINE;
        let half = |pieces: usize, inputs: Range<usize>, bias: Option<&[f32]>, y: &mut [f32]| {
            over_panels(pieces, self.panels, (x, self.inputs), y, &|_, x, some, y| {
                let w = self.panels.view(w, &some).of_rows(inputs.clone()); // [half of I, part of O]
                let x = Grid { may_hold_zeros: true, ..x.of_columns(inputs.clone()).into() };
                match bias {
                    Some(b) => biased_matmul(y, x, w, &b[some.columns], End::Plain),
                    None => matmul_to(End::Plain, y, x, w),
                }
            });
        };
        let (lower, upper) = (0..middle, middle..self.inputs);
        match at.pieces {
            0 | 1 => {
                half(1, lower, Some(b), y);
                half(1, upper, None, kept);
            }
            pieces => {
                team::join(|| half(pieces / 2, lower, Some(b), y), || half(pieces.div_ceil(2), upper, None, kept));
            }
        }
        let rectify = self.relus.above;
        wide(|| {
            for (y, &more) in y.iter_mut().zip(&*kept) {
                let sum = *y + more;
                // Not a number stays so.
                *y = if rectify && sum <= 0.0 { 0.0 } else { sum };
            }
        });
    }

    fn backward(&self, at: &Context<'_>, _scratch: &mut [f32], Backward { x, dy, dx, .. }: Backward<'_>) {
        let n = dy.len() / self.units;
        if at.prepared.is_empty() && n < WORTH_TURNING {
            for panel in self.panels.iter() {
                let dy = View::rows(&dy[panel.columns.start..], n, panel.width(), self.units); // [N, part of O]
                let w = View::rows(&at.parameters[panel.values.clone()], self.inputs, panel.width(), panel.width());
                let into = if panel.columns.start == 0 { Into::Replace } else { Into::Add };
                matmul(into, ViewMut::rows(dx, n, self.inputs, self.inputs), dy, w.transposed());
            }
            return self.relus.gate(x, dx);
        }
        let end = |first: usize, n: usize, columns: &Range<usize>| match self.relus.below {
            true => {
                End::WherePositive(View::rows(&x[first * self.inputs + columns.start..], n, columns.len(), self.inputs))
            }
            false => End::Plain,
        };
        over_panels(at.pieces, self.transposed, (dy, self.units), dx, &|first, dy, some, dx| {
            if !at.prepared.is_empty() {
                let w = self.transposed.view(at.prepared, &some); // [O, part of I]
                return matmul_to(end(first, dy.row_count(), &some.columns), dx, dy, w);
            }
            let mut rest = dx;
            for panel in self.transposed.within(&some) {
                let (dx, others) = rest.split_at_column(panel.width());
                TURNED.with_borrow_mut(|memory| {
                    let turned = at_least(memory, panel.values.len());
                    self.turn(at.parameters, &panel, turned);
                    let turned = View::rows(turned, self.units, panel.width(), panel.width());
                    matmul_to(end(first, dy.row_count(), &panel.columns), dx, dy, turned);
                });
                rest = others;
            }
        });
    }

    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        if range.start >= self.weights() {
            gradient.fill(0.0);
            for (_, dy) in batch.pieces() {
                add_rows(dy, gradient);
            }
            return;
        }
        if self.units <= NARROW {
            return self.narrow_gradient(range, batch, gradient);
        }
        let panel = self.panels.holding(range.start);
        let (first, rows) = ((range.start - panel.values.start) / panel.width(), range.len() / panel.width());
        // dy: [N, part of O]
        let of_panel = (panel.columns.start / self.panels.width(), panel.columns);
        packed::over_stacks(batch, self.units, of_panel, |i, stack, dy| {
            // [rows of I, N]
            let x = Grid {
                data: &stack.x[first..],
                groups: Axis::ONE,
                rows: Axis::new(rows, 1),
                runs: stack.shards,
                columns: Axis::new(stack.rows, self.inputs),
                may_hold_zeros: true,
            };
            let (into, soon) = if i == 0 { (Into::Replace, batch.soon) } else { (Into::Add, NOTHING) };
            grid_matmul(into, gradient, x, dy, soon);
        });
    }

    /// Blocks of whole rows of `W`'s panels, the same rows of each, then `b`.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        let width = self.panels.width();
        let rows = tiles_of_rows(self.inputs, width).into_iter().map(|tile| tile.start / width..tile.end / width);
        let of_panel = |panel: Panel| {
            let (first, width) = (panel.values.start, panel.width());
            rows.clone().map(move |rows| first + rows.start * width..first + rows.end * width)
        };
        let mut tiles: Vec<_> = self.panels.iter().flat_map(of_panel).collect();
        tiles.push(self.weights()..self.weights() + self.units);
        tiles
    }

    /// Many panels are worked on one after the other, for each thread to have some for itself; few of them side by side.
    fn tiles_abreast(&self) -> usize {
        if self.panels.count() > MOST_ABREAST { 1 } else { self.panels.count() }
    }

    fn first(&self) -> Option<&dyn Layer> {
        self.plain.as_deref().map(|plain| plain as &dyn Layer)
    }

    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let (w, b) = at.parameters.split_at(self.weights());
        let w = Array2::from_shape_vec((self.inputs, self.units), self.panels.to_rows(w));
        let y = x.dot(&w.expect("the network gives W its size")) + ArrayView1::from(b);
        if self.relus.above { y.mapv_into(|y| y.max(0.0)) } else { y }
    }
}

/// Weights that are worth two halves.
const WORTH_HALVING: usize = 1 << 17;
/// Weights whose transposing is worth the way to another thread.
const WORTH_A_TASK: usize = 1 << 14;
/// Rows for which the weights are transposed, where they are not prepared.
const WORTH_TURNING: usize = 8;

/// Most units of a layer whose gradient is worked out by way of its transpose: those of a vector.
const NARROW: usize = 16;

thread_local! {
    /// The panel of `Wᵀ`, or the part of `dWᵀ`, at hand. They are too small for `transpose` to call other threads in, which
    /// might want it too.
    static TURNED: RefCell<Aligned> = RefCell::new(Aligned::zeros(0));
}

/// So many values of a memory, which grows for them.
fn at_least(memory: &mut Aligned, len: usize) -> &mut [f32] {
    if memory.len() < len {
        *memory = Aligned::zeros(len);
    }
    &mut memory[..len]
}

#[cfg(test)]
mod tests;
